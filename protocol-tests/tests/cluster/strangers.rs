//! Who else writes to the engine: rubbish, repeats, other versions, another cluster. Nothing panics, grows, or is announced.

use std::collections::BTreeMap;

use heliostat_protocol_tests::engine::Reply;
use heliostat_protocol_tests::{Engine, Forwarder, Node, Setup, Socket, unique};
use serde_json::Value;

use crate::{
    Trio, a_member_on_each, all_list, assert_quiet, member, numbers, publish_number, settle, sorted,
};

/// As soketi, Reverb, Socket.IO's adapter (MessagePack) and Phoenix (Erlang's terms) speak.
const OTHER_PRODUCTS: [&[u8]; 4] = [
    br#"{"uuid":"2f0b","appId":"1001","channel":"room","data":"{\"event\":\"number\",\"channel\":\"room\",\"data\":\"1\"}"}"#,
    br#"{"type":"message","application":"O:8","payload":{"event":"number","channel":"room","data":"1"}}"#,
    b"\x93\xa6uid-01\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa6number\x01\x82\xa5rooms\x91\xa4room",
    b"\x83h\x04w\x07forwardd\0\x06Elixirm\0\0\0\x04room",
];

/// Everything that nodes are subscribed to.
fn subjects(engine: &Engine) -> Vec<String> {
    engine.server().client().call(&["PUBSUB", "CHANNELS", "*"]).texts()
}

/// Listens to everything while `act` happens, and returns what was said, in its order, with its subject.
fn overheard(engine: &Engine, mut act: impl FnMut()) -> Vec<(String, Vec<u8>)> {
    let mut listener = engine.server().client();
    listener.call(&["PSUBSCRIBE", "*"]);
    act();
    let end = unique("the-end");
    engine.server().client().call(&["PUBLISH", &end, "x"]);
    let mut heard = Vec::new();
    loop {
        let Reply::Array(parts) = listener.read() else { panic!("no message") };
        let [_, _, Reply::Bulk(Some(subject)), Reply::Bulk(Some(bytes))] = &parts[..] else { continue };
        let subject = String::from_utf8_lossy(subject).into_owned();
        if subject == end {
            return heard;
        }
        heard.push((subject, bytes.clone()));
    }
}

fn say(engine: &Engine, words: impl IntoIterator<Item = (String, Vec<u8>)>) {
    let mut client = engine.server().client();
    for (subject, bytes) in words {
        client.call_bytes(&[b"PUBLISH", subject.as_bytes(), &bytes]);
    }
}

/// A generator of numbers that are the same in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Rubbish of every size on every subject of the cluster, and what other products say to each other, is counted and skipped.
///
/// Proves: N18.
#[test]
fn rubbish_is_skipped() {
    let trio = Trio::own(|setup| setup);
    let (channel, mut sockets) = a_member_on_each(&trio.nodes);
    let (mut state, mut said) = (42, 0);
    for subject in subjects(&trio.engine) {
        let mut words = vec![Vec::new(), vec![0], vec![255; 64], b"{}".to_vec(), b"PING".to_vec()];
        for length in [1, 7, 16, 33, 64, 200, 5000] {
            for first in 0..4 {
                let mut word: Vec<u8> = (0..length).map(|_| next(&mut state) as u8).collect();
                word[0] = first;
                words.push(word);
            }
        }
        words.push(vec![1; 4 << 20]);
        words.extend(OTHER_PRODUCTS.iter().map(|word| word.to_vec()));
        said += words.len();
        say(&trio.engine, words.into_iter().map(|word| (subject.clone(), word)));
    }
    // Each subject has a node that hears it, at least.
    let lost = |node: &Node| node.metric("heliostat_cluster_lost_total", "reason=\"un");
    crate::eventually("all of it is counted", || {
        (trio.nodes.iter().map(lost).sum::<f64>() >= said as f64).then_some(())
    });
    for node in &trio.nodes {
        node.await_ready();
    }
    all_list(&trio.nodes, &channel, &sorted(["u-a", "u-b", "u-c"]));
    assert_quiet(&trio.nodes, &channel, &mut sockets);
}

