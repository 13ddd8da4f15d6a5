//! What happens on the other nodes: they are asked for it while somebody watches here, and asked the same by them.
//!
//! One task of the console does all of it, ten times in a second while there is something to do. What other nodes say waits for it in
//! a queue of its own, so that nobody who takes their words waits for the console.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::Console;
use crate::channel::NodeId;
use crate::feed::{Feed, FeedPlace, FeedSources, NodeHearing, Passing, WANTED_EVERY, WORD_BYTES};
use crate::hub::{FeedHearer, FeedWord};

/// Words of other nodes that wait. What comes beyond them is lost, and viewers are told how much that was.
const WORDS: usize = 64;

/// The time between two turns.
const TURN_EVERY: Duration = Duration::from_millis(100);

/// Turns between two looks at who is there.
const LOOK_EVERY: u32 = 10;

/// How long a node may take to answer before viewers are told that nothing is heard of it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(4);

/// What is told of a node of which nothing is heard.
const WHY_SILENT: &str =
    "it passes nothing on: its admin listener is off, its release is an older one, or it is too busy";

/// What is told of all nodes while that is no fault of theirs.
const WHY_AWAY: &str = "it cannot be heard: the bus between the nodes is away";

/// The seam between those who take what other nodes say, the task that does what they ask for, and viewers.
#[derive(Debug)]
pub(super) struct FeedAround {
    said: mpsc::Sender<(NodeId, FeedWord)>,
    /// The other end, until the task takes it.
    words: Mutex<Option<mpsc::Receiver<(NodeId, FeedWord)>>>,
    /// What viewers are told of the other nodes, while one watches them.
    told: ArcSwapOption<String>,
}

impl FeedAround {
    pub(super) fn new() -> Arc<Self> {
        let (said, words) = mpsc::channel(WORDS);
        Arc::new(FeedAround { said, words: Mutex::new(Some(words)), told: ArcSwapOption::empty() })
    }

    /// What viewers are told of the other nodes: another value when that has changed.
    pub(super) fn told(&self) -> Option<Arc<String>> {
        self.told.load_full()
    }
}

impl FeedHearer for FeedAround {
    fn hear(&self, from: NodeId, word: FeedWord) {
        if word.bytes().len() > WORD_BYTES {
            return;
        }
        // A copy: it would hold the whole message of which it is a part.
        let copy = |bytes: Bytes| Bytes::copy_from_slice(&bytes);
        let word = match word {
            FeedWord::Wanted(bytes) => FeedWord::Wanted(copy(bytes)),
            FeedWord::Passed(bytes) => FeedWord::Passed(copy(bytes)),
        };
        // Who says it counts what it says, so the gap is seen.
        let _ = self.said.try_send((from, word));
    }
}

impl Console {
    /// Hears of other nodes what happens there while somebody watches here, and tells them what happens here, until it is dropped.
    pub(crate) async fn watch_around(self: Arc<Self>) {
        let Some(mut words) = self.around.words.lock().take() else { return };
        let feed = Arc::clone(self.feed());
        let mut turns = interval(TURN_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut around = WatchAround::new(self);
        loop {
            tokio::select! {
                Some((from, word)) = words.recv() => around.take(from, &word),
                () = feed.until_changed() => around.is_to_ask = true,
                _ = turns.tick(), if around.is_busy() => around.turn(),
            }
        }
    }
}

/// What the task knows.
struct WatchAround {
    console: Arc<Console>,
    feed: Arc<Feed>,
    passing: Passing,
    heard: FeedSources,
    /// The other nodes, each since it was seen here first, while one of them is watched.
    nodes: BTreeMap<NodeId, (Arc<FeedPlace>, Instant)>,
    turn: u32,
    /// What is wanted of others is to be said at the next turn.
    is_to_ask: bool,
    /// Since when something has been wanted of others.
    asks_since: Option<Instant>,
    /// When the bus was away last.
    away_at: Option<Instant>,
    /// What is told of the nodes.
    shown: Vec<(NodeId, ShownHearing)>,
}

/// What viewers are told of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShownHearing {
    /// It passes on what they want.
    Passes,
    /// Nothing: it may still answer.
    NotYet,
    /// Nothing is heard of it, for this reason.
    Silent(&'static str),
}

impl ShownHearing {
    /// Of a node of which this is heard, and which may still be about to answer.
    fn of(heard: NodeHearing, is_away: bool, may_be_silent: bool) -> Self {
        if is_away {
            return ShownHearing::Silent(WHY_AWAY);
        }
        match heard {
            NodeHearing::Passes => ShownHearing::Passes,
            NodeHearing::Silent if !may_be_silent => ShownHearing::Silent(WHY_SILENT),
            NodeHearing::Late | NodeHearing::Silent => ShownHearing::NotYet,
        }
    }
}

impl WatchAround {
    fn new(console: Arc<Console>) -> Self {
        let feed = Arc::clone(console.feed());
        WatchAround {
            passing: Passing::new(Arc::clone(&feed)),
            heard: FeedSources::default(),
            nodes: BTreeMap::new(),
            turn: 0,
            is_to_ask: false,
            asks_since: None,
            away_at: None,
            shown: Vec::new(),
            console,
            feed,
        }
    }

    fn is_busy(&self) -> bool {
        self.is_to_ask || self.asks_since.is_some() || !self.passing.is_idle()
    }

