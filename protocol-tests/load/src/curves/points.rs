//! What is measured at each point of each curve.

use std::time::{Duration, Instant};

use super::{Curve, Measured};
use crate::clients::{Broken, Crowd, Keeping, OPENING_AT_ONCE, Template, Watch, Wish};
use crate::ledger::Faults;
use crate::load::SaturateHttp;
use crate::run::{Outcome, Stopwatch, idle, measure};
use crate::scenario::{Stage, churn, fanout};

/// Connections that hold very many channels.
const HOLDERS: usize = 64;

/// Joins and leaves under way at any time.
const PAIRS_AT_ONCE: u64 = 16;

/// All curves, in the order in which they are drawn.
pub(super) const ALL: &[Curve] = &[
    Curve {
        name: "deliveries",
        title: "A delivery",
        size: "subscribers of the channel",
        unit: "µs of CPU per delivery",
        sizes: &[10, 30, 100, 300, 1000, 3000, 10_000, 15_000],
        once_beyond: usize::MAX,
        has_ceiling: true,
        measure: deliveries,
    },
    Curve {
        name: "channels",
        title: "A publish to one subscriber",
        size: "occupied channels",
        unit: "µs of CPU per publish",
        sizes: &[1, 10, 100, 1000, 10_000, 100_000, 1_000_000],
        once_beyond: 100_000,
        has_ceiling: true,
        measure: channels,
    },
    Curve {
        name: "join",
        title: "A join and a leave",
        size: "others in the channel",
        unit: "µs of CPU for both",
        sizes: &[10, 100, 1000, 10_000],
        once_beyond: usize::MAX,
        has_ceiling: false,
        measure: join,
    },
    Curve {
        name: "roster",
        title: "A join or a leave of a member",
        size: "members of the presence channel",
        unit: "µs of CPU per member told",
        sizes: &[10, 30, 100, 300, 1000, 3000, 10_000],
        once_beyond: 1000,
        has_ceiling: false,
        measure: roster,
    },
    Curve {
        name: "subscriptions",
        title: "A join and a leave",
        size: "channels of the connection",
        unit: "µs of CPU for both",
        sizes: &[1, 10, 100, 1000],
        once_beyond: usize::MAX,
        has_ceiling: false,
        measure: subscriptions,
    },
    Curve {
        name: "memory",
        title: "An idle connection",
        size: "connections",
        unit: "bytes resident for each",
        sizes: &[500, 1000, 2000, 5000, 10_000, 15_000],
        once_beyond: usize::MAX,
        has_ceiling: false,
        measure: memory,
    },
];

fn deliveries(stage: &Stage<'_>, subscribers: usize) -> Measured {
    Ok(figure(fanout::over_http(stage, subscribers, 100)?, "cpu_us_per_delivery"))
}

/// Every publisher goes round the channels of one connection, each of which nobody else has.
fn channels(stage: &Stage<'_>, channels: usize) -> Measured {
    let holders = channels.min(HOLDERS);
    let each = channels / holders;
    let mut crowd = stage.crowd(holders as u32, 1)?;
    crowd.open_all(holders, 1, |crowd, holder| {
        let names = (holder * each..(holder + 1) * each).map(Template::numbered);
        let seat = crowd.shared.ledger.seat(holder as u32, None);
        crowd.open(names.map(|name| Wish::channel(&name)).collect(), vec![seat]).map(drop)
    })?;
    for holder in 0..holders {
        let publisher = crowd.shared.ledger.publisher(holder as u32, 0);
        let template = Template::publish_around(publisher, holder * each..(holder + 1) * each, 100);
        crowd.open_publisher(template, Keeping::Kept)?;
    }
    let mut load = SaturateHttp::new(1, 2 * holders as u64);
    let window = measure(&mut crowd, stage.server.process, &mut load, stage.window())?;
    ended(crowd, window.cpu_micros_per(window.answered))
}

fn join(stage: &Stage<'_>, others: usize) -> Measured {
    let mut crowd = stage.crowd(1, 1)?;
    fanout::open_subscribers(&mut crowd, "hall", others)?;
    come_and_go(stage, crowd, vec![Wish::channel("hall")])
}

fn subscriptions(stage: &Stage<'_>, channels: usize) -> Measured {
    let crowd = stage.crowd(1, 1)?;
    come_and_go(
        stage,
        crowd,
        (0..channels).map(|number| Wish::channel(&Template::numbered(number))).collect(),
    )
}

/// One more connection with these channels leaves the first of them and joins it again, again and again.
fn come_and_go(stage: &Stage<'_>, mut crowd: Crowd, wishes: Vec<Wish>) -> Measured {
    let first = wishes[0].clone();
    let mut mover = 0;
    crowd.open_all(1, OPENING_AT_ONCE, |crowd, _| {
        mover = crowd.open(wishes.clone(), Vec::new())?;
        Ok(())
    })?;
    let before = crowd.shared.counts.granted;
    let (mut sent, mut watch) = (0, Watch::new("joining and leaving"));
    let mut pairs_until = |crowd: &mut Crowd, end: Instant| -> Result<u64, Broken> {
        while Instant::now() < end {
            while sent < crowd.shared.counts.granted - before + PAIRS_AT_ONCE {
                crowd.unsubscribe(mover);
                crowd.subscribe(mover, first.clone());
                sent += 1;
            }
            crowd.step(Some(Duration::ZERO))?;
            watch.see(crowd.shared.counts.granted, || format!("{sent} sent"))?;
        }
        Ok(crowd.shared.counts.granted)
    };
    pairs_until(&mut crowd, Instant::now() + stage.window() / 4)?;
    let (stopwatch, began) = (Stopwatch::start(&crowd, stage.server.process)?, crowd.shared.counts.granted);
    let done = pairs_until(&mut crowd, Instant::now() + stage.window())?;
    let window = stopwatch.stop(&crowd)?;
    ended(crowd, window.cpu_micros_per(done - began))
}

fn roster(stage: &Stage<'_>, members: usize) -> Measured {
    Ok(figure(churn::presence(stage, members, churn::AT_ONCE)?, "cpu_us_per_notification"))
}

/// A figure of a scenario.
fn figure(outcome: Outcome, name: &str) -> (f64, Faults) {
    let value = outcome.figures.iter().find(|figure| figure.name == name);
    (value.map_or(f64::NAN, |figure| figure.value), outcome.faults)
}

fn memory(stage: &Stage<'_>, connections: usize) -> Measured {
    let process = stage.server.process;
    let mut crowd = stage.crowd(1, 1)?;
    let empty = process.resident_bytes()?;
    fanout::open_subscribers(&mut crowd, "fanout", connections)?;
    idle(&mut crowd, Duration::from_secs_f64(stage.seconds))?;
    let held = process.resident_bytes()?.saturating_sub(empty);
    ended(crowd, held as f64 / connections as f64)
}

fn ended(mut crowd: Crowd, value: f64) -> Measured {
    crowd.settle();
    Ok((value, crowd.shared.ledger.faults))
}
