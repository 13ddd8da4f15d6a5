//! What a node knows of its cluster. Nothing of it is told where there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::adapter::Link;
use crate::cluster::chain::HoleReason;
use crate::cluster::status::{ClusterFigures, ClusterStatus, Loss, PeerStatus, ReplicaSize, WordKind};

use super::catalogue as is;
use super::snapshot::Snapshot;

/// Tells of the bus, of the other nodes, and of what went between them.
pub(super) fn collect(status: &ClusterStatus, snapshot: &mut Snapshot) {
    let round_trip = match &status.link {
        Link::Up { round_trip, .. } => Some(*round_trip),
        Link::Away { .. } => None,
    };
    snapshot.tell(is::CLUSTER_BUS_UP, u64::from(status.away.is_none()));
    snapshot.tell(is::CLUSTER_LINK_UP, u64::from(round_trip.is_some()));
    if let Some(round_trip) = round_trip {
        snapshot.tell(is::CLUSTER_ROUND_TRIP, round_trip.as_secs_f64());
    }
    snapshot.tell(is::CLUSTER_SETTLED, u64::from(status.is_settled));
    peers(status, snapshot);
    traffic(&status.figures, snapshot);
    figures(&status.figures, snapshot);
}

/// Peers are told by their names, which stay when they start again. What those of one name have is one sum.
fn peers(status: &ClusterStatus, snapshot: &mut Snapshot) {
    let peers = &status.peers;
    let count = |is: &dyn Fn(&PeerStatus) -> bool| peers.iter().filter(|peer| is(peer)).count();
    snapshot.tell(is::CLUSTER_PEERS, peers.len());
    snapshot.tell(is::CLUSTER_INCOMPLETE_PEERS, count(&|peer| !peer.is_complete));
    snapshot.tell(is::CLUSTER_NAMESAKES, count(&|peer| peer.is_namesake));
    let mut by_name: BTreeMap<&Arc<str>, (ReplicaSize, BTreeSet<&str>)> = BTreeMap::new();
    for peer in peers {
        let (size, differing) = by_name.entry(&peer.name).or_default();
        size.channels += peer.size.channels;
        size.members += peer.size.members;
        size.users += peer.size.users;
        size.bytes += peer.size.bytes;
        differing.extend(&peer.differing);
    }
    for (name, (ReplicaSize { channels, members, users, bytes, .. }, differing)) in by_name {
        let label = || [name.to_string().into()];
        snapshot.tell_of(is::CLUSTER_PEER_CHANNELS, label(), channels);
        snapshot.tell_of(is::CLUSTER_PEER_MEMBERS, label(), members);
        snapshot.tell_of(is::CLUSTER_PEER_USERS, label(), users);
        snapshot.tell_of(is::CLUSTER_PEER_BYTES, label(), bytes);
        for setting in differing {
            let labels = [name.to_string().into(), setting.to_owned().into()];
            snapshot.tell_of(is::CLUSTER_SETTINGS_DIFFER, labels, 1_u64);
        }
    }
}

fn traffic(figures: &ClusterFigures, snapshot: &mut Snapshot) {
    for (direction, all) in [("out", &figures.said), ("in", &figures.heard)] {
        for (kind, traffic) in WordKind::ALL.into_iter().zip(all) {
            let labels = || [direction.into(), kind.name().into()];
            snapshot.tell_of(is::CLUSTER_MESSAGES, labels(), traffic.messages);
            snapshot.tell_of(is::CLUSTER_BYTES, labels(), traffic.bytes);
        }
    }
    for (loss, count) in Loss::ALL.into_iter().zip(figures.lost) {
        snapshot.tell_of(is::CLUSTER_LOST, [loss.name().into()], count);
    }
}

fn figures(figures: &ClusterFigures, snapshot: &mut Snapshot) {
    for (metric, results) in [
        (
            is::CLUSTER_SNAPSHOTS,
            &[
                ("asked", figures.snapshots_asked),
                ("given", figures.snapshots_given),
                ("taken", figures.snapshots_taken),
            ][..],
        ),
        (is::CLUSTER_PEERS_GONE, &[("died", figures.peers_died), ("left", figures.peers_left)]),
        (
            is::CLUSTER_JOINS,
            &[
                ("waited", figures.joins_waited),
                ("timed_out", figures.joins_timed_out),
                ("unconfirmed", figures.joins_unconfirmed),
            ],
        ),
    ] {
        for (result, count) in results {
            snapshot.tell_of(metric, [(*result).into()], *count);
        }
    }
    snapshot.tell(is::CLUSTER_STATE_GAPS, figures.state_gaps);
    snapshot.tell(is::CLUSTER_MISSED_EVENTS, figures.missed_events);
    snapshot.tell(is::CLUSTER_REPEATED_EVENTS, figures.repeated_events);
    snapshot.tell(is::CLUSTER_WAITING_JOINS, figures.waiting_joins);
    snapshot.tell(is::CLUSTER_CLAIMED_CHANNELS, figures.claimed_channels);
    snapshot.tell(is::CLUSTER_INBOX, figures.inbox_words);
    snapshot.tell(is::CLUSTER_INBOX_BYTES, figures.inbox_bytes);
    snapshot.tell(is::CLUSTER_OUTGOING, figures.outgoing_words);
    snapshot.tell(is::CLUSTER_OUTGOING_BYTES, figures.outgoing_bytes);
    snapshot.tell(is::CLUSTER_WAITING_EVENTS, figures.waiting_events);
    snapshot.tell(is::CLUSTER_FOLLOWED, figures.followed_channels);
    snapshot.tell(is::CLUSTER_CHAINED, figures.chained_events);
    snapshot.tell(is::CLUSTER_PAGES, figures.pages_fetched);
    for (reason, count) in HoleReason::ALL.into_iter().zip(figures.holes) {
        snapshot.tell_of(is::CLUSTER_HOLES, [reason.name().into()], count);
    }
    snapshot.tell(is::CLUSTER_OWED, figures.owed_events);
    snapshot.tell(is::CLUSTER_OWED_BYTES, figures.owed_bytes);
    snapshot.tell(is::CLUSTER_UNTOLD, figures.untold_changes);
    snapshot.tell(is::CLUSTER_UNSAID, figures.unsaid_facts);
    snapshot.tell(is::CLUSTER_APPS_REFUSED, figures.documents_refused);
    snapshot.tell(is::CLUSTER_UNREADABLE_APPS, figures.unreadable_apps);
}
