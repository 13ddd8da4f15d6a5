//! Coming, staying and coming back: what connections cost besides messages.

use std::time::{Duration, Instant};

use super::fanout::{open_publishers, open_subscribers};
use super::{Stage, verdict};
use crate::clients::{Broken, Crowd, Wish};
use crate::run::{Outcome, Stopwatch, idle};

/// Connections being opened at once after everybody was cut off.
const STORM_AT_ONCE: usize = 512;
/// A camera frame.
const BURST_BYTES: usize = 40_000;

/// Publishes one message and waits until everybody has it: proof that all are there, once each.
fn broadcast(crowd: &mut Crowd) -> Result<(), Broken> {
    crowd.publish(0, Instant::now());
    crowd.drain()
}

pub(super) fn connect(stage: &Stage<'_>, connections: usize) -> Result<Outcome, Broken> {
    let connections = stage.scaled(connections);
    let mut crowd = stage.crowd(1, 1)?;
    let stopwatch = Stopwatch::start(&crowd, stage.server.process)?;
    open_subscribers(&mut crowd, "fanout", connections)?;
    let window = stopwatch.stop(&crowd)?;
    open_publishers(&mut crowd, 0, 1, "fanout", 100)?;
    broadcast(&mut crowd)?;
    let mut outcome = Outcome::default();
    outcome.add("cpu_us_per_connection", window.cpu_micros_per(connections as u64));
    outcome.add("connections_per_s", connections as f64 / window.seconds);
    Ok(verdict(crowd, outcome))
}

pub(super) fn memory(stage: &Stage<'_>, connections: usize) -> Result<Outcome, Broken> {
    let connections = stage.scaled(connections);
    let (settling, later) = if stage.quick {
        (Duration::from_millis(100), Duration::from_millis(300))
    } else {
        (Duration::from_secs(1), Duration::from_secs(10))
    };
    let process = stage.server.process;
    let mut crowd = stage.crowd(1, 1)?;
    let empty = process.resident_bytes()?;
    let each = |resident: u64| resident.saturating_sub(empty) as f64 / connections as f64;
    open_subscribers(&mut crowd, "fanout", connections)?;
    open_publishers(&mut crowd, 0, 1, "fanout", BURST_BYTES)?;
    idle(&mut crowd, settling)?;
    let mut outcome = Outcome::default();
    outcome.add("idle_bytes_per_connection", each(process.resident_bytes()?));
    broadcast(&mut crowd)?;
    outcome.add("after_burst_bytes_per_connection", each(process.resident_bytes()?));
    outcome.add("peak_bytes_per_connection", each(process.peak_resident_bytes()?));
    idle(&mut crowd, later)?;
    outcome.add("10_s_later_bytes_per_connection", each(process.resident_bytes()?));
    outcome.add("server_bytes_without_connections", empty as f64);
    Ok(verdict(crowd, outcome))
}

/// So many come and go at a time, again and again.
pub(super) fn burst(stage: &Stage<'_>, at_a_time: usize) -> Result<Outcome, Broken> {
    const ROUNDS: usize = 8;
    let connections = stage.scaled(at_a_time);
    let later = Duration::from_millis(if stage.quick { 100 } else { 8000 });
    let process = stage.server.process;
    let mut crowd = stage.crowd(1, 1)?;
    let empty = process.resident_bytes()?;
    for round in 0..ROUNDS {
        crowd.open_all(connections, STORM_AT_ONCE, |crowd, number| {
            let (wishes, seats) = (vec![Wish::channel("fanout")], vec![crowd.shared.ledger.seat(0, None)]);
            match round {
                0 => crowd.open(wishes, seats).map(drop),
                _ => crowd.reopen(number, wishes, seats),
            }
        })?;
        (0..connections).for_each(|number| crowd.end(number));
    }
    idle(&mut crowd, later)?;
    let mut outcome = Outcome::default();
    outcome.add("8_s_later_bytes", process.resident_bytes()?.saturating_sub(empty) as f64);
    outcome.add("peak_bytes", process.peak_resident_bytes()?.saturating_sub(empty) as f64);
    outcome.add("server_bytes_without_connections", empty as f64);
    Ok(verdict(crowd, outcome))
}

pub(super) fn storm(stage: &Stage<'_>, connections: usize) -> Result<Outcome, Broken> {
    let connections = stage.scaled(connections);
    let mut crowd = stage.crowd(1, 1)?;
    open_subscribers(&mut crowd, "fanout", connections)?;
    let stopwatch = Stopwatch::start(&crowd, stage.server.process)?;
    (0..connections).for_each(|number| crowd.end(number));
    crowd.open_all(connections, STORM_AT_ONCE, |crowd, number| {
        let seat = crowd.shared.ledger.seat(0, None);
        crowd.reopen(number, vec![Wish::channel("fanout")], vec![seat])
    })?;
    let window = stopwatch.stop(&crowd)?;
    open_publishers(&mut crowd, 0, 1, "fanout", 100)?;
    broadcast(&mut crowd)?;
    let mut outcome = Outcome::default();
    outcome.add("cpu_us_per_return", window.cpu_micros_per(connections as u64));
    outcome.add("seconds_until_all_are_back", window.seconds);
    Ok(verdict(crowd, outcome))
}
