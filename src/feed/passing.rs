//! What this node passes on to others, on which somebody watches: within a share of what a viewer is told of, and only for as long
//! as it is asked to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::viewer::FeedShare;
use super::words::{FeedWanted, PassedBatch, PassedSoFar};
use super::{Feed, FeedViewer, WrittenFilter};
use crate::channel::NodeId;

/// How often a node says what its viewers want.
pub(crate) const WANTED_EVERY: Duration = Duration::from_secs(2);

/// How long it holds that a node wants something, and that it passes something on.
pub(crate) const HOLDS_FOR: Duration = Duration::from_secs(6);

/// What this node passes on, and to whom: to few nodes at once, as there are few viewers at once.
pub(crate) struct Passing {
    feed: Arc<Feed>,
    to: BTreeMap<NodeId, PassedTo>,
    /// How often it has begun to.
    begun: u64,
}

/// What one node is passed.
struct PassedTo {
    viewer: FeedViewer,
    filters: Vec<WrittenFilter>,
    until: Instant,
    so_far: PassedSoFar,
    /// It is to be said that this node is there, or what was left out, also if there is no entry.
    is_to_answer: bool,
}

impl Passing {
    /// Nothing yet.
    pub(crate) fn new(feed: Arc<Feed>) -> Self {
        Passing { feed, to: BTreeMap::new(), begun: 0 }
    }

    /// A node says what its viewers want. Whether that is something else than before.
    pub(crate) fn hear(&mut self, by: NodeId, word: &[u8], now: Instant) -> bool {
        let Some(FeedWanted { version, filters }) = FeedWanted::decode(word) else { return false };
        if filters.is_empty() {
            return self.to.remove(&by).is_some();
        }
        if !self.to.contains_key(&by) {
            let Some(viewer) = self.feed.enter_for_node() else { return false };
            self.begun += 1;
            let so_far = PassedSoFar { passing: self.begun, ..PassedSoFar::default() };
            let new = PassedTo { viewer, filters: Vec::new(), until: now, so_far, is_to_answer: false };
            self.to.insert(by, new);
        }
        let Some(to) = self.to.get_mut(&by) else { return false };
        (to.until, to.so_far.version, to.is_to_answer) = (now + HOLDS_FOR, version, true);
        if to.filters == filters {
            return false;
        }
        // One that this release cannot read is left out: its viewer is told of less than there is, but never of anything else.
        let read = filters.iter().filter_map(|filter| filter.clone().read().ok());
        to.viewer.change_filters(read.collect());
        to.filters = filters;
        true
    }

    /// Passes on what has come, to each node its share of so many, by `say`, which tells whether there was room. Whether some node
    /// is passed nothing more, as it has not said again that it wants something.
    pub(crate) fn pass_on(
        &mut self,
        now: Instant,
        nodes: usize,
        mut say: impl FnMut(NodeId, Bytes) -> bool,
    ) -> bool {
        let before = self.to.len();
        self.to.retain(|_, to| now < to.until);
        for (node, to) in &mut self.to {
            to.viewer.set_share(FeedShare::of_nodes(nodes));
            to.pass_on(|word| say(*node, word));
        }
        self.to.len() != before
    }

    /// Whether nobody wants anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.to.is_empty()
    }
}

