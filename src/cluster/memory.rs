//! What the channels and members of another node cost this one: in its replica, and in the hub. Measured by hand, alone in
//! its process: `cargo test --lib cluster::memory -- --ignored --nocapture`.

use std::fs;
use std::sync::Arc;

use crate::app::App;
use crate::channel::{ChannelVersion, Fact, Member, NodeId};
use crate::connection::ConnectionConfig;
use crate::hub::Hub;
use crate::protocol::ChannelName;

use super::envelope::{FactBatch, FactListBuilder};
use super::replica::{Replica, ReplicaBounds};

const CHANNELS: u64 = 200_000;
const MEMBERS: u64 = 200_000;
const MEMBERS_OF_EACH: u64 = 100;

/// Bytes of the process's memory that are in use.
fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Has a node say so many facts; how many bytes each takes here.
fn bytes_of_each(hub: &Arc<Hub>, replica: &mut Replica, count: u64, fact: impl Fn(u64) -> Fact) -> usize {
    let (app, node) = (Arc::from("1"), NodeId::new(1));
    let before = resident_bytes();
    for n in 0..count {
        let mut facts = FactListBuilder::default();
        facts.push(&app, &fact(n));
        let batch = FactBatch { first: replica.number() + 1, facts: facts.take() };
        replica.apply(batch, &mut |told| hub.change_elsewhere(&told.app, node, &told.change).unwrap());
    }
    (resident_bytes() - before) / usize::try_from(count).unwrap()
}

#[test]
#[ignore = "it measures the memory of the whole process"]
fn what_is_occupied_elsewhere_takes_some_hundreds_of_bytes() {
    let hub =
        Hub::new(vec![(App::new("1", "k", "s"), Vec::new())], ConnectionConfig::default(), 1, 0).unwrap();
    let mut replica = Replica::new(ReplicaBounds::default(), 0);
    replica.heard_of(0);
    let name = |name: String| ChannelName::parse(&name, 164).unwrap();
    let of_channel = bytes_of_each(&hub, &mut replica, CHANNELS, |n| {
        let version = ChannelVersion::new(n);
        Fact::Subscribers { channel: name(format!("private-room-{n:07}")), count: 1, version }
    });
    let of_member = bytes_of_each(&hub, &mut replica, MEMBERS, |n| {
        let user_info = Some(format!("{{\"name\":\"Somebody {n:07}\"}}").into());
        let member = Member { user_id: format!("user-{n:07}").into(), user_info };
        let channel = name(format!("presence-room-{:07}", n / MEMBERS_OF_EACH));
        Fact::Joined { channel, version: ChannelVersion::new(n), member }
    });
    println!(
        "a channel that is occupied elsewhere: {of_channel} bytes; a member elsewhere: {of_member} bytes"
    );
    assert!(of_channel < 800 && of_member < 800, "{of_channel} {of_member}");
}