    /// Another node has said something.
    fn take(&mut self, from: NodeId, word: &FeedWord) {
        let now = Instant::now();
        match word {
            FeedWord::Wanted(word) => {
                if self.passing.hear(from, word, now) {
                    self.console.look_at_watched();
                    self.look_at_nodes();
                }
            }
            FeedWord::Passed(word) if self.asks_since.is_some() => {
                if !self.nodes.contains_key(&from) {
                    self.look_at_nodes();
                }
                if let Some((place, _)) = self.nodes.get(&from) {
                    self.heard.hear(&self.feed, (from, place), word, now);
                }
            }
            // What comes after nobody watches any more.
            FeedWord::Passed(_) => {}
        }
    }

    fn turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        let (now, wanted_every) = (Instant::now(), WANTED_EVERY.as_millis() / TURN_EVERY.as_millis());
        if self.is_to_ask || u128::from(self.turn).is_multiple_of(wanted_every) {
            self.ask(now);
        }
        if self.turn.is_multiple_of(LOOK_EVERY) {
            self.look_at_nodes();
            // There may be other apps.
            self.console.look_at_watched();
        }
        self.pass_on(now);
        self.tell_viewers(now);
    }

    /// Says what viewers here want of others, or that it is nothing any more.
    fn ask(&mut self, now: Instant) {
        let wanted = self.feed.wanted_elsewhere();
        let is_over = wanted.is_none();
        self.is_to_ask = match wanted.or_else(|| self.asks_since.map(|_| self.feed.nothing_wanted())) {
            None => false,
            Some(word) => {
                let bus = self.console.hub.bus();
                // Where there is no room it is said again, and what is wanted no more ends by itself.
                !bus.is_some_and(|bus| bus.say_of_feed(None, FeedWord::Wanted(word))) && !is_over
            }
        };
        if is_over {
            self.asks_since = None;
            self.look_at_nodes();
        } else if self.asks_since.is_none() {
            self.asks_since = Some(now);
            self.look_at_nodes();
        }
    }

    /// Who is there, while that is of interest.
    fn look_at_nodes(&mut self) {
        if !self.is_busy() {
            return self.nodes.clear();
        }
        let peers = self.console.readiness.cluster().map(|cluster| cluster.peers).unwrap_or_default();
        let nodes = peers.iter().map(|peer| {
            let known = self.nodes.get(&peer.id).filter(|(place, _)| *place.name == *peer.name);
            let new = || (Arc::new(FeedPlace::new(&peer.id.to_string(), &peer.name)), Instant::now());
            (peer.id, known.cloned().unwrap_or_else(new))
        });
        self.nodes = nodes.collect();
        self.heard.keep(|node| self.nodes.contains_key(&node));
    }

    fn pass_on(&mut self, now: Instant) {
        if self.passing.is_idle() {
            return;
        }
        let bus = self.console.hub.bus();
        let say = |node: NodeId, word: Bytes| {
            bus.as_ref().is_some_and(|bus| bus.say_of_feed(Some(node), FeedWord::Passed(word)))
        };
        if self.passing.pass_on(now, self.nodes.len(), say) {
            self.console.look_at_watched();
        }
    }

    /// Viewers are told which nodes pass on what they want, and of which nothing is heard.
    fn tell_viewers(&mut self, now: Instant) {
        let Some(asked) = self.asks_since else {
            self.shown.clear();
            return self.console.around.told.store(None);
        };
        let is_away = self.console.hub.bus().is_some_and(|bus| bus.is_away());
        if is_away {
            self.away_at = Some(now);
        }
        let shown = self.nodes.iter().map(|(node, (_, seen))| {
            let could_answer = self.away_at.max(Some(asked.max(*seen)));
            let may_be_silent = could_answer.is_some_and(|since| now < since + ANSWERS_WITHIN);
            (*node, ShownHearing::of(self.heard.of(&self.feed, *node, now), is_away, may_be_silent))
        });
        let shown: Vec<_> = shown.collect();
        if shown == self.shown && self.console.around.told.load().is_some() {
            return;
        }
        self.shown = shown;
        let (mut passing, mut silent, mut awaited) = (Vec::<Value>::new(), Vec::new(), Vec::new());
        for (node, shown) in &self.shown {
            let Some((place, _)) = self.nodes.get(node) else { continue };
            let of_node = json!({ "node": place.id, "name": place.name });
            match shown {
                ShownHearing::Passes => passing.push(of_node),
                ShownHearing::NotYet => awaited.push(of_node),
                ShownHearing::Silent(why) => {
                    silent.push(json!({ "node": place.id, "name": place.name, "why": why }));
                }
            }
        }
        let told =
            json!({ "type": "nodes", "passing": passing, "silent": silent, "awaited": awaited }).to_string();
        self.console.around.told.store(Some(Arc::new(told)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_bus_is_away_no_node_is_blamed() {
        use NodeHearing::{Late, Passes, Silent};
        let heard = [Passes, Late, Silent];
        let while_away = heard.map(|heard| ShownHearing::of(heard, true, true));
        assert_eq!(while_away, [ShownHearing::Silent(WHY_AWAY); 3]);
        assert_eq!(
            heard.map(|heard| ShownHearing::of(heard, false, true)),
            [ShownHearing::Passes, ShownHearing::NotYet, ShownHearing::NotYet]
        );
        assert_eq!(
            heard.map(|heard| ShownHearing::of(heard, false, false)),
            [ShownHearing::Passes, ShownHearing::NotYet, ShownHearing::Silent(WHY_SILENT)]
        );
    }
}
