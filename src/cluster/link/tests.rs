//! The engine at the other end of a link does what every engine does.

use std::io;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::adapter::{Adapter, EngineError, Link, Subject};
use super::super::inbox::inbox;
use super::super::local::LocalEngine;
use super::stream::MESSAGE_BYTES;
use super::words::{EngineAnswer, EngineAsk, LinkReply, LinkRequest};
use super::{LinkAdapter, serve};

fn host(engine: &LocalEngine) -> (UnixStream, JoinHandle<io::Result<()>>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let engine = engine.clone();
    (ours, tokio::spawn(async move { serve(&engine, theirs, (100_000, 1 << 30)).await }))
}

async fn join(stream: UnixStream) -> LinkAdapter {
    up(LinkAdapter::join(stream, inbox(1000, 1 << 20).0, 1 << 20)).await
}

async fn up(adapter: LinkAdapter) -> LinkAdapter {
    adapter.link().wait_for(|link| matches!(link, Link::Up { .. })).await.unwrap();
    adapter
}

fn channel(name: &str) -> Subject {
    Subject::Channel { app: "1".into(), channel: crate::protocol::ChannelName::parse(name, 164).unwrap() }
}

#[tokio::test]
async fn what_one_says_the_other_hears_and_is_told_that_it_is_taken() {
    let engine = LocalEngine::new();
    let (stream, _hosted) = host(&engine);
    let (heard, mut words) = inbox(1000, 1 << 20);
    let far = up(LinkAdapter::join(stream, heard, 1 << 20)).await;
    let (near_heard, mut near_words) = inbox(1000, 1 << 20);
    let near = engine.join(near_heard);
    for adapter in [&far as &dyn Subscribes, &near as &dyn Subscribes] {
        let (ticket, confirmed) = oneshot::channel();
        adapter.wants(&channel("a"), ticket);
        assert_eq!(confirmed.await, Ok(Ok(())));
    }
    for n in 0..100 {
        let (ticket, taken) = oneshot::channel();
        let bytes = Bytes::from(format!("{n}"));
        far.publish(&channel("a"), bytes.clone(), Some(ticket.into())).unwrap();
        assert_eq!(taken.await, Ok(Ok(())));
        assert_eq!(near_words.try_next().unwrap().bytes, bytes, "it is there before it is taken");
        assert_eq!(words.next().await.unwrap().bytes, bytes);
    }
    assert_eq!(far.outbox().taken.0, 100);
}

#[tokio::test]
async fn what_is_remembered_is_recalled_from_either_side() {
    let engine = LocalEngine::new();
    let (stream, _hosted) = host(&engine);
    let far = join(stream).await;
    let near = engine.join(inbox(10, 1000).0);
    let hour = std::time::Duration::from_secs(3600);
    assert_eq!(far.note_miss(&channel("cache-a"), hour).await, Ok(true));
    assert_eq!(near.note_miss(&channel("cache-a"), hour).await, Ok(false));
    near.publish_and_remember(&channel("cache-a"), Bytes::from_static(b"x"), hour, None).unwrap();
    let remembered = far.recall(&channel("cache-a")).await.unwrap().unwrap();
    assert_eq!(&remembered.bytes[..], b"x");
    assert_eq!(near.recall(&channel("cache-a")).await.unwrap().unwrap().number, remembered.number);
    assert_eq!(far.recall(&channel("cache-b")).await, Ok(None));
}

#[tokio::test]
async fn when_one_goes_the_other_knows_and_nobody_waits() {
    let engine = LocalEngine::new();
    let (stream, hosted) = host(&engine);
    let far = join(stream).await;
    far.subscribe(&Subject::State, None);
    hosted.abort();
    let mut link = far.link();
    link.wait_for(|link| matches!(link, Link::Away { .. })).await.unwrap();
    let (ticket, taken) = oneshot::channel();
    far.publish(&Subject::State, Bytes::new(), Some(ticket.into())).unwrap();
    assert_eq!(taken.await, Ok(Err(EngineError::Away)));
    assert_eq!(far.recall(&Subject::State).await, Err(EngineError::Away));

    let (stream, hosted) = host(&engine);
    let far = join(stream).await;
    let (ticket, confirmed) = oneshot::channel();
    far.subscribe(&Subject::State, Some(ticket.into()));
    assert_eq!(confirmed.await, Ok(Ok(())));
    drop(far);
    hosted.await.unwrap().unwrap();
    assert_eq!(engine.wanted_by(&Subject::State), 0, "it has left");
}

