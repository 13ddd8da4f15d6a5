//! What several nodes cost: CPU per event on the node that accepts it, on each that receives it and at the engine; memory per
//! remotely occupied channel and per remote member; and how long reads take while a peer is silent.
//!
//! `cargo run --release -p heliostat-protocol-tests --bin cluster-cost -- [EVENTS [events|memory|reads]]`, all three unless told
//! otherwise; `PROTOCOL_TESTS_BIN` names the broker to measure,
//! which should be a release build. Linux only: it reads `/proc`. What delivery costs on one node is measured beside it, by
//! the same program on the same machine, and taken off.
#![allow(clippy::unwrap_used, reason = "a panic is how the harness reports a failure")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::nodes::{NODE_APPS, pause};
use heliostat_protocol_tests::{Broker, Engine, Node, Setup, Shared, Socket, Target, patience};
use serde_json::json;

const CHANNEL: &str = "room";
const END: &str = "the-end";

fn main() {
    let events: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(40_000);
    let part = std::env::args().nth(2);
    for (name, measure) in
        [("events", cost_of_events as fn(usize)), ("memory", memory), ("reads", reads_beside_a_silent_peer)]
    {
        if part.as_deref().is_none_or(|part| part == name) {
            measure(events);
        }
    }
}

/// What is published: so many events, over so many connections at once, so many in each request.
#[derive(Clone, Copy)]
struct Load {
    events: usize,
    publishers: usize,
    batch: usize,
}

impl Load {
    /// As many as come out even.
    fn of(events: usize, publishers: usize, batch: usize) -> Load {
        let at_once = publishers * batch;
        Load { events: events / at_once * at_once, publishers, batch }
    }

    /// Publishes all of it; returns how long it took.
    fn publish(self, target: &Target) -> Duration {
        let began = Instant::now();
        thread::scope(|scope| {
            for _ in 0..self.publishers {
                scope.spawn(|| publish(target, self.events / self.publishers / self.batch, self.batch));
            }
        });
        began.elapsed()
    }

    fn micros(self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.events as f64
    }
}

