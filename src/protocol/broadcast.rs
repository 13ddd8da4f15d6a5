//! A message to many clients, in as many forms as they ask for, each made once.

use std::sync::{Arc, OnceLock};

use super::{ChannelName, Frame, TrackFrame, deflate, server_message};

/// A message to many clients. A client is given it in the best form that it takes; a form is made when the first client
/// needs it, and shared.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// The form in which it was made.
    first: Frame,
    /// What only some broadcasts have. Most have none of it, and cost no more for that.
    extras: Option<Arc<BroadcastExtras>>,
}

/// What only some broadcasts have: further forms, and marks.
#[derive(Debug, Default)]
struct BroadcastExtras {
    /// The first form is a binary message.
    binary: bool,
    /// The same as text, for those that do not take it so.
    text: OnceLock<Frame>,
    compression: bool,
    compressed: OnceLock<Frame>,
    special: Option<SpecialDelivery>,
    audience: Audience,
}

/// The form in which a client takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As text.
    Plain,
    /// As text, compressed where there is a compressed one.
    Compressed,
    /// As a binary message where it was made as one, else as text.
    Binary,
    /// As a binary message where it was made as one, else as text, compressed where there is a compressed one.
    BinaryOrCompressed,
    /// As text, as [`Frame::quoted`] makes it.
    Quoted,
    /// As text, and where it is known with its place in the channel's history, as [`Frame::positioned`] makes it.
    Positioned,
}

impl Form {
    /// The form of a client that takes these.
    pub fn of(compressed: bool, binary: bool) -> Self {
        match (compressed, binary) {
            (false, false) => Form::Plain,
            (true, false) => Form::Compressed,
            (false, true) => Form::Binary,
            (true, true) => Form::BinaryOrCompressed,
        }
    }

    /// Whether it takes compressed text.
    pub fn is_compressed(self) -> bool {
        matches!(self, Form::Compressed | Form::BinaryOrCompressed)
    }

    /// Whether each message is made anew for those that take it so, and no other form will do.
    pub fn is_of_its_own(self) -> bool {
        matches!(self, Form::Quoted | Form::Positioned)
    }

    /// Whether it takes binary messages.
    pub fn is_binary(self) -> bool {
        matches!(self, Form::Binary | Form::BinaryOrCompressed)
    }
}

/// What two latest-only events have in common of which a slow subscriber needs only the newer one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LatestKey {
    /// Their channel.
    pub channel: ChannelName,
    /// Their name.
    pub event: Box<str>,
}

/// A delivery that is not the ordinary one.
#[derive(Clone, Debug)]
pub enum SpecialDelivery {
    /// Slow subscribers need only the newest of its kind.
    Latest(Arc<LatestKey>),
    /// It goes to those who can decode it.
    Track(Arc<TrackFrame>),
}

/// Which of the subscribers are sent a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// All of them.
    #[default]
    All,
    /// It is not encrypted although its channel is: who would try to decrypt it is not sent it.
    InClear,
    /// It is a picture for those who take no tracks.
    Stills,
}

impl Broadcast {
    /// A message, made as text or as a binary one. Its text is compressed where `compression` allows it and it is
    /// worthwhile.
    pub fn new(first: Frame, compression: bool) -> Self {
        let binary = first.is_binary();
        let compression = compression && first.payload().len() >= deflate::WORTHWHILE_BYTES;
        let extras = (binary || compression)
            .then(|| Arc::new(BroadcastExtras { binary, compression, ..BroadcastExtras::default() }));
        Broadcast { first, extras }
    }

    /// The same message, of which slow subscribers need only the newest of its kind.
    #[must_use]
    pub fn latest_only(mut self, key: LatestKey) -> Self {
        // It is not shared yet.
        if let Some(extras) = Arc::get_mut(self.extras.get_or_insert_default()) {
            extras.special = Some(SpecialDelivery::Latest(Arc::new(key)));
        }
        self
    }

    /// The same message, which is not encrypted although its channel is.
    #[must_use]
    pub fn in_clear(mut self) -> Self {
        // It is not shared yet.
        if let Some(extras) = Arc::get_mut(self.extras.get_or_insert_default()) {
            extras.audience = Audience::InClear;
        }
        self
    }

    /// The same message, which is of a track.
    #[must_use]
    pub fn of_track(mut self, frame: Arc<TrackFrame>) -> Self {
        // It is not shared yet.
        if let Some(extras) = Arc::get_mut(self.extras.get_or_insert_default()) {
            extras.special = Some(SpecialDelivery::Track(frame));
        }
        self
    }

