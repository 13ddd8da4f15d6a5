//! How long a message takes when there is time for it.

use super::chat::open_rooms;
use super::fanout::{PUBLISHERS, open_publishers, open_subscribers};
use super::{Stage, verdict};
use crate::clients::Broken;
use crate::load::{PacedClients, PacedHttp};
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

pub(super) fn fanout(stage: &Stage<'_>, subscribers: usize, per_second: f64) -> Result<Outcome, Broken> {
    let mut crowd = stage.crowd(1, PUBLISHERS)?;
    open_subscribers(&mut crowd, "fanout", stage.scaled(subscribers))?;
    open_publishers(&mut crowd, 0, PUBLISHERS, "fanout", 100)?;
    let mut load = PacedHttp::new(per_second);
    let window = stage.window_of_at_least(SECONDS);
    let (window, latencies) = measure_latency(&mut crowd, stage.server.process, &mut load, window)?;
    Ok(verdict(crowd, latency_figures(&window, &latencies)))
}

pub(super) fn chat(
    stage: &Stage<'_>,
    rooms: usize,
    people: usize,
    per_second: f64,
) -> Result<Outcome, Broken> {
    let rooms = stage.scaled(rooms);
    let mut crowd = stage.crowd(rooms as u32, people as u32)?;
    let speakers = open_rooms(&mut crowd, rooms, people)?;
    let mut load = PacedClients::new(speakers, per_second);
    let window = stage.window_of_at_least(SECONDS);
    let (window, latencies) = measure_latency(&mut crowd, stage.server.process, &mut load, window)?;
    Ok(verdict(crowd, latency_figures(&window, &latencies)))
}
