//! What one rule has done: counted where it does it, and read by whoever looks.
//!
//! A count costs the rule one addition. What it heard last is noted only now and then, or always while somebody looks: for
//! that a time and two names are kept, and that takes longer than to count.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::event::AcceptedEvent;
use crate::hub::unix_ms;
use crate::protocol::ChannelName;

/// Samples of the counts that are kept: with one each ten seconds, those of a minute.
const SAMPLES: usize = 7;

/// Characters of a name that are kept in a note.
const NAME_CHARS: usize = 200;

/// Why a rule did not send an event on that is one of its own by channel, name and source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RuleDrop {
    /// The payload has not the members that the filter asks for.
    Payload,
    /// It came before its time.
    Pace,
    /// It waited for its time, and a newer one took its place.
    Replaced,
    /// As many channels as a rule keeps a pace for are busy.
    Full,
    /// What the star was filled with makes no name of a channel.
    Target,
}

impl RuleDrop {
    /// Every reason there is.
    pub(crate) const ALL: [RuleDrop; 5] =
        [RuleDrop::Payload, RuleDrop::Pace, RuleDrop::Replaced, RuleDrop::Full, RuleDrop::Target];

    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            RuleDrop::Payload => "payload",
            RuleDrop::Pace => "pace",
            RuleDrop::Replaced => "replaced",
            RuleDrop::Full => "full",
            RuleDrop::Target => "target",
        }
    }

    /// The same as a sentence.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            RuleDrop::Payload => "the payload has not the members that the filter asks for",
            RuleDrop::Pace => "it came before its time, by the pace of the rule",
            RuleDrop::Replaced => "it took the place of an older one, which waited for its time",
            RuleDrop::Full => "the rule keeps a pace for as many other channels as it can",
            RuleDrop::Target => "that is no name of a channel",
        }
    }
}

/// One event, as a note keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleNote {
    /// Milliseconds since 1970.
    pub(crate) at: u64,
    pub(crate) channel: Box<str>,
    pub(crate) event: Box<str>,
    /// Where it was to go, if it got as far as that.
    pub(crate) to: Option<Box<str>>,
    /// The number of such events, counted from 1, that it was, or a few less.
    pub(crate) number: u64,
}

/// The counts of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RuleTotals {
    /// Events that it heard.
    pub(crate) matched: u64,
    /// Events that it sent: one for each target.
    pub(crate) sent: u64,
    /// By their reasons.
    pub(crate) dropped: [u64; RuleDrop::ALL.len()],
}

/// How much that was in a second of late.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RuleRates {
    pub(crate) matched: f64,
    pub(crate) sent: f64,
    pub(crate) dropped: f64,
}

/// When the next event is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum NoteTaking {
    /// Not before somebody asks for it.
    No,
    /// The next one is.
    Once,
    /// Every one is: somebody looks.
    Always,
}

/// What a rule has done since it has been there.
#[derive(Debug, Default)]
pub(crate) struct RuleCounts {
    matched: AtomicU64,
    sent: AtomicU64,
    dropped: [AtomicU64; RuleDrop::ALL.len()],
    last_match: LastNote<()>,
    last_drop: LastNote<RuleDrop>,
    samples: Mutex<VecDeque<(Instant, RuleTotals)>>,
}

/// What was noted last.
#[derive(Debug)]
struct LastNote<W> {
    taking: AtomicU8,
    note: Mutex<Option<(W, RuleNote)>>,
}

impl<W> Default for LastNote<W> {
    fn default() -> Self {
        LastNote { taking: AtomicU8::new(NoteTaking::Once as u8), note: Mutex::default() }
    }
}

impl<W: Copy> LastNote<W> {
    fn is_taken(&self) -> bool {
        self.taking.load(Ordering::Relaxed) != NoteTaking::No as u8
    }

    #[cold]
    fn take(&self, what: W, number: u64, event: &AcceptedEvent<'_>, to: Option<&str>) {
        let taking = NoteTaking::Once as u8;
        let _ =
            self.taking.compare_exchange(taking, NoteTaking::No as u8, Ordering::Relaxed, Ordering::Relaxed);
        // Another thread notes one of the same moment: nobody waits for it.
        let Some(mut note) = self.note.try_lock() else { return };
        *note = Some((
            what,
            RuleNote {
                at: unix_ms(),
                channel: kept(event.channel().map(ChannelName::as_str).unwrap_or_default()),
                event: kept(&event.name),
                to: to.map(kept),
                number,
            },
        ));
    }

    /// Somebody looks, or has the next one noted.
    fn want(&self, taking: NoteTaking) {
        self.taking.store(taking as u8, Ordering::Relaxed);
    }

    fn noted(&self) -> Option<(W, RuleNote)> {
        self.note.lock().clone()
    }
}

/// As much of a name as is kept.
fn kept(name: &str) -> Box<str> {
    name.chars().take(NAME_CHARS).collect::<String>().into()
}

impl RuleCounts {
    /// The rule has heard an event.
    #[inline]
    pub(super) fn count_match(&self, event: &AcceptedEvent<'_>) {
        let before = self.matched.fetch_add(1, Ordering::Relaxed);
        if self.last_match.is_taken() {
            self.last_match.take((), before + 1, event, None);
        }
    }

