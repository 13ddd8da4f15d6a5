//! Pictures one after another in one answer, each replacing the last: `multipart/x-mixed-replace`, which an `<img>` tag
//! and video players show.

use std::cell::RefCell;
use std::io;
use std::task::Context;

use actix_web::web::Bytes;

use crate::hub::{Outbox, Transport, Written};
use crate::protocol::json::push_string;
use crate::protocol::{BinaryMessage, ChannelName, Form, Frame};

use super::body::StreamEncoder;
use super::picture::{Picture, picture_of};

/// The newest picture of a channel. One that has not been taken yet is given up for the next: so nothing but the newest
/// ever waits, whatever the channel's own delivery is.
pub(super) struct Mjpeg {
    event: String,
    /// How the text of every such event begins.
    beginning: String,
    newest: RefCell<Option<Frame>>,
    /// The part that was sent last, to be repeated after a silence.
    last: RefCell<Option<Bytes>>,
}

impl Mjpeg {
    pub(super) fn new(event: &str) -> Self {
        let mut beginning = String::from("{\"event\":");
        push_string(event, &mut beginning);
        beginning.push_str(",\"data\":");
        Mjpeg { event: event.to_owned(), beginning, newest: RefCell::default(), last: RefCell::default() }
    }

    fn is_wanted(&self, frame: &Frame) -> bool {
        if frame.is_binary() {
            return BinaryMessage::parse(frame.payload()).is_ok_and(|message| message.event == self.event);
        }
        frame.json().starts_with(self.beginning.as_bytes())
    }
}

/// A picture with the head before it and the boundary behind it: a browser shows a part when it sees that it is over.
fn part(Picture { media_type, content }: Picture<'_>) -> Bytes {
    let head = format!("Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n", content.len());
    Bytes::from([head.as_bytes(), &*content, b"\r\n--frame\r\n"].concat())
}

impl Transport for Mjpeg {
    fn form(&self) -> Form {
        // Less work than taking the picture out of text again.
        Form::Binary
    }

    fn takes_tracks(&self) -> bool {
        false
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn write(&self, outbox: &mut Outbox, context: &mut Context<'_>) -> io::Result<Written> {
        while let Some(frame) = outbox.pop() {
            if self.is_wanted(&frame) {
                *self.newest.borrow_mut() = Some(frame);
                context.waker().wake_by_ref();
            }
        }
        Ok(Written::Everything)
    }
}

impl StreamEncoder for Mjpeg {
    fn content_type(&self) -> &'static str {
        "multipart/x-mixed-replace; boundary=frame"
    }

    fn opening(&self, _: &ChannelName) -> Bytes {
        Bytes::from_static(b"--frame\r\n")
    }

    fn next(&self) -> Option<Bytes> {
        // An event without a picture leaves the last one where it is.
        let frame = self.newest.take()?;
        let part = part(picture_of(&frame)?);
        *self.last.borrow_mut() = Some(part.clone());
        Some(part)
    }

    fn heartbeat(&self) -> Option<Bytes> {
        self.last.borrow().clone()
    }

    fn ending(&self, _: u16, _: &str) -> Option<Bytes> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::Data;
    use crate::protocol::server_message::channel_event;

    #[test]
    fn the_wanted_event_is_known_by_its_beginning() {
        let channel = ChannelName::parse("mirror", 164).unwrap();
        let frame = |event: &str| channel_event(event, &Data::of_text("x"), &channel, None);
        let mjpeg = Mjpeg::new("a \"frame\"");
        assert!(mjpeg.is_wanted(&frame("a \"frame\"")));
        assert!(!mjpeg.is_wanted(&frame("a")) && !mjpeg.is_wanted(&frame("a \"frame\" more")));
    }

    #[test]
    fn a_part_has_its_head_before_and_its_boundary_behind() {
        let part = part(Picture { media_type: "image/png".into(), content: b"xyz"[..].into() });
        assert_eq!(part, "Content-Type: image/png\r\nContent-Length: 3\r\n\r\nxyz\r\n--frame\r\n");
    }
}