    /// The same message, a picture for those who take no tracks.
    #[must_use]
    pub fn for_stills(mut self) -> Self {
        // It is not shared yet.
        if let Some(extras) = Arc::get_mut(self.extras.get_or_insert_default()) {
            extras.audience = Audience::Stills;
        }
        self
    }

    /// Which of the subscribers are sent it.
    pub fn audience(&self) -> Audience {
        self.extras.as_ref().map_or(Audience::All, |extras| extras.audience)
    }

    /// The form in which it was made.
    pub fn first_form(&self) -> &Frame {
        &self.first
    }

    /// The message as plain text.
    pub fn plain(&self) -> &Frame {
        match &self.extras {
            Some(extras) => extras.text(&self.first),
            None => &self.first,
        }
    }

    /// The frame for everybody, if there is but one form of it and it is like any other.
    pub fn only_form(&self) -> Option<&Frame> {
        self.extras.is_none().then_some(&self.first)
    }

    /// Bytes that it holds at least while it is on its way.
    pub fn bytes(&self) -> usize {
        self.first.websocket().len()
    }

    /// What it has in common with the messages that may replace it before slow subscribers.
    pub fn latest(&self) -> Option<&Arc<LatestKey>> {
        match self.special() {
            Some(SpecialDelivery::Latest(key)) => Some(key),
            _ => None,
        }
    }

    /// Whether it is a message of a track.
    pub fn is_of_track(&self) -> bool {
        matches!(self.special(), Some(SpecialDelivery::Track(_)))
    }

    /// How it is delivered, where that is not as usual.
    pub fn special(&self) -> Option<&SpecialDelivery> {
        self.extras.as_ref().and_then(|extras| extras.special.as_ref())
    }

    /// The frame for a client that takes this form: binary if it was made so and the client takes that; else text,
    /// compressed if the client takes that and it is shorter.
    pub fn for_client(&self, form: Form) -> Frame {
        match &self.extras {
            Some(extras) => extras.form(&self.first, form).clone(),
            None => self.first.clone(),
        }
    }
}

impl BroadcastExtras {
    fn form<'f>(&'f self, first: &'f Frame, form: Form) -> &'f Frame {
        if self.binary && form.is_binary() {
            return first;
        }
        if form.is_compressed() && self.compression {
            return self.compressed.get_or_init(|| self.text(first).compressed());
        }
        self.text(first)
    }

    fn text<'f>(&'f self, first: &'f Frame) -> &'f Frame {
        if self.binary { self.text.get_or_init(|| server_message::binary_as_text(first)) } else { first }
    }
}

#[cfg(test)]
mod tests {
    use super::super::BinaryPayload;
    use super::super::json::Data;
    use super::*;

    fn channel() -> ChannelName {
        ChannelName::parse("mirror", 164).unwrap()
    }

    #[test]
    fn ordinary_text_has_one_form() {
        let frame = server_message::channel_event("e", &Data::of_text("text"), &channel(), None);
        let broadcast = Broadcast::new(frame.clone(), true);
        assert!(broadcast.extras.is_none());
        assert_eq!(
            (broadcast.for_client(Form::BinaryOrCompressed), broadcast.plain()),
            (frame.clone(), &frame)
        );
    }

    #[test]
    fn each_form_is_made_once_and_given_to_those_that_take_it() {
        let text = "a".repeat(1000);
        let frame = server_message::channel_event("e", &Data::of_text(&text), &channel(), None);
        let broadcast = Broadcast::new(frame.clone(), true);
        let compressed = broadcast.for_client(Form::Compressed);
        assert!(compressed.websocket().len() < 200);
        let again = broadcast.clone().for_client(Form::BinaryOrCompressed);
        assert_eq!(again.websocket().as_ptr(), compressed.websocket().as_ptr(), "made once");
        assert_eq!(broadcast.for_client(Form::Plain), frame);
    }

    #[test]
    fn what_was_made_binary_is_text_for_those_that_do_not_take_it() {
        let payload = BinaryPayload::new("image/jpeg", "", &[0xff; 600]).unwrap();
        let frame = server_message::binary_event("frame", &payload, &channel(), None);
        let broadcast = Broadcast::new(frame.clone(), true);
        assert_eq!(broadcast.for_client(Form::BinaryOrCompressed), frame);
        let expected = server_message::channel_event("frame", &Data::of_binary(payload), &channel(), None);
        assert_eq!((broadcast.for_client(Form::Plain), broadcast.plain()), (expected.clone(), &expected));
        assert!(
            broadcast.for_client(Form::Compressed).websocket().len() < 300,
            "base64 of one byte repeated"
        );
    }
}