#[tokio::test]
async fn rubbish_ends_the_link_and_what_is_announced_is_not_made_room_for() {
    let engine = LocalEngine::new();
    for rubbish in [&b"\0\0\0\x05rubbi"[..], &u32::MAX.to_be_bytes(), &(MESSAGE_BYTES as u32).to_be_bytes()] {
        let (mut stream, hosted) = host(&engine);
        stream.write_all(rubbish).await.unwrap();
        stream.shutdown().await.unwrap();
        hosted.await.unwrap().unwrap_err();
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        theirs.write_all(rubbish).await.unwrap();
        theirs.shutdown().await.unwrap();
        let far = LinkAdapter::join(ours, inbox(10, 1000).0, 1000);
        let mut link = far.link();
        let told = |link: &Link| matches!(link, Link::Away { reason, .. } if !reason.contains("nothing yet"));
        link.wait_for(told).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_read_is_bounded() {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let mut theirs = theirs;
    super::stream::write_message(&mut theirs, &LinkReply::Engine("e".to_owned()).encode()).await.unwrap();
    let far = up(LinkAdapter::join(ours, inbox(10, 1000).0, 1 << 20)).await;
    let bytes = Bytes::from(vec![0; 1024]);
    let refused = (0..1 << 20).find(|_| far.publish(&Subject::State, bytes.clone(), None).is_err());
    assert!(refused.is_some_and(|count| count <= 1024), "{refused:?}");
    assert!(far.outbox().waiting.1 <= 1 << 20 && far.outbox().full == 1);
}

#[test]
fn messages_are_read_as_they_are_written_and_a_part_of_one_is_none() {
    let bytes = Bytes::from_static(b"bytes");
    let hour = std::time::Duration::from_secs(3600);
    let subjects = [
        Subject::State,
        Subject::Node(crate::channel::NodeId::new(7)),
        channel("presence-a"),
        Subject::Pipe { app: "1".into() },
        Subject::Documents,
    ];
    for subject in &subjects {
        let of = || subject.clone();
        for asked in [
            EngineAsk::Publish { subject: of(), bytes: bytes.clone() },
            EngineAsk::Remember { subject: of(), bytes: bytes.clone(), expiry: hour },
            EngineAsk::Restore { subject: of(), bytes: bytes.clone(), expiry: hour, over: 7 },
            EngineAsk::Recall { subject: of() },
            EngineAsk::NoteMiss { subject: of(), expiry: hour },
            EngineAsk::Subscribe { subject: of() },
            EngineAsk::Unsubscribe { subject: of() },
        ] {
            let request = LinkRequest { number: 300, asked };
            let encoded = request.encode();
            assert_eq!(LinkRequest::decode(&encoded), Ok(request));
            (0..encoded.len()).for_each(|end| assert!(LinkRequest::decode(&encoded.slice(..end)).is_err()));
        }
        let word = LinkReply::Word { subject: of(), bytes: bytes.clone(), number: Some(9) };
        assert_eq!(LinkReply::decode(&word.encode()), Ok(word));
    }
    let remembered = super::super::adapter::Remembered { bytes, number: 5, expires_in: hour };
    for answer in [
        EngineAnswer::Done,
        EngineAnswer::Recalled(None),
        EngineAnswer::Recalled(Some(remembered)),
        EngineAnswer::Missed { is_first: true },
        EngineAnswer::Restored { is_done: true },
        EngineAnswer::Failed(EngineError::Away),
        EngineAnswer::Failed(EngineError::Refused("no".to_owned())),
    ] {
        let reply = LinkReply::Answer { number: 1, answer };
        let encoded = reply.encode();
        assert_eq!(LinkReply::decode(&encoded), Ok(reply));
        (0..encoded.len()).for_each(|end| assert!(LinkReply::decode(&encoded.slice(..end)).is_err()));
    }
}

/// What subscribes.
trait Subscribes {
    fn wants(&self, subject: &Subject, ticket: oneshot::Sender<Result<(), EngineError>>);
}

impl<A: Adapter> Subscribes for A {
    fn wants(&self, subject: &Subject, ticket: oneshot::Sender<Result<(), EngineError>>) {
        self.subscribe(subject, Some(ticket.into()));
    }
}

/// The suite of every engine but for documents: all its members are at the far end of a link of their own.
mod suite {
    use super::super::super::contract::{ContractEngine, contract};
    use super::super::super::inbox::Inbox;
    use super::{LinkAdapter, LocalEngine, host};

    pub(super) struct LinkedEngine(LocalEngine);

    impl ContractEngine for LinkedEngine {
        type Adapter = LinkAdapter;

        async fn start() -> Self {
            LinkedEngine(LocalEngine::new())
        }

        fn join(&self, inbox: Inbox) -> LinkAdapter {
            let (stream, _hosted) = host(&self.0);
            LinkAdapter::join(stream, inbox, 1 << 30)
        }

        fn halt(&self) {
            self.0.halt();
        }

        fn go_on(&self) {
            self.0.go_on();
        }

        async fn replace(&mut self) {
            self.0.wipe();
        }
    }

    contract!(LinkedEngine:
        words_arrive_in_each_senders_order what_is_confirmed_is_heard_from_then_on
        confirmations_are_matched_in_order what_nobody_wants_comes_to_nobody
        what_is_remembered_has_the_number_of_what_is_heard numbers_never_go_back_when_it_expires
        what_was_lost_is_restored_where_nothing_has_followed_it
        the_first_who_misses_something_is_told_from_the_others a_halt_is_seen_and_healed
        a_reader_who_is_held_back_loses_words_and_holds_no_more);
}
