//! What happens, told to those who watch: entries within bounds, made only while somebody wants them.
//!
//! Whoever has something to tell describes it by a [`FeedSubject`] and makes the entry only if a viewer wants it. Entries
//! are kept in one ring for all viewers; each reads it at its own pace, and hears how many it has missed where it was too
//! slow. So nobody who tells waits for anybody who watches, and nothing is kept for a viewer alone. It knows neither the
//! hub nor those who show entries.
//!
//! Where several nodes are one broker, each is a viewer of the others while it has viewers itself: what passes their filters is
//! passed on to it, within a share, and told here as what has happened there.

mod elsewhere;
mod entry;
mod filter;
mod heard;
mod kind;
mod pace;
mod passing;
mod payload;
mod place;
mod ring;
mod subject;
mod viewer;
mod words;

pub(crate) use entry::{ENTRY_TEXT_BYTES, FeedDetails, FeedEntry, ShownCause, ShownPayload, beginning};
pub(crate) use filter::WrittenFilter;
pub(crate) use heard::{FeedSources, NodeHearing};
pub(crate) use kind::FeedKind;
pub(crate) use passing::{Passing, WANTED_EVERY};
pub(crate) use payload::{KEPT_PAYLOAD_BYTES, KeptPayload};
pub(crate) use place::FeedPlace;
pub(crate) use subject::FeedSubject;
pub(crate) use viewer::{FeedBatch, FeedViewer, VIEWER_ENTRIES_PER_SECOND};
pub(crate) use words::WORD_BYTES;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use elsewhere::LossesElsewhere;
use entry::ToldEntry;
use filter::FeedFilter;
use pace::KindPace;
use ring::{FeedExcerpt, FeedRing};

/// Viewers at once.
pub(crate) const VIEWERS: usize = 8;

/// Other nodes at once whose viewers are told.
const NODES: usize = 8;

/// Entries of a kind that are made in a second, for all viewers. Of those beyond it their number is told.
const ENTRIES_PER_SECOND: u32 = 2000;

/// What happens, for those who watch.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Bits of the kinds that some viewer wants of this node: what nobody wants costs a look at this.
    wanted: AtomicU8,
    viewers: ArcSwap<Vec<Arc<ViewerPlace>>>,
    /// Held while a viewer comes or goes, or changes its mind.
    changing: Mutex<()>,
    ring: Mutex<FeedRing>,
    paces: [KindPace; FeedKind::ALL.len()],
    began: Instant,
    /// This node, where it is one of several.
    place: OnceLock<Arc<FeedPlace>>,
    /// What was lost of other nodes.
    elsewhere: LossesElsewhere,
    /// Grows when viewers here want something else.
    version: AtomicU64,
    /// Told of that.
    changed: Notify,
}

/// What is known of a viewer to those who tell: none wants anything before it has said what.
#[derive(Debug, Default)]
struct ViewerPlace {
    /// It wants what passes one of them.
    filters: ArcSwap<Vec<FeedFilter>>,
    /// It is another node.
    is_elsewhere: bool,
}

/// What there is of the feed, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FeedFigures {
    pub(crate) viewers: usize,
    /// Other nodes that are passed on what happens here.
    pub(crate) nodes: usize,
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
            place: OnceLock::new(),
            elsewhere: LossesElsewhere::default(),
            version: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }
}

