//! Server-sent events: every event of a channel, as browsers' `EventSource` and `curl -N` take them.
//!
//! Where the channel keeps a history, the id of an event is its place there: whoever comes back with it is sent what came
//! behind it. Elsewhere ids count the events of the stream.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::Context;

use actix_web::web::Bytes;

use crate::hub::{Outbox, Transport, Written};
use crate::protocol::{ChannelName, Form, Frame, json};

use super::body::StreamEncoder;

/// The events of a channel as lines of text, one event at a time: while one waits, the outbox fills.
pub(super) struct Sse {
    /// The only event that is wanted; all if there is none.
    only: Option<String>,
    ready: RefCell<Option<Bytes>>,
    ids: Ids,
}

/// What events have for ids.
enum Ids {
    /// How many there have been.
    Counted(Cell<u64>),
    /// Their places in the channel's history.
    Positions {
        /// That of the last event, where the event was not wanted and its place has not been told.
        passed: RefCell<Option<String>>,
    },
}

impl Sse {
    /// `positions` tells whether ids are places in the channel's history.
    pub(super) fn new(only: Option<&str>, positions: bool) -> Self {
        let ids = if positions {
            Ids::Positions { passed: RefCell::default() }
        } else {
            Ids::Counted(Cell::new(0))
        };
        Sse { only: only.map(str::to_owned), ready: RefCell::default(), ids }
    }

    /// The event of a frame, if it is one that is wanted.
    fn encode(&self, frame: &Frame) -> Option<Bytes> {
        let text = std::str::from_utf8(frame.json()).ok()?;
        let [event, data, position] = json::members(text, ["event", "data", "position"]).ok()?;
        let event = json::as_string(event?)?;
        let data = json::as_string(data?)?;
        let position = position.and_then(json::as_string);
        // The confirmation is this answer itself.
        let is_confirmation = event == "pusher_internal:subscription_succeeded";
        // What was resumed concerns the stream, whatever is wanted of it.
        let is_wanted = self.only.as_ref().is_none_or(|only| *only == event || event == "pusher:resumed");
        match &self.ids {
            Ids::Counted(_) if is_confirmation || !is_wanted => None,
            Ids::Counted(count) => {
                count.set(count.get() + 1);
                Some(message(Some(&count.get().to_string()), &event, &data))
            }
            // Where the stream begins.
            Ids::Positions { .. } if is_confirmation => {
                position.map(|position| format!("id: {position}\n\n"))
            }
            Ids::Positions { passed } if is_wanted => {
                if position.is_some() {
                    passed.take();
                }
                Some(message(position.as_deref(), &event, &data))
            }
            Ids::Positions { passed } => {
                if let Some(position) = position {
                    passed.replace(Some(position.into_owned()));
                }
                None
            }
        }
        .map(Bytes::from)
    }
}

/// One event. Its name cannot have several lines, so each control character becomes a space; its data can, and every
/// kind of line end becomes the one that a receiver puts back.
fn message(id: Option<&str>, event: &str, data: &str) -> String {
    let mut text = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    text.push_str("event: ");
    text.extend(event.chars().map(|c| if c.is_control() { ' ' } else { c }));
    text.push('\n');
    for line in data.replace("\r\n", "\n").split(['\n', '\r']) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text
}

impl Transport for Sse {
    fn form(&self) -> Form {
        match self.ids {
            Ids::Counted(_) => Form::Plain,
            Ids::Positions { .. } => Form::Positioned,
        }
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn write(&self, outbox: &mut Outbox, _: &mut Context<'_>) -> io::Result<Written> {
        let mut ready = self.ready.borrow_mut();
        while ready.is_none() {
            match outbox.pop() {
                Some(frame) => *ready = self.encode(&frame),
                None => return Ok(Written::Everything),
            }
        }
        Ok(Written::Blocked)
    }
}

impl StreamEncoder for Sse {
    fn content_type(&self) -> &'static str {
        "text/event-stream"
    }

