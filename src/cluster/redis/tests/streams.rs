//! Streams in which there is something else than what this version has written, and what becomes of them where the engine is short of
//! room or forgets.

use std::time::Duration;

use bytes::Bytes;
use heliostat_protocol_tests::engine::{RedisServer, Reply, SENTINEL_NAME, Watched};
use tokio::sync::oneshot;

use super::engine::target;
use super::member::{Member, channel, within};
use crate::cluster::adapter::{Adapter, EngineError, Keeping, KeptPage, Subject};

const KEEPS_MUCH: Keeping = Keeping {
    events: 1000,
    bytes: 1 << 20,
    time: Duration::from_secs(1000),
    last_known_for: Duration::from_secs(2000),
    remembered_for: None,
};

impl Member {
    async fn keep(
        &self,
        subject: &Subject,
        text: &'static str,
        keeping: &Keeping,
    ) -> Result<(), EngineError> {
        let (ticket, taken) = oneshot::channel::<Result<(), EngineError>>();
        self.adapter.publish_and_keep(subject, Bytes::from(text), keeping, Some(ticket.into())).unwrap();
        within(taken).await.unwrap()
    }

    async fn kept(&self, subject: &Subject) -> Result<KeptPage, EngineError> {
        within(self.adapter.kept(subject, 0, (10_000, 1 << 20))).await
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, EngineError>) -> String {
    match answer {
        Err(EngineError::Refused(why)) => why,
        other => panic!("it is not refused: {other:?}"),
    }
}

/// A node, the subject whose stream it has begun, and that stream's keys: of the last number, and of the stream.
async fn with_a_stream(redis: &RedisServer) -> (Member, Subject, String, String) {
    let (member, subject) = (begun(redis).await, channel("kept"));
    member.subscribe(&subject).await;
    assert_eq!(member.keep(&subject, "first", &KEEPS_MUCH).await, Ok(()));
    let keys = redis.client().call(&["KEYS", "*event*"]).texts();
    let ending = |end: &str| keys.iter().find(|key| key.ends_with(end)).unwrap().clone();
    (member, subject, ending(":last"), ending(":kept"))
}

async fn begun(redis: &RedisServer) -> Member {
    let mut of = target(&format!("redis://127.0.0.1:{}", redis.port()));
    of.message_bytes = 100_000;
    Member::join(of).await
}

#[tokio::test]
async fn another_kind_of_value_is_refused_until_it_is_gone() {
    let redis = RedisServer::start(&[]);
    let (mut member, subject, last, kept) = with_a_stream(&redis).await;
    assert_eq!(member.hear().await, "first");
    let mut client = redis.client();
    let (last, kept) = (last.as_str(), kept.as_str());
    for (key, make) in [
        (last, ["RPUSH", last, "a"]),
        (last, ["SET", last, "1 2"]),
        (last, ["SET", last, "00000000000000000007"]),
        (last, ["SET", last, ""]),
        (kept, ["SET", kept, "a"]),
        (kept, ["SADD", kept, "a"]),
    ] {
        client.call(&["DEL", key]);
        assert!(!matches!(client.call(&make), Reply::Error(_)), "{make:?}");
        let why = refused(member.keep(&subject, "refused", &KEEPS_MUCH).await);
        assert!(why.contains("WRONGTYPE") || why.contains("holds something else"), "{make:?}: {why}");
        refused(member.kept(&subject).await);
        let still = client.call(&["TYPE", key]).text();
        assert_ne!(still, "stream", "{make:?}: what is somebody else's stays");
        client.call(&["DEL", key]);
        assert_eq!(member.keep(&subject, "again", &KEEPS_MUCH).await, Ok(()), "{make:?}");
        assert_eq!(member.hear().await, "again", "what is refused is not said");
        assert_eq!(member.kept(&subject).await.unwrap().words.last().unwrap().bytes, "again");
    }
    assert!(member.is_up());
}

#[tokio::test]
async fn what_a_newer_version_or_a_stranger_has_put_into_a_stream_is_refused_and_goes_like_the_rest() {
    let redis = RedisServer::start(&[]);
    let (member, subject, _, kept) = with_a_stream(&redis).await;
    let mut client = redis.client();
    let long = "x".repeat(150_000);
    for entry in [
        &["*", "2", "of a newer version"][..],
        &["*", "1", "00000000000000000007a", "2", "more"],
        &["*", "1", "short"],
        &["*", "1", &long],
        &["18446744073709551615-1", "1", "00000000000000000007a"],
    ] {
        client.call(&[&["XADD", &kept][..], entry].concat());
        let why = refused(member.kept(&subject).await);
        assert!(
            why.contains("does not read") || why.contains("longer than") || why.contains("no part of"),
            "{why}"
        );
        let few = Keeping { events: 1, ..KEEPS_MUCH };
        let answer = member.keep(&subject, "next", &few).await;
        if answer.is_err() {
            // An entry that nothing can follow.
            assert!(refused(answer).contains("XADD"), "{entry:?}");
            client.call(&["DEL", &kept]);
            assert_eq!(member.keep(&subject, "next", &few).await, Ok(()));
        }
        let page = member.kept(&subject).await.unwrap();
        assert_eq!((page.words.len(), &page.words[0].bytes[..]), (1, &b"next"[..]), "{entry:?}");
    }
    assert!(member.is_up());
}

#[tokio::test]
async fn where_the_engine_has_forgotten_a_part_the_chain_says_so() {
    let redis = RedisServer::start(&[]);
    let (member, subject, last, kept) = with_a_stream(&redis).await;
    let mut client = redis.client();
    let first = member.kept(&subject).await.unwrap().last;
    client.call(&["DEL", &kept]);
    let page = member.kept(&subject).await.unwrap();
    assert_eq!((page.words.len(), page.last), (0, first), "something was said that is not there");
    assert_eq!(member.keep(&subject, "second", &KEEPS_MUCH).await, Ok(()));
    let page = member.kept(&subject).await.unwrap();
    assert_eq!((page.words.len(), Some(page.words[0].previous)), (1, first));
    client.call(&["DEL", &last]);
    assert_eq!(member.kept(&subject).await.unwrap().last, None);
    assert_eq!(member.keep(&subject, "third", &KEEPS_MUCH).await, Ok(()));
    let page = member.kept(&subject).await.unwrap();
    assert_eq!((page.words.len(), page.words[0].previous, &page.words[0].bytes[..]), (1, 0, &b"third"[..]));
    client.call(&["SCRIPT", "FLUSH"]);
    assert_eq!(member.keep(&subject, "fourth", &KEEPS_MUCH).await, Ok(()));
    assert_eq!(member.kept(&subject).await.unwrap().words.len(), 2);
}

#[tokio::test]
async fn what_there_is_no_memory_for_is_refused_and_not_said() {
    let redis = RedisServer::start(&[]);
    let (mut member, subject, ..) = with_a_stream(&redis).await;
    let mut client = redis.client();
    client.call(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(refused(member.keep(&subject, "refused", &KEEPS_MUCH).await).contains("OOM"));
    assert_eq!(member.kept(&subject).await.unwrap().words.len(), 1, "it is read all the same");
    assert_eq!(member.say(&subject, "plain").await, Ok(()));
    client.call(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(member.keep(&subject, "second", &KEEPS_MUCH).await, Ok(()));
    for expected in ["first", "plain", "second"] {
        assert_eq!(member.hear().await, expected);
    }
    let page = member.kept(&subject).await.unwrap();
    assert_eq!(page.words[1].previous, page.words[0].number);
}

#[tokio::test]
async fn bounds_that_have_become_small_are_reached_by_steps() {
    let redis = RedisServer::start(&[]);
    let (member, subject, _, kept) = with_a_stream(&redis).await;
    let mut all = Vec::new();
    for _ in 0..400 {
        let (ticket, taken) = oneshot::channel::<Result<(), EngineError>>();
        member
            .adapter
            .publish_and_keep(&subject, Bytes::from("x"), &KEEPS_MUCH, Some(ticket.into()))
            .unwrap();
        all.push(taken);
    }
    for taken in all {
        assert_eq!(within(taken).await, Ok(Ok(())));
    }
    let mut client = redis.client();
    let one = Keeping { events: 1, ..KEEPS_MUCH };
    for left in [274, 147, 20, 1, 1] {
        assert_eq!(member.keep(&subject, "x", &one).await, Ok(()));
        assert_eq!(client.call(&["XLEN", &kept]).integer(), left);
    }
}

#[tokio::test]
async fn a_stream_outlives_a_fail_over() {
    let watched = tokio::task::spawn_blocking(Watched::start).await.unwrap();
    let url = format!("redis+sentinel://127.0.0.1:{}/{SENTINEL_NAME}", watched.sentinel().port());
    let mut member = Member::join(target(&url)).await;
    let (subject, before) = (channel("kept"), member.up().await);
    member.subscribe(&subject).await;
    for text in ["first", "second"] {
        assert_eq!(member.keep(&subject, text, &KEEPS_MUCH).await, Ok(()));
        assert_eq!(member.hear().await, text);
    }
    let there = member.kept(&subject).await.unwrap();
    let failing_over = move || {
        watched.fail_over();
        watched.await_replica();
        watched
    };
    let _watched = tokio::task::spawn_blocking(failing_over).await.unwrap();
    member.another_than(&before).await;
    let copied = member.kept(&subject).await.unwrap();
    assert_eq!((&copied.words, copied.last), (&there.words, there.last));
    assert_eq!(member.keep(&subject, "third", &KEEPS_MUCH).await, Ok(()));
    let last = member.kept(&subject).await.unwrap().words.pop().unwrap();
    assert_eq!((Some(last.previous), &last.bytes[..]), (there.last, &b"third"[..]));
}
