//! How long a message takes when there is time for it.

use super::chat::open_rooms;
use super::fanout::{PUBLISHERS, open_publishers, open_subscribers};
use super::{Stage, verdict};
use crate::clients::{Broken, Crowd};
use crate::load::{Load, PacedClients, PacedHttp};
use crate::run::{Latencies, Outcome, Window, measure_latency};

/// Long enough for 100 messages to 1000 subscribers.
const SECONDS: f64 = 5.0;

pub(super) fn latency_figures(window: &Window, latencies: &Latencies) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.add("p99_us", latencies.micros_at(0.99));
    outcome.add("p50_us", latencies.micros_at(0.5));
    outcome.add("max_us", latencies.micros_at(1.0));
    outcome.add("cpu_us_per_delivery", window.cpu_micros_per(window.delivered));
    outcome
}

/// Subscribers of one channel, and what is published to it.
pub(super) fn open_fanout(
    stage: &Stage<'_>,
    subscribers: usize,
    per_second: f64,
) -> Result<(Crowd, PacedHttp), Broken> {
    let mut crowd = stage.crowd(1, PUBLISHERS)?;
    open_subscribers(&mut crowd, "fanout", stage.scaled(subscribers))?;
    open_publishers(&mut crowd, 0, PUBLISHERS, "fanout", 100)?;
    Ok((crowd, PacedHttp::new(per_second)))
}

/// Rooms full of people, and what they say.
pub(super) fn open_chat(
    stage: &Stage<'_>,
    rooms: usize,
    people: usize,
    per_second: f64,
) -> Result<(Crowd, PacedClients), Broken> {
    let rooms = stage.scaled(rooms);
    let mut crowd = stage.crowd(rooms as u32, people as u32)?;
    let speakers = open_rooms(&mut crowd, rooms, people)?;
    Ok((crowd, PacedClients::new(speakers, per_second)))
}

/// The latencies of this load.
pub(super) fn measured(
    stage: &Stage<'_>,
    (mut crowd, mut load): (Crowd, impl Load),
) -> Result<Outcome, Broken> {
    let window = stage.window_of_at_least(SECONDS);
    let (window, latencies) = measure_latency(&mut crowd, stage.server.process, &mut load, window)?;
    Ok(verdict(crowd, latency_figures(&window, &latencies)))
}