    fn opening(&self, channel: &ChannelName) -> Bytes {
        Bytes::from(format!(": events of {channel}\n\n"))
    }

    fn next(&self) -> Option<Bytes> {
        self.ready.take()
    }

    fn heartbeat(&self) -> Option<Bytes> {
        let passed = match &self.ids {
            Ids::Counted(_) => None,
            Ids::Positions { passed } => passed.borrow().clone(),
        };
        // So whoever comes back need not be sent again what it does not want.
        Some(
            passed
                .map_or(Bytes::from_static(b":\n\n"), |position| Bytes::from(format!("id: {position}\n\n"))),
        )
    }

    fn ending(&self, code: u16, reason: &str) -> Option<Bytes> {
        Some(Bytes::from(format!(": closed with {code}: {reason}\n\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::Data;
    use crate::protocol::server_message;

    #[test]
    fn an_event_is_an_id_a_name_and_lines_of_data() {
        let message = |event, data| message(Some("1"), event, data);
        assert_eq!(message("e", "one"), "id: 1\nevent: e\ndata: one\n\n");
        assert_eq!(message("a\r\nb", ""), "id: 1\nevent: a  b\ndata: \n\n");
        let lines = message("e", "a\nb\r\nc\rd\n");
        assert_eq!(lines, "id: 1\nevent: e\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
    }

    /// What a stream writes of an event with this place, if it has any.
    fn written(sse: &Sse, event: &str, position: Option<&str>) -> Option<String> {
        let channel = ChannelName::parse("news", 164).unwrap();
        let frame = server_message::channel_event(event, &Data::of_text("x"), &channel, None);
        let frame = position.map_or(frame.clone(), |position| frame.positioned(position));
        sse.encode(&frame).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn ids_count_where_there_is_no_history() {
        let sse = Sse::new(None, false);
        assert_eq!(sse.form(), Form::Plain);
        assert_eq!(written(&sse, "pusher_internal:subscription_succeeded", None), None);
        assert_eq!(written(&sse, "a", None).unwrap(), "id: 1\nevent: a\ndata: x\n\n");
        assert_eq!(written(&sse, "b", None).unwrap(), "id: 2\nevent: b\ndata: x\n\n");
        let sse = Sse::new(Some("b"), false);
        assert_eq!(written(&sse, "a", None), None);
        assert_eq!(written(&sse, "b", None).unwrap(), "id: 1\nevent: b\ndata: x\n\n");
        assert_eq!(sse.heartbeat().unwrap(), ":\n\n");
    }

    #[test]
    fn ids_are_places_in_the_history_where_there_is_one() {
        let sse = Sse::new(None, true);
        assert_eq!(sse.form(), Form::Positioned);
        let confirmation = "pusher_internal:subscription_succeeded";
        assert_eq!(written(&sse, confirmation, None), None);
        assert_eq!(written(&sse, confirmation, Some("a-1")).unwrap(), "id: a-1\n\n");
        assert_eq!(written(&sse, "a", Some("a-2")).unwrap(), "id: a-2\nevent: a\ndata: x\n\n");
        let member = written(&sse, "pusher_internal:member_added", None).unwrap();
        assert_eq!(member, "event: pusher_internal:member_added\ndata: x\n\n", "it is in no history");
        assert_eq!(sse.heartbeat().unwrap(), ":\n\n");
    }

    #[test]
    fn the_place_of_what_is_not_wanted_is_told_in_a_silence() {
        let sse = Sse::new(Some("b"), true);
        assert_eq!(written(&sse, "a", Some("a-2")), None);
        assert_eq!(sse.heartbeat().unwrap(), "id: a-2\n\n");
        assert_eq!(written(&sse, "b", Some("a-3")).unwrap(), "id: a-3\nevent: b\ndata: x\n\n");
        assert_eq!(sse.heartbeat().unwrap(), ":\n\n", "the last one is told");
        assert_eq!(
            written(&sse, "pusher:resumed", Some("a-4")).unwrap(),
            "id: a-4\nevent: pusher:resumed\ndata: x\n\n"
        );
    }
}
