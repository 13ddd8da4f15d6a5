//! A list of channels as an answer that is made while it is sent, in pieces and in turns.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use serde_json::Value;

use crate::hub::ChannelSummary;

/// Bytes of one piece, about.
const PIECE_BYTES: usize = 32 * 1024;

/// Pieces in one turn; then others on the worker have theirs.
const PIECES_PER_TURN: usize = 8;

/// The body of the answer.
pub(super) struct LongList<F> {
    channels: vec::IntoIter<ChannelSummary>,
    attributes: F,
    state: State,
    pieces: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Open,
    Over,
}

impl<F: Fn(&ChannelSummary) -> Value> LongList<F> {
    /// A list of these, with what `attributes` says of each.
    pub(super) fn new(channels: Vec<ChannelSummary>, attributes: F) -> Self {
        LongList { channels: channels.into_iter(), attributes, state: State::New, pieces: 0 }
    }

    fn piece(&mut self) -> Option<Bytes> {
        let mut text = String::with_capacity(PIECE_BYTES + 1024);
        match self.state {
            State::Over => return None,
            State::New => text.push_str("{\"channels\":{"),
            State::Open => {}
        }
        while text.len() < PIECE_BYTES {
            let Some(channel) = self.channels.next() else {
                text.push_str("}}");
                self.state = State::Over;
                break;
            };
            if self.state == State::Open {
                text.push(',');
            }
            self.state = State::Open;
            let (name, attributes) = (Value::from(channel.name.as_str()), (self.attributes)(&channel));
            text.push_str(&format!("{name}:{attributes}"));
        }
        Some(text.into())
    }
}

impl<F: Fn(&ChannelSummary) -> Value + Unpin> MessageBody for LongList<F> {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = self.get_mut();
        if this.pieces == PIECES_PER_TURN {
            this.pieces = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.pieces += 1;
        Poll::Ready(this.piece().map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::ChannelName;

    fn whole(count: usize) -> Value {
        let channels = (0..count).map(|number| ChannelSummary {
            name: ChannelName::parse(&format!("room-{number}"), 164).unwrap(),
            subscription_count: number,
            user_count: 0,
        });
        let mut list =
            LongList::new(channels.collect(), |c| json!({ "subscription_count": c.subscription_count }));
        let mut text = Vec::new();
        while let Some(piece) = list.piece() {
            assert!(piece.len() < PIECE_BYTES + 1024, "{} bytes in one piece", piece.len());
            text.extend_from_slice(&piece);
        }
        serde_json::from_slice(&text).expect("JSON")
    }

    #[test]
    fn the_pieces_are_one_object_of_all_channels() {
        for count in [0, 1, 2, 5000] {
            let list = whole(count);
            let channels = list["channels"].as_object().expect("an object");
            assert_eq!(channels.len(), count);
            assert!(channels.iter().all(|(name, c)| *name == format!("room-{}", c["subscription_count"])));
        }
    }
}
