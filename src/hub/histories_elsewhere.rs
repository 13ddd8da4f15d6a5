//! What channels keep of their last events where several nodes are one broker: the engine keeps a stream of each, which all nodes
//! hear in one order. What a node keeps of a channel that it has subscribers of is filled from there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::channel::{Channel, ChannelVersion, HistoryPosition, LostNumbers, StreamNumber};
use crate::protocol::{ChannelName, Frame, SocketId};

use super::mailbox::WorkerCommand;
use super::{AppState, Hub};

/// Numbers are microseconds.
const MICROS_PER_MILLI: u64 = 1000;

/// Numbers that are smaller than this are no times: that was in 1973.
const LEAST_TIME: u64 = 100_000_000_000_000;

/// What the engine has taken may be on its way here for so long, in microseconds: by then it is known that it does not come.
const MARGIN: u64 = 60_000_000;

/// How a channel with a history keeps an event that comes from the engine's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptAs {
    /// Its number there, which is the time at which the engine has taken it, in microseconds since 1970.
    pub(crate) number: u64,
    /// This node's subscribers have been sent it before, without a number. It gets the number, and that is all.
    pub(crate) is_delivered: bool,
}

/// An event as a stream keeps it.
#[derive(Clone, Debug)]
pub(crate) struct StreamEvent {
    /// How it is kept.
    pub(crate) kept: KeptAs,
    /// There is none between this number and its own.
    pub(crate) previous: u64,
    /// What subscribers were sent.
    pub(crate) frame: Frame,
    /// The connection that was not.
    pub(crate) except: Option<SocketId>,
    /// When it was published, where its number does not say so.
    pub(crate) time: Option<KeptTime>,
}

/// When an event was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptTime {
    pub(crate) ago: Duration,
    /// In milliseconds since 1970.
    pub(crate) time_ms: u64,
}

/// When the engine has taken an event, in milliseconds since 1970, if its number says so.
pub(super) fn time_ms_of(number: u64) -> Option<u64> {
    (number >= LEAST_TIME).then_some(number / MICROS_PER_MILLI)
}

impl StreamEvent {
    /// When it was published, by a clock that says `now` where that of the engine says `engine_now`; and in milliseconds since
    /// 1970.
    pub(super) fn published_at(&self, engine_now: u64, now: Instant) -> (Instant, u64) {
        match self.time {
            Some(KeptTime { ago, time_ms }) => (now.checked_sub(ago).unwrap_or(now), time_ms),
            None => (time_of(self.kept.number, engine_now, now), self.kept.number / MICROS_PER_MILLI),
        }
    }
}

/// When something was that has this number, by a clock that says `now` where that of the engine says `engine_now`.
pub(super) fn time_of(number: u64, engine_now: u64, now: Instant) -> Instant {
    let ago = Duration::from_micros(engine_now.saturating_sub(number));
    now.checked_sub(ago).unwrap_or(now)
}

/// A part of a stream, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamPart {
    pub(crate) events: Vec<StreamEvent>,
    /// Everything up to this number is known with it, but for what is not kept any more.
    pub(crate) reached: u64,
    /// The engine's clock, as numbers have it.
    pub(crate) now: u64,
}

/// The engine whose numbers this node has.
#[derive(Debug, Default)]
pub(super) struct EngineNumbers {
    /// What tells it from others; 0 if there is none.
    epoch: AtomicU64,
    /// It is the process that this one succeeds. Its numbers are no places for those who come back: whoever comes after this
    /// process does not know them.
    is_before: AtomicBool,
    /// The time there, and when it was told.
    clock: Mutex<Option<(u64, Instant)>>,
}

impl Hub {
    /// The numbers that come from now on are those of this engine.
    pub(crate) fn set_history_epoch(&self, engine: u64) {
        self.engine_numbers.epoch.store(engine, Ordering::Release);
        self.engine_numbers.is_before.store(false, Ordering::Release);
        *self.engine_numbers.clock.lock() = None;
    }

    /// They are those of this run, which is that of the process that this one succeeds.
    pub(super) fn set_run_before(&self, run: u64) {
        self.engine_numbers.is_before.store(true, Ordering::Release);
        self.engine_numbers.epoch.store(run, Ordering::Release);
        *self.engine_numbers.clock.lock() = None;
    }

    /// The engine whose numbers the histories have, where several nodes are one broker.
    pub(super) fn engine_epoch(&self) -> Option<u64> {
        Some(self.engine_numbers.epoch.load(Ordering::Acquire)).filter(|epoch| *epoch != 0)
    }

    /// The same where its numbers are places that any node knows.
    pub(super) fn shared_engine(&self) -> Option<u64> {
        self.engine_epoch().filter(|_| !self.engine_numbers.is_before.load(Ordering::Acquire))
    }

    /// Whether what comes up to a place may be on its way from the process that this one succeeds: a client that was there has received
    /// it, and would be sent it again.
    pub(super) fn is_on_its_way(
        &self,
        app: &AppState,
        channel: &ChannelName,
        HistoryPosition { epoch, number }: HistoryPosition,
    ) -> bool {
        self.engine_epoch() == Some(epoch)
            && self.engine_numbers.is_before.load(Ordering::Acquire)
            && app.history_reached(channel, epoch).is_none_or(|reached| reached < number)
    }