    /// It has sent one.
    #[inline]
    pub(super) fn count_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// It did not send an event, or not to this channel.
    #[cold]
    pub(super) fn count_drop(&self, why: RuleDrop, event: &AcceptedEvent<'_>, to: Option<&str>) {
        self.dropped[why as usize].fetch_add(1, Ordering::Relaxed);
        if self.last_drop.is_taken() {
            let number = self.totals().dropped.iter().sum();
            self.last_drop.take(why, number, event, to);
        }
    }

    /// What has been counted.
    pub(crate) fn totals(&self) -> RuleTotals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        RuleTotals {
            matched: read(&self.matched),
            sent: read(&self.sent),
            dropped: [0, 1, 2, 3, 4].map(|reason| read(&self.dropped[reason])),
        }
    }

    /// What it heard last, as far as that was noted.
    pub(crate) fn last_match(&self) -> Option<RuleNote> {
        self.last_match.noted().map(|((), note)| note)
    }

    /// What it did not send last, and why, as far as that was noted.
    pub(crate) fn last_drop(&self) -> Option<(RuleDrop, RuleNote)> {
        self.last_drop.noted()
    }

    /// Somebody looks: until the next sample everything is noted.
    pub(crate) fn look(&self) {
        self.last_match.want(NoteTaking::Always);
        self.last_drop.want(NoteTaking::Always);
    }

    /// Keeps what has been counted so far, and has the next event noted.
    pub(super) fn sample(&self, now: Instant) {
        self.last_match.want(NoteTaking::Once);
        self.last_drop.want(NoteTaking::Once);
        let mut samples = self.samples.lock();
        if samples.len() >= SAMPLES {
            samples.pop_front();
        }
        samples.push_back((now, self.totals()));
    }

    /// How much there was in a second, since the oldest sample; nothing before there is one.
    pub(crate) fn rates(&self, now: Instant) -> Option<RuleRates> {
        let (since, before) = self.samples.lock().front().copied()?;
        let seconds = now.saturating_duration_since(since).max(Duration::from_secs(1)).as_secs_f64();
        let totals = self.totals();
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        Some(RuleRates {
            matched: rate(totals.matched, before.matched),
            sent: rate(totals.sent, before.sent),
            dropped: rate(totals.dropped.iter().sum(), before.dropped.iter().sum()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Destination, Source};
    use crate::protocol::json::Data;

    fn event(channel: &str) -> AcceptedEvent<'static> {
        let channel = ChannelName::parse(channel, 1000).unwrap();
        let to = Destination::Subscribers { channel, except: None };
        AcceptedEvent { source: Source::Http, ..AcceptedEvent::of_pipe(to, "frame", Data::of_text("{}")) }
    }

    #[test]
    fn the_next_event_is_noted_and_every_one_while_somebody_looks() {
        let counts = RuleCounts::default();
        let noted = |channel: &str| {
            counts.count_match(&event(channel));
            let RuleNote { channel, number, .. } = counts.last_match().unwrap();
            (channel.to_string(), number)
        };
        assert_eq!(noted("a"), ("a".to_owned(), 1));
        assert_eq!(noted("b"), ("a".to_owned(), 1), "not yet");
        counts.look();
        assert_eq!(noted("c"), ("c".to_owned(), 3));
        assert_eq!(noted("d"), ("d".to_owned(), 4));
        counts.sample(Instant::now());
        assert_eq!(noted("e"), ("e".to_owned(), 5));
        assert_eq!(noted("f"), ("e".to_owned(), 5), "nobody looks any more");
        assert_eq!(counts.totals().matched, 6);
    }

    #[test]
    fn what_is_dropped_is_counted_by_its_reason() {
        let counts = RuleCounts::default();
        assert_eq!(counts.last_drop(), None);
        for why in RuleDrop::ALL {
            (0..=why as u8).for_each(|_| counts.count_drop(why, &event(&"x".repeat(300)), Some("mirror")));
        }
        assert_eq!(counts.totals().dropped, [1, 2, 3, 4, 5]);
        let (why, note) = counts.last_drop().unwrap();
        assert_eq!((why, note.number, note.channel.len()), (RuleDrop::Payload, 1, NAME_CHARS));
        assert_eq!((&*note.event, note.to.as_deref()), ("frame", Some("mirror")));
    }

    #[test]
    fn rates_are_those_of_a_minute() {
        let counts = RuleCounts::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(counts.rates(at(0)), None);
        for tick in 0..10 {
            counts.sample(at(10 * tick));
            (0..20).for_each(|_| counts.count_match(&event("a")));
            counts.count_sent();
        }
        assert_eq!(counts.samples.lock().len(), SAMPLES);
        let rates = counts.rates(at(90)).unwrap();
        // Since the sample at 30 s: 7 times 20 in 60 s.
        assert!((rates.matched - 140.0 / 60.0).abs() < 1e-9 && rates.dropped == 0.0, "{rates:?}");
    }
}
