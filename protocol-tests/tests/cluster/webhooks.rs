//! Webhooks: they speak of the cluster, each once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::nodes::NODE_APPS;
use heliostat_protocol_tests::{Engine, Node, Setup, Shared, Sink, Socket, patience, unique};
use serde_json::Value;

use crate::{eventually, member, sorted};

/// A removal delay within which somebody returns on any machine, and one within which a node starts as well.
const LONG_ENOUGH: f64 = 12.0;
const LONG_ENOUGH_TO_START: f64 = 30.0;

/// So long after the last node has come one node decides for each channel: ten seconds, a removal delay of one, and one more.
const SETTLED_WITHIN: Duration = Duration::from_secs(14);

/// The apps of nodes, of which the main one tells a sink of everything.
pub(crate) fn apps(sink: &Sink, removal_delay: f64) -> String {
    let hooks = format!(
        "[apps.webhook_delivery]\nremoval_delay_seconds = {removal_delay:.1}\n\
         [[apps.webhooks]]\nurl = \"{}\"\n\n[[apps]]\nid = \"1007\"",
        sink.url()
    );
    NODE_APPS.replacen("\n[[apps]]\nid = \"1007\"", &hooks, 1)
}

/// Waits, after the start of a cluster, until one node decides for each channel. Until then two may, and those who came last leave
/// what begins to the others.
fn await_one_decider() {
    let begun = Instant::now();
    eventually("one node decides for each channel", || (begun.elapsed() > SETTLED_WITHIN).then_some(()));
}

/// A sink for the main app.
pub(crate) fn sink() -> Sink {
    Sink::start(&Shared::Main.credentials())
}

/// The names of the events of a channel, in their order, and of each how often it was told under another id.
#[derive(Default)]
pub(crate) struct Told {
    names: BTreeMap<String, Vec<String>>,
    ids: BTreeMap<String, Value>,
}

impl Told {
    /// Reads until an event of this name on this channel was told.
    #[track_caller]
    pub(crate) fn until(&mut self, sink: &Sink, name: &str, channel: &str) {
        while !self.on(channel).iter().any(|known| known == name) {
            let webhook = sink.webhook_within(patience());
            let webhook = webhook.unwrap_or_else(|| panic!("no {name} of {channel} came; {:?}", self.names));
            for (id, event) in webhook.ids().into_iter().zip(webhook.events()) {
                // Both deciders may tell, under one id.
                if let Some(before) = self.ids.insert(id, event.clone()) {
                    assert_eq!(before, event, "one id for two things");
                    continue;
                }
                let mut name = event["name"].as_str().unwrap().to_owned();
                if let Some(user) = event["user_id"].as_str() {
                    name = format!("{name} {user}");
                }
                let channel = event["channel"].as_str().unwrap_or_default().to_owned();
                self.names.entry(channel).or_default().push(name);
            }
        }
    }

