//! What a node knows of its cluster, as JSON: for `heliostat nodes` and `/nodes` of the admin listener.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::adapter::Link;
use super::status::{ClusterStatus, Loss, PeerStatus, ReplicaSize};

/// The digits of a node's id that tell it from others.
const SHORT: usize = 8;

/// This node and those that it knows, by name, this one first.
pub(crate) fn report(status: &ClusterStatus, now: Instant) -> Json {
    let nodes: Vec<_> = std::iter::once(of_this(status)).chain(status.peers.iter().map(of_peer)).collect();
    json!({
        "link": of_link(&status.link, now),
        "bus": match &status.away {
            None => json!({ "state": "up" }),
            Some(trouble) => json!({
                "state": "away",
                "seconds": seconds(now.saturating_duration_since(trouble.since)),
                "reason": &*trouble.reason,
            }),
        },
        "gaps": of_gaps(status),
        "nodes": nodes,
    })
}

/// What was missing of what others have said since the start, and what was lost on the way.
fn of_gaps(status: &ClusterStatus) -> Json {
    let figures = &status.figures;
    let lost = Loss::ALL.into_iter().zip(figures.lost).filter(|(_, count)| *count > 0);
    let lost: serde_json::Map<String, Json> =
        lost.map(|(loss, count)| (loss.name().to_owned(), count.into())).collect();
    json!({ "state": figures.state_gaps, "events": figures.missed_events, "lost": lost })
}

fn of_this(status: &ClusterStatus) -> Json {
    let state = match (&status.away, status.is_settled) {
        (Some(_), _) => "bus away",
        (None, false) => "settling",
        (None, true) => "serving",
    };
    let mut node = json!({
        "name": &*status.name,
        "id": status.me.to_string(),
        "is_this": true,
        "release": env!("CARGO_PKG_VERSION"),
        "state": state,
    });
    put_size(&mut node, status.own);
    node
}

fn of_peer(peer: &PeerStatus) -> Json {
    let state = if peer.is_complete { "known" } else { "catching up" };
    let mut node = json!({
        "name": &*peer.name,
        "id": peer.id.to_string(),
        "is_this": false,
        "release": &*peer.release,
        "state": state,
        "silent_for_seconds": seconds(peer.silent_for),
        "address": peer.address.as_deref(),
        "is_namesake": peer.is_namesake,
        "differing_settings": peer.differing,
    });
    put_size(&mut node, peer.size);
    node
}

fn put_size(node: &mut Json, size: ReplicaSize) {
    let ReplicaSize { channels, members, users, .. } = size;
    (node["channels"], node["members"], node["users"]) = (channels.into(), members.into(), users.into());
}

fn of_link(link: &Link, now: Instant) -> Json {
    match link {
        Link::Up { engine, round_trip } => {
            json!({ "state": "up", "engine": &*engine.0, "round_trip_seconds": round_trip.as_secs_f64() })
        }
        Link::Away { since, reason } => {
            let away = seconds(now.saturating_duration_since(*since));
            json!({ "state": "away", "seconds": away, "reason": &**reason })
        }
    }
}

/// To a tenth.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// The part of an id that is shown where there is little room.
pub(crate) fn short_id(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}
