//! What an answer, or its absence, means for the events of a request: whether they were published, and whether they may be
//! sent again. Pure.

use std::time::Duration;

/// The pause after the first request that has to be sent again; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// No longer pause is taken because a server asks for it.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// What became of the events of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelayVerdict {
    /// They were published.
    Sent,
    /// They were not, and would not be another time.
    Refused,
    /// Nobody knows.
    Unknown,
    /// They were not, and may be sent again: after a pause of this length if the server has named one.
    Again(Option<Duration>),
}

/// So often in a row an event for several channels may be over the server's limit. Each channel counts there, so it may be
/// over it for ever; whereas no event can count for less than one for a single channel.
const MOST_OVER_LIMIT: u32 = 8;

/// What an answer means. `retry_after` is the header's value.
pub(super) fn of_status(status: u16, retry_after: Option<&str>) -> RelayVerdict {
    match status {
        200..=299 => RelayVerdict::Sent,
        // A limit was reached, and nothing was done.
        429 => RelayVerdict::Again(retry_after.and_then(seconds)),
        // Whoever says when to come back has done nothing. Without it this is as well what a proxy says whose server has hung
        // up after it had read the request.
        503 if retry_after.is_some() => RelayVerdict::Again(retry_after.and_then(seconds)),
        // The body, or its head, did not come in time.
        408 => RelayVerdict::Again(retry_after.and_then(seconds)),
        // Something has failed on the way, and how far it came cannot be known.
        500.. => RelayVerdict::Unknown,
        _ => RelayVerdict::Refused,
    }
}

/// Whether a batch that was answered so may be sent again, event by event: the server has published none of it. It does not
/// know batches; or, where it checks a batch as a whole, it wants smaller ones, or all but one of its events. One that
/// publishes event by event has published what came before the one that it refuses.
pub(super) fn is_for_the_batch(status: u16, is_checked_whole: bool) -> bool {
    match status {
        404 | 405 => true,
        400 | 413 | 422 => is_checked_whole,
        _ => false,
    }
}

/// Whether an event for so many channels, which was over the server's limit so often in a row, will be so another time.
pub(super) fn is_always_over(channels: usize, times: u32) -> bool {
    channels > 1 && times >= MOST_OVER_LIMIT
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_ASKED))
}

/// The pause after so many requests in a row that have to be sent again (from 1), where the server has named none. A draw
/// from 0 to 1 makes it up to a half shorter, so that brokers that fail together do not come back together.
pub(super) fn pause(failures: u32, draw: f64) -> Duration {
    let doubled =
        2_u32.checked_pow(failures.saturating_sub(1)).and_then(|times| FIRST_PAUSE.checked_mul(times));
    doubled.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE).mul_f64(1.0 - draw / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_meaning() {
        let again = RelayVerdict::Again(None);
        let table = [
            (200, RelayVerdict::Sent),
            (202, RelayVerdict::Sent),
            (301, RelayVerdict::Refused),
            (400, RelayVerdict::Refused),
            (401, RelayVerdict::Refused),
            (408, again),
            (409, RelayVerdict::Refused),
            (413, RelayVerdict::Refused),
            (429, again),
            (500, RelayVerdict::Unknown),
            (502, RelayVerdict::Unknown),
            (503, RelayVerdict::Unknown),
            (504, RelayVerdict::Unknown),
            (999, RelayVerdict::Unknown),
        ];
        for (status, verdict) in table {
            assert_eq!(of_status(status, None), verdict, "{status}");
        }
    }

    #[test]
    fn unavailable_is_nothing_done_where_a_time_is_named() {
        let table = [
            (None, RelayVerdict::Unknown),
            (Some("2"), RelayVerdict::Again(Some(Duration::from_secs(2)))),
            (Some("Fri, 31 Dec 2027 23:59:59 GMT"), RelayVerdict::Again(None)),
        ];
        for (retry_after, verdict) in table {
            assert_eq!(of_status(503, retry_after), verdict, "{retry_after:?}");
        }
    }

    #[test]
    fn a_batch_is_split_where_none_of_it_can_have_been_published() {
        for (status, always, whole) in [
            (404, true, true),
            (405, true, true),
            (400, false, true),
            (413, false, true),
            (422, false, true),
            (401, false, false),
        ] {
            assert_eq!(
                (is_for_the_batch(status, false), is_for_the_batch(status, true)),
                (always, whole),
                "{status}"
            );
        }
    }

    #[test]
    fn a_server_may_name_the_pause_within_reason() {
        let asked = |text| of_status(429, Some(text));
        assert_eq!(asked("3"), RelayVerdict::Again(Some(Duration::from_secs(3))));
        assert_eq!(asked(" 0 "), RelayVerdict::Again(Some(Duration::ZERO)));
        assert_eq!(asked("86400"), RelayVerdict::Again(Some(LONGEST_ASKED)));
        for odd in ["Fri, 31 Dec 2027 23:59:59 GMT", "-1", "", "99999999999999999999"] {
            assert_eq!(asked(odd), RelayVerdict::Again(None), "{odd}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_vary() {
        let pauses: Vec<_> = (1..9).map(|failures| pause(failures, 0.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pause(1, 1.0), Duration::from_millis(50));
        assert_eq!(pause(u32::MAX, 0.0), LONGEST_PAUSE);
    }
}
