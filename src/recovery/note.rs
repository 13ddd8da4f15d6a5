//! What the nodes of a cluster tell each other of one name, as bytes that the engine keeps: who has it, whom its client was
//! signed in as, and up to where it has received each of its channels.
//!
//! A note begins with the version of its format. Whatever a later release adds stands at the end, and is passed over; one of a
//! version that this release does not know is left as it is. Numbers and lengths take seven bits to a byte, the lowest first.
//! The bytes may be anything: others may write there, too. Reading them takes no memory beyond a small multiple of their length.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::channel::{HistoryPosition, NodeId};
use crate::protocol::{ChannelName, SocketId};

use super::name::ClientName;

/// The version of the format.
const FORMAT: u8 = 1;

/// Channels of one name that have a cursor. Those that it subscribes to beyond are served without recovery.
pub(super) const MOST_CURSORS: usize = 1000;

/// Connections of a name that are remembered: what one of them sent, or was excluded from, is not sent to it again.
pub(super) const MOST_SOCKETS: usize = 16;

/// How long nobody must come with a name that is shared until it is one client's again.
pub(super) const SHARED_FOR: Duration = Duration::from_secs(60);

/// How much longer than the retention the note of a name is kept that is held: it is written anew each minute.
pub(crate) const HELD_LONGER: Duration = Duration::from_secs(90);

/// How far the clocks of two nodes may be apart where a termination is compared with a note.
const CLOCKS_APART: Duration = Duration::from_secs(10);

/// Bytes of a note, at most. Cursors that have no room in it stay on their node.
const MOST_NOTE_BYTES: usize = 64 * 1024;

/// Takeovers that a note tells of, at most: one fewer than make a name shared.
const MOST_TAKEOVERS: usize = 8;

/// What the note of a name is found by. It does not say the name, by which somebody could come as its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NoteNumber(pub(crate) [u8; 16]);

/// What is told of one name. Times are milliseconds since 1970, by the clock of whoever wrote it: they are compared with a
/// minute and more, and order nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameNote {
    /// The node that has the name, and alone writes the note until another one takes it.
    pub(crate) node: NodeId,
    /// How often the name has been taken.
    pub(crate) turn: u64,
    /// Whether a connection holds it, as far as its node knows.
    pub(crate) is_held: bool,
    /// When it was taken, and when this was written.
    pub(crate) taken_ms: u64,
    pub(crate) written_ms: u64,
    /// Whom the client was signed in as last.
    pub(crate) user: Option<Arc<str>>,
    /// When it was taken over of late from somebody who was there.
    pub(crate) takeovers_ms: Vec<u64>,
    /// Until when several clients have it, and therefore none.
    pub(crate) shared_until_ms: Option<u64>,
    /// The client's connections of late.
    pub(crate) sockets: Vec<SocketId>,
    /// The engine's, that gave the numbers of the cursors.
    pub(crate) epoch: u64,
    pub(crate) cursors: Vec<NotedCursor>,
}

/// Up to where a client has received a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotedCursor {
    pub(crate) channel: ChannelName,
    /// The number of an event, or between those of two. The epoch is the note's.
    pub(crate) number: u64,
    /// As whom it was a member of the channel.
    pub(crate) member: Option<Arc<str>>,
    /// When it left the channel's node; none if it was subscribed when this was written.
    pub(crate) left_ms: Option<u64>,
}

/// Bytes that are no note to this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnreadableNote {
    /// Another release has written it, which goes on to read it: it is left as it is.
    #[error("the note has version {0} of the format, this node reads {FORMAT}")]
    Version(u8),
    /// No note at all.
    #[error("it is no note of a name")]
    Malformed,
}

impl NoteNumber {
    /// That of a name with one key of one app.
    pub(crate) fn of_name(app: &str, key: &str, name: &ClientName) -> Self {
        NoteNumber::of("name", &[app, key, name.as_str()])
    }

    /// That of what is known of an app's user: when he was terminated.
    pub(crate) fn of_user(app: &str, user: &str) -> Self {
        NoteNumber::of("terminated", &[app, user])
    }

    fn of(what: &str, parts: &[&str]) -> Self {
        let mut hash = Sha256::new_with_prefix(what);
        for part in parts {
            // No two lists of parts are the same bytes.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut number = [0; 16];
        number.copy_from_slice(&hash.finalize()[..16]);
        NoteNumber(number)
    }
}

impl NameNote {
    /// The place of one of its cursors.
    pub(crate) fn place(&self, cursor: &NotedCursor) -> HistoryPosition {
        HistoryPosition { epoch: self.epoch, number: cursor.number }
    }

