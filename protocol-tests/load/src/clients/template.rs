//! A message written once, of which only the mark changes.

use crate::wire::mark::{BYTES, Mark};

/// The name of every event; brokers demand the prefix of client events.
const EVENT: &str = "client-load";

/// A message of one publisher to one channel.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) publisher: u32,
    message: Vec<u8>,
    mark_at: usize,
    payload_bytes: u32,
}

impl Template {
    /// As a client says it.
    pub(crate) fn client_event(publisher: u32, channel: &str, payload_bytes: usize) -> Self {
        Template::new(
            publisher,
            format!(r#"{{"event":"{EVENT}","channel":"{channel}","data":""#),
            payload_bytes,
            "\"}",
        )
    }

    /// As the body of a publish over HTTP.
    pub(crate) fn publish(publisher: u32, channel: &str, payload_bytes: usize) -> Self {
        Template::new(
            publisher,
            format!(r#"{{"name":"{EVENT}","channel":"{channel}","data":""#),
            payload_bytes,
            "\"}",
        )
    }

    fn new(publisher: u32, before: String, payload_bytes: usize, after: &str) -> Self {
        let mark_at = before.len();
        let message = (before + &Mark::blank(payload_bytes) + after).into_bytes();
        Template { publisher, message, mark_at, payload_bytes: payload_bytes as u32 }
    }

    /// The message with this mark.
    pub(crate) fn stamp(&mut self, sequence: u32, nanoseconds: u64) -> &[u8] {
        let Template { publisher, payload_bytes, .. } = *self;
        let mark = Mark { publisher, sequence, nanoseconds, payload_bytes };
        mark.write(&mut self.message[self.mark_at..self.mark_at + BYTES]);
        &self.message
    }
}
