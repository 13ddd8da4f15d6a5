//! Many at once: what single steps prove must also hold while everybody acts at the same time, on every worker.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use heliostat_protocol_tests::message::Message;
use heliostat_protocol_tests::{Socket, Target, unique};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::{eventually, settle};

/// A client that keeps its own list of members, from the roster it was given and the events that followed, and
/// takes offence at any event that does not fit it.
struct Watcher {
    socket: Socket,
    user: String,
    rosters: BTreeMap<String, BTreeSet<String>>,
}

impl Watcher {
    fn new(target: &Target, user: String) -> Self {
        Watcher { socket: target.connect(), user, rosters: BTreeMap::new() }
    }

    /// Reads what has arrived.
    fn listen(&mut self) {
        for message in self.socket.drain() {
            self.hear(&message);
        }
    }

    fn hear(&mut self, message: &Message) {
        let Some(roster) = message.channel.as_ref().and_then(|channel| self.rosters.get_mut(channel)) else {
            return;
        };
        let user = || message.decoded()["user_id"].as_str().unwrap_or_default().to_owned();
        let fits = match message.event.as_str() {
            "pusher_internal:member_added" => roster.insert(user()),
            "pusher_internal:member_removed" => roster.remove(&user()),
            _ => true,
        };
        if !fits {
            self.socket.fail(&format!("{} does not fit the roster {roster:?}", message.whole));
        }
    }

    /// Joins the channel, or leaves it.
    fn toggle(&mut self, channel: &str) {
        if self.rosters.remove(channel).is_some() {
            self.socket.unsubscribe(channel);
            // What was on its way belongs to the subscription that has ended.
            self.listen();
            return;
        }
        self.socket.join(channel, &json!({ "user_id": self.user }).to_string());
        loop {
            let message = self.socket.message();
            if message.event == "pusher_internal:subscription_succeeded" {
                let ids = message.decoded()["presence"]["ids"].as_array().cloned().unwrap_or_default();
                let ids = ids.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                self.rosters.insert(channel.to_owned(), ids);
                return;
            }
            self.hear(&message);
        }
    }
}

/// What a watcher does, or what happens to it.
#[derive(Clone, Copy, Debug)]
enum Happening {
    BreakOff,
    Listen,
    /// It joins this channel, or leaves it.
    Toggle(usize),
}

/// One step of a history.
#[derive(Clone, Copy, Debug)]
struct Step {
    watcher: usize,
    happening: Happening,
}

/// Rosters, member events and the HTTP API agree after a storm of joins, departures and broken connections, by users
/// with several connections each.
///
/// Proves: 92, 97, 98, 99, 202.
#[test]
fn rosters_agree_after_a_storm() {
    const THREADS: usize = 4;
    const WATCHERS: usize = 6;
    const STEPS: usize = 60;
    let target = Target::main();
    let channels: [String; 2] = std::array::from_fn(|_| unique("presence-storm-"));
    let storm = |(thread, history): (usize, Vec<Step>)| {
        let (target, channels) = (target.clone(), channels.clone());
        thread::spawn(move || {
            let user = |n: usize| format!("u{}", (thread * WATCHERS + n) % 10);
            let mut watchers: Vec<Watcher> = (0..WATCHERS).map(|n| Watcher::new(&target, user(n))).collect();
            for Step { watcher: n, happening } in history {
                let watcher = &mut watchers[n];
                match happening {
                    Happening::BreakOff => {
                        watcher.socket.vanish();
                        *watcher = Watcher::new(&target, user(n));
                    }
                    Happening::Listen => watcher.listen(),
                    Happening::Toggle(channel) => watcher.toggle(&channels[channel]),
                }
            }
            watchers
        })
    };
    let happening = prop_oneof![
        1 => Just(Happening::BreakOff),
        3 => Just(Happening::Listen),
        8 => (0..channels.len()).prop_map(Happening::Toggle),
    ];
    let step = (0..WATCHERS, happening).prop_map(|(watcher, happening)| Step { watcher, happening });
    let storms: Vec<_> = histories(THREADS, STEPS, step).into_iter().enumerate().map(storm).collect();
    let mut watchers: Vec<Watcher> = storms.into_iter().flat_map(|storm| storm.join().unwrap()).collect();

    for channel in &channels {
        let present = watchers.iter().filter(|w| w.rosters.contains_key(channel)).map(|w| w.user.clone());
        let present: BTreeSet<String> = present.collect();
        eventually("the broken connections are noticed", || {
            (users(&target, channel) == present).then_some(())
        });
        let fence = unique("fence-");
        target.publish(channel, &fence, "");
        for watcher in watchers.iter_mut().filter(|w| w.rosters.contains_key(channel)) {
            loop {
                let message = watcher.socket.message();
                if message.event == fence {
                    break;
                }
                watcher.hear(&message);
            }
            assert_eq!(watcher.rosters[channel], present);
        }
    }
    drop(watchers);
    for channel in &channels {
        eventually("the channel is empty", || users(&target, channel).is_empty().then_some(()));
    }
}

