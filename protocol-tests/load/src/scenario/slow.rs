//! Readers that do not read, what the others notice of it, and what it costs.

use std::time::Duration;

use super::fanout::{PUBLISHERS, open_publishers, open_subscribers};
use super::{Stage, verdict};
use crate::clients::{Broken, Crowd, Ending, OPENING_AT_ONCE, Watch, Wish};
use crate::gauge::socket_buffer_bytes;
use crate::load::{PacedHttp, RoundsOfHttp};
use crate::run::{Latencies, Outcome, measure_latency, run_for};

const PAYLOAD_BYTES: usize = 10_000;
/// In the window of 5 s this comes to 3 MB per reader: more than an outbox and the socket buffers hold.
const PER_SECOND: f64 = 60.0;
const SECONDS: f64 = 5.0;

fn paced(crowd: &mut Crowd, stage: &Stage<'_>, window: Duration) -> Result<Latencies, Broken> {
    let mut load = PacedHttp::new(PER_SECOND);
    Ok(measure_latency(crowd, stage.server.process, &mut load, window)?.1)
}

/// Of these stalled readers, how many the server has ended. They are read on, to find out.
fn ended(crowd: &mut Crowd, stalled: std::ops::Range<usize>) -> Result<usize, Broken> {
    stalled.clone().for_each(|number| crowd.resume(number));
    crowd.drain()?;
    Ok(stalled
        .filter(|number| matches!(crowd.ending(*number), Some(Ending::Closed(4100) | Ending::Dropped)))
        .count())
}

pub(super) fn one_of(stage: &Stage<'_>, readers: usize) -> Result<Outcome, Broken> {
    let mut crowd = stage.crowd(1, PUBLISHERS)?;
    open_subscribers(&mut crowd, "fanout", stage.scaled(readers))?;
    open_publishers(&mut crowd, 0, PUBLISHERS, "fanout", PAYLOAD_BYTES)?;
    let window = stage.window_of_at_least(SECONDS);
    let before = paced(&mut crowd, stage, window)?;
    let resident = stage.server.process.resident_bytes()?;
    crowd.stall(1);
    let with_one = paced(&mut crowd, stage, window)?;
    let grown = stage.server.process.peak_resident_bytes()?.saturating_sub(resident);
    let mut outcome = Outcome::default();
    outcome.add("p99_us", with_one.micros_at(0.99));
    outcome.add("p99_before_us", before.micros_at(0.99));
    outcome.add("p50_us", with_one.micros_at(0.5));
    outcome.add("p50_before_us", before.micros_at(0.5));
    outcome.add("peak_growth_bytes", grown as f64);
    outcome.add("stalled_ended", ended(&mut crowd, 1..2)? as f64);
    Ok(verdict(crowd, outcome))
}

pub(super) fn many(stage: &Stage<'_>, stalled: usize, reading: usize) -> Result<Outcome, Broken> {
    let (stalled, reading) = (stage.scaled(stalled), stage.scaled(reading));
    let mut crowd = stage.crowd(1, PUBLISHERS)?;
    open_subscribers(&mut crowd, "fanout", stalled + reading)?;
    open_publishers(&mut crowd, 0, PUBLISHERS, "fanout", PAYLOAD_BYTES)?;
    let window = stage.window_of_at_least(SECONDS);
    let resident = stage.server.process.resident_bytes()?;
    let buffers = socket_buffer_bytes()?;
    (0..stalled).for_each(|number| crowd.stall(number));
    let latencies = paced(&mut crowd, stage, window)?;
    let grown = stage.server.process.peak_resident_bytes()?.saturating_sub(resident);
    let buffers = socket_buffer_bytes()?.saturating_sub(buffers);
    let mut outcome = Outcome::default();
    outcome.add("p99_us", latencies.micros_at(0.99));
    outcome.add("peak_growth_bytes_per_stalled", grown as f64 / stalled as f64);
    outcome.add("kernel_bytes_per_stalled", buffers as f64 / stalled as f64);
    outcome.add("stalled_ended", ended(&mut crowd, 0..stalled)? as f64);
    Ok(verdict(crowd, outcome))
}

/// The worst case for memory: no two readers share a frame.
pub(super) fn many_apart(stage: &Stage<'_>, stalled: usize) -> Result<Outcome, Broken> {
    /// More than an outbox and the socket buffers hold.
    const MESSAGES: u32 = 150;
    let stalled = stage.scaled(stalled);
    let mut crowd = stage.crowd(stalled as u32, 1)?;
    let channel = |number: usize| format!("apart-{number}");
    crowd.open_all(stalled, OPENING_AT_ONCE, |crowd, number| {
        let seat = crowd.shared.ledger.seat(number as u32, None);
        crowd.open(vec![Wish::channel(&channel(number))], vec![seat]).map(drop)
    })?;
    for number in 0..stalled {
        open_publishers(&mut crowd, number as u32, 1, &channel(number), PAYLOAD_BYTES)?;
    }
    let resident = stage.server.process.resident_bytes()?;
    let buffers = socket_buffer_bytes()?;
    (0..stalled).for_each(|number| crowd.stall(number));
    let mut load = RoundsOfHttp::new(MESSAGES);
    let mut watch = Watch::new("publishing to the stalled readers");
    while !load.is_over(&crowd) {
        run_for(&mut crowd, &mut load, Duration::from_millis(100))?;
        let answered = crowd.shared.counts.answered;
        watch.see(answered, || format!("faults: {}", crowd.shared.ledger.faults))?;
    }
    let grown = stage.server.process.peak_resident_bytes()?.saturating_sub(resident);
    let buffers = socket_buffer_bytes()?.saturating_sub(buffers);
    let mut outcome = Outcome::default();
    outcome.add("peak_growth_bytes_per_stalled", grown as f64 / stalled as f64);
    outcome.add("kernel_bytes_per_stalled", buffers as f64 / stalled as f64);
    outcome.add("stalled_ended", ended(&mut crowd, 0..stalled)? as f64);
    Ok(verdict(crowd, outcome))
}
