//! What an app under test has been told to do wrong: pure, with the time handed in.
//!
//! Each fault has a number, does its work so many times or for so long, by chance if it is given a share, and is gone
//! then. It knows neither sockets nor HTTP; whoever carries frames, answers requests or admits connections asks.

mod chance;
mod fault;
mod make;

pub(crate) use fault::is_close_code;
pub use fault::{
    BadFault, Fault, FrameAction, Frames, Http, IgnorePings, RefuseConnections, Scope, WebhookFailure, What,
};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use chance::Chance;

use crate::hub::Due;

/// Faults that one app can have at once. Over it: no more can be added until some are cleared.
pub const MAX_FAULTS: usize = 1000;

/// Who waits for the end of a fault looks again after this time at the latest.
pub const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// The faults of one app.
#[derive(Debug, Default)]
pub struct Faults {
    /// Whether there are any: most of the time there are none.
    any: AtomicBool,
    state: Mutex<FaultTable>,
}

#[derive(Debug, Default)]
struct FaultTable {
    last: u64,
    active: Vec<Active>,
}

/// A fault at work.
#[derive(Debug)]
struct Active {
    id: u64,
    fault: Fault,
    /// How often it has done its work.
    used: u64,
    ends: Option<Instant>,
    /// Stands for its end.
    due: Due,
    seed: u64,
    chance: Chance,
}

/// The app has as many faults as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an app can have {MAX_FAULTS} faults at once: clear some")]
pub struct TooManyFaults;

/// What is known of a frame that is to be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameFacts<'a> {
    /// The name of the event; none for the WebSocket's own control frames.
    pub event: Option<&'a str>,
    /// The channel that the frame is about, if it is about one.
    pub channel: Option<&'a str>,
    /// Whom it is for.
    pub socket_id: &'a str,
    /// Whom that connection is signed in as, or a member of presence channels as.
    pub users: &'a [Arc<str>],
    /// It answers a ping, of either kind.
    pub answers_ping: bool,
}

impl Faults {
    /// Adds a fault; returns its number. `seed` is for one that is given none and needs one.
    ///
    /// # Errors
    /// If there are too many.
    pub fn add(&self, fault: Fault, seed: u64, now: Instant) -> Result<u64, TooManyFaults> {
        let mut state = self.state.lock();
        state.active.retain(|active| !active.has_ended(now));
        if state.active.len() >= MAX_FAULTS {
            // What has done its work stays to be looked at, while there is room.
            state.active.retain(|active| !active.is_spent() || active.holds_up());
        }
        if state.active.len() >= MAX_FAULTS {
            return Err(TooManyFaults);
        }
        state.last += 1;
        let id = state.last;
        let seed = fault.scope.seed.unwrap_or(seed);
        let ends = fault.scope.for_ms.map(|ms| now + Duration::from_millis(ms));
        state.active.push(Active {
            id,
            fault,
            used: 0,
            ends,
            due: Due::default(),
            seed,
            chance: Chance::new(seed),
        });
        self.any.store(true, Ordering::Release);
        Ok(id)
    }

    /// When a fault ends, if by itself.
    pub fn ends(&self, id: u64) -> Option<Instant> {
        self.state.lock().active.iter().find(|active| active.id == id)?.ends
    }

    /// Keeps what stands for a fault's end until it has come.
    pub fn keep(&self, id: u64, due: Due) {
        if let Some(active) = self.state.lock().active.iter_mut().find(|active| active.id == id) {
            active.due = due;
        }
    }

    /// Lets go those whose time is over.
    pub fn expire(&self, now: Instant) {
        let mut state = self.state.lock();
        state.active.retain(|active| !active.has_ended(now));
        self.any.store(!state.active.is_empty(), Ordering::Release);
    }

    /// Ends one fault; `false` if there is no such one.
    pub fn clear(&self, id: u64) -> bool {
        let mut state = self.state.lock();
        let before = state.active.len();
        state.active.retain(|active| active.id != id);
        self.any.store(!state.active.is_empty(), Ordering::Release);
        state.active.len() < before
    }