/// Publishes so many requests of so many events each, and waits for each answer, as backends do.
fn publish(target: &Target, requests: usize, batch: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", target.port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    let event = json!({ "name": "e", "channel": CHANNEL, "data": "x".repeat(100) });
    let request = if batch == 1 {
        target.post("/events", &event).bytes()
    } else {
        target.post("/batch_events", &json!({ "batch": vec![event; batch] })).bytes()
    };
    let (mut answer, mut bytes) = (Vec::new(), [0; 16 * 1024]);
    for _ in 0..requests {
        stream.write_all(&request).unwrap();
        answer.clear();
        while find(&answer, b"\r\n\r\n{").is_none() {
            let count = match stream.read(&mut bytes) {
                // The machine was held up.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.unwrap(),
            };
            assert!(count > 0, "the connection ended");
            answer.extend_from_slice(&bytes[..count]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// A subscriber that reads everything up to the end, and returns how many events came before it.
fn subscriber(target: &Target) -> thread::JoinHandle<usize> {
    let mut socket = target.connect();
    socket.subscribe(CHANNEL);
    thread::spawn(move || {
        let mut heard = 0;
        while !socket.raw_text().contains(END) {
            heard += 1;
        }
        heard
    })
}

/// The CPU time of these processes per event, in microseconds, while events are published and read to their end; and how many
/// were accepted per second.
fn measured(accepting: &Target, subscribers: &[&Target], all: &[&Broker], load: Load) -> (Vec<f64>, f64) {
    let readers: Vec<_> = subscribers.iter().map(|target| subscriber(target)).collect();
    let before: Vec<Duration> = all.iter().map(|broker| broker.cpu_time().unwrap()).collect();
    let took = load.publish(accepting);
    accepting.publish(CHANNEL, END, "");
    for reader in readers {
        assert_eq!(reader.join().unwrap(), load.events, "events that were heard");
    }
    let after = all.iter().map(|broker| broker.cpu_time().unwrap());
    let each = after.zip(before).map(|(after, before)| load.micros(after - before));
    (each.collect(), load.events as f64 / took.as_secs_f64())
}

/// One publisher, so that no event travels with another, and many, of one event and of ten in each request.
fn cost_of_events(events: usize) {
    let alone = Arc::new(Broker::start(&format!("[server]\nworkers = 1\n{NODE_APPS}")));
    let engine = Engine::standalone();
    let nodes: [Node; 3] = Setup::on(&engine).start();
    let target = Target::at(Arc::clone(&alone), Shared::Main.credentials());
    for (publishers, batch) in [(1, 1), (64, 1), (64, 10)] {
        let load = Load::of(events, publishers, batch);
        println!(
            "{} events of 100 bytes over {publishers} connections, {batch} in a request, of which each waits for its answer",
            load.events
        );
        let alone_for = |subscribers: &[&Target]| measured(&target, subscribers, &[&alone], load).0[0];
        let _ = alone_for(&[]);
        let (nobody, one) = (alone_for(&[]), alone_for(&[&target]));
        println!("  one node alone: {nobody:.2} µs to accept, {:.2} µs to deliver to one", one - nobody);
        cost_of_nodes(&engine, &nodes, load, nobody, one - nobody);
    }
}

/// The same with three nodes, of which one accepts and two deliver to one subscriber each. `accepting` and `delivering` is
/// what that costs a node alone.
fn cost_of_nodes(engine: &Engine, nodes: &[Node; 3], load: Load, accepting: f64, delivering: f64) {
    let brokers: Vec<&Broker> = nodes.iter().map(Node::broker).collect();
    let [a, b, c] = nodes;
    let publishes = || engine.server().calls("publish") + engine.server().calls("spublish");
    let _ = measured(&a.target, &[&b.target, &c.target], &brokers, load);
    let (calls, engine_before) = (publishes(), engine.server().cpu_seconds());
    let (cpu, rate) = measured(&a.target, &[&b.target, &c.target], &brokers, load);
    let engine_took = Duration::from_secs_f64(engine.server().cpu_seconds() - engine_before);
    let calls = publishes() - calls;
    println!("  accepting: {:.2} µs per event beyond that of one node", cpu[0] - accepting);
    for (n, cpu) in cpu.iter().enumerate().skip(1) {
        println!("  receiving {n}: {:.2} µs per event beyond delivery to one", cpu - delivering);
    }
    let each = load.micros(engine_took);
    println!("  the engine: {each:.2} µs per event to two nodes, {:.0} events/s of its core", 1e6 / each);
    println!("  {calls} publishes for {} events; {rate:.0} events/s accepted", load.events);
    // Besides the events there are the last one, and what nodes say of themselves, a few times a second.
    assert!(calls as usize > load.events, "{calls} publishes: not all events have crossed");
    // What nobody is subscribed to any more is wanted for some seconds.
    await_that("the nodes let go of the channel", || {
        nodes.iter().all(|node| node.metric("heliostat_cluster_claimed_channels", "") == 0.0)
    });
    let (cpu, _) = measured(&a.target, &[], &brokers, load);
    for (n, cpu) in cpu.iter().enumerate() {
        println!("  without subscribers, node {n}: {cpu:.2} µs per event");
    }
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !holds() {
        assert!(Instant::now() < deadline, "not so: {what}");
        pause();
    }
}

fn memory(_: usize) {
    const CHANNELS: usize = 20_000;
    const PER_CONNECTION: usize = 100;
    let engine = Engine::standalone();
    let apps = NODE_APPS.replace("client_events_per_second = 0", "subscriptions_per_connection = 0");
    let [a, b]: [Node; 2] = Setup::on(&engine).apps(&apps).start();
    for (what, prefix) in [("occupied channel", "room"), ("channel with its only member", "presence-room")] {
        let before = b.broker().resident_bytes().unwrap().now;
        let _sockets: Vec<Socket> = (0..CHANNELS / PER_CONNECTION)
            .map(|n| {
                let mut socket = a.target.connect();
                for i in 0..PER_CONNECTION {
                    let channel = format!("{prefix}-{n}-{i}");
                    if prefix.starts_with("presence") {
                        socket.join(&channel, &format!(r#"{{"user_id":"user-{n}-{i}"}}"#));
                    } else {
                        socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
                    }
                }
                let _ = socket.drain();
                socket
            })
            .collect();
        let known = |node: &Node| {
            let call = node.target.get("/channels").query("filter_by_prefix", prefix);
            call.send().json()["channels"].as_object().map_or(0, serde_json::Map::len)
        };
        await_that("the other node knows of them", || known(&b) == CHANNELS && known(&a) == CHANNELS);
        let after = b.broker().resident_bytes().unwrap().now;
        println!(
            "  {} bytes per remote {what}, of {CHANNELS}",
            after.saturating_sub(before) / CHANNELS as u64
        );
    }
}

fn reads_beside_a_silent_peer(_: usize) {
    const READS: usize = 2000;
    let engine = Engine::standalone();
    let [a, b, c]: [Node; 3] = Setup::on(&engine).start();
    let mut socket = b.target.connect();
    for n in 0..20 {
        socket.subscribe_presence(&format!("presence-{n}"), "ann", &json!(null));
    }
    for silent in [false, true] {
        if silent {
            c.broker().pause();
        }
        let mut connection = Connection::open(&a.target);
        let mut times: Vec<Duration> = (0..READS)
            .map(|n| {
                let began = Instant::now();
                let path = format!("/channels/presence-{}/users", n % 20);
                assert_eq!(a.target.get(&path).send_on(&mut connection).status, 200);
                began.elapsed()
            })
            .collect();
        times.sort_unstable();
        let peer = if silent { "with a silent peer" } else { "with all peers" };
        println!("  reads {peer}: median {:?}, p99 {:?}", times[READS / 2], times[READS * 99 / 100]);
    }
    c.broker().resume();
}
