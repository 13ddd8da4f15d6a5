//! One run of one scenario: load, a window in which things are counted, and the rest delivered and verified.

use std::time::{Duration, Instant};

use crate::clients::{Broken, Crowd};
use crate::gauge::Process;
use crate::ledger::Faults;
use crate::load::{Load, Silence};
use crate::trace::Trace;

/// Before a moment that matters, this tool stays awake instead of trusting a timer of whole milliseconds.
const AWAKE: Duration = Duration::from_millis(2);

/// What one run came to. The figures keep their order; smaller is better for those that are compared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) figures: Vec<Figure>,
    /// The server's system calls for each delivery or request, in words; if they were counted.
    pub(crate) calls: Option<String>,
    pub(crate) faults: Faults,
}

/// A figure's name, which ends in its unit, and its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

impl Outcome {
    pub(crate) fn add(&mut self, name: &'static str, value: f64) {
        self.figures.push(Figure { name, value });
    }
}

/// What was counted between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) seconds: f64,
    pub(crate) cpu: Duration,
    pub(crate) delivered: u64,
    pub(crate) answered: u64,
    pub(crate) reads: u64,
}

impl Window {
    /// The server's CPU time divided by a count, in microseconds.
    pub(crate) fn cpu_micros_per(&self, count: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count as f64
    }
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    cpu: Duration,
    delivered: u64,
    answered: u64,
    reads: u64,
}

impl Moment {
    fn now(crowd: &Crowd, process: Process) -> Result<Self, Broken> {
        let counts = crowd.shared.counts;
        Ok(Moment {
            at: Instant::now(),
            cpu: process.cpu()?,
            delivered: crowd.shared.ledger.delivered(),
            answered: counts.answered,
            reads: counts.reads,
        })
    }
}

/// Counts from now until [`Stopwatch::stop`].
#[derive(Debug)]
pub(crate) struct Stopwatch {
    process: Process,
    start: Moment,
}

impl Stopwatch {
    pub(crate) fn start(crowd: &Crowd, process: Process) -> Result<Self, Broken> {
        Ok(Stopwatch { process, start: Moment::now(crowd, process)? })
    }

    pub(crate) fn stop(&self, crowd: &Crowd) -> Result<Window, Broken> {
        let (start, end) = (self.start, Moment::now(crowd, self.process)?);
        Ok(Window {
            seconds: (end.at - start.at).as_secs_f64(),
            cpu: end.cpu.saturating_sub(start.cpu),
            delivered: end.delivered - start.delivered,
            answered: end.answered - start.answered,
            reads: end.reads - start.reads,
        })
    }
}

/// Runs the load for so long.
pub(crate) fn run_for(crowd: &mut Crowd, load: &mut dyn Load, duration: Duration) -> Result<(), Broken> {
    let end = Instant::now() + duration;
    loop {
        let next = load.pump(crowd).map_or(end, |next| next.min(end));
        let now = Instant::now();
        if now >= end {
            return Ok(());
        }
        let wait = if load.stays_awake() {
            Duration::ZERO
        } else {
            next.saturating_duration_since(now).saturating_sub(AWAKE)
        };
        crowd.step(Some(Duration::from_millis(wait.as_millis() as u64)))?;
    }
}

/// Runs the load until it is warm, counts for `window`, stops sending, and waits for the rest.
pub(crate) fn measure(
    crowd: &mut Crowd,
    process: Process,
    load: &mut dyn Load,
    window: Duration,
) -> Result<Window, Broken> {
    run_for(crowd, load, window / 4)?;
    let stopwatch = Stopwatch::start(crowd, process)?;
    run_for(crowd, load, window)?;
    let window = stopwatch.stop(crowd)?;
    crowd.drain()?;
    Ok(window)
}

/// Counts the server's system calls while the load goes on for `window`, and divides them by `units` of it.
pub(crate) fn count_calls(
    crowd: &mut Crowd,
    process: Process,
    load: &mut dyn Load,
    window: Duration,
    units: fn(&Window) -> u64,
) -> Result<String, Broken> {
    /// Rarer ones say nothing.
    const WORTH_SHOWING: f64 = 0.0005;
    let trace = Trace::start(process)?;
    let stopwatch = Stopwatch::start(crowd, process)?;
    run_for(crowd, load, window)?;
    let counted = stopwatch.stop(crowd)?;
    let calls = trace.stop()?;
    crowd.drain()?;
    let each = 1.0 / units(&counted).max(1) as f64;
    let total: u64 = calls.iter().map(|(_, count)| count).sum();
    let mut words = vec![format!("{:.3}", total as f64 * each)];
    let shown = calls.into_iter().map(|(name, count)| (name, count as f64 * each));
    words.extend(
        shown.filter(|(_, each)| *each >= WORTH_SHOWING).map(|(name, each)| format!("{name} {each:.3}")),
    );
    Ok(words.join(", "))
}

/// Like [`measure`], with the latencies of the window's deliveries.
pub(crate) fn measure_latency(
    crowd: &mut Crowd,
    process: Process,
    load: &mut dyn Load,
    window: Duration,
) -> Result<(Window, Latencies), Broken> {
    load.begin();
    run_for(crowd, load, window / 4)?;
    crowd.shared.latencies = Some(Vec::new());
    let stopwatch = Stopwatch::start(crowd, process)?;
    run_for(crowd, load, window)?;
    let window = stopwatch.stop(crowd)?;
    let latencies = Latencies::new(crowd.shared.latencies.take().unwrap_or_default());
    crowd.drain()?;
    Ok((window, latencies))
}

/// Lets time pass, with the sockets served.
pub(crate) fn idle(crowd: &mut Crowd, duration: Duration) -> Result<(), Broken> {
    run_for(crowd, &mut Silence, duration)
}

/// How long deliveries took, from when their message was due.
#[derive(Debug)]
pub(crate) struct Latencies {
    sorted_nanoseconds: Vec<u64>,
}

impl Latencies {
    pub(crate) fn new(mut nanoseconds: Vec<u64>) -> Self {
        nanoseconds.sort_unstable();
        Latencies { sorted_nanoseconds: nanoseconds }
    }

    /// The latency that this part of all deliveries did not exceed, in microseconds.
    pub(crate) fn micros_at(&self, part: f64) -> f64 {
        ranked(&self.sorted_nanoseconds, part).map_or(f64::NAN, |nanoseconds| *nanoseconds as f64 / 1e3)
    }
}

/// Of sorted values the one that this part of all do not exceed.
pub(crate) fn ranked<T>(sorted: &[T], part: f64) -> Option<&T> {
    let last = sorted.len().checked_sub(1)?;
    let rank = ((sorted.len() as f64 * part).ceil() as usize).saturating_sub(1).min(last);
    sorted.get(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let latencies = Latencies::new((1..=1000).rev().map(|micros| micros * 1000).collect());
        assert_eq!(latencies.micros_at(0.5), 500.0);
        assert_eq!(latencies.micros_at(0.99), 990.0);
        assert_eq!(latencies.micros_at(1.0), 1000.0);
        assert!(Latencies::new(Vec::new()).micros_at(0.5).is_nan());
    }
}
