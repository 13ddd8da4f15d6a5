//! What somebody else on the worker waits while it is busy.

use super::fanout::{delivery_figures, open_publishers, open_subscribers};
use super::{Stage, verdict};
use crate::clients::Broken;
use crate::load::SaturateHttp;
use crate::neighbour::Neighbour;
use crate::run::{Latencies, Outcome, measure};

/// Publishers that feed the subscribers.
const FEEDING: u32 = 2;

/// Long enough for a percentile of pings.
const SECONDS: f64 = 5.0;

/// Pings and publishes of others while large broadcasts are written.
pub(super) fn beside_fanout(stage: &Stage<'_>, subscribers: usize) -> Result<Outcome, Broken> {
    let subscribers = stage.scaled(subscribers);
    let mut crowd = stage.crowd(1, FEEDING)?;
    open_subscribers(&mut crowd, "fanout", subscribers)?;
    open_publishers(&mut crowd, 0, FEEDING, "fanout", 100)?;
    let (address, app) = (stage.server.address, &stage.server.app);
    let mut load = SaturateHttp::new(subscribers, 2 * u64::from(FEEDING));
    let (pinging, publishing) = (Neighbour::pinging(address, app)?, Neighbour::publishing(address, app)?);
    let window = measure(&mut crowd, stage.server.process, &mut load, stage.window_of_at_least(SECONDS))?;
    let (pings, answers) = (pinging.stop()?, publishing.stop()?);
    let mut outcome = Outcome::default();
    let millis = |waits: &Latencies, part| waits.micros_at(part) / 1e3;
    outcome.add("ping_p50_ms", millis(&pings, 0.5));
    outcome.add("ping_p99_ms", millis(&pings, 0.99));
    outcome.add("ping_max_ms", millis(&pings, 1.0));
    outcome.add("answer_p50_ms", millis(&answers, 0.5));
    outcome.add("answer_p99_ms", millis(&answers, 0.99));
    outcome.figures.extend(delivery_figures(&window).figures);
    Ok(verdict(crowd, outcome))
}
