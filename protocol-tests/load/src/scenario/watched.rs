//! What others notice of somebody who watches an app in the console.

use super::{Stage, verdict};
use crate::clients::{Broken, Crowd};
use crate::load::Load;
use crate::run::{Outcome, measure_latency, ranked};
use crate::server::{ADMIN_TOKEN, CROWD_KEY};
use crate::viewer::Viewer;

/// Windows of each kind, half as long as others: one alone says little on a machine that is shared.
const ROUNDS: usize = 40;

/// What a window came to.
#[derive(Clone, Copy, Debug)]
struct MeasuredWindow {
    p99: f64,
    p50: f64,
    cpu: f64,
    /// Entries of which the viewer was told, per second.
    told: f64,
}

/// A figure of the windows of each kind, in the order in which these stand: its names, what it is of a window, and which part of
/// the windows do not exceed it.
type WatchedFigure = ([&'static str; 4], fn(&MeasuredWindow) -> f64, f64);

const FIGURES: [WatchedFigure; 4] = [
    (
        ["p99_us", "p99_another_app_watched_us", "p99_again_us", "p99_this_app_watched_us"],
        |window| window.p99,
        0.5,
    ),
    // What a viewer does is done in the quieter windows as well, what else disturbs the machine is not.
    (
        [
            "p99_quiet_us",
            "p99_quiet_another_app_watched_us",
            "p99_quiet_again_us",
            "p99_quiet_this_app_watched_us",
        ],
        |window| window.p99,
        0.25,
    ),
    (
        ["p50_us", "p50_another_app_watched_us", "p50_again_us", "p50_this_app_watched_us"],
        |window| window.p50,
        0.5,
    ),
    (
        [
            "cpu_us_per_delivery",
            "cpu_another_app_watched_us_per_delivery",
            "cpu_again_us_per_delivery",
            "cpu_this_app_watched_us_per_delivery",
        ],
        |window| window.cpu,
        0.5,
    ),
];

/// The value that this part of them does not exceed.
fn at(part: f64, of: fn(&MeasuredWindow) -> f64, windows: &[MeasuredWindow]) -> f64 {
    let mut sorted: Vec<f64> = windows.iter().map(of).collect();
    sorted.sort_by(f64::total_cmp);
    ranked(&sorted, part).copied().unwrap_or(f64::NAN)
}

/// Windows of each kind in turn, in an order that changes from round to round: what disturbs the machine disturbs all alike.
pub(super) fn turn_about(
    stage: &Stage<'_>,
    (mut crowd, mut load): (Crowd, impl Load),
) -> Result<Outcome, Broken> {
    let admin = stage.server.admin.ok_or_else(|| Broken::Silence("there is no admin listener".to_owned()))?;
    let this_app = &*stage.server.app.id;
    // Nobody once more: that differs from the first by what chance does.
    let watched = [None, Some(CROWD_KEY), None, Some(this_app)];
    let mut windows = watched.map(|_| Vec::new());
    let length = stage.window() / 2;
    for round in 0..if stage.quick { 1 } else { ROUNDS } {
        for turn in 0..watched.len() {
            let kind = (turn + round) % watched.len();
            let viewer = watched[kind].map(|app| Viewer::of_app(admin, ADMIN_TOKEN, app)).transpose()?;
            let (window, latencies) = measure_latency(&mut crowd, stage.server.process, &mut load, length)?;
            let told = viewer.map(Viewer::stop).transpose()?.unwrap_or_default();
            windows[kind].push(MeasuredWindow {
                p99: latencies.micros_at(0.99),
                p50: latencies.micros_at(0.5),
                cpu: window.cpu_micros_per(window.delivered),
                // It watched while the load got warm as well.
                told: told as f64 / (window.seconds * 1.25),
            });
        }
    }
    let mut outcome = Outcome::default();
    for (names, of, part) in FIGURES {
        names.into_iter().zip(&windows).for_each(|(name, windows)| outcome.add(name, at(part, of, windows)));
    }
    for (name, kind) in [("told_of_another_app_per_s", 1), ("told_of_this_app_per_s", 3)] {
        outcome.add(name, at(0.5, |window| window.told, &windows[kind]));
    }
    Ok(verdict(crowd, outcome))
}
