//! The pipe clients of one app: who wants to hear what, and what waits for each.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::Notify;
use tracing::warn;

use crate::hub::{AppState, Heard, Hub, Listener, Notice, Source};
use crate::protocol::{ChannelName, CloseCode, SocketId};

use super::filter::{Filter, Group, GroupBy, calling};
use super::outgoing::{Bounds, Next, Outgoing};
use super::{Dialect, Kind, message};

/// The longest message that the original client takes, in bytes: the default of its WebSocket library.
const ORIGINAL_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// The clients of one app, as a listener of the hub.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: RwLock<Vec<Arc<Line>>>,
    /// What any of them wants to hear, as bits: where nobody does, a notice costs a look at this.
    wanted: AtomicU8,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) socket_id: SocketId,
    pub(crate) dialect: Dialect,
    /// The signature that let it in.
    pub(crate) signature: String,
    /// By kind.
    wants: RwLock<[Option<Arc<Filter>>; Kind::ALL.len()]>,
    outgoing: Mutex<Outgoing>,
    /// Something waits to be written.
    pub(crate) news: Notify,
    /// Something was written.
    pub(crate) relief: Notify,
    ending: Mutex<Option<CloseCode>>,
    ended: Notify,
}

/// A group is shared by another key already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupDisagrees {
    /// What it is shared by.
    pub(crate) by: GroupBy,
}

/// The connection and the channel that a notice is about.
#[derive(Clone, Copy, Default)]
struct About<'a> {
    socket_id: Option<SocketId>,
    channel: Option<&'a ChannelName>,
}

impl Line {
    /// A client that has just been let in.
    pub(crate) fn new(socket_id: SocketId, dialect: Dialect, signature: &str, bounds: Bounds) -> Self {
        Line {
            socket_id,
            dialect,
            signature: signature.to_owned(),
            wants: RwLock::default(),
            outgoing: Mutex::new(Outgoing::new(bounds)),
            news: Notify::new(),
            relief: Notify::new(),
            ending: Mutex::new(None),
            ended: Notify::new(),
        }
    }

    /// Queues what must not be lost.
    pub(crate) fn answer(&self, text: Bytes) {
        self.outgoing().answer(text);
        self.news.notify_one();
    }

    /// Queues a notification, or counts it as missed; `true` if that is the first of a gap.
    fn notify(&self, kind: Kind, text: Bytes) -> bool {
        let fits = self.dialect.is_modern() || text.len() <= ORIGINAL_MESSAGE_BYTES;
        let mut outgoing = self.outgoing();
        if fits { outgoing.notify(kind, text) } else { outgoing.miss() }
    }

    /// Whether so many answers wait that the next request should; [`Line::relief`] tells of change.
    pub(crate) fn is_stuffed(&self) -> bool {
        self.outgoing().is_stuffed()
    }

    /// What is to be written next: texts of together about `bytes`.
    pub(crate) fn take(&self, bytes: usize) -> Vec<Bytes> {
        let mut outgoing = self.outgoing();
        let mut taken = Vec::new();
        let mut total = 0;
        while total < bytes
            && let Some(next) = outgoing.next()
        {
            let text = match next {
                Next::Text(text) => text,
                Next::Missed(count) => message::missed(self.dialect, count),
            };
            total += text.len();
            taken.push(text);
        }
        taken
    }

    /// The client may be sent so many notifications more; `None`: any number. Returns how many now.
    pub(crate) fn grant(&self, more: Option<u64>) -> Option<u64> {
        let granted = self.outgoing().grant(more);
        self.news.notify_one();
        granted
    }

    /// Asks the client's task to end it with this code.
    pub(crate) fn end(&self, code: CloseCode) {
        lock(&self.ending).get_or_insert(code);
        self.ended.notify_one();
    }

    /// Waits until it is to be ended; tells the code.
    pub(crate) async fn ended(&self) -> CloseCode {
        loop {
            let code = *lock(&self.ending);
            match code {
                Some(code) => return code,
                None => self.ended.notified().await,
            }
        }
    }

    fn wants(&self, kind: Kind) -> Option<Arc<Filter>> {
        self.wants.read().unwrap_or_else(PoisonError::into_inner)[kind as usize].clone()
    }

