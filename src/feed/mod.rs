//! What happens, told to those who watch: entries within bounds, made only while somebody wants them.
//!
//! Whoever has something to tell describes it by a [`FeedSubject`] and makes the entry only if a viewer wants it. Entries
//! are kept in one ring for all viewers; each reads it at its own pace, and hears how many it has missed where it was too
//! slow. So nobody who tells waits for anybody who watches, and nothing is kept for a viewer alone. It knows neither the
//! hub nor those who show entries.

mod entry;
mod filter;
mod kind;
mod pace;
mod ring;
mod subject;
mod viewer;

pub(crate) use entry::{
    ENTRY_TEXT_BYTES, FeedDetails, FeedEntry, KeptPayload, ShownCause, ShownPayload, beginning,
};
pub(crate) use filter::WrittenFilter;
pub(crate) use kind::FeedKind;
pub(crate) use subject::FeedSubject;
pub(crate) use viewer::{FeedBatch, FeedViewer, VIEWER_ENTRIES_PER_SECOND};

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use filter::FeedFilter;
use pace::KindPace;
use ring::{FeedExcerpt, FeedRing};

/// Viewers at once.
pub(crate) const VIEWERS: usize = 8;

/// Entries of a kind that are made in a second, for all viewers. Of those beyond it their number is told.
const ENTRIES_PER_SECOND: u32 = 2000;

/// What happens, for those who watch.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Bits of the kinds that some viewer wants: what nobody wants costs a look at this.
    wanted: AtomicU8,
    viewers: ArcSwap<Vec<Arc<ViewerPlace>>>,
    /// Held while a viewer comes or goes, or changes its mind.
    changing: Mutex<()>,
    ring: Mutex<FeedRing>,
    paces: [KindPace; FeedKind::ALL.len()],
    began: Instant,
}

/// What is known of a viewer to those who tell: none wants anything before it has said what.
#[derive(Debug, Default)]
struct ViewerPlace {
    filter: ArcSwapOption<FeedFilter>,
}

/// What there is of the feed, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FeedFigures {
    pub(crate) viewers: usize,
    /// Bytes of the entries and payloads that are kept.
    pub(crate) bytes: usize,
    /// Entries that were made, and that were not because there were too many.
    pub(crate) entries: u64,
    pub(crate) left_out: u64,
}

/// Milliseconds with three places behind the point, as entries have them.
pub(crate) fn exact_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Default for Feed {
    fn default() -> Self {
        Feed {
            wanted: AtomicU8::new(0),
            viewers: ArcSwap::default(),
            changing: Mutex::default(),
            ring: Mutex::default(),
            paces: Default::default(),
            began: Instant::now(),
        }
    }
}