    /// Ends all; returns how many there were.
    pub fn clear_all(&self) -> usize {
        let mut state = self.state.lock();
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut state.active).len()
    }

    /// For how long this fault goes on by the app's clock, if it is not over; at most [`LOOK_AGAIN`]. One that has
    /// acted as often as it should goes on for those whom it holds up.
    pub fn left(&self, id: u64, now: Instant) -> Option<Duration> {
        let state = self.state.lock();
        let active = state.active.iter().find(|active| active.id == id && !active.has_ended(now))?;
        Some(active.ends.map_or(LOOK_AGAIN, |end| (end - now).min(LOOK_AGAIN)))
    }

    /// Those that are neither cleared nor out of time, as JSON: the fault as it was given, with its number, how often
    /// it did its work, and its seed.
    pub fn list(&self, now: Instant) -> Vec<Value> {
        let state = self.state.lock();
        let here = state.active.iter().filter(|active| !active.has_ended(now));
        here.map(Active::to_json).collect()
    }

    /// One of those at work, as JSON.
    pub fn show(&self, id: u64) -> Option<Value> {
        self.state.lock().active.iter().find(|active| active.id == id).map(Active::to_json)
    }

    /// Whether the next connection is refused: the fault, the code and the reason.
    pub fn refuse(&self, now: Instant) -> Option<(u64, u16, String)> {
        self.first(now, |what| match what {
            What::RefuseConnections(RefuseConnections { code, reason }) => Some((*code, reason.clone())),
            _ => None,
        })
        .map(|(id, (code, reason))| (id, code, reason))
    }

    /// What becomes of a frame: the fault, what it does, and for how long it delays.
    pub fn frame(&self, now: Instant, facts: &FrameFacts<'_>) -> Option<(u64, FrameAction, Duration)> {
        let found = self.first(now, |what| match what {
            What::Frames(Frames { action, delay_ms, .. }) if what.concerns(facts) => {
                Some((*action, Duration::from_millis(delay_ms.unwrap_or(0))))
            }
            What::IgnorePings(_) if what.concerns(facts) => Some((FrameAction::Drop, Duration::ZERO)),
            _ => None,
        });
        found.map(|(id, (action, delay))| (id, action, delay))
    }

    /// What becomes of a request to the HTTP API: the status and body to answer with, or `None` to hang.
    /// Its path may be meant as it was sent or as it is read.
    pub fn http(&self, now: Instant, path: &str) -> Option<(u64, Option<(u16, String)>)> {
        let decoded = || percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        self.first(now, |what| match what {
            What::Http(Http { status, body, path: part, .. }) => part
                .as_ref()
                .is_none_or(|part| path.contains(part.as_str()) || decoded().contains(part.as_str()))
                .then(|| status.map(|status| (status, body.clone()))),
            _ => None,
        })
    }

    /// What becomes of a webhook: the status that it counts as answered with, or `None` for a failed connection.
    pub fn webhook(&self, now: Instant) -> Option<(u64, Option<u16>)> {
        self.first(now, |what| match what {
            What::Webhooks(WebhookFailure { status }) => Some(*status),
            _ => None,
        })
    }

    /// The first fault at work that `concerns` says is meant, and by chance is to act. It counts as used.
    fn first<T>(&self, now: Instant, mut concerns: impl FnMut(&What) -> Option<T>) -> Option<(u64, T)> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.expire(now);
        let mut state = self.state.lock();
        state.active.iter_mut().filter(|active| !active.is_spent()).find_map(|active| {
            let outcome = concerns(&active.fault.what)?;
            if active.fault.scope.share.is_some_and(|share| !active.chance.happens(share)) {
                return None;
            }
            active.used += 1;
            Some((active.id, outcome))
        })
    }
}

impl Active {
    fn is_spent(&self) -> bool {
        self.fault.scope.times.is_some_and(|times| self.used >= times)
    }

    /// Whether requests may be waiting for its end.
    fn holds_up(&self) -> bool {
        matches!(&self.fault.what, What::Http(Http { hang: true, .. }))
    }

    fn has_ended(&self, now: Instant) -> bool {
        self.ends.is_some_and(|end| now >= end)
    }

    fn to_json(&self) -> Value {
        let mut value = self.fault.to_json();
        value["id"] = json!(self.id);
        value["used"] = json!(self.used);
        if self.fault.scope.share.is_some() {
            value["seed"] = json!(self.seed);
        }
        value
    }
}

/// Picks a share of `items`, at least one if there are any and the share is above 0, in an order drawn by `seed`.
pub fn pick<T>(mut items: Vec<T>, share: f64, seed: u64) -> Vec<T> {
    let mut chance = Chance::new(seed);
    for end in (1..items.len()).rev() {
        items.swap(end, chance.below(end + 1));
    }
    let wanted = (items.len() as f64 * share).ceil();
    items.truncate(wanted as usize);
    items
}

#[cfg(test)]
mod tests;
