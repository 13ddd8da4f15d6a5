//! One pipe client as the hub's listener and the client's own task share it: what it wants to hear, what waits to be sent
//! to it, and whether it is to be ended.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::event::{ConsumerGroup, GroupBy, NotificationFilter, NotificationKind};
use crate::protocol::{CloseCode, SocketId};

use super::outgoing_queue::{NextMessage, OutgoingBounds, OutgoingQueue};
use super::{Dialect, message};

/// The longest message that the original client takes, in bytes: the default of its WebSocket library.
const ORIGINAL_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// A backend that is connected to the pipe.
#[derive(Debug)]
pub(crate) struct PipeClient {
    pub(crate) socket_id: SocketId,
    pub(crate) dialect: Dialect,
    /// The signature that let it in.
    pub(crate) signature: String,
    filters: RwLock<[Option<Arc<NotificationFilter>>; NotificationKind::ALL.len()]>,
    pub(super) outgoing: Mutex<OutgoingQueue>,
    /// Something waits to be written.
    pub(crate) output_queued: Notify,
    /// Something was written.
    pub(crate) output_written: Notify,
    ending: Mutex<Option<CloseCode>>,
    ended: Notify,
}

impl PipeClient {
    /// A client that has just been let in.
    pub(crate) fn new(
        socket_id: SocketId,
        dialect: Dialect,
        signature: &str,
        bounds: OutgoingBounds,
    ) -> Self {
        PipeClient {
            socket_id,
            dialect,
            signature: signature.to_owned(),
            filters: RwLock::default(),
            outgoing: Mutex::new(OutgoingQueue::new(bounds)),
            output_queued: Notify::new(),
            output_written: Notify::new(),
            ending: Mutex::new(None),
            ended: Notify::new(),
        }
    }

    /// Queues what must not be lost.
    pub(crate) fn answer(&self, text: Bytes) {
        self.outgoing.lock().answer(text);
        self.output_queued.notify_one();
    }

    /// Queues a notification, or counts it as missed; `true` if that is the first of a gap.
    pub(super) fn notify(&self, kind: NotificationKind, text: Bytes) -> bool {
        let fits = self.dialect.is_modern() || text.len() <= ORIGINAL_MESSAGE_BYTES;
        let mut outgoing = self.outgoing.lock();
        if fits { outgoing.notify(kind, text) } else { outgoing.miss() }
    }

    /// Whether so many answers wait that the next request should; [`PipeClient::output_written`] tells of change.
    pub(crate) fn has_too_many_answers(&self) -> bool {
        self.outgoing.lock().has_too_many_answers()
    }

    /// What is to be written next: texts of together about `bytes`.
    pub(crate) fn take(&self, bytes: usize) -> Vec<Bytes> {
        let mut outgoing = self.outgoing.lock();
        let mut taken = Vec::new();
        let mut total = 0;
        while total < bytes
            && let Some(next) = outgoing.next()
        {
            let text = match next {
                NextMessage::Text(text) => text,
                NextMessage::Missed(count) => message::missed(self.dialect, count),
            };
            total += text.len();
            taken.push(text);
        }
        taken
    }

    /// The client may be sent so many notifications more; `None`: any number. Returns how many now.
    pub(crate) fn grant(&self, more: Option<u64>) -> Option<u64> {
        let granted = self.outgoing.lock().grant(more);
        self.output_queued.notify_one();
        granted
    }

    /// Asks the client's task to end it with this code.
    pub(crate) fn end(&self, code: CloseCode) {
        self.ending.lock().get_or_insert(code);
        self.ended.notify_one();
    }

    /// Waits until it is to be ended; tells the code.
    pub(crate) async fn ended(&self) -> CloseCode {
        loop {
            let code = *self.ending.lock();
            match code {
                Some(code) => return code,
                None => self.ended.notified().await,
            }
        }
    }

    /// What it wants of a kind; `None`: nothing.
    pub(super) fn filter(&self, kind: NotificationKind) -> Option<Arc<NotificationFilter>> {
        self.filters.read()[kind as usize].clone()
    }

    /// Replaces what it wants of these kinds (bits).
    pub(super) fn set_filter(&self, kinds: u8, filter: Option<&Arc<NotificationFilter>>) {
        let mut filters = self.filters.write();
        for kind in NotificationKind::ALL.into_iter().filter(|kind| kind.bit() & kinds != 0) {
            filters[kind as usize] = filter.cloned();
        }
    }

    /// The kinds of which it wants anything, as bits.
    pub(super) fn wanted_kinds(&self) -> u8 {
        let filters = self.filters.read();
        NotificationKind::ALL
            .into_iter()
            .filter(|kind| filters[*kind as usize].is_some())
            .fold(0, |bits, kind| bits | kind.bit())
    }

    /// What it shares the group by, if that is another key. A client is not held to what it wanted itself before.
    pub(super) fn group_conflict(&self, newcomer: &PipeClient, group: &ConsumerGroup) -> Option<GroupBy> {
        if self.socket_id == newcomer.socket_id {
            return None;
        }
        let filters = self.filters.read();
        let mut groups = filters.iter().flatten().filter_map(|filter| filter.group.as_ref());
        groups.find(|other| other.name == group.name && other.by != group.by).map(|other| other.by)
    }
}
