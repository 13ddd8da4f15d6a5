//! What several nodes cost: CPU per event on the node that accepts it, on each that receives it and at the engine; memory per
//! remotely occupied channel and per remote member; and how long reads take while a peer is silent.
//!
//! `cargo run --release -p heliostat-protocol-tests --bin cluster-cost -- [EVENTS [events|memory|reads]]`, all three unless told
//! otherwise; `PROTOCOL_TESTS_BIN` names the broker to measure,
//! which should be a release build. Linux only: it reads `/proc`. What delivery costs on one node is measured beside it, by
//! the same program on the same machine, and taken off.
#![allow(clippy::unwrap_used, reason = "a panic is how the harness reports a failure")]

use std::io::{Read, Write};
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

/// Requests that a publisher has on their way.
const DEPTH: usize = 16;

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

/// Publishes with some requests on their way at any time; returns how long it took.
fn publish(target: &Target, events: usize) -> Duration {
    let mut stream = TcpStream::connect(("127.0.0.1", target.port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    let body = json!({ "name": "e", "channel": CHANNEL, "data": "x".repeat(100) });
    let request = target.post("/events", &body).bytes().repeat(DEPTH);
    let began = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..events / DEPTH {
        stream.write_all(&request).unwrap();
        let mut answered = 0;
        while answered < DEPTH {
            let mut bytes = [0; 16 * 1024];
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the connection ended");
            answers.extend_from_slice(&bytes[..count]);
            while let Some(end) = find(&answers, b"\r\n\r\n{}") {
                assert!(answers.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answers));
                answers.drain(..end + 6);
                answered += 1;
            }
        }
    }
    began.elapsed()
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

/// The CPU time of these processes while events are published and read to their end.
fn measured(
    accepting: &Target,
    subscribers: &[&Target],
    all: &[&Broker],
    events: usize,
) -> (Vec<Duration>, f64) {
    let readers: Vec<_> = subscribers.iter().map(|target| subscriber(target)).collect();
    let before: Vec<Duration> = all.iter().map(|broker| broker.cpu_time().unwrap()).collect();
    let took = publish(accepting, events);
    accepting.publish(CHANNEL, END, "");
    for reader in readers {
        assert_eq!(reader.join().unwrap(), events / DEPTH * DEPTH, "events that were heard");
    }
    let after = all.iter().map(|broker| broker.cpu_time().unwrap());
    (after.zip(before).map(|(after, before)| after - before).collect(), events as f64 / took.as_secs_f64())
}

fn micros(time: Duration, events: usize) -> f64 {
    time.as_secs_f64() * 1e6 / events as f64
}

fn cost_of_events(events: usize) {
    println!("{events} events of 100 bytes, {DEPTH} requests on their way");
    let alone = Arc::new(Broker::start(&format!("[server]\nworkers = 1\n{NODE_APPS}")));
    let target = Target::at(Arc::clone(&alone), Shared::Main.credentials());
    let alone_for =
        |subscribers: &[&Target]| micros(measured(&target, subscribers, &[&alone], events).0[0], events);
    let _ = alone_for(&[]);
    let (nobody, one) = (alone_for(&[]), alone_for(&[&target]));
    println!("  one node alone: {nobody:.2} µs to accept, {:.2} µs to deliver to one", one - nobody);
    let engine = Engine::standalone();
    let nodes: [Node; 3] = Setup::on(&engine).start();
    let brokers: Vec<&Broker> = nodes.iter().map(Node::broker).collect();
    let [a, b, c] = &nodes;
    let _ = measured(&a.target, &[&b.target, &c.target], &brokers, events);
    let calls = engine.server().calls("publish") + engine.server().calls("spublish");
    let engine_before = engine.server().cpu_seconds();
    let (cpu, rate) = measured(&a.target, &[&b.target, &c.target], &brokers, events);
    let engine_took = engine.server().cpu_seconds() - engine_before;
    let calls = engine.server().calls("publish") + engine.server().calls("spublish") - calls;
    println!("  accepting:  {:.2} µs per event beyond that of one node", micros(cpu[0], events) - nobody);
    for (n, cpu) in cpu.iter().enumerate().skip(1) {
        let beyond = micros(*cpu, events) - (one - nobody);
        println!("  receiving {n}: {beyond:.2} µs per event beyond delivery to one");
    }
    let each = engine_took * 1e6 / events as f64;
    println!("  the engine: {each:.2} µs per event to two nodes, {:.0} events/s of its core", 1e6 / each);
    println!("  {calls} publishes for {events} events; {rate:.0} events/s accepted");
    // Besides the events there are the last one, and what nodes say of themselves, a few times a second.
    assert!(calls as usize > events / DEPTH * DEPTH, "{calls} publishes: not all events have crossed");
    // What nobody is subscribed to any more is wanted for some seconds.
    let deadline = Instant::now() + patience();
    while nodes.iter().any(|node| node.metric("heliostat_cluster_claimed_channels", "") > 0.0) {
        assert!(Instant::now() < deadline, "the nodes do not let go of the channel");
        pause();
    }
    let (cpu, _) = measured(&a.target, &[], &brokers, events);
    for (n, cpu) in cpu.iter().enumerate() {
        println!("  without subscribers, node {n}: {:.2} µs per event", micros(*cpu, events));
    }
}

fn memory(_: usize) {
    const CHANNELS: usize = 20_000;
    const PER_CONNECTION: usize = 100;
    let engine = Engine::standalone();
    let apps = NODE_APPS.replace("client_events_per_second = 0", "subscriptions_per_connection = 0");
    let [a, b]: [Node; 2] = Setup::on(&engine).apps(&apps).start();
    for (what, prefix) in [("occupied channel", "room"), ("member", "presence-room")] {
        let before = b.broker().resident_bytes().unwrap().now;
        let _sockets: Vec<Socket> = (0..CHANNELS / PER_CONNECTION)
            .map(|n| {
                let mut socket = a.target.connect();
                for i in 0..PER_CONNECTION {
                    // A member more in one of a hundred channels, or a channel more.
                    let member = prefix.starts_with("presence");
                    let channel = if member { format!("{prefix}-{i}") } else { format!("{prefix}-{n}-{i}") };
                    if member {
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
        let deadline = Instant::now() + patience();
        while known(&b) != known(&a) {
            assert!(Instant::now() < deadline, "the other node does not know of them");
            pause();
        }
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
