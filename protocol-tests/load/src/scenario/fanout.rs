//! One message to many, as fast as it goes.

use super::{Stage, add_calls, verdict};
use crate::clients::{Broken, Crowd, Keeping, OPENING_AT_ONCE, Template, Wish};
use crate::load::{Load, SaturateClients, SaturateDelivered, SaturateHttp, Speaker};
use crate::run::{Outcome, Window, measure};

/// Publishers where the load has a pace: more than can be waiting for an answer.
pub(super) const PUBLISHERS: u32 = 4;

/// Opens subscribers of one channel, group 0.
pub(crate) fn open_subscribers(crowd: &mut Crowd, channel: &str, count: usize) -> Result<(), Broken> {
    crowd.open_all(count, OPENING_AT_ONCE, |crowd, _| {
        let seat = crowd.shared.ledger.seat(0, None);
        crowd.open(vec![Wish::channel(channel)], vec![seat]).map(drop)
    })
}

/// Opens publishers to one channel of a group.
pub(super) fn open_publishers(
    crowd: &mut Crowd,
    group: u32,
    count: u32,
    channel: &str,
    payload_bytes: usize,
) -> Result<(), Broken> {
    (0..count).try_for_each(|slot| {
        let publisher = crowd.shared.ledger.publisher(group, slot);
        let template = Template::publish(publisher, channel, payload_bytes);
        crowd.open_publisher(template, Keeping::Kept).map(drop)
    })
}

pub(super) fn delivery_figures(window: &Window) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.add("cpu_us_per_delivery", window.cpu_micros_per(window.delivered));
    outcome.add("deliveries_per_s", window.delivered as f64 / window.seconds);
    outcome.add("deliveries_per_read", window.delivered as f64 / window.reads as f64);
    outcome.add("cpu_percent", window.cpu.as_secs_f64() / window.seconds * 100.0);
    outcome
}

/// What deliveries cost under this load.
pub(super) fn deliveries_under(
    stage: &Stage<'_>,
    mut crowd: Crowd,
    mut load: impl Load,
) -> Result<Outcome, Broken> {
    let window = measure(&mut crowd, stage.server.process, &mut load, stage.window())?;
    let mut outcome = delivery_figures(&window);
    add_calls(stage, &mut crowd, &mut load, |window| window.delivered, &mut outcome)?;
    Ok(verdict(crowd, outcome))
}

/// Messages that may be on their way to the subscribers at any time.
fn messages_behind(stage: &Stage<'_>) -> u64 {
    2 * u64::from(stage.outstanding)
}

pub(crate) fn over_http(
    stage: &Stage<'_>,
    subscribers: usize,
    payload_bytes: usize,
) -> Result<Outcome, Broken> {
    let subscribers = stage.scaled(subscribers);
    let mut crowd = stage.crowd(1, stage.outstanding)?;
    open_subscribers(&mut crowd, "fanout", subscribers)?;
    open_publishers(&mut crowd, 0, stage.outstanding, "fanout", payload_bytes)?;
    deliveries_under(stage, crowd, SaturateHttp::new(subscribers, messages_behind(stage)))
}

/// Publishers that have one message each on its way, until every subscriber has it.
pub(super) fn until_delivered(
    stage: &Stage<'_>,
    subscribers: usize,
    payload_bytes: usize,
    publishers: u32,
) -> Result<Outcome, Broken> {
    let subscribers = stage.scaled(subscribers);
    let mut crowd = stage.crowd(1, publishers)?;
    open_subscribers(&mut crowd, "fanout", subscribers)?;
    open_publishers(&mut crowd, 0, publishers, "fanout", payload_bytes)?;
    deliveries_under(stage, crowd, SaturateDelivered { subscribers: subscribers as u64 })
}

pub(super) fn of_client_events(
    stage: &Stage<'_>,
    subscribers: usize,
    payload_bytes: usize,
) -> Result<Outcome, Broken> {
    const CHANNEL: &str = "private-fanout";
    let subscribers = stage.scaled(subscribers);
    let mut crowd = stage.crowd(1, stage.outstanding)?;
    crowd.open_all(subscribers, OPENING_AT_ONCE, |crowd, number| {
        let own_slot = Some(number as u32).filter(|slot| *slot < stage.outstanding);
        let seat = crowd.shared.ledger.seat(0, own_slot);
        crowd.open(vec![Wish::channel(CHANNEL)], vec![seat]).map(drop)
    })?;
    let speakers = (0..stage.outstanding).map(|slot| {
        let publisher = crowd.shared.ledger.publisher(0, slot);
        Speaker { client: slot as usize, template: Template::client_event(publisher, CHANNEL, payload_bytes) }
    });
    let load = SaturateClients { speakers: speakers.collect(), listeners: subscribers as u64 - 1 };
    deliveries_under(stage, crowd, load)
}

/// Requests as fast as they are answered, `connections` of them at a time.
pub(super) fn to_nobody(stage: &Stage<'_>, connections: u32, keeping: Keeping) -> Result<Outcome, Broken> {
    let mut crowd = stage.crowd(1, connections)?;
    crowd.resume_no_session();
    for slot in 0..connections {
        let publisher = crowd.shared.ledger.publisher(0, slot);
        crowd.open_publisher(Template::publish(publisher, "nobody", 100), keeping)?;
    }
    let mut load = SaturateHttp::new(0, 0);
    let window = measure(&mut crowd, stage.server.process, &mut load, stage.window())?;
    let mut outcome = Outcome::default();
    outcome.add("cpu_us_per_request", window.cpu_micros_per(window.answered));
    outcome.add("requests_per_s", window.answered as f64 / window.seconds);
    outcome.add("cpu_percent", window.cpu.as_secs_f64() / window.seconds * 100.0);
    add_calls(stage, &mut crowd, &mut load, |window| window.answered, &mut outcome)?;
    Ok(verdict(crowd, outcome))
}
