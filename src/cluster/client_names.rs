//! What the engine keeps of the names of clients, so that a client may come back to another node: a note for each, which the node
//! that has the name writes, and which whoever takes the name reads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::channel::NodeId;
use crate::hub::{AppState, BusAway, Hub, NameWord, NoteAnswer, NoteChange, unix_ms};
use crate::protocol::SocketId;
use crate::recovery::{HELD_LONGER, NameNote, NoteNumber, TakenName, TakenNote, UnreadableNote};

use super::adapter::{Adapter, NoteName, OtherNote, Subject};
use super::envelope::Content;
use super::node::ClusterNode;
use super::status::WordKind;

/// Notes that are written each second at most, and their bytes. The others wait.
const NOTES_PER_SECOND: usize = 2000;
const NOTE_BYTES_PER_SECOND: usize = 4 * 1024 * 1024;

/// Notes that are written side by side, and how long the engine may take for them.
const WRITTEN_AT_ONCE: usize = 64;
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// How often what has changed is written.
const WRITTEN_EVERY: Duration = Duration::from_secs(1);

/// How often a note is taken that another node writes in the same moment.
const MOST_TRIES: usize = 8;

/// How long the last notes may take of a node that ends.
const LAST_NOTES_WITHIN: Duration = Duration::from_secs(5);

impl<A: Adapter> ClusterNode<A> {
    /// Whether names are known to all nodes. Each of two knows its own, and hands them over otherwise.
    pub(super) fn has_notes(&self) -> bool {
        !self.standing.is_of_two()
    }

    /// Takes a name, and tells when it has.
    pub(super) fn take_name_later(
        &self,
        app: &AppState,
        number: NoteNumber,
        socket: SocketId,
    ) -> oneshot::Receiver<TakenName> {
        let (tell, told) = oneshot::channel();
        if let Some(this) = self.this.upgrade().filter(|_| self.has_notes()) {
            let app = Arc::clone(app.shared_id());
            self.runtime.spawn(async move {
                if let Some(taken) = this.take_note(&app, number, socket).await {
                    // Whoever waits does so for longer than this takes.
                    let _ = tell.send(taken);
                }
            });
        }
        told
    }

    /// Writes a note in place of the one that is there, whosever that is, and says what that one told. Nothing if the engine does
    /// not answer.
    async fn take_note(&self, app: &Arc<str>, number: NoteNumber, socket: SocketId) -> Option<TakenName> {
        let kept_for = self.hub.upgrade()?.recovery().retention + HELD_LONGER;
        let name = NoteName { app: Arc::clone(app), number: number.0 };
        let mut found: Option<Bytes> = None;
        for _ in 0..MOST_TRIES {
            let before = match found.as_ref().map(|found| NameNote::decode(found)) {
                Some(Err(UnreadableNote::Version(version))) => {
                    tracing::warn!(
                        version,
                        "a client's name was told by a node of a later release: it is served without recovery"
                    );
                    return Some(TakenName::Foreign);
                }
                Some(Ok(note)) => Some(note),
                Some(Err(UnreadableNote::Malformed)) | None => None,
            };
            let note = NameNote::taken_by((self.me, socket), before.as_ref(), unix_ms());
            let (bytes, turn, taken_ms) = (note.encode(), note.turn, note.taken_ms);
            let written = self.adapter.write_note(&name, found, Some((bytes.clone(), kept_for)));
            match timeout(WRITTEN_WITHIN, written).await {
                Ok(Ok(Ok(()))) => {
                    if let Some(before) = before.as_ref().filter(|before| before.node != self.me) {
                        self.say_of_name(number, before.node, NameWord::Taken { turn });
                    }
                    if note.shared_until_ms.is_some() {
                        return Some(TakenName::Shared);
                    }
                    let note = TakenNote { node: self.me, turn, taken_ms, bytes };
                    return Some(TakenName::Taken {
                        note,
                        before: self.still_good(app, before).await.map(Box::new),
                    });
                }
                Ok(Ok(Err(OtherNote(other)))) => found = other,
                Ok(Err(_)) | Err(_) => return None,
            }
        }
        None
    }

