//! What a request for a stream wants of the channel's history: what came behind the last event that its reader has, or the
//! last events.

use crate::auth::request::Query;
use crate::channel::{HistoryPosition, Wanted};
use crate::http::ApiError;
use crate::protocol::{Rewind, quote};

/// Reads it. `last_event_id` is the header `Last-Event-ID`, which `EventSource` sends when it comes back, with the same URL;
/// so it counts before the parameter of this name. `has_history` tells whether the channel keeps a history now. It may have
/// kept one when the reader was there before, or not yet: whoever cannot be told what it has missed is told that.
pub(super) fn wanted(
    query: &Query,
    last_event_id: Option<&[u8]>,
    has_history: bool,
) -> Result<Wanted, ApiError> {
    let rewind = Rewind::of_query(query.get("rewind_events"), query.get("rewind_seconds"))?;
    let header = last_event_id.filter(|id| !id.is_empty()).map(String::from_utf8_lossy);
    let id = header.or_else(|| query.get("last_event_id").filter(|id| !id.is_empty()).map(Into::into));
    let missed = match id {
        Some(id) => missed(&id, has_history)?,
        None => Wanted::Nothing,
    };
    Ok(missed.or_last(rewind))
}

fn missed(id: &str, has_history: bool) -> Result<Wanted, ApiError> {
    if let Some(position) = HistoryPosition::parse(id) {
        return Ok(Wanted::Since { position, own: Vec::new() });
    }
    if !has_history {
        // It is of no use, as it has ever been.
        return Ok(Wanted::Nothing);
    }
    // The channel had no history when the stream counted its events.
    let is_counted = id.bytes().all(|byte| byte.is_ascii_digit());
    if is_counted { Ok(Wanted::Unknown) } else { Err(ApiError::LastEventId(quote(id).into_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSITION: HistoryPosition = HistoryPosition { epoch: 0x1a, number: 0x2b };

    fn read(query: &str, header: Option<&str>, has_history: bool) -> Result<Wanted, String> {
        let wanted = wanted(&Query::parse(query), header.map(str::as_bytes), has_history);
        wanted.map_err(|error| error.to_string())
    }

    fn since() -> Wanted {
        Wanted::Since { position: POSITION, own: Vec::new() }
    }

    #[test]
    fn the_header_counts_before_the_parameter() {
        assert_eq!(read("", None, true), Ok(Wanted::Nothing));
        assert_eq!(read("", Some("1a-2b"), true), Ok(since()));
        assert_eq!(read("last_event_id=1a-2b", None, true), Ok(since()));
        assert_eq!(read("last_event_id=1a-1", Some("1a-2b"), true), Ok(since()));
        assert_eq!(read("last_event_id=1a-2b", Some(""), true), Ok(since()));
        assert_eq!(read("last_event_id=", None, true), Ok(Wanted::Nothing));
    }

    #[test]
    fn what_is_no_place_is_refused_and_what_was_one_elsewhere_is_not_known() {
        let refused =
            Err("Invalid last event id: expected the id of an event of this stream, such as 5f3a-1b2, got \
                           \"x\""
                .to_owned());
        assert_eq!(read("", Some("x"), true), refused);
        assert_eq!(read("last_event_id=x", None, true), refused);
        assert_eq!(read("", Some("17"), true), Ok(Wanted::Unknown), "there was no history then");
        assert_eq!(read("", Some("1a-2b"), false), Ok(since()), "there is none any more");
        for id in ["17", "x"] {
            assert_eq!(read("", Some(id), false), Ok(Wanted::Nothing), "{id}");
        }
    }

    #[test]
    fn the_last_events_can_be_asked_for() {
        assert_eq!(read("rewind_events=20", None, false), Ok(Wanted::Last(Rewind::Events(20))));
        assert_eq!(read("rewind_seconds=30", None, true), Ok(Wanted::Last(Rewind::Seconds(30))));
        let otherwise = Wanted::OrLast { missed: Box::new(since()), rewind: Rewind::Events(20) };
        assert_eq!(read("rewind_events=20", Some("1a-2b"), true), Ok(otherwise));
        assert!(read("rewind_events=20&rewind_seconds=30", None, true).is_err());
        assert!(read("rewind_events=x", None, false).is_err());
    }
}
