//! What others notice of somebody who watches an app in the console.

use super::chat::open_rooms;
use super::fanout::{PUBLISHERS, open_publishers, open_subscribers};
use super::{Stage, verdict};
use crate::clients::{Broken, Crowd};
use crate::load::{Load, PacedClients, PacedHttp};
use crate::run::{Outcome, measure_latency};
use crate::server::{ADMIN_TOKEN, CROWD_KEY};
use crate::viewer::Viewer;

/// Windows of each kind, half as long as others: one alone says little on a machine that is shared.
const ROUNDS: usize = 40;

/// Who is watched.
#[derive(Clone, Copy, Debug)]
enum Watched {
    Nobody,
    AnotherApp,
    ThisApp,
    /// Once more: it differs from the first by what chance does.
    NobodyAgain,
}

/// What the windows of a kind came to, one value for each.
#[derive(Debug, Default)]
struct Windows {
    p99: Vec<f64>,
    p50: Vec<f64>,
    cpu: Vec<f64>,
    /// Entries of which the viewer was told, per second.
    told: Vec<f64>,
}

/// The value that this part of them does not exceed.
fn at(part: f64, values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn median(values: &[f64]) -> f64 {
    at(0.5, values)
}

/// Of the quieter windows: what a viewer does is done in all of them, what else disturbs the machine is not.
fn quiet(values: &[f64]) -> f64 {
    at(0.25, values)
}

/// Windows of each kind in turn, in an order that changes from round to round: what disturbs the machine disturbs all alike.
fn turn_about(stage: &Stage<'_>, mut crowd: Crowd, mut load: impl Load) -> Result<Outcome, Broken> {
    let admin = stage.server.admin.ok_or_else(|| Broken::Silence("there is no admin listener".to_owned()))?;
    let all = [Watched::Nobody, Watched::AnotherApp, Watched::NobodyAgain, Watched::ThisApp];
    let mut windows = all.map(|_| Windows::default());
    let length = stage.window() / 2;
    for round in 0..if stage.quick { 1 } else { ROUNDS } {
        for turn in 0..all.len() {
            let kind = (turn + round) % all.len();
            let app = match all[kind] {
                Watched::Nobody | Watched::NobodyAgain => None,
                Watched::AnotherApp => Some(CROWD_KEY),
                Watched::ThisApp => Some(&*stage.server.app.id),
            };
            let viewer = app.map(|app| Viewer::of_app(admin, ADMIN_TOKEN, app)).transpose()?;
            let (window, latencies) = measure_latency(&mut crowd, stage.server.process, &mut load, length)?;
            let told = viewer.map(Viewer::stop).transpose()?.unwrap_or_default();
            let of_kind = &mut windows[kind];
            of_kind.p99.push(latencies.micros_at(0.99));
            of_kind.p50.push(latencies.micros_at(0.5));
            of_kind.cpu.push(window.cpu_micros_per(window.delivered));
            // It watched while the load got warm as well.
            of_kind.told.push(told as f64 / (window.seconds * 1.25));
        }
    }
    let [nobody, another, again, this] = windows;
    let mut outcome = Outcome::default();
    outcome.add("p99_us", median(&nobody.p99));
    outcome.add("p99_again_us", median(&again.p99));
    outcome.add("p99_another_app_watched_us", median(&another.p99));
    outcome.add("p99_this_app_watched_us", median(&this.p99));
    outcome.add("p99_quiet_us", quiet(&nobody.p99));
    outcome.add("p99_quiet_again_us", quiet(&again.p99));
    outcome.add("p99_quiet_another_app_watched_us", quiet(&another.p99));
    outcome.add("p99_quiet_this_app_watched_us", quiet(&this.p99));
    outcome.add("p50_us", median(&nobody.p50));
    outcome.add("p50_again_us", median(&again.p50));
    outcome.add("p50_another_app_watched_us", median(&another.p50));
    outcome.add("p50_this_app_watched_us", median(&this.p50));
    outcome.add("cpu_us_per_delivery", median(&nobody.cpu));
    outcome.add("cpu_again_us_per_delivery", median(&again.cpu));
    outcome.add("cpu_another_app_watched_us_per_delivery", median(&another.cpu));
    outcome.add("cpu_this_app_watched_us_per_delivery", median(&this.cpu));
    outcome.add("told_of_another_app_per_s", median(&another.told));
    outcome.add("told_of_this_app_per_s", median(&this.told));
    Ok(verdict(crowd, outcome))
}

pub(super) fn fanout(stage: &Stage<'_>, subscribers: usize, per_second: f64) -> Result<Outcome, Broken> {
    let mut crowd = stage.crowd(1, PUBLISHERS)?;
    open_subscribers(&mut crowd, "fanout", stage.scaled(subscribers))?;
    open_publishers(&mut crowd, 0, PUBLISHERS, "fanout", 100)?;
    turn_about(stage, crowd, PacedHttp::new(per_second))
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
    turn_about(stage, crowd, PacedClients::new(speakers, per_second))
}
