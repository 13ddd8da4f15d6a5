//! Sends a long list of channels: an answer that is made while it is sent, in pieces and in turns.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use serde_json::Value;

use crate::hub::come_again;
use crate::protocol::ChannelName;

/// Bytes of one piece, about.
const PIECE_BYTES: usize = 32 * 1024;

/// Channels that are looked up for one piece.
const NAMES_PER_PIECE: usize = 2048;

/// Pieces in one turn; then others on the worker have theirs.
const PIECES_PER_TURN: usize = 8;

/// The body of an answer that lists channels.
pub(super) struct ChannelList<F> {
    names: vec::IntoIter<ChannelName>,
    attributes: F,
    state: ListState,
    pieces: usize,
}

/// How much of a list has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListState {
    New,
    /// No channel has been listed.
    Begun,
    Open,
    Over,
}

impl<F: Fn(&ChannelName) -> Option<Value>> ChannelList<F> {
    /// A list of these, with what `attributes` says of each when its turn comes; left out are those of which it says
    /// nothing.
    pub(super) fn new(names: Vec<ChannelName>, attributes: F) -> Self {
        ChannelList { names: names.into_iter(), attributes, state: ListState::New, pieces: 0 }
    }

    /// The next piece; an empty one if none of the channels that were looked up are still there.
    fn piece(&mut self) -> Option<Bytes> {
        let mut text = String::with_capacity(PIECE_BYTES + 1024);
        match self.state {
            ListState::Over => return None,
            ListState::New => {
                text.push_str("{\"channels\":{");
                self.state = ListState::Begun;
            }
            ListState::Begun | ListState::Open => {}
        }
        for _ in 0..NAMES_PER_PIECE {
            let Some(name) = self.names.next() else {
                text.push_str("}}");
                self.state = ListState::Over;
                break;
            };
            let Some(attributes) = (self.attributes)(&name) else { continue };
            if self.state == ListState::Open {
                text.push(',');
            }
            self.state = ListState::Open;
            let name = Value::from(name.as_str());
            text.push_str(&format!("{name}:{attributes}"));
            if text.len() >= PIECE_BYTES {
                break;
            }
        }
        Some(text.into())
    }
}

impl<F: Fn(&ChannelName) -> Option<Value> + Unpin> MessageBody for ChannelList<F> {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = self.get_mut();
        while this.pieces < PIECES_PER_TURN {
            this.pieces += 1;
            let piece = this.piece();
            if piece.as_ref().is_none_or(|piece| !piece.is_empty()) {
                return Poll::Ready(piece.map(Ok));
            }
        }
        this.pieces = 0;
        come_again(context);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::ChannelName;

    /// As many as this have all gone before they are looked up.
    const GONE: usize = 9000;

    fn whole(count: usize) -> Value {
        let names = (0..count).map(|number| ChannelName::parse(&format!("room-{number}"), 164).unwrap());
        let attributes = |name: &ChannelName| {
            let number: usize = name.as_str()["room-".len()..].parse().unwrap();
            // Every third one has gone meanwhile, or all.
            (count != GONE && number % 3 != 2).then(|| json!({ "subscription_count": number }))
        };
        let mut list = ChannelList::new(names.collect(), attributes);
        let mut text = Vec::new();
        while let Some(piece) = list.piece() {
            assert!(piece.len() < PIECE_BYTES + 1024, "{} bytes in one piece", piece.len());
            text.extend_from_slice(&piece);
        }
        serde_json::from_slice(&text).expect("JSON")
    }

    #[test]
    fn the_pieces_are_one_object_of_all_channels() {
        for count in [0, 1, 3, 6000, GONE] {
            let list = whole(count);
            let channels = list["channels"].as_object().expect("an object");
            assert_eq!(channels.len(), if count == GONE { 0 } else { count - count / 3 });
            assert!(channels.iter().all(|(name, c)| *name == format!("room-{}", c["subscription_count"])));
        }
    }
}
