//! Tells the log which nodes come and go, and what is wrong with them.

use std::sync::Arc;

use crate::channel::NodeId;

use super::node::ClusterNode;
use super::peers::PeerChange;
use super::report::short_id;
use super::status::BusTrouble;

/// Tells the log who has come and gone, by name and by the beginning of the id.
pub(super) fn log_changes<A>(node: &ClusterNode<A>, changes: &[PeerChange]) {
    let short = |of: &NodeId| short_id(&of.to_string()).to_owned();
    let named = |of: &NodeId| {
        let peers = node.peers.lock();
        peers.peer(*of).map_or_else(|| "".into(), |peer| Arc::clone(&peer.heartbeat.name))
    };
    let differing = |of: &NodeId| {
        let peers = node.peers.lock();
        let settings = peers.peer(*of).map(|peer| node.settings.differing(&peer.heartbeat.settings));
        settings.unwrap_or_default().join(", ")
    };
    for change in changes {
        match change {
            PeerChange::Appeared { node: id, returned } => {
                let (name, id, settings) = (named(id), short(id), differing(id));
                match returned {
                    0 => tracing::info!(node = &*name, id, "a node has come"),
                    _ => tracing::warn!(node = &*name, id, "a node has come back that was taken for dead"),
                }
                if !settings.is_empty() && !node.standing.is_of_two() {
                    tracing::warn!(
                        node = &*name,
                        id,
                        settings,
                        "a node has settings otherwise that all should have alike"
                    );
                }
            }
            PeerChange::Died { node, name } => {
                tracing::warn!(node = &**name, id = short(node), "a node is dead: its members leave");
            }
            PeerChange::Left { node, name } => {
                tracing::info!(node = &**name, id = short(node), "a node has left");
            }
            PeerChange::Namesake { node, name } => {
                tracing::warn!(
                    node = &**name,
                    id = short(node),
                    "two nodes have one name: give each another cluster.node_name"
                );
            }
            PeerChange::Settled { unknown } => {
                node.settled.send_replace(true);
                // One that stops leaves to this one by then what there is to decide.
                node.beat_now.notify_one();
                let (peers, away) = {
                    let peers = node.peers.lock();
                    (peers.iter().len(), peers.bus_trouble())
                };
                tell_settled(peers, *unknown, away.as_ref());
            }
        }
    }
}

/// With how many others this node serves from now on, and of how many of them it knows what they have.
fn tell_settled(peers: usize, unknown: usize, away: Option<&BusTrouble>) {
    let known = peers.saturating_sub(unknown);
    match away {
        Some(BusTrouble { reason, .. }) => {
            tracing::warn!(peers, known, %reason, "this node serves its own clients alone: the bus is away");
        }
        None if unknown > 0 => {
            tracing::warn!(peers, known, "this node serves without knowing what all others have");
        }
        None => tracing::info!(peers, "this node knows what the others have, and serves"),
    }
}
