//! What is read of a history: what somebody who joins is sent of it, and its pages.

use std::time::{Duration, Instant};

use crate::app::HistoryBounds;
use crate::channel::replay::{ReplayTerms, ReplayedEvent};
use crate::channel::{ChannelVersion, HistoryPosition, Replay, Wanted};
use crate::protocol::{Rewind, SocketId};

use super::{History, KeptEvent, StreamPlace};

/// Events that one subscriber is sent at once: they are queued in one turn of its worker, which others wait for.
pub(super) const MOST_REPLAYED: usize = 10_000;

/// Where a page of a history begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistoryStart {
    /// With the oldest event.
    Oldest,
    /// Behind a place.
    Behind(HistoryPosition),
    /// With the first of the last events.
    Last(Rewind),
    /// With as many as fit of the last events before a place, or of all.
    Newest { before: Option<HistoryPosition> },
}

/// How a page is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageTerms {
    /// The node's run, and the last version that it has given.
    pub epoch: u64,
    /// The engine between several nodes, if there is one: its numbers are places that any of them knows.
    pub engine: Option<u64>,
    pub newest: ChannelVersion,
    /// Events up to this one are not asked for by who begins with the oldest one.
    pub start: ChannelVersion,
    pub now: Instant,
    /// How long the channel keeps an event.
    pub time: Duration,
    /// At most so many events, and so many bytes of them, but one at least.
    pub most: (usize, usize),
}

/// Events of a history, in the order in which they are read.
enum Chosen<'h> {
    /// Those from this one on, as they came here.
    From(usize),
    /// These, in the order of the engine, which is another one, or not all of those that came behind one of them.
    These(Vec<&'h KeptEvent>),
}

/// An event with its place: who has received what is read before it, and the event itself, has received everything up to there.
type Placed<'h> = (HistoryPosition, &'h KeptEvent);

/// A part of a history, oldest event first.
#[derive(Clone, Debug, Default)]
pub(crate) struct HistoryPage {
    /// Each with its place.
    pub events: Vec<(HistoryPosition, KeptEvent)>,
    /// Whether nothing is missing before the first of them.
    pub complete: bool,
    /// Whether there are further ones behind.
    pub has_more: bool,
}

/// What is held of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldHistory {
    pub(crate) events: usize,
    /// Bytes that they count as.
    pub(crate) bytes: usize,
    /// When the oldest and the newest of them were published, in milliseconds since 1970.
    pub(crate) oldest_ms: Option<u64>,
    pub(crate) newest_ms: Option<u64>,
}

