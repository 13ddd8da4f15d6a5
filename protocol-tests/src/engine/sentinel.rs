//! A primary, its replica, and the Sentinel that makes the one the other.

use super::{RedisServer, Resp, SENTINEL_NAME, await_that};

/// The three processes.
#[derive(Debug)]
pub struct Watched {
    servers: [RedisServer; 2],
    sentinel: RedisServer,
}

impl Watched {
    /// Starts them, and waits until the Sentinel knows of the replica.
    ///
    /// # Panics
    /// If they do not find each other.
    #[must_use]
    pub fn start() -> Watched {
        let primary = RedisServer::start(&[]);
        let port = primary.port().to_string();
        let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {port}")]);
        await_that("the replica follows", || {
            replica.info("replication", "master_link_status").as_deref() == Some("up")
        });
        let sentinel = RedisServer::start_as("redis-sentinel", |directory| {
            let file = directory.join("sentinel.conf");
            let text = format!(
                "sentinel monitor {SENTINEL_NAME} 127.0.0.1 {port} 1\n\
                 sentinel down-after-milliseconds {SENTINEL_NAME} 1000\n\
                 sentinel failover-timeout {SENTINEL_NAME} 4000\n"
            );
            std::fs::write(&file, text).expect("the Sentinel's file can be written");
            vec![file.display().to_string()]
        });
        let watched = Watched { servers: [primary, replica], sentinel };
        await_that("Sentinel has seen the replica", || watched.replica_is_known());
        watched
    }

    /// Both servers, whichever is the primary.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The Sentinel.
    #[must_use]
    pub fn sentinel(&self) -> &RedisServer {
        &self.sentinel
    }

    /// The port of the primary, as the Sentinel tells it.
    #[must_use]
    pub fn primary_port(&self) -> u16 {
        let told = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SENTINEL_NAME]).texts();
        told.get(1).and_then(|port| port.parse().ok()).unwrap_or_default()
    }

    /// The primary.
    ///
    /// # Panics
    /// If the Sentinel tells of another.
    #[must_use]
    pub fn primary(&self) -> &RedisServer {
        let port = self.primary_port();
        self.servers.iter().find(|server| server.port() == port).expect("the primary is one of the two")
    }

    /// Makes the replica the primary, and waits until both agree and the old one follows, so that it can be done again.
    ///
    /// # Panics
    /// If they never do.
    pub fn fail_over(&self) {
        let before = self.primary_port();
        await_that("Sentinel has failed over", || {
            // What it has given up, because it stood still meanwhile, it begins again; while it is at it, it refuses.
            self.primary_port() != before || {
                let _ = self.ask(&["SENTINEL", "FAILOVER", SENTINEL_NAME]);
                false
            }
        });
        await_that("the new primary knows that it is", || {
            self.primary().info("replication", "role").as_deref() == Some("master")
        });
    }

    /// Waits until the replica follows the primary, as it must before another fail-over.
    ///
    /// # Panics
    /// If it never does.
    pub fn await_replica(&self) {
        await_that("the replica follows", || {
            let port = self.primary_port();
            let mut others = self.servers.iter().filter(|server| server.port() != port);
            others.all(|server| server.info("replication", "master_link_status").as_deref() == Some("up"))
                && self.replica_is_known()
        });
    }

    /// Whether all three say the same of who the primary is, and nothing is under way.
    pub(super) fn is_whole(&self) -> bool {
        let told = self.ask(&["SENTINEL", "MASTER", SENTINEL_NAME]).texts();
        let flags = told.iter().position(|text| text == "flags").and_then(|at| told.get(at + 1));
        let port = self.primary_port();
        flags.is_some_and(|flags| flags == "master")
            && self.replica_is_known()
            && self.servers.iter().all(|server| {
                let (field, wanted) =
                    if server.port() == port { ("role", "master") } else { ("master_link_status", "up") };
                server.info("replication", field).as_deref() == Some(wanted)
            })
    }

    fn replica_is_known(&self) -> bool {
        let told = self.ask(&["SENTINEL", "REPLICAS", SENTINEL_NAME]).text();
        told.contains(" flags slave ") && told.contains(" master-link-status ok ")
    }

    fn ask(&self, command: &[&str]) -> super::Reply {
        Resp::connect(self.sentinel.port()).expect("the Sentinel is there").call(command)
    }
}