/// What a dead node said, said once more after its death: it stays dead, and nobody hears of its members again.
///
/// Proves: N17, N18.
#[test]
fn late_words_of_a_dead_node_are_dropped() {
    let trio = Trio::own(|setup| setup);
    let channel = unique("presence-room-");
    let mut watchers = [member(&trio.nodes[1], &channel, "w-b"), member(&trio.nodes[2], &channel, "w-c")];
    all_list(&trio.nodes, &channel, &sorted(["w-b", "w-c"]));
    let _ = settle(&trio.nodes, &channel, &mut watchers);
    let mut dying = None;
    let words = overheard(&trio.engine, || {
        dying = Some(member(&trio.nodes[0], &channel, "ann"));
        publish_number(&trio.nodes[0], &channel, 1);
        for watcher in &mut watchers {
            watcher.expect_on(&channel, crate::ADDED);
            watcher.expect_on(&channel, "number");
        }
        // It beats once a second.
        let beats = || {
            trio.nodes[0].metric("heliostat_cluster_messages_total", "direction=\"out\",kind=\"heartbeat\"")
        };
        let before = beats();
        crate::eventually("it beats", || (beats() > before).then_some(()));
    });
    trio.nodes[0].broker().kill();
    for watcher in &mut watchers {
        assert_eq!(crate::users_told(watcher, crate::REMOVED, 1), ["ann"]);
    }
    let late = |node: &Node| node.metric("heliostat_cluster_lost_total", "reason=\"departed\"");
    let before = [late(&trio.nodes[1]), late(&trio.nodes[2])];
    say(&trio.engine, words);
    for (node, before) in trio.nodes[1..].iter().zip(before) {
        crate::eventually("they are counted", || (late(node) > before).then_some(()));
        assert_eq!(node.metric("heliostat_cluster_peers", ""), 1.0);
    }
    all_list(&trio.nodes[1..], &channel, &sorted(["w-b", "w-c"]));
    assert_quiet(&trio.nodes[1..], &channel, &mut watchers);
}

/// What nodes say, with a bit turned, cut short, with more behind it, or of another version: nothing of it breaks a node.
///
/// Proves: N18.
#[test]
fn words_that_were_tampered_with_break_nothing() {
    let trio = Trio::own(|setup| setup);
    let channel = unique("presence-room-");
    let mut socket = member(&trio.nodes[0], &channel, "ann");
    let mut other = member(&trio.nodes[1], &channel, "bob");
    let words = overheard(&trio.engine, || {
        publish_number(&trio.nodes[0], &channel, 1);
        let passing = member(&trio.nodes[2], &channel, "cy");
        passing.close();
        while socket.message().event != "number" {}
    });
    assert!(!words.is_empty());
    let mut state = 7;
    let mut tampered = Vec::new();
    for (subject, word) in words.iter().take(60) {
        for at in 0..word.len().min(48) {
            let mut bytes = word.clone();
            bytes[at] ^= 1 << (next(&mut state) % 8);
            tampered.push((subject.clone(), bytes));
            tampered.push((subject.clone(), word[..at].to_vec()));
        }
        for version in [0, 2, 3, 127, 255] {
            let mut bytes = word.clone();
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            tampered.push((subject.clone(), bytes));
        }
        let mut longer = word.clone();
        longer.extend_from_slice(&[0xff; 100]);
        tampered.push((subject.clone(), longer));
    }
    say(&trio.engine, tampered);
    // A turned bit may make another node of one that speaks; such a node is soon found dead.
    for node in &trio.nodes {
        node.await_ready();
    }
    all_list(&trio.nodes, &channel, &sorted(["ann", "bob"]));
    for node in &trio.nodes {
        let name = unique("after-");
        node.target.publish(&channel, &name, "");
        for socket in [&mut socket, &mut other] {
            while socket.message().event != name {}
        }
    }
}