    pub(crate) fn on(&self, channel: &str) -> &[String] {
        self.names.get(channel).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The first subscriber of the cluster occupies a channel, the last vacates it, and a user's first and last connection are
/// told: each once, wherever they are.
///
/// Proves: N12.
#[test]
fn what_happens_in_the_cluster_is_told_once() {
    let (engine, sink) = (Engine::standalone(), sink());
    let nodes: [_; 3] = Setup::on(&engine).apps(&apps(&sink, 1.0)).start();
    let channels: Vec<String> = (0..10).map(|_| unique("presence-room-")).collect();
    let mut told = Told::default();
    for channel in &channels {
        let first = member(&nodes[0], channel, "ann");
        told.until(&sink, "channel_occupied", channel);
        told.until(&sink, "member_added ann", channel);
        let second = member(&nodes[1], channel, "ann");
        let third = member(&nodes[2], channel, "bob");
        told.until(&sink, "member_added bob", channel);
        first.close();
        second.close();
        told.until(&sink, "member_removed ann", channel);
        third.vanish();
        told.until(&sink, "channel_vacated", channel);
    }
    let end = unique("end-");
    let mut socket = nodes[0].target.connect();
    socket.subscribe(&end);
    told.until(&sink, "channel_occupied", &end);
    for channel in &channels {
        let mut names = told.on(channel).to_vec();
        names.sort_unstable();
        let wanted = [
            "channel_occupied",
            "channel_vacated",
            "member_added ann",
            "member_added bob",
            "member_removed ann",
            "member_removed bob",
        ];
        assert_eq!(names, wanted, "{:?}", told.on(channel));
    }
}

/// Who returns to another node within the delay was never away.
///
/// Proves: N12.
#[test]
fn a_quick_return_to_another_node_is_not_told() {
    let (engine, sink) = (Engine::standalone(), sink());
    let nodes: [_; 3] = Setup::on(&engine).apps(&apps(&sink, LONG_ENOUGH)).start();
    let channel = unique("presence-room-");
    let mut told = Told::default();
    let mut socket = member(&nodes[0], &channel, "ann");
    told.until(&sink, "member_added ann", &channel);
    // While two decide, each names the end of somebody who moves as it has heard of the moves.
    await_one_decider();
    for n in 1..7 {
        socket.vanish();
        socket = member(&nodes[n % 3], &channel, "ann");
    }
    socket.vanish();
    told.until(&sink, "channel_vacated", &channel);
    let mut names = told.on(&channel).to_vec();
    names.sort_unstable();
    assert_eq!(names, ["channel_occupied", "channel_vacated", "member_added ann", "member_removed ann"]);
}

/// A node dies that decided for some of the channels, and with it the last subscribers of all: every channel is told to be
/// vacated all the same, and no event has two ids.
///
/// Proves: N12, N6.
#[test]
fn nothing_is_lost_with_a_node_that_decided() {
    let (engine, sink) = (Engine::standalone(), sink());
    let nodes: [_; 3] = Setup::on(&engine).apps(&apps(&sink, 1.0)).start();
    let channels: Vec<String> = (0..30).map(|_| unique("room-")).collect();
    let mut told = Told::default();
    let mut socket = nodes[0].target.connect();
    for channel in &channels {
        socket.subscribe(channel);
    }
    for channel in &channels {
        told.until(&sink, "channel_occupied", channel);
    }
    nodes[0].broker().kill();
    for channel in &channels {
        told.until(&sink, "channel_vacated", channel);
    }
    for channel in &channels {
        assert_eq!(told.on(channel), ["channel_occupied", "channel_vacated"]);
    }
}

/// What happens elsewhere on a channel for which a node decides that has died, while nobody knows that it has, is told by another
/// one: what comes, and what has gone for good.
///
/// Proves: N12.
#[test]
fn what_happens_before_a_death_is_known_is_told() {
    let (engine, sink) = (Engine::standalone(), sink());
    let nodes: [_; 3] = Setup::on(&engine).apps(&apps(&sink, 1.0)).start();
    let mut told = Told::default();
    await_one_decider();
    nodes[0].broker().kill();
    let channels: Vec<String> = (0..30).map(|_| unique("room-")).collect();
    let mut socket = nodes[1].target.connect();
    channels.iter().for_each(|channel| socket.subscribe(channel));
    socket.close();
    for channel in &channels {
        told.until(&sink, "channel_vacated", channel);
        assert_eq!(told.on(channel), ["channel_occupied", "channel_vacated"]);
    }
}

/// A node that stops in order, while clients move to the others within the delay, tells nothing.
///
/// Proves: N7, N12.
#[test]
fn clients_that_move_from_a_stopping_node_are_not_told() {
    let (engine, sink) = (Engine::standalone(), sink());
    let nodes: [_; 3] = Setup::on(&engine).apps(&apps(&sink, LONG_ENOUGH)).start();
    let channel = unique("presence-room-");
    let mut told = Told::default();
    let mut watcher = member(&nodes[1], &channel, "watcher");
    let _ann = member(&nodes[0], &channel, "ann");
    told.until(&sink, "member_added ann", &channel);
    told.until(&sink, "member_added watcher", &channel);
    watcher.expect(crate::ADDED);
    nodes[0].broker().terminate();
    // At once for those who are subscribed.
    watcher.expect(crate::REMOVED);
    eventually("the third knows of it, too", || (nodes[2].users(&channel) == ["watcher"]).then_some(()));
    let mut back = member(&nodes[2], &channel, "ann");
    watcher.expect(crate::ADDED);
    let _ = nodes[0].broker().await_exit(patience());
    back.assert_silence();
    Socket::close(back);
    told.until(&sink, "member_removed ann", &channel);
    let mut names = told.on(&channel).to_vec();
    names.sort_unstable();
    assert_eq!(names, ["channel_occupied", "member_added ann", "member_added watcher", "member_removed ann"]);
    assert_eq!(nodes[1].users(&channel), ["watcher"]);
}

/// Nodes are restarted one after the other while removals are held back: a node that has come since announces nobody who returns
/// in time, for it does not know that they were there before; and who does not return is told to have gone, although one of the
/// two nodes that know of it has stopped.
///
/// Proves: N7, N12.
#[test]
fn what_is_held_back_while_nodes_come_and_go_is_told_if_it_lasts() {
    let (engine, sink) = (Engine::standalone(), sink());
    let setup = Setup::on(&engine).apps(&apps(&sink, LONG_ENOUGH_TO_START));
    let [a, b] = setup.start();
    let rooms = || -> Vec<String> { (0..12).map(|_| unique("presence-room-")).collect() };
    let (of_ann, of_dan) = (rooms(), rooms());
    let join = |node: &Node, channels: &[String], user: &str| {
        let mut socket = node.target.connect();
        for channel in channels {
            socket.subscribe_presence(channel, user, &Value::Null);
        }
        socket
    };
    let mut told = Told::default();
    let (ann, dan) = (join(&a, &of_ann, "ann"), join(&a, &of_dan, "dan"));
    of_ann.iter().for_each(|channel| told.until(&sink, "member_added ann", channel));
    of_dan.iter().for_each(|channel| told.until(&sink, "member_added dan", channel));
    ann.close();
    dan.close();
    eventually("all have left", || {
        of_ann.iter().chain(&of_dan).all(|channel| b.users(channel).is_empty()).then_some(())
    });
    let c = setup.start_node(&Setup::name(2));
    let _ann = join(&b, &of_ann, "ann");
    eventually("the new node knows of her", || {
        of_ann.iter().all(|channel| c.users(channel) == ["ann"]).then_some(())
    });
    let mut bob = join(&c, &of_ann, "bob");
    for channel in &of_ann {
        // What the new node told of her, it told before this.
        bob.trigger(channel, "client-hello", &Value::Null);
        told.until(&sink, "client_event bob", channel);
        told.until(&sink, "member_added bob", channel);
    }
    a.broker().terminate();
    let _ = a.broker().await_exit(patience());
    for channel in &of_dan {
        told.until(&sink, "member_removed dan", channel);
        told.until(&sink, "channel_vacated", channel);
        let names = ["channel_occupied", "channel_vacated", "member_added dan", "member_removed dan"];
        assert_eq!(sorted(told.on(channel)), names);
    }
    for channel in &of_ann {
        let names = ["channel_occupied", "client_event bob", "member_added ann", "member_added bob"];
        assert_eq!(sorted(told.on(channel)), names);
    }
}
