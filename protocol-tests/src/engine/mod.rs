//! Redis, started for a test: alone, as a primary with a replica behind Sentinel, or as a cluster of three primaries.
//!
//! All of it listens on free loopback ports, keeps nothing, and ends with the value that started it, or with this process.

mod end;
pub mod resp;
mod sentinel;
mod server;
mod sharded;

use std::net::TcpListener;
use std::time::{Duration, Instant};

pub use end::EndsWithUs;
pub use resp::{Reply, Resp};
pub use sentinel::Watched;
pub use server::RedisServer;
pub use sharded::Sharded;

/// How long the servers of an engine may take until they serve together. A Sentinel that has stood still for two seconds does
/// nothing for thirty.
const START_DEADLINE: Duration = Duration::from_secs(180);

/// The name under which Sentinel knows its primary.
pub const SENTINEL_NAME: &str = "heliostat";

/// What carries words between nodes.
#[derive(Debug)]
pub enum Engine {
    /// One server.
    Standalone(RedisServer),
    /// A primary and its replica, watched by Sentinel.
    Sentinel(Watched),
    /// Three primaries that share the slots.
    Cluster(Sharded),
}

impl Engine {
    /// One server.
    #[must_use]
    pub fn standalone() -> Engine {
        Engine::Standalone(RedisServer::start(&[]))
    }

    /// A primary, a replica and a Sentinel.
    #[must_use]
    pub fn sentinel() -> Engine {
        Engine::Sentinel(Watched::start())
    }

    /// Three primaries.
    #[must_use]
    pub fn cluster() -> Engine {
        Engine::Cluster(Sharded::start())
    }

    /// The engine of this name: `standalone`, `sentinel` or `cluster`.
    #[must_use]
    pub fn named(name: &str) -> Option<Engine> {
        match name {
            "standalone" => Some(Engine::standalone()),
            "sentinel" => Some(Engine::sentinel()),
            "cluster" => Some(Engine::cluster()),
            _ => None,
        }
    }

    /// What `--cluster` is given.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Engine::Standalone(server) => format!("redis://127.0.0.1:{}", server.port()),
            Engine::Sentinel(watched) => {
                format!("redis+sentinel://127.0.0.1:{}/{SENTINEL_NAME}", watched.sentinel().port())
            }
            Engine::Cluster(sharded) => {
                let places: Vec<_> =
                    sharded.primaries().iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
                format!("redis+cluster://{}", places.join(","))
            }
        }
    }

    /// Every server that holds data.
    #[must_use]
    pub fn servers(&self) -> Vec<&RedisServer> {
        match self {
            Engine::Standalone(server) => vec![server],
            Engine::Sentinel(watched) => watched.servers().iter().collect(),
            Engine::Cluster(sharded) => sharded.primaries().iter().collect(),
        }
    }

    /// Whether its servers agree on what each of them is, and nothing is about to change.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match self {
            Engine::Standalone(_) => true,
            Engine::Sentinel(watched) => watched.is_whole(),
            Engine::Cluster(sharded) => sharded.is_whole(),
        }
    }

    /// Whether somebody is subscribed, at a server that takes no words, to a subject that looks like this.
    #[must_use]
    pub fn is_heard_elsewhere(&self, pattern: &str) -> bool {
        let Engine::Sentinel(watched) = self else { return false };
        let primary = watched.primary_port();
        let mut others = watched.servers().iter().filter(|server| server.port() != primary);
        others.any(|server| !server.client().call(&["PUBSUB", "CHANNELS", pattern]).texts().is_empty())
    }

    /// The only server.
    ///
    /// # Panics
    /// If there are several.
    #[must_use]
    pub fn server(&self) -> &RedisServer {
        match self {
            Engine::Standalone(server) => server,
            other => panic!("{} servers, not one", other.servers().len()),
        }
    }
}

/// A port that nobody listens on. Another process may take it before it is used; who starts a server tries again.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Asks again until the answer is yes.
///
/// # Panics
/// If it never is.
#[track_caller]
fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + START_DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {START_DEADLINE:?}: {what}");
        pause();
    }
}

/// Between two questions to a server that is about to change its answer.
#[expect(
    clippy::disallowed_methods,
    reason = "a server says nothing by itself, and is not to be asked all the time"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_engine_takes_and_hands_out_a_word() {
        for name in ["standalone", "sentinel", "cluster"] {
            let engine = Engine::named(name).unwrap();
            let server = engine.servers()[0];
            let mut listener = server.client();
            assert_eq!(listener.call(&["SUBSCRIBE", "room"]).texts(), ["subscribe", "room", "1"]);
            server.client().call(&["PUBLISH", "room", "hello"]);
            assert_eq!(listener.read().texts(), ["message", "room", "hello"], "{}", engine.url());
        }
    }

    #[test]
    fn sentinel_fails_over_and_says_so() {
        let Engine::Sentinel(watched) = Engine::sentinel() else { unreachable!() };
        let before = watched.primary_port();
        watched.fail_over();
        assert_ne!(watched.primary_port(), before);
    }
}
