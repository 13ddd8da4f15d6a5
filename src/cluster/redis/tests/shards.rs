//! A Redis Cluster: three primaries, one of them with a replica.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::engine::{RedisServer, Reply};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::super::names::{Names, tag};
use super::super::places::locate;
use super::super::{RedisAdapter, RedisTarget};
use super::engine::target;
use super::member::{Member, channel};
use super::process::free_port;
use crate::cluster::adapter::{Adapter, EngineError, Subject};
use crate::cluster::contract::{ContractEngine, contract};
use crate::cluster::inbox::Inbox;

const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

struct Shards {
    primaries: Vec<RedisServer>,
}

/// How soon the servers take one of them for dead that says nothing, in milliseconds: where nothing of the kind is to happen, no
/// load of the machine may have it so, for then they refuse whatever is asked.
const SOON: &str = "2000";
const NEVER: &str = "600000";

fn start_one(given_up_after: &str) -> RedisServer {
    let on = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.txt"];
    let soon = ["--cluster-node-timeout", given_up_after, "--cluster-replica-validity-factor", "0"];
    RedisServer::start_at(free_port(), &[&on[..], &soon[..]].concat())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a server says nothing by itself, and is not asked all the time"
)]
fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn knows(server: &RedisServer, count: usize) -> bool {
    let info = server.client().call(&["CLUSTER", "INFO"]).text();
    info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{count}"))
}

fn id(server: &RedisServer) -> String {
    server.client().call(&["CLUSTER", "MYID"]).text()
}