    /// Up to which number of the engine all is known of a channel that this node has; none if nothing is.
    pub(crate) fn history_reached(&self, app_id: &str, channel: &ChannelName) -> Option<u64> {
        let apps = self.apps();
        apps.by_id(app_id)?.history_reached(channel, self.engine_epoch()?)
    }

    /// Adds to what a channel keeps what its stream has behind it. Nobody is sent it.
    pub(crate) fn fill_history(&self, app_id: &str, channel: &ChannelName, part: StreamPart) {
        let (apps, engine) = (self.apps(), self.engine_epoch());
        let (Some(app), Some(epoch)) = (apps.by_id(app_id), engine) else { return };
        *self.engine_numbers.clock.lock() = Some((part.now, Instant::now()));
        app.fill_history(self, channel, epoch, part);
        app.fold_vacant_channels();
        self.keep_histories_within(app);
    }

    /// Events of a channel may be missing before the next one: those who are there are told, and whoever comes back for what was
    /// before.
    pub(crate) fn history_hole(&self, app_id: &str, channel: &ChannelName) {
        if let Some(app) = self.apps().by_id(app_id) {
            app.history_hole(self, channel);
            app.fold_vacant_channels();
        }
    }

    /// Some events of a channel that this node's subscribers were sent get no number, as its stream says by this one: no other node
    /// will have them. `is_lost` finds each of them once; there are so many, and perhaps more.
    pub(crate) fn lose_unnumbered(
        &self,
        app_id: &str,
        channel: &ChannelName,
        number: u64,
        (count, may_be_more): (usize, bool),
        is_lost: impl FnMut(&Frame) -> bool,
    ) {
        let (apps, engine) = (self.apps(), self.engine_epoch());
        let (Some(app), Some(epoch)) = (apps.by_id(app_id), engine) else { return };
        // What is owed is said, or lost, before it is older than it may be kept.
        let said = self.engine_time().map(|engine_now| time_of(number, engine_now, app.clock().now()));
        let owed_for = app.app().history(channel).map(|bounds| bounds.time + Duration::from_micros(MARGIN));
        let settled_until = said.zip(owed_for).and_then(|(said, owed_for)| said.checked_sub(owed_for));
        let lost = LostNumbers { count, may_be_more, settled_until };
        app.lose_unnumbered(channel, StreamNumber { epoch, number }, (lost, is_lost));
    }

    /// Has those be told who hold that nothing was missed until this version. It is called under the channel's entry.
    pub(super) fn post_gap(
        &self,
        app: &AppState,
        channel: &ChannelName,
        entry: &Channel,
        version: ChannelVersion,
    ) {
        self.histories.count_gap();
        for worker in entry.subscribers().workers() {
            let (app, channel) = (app.index(), channel.clone());
            self.mailbox(worker).post(WorkerCommand::HistoryGap { app, channel, version });
        }
    }

    /// The place in the engine's stream up to which somebody has received a channel who has received what has come here up to a
    /// version: any node knows what is behind it. `None` where there is no engine, or it is not known.
    pub(crate) fn engine_position(
        &self,
        app: &AppState,
        channel: &ChannelName,
        version: ChannelVersion,
    ) -> Option<HistoryPosition> {
        self.known_engine_position(self.shared_engine()?, (app, channel), version)
    }

    #[cold]
    fn known_engine_position(
        &self,
        engine: u64,
        (app, channel): (&AppState, &ChannelName),
        version: ChannelVersion,
    ) -> Option<HistoryPosition> {
        let known = app.number_of(channel, version).filter(|(known, _)| known.epoch == engine);
        let (StreamNumber { epoch, number }, is_all) = known?;
        // Where nothing is said, what it has received becomes no older.
        let is_now = || is_all && self.bus().is_some_and(|bus| bus.follows(app, channel));
        let now = self.engine_time().filter(|_| is_now()).map(|now| now.saturating_sub(MARGIN));
        Some(HistoryPosition { epoch, number: now.map_or(number, |now| number.max(now)) })
    }

    /// The time at the engine, or a little before.
    fn engine_time(&self) -> Option<u64> {
        let (then, told) = self.engine_numbers.clock.lock().filter(|(then, _)| *then >= LEAST_TIME)?;
        Some(then.saturating_add(u64::try_from(told.elapsed().as_micros()).unwrap_or(u64::MAX)))
    }

    /// The place of somebody who has received what has come here up to a version: for any node, or for this one alone.
    pub(super) fn position(
        &self,
        app: &AppState,
        channel: &ChannelName,
        version: ChannelVersion,
    ) -> HistoryPosition {
        let here = || HistoryPosition { epoch: self.history_epoch(), number: version.number() };
        self.engine_position(app, channel, version).unwrap_or_else(here)
    }
}

#[cfg(test)]
mod tests;
