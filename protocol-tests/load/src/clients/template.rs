//! A message written once, of which only the mark changes.

use std::ops::Range;

use crate::wire::mark::{BYTES, Mark};

/// The name of every event; brokers demand the prefix of client events.
const EVENT: &str = "client-load";

/// How a numbered channel's name begins; so many digits follow.
const NUMBERED: &str = "channel-";
const DIGITS: usize = 7;

/// A message of one publisher to one channel, or to many channels in turn.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) publisher: u32,
    message: Vec<u8>,
    mark_at: usize,
    payload_bytes: u32,
    around: Option<Around>,
}

/// The numbered channels that messages go to in turn.
#[derive(Clone, Debug)]
struct Around {
    channels: Range<usize>,
    next: usize,
    digits_at: usize,
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

    /// The same, to one after the other of these numbered channels.
    pub(crate) fn publish_around(publisher: u32, channels: Range<usize>, payload_bytes: usize) -> Self {
        let mut template = Template::publish(publisher, &Template::numbered(channels.start), payload_bytes);
        let named = memchr::memmem::find(&template.message, NUMBERED.as_bytes());
        let digits_at = named.map_or(0, |at| at + NUMBERED.len());
        template.around = Some(Around { next: channels.start, channels, digits_at });
        template
    }

    /// The name of a numbered channel.
    pub(crate) fn numbered(number: usize) -> String {
        format!("{NUMBERED}{number:0DIGITS$}")
    }

    fn new(publisher: u32, before: String, payload_bytes: usize, after: &str) -> Self {
        let mark_at = before.len();
        let message = (before + &Mark::blank(payload_bytes) + after).into_bytes();
        Template { publisher, message, mark_at, payload_bytes: payload_bytes as u32, around: None }
    }

    /// The message with this mark.
    pub(crate) fn stamp(&mut self, sequence: u32, nanoseconds: u64) -> &[u8] {
        let Template { publisher, payload_bytes, .. } = *self;
        let mark = Mark { publisher, sequence, nanoseconds, payload_bytes };
        if let Some(around) = &mut self.around {
            around.turn(&mut self.message);
        }
        mark.write(&mut self.message[self.mark_at..self.mark_at + BYTES]);
        &self.message
    }
}

/// A film's messages, as a client says them: binary, each with a mark at the beginning of its content.
#[derive(Clone, Debug)]
pub(crate) struct Film {
    pub(crate) publisher: u32,
    media_type: &'static str,
    /// Members besides those that change, each with its comma before it.
    members: &'static str,
    /// Members of key frames.
    config: &'static str,
    /// Microseconds from one message to the next.
    every: u64,
    message: Vec<u8>,
}

impl Film {
    /// Pictures, 30 each second, in this rendition.
    pub(crate) fn pictures(publisher: u32, is_small: bool) -> Self {
        const SMALL: &str = r#","rendition":"small""#;
        const CONFIG: &str = r#","key":true,"config":{"codec":"vp8","codedWidth":1920,"codedHeight":1080}"#;
        let (media_type, members) = ("video/webcodecs", if is_small { SMALL } else { "" });
        Film { publisher, media_type, members, config: CONFIG, every: 33_333, message: Vec::new() }
    }

    /// Sound, 50 pieces each second.
    pub(crate) fn sound(publisher: u32) -> Self {
        const CONFIG: &str =
            r#","key":true,"config":{"codec":"opus","sampleRate":48000,"numberOfChannels":2}"#;
        let (media_type, members) = ("audio/webcodecs", "");
        Film { publisher, media_type, members, config: CONFIG, every: 20_000, message: Vec::new() }
    }

    /// The message of this sequence, with so many bytes of content.
    pub(crate) fn message(&mut self, sequence: u32, is_key: bool, bytes: usize, nanoseconds: u64) -> &[u8] {
        let timestamp = u64::from(sequence) * self.every;
        let config = if is_key { self.config } else { "" };
        let members =
            format!("{{\"sequence\":{sequence},\"timestamp\":{timestamp}{}{config}}}", self.members);
        let texts = ["film", "picture", self.media_type, "", &members];
        self.message.clear();
        self.message.extend([1, 0]);
        self.message.extend(texts.iter().flat_map(|text| (text.len() as u16).to_be_bytes()));
        self.message.extend(texts.iter().flat_map(|text| text.bytes()));
        let mark_at = self.message.len();
        self.message.resize(mark_at + bytes.max(BYTES), b'x');
        let payload_bytes = (self.message.len() - mark_at) as u32;
        let mark = Mark { publisher: self.publisher, sequence, nanoseconds, payload_bytes };
        mark.write(&mut self.message[mark_at..]);
        &self.message
    }
}

impl Around {
    /// Has the message go to the next channel.
    fn turn(&mut self, message: &mut [u8]) {
        let mut number = self.next;
        for digit in message[self.digits_at..self.digits_at + DIGITS].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.next += 1;
        if self.next == self.channels.end {
            self.next = self.channels.start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_around_their_channels() {
        let mut template = Template::publish_around(3, 98..100, 100);
        for number in [98, 99, 98] {
            let message = String::from_utf8(template.stamp(1, 2).to_vec()).unwrap();
            let channel = format!(r#""channel":"{}""#, Template::numbered(number));
            assert!(message.contains(&channel) && message.len() == template.message.len(), "{message}");
        }
    }
}
