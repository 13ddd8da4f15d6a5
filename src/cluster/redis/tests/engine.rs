//! One Redis, as the contract wants it.

use rustix::process::Signal;

use super::super::{RedisAdapter, RedisTarget};
use super::process::RedisProcess;
use crate::cluster::EngineUrl;
use crate::cluster::contract::ContractEngine;
use crate::cluster::inbox::Inbox;

/// One Redis.
pub(super) struct OneRedis(pub(super) RedisProcess);

pub(super) fn target(url: &str) -> RedisTarget {
    RedisTarget::new(&EngineUrl::parse(url).unwrap(), None).unwrap()
}

impl OneRedis {
    pub(super) fn target(&self) -> RedisTarget {
        target(&format!("redis://127.0.0.1:{}", self.0.port))
    }
}

impl ContractEngine for OneRedis {
    type Adapter = RedisAdapter;

    async fn start() -> Self {
        OneRedis(RedisProcess::start(&[]))
    }

    fn join(&self, inbox: Inbox) -> RedisAdapter {
        RedisAdapter::join(self.target(), inbox)
    }

    fn halt(&self) {
        self.0.signal(Signal::STOP);
    }

    fn go_on(&self) {
        self.0.signal(Signal::CONT);
    }

    async fn replace(&mut self) {
        self.0.replace();
    }
}