impl Feed {
    /// Adds a viewer; `None` if there are as many as there may be.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<FeedViewer> {
        let place = Arc::<ViewerPlace>::default();
        {
            let _changing = self.changing.lock();
            let viewers = self.viewers.load();
            if viewers.len() >= VIEWERS {
                return None;
            }
            let with = viewers.iter().cloned().chain([Arc::clone(&place)]).collect();
            self.viewers.store(Arc::new(with));
        }
        Some(FeedViewer::new(Arc::clone(self), place))
    }

    /// Tells of something, if some viewer wants it and there is room in this second. `details` makes the entry.
    pub(crate) fn tell(&self, subject: &FeedSubject<'_>, details: impl FnOnce() -> FeedDetails) {
        if !self.wants(subject) {
            return;
        }
        if !self.paces[subject.kind as usize].takes(self.second(), ENTRIES_PER_SECOND) {
            return;
        }
        let details = FeedDetails { app: subject.app.map(Into::into), ..details() };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.ring.lock().push(exact_ms(at), subject.kind, details);
    }

    /// Whether some viewer wants things of this kind.
    pub(crate) fn wants_kind(&self, kind: FeedKind) -> bool {
        self.wanted.load(Ordering::Relaxed) & kind.bit() != 0
    }

    /// Whether some viewer wants one of these kinds, and may want it of this app.
    pub(crate) fn wants_of_app(&self, kinds: &[FeedKind], app: &str) -> bool {
        let bits = kinds.iter().fold(0, |bits, kind| bits | kind.bit());
        self.filters().any(|filter| filter.kinds() & bits != 0 && filter.wants_app(app))
    }

    /// Whether some viewer wants this.
    fn wants(&self, subject: &FeedSubject<'_>) -> bool {
        self.wants_kind(subject.kind)
            && self
                .viewers
                .load()
                .iter()
                .any(|viewer| viewer.filter.load().as_ref().is_some_and(|filter| filter.wants(subject)))
    }

    /// A payload that an entry names, while it is kept.
    pub(crate) fn payload(&self, seq: u64) -> Option<KeptPayload> {
        self.ring.lock().payload(seq)
    }

    /// What there is of it.
    pub(crate) fn figures(&self) -> FeedFigures {
        let (bytes, entries) = {
            let ring = self.ring.lock();
            (ring.bytes(), ring.last())
        };
        let left_out = self.paces.iter().map(KindPace::left_out).sum();
        FeedFigures { viewers: self.viewers.load().len(), bytes, entries, left_out }
    }

    fn filters(&self) -> impl Iterator<Item = Arc<FeedFilter>> {
        let viewers = self.viewers.load_full();
        let filters: Vec<_> = viewers.iter().filter_map(|viewer| viewer.filter.load_full()).collect();
        filters.into_iter()
    }

    /// A viewer has changed its mind.
    fn recount(&self) {
        let _changing = self.changing.lock();
        self.count_wanted();
    }

    fn count_wanted(&self) {
        let wanted = self.filters().fold(0, |bits, filter| bits | filter.kinds());
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// A viewer has gone.
    fn leave(&self, place: &Arc<ViewerPlace>) {
        let _changing = self.changing.lock();
        let viewers = self.viewers.load();
        let others: Vec<_> = viewers.iter().filter(|viewer| !Arc::ptr_eq(viewer, place)).cloned().collect();
        let is_empty = others.is_empty();
        self.viewers.store(Arc::new(others));
        self.count_wanted();
        if is_empty {
            self.ring.lock().clear();
        }
    }

    /// The number of the last entry.
    fn last(&self) -> u64 {
        self.ring.lock().last()
    }

    fn after(&self, after: u64, most: usize) -> FeedExcerpt {
        self.ring.lock().after(after, most)
    }

    fn left_out_of(&self, kind: FeedKind) -> u64 {
        self.paces[kind as usize].left_out()
    }

    /// The second that it is, by a clock of its own.
    fn second(&self) -> u64 {
        self.began.elapsed().as_secs() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &str) -> FeedFilter {
        serde_json::from_str::<WrittenFilter>(json).unwrap().read().unwrap()
    }

    fn event<'a>(app: &'a str, channel: &'a str) -> FeedSubject<'a> {
        FeedSubject { channel: Some(channel), ..FeedSubject::in_app(FeedKind::Events, app) }
    }

    fn tell(feed: &Feed, app: &str, channel: &str) {
        let details =
            || FeedDetails { what: "event", channel: Some(channel.into()), ..FeedDetails::default() };
        feed.tell(&event(app, channel), details);
    }

    fn channels(batch: &FeedBatch) -> Vec<&str> {
        batch.entries.iter().filter_map(|entry| entry.details.channel.as_deref()).collect()
    }

    #[test]
    fn nothing_is_made_for_nobody() {
        let feed = Arc::<Feed>::default();
        let made = || -> FeedDetails { panic!("nobody watches") };
        feed.tell(&event("1", "room"), made);
        let mut viewer = feed.enter().unwrap();
        feed.tell(&event("1", "room"), made);
        viewer.set_filter(filter(r#"{"app":"2"}"#));
        feed.tell(&event("1", "room"), made);
        assert!(viewer.next().is_empty());
        assert!(feed.wants_of_app(&[FeedKind::Events], "2") && !feed.wants_of_app(&[FeedKind::Events], "1"));
        drop(viewer);
        assert!(!feed.wants_kind(FeedKind::Events));
        assert_eq!(feed.figures(), FeedFigures::default());
    }

    #[test]
    fn each_viewer_is_told_what_it_wants_from_then_on() {
        let feed = Arc::<Feed>::default();
        let (mut one, mut other) = (feed.enter().unwrap(), feed.enter().unwrap());
        one.set_filter(filter("{}"));
        tell(&feed, "1", "early");
        assert_eq!(other.set_filter(filter(r#"{"channel":"room-*"}"#)), 1);
        tell(&feed, "1", "room-1");
        tell(&feed, "1", "den");
        assert_eq!(channels(&one.next()), ["early", "room-1", "den"]);
        assert_eq!(channels(&other.next()), ["room-1"]);
        assert!(one.next().is_empty() && other.next().is_empty());
        drop(one);
        tell(&feed, "1", "den");
        tell(&feed, "1", "room-2");
        assert_eq!(channels(&other.next()), ["room-2"]);
    }

    #[test]
    fn above_a_rate_it_is_said_how_many_were_left_out() {
        let feed = Arc::<Feed>::default();
        let mut viewer = feed.enter().unwrap();
        viewer.set_filter(filter(r#"{"kinds":["events"]}"#));
        let second = feed.second();
        (0..ENTRIES_PER_SECOND + 10).for_each(|_| tell(&feed, "1", "room"));
        let batch = viewer.next();
        let left_out: u64 = batch.left_out.values().sum();
        assert_eq!(batch.entries.len() as u64 + left_out, u64::from(ENTRIES_PER_SECOND) + 10);
        // If the second has changed meanwhile, more are told.
        if feed.second() == second {
            assert_eq!(batch.entries.len() as u32, VIEWER_ENTRIES_PER_SECOND);
        }
        assert!(viewer.next().is_empty(), "it is told once");
    }

    #[test]
    fn a_viewer_that_is_too_slow_is_told_what_it_has_missed() {
        let feed = Arc::<Feed>::default();
        let mut viewer = feed.enter().unwrap();
        viewer.set_filter(filter("{}"));
        for _ in 0..9000 {
            feed.ring.lock().push(0.0, FeedKind::Events, FeedDetails::default());
        }
        assert_eq!(viewer.next().missed, 9000 - 8192);
        assert_eq!(viewer.next().missed, 0);
    }

    #[test]
    fn what_is_told_at_once_is_bounded_and_the_rest_follows() {
        let feed = Arc::<Feed>::default();
        let mut viewer = feed.enter().unwrap();
        viewer.set_filter(filter("{}"));
        let reason: Box<str> = "x".repeat(ENTRY_TEXT_BYTES).into();
        for _ in 0..100 {
            let details = FeedDetails { reason: Some(reason.clone()), ..FeedDetails::default() };
            feed.ring.lock().push(0.0, FeedKind::Events, details);
        }
        let first = viewer.next().entries.len();
        assert!((16..20).contains(&first), "{first}");
        let mut told = first;
        while told < 100 {
            let more = viewer.next().entries.len();
            assert!(more > 0);
            told += more;
        }
    }

    #[test]
    fn there_are_so_many_viewers_at_once() {
        let feed = Arc::<Feed>::default();
        let viewers: Vec<_> = (0..VIEWERS).map(|_| feed.enter().unwrap()).collect();
        assert!(feed.enter().is_none());
        drop(viewers);
        assert!(feed.enter().is_some());
    }
}