impl History {
    /// What somebody who joins is sent, if it wants anything.
    pub(crate) fn replay(&self, wanted: &Wanted, terms: &ReplayTerms) -> Option<Replay> {
        let (chosen, complete, own): (_, _, &[SocketId]) = match wanted {
            Wanted::Nothing => return None,
            Wanted::Unknown => return Some(Replay::default()),
            Wanted::Since { position, own } => {
                match self.behind(*position, (terms.epoch, terms.engine), terms.version) {
                    Some((chosen, true)) => (chosen, true, own),
                    _ => return Some(Replay::default()),
                }
            }
            Wanted::Last(rewind) => {
                let (from, complete) = self.last(*rewind, terms.now);
                (Chosen::From(from), complete, &[])
            }
            Wanted::OrLast { missed, rewind } => {
                let missed = self.replay(missed, terms)?;
                if missed.complete {
                    return Some(missed);
                }
                let last = self.replay(&Wanted::Last(*rewind), terms)?;
                return Some(Replay { complete: false, ..last });
            }
        };
        let is_for = |event: &KeptEvent| {
            event.except.is_none_or(|except| except != terms.socket && !own.contains(&except))
        };
        let events = || self.placed(&chosen, (terms.epoch, terms.engine)).filter(|(_, event)| is_for(event));
        let bytes = events().take(MOST_REPLAYED + 1).map(|(_, event)| event.sent_bytes());
        let (count, bytes) = bytes.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes));
        if count > MOST_REPLAYED || bytes > terms.room {
            return Some(Replay { is_too_large: true, ..Replay::default() });
        }
        let events = events().map(|(place, event)| ReplayedEvent {
            version: event.version,
            place,
            frame: event.frame.clone(),
        });
        Some(Replay { complete, events: events.collect(), is_too_large: false })
    }

    /// Where it is in the stream of this engine.
    fn stream_of(&self, engine: Option<u64>) -> Option<StreamPlace> {
        self.stream.filter(|stream| engine == Some(stream.epoch))
    }

    /// The events behind a place, and whether these are all; `None` if the place is not known here. `run` is that of the node,
    /// which has given no place of it as late as `until`. Places of a process that this one has succeeded are known, too.
    fn behind(
        &self,
        HistoryPosition { epoch, number }: HistoryPosition,
        (run, engine): (u64, Option<u64>),
        until: ChannelVersion,
    ) -> Option<(Chosen<'_>, bool)> {
        if epoch == run {
            let version = ChannelVersion::new(number);
            let is_known = version < until;
            return is_known
                .then(|| (Chosen::From(self.first_behind(version)), version >= self.lost.version));
        }
        let stream = self.stream.filter(|stream| stream.epoch == epoch)?;
        let is_behind = |event: &KeptEvent| event.number.is_none_or(|of_event| of_event > number);
        let chosen = if stream.is_mixed {
            let chosen = self.events.iter().filter(|event| is_behind(event)).collect();
            if self.stream_of(engine).is_some() { self.in_its_order(chosen) } else { Chosen::These(chosen) }
        } else {
            Chosen::From(self.events.partition_point(|event| !is_behind(event)))
        };
        Some((chosen, number >= stream.floor && self.unnumbered.count == 0))
    }

    /// These events in the order of their numbers. Those that have none yet will get larger ones.
    fn in_its_order<'h>(&self, mut events: Vec<&'h KeptEvent>) -> Chosen<'h> {
        events.sort_by_key(|event| event.number.unwrap_or(u64::MAX));
        Chosen::These(events)
    }

    fn placed<'h>(
        &'h self,
        chosen: &'h Chosen<'h>,
        (run, engine): (u64, Option<u64>),
    ) -> Box<dyn Iterator<Item = Placed<'h>> + 'h> {
        let stream = self.stream_of(engine);
        let place = move |event: &KeptEvent| match (event.number, stream) {
            (Some(number), Some(StreamPlace { epoch, .. })) => HistoryPosition { epoch, number },
            _ => HistoryPosition { epoch: run, number: event.version.number() },
        };
        match (chosen, stream) {
            (Chosen::These(events), _) => Box::new(events.iter().map(move |event| (place(event), *event))),
            (Chosen::From(from), Some(stream)) if stream.is_mixed => {
                // Behind an event of a large number there are some of smaller ones.
                let mut reached = stream.reached;
                let mut events = Vec::with_capacity(self.events.len() - from);
                for event in self.events.range(from..).rev() {
                    let place =
                        event.number.map(|_| HistoryPosition { epoch: stream.epoch, number: reached });
                    let own = HistoryPosition { epoch: run, number: event.version.number() };
                    events.push((place.unwrap_or(own), event));
                    reached = event.number.map_or(reached, |number| reached.min(number.saturating_sub(1)));
                }
                Box::new(events.into_iter().rev())
            }
            (Chosen::From(from), _) => {
                Box::new(self.events.range(from..).map(move |event| (place(event), event)))
            }
        }
    }

    /// Where the last events begin, and whether all of them are there.
    fn last(&self, rewind: Rewind, now: Instant) -> (usize, bool) {
        match rewind {
            Rewind::Events(count) => {
                let from = self.events.len().saturating_sub(count as usize);
                (from, self.events.len() >= count as usize)
            }
            Rewind::Seconds(seconds) => {
                let since = now.checked_sub(Duration::from_secs(seconds.into()));
                let from = self.events.partition_point(|event| since.is_some_and(|since| event.at < since));
                (from, since.is_some_and(|since| self.lost.at < since))
            }
        }
    }

    fn first_behind(&self, version: ChannelVersion) -> usize {
        self.events.partition_point(|event| event.version <= version)
    }

    /// A page of it, in the order of the engine: a reader goes on behind the last place of a page. Where the place that it
    /// begins behind is not known, it begins with the oldest event and is not complete.
    pub(crate) fn page(&self, start: HistoryStart, terms: &PageTerms) -> HistoryPage {
        let PageTerms { epoch, engine, newest, start: oldest, now, time, most } = *terms;
        let (chosen, complete) = match start {
            // Of what other nodes had before nobody knows more than for how long something was kept.
            HistoryStart::Oldest if self.stream.is_some() => {
                (Chosen::From(0), now.checked_sub(time).is_some_and(|since| self.lost.at <= since))
            }
            HistoryStart::Oldest => (Chosen::From(0), self.lost.version <= oldest),
            HistoryStart::Behind(position) => {
                let until = ChannelVersion::new(newest.number().saturating_add(1));
                self.behind(position, (epoch, engine), until).unwrap_or((Chosen::From(0), false))
            }
            HistoryStart::Last(rewind) => {
                let (from, complete) = self.last(rewind, now);
                (Chosen::From(from), complete)
            }
            HistoryStart::Newest { before } => return self.newest_page(before, (epoch, engine), most),
        };
        let is_mixed = self.stream_of(engine).is_some_and(|stream| stream.is_mixed);
        let (chosen, count) = match chosen {
            Chosen::From(from) if is_mixed => {
                (self.in_its_order(self.events.range(from..).collect()), self.events.len() - from)
            }
            Chosen::From(from) => (chosen, self.events.len() - from),
            Chosen::These(ref events) => {
                let count = events.len();
                (chosen, count)
            }
        };
        let events = page_of(self.placed(&chosen, (epoch, engine)), most);
        HistoryPage { has_more: events.len() < count, events, complete }
    }

    /// The last ones before a place, or of all, as many as fit; whether there are further ones before these. Where the place is
    /// none of those that there are, its event has gone with all before it, or is known by another one now: the page is empty, and
    /// not complete.
    fn newest_page(
        &self,
        before: Option<HistoryPosition>,
        known: (u64, Option<u64>),
        most: (usize, usize),
    ) -> HistoryPage {
        let is_mixed = self.stream_of(known.1).is_some_and(|stream| stream.is_mixed);
        let chosen = if is_mixed { self.in_its_order(self.events.iter().collect()) } else { Chosen::From(0) };
        let all = self.placed(&chosen, known).collect::<Vec<_>>();
        let until = match before {
            None => Some(all.len()),
            Some(before) => all.iter().position(|(place, _)| *place == before),
        };
        let Some(until) = until else { return HistoryPage::default() };
        let mut events = page_of(all[..until].iter().rev().copied(), most);
        events.reverse();
        HistoryPage { has_more: events.len() < until, events, complete: true }
    }

    /// What is held of it.
    pub(crate) fn held(&self) -> HeldHistory {
        HeldHistory {
            events: self.events.len(),
            bytes: self.bytes,
            oldest_ms: self.events.front().map(|event| event.time_ms),
            newest_ms: self.events.back().map(|event| event.time_ms),
        }
    }
}

/// The first ones, as many as fit.
fn page_of<'h>(
    events: impl Iterator<Item = Placed<'h>>,
    (most, most_bytes): (usize, usize),
) -> Vec<(HistoryPosition, KeptEvent)> {
    let mut bytes = 0;
    let fits = |(_, event): &Placed<'_>| {
        let is_first = bytes == 0;
        bytes += event.sent_bytes() + HistoryBounds::EVENT_BYTES;
        is_first || bytes <= most_bytes
    };
    events.take(most).take_while(fits).map(|(place, event)| (place, event.clone())).collect()
}