    /// The same, without what is told of one who was terminated since.
    async fn still_good(&self, app: &Arc<str>, before: Option<NameNote>) -> Option<NameNote> {
        let mut before = before?;
        let Some(user) = before.user.clone().filter(|_| !before.cursors.is_empty()) else {
            return Some(before);
        };
        let name = NoteName { app: Arc::clone(app), number: NoteNumber::of_user(app, &user).0 };
        // Nobody writes such a note: it is read, and stays.
        let read = self.adapter.write_note(&name, Some(Bytes::from_static(b"?")), None);
        match timeout(WRITTEN_WITHIN, read).await {
            Ok(Ok(Err(OtherNote(None)))) => {}
            Ok(Ok(Err(OtherNote(Some(at))))) => {
                let at = <[u8; 8]>::try_from(&at[..]).map_or(u64::MAX, u64::from_be_bytes);
                before.terminated(at);
            }
            Ok(Ok(Ok(())) | Err(_)) | Err(_) => before.terminated(u64::MAX),
        }
        Some(before)
    }

    /// A user is terminated: what notes tell of him is not to count any more, whosever they are.
    pub(super) fn note_termination(&self, app: &AppState, user: &str) {
        if !self.has_notes() || !app.app().keeps_history() {
            return;
        }
        let Some((this, hub)) = self.this.upgrade().zip(self.hub.upgrade()) else { return };
        let (app, kept_for) = (Arc::clone(app.shared_id()), hub.recovery().retention + 2 * HELD_LONGER);
        let name = NoteName { number: NoteNumber::of_user(&app, user).0, app };
        self.runtime.spawn(async move {
            let mut found = None;
            for _ in 0..MOST_TRIES {
                let note = Bytes::copy_from_slice(&unix_ms().to_be_bytes());
                match this.adapter.write_note(&name, found, Some((note, kept_for))).await {
                    Ok(Err(OtherNote(other))) => found = other,
                    Ok(Ok(())) | Err(_) => return,
                }
            }
        });
    }

    /// Tells another node of a name.
    pub(super) fn say_of_name(&self, number: NoteNumber, node: NodeId, word: NameWord) {
        let is_there = self.peers.lock().iter().any(|(peer, _)| peer == node);
        if is_there {
            let content = Content::ClientName { number, word };
            self.say(&Subject::Node(node), WordKind::Direct, content, None);
        }
    }

    /// Writes what changes of this node's names until it is dropped.
    pub(super) async fn tell_names(self: Arc<Self>) {
        let mut ticks = interval(WRITTEN_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut room = (0, 0);
        loop {
            let Some(hub) = self.hub.upgrade() else { return };
            let all = tokio::select! {
                _ = ticks.tick() => true,
                () = hub.until_names_are_urgent() => false,
            };
            if all {
                room = (NOTES_PER_SECOND, NOTE_BYTES_PER_SECOND);
            }
            // What is not written now is written when the engine is there again.
            if self.has_notes() && !self.is_away() {
                self.write_names(&hub, all, &mut room).await;
            }
        }
    }

    /// Writes what there is to write, as far as there is room for it.
    async fn write_names(&self, hub: &Hub, all: bool, (notes, bytes): &mut (usize, usize)) {
        while *notes > 0 && *bytes > 0 && !self.is_away() {
            let changes = hub.changed_names(all, (WRITTEN_AT_ONCE.min(*notes), *bytes));
            if changes.is_empty() {
                return;
            }
            let length: usize =
                changes.iter().filter_map(|change| change.note.as_ref()).map(|(note, _)| note.len()).sum();
            (*notes, *bytes) = (*notes - changes.len(), bytes.saturating_sub(length));
            let answers = join_all(changes.iter().map(|change| self.write_name(change))).await;
            for (change, answer) in changes.into_iter().zip(answers) {
                hub.name_noted(change, answer);
            }
        }
    }

    async fn write_name(&self, change: &NoteChange) -> NoteAnswer {
        let NoteChange { app, number, expected, note } = change;
        let name = NoteName { app: Arc::clone(app), number: number.0 };
        let written = self.adapter.write_note(&name, expected.clone(), note.clone());
        match timeout(WRITTEN_WITHIN, written).await {
            Ok(Ok(Ok(()))) => Ok(Ok(())),
            Ok(Ok(Err(OtherNote(found)))) => Ok(Err(found)),
            Ok(Err(_)) | Err(_) => Err(BusAway),
        }
    }

    /// This node ends, and has no connections any more: all that is known of its clients is written, as far as there is time.
    pub(super) async fn tell_last_names(&self) {
        let Some(hub) = self.hub.upgrade().filter(|_| self.has_notes() && !self.is_away()) else { return };
        let mut room = (usize::MAX, usize::MAX);
        if timeout(LAST_NOTES_WITHIN, self.write_names(&hub, true, &mut room)).await.is_err() {
            let waiting = hub.name_figures().notes.waiting;
            tracing::warn!(
                waiting,
                "not all was written in time of what clients have received: some will be sent more twice"
            );
        }
    }
}