impl Shards {
    fn start_three(given_up_after: &str) -> Self {
        let primaries: Vec<_> = SLOTS.iter().map(|_| start_one(given_up_after)).collect();
        for (n, server) in primaries.iter().enumerate() {
            let (mut client, (first, last)) = (server.client(), SLOTS[n]);
            client.call(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
            client.call(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            meet(&primaries[0], server);
        }
        await_that("three are a cluster", || primaries.iter().all(|server| knows(server, 3)));
        Shards { primaries }
    }

    fn target(&self) -> RedisTarget {
        let hosts: Vec<_> = self.primaries.iter().map(|one| format!("127.0.0.1:{}", one.port())).collect();
        target(&format!("redis+cluster://{}", hosts.join(",")))
    }
}

fn meet(first: &RedisServer, other: &RedisServer) {
    let port = other.port();
    let (port, bus) = (port.to_string(), (port + 10_000).to_string());
    first.client().call(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
}

impl ContractEngine for Shards {
    type Adapter = RedisAdapter;

    async fn start() -> Self {
        tokio::task::spawn_blocking(|| Shards::start_three(NEVER)).await.unwrap()
    }

    fn join(&self, inbox: Inbox) -> RedisAdapter {
        RedisAdapter::join(self.target(), inbox)
    }

    fn halt(&self) {
        self.primaries[1].pause();
    }

    fn go_on(&self) {
        self.primaries[1].resume();
    }

    async fn replace(&mut self) {
        for server in &self.primaries {
            server.client().call(&["FLUSHALL"]);
        }
    }
}

contract!(Shards:
    words_arrive_in_each_senders_order confirmations_are_matched_in_order
    what_is_remembered_has_the_number_of_what_is_heard the_first_who_misses_something_is_told_from_the_others
    documents_are_written_if_they_have_the_version_expected a_halt_is_seen_and_healed another_engine_is_seen_as_another
    what_is_kept_is_numbered_and_names_what_came_before_it a_stream_keeps_the_newest_within_its_bounds
    what_is_kept_and_remembered_has_one_number streams_are_away_with_the_engine_and_gone_with_it
);

/// Channels of which each primary has some.
#[tokio::test]
async fn a_host_that_says_nothing_holds_nobody_up() {
    const DEADLINE: Duration = Duration::from_secs(60);
    let shards = Shards::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hosts = format!("{},127.0.0.1:{}", silent.local_addr().unwrap(), shards.primaries[1].port());
    let asked = RedisTarget { connect_timeout: 2 * DEADLINE, ..target(&format!("redis+cluster://{hosts}")) };
    let found = timeout(DEADLINE, locate(&asked)).await.expect("the next one is asked").unwrap();
    assert_eq!(found, locate(&shards.target()).await.unwrap());
}

fn channels() -> Vec<Subject> {
    (0..32).map(|n| channel(&format!("cache-{n}"))).collect()
}

async fn all_are_heard(member: &mut Member, text: &'static str) {
    for subject in channels() {
        assert_eq!(member.say(&subject, text).await, Ok(()));
        while member.hear().await != text {}
    }
}

#[tokio::test]
async fn the_replica_of_a_primary_that_stands_still_is_followed() {
    let (shards, replica) = tokio::task::spawn_blocking(|| {
        let (shards, replica) = (Shards::start_three(SOON), start_one(SOON));
        meet(&shards.primaries[0], &replica);
        await_that("four know each other", || knows(&replica, 4));
        let first = id(&shards.primaries[0]);
        await_that("it follows", || replica.client().call(&["CLUSTER", "REPLICATE", &first]).text() == "OK");
        await_that("it has followed", || {
            replica.info("replication", "master_link_status").as_deref() == Some("up")
                && shards.primaries.iter().all(|server| knows(server, 4))
        });
        (shards, replica)
    })
    .await
    .unwrap();
    let mut member = Member::join(shards.target()).await;
    let before = member.up().await;
    for subject in channels() {
        member.subscribe(&subject).await;
    }
    all_are_heard(&mut member, "before").await;
    shards.primaries[0].pause();
    member.away().await;
    let after = member.another_than(&before).await;
    all_are_heard(&mut member, "by the replica").await;
    assert_eq!(replica.info("replication", "role").as_deref(), Some("master"));
    shards.primaries[0].kill();
    all_are_heard(&mut member, "without it").await;
    assert!(member.is_up() && member.up().await == after);
}

#[tokio::test]
async fn a_slot_that_moves_takes_its_channels_along() {
    let shards = Shards::start().await;
    let mut member = Member::join(shards.target()).await;
    for subject in channels() {
        member.subscribe(&subject).await;
    }
    all_are_heard(&mut member, "before").await;
    let subject = &channels()[7];
    assert_eq!(member.remember(subject, "kept").await, Ok(()));
    let key = Names::new("heliostat".into()).number(tag(subject));
    let slot = shards.primaries[0].client().call(&["CLUSTER", "KEYSLOT", &key]).integer();
    let from = SLOTS.iter().position(|(_, last)| slot <= i64::from(*last)).unwrap();
    let (source, target, slot) =
        (&shards.primaries[from], &shards.primaries[(from + 1) % 3], slot.to_string());
    let set = |server: &RedisServer, what: &str, node: &str| {
        assert_eq!(server.client().call(&["CLUSTER", "SETSLOT", &slot, what, node]).text(), "OK");
    };
    set(target, "IMPORTING", &id(source));
    set(source, "MIGRATING", &id(target));
    let port = target.port().to_string();
    let keys = source.client().call(&["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]).texts();
    for key in &keys {
        let moved = source.client().call(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
        assert!(matches!(moved, Reply::Simple(_)), "{key}: {moved:?}");
    }
    // Half way, publications go on, and what is remembered is refused.
    assert_eq!(member.say(subject, "half way").await, Ok(()));
    while member.hear().await != "half way" {}
    let answer = member.remember(subject, "half way").await;
    assert!(matches!(&answer, Err(EngineError::Refused(_))), "{answer:?}");
    for server in [target, source, &shards.primaries[(from + 2) % 3]] {
        set(server, "NODE", &id(target));
    }
    member.say_until_heard(subject, "moved").await;
    all_are_heard(&mut member, "afterwards").await;
    member.up().await;
    let kept = member.adapter.recall(subject).await.unwrap().expect("it is remembered still");
    assert_eq!(kept.bytes, "kept");
}
