//! A node's place at an engine, with what it hears, for tests.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::{RedisAdapter, RedisTarget};
use crate::cluster::adapter::{Adapter, EngineError, EngineId, Link, Subject};
use crate::cluster::inbox::{Words, inbox};
use crate::protocol::ChannelName;

/// Long enough for a slow machine, and for an engine to be found away.
const DEADLINE: Duration = Duration::from_secs(60);

pub(super) async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it has not happened in time")
}

pub(super) fn channel(name: &str) -> Subject {
    Subject::Channel { app: "app".into(), channel: ChannelName::parse(name, 200).unwrap() }
}

pub(super) struct Member {
    pub(super) adapter: RedisAdapter,
    pub(super) words: Words,
}

impl Member {
    /// Joins, and waits until the engine is there.
    pub(super) async fn join(target: RedisTarget) -> Self {
        let (inbox, words) = inbox(10_000, 64 << 20);
        let member = Member { adapter: RedisAdapter::join(target, inbox), words };
        member.up().await;
        member
    }

    async fn link(&self, is: impl FnMut(&Link) -> bool) -> Link {
        let mut link = self.adapter.link();
        let seen = within(link.wait_for(is)).await.unwrap();
        Link::clone(&seen)
    }

    /// Waits for the engine; says which it is.
    pub(super) async fn up(&self) -> EngineId {
        match self.link(|link| matches!(link, Link::Up { .. })).await {
            Link::Up { engine, .. } => engine,
            Link::Away { .. } => unreachable!(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.adapter.link().borrow(), Link::Up { .. })
    }

    /// Waits until it is away; says why.
    pub(super) async fn away(&self) -> String {
        match self.link(|link| matches!(link, Link::Away { .. })).await {
            Link::Away { reason, .. } => reason.to_string(),
            Link::Up { .. } => unreachable!(),
        }
    }

    /// Waits until it is another engine than this one.
    pub(super) async fn another_than(&self, before: &EngineId) -> EngineId {
        match self.link(|link| matches!(link, Link::Up { engine, .. } if engine != before)).await {
            Link::Up { engine, .. } => engine,
            Link::Away { .. } => unreachable!(),
        }
    }

    /// Waits until a probe takes so long.
    pub(super) async fn slower_than(&self, least: Duration) {
        self.link(|link| matches!(link, Link::Up { round_trip, .. } if *round_trip >= least)).await;
    }

    pub(super) async fn subscribe(&self, subject: &Subject) {
        let (ticket, confirmed) = oneshot::channel::<Result<(), EngineError>>();
        self.adapter.subscribe(subject, Some(ticket.into()));
        assert_eq!(within(confirmed).await, Ok(Ok(())));
    }

    pub(super) async fn say(&self, subject: &Subject, bytes: impl Into<Bytes>) -> Result<(), EngineError> {
        let (ticket, taken) = oneshot::channel::<Result<(), EngineError>>();
        self.adapter.publish(subject, bytes.into(), Some(ticket.into())).unwrap();
        within(taken).await.unwrap()
    }

    pub(super) async fn remember(&self, subject: &Subject, bytes: &'static str) -> Result<(), EngineError> {
        let (ticket, taken) = oneshot::channel::<Result<(), EngineError>>();
        let expiry = Duration::from_secs(1000);
        self.adapter.publish_and_remember(subject, bytes.into(), expiry, Some(ticket.into())).unwrap();
        within(taken).await.unwrap()
    }

    pub(super) async fn hear(&mut self) -> String {
        let word = within(self.words.next()).await.expect("the engine has gone");
        String::from_utf8(word.bytes.to_vec()).unwrap()
    }

    /// Says something again and again until it is heard, for what was subscribed to before.
    pub(super) async fn say_until_heard(&mut self, subject: &Subject, text: &'static str) {
        let hears = async {
            loop {
                let said = self.say(subject, text).await;
                if said.is_ok() && self.hears_now(text).await {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, hears).await.expect("it is not heard");
    }

    async fn hears_now(&mut self, text: &str) -> bool {
        let soon = Duration::from_secs(1);
        while let Ok(Some(word)) = timeout(soon, self.words.next()).await {
            if word.bytes == text {
                return true;
            }
        }
        false
    }
}