impl PassedTo {
    fn pass_on(&mut self, mut say: impl FnMut(Bytes) -> bool) {
        let batch = self.viewer.next();
        if batch.is_empty() && !self.is_to_answer {
            return;
        }
        for (kind, more) in batch.left_out {
            *self.so_far.left_out.entry(kind.to_owned()).or_default() += more;
        }
        self.so_far.missed += batch.missed;
        self.is_to_answer = false;
        for (word, entries) in PassedBatch::encode(self.so_far.clone(), batch.entries) {
            // What is behind a word that was not said would say that more was told before it than was.
            if !self.is_to_answer && say(word) {
                self.so_far.told += entries.len() as u64;
                continue;
            }
            // How many they were is said when there is room.
            self.is_to_answer = true;
            for entry in entries {
                *self.so_far.left_out.entry(entry.kind.name().to_owned()).or_default() += 1;
            }
        }
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passing").field("to", &self.to.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FeedDetails, FeedKind, FeedPlace, FeedSources, FeedSubject, NodeHearing, WORD_BYTES};
    use super::*;

    const HERE: NodeId = NodeId::new(1);
    const THERE: NodeId = NodeId::new(2);

    /// Two nodes: one on which somebody watches, and one that passes on to it.
    struct TwoNodes {
        here: Arc<Feed>,
        there: Arc<Feed>,
        heard: FeedSources,
        passing: Passing,
        now: Instant,
    }

    impl TwoNodes {
        fn new() -> Self {
            let [here, there] = [Arc::<Feed>::default(), Arc::default()];
            here.set_place(FeedPlace::new("1", "a"));
            there.set_place(FeedPlace::new("2", "b"));
            let passing = Passing::new(Arc::clone(&there));
            TwoNodes { here, there, heard: FeedSources::default(), passing, now: Instant::now() }
        }

        /// What is wanted here is said to the other one. Whether that is something new.
        fn ask(&mut self) -> bool {
            let word = self.here.wanted_elsewhere().unwrap_or_else(|| self.here.nothing_wanted());
            self.passing.hear(HERE, &word, self.now)
        }

        /// What the other one passes on comes here, if there is room for it. How many words it was.
        fn pass_on(&mut self, has_room: impl Fn(usize) -> bool) -> usize {
            let (mut words, mut said) = (Vec::new(), 0);
            self.passing.pass_on(self.now, 1, |node, word| {
                assert_eq!(node, HERE);
                said += 1;
                let has_room = has_room(said);
                words.extend(has_room.then_some(word));
                has_room
            });
            let place = Arc::new(FeedPlace::new("2", "b"));
            for word in words {
                assert!(word.len() <= WORD_BYTES);
                assert!(self.heard.hear(&self.here, (THERE, &place), &word, self.now));
            }
            said
        }
    }

    fn tell(feed: &Feed, channel: &str, reason: &str) {
        let subject = FeedSubject { channel: Some(channel), ..FeedSubject::in_app(FeedKind::Events, "1") };
        feed.tell(&subject, || FeedDetails {
            what: "event".into(),
            channel: Some(channel.into()),
            reason: Some(reason.into()),
            ..FeedDetails::default()
        });
    }

    fn filter(json: &str) -> crate::feed::filter::FeedFilter {
        serde_json::from_str::<WrittenFilter>(json).unwrap().read().unwrap()
    }

    #[test]
    fn what_happens_elsewhere_is_told_here_while_somebody_watches() {
        let mut nodes = TwoNodes::new();
        tell(&nodes.there, "room-0", "nobody has asked");
        let mut viewer = nodes.here.enter().unwrap();
        assert!(nodes.here.wanted_elsewhere().is_none(), "it has not said what it wants");
        viewer.set_filter(filter(r#"{"channel":"room-*"}"#));
        assert_eq!(nodes.heard.of(&nodes.here, THERE, nodes.now), NodeHearing::Silent);
        assert!(nodes.ask() && !nodes.ask(), "it is said again, and is nothing new");
        assert_eq!(nodes.pass_on(|_| true), 1, "an answer, though nothing has happened");
        assert_eq!(nodes.heard.of(&nodes.here, THERE, nodes.now), NodeHearing::Passes);
        tell(&nodes.there, "room-1", "");
        tell(&nodes.there, "den", "");
        tell(&nodes.here, "room-2", "");
        assert_eq!((nodes.pass_on(|_| true), nodes.pass_on(|_| true)), (1, 0));
        let told: Vec<serde_json::Value> =
            viewer.next().entries.iter().map(|entry| serde_json::from_str(entry.json()).unwrap()).collect();
        let of = |told: &serde_json::Value| {
            (told["channel"].clone(), told["node"].clone(), told["node_name"].clone())
        };
        let expected = [("room-2", "1", "a"), ("room-1", "2", "b")];
        assert_eq!(
            told.iter().map(of).collect::<Vec<_>>(),
            expected.map(|(c, n, m)| (c.into(), n.into(), m.into()))
        );
        viewer.set_filter(filter(r#"{"node":"b"}"#));
        assert_eq!(nodes.heard.of(&nodes.here, THERE, nodes.now), NodeHearing::Late);
        assert!(nodes.ask());
        tell(&nodes.here, "room-3", "");
        tell(&nodes.there, "room-4", "");
        nodes.pass_on(|_| true);
        assert_eq!(viewer.next().entries.len(), 1, "of one node");
        viewer.set_filter(filter(r#"{"node":"a"}"#));
        assert!(nodes.here.wanted_elsewhere().is_none(), "of this node alone");
        assert!(nodes.ask() && nodes.passing.is_idle());
        assert!(!nodes.there.wants_kind(FeedKind::Events), "it costs nothing there any more");
    }

    #[test]
    fn what_nobody_asks_for_again_ends_and_there_are_only_so_many_nodes() {
        let mut nodes = TwoNodes::new();
        let mut viewer = nodes.here.enter().unwrap();
        viewer.set_filter(filter("{}"));
        assert!(nodes.ask());
        let word = nodes.here.wanted_elsewhere().unwrap();
        for other in 10..30 {
            nodes.passing.hear(NodeId::new(other), &word, nodes.now);
        }
        assert_eq!((nodes.passing.to.len(), nodes.there.figures().nodes), (8, 8));
        assert_eq!(nodes.there.figures().viewers, 0, "they take no place of those who watch there");
        nodes.now += HOLDS_FOR;
        assert_eq!(nodes.pass_on(|_| true), 0);
        assert!(nodes.passing.is_idle() && !nodes.there.wants_kind(FeedKind::Events));
        assert_eq!(nodes.heard.of(&nodes.here, THERE, nodes.now), NodeHearing::Silent);
    }

    #[test]
    fn what_has_no_room_on_the_bus_is_left_out_and_told() {
        let mut nodes = TwoNodes::new();
        let mut viewer = nodes.here.enter().unwrap();
        viewer.set_filter(filter("{}"));
        nodes.ask();
        (0..3).for_each(|_| tell(&nodes.there, "room", ""));
        assert_eq!(nodes.pass_on(|_| false), 1);
        assert!(viewer.next().is_empty());
        tell(&nodes.there, "room", "");
        nodes.pass_on(|_| true);
        let batch = viewer.next();
        assert_eq!((batch.entries.len(), batch.left_out.get("events"), batch.missed), (1, Some(&3), 0));
        // A word that is lost on the way.
        tell(&nodes.there, "room", "");
        nodes.passing.pass_on(nodes.now, 1, |_, _| true);
        tell(&nodes.there, "room", "");
        nodes.pass_on(|_| true);
        let batch = viewer.next();
        assert_eq!((batch.entries.len(), batch.missed), (1, 1), "{:?}", batch.left_out);
    }

    #[test]
    fn a_node_passes_on_no_more_than_its_share_and_says_how_much_it_left_out() {
        let mut nodes = TwoNodes::new();
        let mut viewer = nodes.here.enter().unwrap();
        viewer.set_filter(filter("{}"));
        nodes.ask();
        let long = "x".repeat(10_000);
        (0..400).for_each(|_| tell(&nodes.there, "room", &long));
        // One that is too long for a word.
        tell(&nodes.there, "room", &"\u{1}".repeat(WORD_BYTES / 6));
        let (mut told, mut left_out) = (0, 0);
        for _ in 0..20 {
            nodes.pass_on(|_| true);
            let batch = viewer.next();
            told += batch.entries.len() as u64;
            left_out += batch.left_out.values().sum::<u64>();
            assert_eq!(batch.missed, 0);
        }
        assert_eq!(told + left_out, 401);
        // A share of 1 MiB, or two if the second has changed meanwhile.
        assert!((100..=230).contains(&told), "{told}");
    }

    #[test]
    fn whatever_a_node_says_harms_nobody() {
        let mut nodes = TwoNodes::new();
        let mut viewer = nodes.here.enter().unwrap();
        viewer.set_filter(filter("{}"));
        let place = Arc::new(FeedPlace::new("2", "b"));
        let head = r#""passing":1,"version":0,"told":18446744073709551615,"missed":18446744073709551615"#;
        let long = format!(r#"{{{head},"left_out":{{}},"entries":[]}}{}"#, " ".repeat(WORD_BYTES));
        let nested = "[".repeat(WORD_BYTES / 2);
        for bad in ["", "{", "null", "[]", r#"{"entries":[]}"#, &long, &nested] {
            assert!(!nodes.heard.hear(&nodes.here, (THERE, &place), bad.as_bytes(), nodes.now), "{bad:.40}");
            assert!(!nodes.passing.hear(HERE, bad.as_bytes(), nodes.now), "{bad:.40}");
        }
        let most = r#"{"events":18446744073709551615,"dances":1}"#;
        let entry = |kind: &str| {
            // As if this node kept it.
            let data = r#"{"bytes":3,"media_type":"image/png","members":"{}","payload":"/console/live/payloads/1/1"}"#;
            format!(
                r#"{{"seq":1,"at":8e15,"kind":"{kind}","what":"<b>","node":"1","data":{data},"later":[{{}}]}}"#
            )
        };
        for passing in [1, 1, 2] {
            let head = head.replace("\"passing\":1", &format!("\"passing\":{passing}"));
            let entries = [entry("events"), entry("dances")].join(",");
            let word = format!(r#"{{{head},"left_out":{most},"entries":[{entries}]}}"#);
            assert!(nodes.heard.hear(&nodes.here, (THERE, &place), word.as_bytes(), nodes.now));
        }
        let batch = viewer.next();
        assert_eq!(batch.entries.len(), 3, "those of a kind that this release knows");
        let told: serde_json::Value = serde_json::from_str(batch.entries[0].json()).unwrap();
        assert_eq!(
            (&told["node"], &told["what"]),
            (&"2".into(), &"<b>".into()),
            "it is of the node that has said it"
        );
        assert_eq!(told["data"]["payload"], serde_json::Value::Null, "nothing that a page would fetch");
        let filters = [r#"{"text":"x"}"#; 9].join(",");
        let word = format!(r#"{{"version":1,"filters":[{filters}]}}"#);
        assert!(!nodes.passing.hear(HERE, word.as_bytes(), nodes.now), "more than a node has viewers");
        let word = r#"{"version":1,"filters":[{"channel":"a*b*"},{"kinds":["api"]}]}"#;
        assert!(nodes.passing.hear(HERE, word.as_bytes(), nodes.now));
        assert!(nodes.there.wants_kind(FeedKind::Api) && !nodes.there.wants_kind(FeedKind::Events));
    }

    #[test]
    fn a_long_filter_is_not_said() {
        let nodes = TwoNodes::new();
        let mut viewer = nodes.here.enter().unwrap();
        viewer.set_filter(filter(&format!(r#"{{"text":"{}"}}"#, "x".repeat(5000))));
        assert!(nodes.here.wanted_elsewhere().unwrap().ends_with(br#""filters":[{}]}"#));
    }
}
