//! Pings behind pictures: how long they take to come back says how late pictures arrive, wherever on the way they wait.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The least time between two pings.
const APART: Duration = Duration::from_millis(250);

/// Pings that have not come back. There are no further ones until one has.
const MOST: usize = 32;

/// What the number of a ping stands behind, so that it is none of another kind.
const PREFIX: &str = "v";

/// The pings of one viewer.
#[derive(Clone, Debug, Default)]
pub(super) struct Positions {
    last: u64,
    last_at: Option<Instant>,
    /// Those that have not come back, the oldest first.
    away: VecDeque<(u64, Instant)>,
    /// The shortest time that one has taken.
    shortest: Option<Duration>,
    /// The time that the last one has taken that came back.
    latest: Duration,
    /// Pictures were sent since the last one.
    is_wanted: bool,
}

impl Positions {
    /// A picture was sent.
    pub(super) fn picture_sent(&mut self) {
        self.is_wanted = true;
    }

    /// The payload of the ping that is to be sent now, if one is.
    pub(super) fn ping(&mut self, now: Instant) -> Option<String> {
        let is_due = self.is_wanted && self.last_at.is_none_or(|at| at + APART <= now);
        if !is_due || self.away.len() >= MOST {
            return None;
        }
        self.last += 1;
        (self.last_at, self.is_wanted) = (Some(now), false);
        self.away.push_back((self.last, now));
        Some(format!("{PREFIX}{}", self.last))
    }

    /// A pong has come with this payload. What is none of ours, or has come back before, says nothing.
    pub(super) fn echoed(&mut self, payload: &[u8], now: Instant) {
        let number =
            std::str::from_utf8(payload).ok().and_then(|text| text.strip_prefix(PREFIX)?.parse().ok());
        let Some(number) = number.filter(|number: &u64| self.away.iter().any(|(away, _)| away == number))
        else {
            return;
        };
        // Whoever returns one has had those before it.
        while let Some((away, sent_at)) = self.away.pop_front() {
            if away == number {
                let took = now.saturating_duration_since(sent_at);
                self.latest = took;
                self.shortest = Some(self.shortest.map_or(took, |shortest| shortest.min(took)));
                return;
            }
        }
    }

    /// How late what is sent arrives, as far as it is known. Where nothing has ever come back, nothing is.
    pub(super) fn behind(&self, now: Instant) -> Duration {
        match (self.shortest, self.away.front()) {
            (Some(shortest), Some((_, sent_at))) => {
                now.saturating_duration_since(*sent_at).max(self.latest).saturating_sub(shortest)
            }
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_what_takes_longer_than_the_shortest_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut positions = Positions::default();
        assert_eq!(positions.ping(at(0)), None, "nothing was sent");
        positions.picture_sent();
        assert_eq!(positions.ping(at(0)).as_deref(), Some("v1"));
        positions.picture_sent();
        assert_eq!(positions.ping(at(249)), None);
        assert_eq!(positions.behind(at(10_000)), Duration::ZERO, "none has ever come back");
        positions.echoed(b"v1", at(80));
        assert_eq!(positions.ping(at(250)).as_deref(), Some("v2"));
        assert_eq!(positions.behind(at(300)), Duration::ZERO);
        assert_eq!(positions.behind(at(930)), Duration::from_millis(600));
        positions.picture_sent();
        assert_eq!(positions.ping(at(500)).as_deref(), Some("v3"));
        for forged in [&b"v9"[..], b"v1", b"v", b"h3h", b"\xff"] {
            positions.echoed(forged, at(510));
        }
        positions.echoed(b"v2", at(930));
        assert_eq!(
            positions.behind(at(931)),
            Duration::from_millis(600),
            "as late as the last that has come"
        );
        positions.echoed(b"v3", at(1000));
        assert_eq!(positions.behind(at(2000)), Duration::ZERO, "nothing is on its way");
    }

    #[test]
    fn few_pings_are_on_their_way() {
        let start = Instant::now();
        let mut positions = Positions::default();
        let sent = (0..100).filter(|n| {
            positions.picture_sent();
            positions.ping(start + APART * *n).is_some()
        });
        assert_eq!(sent.count(), MOST);
        positions.echoed(b"v32", start + APART * 100);
        assert!(positions.ping(start + APART * 101).is_some());
    }
}
