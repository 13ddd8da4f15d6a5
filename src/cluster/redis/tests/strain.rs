//! A node that does not read, or that says too much.

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use heliostat_protocol_tests::engine::RedisServer;
use tokio::sync::oneshot;

use super::super::RedisAdapter;
use super::engine::target;
use super::member::{Member, channel, within};
use crate::cluster::adapter::{Adapter, EngineError, Keeping, OutboxFull};
use crate::cluster::inbox::inbox;

#[test]
fn a_node_that_stands_still_is_cut_off_by_the_engine_and_comes_back() {
    let redis = RedisServer::start(&["--client-output-buffer-limit", "pubsub", "1mb", "1mb", "0"]);
    let (stand, stands_still) = mpsc::channel::<()>();
    let (is_joined, joined) = mpsc::channel();
    let (end, ended) = oneshot::channel::<()>();
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let member = Member::join(target(&url)).await;
            member.subscribe(&channel("a")).await;
            // All that is of this node stands still, until it is let go on.
            tokio::spawn(async move { stands_still.recv() });
            is_joined.send(member).unwrap();
            let _ = ended.await;
        });
    });
    let mut member = joined.recv_timeout(Duration::from_secs(60)).unwrap();
    let mut client = redis.client();
    let name = client.call(&["PUBSUB", "CHANNELS", "*event*"]).texts().pop().unwrap();
    let long = [&[0][..], &vec![b'x'; 256 * 1024]].concat();
    let mut said = 0;
    while client.call_bytes(&[b"PUBLISH", name.as_bytes(), &long]).integer() == 1 {
        said += 1;
        assert!(said < 4000, "a gigabyte waits for a node that does not read");
    }
    drop(stand);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(member.away().await.contains("broken"));
        member.up().await;
        assert_eq!(member.say(&channel("a"), "back").await, Ok(()));
        while member.hear().await != "back" {}
    });
    drop(end);
    thread.join().unwrap();
}

#[tokio::test]
async fn what_no_node_would_read_is_not_said() {
    let redis = RedisServer::start(&[]);
    let mut target = target(&format!("redis://127.0.0.1:{}", redis.port()));
    target.message_bytes = 100_000;
    let most = target.most_bytes();
    let mut member = Member::join(target).await;
    let subject = channel("cache-a");
    member.subscribe(&subject).await;
    let before = member.adapter.outbox().full;
    for bytes in [most + 1, 10 * most] {
        let (ticket, taken) = oneshot::channel::<Result<(), EngineError>>();
        let long = Bytes::from(vec![b'x'; bytes]);
        assert_eq!(member.adapter.publish(&subject, long.clone(), Some(ticket.into())), Err(OutboxFull));
        assert!(within(taken).await.is_err(), "nobody can say");
        let hour = Duration::from_secs(3600);
        assert_eq!(member.adapter.publish_and_remember(&subject, long.clone(), hour, None), Err(OutboxFull));
        let written = within(member.adapter.write_document("a", 0, Some(long.clone()))).await;
        assert!(matches!(written, Err(EngineError::Refused(_))), "{written:?}");
        // What would be said again until it is taken is refused.
        let keeping =
            Keeping { events: 10, bytes: 1 << 30, time: hour, last_known_for: hour, remembered_for: None };
        let (ticket, taken) = oneshot::channel::<Result<(), EngineError>>();
        assert_eq!(member.adapter.publish_and_keep(&subject, long, &keeping, Some(ticket.into())), Ok(()));
        let Ok(Err(EngineError::Refused(why))) = within(taken).await else { panic!("it is kept") };
        assert!(why.contains(&format!("{most} bytes")) && why.contains(&bytes.to_string()), "{why}");
    }
    assert_eq!(member.adapter.outbox().full, before + 6);
    assert_eq!(member.say(&subject, vec![b'x'; most]).await, Ok(()));
    assert_eq!(member.hear().await.len(), most);
    // What somebody else has put there is not read either, and does no harm.
    let (key, long) = ("heliostat:{00}:documents", format!("{:020}{}", 7, "x".repeat(100_000)));
    redis.client().call(&["HSET", key, "a", &long]);
    let read = within(member.adapter.document("a")).await;
    assert!(matches!(read, Err(EngineError::Refused(_))), "{read:?}");
    assert_eq!(member.remember(&subject, "short").await, Ok(()));
    let keys = redis.client().call(&["KEYS", "*:remembered"]).texts();
    redis.client().call(&["SET", &keys[0], &long, "KEEPTTL"]);
    assert_eq!(within(member.adapter.recall(&subject)).await, Ok(None));
    assert!(member.is_up());
}

/// A field of `/proc/self/status`, in MiB.
fn mebibytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() / 1024
}

/// Prints what a gigabyte of events takes while their reader is held back:
/// `cargo test --lib a_gigabyte -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement, which takes half a minute"]
async fn a_gigabyte_for_a_reader_who_is_held_back_takes_little_memory() {
    const WORD: usize = 64 * 1024;
    const WORDS: usize = (1 << 30) / WORD;
    const ROOM: usize = 8 << 20;
    let redis = RedisServer::start(&[]);
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let says = Member::join(target(&url)).await;
    let (inbox, words) = inbox(100_000, ROOM);
    let hears = Member { adapter: RedisAdapter::join(target(&url), inbox), words };
    hears.up().await;
    hears.subscribe(&channel("a")).await;
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = mebibytes("VmRSS:");
    let word = Bytes::from(vec![b'x'; WORD]);
    for _ in 0..WORDS / 64 {
        let mut waits = Vec::new();
        for _ in 0..64 {
            let (ticket, taken) = oneshot::channel::<Result<(), EngineError>>();
            says.adapter.publish(&channel("a"), word.clone(), Some(ticket.into())).unwrap();
            waits.push(taken);
        }
        for taken in waits {
            assert_eq!(within(taken).await, Ok(Ok(())));
        }
    }
    within(async {
        while hears.words.counts().dropped().0 + (hears.words.counts().waiting_words() as u64) < WORDS as u64
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (most, kept) = (mebibytes("VmHWM:"), hears.words.counts().waiting_bytes());
    println!("{WORDS} words of {WORD} bytes: {before} MiB before, {most} MiB at most, {kept} bytes kept");
    assert!(kept <= ROOM && most < before + 128);
}