/// What was said is said again, word for word: nothing of it is delivered or announced twice.
///
/// Proves: N1, N18.
#[test]
fn repeats_are_dropped() {
    let trio = Trio::own(|setup| setup);
    let (channel, mut sockets) = a_member_on_each(&trio.nodes);
    let mut heard: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let words = overheard(&trio.engine, || {
        for n in 0..10 {
            publish_number(&trio.nodes[n % 3], &channel, n);
        }
        for (n, all) in settle(&trio.nodes, &channel, &mut sockets).iter().enumerate() {
            heard.insert(n, numbers(all));
        }
    });
    assert!(heard.values().all(|numbers| numbers.len() == 10), "{heard:?}");
    for _ in 0..3 {
        say(&trio.engine, words.clone());
    }
    assert_quiet(&trio.nodes, &channel, &mut sockets);
    all_list(&trio.nodes, &channel, &sorted(["u-a", "u-b", "u-c"]));
}

/// An engine that says what is no answer, or announces an answer of 600 MB: the node takes it for away, loses nothing of its
/// own, takes no memory for it, and comes back by itself.
///
/// Proves: N14, N15, N16, N18.
#[test]
fn an_engine_that_speaks_rubbish_is_taken_for_away() {
    /// A node has some of its own; an announced answer would be far more.
    const MEMORY_BYTES: u64 = 250 << 20;
    let trio = Trio::own(|setup| setup);
    let forwarder = Forwarder::start(trio.engine.server().port());
    let node = trio.setup.reaching(&forwarder).start_node("d");
    let channel = unique("presence-room-");
    let mut sockets = [member(&trio.nodes[0], &channel, "ann"), member(&node, &channel, "bob")];
    all_list(std::slice::from_ref(&node), &channel, &sorted(["ann", "bob"]));
    let mut deep = vec![b'*'; 0];
    for _ in 0..5000 {
        deep.extend_from_slice(b"*1\r\n");
    }
    for rubbish in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"$629145600\r\nabc".to_vec(),
        b"*1000000000\r\n".to_vec(),
        b">3\r\n$7\r\nmessage\r\n$-5\r\n".to_vec(),
        vec![0; 100_000],
        vec![b'$'; 100_000],
        deep,
    ] {
        forwarder.inject(&rubbish);
        let _ = sockets[1].drain();
        crate::eventually("events cross again, both ways", || {
            let there = unique("there-");
            trio.nodes[0].target.publish(&channel, &there, "");
            node.target.publish(&channel, &there, "");
            let counts = sockets.iter_mut().map(|socket| {
                crate::whatever_came(socket).iter().filter(|message| message.event == there).count()
            });
            counts.into_iter().all(|count| count == 2).then_some(())
        });
        node.await_ready();
        let memory = node.broker().resident_bytes().expect("it lives");
        assert!(memory.peak < MEMORY_BYTES, "{memory:?}");
    }
    all_list(&trio.nodes, &channel, &sorted(["ann", "bob"]));
}

/// Two clusters on one engine never hear each other, with the same apps and channels.
///
/// Proves: N18.
#[test]
fn two_clusters_on_one_engine_are_two() {
    let engine = Engine::standalone();
    let (one, other) = (Setup::on(&engine).prefix("heliostat"), Setup::on(&engine).prefix("heliostat2"));
    let ([a, b], [c, d]): ([_; 2], [_; 2]) = (one.start(), other.start());
    let (room, presence, cache) = (unique("room-"), unique("presence-room-"), unique("cache-room-"));
    let mut sockets: Vec<Socket> = Vec::new();
    for (node, user) in [(&a, "ann"), (&b, "bob"), (&c, "cy"), (&d, "dee")] {
        let mut socket = node.target.connect();
        socket.subscribe(&room);
        socket.subscribe_presence(&presence, user, &Value::Null);
        sockets.push(socket);
    }
    let (ours, theirs) = ([a, b], [c, d]);
    all_list(&ours, &presence, &sorted(["ann", "bob"]));
    all_list(&theirs, &presence, &sorted(["cy", "dee"]));
    publish_number(&ours[0], &room, 1);
    publish_number(&ours[0], &cache, 1);
    publish_number(&theirs[1], &room, 2);
    let (mine, others) = sockets.split_at_mut(2);
    for heard in settle(&ours, &room, mine) {
        assert_eq!(numbers(&heard), [1]);
    }
    for heard in settle(&theirs, &room, &mut *others) {
        assert_eq!(numbers(&heard), [2]);
    }
    let mut late = theirs[0].target.connect();
    late.subscribe(&cache);
    late.expect_on(&cache, "pusher:cache_miss");
}
