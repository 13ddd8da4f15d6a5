//! Clients with names that come to a node while others may know them: what their joins wait for, and what becomes of an answer that
//! comes late, or of a name that has gone on.

use crate::app::{App, ChannelSettings, Delivery, HistoryBounds};
use crate::channel::NodeId;
use crate::hub::NameWord;
use crate::hub::bus_world::{BusPeer, BusWorld};
use crate::protocol::pattern::Pattern;
use crate::protocol::{ChannelName, SocketId};
use crate::recovery::{NameNote, TakenName, TakenNote};

const PATH: &str = "/r/a-name-of-22-letters-001/app/k";

const ELSEWHERE: NodeId = NodeId::new(0xe15e);

/// As much as there is.
const ALL: (usize, usize) = (1000, 1 << 20);

fn run(test: impl AsyncFnOnce(BusWorld)) {
    let keeps = |app: &mut App| {
        let pattern = Pattern::parse("*").unwrap();
        let history = Some(HistoryBounds::default());
        app.channels = vec![ChannelSettings { pattern, delivery: Delivery::Every, history, video: None }];
    };
    BusWorld::with_listeners(Vec::new(), keeps, async |world| {
        world.bus.keep_names();
        test(world).await;
    });
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name, 164).unwrap()
}

/// A name that this node has taken, of which nothing was known.
fn taken(world: &BusWorld) -> (TakenName, TakenNote) {
    let me = world.hub.node_id();
    let note = NameNote::taken_by((me, SocketId::new(1, 1)), None, 1);
    let note = TakenNote { node: me, turn: note.turn, taken_ms: 1, bytes: note.encode() };
    (TakenName::Taken { note: note.clone(), before: None }, note)
}

async fn has_joined(world: &BusWorld, peer: &mut BusPeer, name: &str) {
    peer.join(world, &channel(name), None);
    let (_, answer) = world.bus.take_asked_names().pop().unwrap();
    answer.send(taken(world).0).unwrap();
    world.answers(peer).await;
}

#[test]
fn joins_wait_together_until_it_is_known_what_other_nodes_know() {
    run(async |world| {
        let mut peer = world.peer_at(PATH);
        peer.join(&world, &channel("a"), None);
        peer.join(&world, &channel("b"), None);
        world.settle().await;
        assert!(peer.sent.is_empty());
        let mut asked = world.bus.take_asked_names();
        let (_, answer) = asked.pop().unwrap();
        assert!(asked.is_empty(), "it is asked once");
        answer.send(TakenName::Foreign).unwrap();
        world.until("both are told", || peer.has_been_sent("pusher:resumed") == 2).await;
        assert_eq!(world.answers(&peer).await.len(), 2);
        peer.join(&world, &channel("c"), None);
        assert!(world.bus.take_asked_names().is_empty(), "nor again");
        world.disconnect(&peer, &[&channel("a"), &channel("b"), &channel("c")]);
        // What the channels keep stays for a while.
        world.until("what it claimed is released", || world.bus.claims() == 0).await;
    });
}

#[test]
fn who_has_no_name_waits_for_nothing_and_nobody_does_while_the_bus_is_away() {
    run(async |world| {
        let mut unnamed = world.peer();
        unnamed.join(&world, &channel("a"), None);
        world.until("it has joined", || unnamed.has_been_sent("subscription_succeeded") == 1).await;
        world.bus.go_away();
        let mut named = world.peer_at(PATH);
        named.join(&world, &channel("a"), None);
        world.until("it has joined", || named.has_been_sent("pusher:resumed") == 1).await;
        assert!(world.bus.take_asked_names().is_empty());
        assert_eq!(world.hub.name_figures().names.held, 1, "this node knows it");
    });
}

#[test]
fn an_answer_that_comes_late_makes_the_name_this_node_s_all_the_same() {
    run(async |world| {
        let mut peer = world.peer_at(PATH);
        peer.join(&world, &channel("a"), None);
        let (number, answer) = world.bus.take_asked_names().pop().unwrap();
        assert_eq!(world.answers(&peer).await.len(), 1, "it waits for a second and no longer");
        let (came, note) = taken(&world);
        answer.send(came).unwrap();
        let mut changes = Vec::new();
        world
            .until("it is known", || {
                changes = world.hub.changed_names(true, ALL);
                changes.iter().any(|change| change.expected.as_ref() == Some(&note.bytes))
            })
            .await;
        assert!(changes.iter().all(|change| change.number == number));
        assert_eq!(world.hub.name_figures().notes.late, 1);
    });
}

#[test]
fn a_name_that_comes_when_its_connection_has_ended_is_kept_for_its_return() {
    run(async |world| {
        let mut peer = world.peer_at(PATH);
        peer.join(&world, &channel("a"), None);
        let (_, answer) = world.bus.take_asked_names().pop().unwrap();
        world.worker.leave_name(&peer.client);
        world.disconnect(&peer, &[&channel("a")]);
        let (_, note) = taken(&world);
        let mut before = NameNote::decode(&note.bytes).unwrap();
        before.node = ELSEWHERE;
        before.epoch = 7;
        before.cursors = vec![crate::recovery::NotedCursor {
            channel: channel("a"),
            number: 5,
            member: None,
            left_ms: None,
        }];
        answer.send(TakenName::Taken { note, before: Some(Box::new(before)) }).unwrap();
        world.until("it is kept", || world.hub.name_figures().names.left == 1).await;
        let changes = world.hub.changed_names(false, ALL);
        let notes: Vec<NameNote> = changes
            .iter()
            .filter_map(|change| change.note.as_ref())
            .map(|(note, _)| NameNote::decode(note).unwrap())
            .collect();
        assert!(matches!(&notes[..], [note] if !note.is_held && note.cursors.len() == 1), "{notes:?}");
    });
}

#[test]
fn a_connection_whose_name_has_gone_on_ends_and_if_it_was_there_the_other_node_hears_it() {
    run(async |world| {
        let mut peer = world.peer_at(PATH);
        has_joined(&world, &mut peer, "a").await;
        let change = world.hub.changed_names(true, ALL).pop().unwrap();
        let number = change.number;
        let (_, note) = taken(&world);
        let mut other = NameNote::decode(&note.bytes).unwrap();
        (other.node, other.turn) = (ELSEWHERE, 2);
        world.hub.name_noted(change, Ok(Err(Some(other.encode()))));
        let mut is_to_end = false;
        world
            .until("it is to end", || {
                is_to_end |= peer.client.take_signals().asked.is_some();
                is_to_end
            })
            .await;
        world.worker.leave_name(&peer.client);
        world.hub.takeover_heard(peer.client.named().unwrap());
        assert_eq!(world.bus.name_words(), [(ELSEWHERE, NameWord::WasThere)]);
        assert_eq!(world.hub.name_figures().names.held, 0);
        // What is said of it later is of no use.
        world.hub.name_taken_elsewhere(number, (ELSEWHERE, 2));
        world.hub.name_was_there_elsewhere(number);
    });
}
