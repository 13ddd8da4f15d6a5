//! Several nodes as one broker, over real Redis: three processes, judged from outside.
//!
//! The line `Proves:` that ends each function's comment names the statements N1 to N21 that it proves.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports its failure")]

mod apps;
mod cache;
mod chaos;
mod clocks;
mod console;
mod cost;
mod death;
mod events;
mod feed;
mod forms;
mod joins;
mod limits;
mod moved;
mod pipes;
mod presence;
mod publish_ids;
mod reads;
mod recovery;
mod recovery_changes;
mod recovery_readers;
mod silence;
mod start;
mod strangers;
mod transports;
mod trouble;
mod users;
mod video;
mod webhooks;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use heliostat_protocol_tests::nodes::pause;
use heliostat_protocol_tests::{
    Engine, Incoming, Message, Node, Setup, Socket, patience, standstill, unique,
};
use serde_json::{Value, json};

pub(crate) const ADDED: &str = "pusher_internal:member_added";
pub(crate) const REMOVED: &str = "pusher_internal:member_removed";

/// Three nodes on one Redis. The nodes go first.
pub(crate) struct Trio {
    pub(crate) nodes: [Node; 3],
    pub(crate) setup: Setup,
    pub(crate) engine: Engine,
}

impl Trio {
    /// Three nodes of a test's own.
    pub(crate) fn own(change: impl FnOnce(Setup) -> Setup) -> Trio {
        Trio::over(Engine::standalone(), change)
    }

    /// The same over this engine.
    pub(crate) fn over(engine: Engine, change: impl FnOnce(Setup) -> Setup) -> Trio {
        let setup = change(Setup::on(&engine));
        Trio { nodes: setup.start(), setup, engine }
    }
}

/// The three nodes that tests share which harm nobody: started by the first that wants them, ended with the last.
fn shared() -> Arc<Trio> {
    static SHARED: Mutex<Weak<Trio>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let trio = Arc::new(Trio::own(|setup| setup));
        *shared = Arc::downgrade(&trio);
        trio
    })
}

/// Runs a scenario on the nodes that tests share. Where it fails while this machine did not let programs run, so that a node
/// may have been taken for dead, it says nothing of the nodes, and is run again.
#[track_caller]
pub(crate) fn on_shared_nodes(scenario: impl Fn(&Trio)) {
    const ATTEMPTS: usize = 5;
    standstill::watch();
    for attempt in 1..=ATTEMPTS {
        let (trio, began) = (shared(), Instant::now());
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(&trio))) else { return };
        match standstill::longest(began, Instant::now()) {
            Some(stood) if attempt < ATTEMPTS => {
                println!("this process stood still for {stood:?}: once more")
            }
            _ => resume_unwind(panic),
        }
    }
}

/// Asks again until `attempt` succeeds, and answers what it answered.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {:?}: {what}", patience());
        pause();
    }
}

/// Asks again until two things are the same.
#[track_caller]
pub(crate) fn eventually_is<T: PartialEq + std::fmt::Debug>(
    what: &str,
    wanted: T,
    mut ask: impl FnMut() -> T,
) {
    let deadline = Instant::now() + patience();
    loop {
        let found = ask();
        if found == wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "not within {:?}: {what} is {found:?}, not {wanted:?}",
            patience()
        );
        pause();
    }
}

/// Publishes an event through each node and has each subscriber read until all of them have come; returns what else each
/// has heard. The events of a node come in its order, and on presence channels after the changes that it had told.
#[track_caller]
pub(crate) fn settle<'s>(
    nodes: &[Node],
    channel: &str,
    sockets: impl IntoIterator<Item = &'s mut Socket>,
) -> Vec<Vec<Message>> {
    let fences: Vec<String> = nodes
        .iter()
        .map(|node| {
            let name = unique("fence-");
            node.target.publish(channel, &name, "");
            name
        })
        .collect();
    sockets.into_iter().map(|socket| up_to(socket, channel, &fences)).collect()
}

/// Reads until all these events have come on the channel; returns what else has come.
#[track_caller]
fn up_to(socket: &mut Socket, channel: &str, fences: &[String]) -> Vec<Message> {
    let mut missing = fences.to_vec();
    let mut others = Vec::new();
    while !missing.is_empty() {
        let message = socket.message();
        match missing.iter().position(|fence| *fence == message.event) {
            Some(at) if message.channel.as_deref() == Some(channel) => drop(missing.remove(at)),
            // An older fence: of somebody who has read less.
            _ if message.event.starts_with("fence-") => {
                assert!(!fences.contains(&message.event), "{} came twice", message.event);
            }
            _ => others.push(message),
        }
    }
    others
}

