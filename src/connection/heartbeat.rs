//! Whether the other side is still there: deadlines as values.

use std::time::{Duration, Instant};

/// How long a client that cannot be pinged may be silent. The protocol's own figure.
pub(crate) const SILENCE_WITHOUT_PING: Duration = Duration::from_secs(24 * 60 * 60);

/// How a connection can be asked whether it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// By a ping of the WebSocket itself, which the peer's library answers.
    ControlFrame,
    /// By the event `pusher:ping`, which clients of protocol 5 and later answer.
    Event,
    /// Not at all.
    Impossible,
}

/// The silence of one connection. Whatever arrives ends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    probe: Probe,
    /// Microseconds that the last answer to a ping took; 0 before there was one.
    round_trip_us: u32,
    last_heard: Instant,
    pinged: Option<Instant>,
}

/// What a heartbeat demands at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeartbeatStep {
    /// Nothing before this instant.
    Wait(Instant),
    /// A ping must be sent now; ask again at the instant.
    Ping(Instant),
    /// The ping went unanswered.
    PongMissing,
    /// A day went by.
    Inactive,
}

impl Heartbeat {
    /// A connection that was heard `now`.
    pub(crate) fn new(probe: Probe, now: Instant) -> Self {
        Heartbeat { probe, round_trip_us: 0, last_heard: now, pinged: None }
    }

    /// Something came from the client, whatever it was.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        if let Some(pinged) = self.pinged {
            self.answered(pinged, now);
        }
    }

    /// Something came that is the answer to a ping, or as good as one.
    #[cold]
    fn answered(&mut self, pinged: Instant, now: Instant) {
        self.pinged = None;
        let micros = now.saturating_duration_since(pinged).as_micros();
        self.round_trip_us = u32::try_from(micros).unwrap_or(u32::MAX).max(1);
    }

    /// For how long nothing has come, how long the last answer to a ping took, and for how long one is awaited.
    pub(super) fn silence(&self, now: Instant) -> (Duration, Option<Duration>, Option<Duration>) {
        let round_trip = (self.round_trip_us > 0).then(|| Duration::from_micros(self.round_trip_us.into()));
        let pinged = self.pinged.map(|pinged| now.saturating_duration_since(pinged));
        (now.saturating_duration_since(self.last_heard), round_trip, pinged)
    }

    /// How the client is asked.
    pub(crate) fn probe(&self) -> Probe {
        self.probe
    }

    /// What is due `now`. A ping that is due counts as sent.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        ping_after: Duration,
        pong_timeout: Duration,
    ) -> HeartbeatStep {
        if self.probe == Probe::Impossible {
            let end = self.last_heard + SILENCE_WITHOUT_PING;
            return if now < end { HeartbeatStep::Wait(end) } else { HeartbeatStep::Inactive };
        }
        match self.pinged {
            Some(pinged) if now < pinged + pong_timeout => HeartbeatStep::Wait(pinged + pong_timeout),
            Some(_) => HeartbeatStep::PongMissing,
            None if now < self.last_heard + ping_after => HeartbeatStep::Wait(self.last_heard + ping_after),
            None => {
                self.pinged = Some(now);
                HeartbeatStep::Ping(now + pong_timeout)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING_AFTER: Duration = Duration::from_secs(45);
    const PONG_TIMEOUT: Duration = Duration::from_secs(30);

    #[test]
    fn silence_is_met_with_one_ping_and_then_the_end() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(Probe::ControlFrame, start);
        let mut poll = |now| heartbeat.poll(now, PING_AFTER, PONG_TIMEOUT);
        assert_eq!(poll(at(44)), HeartbeatStep::Wait(at(45)));
        assert_eq!(poll(at(46)), HeartbeatStep::Ping(at(76)));
        assert_eq!(poll(at(75)), HeartbeatStep::Wait(at(76)));
        assert_eq!(poll(at(76)), HeartbeatStep::PongMissing);
    }

    #[test]
    fn anything_heard_starts_the_silence_anew() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(Probe::Event, start);
        assert_eq!(heartbeat.poll(at(45), PING_AFTER, PONG_TIMEOUT), HeartbeatStep::Ping(at(75)));
        assert_eq!(heartbeat.silence(at(46)).2, Some(Duration::from_secs(1)));
        heartbeat.heard(at(74));
        let seconds = |seconds| Duration::from_secs(seconds);
        assert_eq!(heartbeat.silence(at(75)), (seconds(1), Some(seconds(29)), None));
        assert_eq!(heartbeat.poll(at(75), PING_AFTER, PONG_TIMEOUT), HeartbeatStep::Wait(at(119)));
    }

    #[test]
    fn who_cannot_be_asked_has_a_day() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Probe::Impossible, start);
        let end = start + SILENCE_WITHOUT_PING;
        let early = end - Duration::from_secs(1);
        assert_eq!(heartbeat.poll(early, PING_AFTER, PONG_TIMEOUT), HeartbeatStep::Wait(end));
        assert_eq!(heartbeat.poll(end, PING_AFTER, PONG_TIMEOUT), HeartbeatStep::Inactive);
    }
}
