//! A Redis Cluster of three primaries.

use super::{RedisServer, await_that, free_port};

/// The slots of a cluster, a third for each.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// The three servers.
#[derive(Debug)]
pub struct Sharded {
    primaries: Vec<RedisServer>,
}

impl Sharded {
    /// Starts them, gives each its slots, and waits until all agree.
    ///
    /// # Panics
    /// If they do not find each other.
    #[must_use]
    pub fn start() -> Sharded {
        let mut buses = Vec::new();
        let primaries: Vec<_> = (0..SLOTS.len()).map(|_| Sharded::start_one(&mut buses)).collect();
        for (n, server) in primaries.iter().enumerate() {
            let mut client = server.client();
            let (first, last) = SLOTS[n];
            client.call(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
            let added = client.call(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            assert_eq!(added.text(), "OK", "slots {first} to {last}");
        }
        let mut first = primaries[0].client();
        for (server, bus) in primaries.iter().zip(&buses).skip(1) {
            first.call(&["CLUSTER", "MEET", "127.0.0.1", &server.port().to_string(), &bus.to_string()]);
        }
        let sharded = Sharded { primaries };
        await_that("the three are a cluster", || sharded.is_whole());
        sharded
    }

    /// Whether each of them knows the three, and finds that none is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.primaries.iter().all(|server| {
            let info = server.client().call(&["CLUSTER", "INFO"]).text();
            let all = ["cluster_state:ok", "cluster_known_nodes:3", "cluster_slots_ok:16384"];
            all.iter().all(|line| info.contains(line))
        })
    }

    fn start_one(buses: &mut Vec<u16>) -> RedisServer {
        let mut bus = 0;
        let chosen = std::cell::Cell::new(0);
        let server = RedisServer::start_as("redis-server", |_| {
            chosen.set(free_port());
            let port = chosen.get().to_string();
            let timeout = ["--cluster-node-timeout", "3000", "--cluster-require-full-coverage", "no"];
            let on = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.txt", "--cluster-port"];
            on.iter().copied().chain([port.as_str()]).chain(timeout).map(str::to_owned).collect()
        });
        bus += chosen.get();
        buses.push(bus);
        server
    }

    /// The three.
    #[must_use]
    pub fn primaries(&self) -> &[RedisServer] {
        &self.primaries
    }
}
