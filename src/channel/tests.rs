//! Histories of one channel: single steps first, then any against a naive model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn socket(n: u32) -> SocketId {
    SocketId::new(n, 1)
}

fn member(user_id: &str) -> Member {
    Member { user_id: Arc::from(user_id), user_info: None }
}

fn version(number: u64) -> ChannelVersion {
    ChannelVersion::new(number)
}

#[test]
fn a_channel_is_occupied_by_the_first_and_vacated_by_the_last() {
    let mut channel = Channel::default();
    assert_eq!(
        channel.join(0, socket(1), None, 100, version(1)),
        Ok(Joined { occupied: true, announcement: None })
    );
    assert_eq!(
        channel.join(1, socket(2), None, 100, version(1)),
        Ok(Joined { occupied: false, announcement: None })
    );
    assert_eq!(channel.join(1, socket(2), None, 100, version(1)), Err(JoinRefused::AlreadyJoined));
    assert_eq!(channel.leave(0, socket(1), version(2)), Some(Left { vacated: false, announcement: None }));
    assert_eq!(channel.leave(0, socket(1), version(2)), None);
    assert_eq!(channel.leave(1, socket(2), version(2)), Some(Left { vacated: true, announcement: None }));
}

#[test]
fn a_refused_member_leaves_no_trace() {
    let mut channel = Channel::default();
    channel.join(0, socket(1), Some(&member("a")), 1, version(1)).unwrap();
    assert_eq!(channel.join(0, socket(2), Some(&member("b")), 1, version(2)), Err(JoinRefused::OverCapacity));
    assert_eq!((channel.subscribers().count(), channel.presence().unwrap().user_count()), (1, 1));
    assert!(
        channel.join(0, socket(2), Some(&member("a")), 1, version(3)).is_ok(),
        "a present user may come again"
    );
}

proptest! {
    /// A subscriber that starts from the roster it was given and applies the announcements with later versions knows
    /// exactly who is there, after any history of connections that come as some user, or go if they are there.
    #[test]
    fn rosters_and_announcements_agree(history in vec((0_u32..12, 0_u8..5), 0..120)) {
        agree_over(&history);
    }
}

fn agree_over(history: &[(u32, u8)]) {
    let mut channel = Channel::default();
    let mut joined: BTreeMap<u32, String> = BTreeMap::new();
    let mut observers: BTreeMap<u32, (ChannelVersion, BTreeSet<String>)> = BTreeMap::new();
    let mut log: Vec<(Announcement, bool)> = Vec::new();
    for ((n, user), version) in history.iter().zip((1..).map(ChannelVersion::new)) {
        let worker = (n % 3) as WorkerIndex;
        if joined.remove(n).is_some() {
            observers.remove(n);
            let left = channel.leave(worker, socket(*n), version).unwrap();
            assert_eq!(left.vacated, joined.is_empty());
            log.push((left.announcement.unwrap(), false));
        } else {
            let user = format!("u{user}");
            if let Ok(outcome) = channel.join(worker, socket(*n), Some(&member(&user)), 4, version) {
                assert_eq!(outcome.occupied, joined.is_empty());
                joined.insert(*n, user);
                let announcement = outcome.announcement.unwrap();
                observers.insert(*n, (announcement.version, users(&channel)));
                log.push((announcement, true));
            }
        }
        let present: BTreeSet<String> = joined.values().cloned().collect();
        assert_eq!(users(&channel), present);
        assert_eq!(channel.subscribers().count(), joined.len());
        for (since, known) in observers.values() {
            let mut known = known.clone();
            for (announcement, came) in log.iter().filter(|(a, _)| a.user_changed && a.version > *since) {
                let user = announcement.member.user_id.to_string();
                if *came {
                    assert!(known.insert(user), "added twice");
                } else {
                    assert!(known.remove(&user), "removed without being there");
                }
            }
            assert_eq!(known, present);
        }
        if joined.is_empty() {
            // The hub forgets an empty channel, but never goes back in its versions.
            channel = Channel::default();
        }
    }
}

fn users(channel: &Channel) -> BTreeSet<String> {
    channel.presence().map(|p| p.user_ids().map(str::to_owned).collect()).unwrap_or_default()
}
