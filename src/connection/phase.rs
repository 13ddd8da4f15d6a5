//! The life of a connection as a table.

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Frames go both ways.
    Open,
    /// The broker has sent the close frame, and waits for the peer to go.
    Closing,
    /// It is over; the socket can be dropped.
    Closed,
}

/// What can happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhaseEvent {
    /// The broker decides to end it.
    Close,
    /// The peer's close frame arrived.
    PeerClosed,
    /// The socket ended or failed.
    Lost,
    /// The peer had its time to answer the close frame.
    GraceOver,
}

/// What the driver must do on a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhaseStep {
    /// Nothing: the event is stale.
    None,
    /// Run the disconnect procedure, send the close frame, start the grace period.
    SendClose,
    /// Run the disconnect procedure, echo the close frame, drop the socket once it is written.
    EchoClose,
    /// Run the disconnect procedure and drop the socket.
    Forget,
    /// Drop the socket; everything else is done.
    Drop,
    /// Reset the socket: the peer would hold it for ever.
    Reset,
}

impl Phase {
    /// The table.
    pub(crate) const fn on(self, event: PhaseEvent) -> (Phase, PhaseStep) {
        match (self, event) {
            (Phase::Open, PhaseEvent::Close) => (Phase::Closing, PhaseStep::SendClose),
            (Phase::Open, PhaseEvent::PeerClosed) => (Phase::Closing, PhaseStep::EchoClose),
            (Phase::Open, PhaseEvent::Lost) => (Phase::Closed, PhaseStep::Forget),
            (Phase::Open, PhaseEvent::GraceOver) => (Phase::Open, PhaseStep::None),
            (Phase::Closing, PhaseEvent::Close) => (Phase::Closing, PhaseStep::None),
            (Phase::Closing, PhaseEvent::PeerClosed | PhaseEvent::Lost) => (Phase::Closed, PhaseStep::Drop),
            (Phase::Closing, PhaseEvent::GraceOver) => (Phase::Closed, PhaseStep::Reset),
            (Phase::Closed, _) => (Phase::Closed, PhaseStep::None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 3] = [Phase::Open, Phase::Closing, Phase::Closed];
    const EVENTS: [PhaseEvent; 4] =
        [PhaseEvent::Close, PhaseEvent::PeerClosed, PhaseEvent::Lost, PhaseEvent::GraceOver];

    fn disconnects(step: PhaseStep) -> bool {
        matches!(step, PhaseStep::SendClose | PhaseStep::EchoClose | PhaseStep::Forget)
    }

    /// The disconnect procedure runs exactly when the connection stops being open.
    #[test]
    fn every_phase_and_event_keeps_the_invariants() {
        for phase in PHASES {
            for event in EVENTS {
                let (next, step) = phase.on(event);
                let leaves_open = phase == Phase::Open && next != Phase::Open;
                assert_eq!(disconnects(step), leaves_open, "{phase:?} {event:?}");
                assert!(next == Phase::Open || phase.on(event).0 == next, "{phase:?} {event:?}");
                if phase == Phase::Closed {
                    assert_eq!((next, step), (Phase::Closed, PhaseStep::None));
                }
            }
        }
    }

    #[test]
    fn every_life_ends_whatever_happens() {
        for first in [PhaseEvent::Close, PhaseEvent::PeerClosed, PhaseEvent::Lost] {
            let (phase, _) = Phase::Open.on(first);
            assert_eq!(phase.on(PhaseEvent::GraceOver).0, Phase::Closed, "{first:?}");
        }
    }
}
