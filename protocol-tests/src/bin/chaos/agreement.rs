//! Whether all is well: all nodes agree, and whoever is there hears all of them.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use heliostat_protocol_tests::Target;
use heliostat_protocol_tests::nodes::pause;
use serde_json::json;

use crate::record::{Event, FENCE, Publication};
use crate::stage::{HALL, ROOMS, Stage, lock};

/// Who is there, as all nodes say; or why not all is well.
pub(crate) fn agreement(stage: &Stage) -> Result<BTreeSet<String>, String> {
    let mut there = BTreeSet::new();
    for place in lock(&stage.places).values() {
        match place {
            Some((user, Some(_))) => drop(there.insert(user.clone())),
            Some((user, None)) if user.starts_with("stays") => return Err(format!("{user} is nowhere")),
            Some((_, None)) => {}
            None => return Err("somebody moves".to_owned()),
        }
    }
    for (n, slot) in stage.slots.iter().enumerate() {
        let node = lock(&slot.node);
        let node = node.as_ref().ok_or("a node is missing")?;
        let looked = catch_unwind(AssertUnwindSafe(|| {
            (node.ready(), node.metric("heliostat_cluster_peers", ""), users(&slot.target()))
        }));
        let Ok((ready, peers, users)) = looked else { return Err(format!("node {n} does not answer")) };
        if ready.status != 200 {
            return Err(format!("node {n} is not ready: {}", ready.text()));
        }
        // One that was killed is not yet known to be dead, or one that is there is not yet known.
        if peers != (stage.slots.len() - 1) as f64 {
            return Err(format!("node {n} knows {peers} others"));
        }
        if users != there {
            let more: Vec<_> = users.difference(&there).collect();
            let less: Vec<_> = there.difference(&users).collect();
            return Err(format!("node {n} lists {more:?} too many and {less:?} too few"));
        }
    }
    Ok(there)
}

fn users(target: &Target) -> BTreeSet<String> {
    let answer = target.get(&format!("/channels/{HALL}/users")).send().json();
    let users = answer["users"].as_array().cloned().unwrap_or_default();
    users.iter().filter_map(|user| user["id"].as_str().map(str::to_owned)).collect()
}

/// Publishes a fence of this number through every node, to the hall and all rooms, and waits until everybody has heard it.
/// Whoever moves meanwhile makes it worthless.
pub(crate) fn fence(stage: &Stage, number: usize, deadline: Instant) -> Result<(), String> {
    let before = lock(&stage.places).clone();
    let rooms: Vec<String> = (0..ROOMS).map(|room| format!("room-{room}")).collect();
    let channels: Vec<&str> = rooms.iter().map(String::as_str).chain([HALL]).collect();
    for (node, slot) in stage.slots.iter().enumerate() {
        let event = Event { publisher: FENCE, number, node };
        let body = json!({ "name": "number", "channels": channels, "data": event.text() });
        let (sent, target) = (Instant::now(), slot.target());
        let answer = catch_unwind(AssertUnwindSafe(|| target.events(&body).status));
        if !matches!(answer, Ok(200)) {
            return Err(format!("node {node} does not take a fence: {:?}", answer.ok()));
        }
        let answered = Instant::now();
        let published =
            |room: &String| Publication { room: room.clone(), event, sent, answered, status: 200 };
        lock(&stage.fences).extend(rooms.iter().map(published));
    }
    loop {
        if *lock(&stage.places) != before {
            return Err("somebody moves".to_owned());
        }
        let missing: Vec<usize> = {
            let reached = lock(&stage.reached);
            let there = before.iter().filter(|(_, place)| matches!(place, Some((_, Some(_)))));
            there.map(|(client, _)| *client).filter(|client| reached.get(client) != Some(&number)).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!(
                "the clients {missing:?} have not heard the fence {number} through every node"
            ));
        }
        pause();
    }
}