    /// What a node writes that takes a name at this time: all that was told before, as its own. Where several clients have the name,
    /// nobody takes it, and for longer.
    pub(crate) fn taken_by(
        (node, socket): (NodeId, SocketId),
        before: Option<&NameNote>,
        now_ms: u64,
    ) -> NameNote {
        let minute = SHARED_FOR.as_millis() as u64;
        let is_shared = before
            .and_then(|before| before.shared_until_ms)
            .is_some_and(|until| (now_ms + 1..=now_ms + 2 * minute).contains(&until));
        let mut note = before.cloned().unwrap_or_else(|| NameNote::nothing(node));
        (note.node, note.turn) = (node, note.turn.saturating_add(1));
        (note.taken_ms, note.written_ms) = (now_ms, now_ms);
        note.is_held = !is_shared;
        note.sockets.truncate(MOST_SOCKETS);
        if note.sockets.len() == MOST_SOCKETS {
            note.sockets.remove(0);
        }
        note.sockets.push(socket);
        note.shared_until_ms = is_shared.then_some(now_ms + minute);
        if is_shared {
            note.cursors.clear();
            note.takeovers_ms.clear();
        }
        note
    }

    /// What a node tells of a name that it knows nothing of.
    pub(super) fn nothing(node: NodeId) -> NameNote {
        NameNote {
            node,
            turn: 0,
            is_held: false,
            taken_ms: 0,
            written_ms: 0,
            user: None,
            takeovers_ms: Vec::new(),
            shared_until_ms: None,
            sockets: Vec::new(),
            epoch: 0,
            cursors: Vec::new(),
        }
    }

    /// Its user was terminated then: if that may have been later than this was written, nothing of it counts any more.
    pub(crate) fn terminated(&mut self, at_ms: u64) {
        if self.written_ms <= at_ms.saturating_add(CLOCKS_APART.as_millis() as u64) {
            self.cursors.clear();
        }
    }

    /// It as bytes, with as many cursors as have room.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&self.node.bits().to_be_bytes());
        put(&mut out, self.turn);
        out.push(self.is_held.into());
        put(&mut out, self.taken_ms);
        put(&mut out, self.written_ms);
        put_optional(&mut out, self.user.as_deref());
        put(&mut out, self.takeovers_ms.len() as u64);
        self.takeovers_ms.iter().for_each(|takeover| put(&mut out, *takeover));
        put(&mut out, self.shared_until_ms.unwrap_or(0));
        put(&mut out, self.sockets.len() as u64);
        for socket in &self.sockets {
            let (first, second) = socket.numbers();
            put(&mut out, first.into());
            put(&mut out, second.into());
        }
        put(&mut out, self.epoch);
        let mut cursors = Vec::new();
        let mut count = 0_u64;
        for cursor in &self.cursors {
            let before = cursors.len();
            cursor.put(&mut cursors);
            // Besides how many there are.
            if out.len() + cursors.len() + 2 > MOST_NOTE_BYTES {
                cursors.truncate(before);
                break;
            }
            count += 1;
        }
        put(&mut out, count);
        out.extend_from_slice(&cursors);
        out.into()
    }

    /// Reads it.
    ///
    /// # Errors
    /// If it says nothing to this release.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, UnreadableNote> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) if bytes.len() <= MOST_NOTE_BYTES => {
                NoteReader(rest).note().ok_or(UnreadableNote::Malformed)
            }
            // Nothing begins so that a release has written.
            Some((&0 | &FORMAT, _)) | None => Err(UnreadableNote::Malformed),
            Some((&version, _)) => Err(UnreadableNote::Version(version)),
        }
    }
}

impl NotedCursor {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(out, self.channel.as_str());
        put(out, self.number);
        put_optional(out, self.member.as_deref());
        put(out, self.left_ms.unwrap_or(0));
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// None is told from a text by a length that is one larger than that of the text.
fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => put(out, 0),
        Some(text) => {
            put(out, text.len() as u64 + 1);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// What is left to be read.
struct NoteReader<'b>(&'b [u8]);

impl<'b> NoteReader<'b> {
    fn note(&mut self) -> Option<NameNote> {
        let node = NodeId::new(u128::from_be_bytes(self.slice(16)?.try_into().ok()?));
        let (turn, is_held) = (self.number()?, self.slice(1)? != [0]);
        let (taken_ms, written_ms) = (self.number()?, self.number()?);
        let user = self.optional()?.map(Arc::from);
        let takeovers = self.count(MOST_TAKEOVERS)?;
        let takeovers_ms = (0..takeovers).map(|_| self.number()).collect::<Option<_>>()?;
        let shared_until_ms = self.number().map(some_time)?;
        let sockets = self.count(MOST_SOCKETS)?;
        let sockets = (0..sockets).map(|_| self.socket()).collect::<Option<_>>()?;
        let (epoch, cursors) = (self.number()?, self.count(MOST_CURSORS)?);
        // It takes memory only as it is read.
        let cursors = (0..cursors).map(|_| self.cursor()).collect::<Option<_>>()?;
        Some(NameNote {
            node,
            turn,
            is_held,
            taken_ms,
            written_ms,
            user,
            takeovers_ms,
            shared_until_ms,
            sockets,
            epoch,
            cursors,
        })
    }

    fn cursor(&mut self) -> Option<NotedCursor> {
        // How long a name may be was judged by the node that has written it.
        let channel = ChannelName::parse(self.text()?, usize::MAX).ok()?;
        let number = self.number()?;
        let member = self.optional()?.map(Arc::from);
        Some(NotedCursor { channel, number, member, left_ms: self.number().map(some_time)? })
    }