/// Asserts that nobody has heard anything that was not read yet.
#[track_caller]
pub(crate) fn assert_quiet<'s>(
    nodes: &[Node],
    channel: &str,
    sockets: impl IntoIterator<Item = &'s mut Socket>,
) {
    for heard in settle(nodes, channel, sockets) {
        let heard: Vec<_> = heard.iter().map(|message| &message.whole).collect();
        assert!(heard.is_empty(), "expected silence on {channel}, heard {heard:?}");
    }
}

/// Reads for as long as it takes until so many events of this name have come; returns their users, sorted. Anything but
/// member events and fences is a fault.
#[track_caller]
pub(crate) fn users_told(socket: &mut Socket, event: &str, count: usize) -> Vec<String> {
    let mut users = Vec::new();
    while users.len() < count {
        let message = socket.message();
        if message.event.starts_with("fence-") {
            continue;
        }
        assert_eq!(message.event, event, "{} after {users:?}", message.whole);
        users.push(message.decoded()["user_id"].as_str().unwrap().to_owned());
    }
    users.sort_unstable();
    users
}

/// A connection that is a member of this channel.
#[track_caller]
pub(crate) fn member(node: &Node, channel: &str, user: &str) -> Socket {
    let mut socket = node.target.connect();
    socket.subscribe_presence(channel, user, &Value::Null);
    socket
}

/// A channel with a member on each of three nodes, when all know of all: its name, and their connections.
#[track_caller]
pub(crate) fn a_member_on_each(nodes: &[Node; 3]) -> (String, Vec<Socket>) {
    let channel = unique("presence-room-");
    let mut sockets: Vec<Socket> =
        nodes.iter().map(|node| member(node, &channel, &format!("u-{}", node.name))).collect();
    all_list(nodes, &channel, &everybody());
    let _ = settle(nodes, &channel, &mut sockets);
    (channel, sockets)
}

/// The members of that channel.
pub(crate) fn everybody() -> Vec<String> {
    sorted(["u-a", "u-b", "u-c"])
}

/// The ids of a roster, sorted.
pub(crate) fn ids(roster: &Value) -> Vec<String> {
    let ids = roster["presence"]["ids"].as_array().unwrap();
    let mut ids: Vec<String> = ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

/// Texts, owned and sorted.
pub(crate) fn sorted<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut texts: Vec<String> = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
    texts.sort_unstable();
    texts
}

/// Waits until every node lists the same users of a channel.
#[track_caller]
pub(crate) fn all_list(nodes: &[Node], channel: &str, users: &[String]) {
    for node in nodes {
        eventually_is(&format!("the users that {} lists", node.name), users.to_vec(), || node.users(channel));
    }
}

/// Publishes an event with a number as its data.
#[track_caller]
pub(crate) fn publish_number(node: &Node, channel: &str, number: usize) {
    node.target.publish(channel, "number", &number.to_string());
}

/// The data of messages that are numbers.
pub(crate) fn numbers(messages: &[Message]) -> Vec<usize> {
    let numbers = messages.iter().filter(|message| message.event == "number");
    numbers.filter_map(|message| message.data.as_str()?.parse().ok()).collect()
}

/// Repeats something that paces itself for at least so long: for what must not happen meanwhile.
pub(crate) fn throughout(time: Duration, mut step: impl FnMut()) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        step();
        pause();
    }
}

/// Reads whatever has come or comes within a moment. That its node ends the connection is a fault.
#[track_caller]
pub(crate) fn whatever_came(socket: &mut Socket) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(incoming) = socket.receive_within(Duration::from_millis(200)) {
        match incoming {
            Incoming::Message(message) => messages.push(message),
            Incoming::Ping(_) | Incoming::Pong(_) => {}
            Incoming::Close(_) | Incoming::End => {
                socket.fail(&format!("its node has ended the connection, after {messages:?}"))
            }
        }
    }
    messages
}

/// Subscribes without waiting.
pub(crate) fn ask_for(socket: &mut Socket, channel: &str) {
    let auth = socket.auth(channel, None);
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
}
