//! The life of a connection as a table.

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It speaks and is spoken to.
    Open,
    /// The broker has sent the close frame, and waits for the peer to go.
    Closing,
    /// It is over; the socket can be dropped.
    Closed,
}

/// What can happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
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
pub enum Step {
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
    #[must_use]
    pub const fn on(self, event: Event) -> (Phase, Step) {
        match (self, event) {
            (Phase::Open, Event::Close) => (Phase::Closing, Step::SendClose),
            (Phase::Open, Event::PeerClosed) => (Phase::Closing, Step::EchoClose),
            (Phase::Open, Event::Lost) => (Phase::Closed, Step::Forget),
            (Phase::Open, Event::GraceOver) => (Phase::Open, Step::None),
            (Phase::Closing, Event::Close) => (Phase::Closing, Step::None),
            (Phase::Closing, Event::PeerClosed | Event::Lost) => (Phase::Closed, Step::Drop),
            (Phase::Closing, Event::GraceOver) => (Phase::Closed, Step::Reset),
            (Phase::Closed, _) => (Phase::Closed, Step::None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 3] = [Phase::Open, Phase::Closing, Phase::Closed];
    const EVENTS: [Event; 4] = [Event::Close, Event::PeerClosed, Event::Lost, Event::GraceOver];

    fn disconnects(step: Step) -> bool {
        matches!(step, Step::SendClose | Step::EchoClose | Step::Forget)
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
                    assert_eq!((next, step), (Phase::Closed, Step::None));
                }
            }
        }
    }

    #[test]
    fn every_life_ends_whatever_happens() {
        for first in [Event::Close, Event::PeerClosed, Event::Lost] {
            let (phase, _) = Phase::Open.on(first);
            assert_eq!(phase.on(Event::GraceOver).0, Phase::Closed, "{first:?}");
        }
    }
}