impl Feed {
    /// Adds a viewer; `None` if there are as many as there may be.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<FeedViewer> {
        self.enter_at(ViewerPlace::default(), VIEWERS)
    }

    /// The same for another node.
    fn enter_for_node(self: &Arc<Self>) -> Option<FeedViewer> {
        self.enter_at(ViewerPlace { is_elsewhere: true, ..ViewerPlace::default() }, NODES)
    }

    fn enter_at(self: &Arc<Self>, place: ViewerPlace, most: usize) -> Option<FeedViewer> {
        let place = Arc::new(place);
        {
            let _changing = self.changing.lock();
            let viewers = self.viewers.load();
            if viewers.iter().filter(|viewer| viewer.is_elsewhere == place.is_elsewhere).count() >= most {
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
        let (kind, place) = (subject.kind, self.place.get().cloned());
        self.ring.lock().push(ToldEntry { at: exact_ms(at), kind, place, is_from_elsewhere: false, details });
    }

    /// This node is one of several. What is said first stays.
    pub(crate) fn set_place(&self, place: FeedPlace) {
        let _ = self.place.set(Arc::new(place));
    }

    /// This node, where it is one of several.
    pub(crate) fn place(&self) -> Option<&FeedPlace> {
        self.place.get().map(|place| &**place)
    }

    /// Waits until viewers here want something else than before.
    pub(crate) async fn until_changed(&self) {
        self.changed.notified().await;
    }

    /// Whether somebody watches at this node.
    fn is_watched_here(&self) -> bool {
        self.viewers.load().iter().any(|viewer| !viewer.is_elsewhere)
    }

    /// Takes what another node has passed on, if somebody watches here and there is room in this second.
    fn take_passed(&self, told: ToldEntry) {
        if self.is_watched_here() && self.elsewhere.takes(told.kind, self.second(), ENTRIES_PER_SECOND) {
            self.ring.lock().push(told);
        }
    }

    /// What viewers here want of other nodes.
    fn filters_for_others(&self) -> Vec<WrittenFilter> {
        let Some(place) = self.place() else { return Vec::new() };
        let viewers = self.viewers.load();
        let filters =
            viewers.iter().filter(|viewer| !viewer.is_elsewhere).map(|viewer| viewer.filters.load());
        let mut written: Vec<WrittenFilter> = Vec::new();
        for filter in filters.flat_map(|filters| filters.to_vec()) {
            if filter.wants_others(place) && !written.contains(filter.written()) {
                written.push(filter.written().clone());
            }
        }
        written
    }

    /// Grows when viewers here want something else.
    fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Whether some viewer wants things of this kind that happen on this node.
    pub(crate) fn wants_kind(&self, kind: FeedKind) -> bool {
        self.wanted.load(Ordering::Relaxed) & kind.bit() != 0
    }

    /// Whether some viewer wants one of these kinds, and may want it of this app on this node.
    pub(crate) fn wants_of_app(&self, kinds: &[FeedKind], app: &str) -> bool {
        let bits = kinds.iter().fold(0, |bits, kind| bits | kind.bit());
        self.has_filter(|filter| {
            filter.kinds() & bits != 0 && filter.wants_app(app) && filter.wants_node(self.place())
        })
    }

    /// Whether some viewer wants this.
    fn wants(&self, subject: &FeedSubject<'_>) -> bool {
        self.wants_kind(subject.kind)
            && self.has_filter(|filter| filter.wants(subject) && filter.wants_node(self.place()))
    }

    fn has_filter(&self, is: impl Fn(&FeedFilter) -> bool) -> bool {
        self.viewers.load().iter().any(|viewer| viewer.filters.load().iter().any(&is))
    }

    /// The payload of an entry of this node, while it is kept.
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
        let places = self.viewers.load();
        let viewers = places.iter().filter(|viewer| !viewer.is_elsewhere).count();
        FeedFigures { viewers, nodes: places.len() - viewers, bytes, entries, left_out }
    }

    /// A viewer has changed its mind.
    fn recount(&self, place: &ViewerPlace) {
        let _changing = self.changing.lock();
        self.count_wanted(place);
    }

    /// What is wanted has changed by this one.
    fn count_wanted(&self, place: &ViewerPlace) {
        let kinds = |viewer: &Arc<ViewerPlace>| {
            let filters = viewer.filters.load();
            let of_here = filters.iter().filter(|filter| filter.wants_node(self.place()));
            of_here.fold(0, |bits, filter| bits | filter.kinds())
        };
        let wanted = self.viewers.load().iter().fold(0, |bits, viewer| bits | kinds(viewer));
        self.wanted.store(wanted, Ordering::Relaxed);
        if !place.is_elsewhere {
            self.version.fetch_add(1, Ordering::Relaxed);
            self.changed.notify_one();
        }
    }

    /// A viewer has gone.
    fn leave(&self, place: &Arc<ViewerPlace>) {
        let _changing = self.changing.lock();
        let viewers = self.viewers.load();
        let others: Vec<_> = viewers.iter().filter(|viewer| !Arc::ptr_eq(viewer, place)).cloned().collect();
        let is_empty = others.is_empty();
        self.viewers.store(Arc::new(others));
        self.count_wanted(place);
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
            || FeedDetails { what: "event".into(), channel: Some(channel.into()), ..FeedDetails::default() };
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
    fn what_is_wanted_of_another_node_alone_costs_nothing_here() {
        let feed = Arc::<Feed>::default();
        feed.set_place(FeedPlace::new("1", "a"));
        let (mut viewer, kinds) = (feed.enter().unwrap(), [FeedKind::Events]);
        viewer.set_filter(filter(r#"{"node":"b"}"#));
        assert!(!feed.wants_kind(FeedKind::Events) && !feed.wants_of_app(&kinds, "1"));
        assert_eq!(feed.filters_for_others().len(), 1);
        viewer.set_filter(filter(r#"{"node":"a"}"#));
        assert!(feed.wants_kind(FeedKind::Events) && feed.wants_of_app(&kinds, "1"));
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
            feed.ring.lock().push(ToldEntry::of(FeedDetails::default()));
        }
        // What was lost between the nodes is no fault of the viewer's.
        feed.elsewhere.miss(5);
        let batch = viewer.next();
        assert_eq!((batch.missed, batch.lost), (9000 - 8192 + 5, 5));
        let batch = viewer.next();
        assert_eq!((batch.missed, batch.lost), (0, 0));
    }

    #[test]
    fn what_is_told_at_once_is_bounded_and_the_rest_follows() {
        let feed = Arc::<Feed>::default();
        let mut viewer = feed.enter().unwrap();
        viewer.set_filter(filter("{}"));
        let reason: Box<str> = "x".repeat(ENTRY_TEXT_BYTES).into();
        for _ in 0..100 {
            let details = FeedDetails { reason: Some(reason.clone()), ..FeedDetails::default() };
            feed.ring.lock().push(ToldEntry::of(details));
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