    fn socket(&mut self) -> Option<SocketId> {
        let first = self.number()?.try_into().ok()?;
        Some(SocketId::new(first, self.number()?.try_into().ok()?))
    }

    fn count(&mut self, most: usize) -> Option<usize> {
        self.number()?.try_into().ok().filter(|count| *count <= most)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.slice(1)?[0];
            let low = u64::from(byte & 0x7f);
            let bits = low << shift;
            if bits >> shift != low {
                return None;
            }
            number |= bits;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'b str> {
        let length = self.number()?.try_into().ok()?;
        std::str::from_utf8(self.slice(length)?).ok()
    }

    fn optional(&mut self) -> Option<Option<&'b str>> {
        let Some(length) = self.number()?.checked_sub(1) else { return Some(None) };
        let text = self.slice(length.try_into().ok()?)?;
        std::str::from_utf8(text).ok().map(Some)
    }

    fn slice(&mut self, length: usize) -> Option<&'b [u8]> {
        let (slice, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(slice)
    }
}

fn some_time(ms: u64) -> Option<u64> {
    (ms > 0).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name, 164).unwrap()
    }

    fn note() -> NameNote {
        let cursor = |name: &str, member: Option<&str>, left_ms| NotedCursor {
            channel: channel(name),
            number: 1_700_000_000_000_000,
            member: member.map(Into::into),
            left_ms,
        };
        NameNote {
            node: NodeId::new(0xfeed),
            turn: 300,
            is_held: true,
            taken_ms: 1_700_000_000_000,
            written_ms: 1_700_000_000_500,
            user: Some("ann".into()),
            takeovers_ms: vec![1, u64::MAX],
            shared_until_ms: Some(9),
            sockets: vec![SocketId::new(1, 2), SocketId::new(u32::MAX, 0)],
            epoch: u64::MAX,
            cursors: vec![cursor("orders", None, None), cursor("presence-a", Some(""), Some(7))],
        }
    }

    #[test]
    fn what_is_written_is_read_again_also_with_what_a_later_release_adds() {
        let bare = NameNote {
            is_held: false,
            user: None,
            takeovers_ms: Vec::new(),
            shared_until_ms: None,
            sockets: Vec::new(),
            cursors: Vec::new(),
            ..note()
        };
        for note in [note(), bare] {
            let bytes = note.encode();
            assert_eq!(NameNote::decode(&bytes), Ok(note.clone()));
            assert_eq!(NameNote::decode(&[&bytes[..], b"more"].concat()), Ok(note));
        }
    }

    #[test]
    fn what_is_cut_off_or_too_much_is_no_note_and_one_of_another_version_is_left_to_its_release() {
        let bytes = note().encode();
        for end in 0..bytes.len() {
            assert_eq!(NameNote::decode(&bytes[..end]), Err(UnreadableNote::Malformed), "{end}");
        }
        let mut newer = bytes.to_vec();
        newer[0] = 2;
        assert_eq!(NameNote::decode(&newer), Err(UnreadableNote::Version(2)));
        let long = [&bytes[..], &vec![0; MOST_NOTE_BYTES]].concat();
        assert_eq!(NameNote::decode(&long), Err(UnreadableNote::Malformed));
        let many = NameNote { sockets: vec![SocketId::new(1, 1); MOST_SOCKETS + 1], ..note() };
        assert_eq!(NameNote::decode(&many.encode()), Err(UnreadableNote::Malformed));
    }

    #[test]
    fn as_many_cursors_are_told_as_have_room() {
        let long = "c".repeat(150);
        let cursor = |n: usize| NotedCursor {
            channel: channel(&format!("{long}-{n}")),
            number: n as u64,
            member: None,
            left_ms: None,
        };
        let full = NameNote { cursors: (0..MOST_CURSORS).map(cursor).collect(), ..note() };
        let bytes = full.encode();
        assert!(bytes.len() <= MOST_NOTE_BYTES && bytes.len() > MOST_NOTE_BYTES - 200, "{}", bytes.len());
        let read = NameNote::decode(&bytes).unwrap();
        assert!(!read.cursors.is_empty() && full.cursors.starts_with(&read.cursors));
    }

    #[test]
    fn a_number_is_that_of_one_name_and_does_not_say_it() {
        let name = |text: &str| ClientName::parse(text).unwrap();
        let one = name("a-name-of-22-letters-001");
        let number = NoteNumber::of_name("1", "k", &one);
        assert_eq!(number, NoteNumber::of_name("1", "k", &one));
        for other in [
            NoteNumber::of_name("2", "k", &one),
            NoteNumber::of_name("1", "l", &one),
            NoteNumber::of_name("1k", "", &one),
            NoteNumber::of_name("1", "k", &name("a-name-of-22-letters-002")),
            NoteNumber::of_user("1", "k"),
        ] {
            assert_ne!(number, other);
        }
    }
}
