//! One app's events on their way to its endpoints: removals are held back, the rest is handed out at once.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tracing::warn;

use crate::hub::Timed;

use super::Stage;
use super::clock::Clock;
use super::event::Told;
use super::intake::Intake;
use super::lane::Lane;
use super::suppress::Suppressor;

/// The task of one app.
pub(super) struct Dispatcher {
    pub(super) app_id: String,
    pub(super) clock: Clock,
    pub(super) intake: Intake,
    pub(super) suppressor: Suppressor,
    pub(super) lanes: Vec<Arc<Lane>>,
}

impl Dispatcher {
    /// Hands events out until the listener is gone or the broker ends; then everything that was held back, too.
    pub(super) async fn run(mut self, mut stage: watch::Receiver<Stage>) {
        loop {
            tokio::select! {
                biased;
                Ok(()) = stage.changed() => match *stage.borrow_and_update() {
                    Stage::Running => {}
                    Stage::Hurrying => self.hurry(),
                    Stage::Ending => self.intake.close(),
                },
                event = self.intake.next() => match event {
                    Some((told, heard, busy)) => {
                        self.hear(told, heard);
                        drop(busy);
                    }
                    None => break,
                },
                due = self.clock.sleep_until(self.suppressor.deadline(), Timed::WebhookRemoval) => {
                    let (now, app_id, lanes) = (self.clock.now(), &self.app_id, &self.lanes);
                    self.suppressor.due(now, |told| hand_out(app_id, lanes, &told, now));
                    drop(due);
                }
            }
        }
        self.let_go();
        self.lanes.iter().for_each(|lane| lane.close());
    }

    /// What happened at `heard` counts from then on, however long it was under way.
    fn hear(&mut self, told: Told, heard: Instant) {
        let (app_id, lanes) = (&self.app_id, &self.lanes);
        let lost = self.intake.take_lost();
        if lost > 0 {
            warn!(
                app = self.app_id,
                events = lost,
                "webhook events lost: they came faster than they could be sorted"
            );
        }
        self.suppressor.due(heard, |told| hand_out(app_id, lanes, &told, heard));
        self.suppressor.hear(told, heard, |told| hand_out(app_id, lanes, &told, heard));
    }

    /// Nobody can come back any more: nothing is held back from now on, and no request waits for more events.
    fn hurry(&mut self) {
        self.let_go();
        self.lanes.iter().for_each(|lane| lane.hurry());
    }

    /// Hands out what is held back.
    fn let_go(&mut self) {
        let (now, app_id, lanes) = (self.clock.now(), &self.app_id, &self.lanes);
        self.suppressor.flush(|told| hand_out(app_id, lanes, &told, now));
    }
}

/// Queues an event for every endpoint that wants it.
fn hand_out(app_id: &str, lanes: &[Arc<Lane>], told: &Told, now: Instant) {
    let (one, channel) = (told.event.event_type(), told.event.channel());
    let mut json: Option<Arc<str>> = None;
    for lane in lanes.iter().filter(|lane| lane.endpoint.wants(one, channel)) {
        let json = json.get_or_insert_with(|| told.to_json(app_id).into());
        lane.push(channel, Arc::clone(json), now);
    }
}
