//! The joins of a connection that have been asked for and not been answered, and what the client has sent to their
//! channels meanwhile.

use std::sync::Arc;
use std::time::Instant;

use crate::protocol::ChannelName;

use super::by_channel::ByChannel;

/// Messages that are held for all pending joins of one connection.
pub(super) const MAX_HELD_MESSAGES: usize = 32;

/// Bytes that these messages may have together. A single message is held whatever its size.
pub(super) const MAX_HELD_BYTES: usize = 256 * 1024;

/// The number of a join of one connection. It tells the answer to a join from that to one of the same channel which was
/// cancelled before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinNumber(u32);

impl JoinNumber {
    /// The one that comes next.
    pub(crate) fn next(self) -> Self {
        JoinNumber(self.0.wrapping_add(1))
    }
}

/// A message to a channel whose join is pending. It is received when the join is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldMessage {
    /// What came.
    pub message: ReceivedMessage,
    /// When.
    pub received: Instant,
}

impl HeldMessage {
    pub(super) fn text(text: &str, received: Instant) -> Self {
        HeldMessage { message: ReceivedMessage::Text(text.into()), received }
    }

    pub(super) fn binary(bytes: &[u8], received: Instant) -> Self {
        HeldMessage { message: ReceivedMessage::Binary(bytes.into()), received }
    }
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceivedMessage {
    Text(Box<str>),
    /// Bytes.
    Binary(Box<[u8]>),
}

impl ReceivedMessage {
    fn bytes(&self) -> usize {
        match self {
            ReceivedMessage::Text(text) => text.len(),
            ReceivedMessage::Binary(bytes) => bytes.len(),
        }
    }
}

/// No more messages are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The pending joins of one connection.
#[derive(Debug, Default)]
pub(super) struct PendingJoins {
    joins: ByChannel<PendingJoin>,
    held_messages: usize,
    held_bytes: usize,
}

/// One of them.
#[derive(Debug)]
pub(super) struct PendingJoin {
    pub(super) number: JoinNumber,
    /// Who joins, on presence channels.
    pub(super) user_id: Option<Arc<str>>,
    held: Vec<HeldMessage>,
}

impl PendingJoins {
    pub(super) fn len(&self) -> usize {
        self.joins.len()
    }

    pub(super) fn contains(&self, channel: &str) -> bool {
        self.joins.get(channel).is_some()
    }

    /// Adds a join; there must be none of this channel.
    pub(super) fn insert(&mut self, channel: ChannelName, number: JoinNumber, user_id: Option<Arc<str>>) {
        self.joins.insert(channel, PendingJoin { number, user_id, held: Vec::new() });
    }

    /// Holds a message to a channel whose join is pending. What is sent to any other is dropped.
    pub(super) fn hold(&mut self, channel: &str, held: HeldMessage) -> Result<(), Full> {
        let Some(join) = self.joins.get_mut(channel) else { return Ok(()) };
        let bytes = self.held_bytes + held.message.bytes();
        let has_room = self.held_messages < MAX_HELD_MESSAGES && bytes <= MAX_HELD_BYTES;
        if self.held_messages > 0 && !has_room {
            return Err(Full);
        }
        self.held_messages += 1;
        self.held_bytes = bytes;
        join.held.push(held);
        Ok(())
    }

    /// Removes the join of this number; `None` if it was cancelled.
    pub(super) fn answered(
        &mut self,
        channel: &str,
        number: JoinNumber,
    ) -> Option<(ChannelName, Option<Arc<str>>, Vec<HeldMessage>)> {
        let (_, join) = self.joins.get(channel)?;
        if join.number != number {
            return None;
        }
        self.remove(channel).map(|(channel, join)| (channel, join.user_id, join.held))
    }

    /// Removes a join, whatever its number, and drops what was held for it.
    pub(super) fn cancel(&mut self, channel: &str) -> Option<ChannelName> {
        self.remove(channel).map(|(channel, _)| channel)
    }

    pub(super) fn take_channels(&mut self) -> Vec<ChannelName> {
        std::mem::take(self).joins.take_channels()
    }

    fn remove(&mut self, channel: &str) -> Option<(ChannelName, PendingJoin)> {
        let (channel, join) = self.joins.remove(channel)?;
        self.held_messages -= join.held.len();
        self.held_bytes -= join.held.iter().map(|held| held.message.bytes()).sum::<usize>();
        Some((channel, join))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(bytes: usize) -> HeldMessage {
        HeldMessage::binary(&vec![0; bytes], Instant::now())
    }

    fn pending(names: &[&str]) -> PendingJoins {
        let mut pending = PendingJoins::default();
        for name in names {
            let channel = ChannelName::parse(name, 164).unwrap();
            pending.insert(channel, JoinNumber::default(), None);
        }
        pending
    }

    #[test]
    fn the_messages_of_all_joins_share_one_bound() {
        let mut pending = pending(&["a", "b"]);
        for n in 0..MAX_HELD_MESSAGES {
            assert_eq!(pending.hold(["a", "b"][n % 2], held(1)), Ok(()), "{n}");
        }
        assert_eq!(pending.hold("a", held(1)), Err(Full));
        pending.cancel("a").unwrap();
        assert_eq!(pending.hold("b", held(1)), Ok(()), "what was held for the other is dropped");
        let (_, _, messages) = pending.answered("b", JoinNumber::default()).unwrap();
        assert_eq!(messages.len(), MAX_HELD_MESSAGES / 2 + 1);
    }

    #[test]
    fn one_message_is_held_whatever_its_size() {
        let mut pending = pending(&["a"]);
        assert_eq!(pending.hold("a", held(MAX_HELD_BYTES + 1)), Ok(()));
        assert_eq!(pending.hold("a", held(1)), Err(Full));
        pending.cancel("a").unwrap();
        pending.insert(ChannelName::parse("a", 164).unwrap(), JoinNumber::default(), None);
        assert_eq!(pending.hold("a", held(MAX_HELD_BYTES)), Ok(()));
        assert_eq!(pending.hold("a", held(1)), Err(Full));
    }

    #[test]
    fn an_answer_finds_the_join_of_its_number_alone() {
        let mut pending = pending(&["a"]);
        assert!(pending.answered("a", JoinNumber::default().next()).is_none());
        assert!(pending.answered("b", JoinNumber::default()).is_none());
        assert!(pending.answered("a", JoinNumber::default()).is_some());
        assert_eq!(pending.len(), 0);
    }
}