    fn change_wants(&self, kinds: u8, filter: Option<&Arc<Filter>>) {
        let mut wants = self.wants.write().unwrap_or_else(PoisonError::into_inner);
        for kind in Kind::ALL.into_iter().filter(|kind| kind.bit() & kinds != 0) {
            wants[kind as usize] = filter.cloned();
        }
    }

    fn wanted_bits(&self) -> u8 {
        let wants = self.wants.read().unwrap_or_else(PoisonError::into_inner);
        Kind::ALL
            .into_iter()
            .filter(|kind| wants[*kind as usize].is_some())
            .fold(0, |bits, kind| bits | kind.bit())
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        lock(&self.outgoing)
    }
}

impl Lines {
    /// Adds a client; returns whether another one that is connected came with the same signature. `None`, and it is not
    /// added, if there are `most` already.
    pub(crate) fn add(&self, line: &Arc<Line>, most: usize) -> Option<bool> {
        let mut lines = self.write();
        if lines.len() >= most {
            return None;
        }
        let replayed = lines.iter().any(|other| other.signature == line.signature);
        lines.push(Arc::clone(line));
        Some(replayed)
    }

    /// Forgets a client.
    pub(crate) fn remove(&self, line: &Arc<Line>) {
        let mut lines = self.write();
        lines.retain(|other| !Arc::ptr_eq(other, line));
        self.recount(&lines);
    }

    /// Tells a client of these kinds (bits) from now on.
    ///
    /// # Errors
    /// If the group that it wants to share with is shared by another key.
    pub(crate) fn subscribe(&self, line: &Line, kinds: u8, filter: Filter) -> Result<(), GroupDisagrees> {
        // Under the write lock, so that two that disagree cannot both come first.
        let lines = self.write();
        if let Some(group) = &filter.group
            && let Some(by) = lines.iter().find_map(|other| other.disagrees(line, group))
        {
            return Err(GroupDisagrees { by });
        }
        line.change_wants(kinds, Some(&Arc::new(filter)));
        self.recount(&lines);
        Ok(())
    }

    /// Tells a client of these kinds (bits) no more, also of what waits already.
    pub(crate) fn unsubscribe(&self, line: &Line, kinds: u8) {
        let lines = self.write();
        line.change_wants(kinds, None);
        line.outgoing().forget(kinds);
        self.recount(&lines);
    }

    /// Ends every client with this code.
    pub(crate) fn end_all(&self, code: CloseCode) {
        self.read().iter().for_each(|line| line.end(code));
    }

