//! Engines that are none, and strangers on our names.

use std::time::Duration;

use bytes::Bytes;
use redis::{Value, cmd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::connection::EngineConnection;
use super::super::{RedisAdapter, StartRefusal, check};
use super::engine::{OneRedis, target};
use crate::cluster::adapter::{Adapter, Link, Subject};
use crate::cluster::contract::ContractEngine;
use crate::cluster::inbox::{Words, inbox};

const DEADLINE: Duration = Duration::from_secs(60);

/// What answers everything with this.
async fn answers_with(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = [0; 1000];
            while stream.read(&mut read).await.is_ok_and(|n| n > 0) {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    url
}

#[tokio::test]
async fn what_is_no_engine_or_an_old_one_is_refused() {
    let refusal = |answer| async move { check(&target(&answers_with(answer).await)).await.unwrap_err() };
    for answer in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "*1\r\n$600000000\r\n", "$600000000\r\n", ":1\r\n:2\r\n"]
    {
        let refusal = refusal(answer).await;
        assert!(matches!(refusal, StartRefusal::Broken { .. }), "{answer:?}: {refusal}");
    }
    for answer in [
        "-ERR unknown command `HELLO`, with args beginning with: `3`\r\n",
        "%2\r\n+version\r\n+5.0.14\r\n+role\r\n+master\r\n",
    ] {
        let refusal = refusal(answer).await;
        assert!(matches!(refusal, StartRefusal::TooOld { least: "6.0", .. }), "{answer:?}: {refusal}");
    }
}

#[tokio::test]
async fn what_an_engine_says_is_shown_without_secrets_on_one_short_line() {
    let url = answers_with("!50\r\nSYNTAX what is AUTH hush?\r\n\x1b[31mand this is long, \r\n").await;
    let url = url.replace("redis://", "redis://:hush@");
    let refusal = check(&target(&url)).await.unwrap_err();
    assert!(matches!(refusal, StartRefusal::Refuses { .. }), "{refusal}");
    let told = refusal.to_string();
    assert!(told.contains("what is AUTH …?") && !told.contains(char::is_control), "{told}");
    let long: &str =
        Box::leak(format!("%2\r\n+version\r\n+{}\r\n+role\r\n+x\r\n", "9".repeat(60_000)).into());
    let told = check(&target(&answers_with(long).await)).await.unwrap_err().to_string();
    assert!(told.len() < 600, "{} bytes", told.len());
}

async fn joined(redis: &OneRedis, prefix: &str) -> (RedisAdapter, Words) {
    let mut target = redis.target();
    target.prefix = prefix.into();
    target.message_bytes = 100_000;
    let (inbox, words) = inbox(1000, 1_000_000);
    let adapter = RedisAdapter::join(target, inbox);
    let mut link = adapter.link();
    timeout(DEADLINE, link.wait_for(|link| matches!(link, Link::Up { .. }))).await.unwrap().unwrap();
    let (ticket, confirmed) = oneshot::channel();
    adapter.subscribe(&Subject::State, Some(ticket.into()));
    timeout(DEADLINE, confirmed).await.unwrap().unwrap().unwrap();
    (adapter, words)
}

#[tokio::test]
async fn clusters_of_different_prefixes_never_hear_each_other() {
    let redis = OneRedis::start().await;
    let (one, mut of_one) = joined(&redis, "one").await;
    let (two, mut of_two) = joined(&redis, "two").await;
    for _ in 0..2 {
        for (adapter, text) in [(&one, "for one"), (&two, "for two")] {
            adapter.publish(&Subject::State, Bytes::from_static(text.as_bytes()), None).unwrap();
        }
        assert_eq!(timeout(DEADLINE, of_one.next()).await.unwrap().unwrap().bytes, "for one");
        assert_eq!(timeout(DEADLINE, of_two.next()).await.unwrap().unwrap().bytes, "for two");
    }
}

#[tokio::test]
async fn what_strangers_say_is_counted_and_what_is_too_long_ends_the_connection() {
    let redis = OneRedis::start().await;
    let (node, mut words) = joined(&redis, "heliostat").await;
    let mut link = node.link();
    let target = redis.target();
    let address = super::super::stream::ServerAddress::only(&target.place).unwrap();
    let (mut stranger, _) =
        EngineConnection::open(&address, &target, &target.login, Box::new(|_, _| ())).await.unwrap();
    let mut say = async |bytes: &[u8]| {
        let mut say = cmd("PUBLISH");
        say.arg("heliostat:{00}:state").arg(bytes);
        assert_eq!(stranger.ask(&say, &target).await.unwrap(), Value::Int(1));
    };
    for foreign in [&b""[..], b"{}", b"\x02abc", b"\x01short"] {
        say(foreign).await;
    }
    say(b"\0not foreign").await;
    assert_eq!(timeout(DEADLINE, words.next()).await.unwrap().unwrap().bytes, "not foreign");
    assert_eq!(node.foreign_words(), 4);
    say(&vec![0; 200_000]).await;
    let away = timeout(DEADLINE, link.wait_for(|link| matches!(link, Link::Away { .. }))).await;
    let Link::Away { reason, .. } = away.unwrap().unwrap().clone() else { unreachable!() };
    assert!(reason.contains("more than 100000 bytes"), "{reason}");
    timeout(DEADLINE, link.wait_for(|link| matches!(link, Link::Up { .. }))).await.unwrap().unwrap();
    say(b"\0after it").await;
    assert_eq!(timeout(DEADLINE, words.next()).await.unwrap().unwrap().bytes, "after it");
}
