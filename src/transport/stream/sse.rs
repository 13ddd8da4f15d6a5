//! Server-sent events: every event of a channel, as browsers' `EventSource` and `curl -N` take them.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::Context;

use actix_web::web::Bytes;

use crate::hub::{Outbox, Transport, Written};
use crate::protocol::{ChannelName, Frame, json};

use super::body::StreamEncoder;

/// The events of a channel as lines of text, one event at a time: while one waits, the outbox fills.
pub(super) struct Sse {
    /// The only event that is wanted; all if there is none.
    only: Option<String>,
    ready: RefCell<Option<Bytes>>,
    /// Events so far.
    events: Cell<u64>,
}

impl Sse {
    pub(super) fn new(only: Option<&str>) -> Self {
        Sse { only: only.map(str::to_owned), ready: RefCell::default(), events: Cell::new(0) }
    }

    /// The event of a frame, if it is one that is wanted.
    fn encode(&self, frame: &Frame) -> Option<Bytes> {
        let text = std::str::from_utf8(frame.json()).ok()?;
        let [event, data] = json::members(text, ["event", "data"]).ok()?;
        let event = json::as_string(event?)?;
        let data = json::as_string(data?)?;
        let unwanted = match &self.only {
            Some(only) => *only != event,
            // The confirmation is this answer itself.
            None => event == "pusher_internal:subscription_succeeded",
        };
        if unwanted {
            return None;
        }
        self.events.set(self.events.get() + 1);
        Some(Bytes::from(message(self.events.get(), &event, &data)))
    }
}

/// One event. Its name cannot have several lines, so each control character becomes a space; its data can, and every
/// kind of line end becomes the one that a receiver puts back.
fn message(id: u64, event: &str, data: &str) -> String {
    let mut text = format!("id: {id}\nevent: ");
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
        Some(Bytes::from_static(b":\n\n"))
    }

    fn ending(&self, code: u16, reason: &str) -> Option<Bytes> {
        Some(Bytes::from(format!(": closed with {code}: {reason}\n\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_an_id_a_name_and_lines_of_data() {
        assert_eq!(message(7, "e", "one"), "id: 7\nevent: e\ndata: one\n\n");
        assert_eq!(message(1, "a\r\nb", ""), "id: 1\nevent: a  b\ndata: \n\n");
        let lines = message(1, "e", "a\nb\r\nc\rd\n");
        assert_eq!(lines, "id: 1\nevent: e\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
    }
}