fn users(target: &Target, channel: &str) -> BTreeSet<String> {
    let answer = target.get(&format!("/channels/{channel}/users")).send();
    let users = answer.json()["users"].as_array().cloned().unwrap_or_default();
    users.iter().filter_map(|user| user["id"].as_str()).map(str::to_owned).collect()
}

/// However many publish at once, every subscriber hears each of them in order, everything once and nothing twice.
///
/// Proves: 81, 113, 182.
#[test]
fn each_publisher_is_heard_in_order() {
    const EVENTS: u64 = 150;
    let Some(target) = Target::own(
        "[[apps]]\nid = \"1001\"\nkey = \"app-key\"\nsecret = \"app-secret\"\nclient_events = true\n\
         limits = { client_events_per_second = 0 }\n",
    ) else {
        return;
    };
    let channel = unique("private-order-");
    let mut subscribers: Vec<Socket> = (0..12).map(|_| target.connect()).collect();
    subscribers.iter_mut().for_each(|socket| socket.subscribe_private(&channel));
    let publishers = (0..6).map(|publisher: u64| {
        let (target, channel) = (target.clone(), channel.clone());
        thread::spawn(move || {
            let mut socket = publisher.is_multiple_of(2).then(|| target.connect());
            if let Some(socket) = &mut socket {
                socket.subscribe_private(&channel);
            }
            for n in 0..EVENTS {
                let data = json!({ "publisher": publisher, "n": n });
                match &mut socket {
                    Some(socket) => socket.trigger(&channel, "client-count", &data),
                    None => target.publish(&channel, "count", &data.to_string()),
                }
            }
            socket
        })
    });
    let publishers: Vec<_> = publishers.collect();
    let mut publishers: Vec<Socket> = publishers.into_iter().filter_map(|p| p.join().unwrap()).collect();
    // Each has been read to the end of what it said before the last word goes out.
    publishers.iter_mut().for_each(|socket| drop(socket.drain()));
    let fence = unique("fence-");
    target.publish(&channel, &fence, "");
    for socket in &mut subscribers {
        let mut heard = BTreeMap::<u64, u64>::new();
        loop {
            let message = socket.message();
            if message.event == fence {
                break;
            }
            let data = message.decoded();
            let next = heard.entry(data["publisher"].as_u64().unwrap()).or_default();
            assert_eq!(data["n"].as_u64(), Some(*next), "{}", message.whole);
            *next += 1;
        }
        assert_eq!(heard, (0..6).map(|publisher| (publisher, EVENTS)).collect());
    }
    settle(&target, &channel, &mut publishers);
}

/// A history of so many steps for each thread. They are the same in every run; what differs is how the threads meet, so
/// there is nothing that could be shrunk.
pub(crate) fn histories<S: Strategy>(threads: usize, steps: usize, step: S) -> Vec<Vec<S::Value>> {
    let mut runner = TestRunner::deterministic();
    let history = prop::collection::vec(step, steps);
    (0..threads).map(|_| history.new_tree(&mut runner).unwrap().current()).collect()
}
