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
        Heartbeat { probe, last_heard: now, pinged: None }
    }

    /// Something came from the client, whatever it was.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.pinged = None;
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
        heartbeat.heard(at(74));
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
