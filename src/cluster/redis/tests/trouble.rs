//! What becomes of an engine while it is joined.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use heliostat_protocol_tests::engine::RedisServer;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::super::lookup::NameLookup;
use super::engine::target;
use super::member::{Member, channel, within};
use crate::cluster::adapter::{Adapter, EngineError};

async fn joined(redis: &RedisServer) -> Member {
    Member::join(target(&format!("redis://127.0.0.1:{}", redis.port()))).await
}

#[tokio::test]
async fn a_primary_that_becomes_a_copy_is_left_until_it_is_one_again() {
    let (redis, other) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let mut member = joined(&redis).await;
    member.subscribe(&channel("a")).await;
    redis.client().call(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    let reason = member.away().await;
    assert!(reason.contains("read-only replica"), "{reason}");
    redis.client().call(&["REPLICAOF", "NO", "ONE"]);
    member.up().await;
    assert_eq!(member.say(&channel("a"), "back").await, Ok(()));
    assert_eq!(member.hear().await, "back");
}

#[tokio::test]
async fn an_engine_that_was_emptied_is_another_one() {
    let redis = RedisServer::start(&[]);
    let mut member = joined(&redis).await;
    let before = member.up().await;
    let subject = channel("cache-a");
    member.subscribe(&subject).await;
    redis.client().call(&["FLUSHALL"]);
    member.another_than(&before).await;
    assert_eq!(member.remember(&subject, "after").await, Ok(()));
    assert_eq!(member.hear().await, "after");
}

#[tokio::test]
async fn scripts_that_were_forgotten_are_given_again() {
    let redis = RedisServer::start(&[]);
    let mut member = joined(&redis).await;
    let (before, subject) = (member.up().await, channel("cache-a"));
    member.subscribe(&subject).await;
    for text in ["one", "two"] {
        redis.client().call(&["SCRIPT", "FLUSH"]);
        assert_eq!(member.remember(&subject, text).await, Ok(()));
        assert_eq!(member.hear().await, text);
    }
    assert!(member.is_up() && member.up().await == before && member.adapter.outbox().lost == 0);
}

#[tokio::test]
async fn each_connection_that_is_ended_is_made_anew() {
    let redis = RedisServer::start(&[]);
    let mut member = joined(&redis).await;
    let before = member.up().await;
    member.subscribe(&channel("a")).await;
    for kind in ["pubsub", "normal"] {
        assert_eq!(redis.kill_clients(kind), 1, "{kind}");
        member.away().await;
        assert_eq!(member.up().await, before, "it is the same engine");
        assert_eq!(member.say(&channel("a"), kind).await, Ok(()));
        assert_eq!(member.hear().await, kind);
    }
}

#[tokio::test]
async fn an_engine_whose_memory_is_full_carries_what_it_need_not_keep() {
    let redis = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let mut member = joined(&redis).await;
    let subject = channel("cache-a");
    member.subscribe(&subject).await;
    redis.client().call(&["CONFIG", "SET", "maxmemory", "1"]);
    for round in 0..2 {
        let Err(EngineError::Refused(reason)) = member.remember(&subject, "kept").await else { panic!() };
        assert!(reason.contains("memory"), "{reason}");
        assert_eq!(member.say(&subject, "said").await, Ok(()));
        assert_eq!(member.hear().await, "said");
        assert!(member.is_up());
        if round == 0 {
            // It is joined anew all the same.
            assert_eq!(redis.kill_clients("pubsub"), 1);
            member.away().await;
            member.up().await;
        }
    }
    redis.client().call(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(member.remember(&subject, "kept").await, Ok(()));
    assert_eq!(member.hear().await, "kept");
}

#[tokio::test]
async fn a_name_that_stands_for_another_engine_is_followed() {
    let (first, second) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let at = |redis: &RedisServer| SocketAddr::from(([127, 0, 0, 1], redis.port()));
    let current = Arc::new(Mutex::new(Some(at(&first))));
    let mut target = target("redis://engine.test");
    let tells = Arc::clone(&current);
    target.lookup = NameLookup::by(move |host| {
        assert_eq!((host.host.as_str(), host.port), ("engine.test", 6379));
        let found = tells.lock().ok_or(ErrorKind::NotFound.into());
        Box::pin(async move { found.map(|address| vec![address]) })
    });
    let mut member = Member::join(target).await;
    let before = member.up().await;
    member.subscribe(&channel("a")).await;
    *current.lock() = Some(at(&second));
    member.another_than(&before).await;
    assert_eq!(second.client().call(&["PUBSUB", "NUMPAT"]).integer(), 0);
    assert_eq!(member.say(&channel("a"), "there").await, Ok(()));
    assert_eq!(member.hear().await, "there");
    assert!(first.client().call(&["PUBSUB", "CHANNELS"]).texts().is_empty(), "the first one is left");
    // While nobody tells, it stays.
    *current.lock() = None;
    assert_eq!(member.say(&channel("a"), "still").await, Ok(()));
    assert_eq!(member.hear().await, "still");
}

/// Hands bytes on, each so many milliseconds after it came.
async fn delay(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
    millis: Arc<AtomicU64>,
) {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(10_000);
    tokio::spawn(async move {
        while let Some((due, bytes)) = under_way.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut read = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut read).await {
        let due = Instant::now() + Duration::from_millis(millis.load(Ordering::Relaxed));
        if sender.send((due, read[..count].to_vec())).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn an_engine_that_is_slow_is_there_and_its_time_is_told() {
    let redis = RedisServer::start(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, millis) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let (port, late) = (redis.port(), Arc::clone(&millis));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(delay(from_client, to_server, Arc::clone(&late)));
            tokio::spawn(delay(from_server, to_client, Arc::clone(&late)));
        }
    });
    let mut member = Member::join(target(&format!("redis://{address}"))).await;
    member.subscribe(&channel("a")).await;
    millis.store(700, Ordering::Relaxed);
    within(member.slower_than(Duration::from_millis(1400))).await;
    assert_eq!(member.say(&channel("a"), "late").await, Ok(()));
    assert_eq!(member.hear().await, "late");
    // A copy is found out, however slow its answers are.
    redis.client().call(&["REPLICAOF", "127.0.0.1", "1"]);
    assert!(member.away().await.contains("read-only replica"));
}