    fn recount(&self, lines: &[Arc<Line>]) {
        let wanted = lines.iter().fold(0, |bits, line| bits | line.wanted_bits());
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    fn is_wanted(&self, kind: Kind) -> bool {
        self.wanted.load(Ordering::Relaxed) & kind.bit() != 0
    }

    /// Queues a notice for everyone who wants it; of each group for one.
    fn tell(&self, app: &AppState, kind: Kind, notice: &Notice<'_>, wants: impl Fn(&Filter) -> bool) {
        let texts = [OnceCell::new(), OnceCell::new()];
        let text = |line: &Line| {
            let modern = line.dialect.is_modern();
            texts[usize::from(modern)].get_or_init(|| message::of_notice(notice, modern, app.id())).clone()
        };
        let queue = |line: &Line| {
            let gap_begins = line.notify(kind, text(line));
            line.news.notify_one();
            if gap_begins {
                warn!(app = app.id(), socket_id = %line.socket_id, "a pipe client cannot keep up");
            }
        };
        let about = About::of(notice);
        let lines = self.read();
        // The best of each group so far; groups are few.
        let mut called: Vec<(Arc<str>, u64, &Line)> = Vec::new();
        for line in lines.iter() {
            let Some(filter) = line.wants(kind).filter(|filter| wants(filter)) else { continue };
            if matches!(notice, Notice::SignedIn { .. }) && !line.dialect.is_modern() {
                continue;
            }
            let Some(group) = &filter.group else {
                queue(line);
                continue;
            };
            let calling = calling(&about.key(group), &line.socket_id.to_string());
            match called.iter_mut().find(|(name, ..)| *name == group.name) {
                Some(best) if best.1 >= calling => {}
                Some(best) => (best.1, best.2) = (calling, line),
                None => called.push((Arc::clone(&group.name), calling, line)),
            }
        }
        called.iter().for_each(|(.., line)| queue(line));
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Line>>> {
        self.lines.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Arc<Line>>> {
        self.lines.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// What it shares the group by, if that is another key. A client is not held to what it wanted itself before.
    fn disagrees(&self, newcomer: &Line, group: &Group) -> Option<GroupBy> {
        if self.socket_id == newcomer.socket_id {
            return None;
        }
        let wants = self.wants.read().unwrap_or_else(PoisonError::into_inner);
        let mut groups = wants.iter().flatten().filter_map(|filter| filter.group.as_ref());
        groups.find(|other| other.name == group.name && other.by != group.by).map(|other| other.by)
    }
}

impl<'a> About<'a> {
    fn of(notice: &Notice<'a>) -> Self {
        let (socket_id, channel) = match notice {
            Notice::Event(Heard { source: Source::Client { socket_id, .. }, channel, .. }) => {
                (Some(*socket_id), *channel)
            }
            Notice::Event(Heard { source: Source::Http, channel, .. }) => (None, *channel),
            Notice::SocketOpened(socket_id)
            | Notice::SignedIn { socket_id, .. }
            | Notice::SocketClosed { socket_id, .. } => (Some(*socket_id), None),
            Notice::Subscribed { channel, socket_id, .. }
            | Notice::Unsubscribed { channel, socket_id, .. } => (Some(*socket_id), Some(*channel)),
            Notice::ChannelOccupied(channel, _)
            | Notice::ChannelVacated(channel, _)
            | Notice::CacheMiss(channel, _)
            | Notice::SubscriptionCount(channel, _, _)
            | Notice::MemberAdded(channel, _, _)
            | Notice::MemberRemoved(channel, _, _) => (None, Some(*channel)),
        };
        About { socket_id, channel }
    }

    /// What decides which member of a group is called.
    fn key(&self, group: &Group) -> String {
        let socket = self.socket_id.map(|id| id.to_string());
        let channel = self.channel.map(ToString::to_string);
        let (first, second) = match group.by {
            GroupBy::Socket => (socket, channel),
            GroupBy::Channel => (channel, socket),
        };
        first.or(second).unwrap_or_default()
    }
}

impl Listener for Lines {
    fn listens(&self, channel: Option<&str>, event: &str) -> bool {
        let wants = |line: &Arc<Line>| {
            line.wants(Kind::SocketMessage).is_some_and(|filter| filter.wants_message(true, channel, event))
        };
        self.is_wanted(Kind::SocketMessage) && self.read().iter().any(wants)
    }

    fn listens_to_clients(&self) -> bool {
        self.is_wanted(Kind::SocketMessage)
    }

    fn is_idle(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) == 0
    }

    fn notice(&self, _: &Arc<Hub>, app: &Arc<AppState>, notice: &Notice<'_>) {
        let kind = match notice {
            Notice::Event(_) => Kind::SocketMessage,
            Notice::SocketOpened(_) | Notice::SignedIn { .. } | Notice::SocketClosed { .. } => {
                Kind::SocketExistence
            }
            Notice::ChannelOccupied(..)
            | Notice::ChannelVacated(..)
            | Notice::CacheMiss(..)
            | Notice::SubscriptionCount(..) => Kind::ChannelExistence,
            Notice::Subscribed { .. } | Notice::Unsubscribed { .. } => Kind::Subscription,
            Notice::MemberAdded(..) | Notice::MemberRemoved(..) => Kind::Presence,
        };
        if !self.is_wanted(kind) {
            return;
        }
        match notice {
            Notice::Event(heard) => {
                let from_client = matches!(heard.source, Source::Client { .. });
                let channel = heard.channel.map(ChannelName::as_str);
                self.tell(app, kind, notice, |filter| {
                    filter.wants_message(from_client, channel, heard.event)
                });
            }
            _ => {
                let channel = About::of(notice).channel;
                // A user's own channel is a matter between the user and the broker.
                if channel.is_none_or(|channel| channel.channel_type().is_listed()) {
                    let wants = |filter: &Filter| channel.is_none_or(|c| filter.wants_channel(c.as_str()));
                    self.tell(app, kind, notice, wants);
                }
            }
        }
    }
}

/// No code panics while it holds one of these locks, and what they guard is valid at all times.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
