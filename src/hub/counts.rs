//! Telling the subscribers of a channel how many they are, where the app has that switched on.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::{ChangeOrigin, Channel, CountChange};
use crate::protocol::{Broadcast, ChannelName, server_message};

use super::due::{Due, Timed};
use super::mailbox::WorkerCommand;
use super::wheel::Wheel;
use super::{AppIndex, AppState, Hub, Notice};

/// Counts that are told per turn: about half a millisecond's worth.
const TOLD_PER_TURN: usize = 256;

/// One worker's part of it: the channels whose count it has to tell later, each with its app.
pub(super) struct PendingCounts {
    later: RefCell<Wheel<Later>>,
    /// Those whose time has come.
    due: RefCell<VecDeque<Later>>,
}

/// One count that is to be told later.
type Later = (Arc<AppState>, ChannelName, Due);

impl PendingCounts {
    pub(super) fn new(resolution: Duration) -> Self {
        PendingCounts { later: RefCell::new(Wheel::new(resolution, Instant::now())), due: RefCell::default() }
    }

    /// Somebody has subscribed or left: tells it now or later. Called under the channel's entry. Like member events,
    /// counts go through every mailbox: a new subscriber hears its own after everything it is told first.
    pub(super) fn changed(
        &self,
        hub: &Arc<Hub>,
        app: &Arc<AppState>,
        channel: &ChannelName,
        entry: &mut Channel,
        origin: ChangeOrigin,
    ) {
        if let Some(time) = tell_now_or_at(hub, app, channel, entry, origin) {
            let (time, due) = app.clock().wait_until(time, Timed::SubscriptionCount);
            self.later.borrow_mut().insert(time, (Arc::clone(app), channel.clone(), due));
        }
    }

    /// The count of a channel is to be told at the end of its window, which has begun elsewhere.
    pub(super) fn look_at(&self, app: Arc<AppState>, channel: ChannelName) {
        self.due.borrow_mut().push_back((app, channel, Due::default()));
    }

    /// How many are to be told later.
    pub(super) fn len(&self) -> usize {
        self.later.borrow().len() + self.due.borrow().len()
    }

    /// Looks which counts are to be told by now.
    pub(super) fn tick(&self, now: Instant) {
        let mut due = self.due.borrow_mut();
        self.later.borrow_mut().turn(now, |item| due.push_back(item));
    }

    /// Looks again at what waits for the clock of an app that has been advanced.
    pub(super) fn clock_advanced(&self, app: AppIndex) {
        let due = self.later.borrow_mut().take(|(of, ..)| of.index() == app);
        self.due.borrow_mut().extend(due);
    }

    /// Tells those whose time has come, as far as one turn allows. Returns whether that was all.
    pub(super) fn tell(&self, hub: &Arc<Hub>) -> bool {
        for _ in 0..TOLD_PER_TURN {
            let Some((app, channel, due)) = self.due.borrow_mut().pop_front() else { return true };
            let Some(mut entry) = app.channels.get_mut(&channel) else {
                due.put_off();
                continue;
            };
            match entry.take_count_window(app.clock().now()) {
                Ok(()) => {
                    post(hub, &app, &channel, &entry, None);
                    drop(due);
                }
                Err(Some(time)) => {
                    drop(entry);
                    let (time, again) = app.clock().wait_until(time, Timed::SubscriptionCount);
                    due.put_off();
                    self.later.borrow_mut().insert(time, (app, channel, again));
                }
                Err(None) => due.put_off(),
            }
        }
        self.due.borrow().is_empty()
    }
}

/// Connections of another node have subscribed or left: the same on any thread, under the channel's entry. What is to be told
/// later is told by one of the workers.
pub(super) fn changed_elsewhere(
    hub: &Arc<Hub>,
    app: &Arc<AppState>,
    channel: &ChannelName,
    entry: &mut Channel,
    origin: ChangeOrigin,
) {
    if tell_now_or_at(hub, app, channel, entry, origin).is_some() {
        let (app, channel) = (Arc::clone(app), channel.clone());
        hub.mailbox(hub.worker_for(&channel)).post(WorkerCommand::Count { app, channel });
    }
}

/// Tells the count of a channel, if it is to be told now; otherwise when, if nobody waits for that yet.
fn tell_now_or_at(
    hub: &Arc<Hub>,
    app: &Arc<AppState>,
    channel: &ChannelName,
    entry: &mut Channel,
    origin: ChangeOrigin,
) -> Option<Instant> {
    if !app.app().subscription_count || !channel.channel_type().tells_count() {
        return None;
    }
    match entry.count_changed(app.clock().now()) {
        CountChange::Tell => {
            post(hub, app, channel, entry, Some(origin));
            None
        }
        CountChange::Later(time) => Some(time),
        CountChange::Pending => None,
    }
}

/// Tells the count: that of one change, or of all in a window.
fn post(
    hub: &Arc<Hub>,
    app: &Arc<AppState>,
    channel: &ChannelName,
    entry: &Channel,
    origin: Option<ChangeOrigin>,
) {
    let count = entry.subscription_count();
    if app.has_listeners() {
        // Where it stands for several changes, what happens here is that it is told.
        let origin = origin.unwrap_or_else(|| hub.own_change(hub.next_version()));
        hub.announce(app, &Notice::SubscriptionCount(channel, count, origin));
    }
    let frame = server_message::subscription_count(channel, count);
    let message = Broadcast::new(frame, false);
    let message = if channel.channel_type().is_encrypted() { message.in_clear() } else { message };
    for worker in entry.subscribers().workers() {
        hub.post_broadcast(worker, app, channel, &message, None, None);
    }
}
