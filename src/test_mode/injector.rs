//! Carrying out the faults of an app: on frames, on connections, on requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::ConnectionConfig;
use crate::event::AcceptedEvent;
use crate::hub::{Clock, ClockStep, Due, FaultInjector, InjectedAnswer, Replacement, Timed};
use crate::protocol::{CloseStatus, Frame, SocketId};

use super::app::AppUnderTest;
use super::entry::{Details, Kind};
use super::faults::{FrameAction, FrameFacts};
use super::frames::FrameText;

/// How long a frame waits at most for the one that is to go before it: longer than a busy machine takes to send one. Whoever
/// advances the clock does not wait.
const REORDER_WITHIN: Duration = Duration::from_secs(30);

impl FaultInjector for AppUnderTest {
    fn connection_config(&self) -> Option<&Arc<ConnectionConfig>> {
        self.connection.get()
    }

    fn refusal(&self) -> Option<(CloseStatus, String)> {
        // It goes into the log as a refused connection.
        self.faults.refuse(self.now()).map(|(_, code, reason)| (CloseStatus::injected(code), reason))
    }

    fn begin_step(&self, clock: &Clock) -> Option<ClockStep> {
        Some(clock.step())
    }

    fn accepted(&self, event: &AcceptedEvent<'_>) {
        self.log.write(Kind::Event, super::app::accepted(event));
    }

    fn replace(&self, clock: &Clock, to: SocketId, frame: Frame) -> Replacement {
        let text = self.frames.read(&frame);
        let now = clock.now();
        let Some((fault, action, delay)) = self.fault_of(now, to, &text) else {
            return match self.held.take_swapped(to) {
                None => Replacement::One(frame),
                Some(before) => Replacement::Several(vec![frame, before]),
            };
        };
        match action {
            FrameAction::Drop => {
                self.tell(fault, to, &text, "drops a frame");
                Replacement::Several(Vec::new())
            }
            FrameAction::Duplicate => {
                self.tell(fault, to, &text, "sends a frame twice");
                Replacement::Several(vec![frame.clone(), frame])
            }
            FrameAction::Delay => {
                match self.held.delay(to, frame, now + delay, |at| self.release_at(clock, at)) {
                    Ok(()) => {
                        self.tell(fault, to, &text, &format!("delays a frame by {} ms", delay.as_millis()));
                        Replacement::Several(Vec::new())
                    }
                    Err(frame) => Replacement::One(frame),
                }
            }
            FrameAction::Reorder => match self.held.take_swapped(to) {
                Some(before) => Replacement::Several(vec![frame, before]),
                None => {
                    match self.held.swap(to, frame, now + REORDER_WITHIN, |at| self.release_at(clock, at)) {
                        Ok(()) => {
                            self.tell(fault, to, &text, "holds a frame back for the next one");
                            Replacement::Several(Vec::new())
                        }
                        Err(frame) => Replacement::One(frame),
                    }
                }
            },
        }
    }

    fn queued(&self, to: SocketId, frame: &Frame) {
        let text = self.frames.read(frame);
        let kind = match text.event.as_deref() {
            Some("pusher:resumed") => Kind::Resumed,
            _ if text.is_event() => Kind::Delivered,
            _ => return,
        };
        let FrameText { event, channel, data, .. } = (*text).clone();
        let socket_id = Some(to.to_string().into());
        self.log.write(
            kind,
            Details {
                socket_id,
                user_id: self.user_of(to),
                channel,
                name: event,
                data,
                ..Details::default()
            },
        );
    }

    fn answer(&self, path: &str) -> Option<InjectedAnswer> {
        let (fault, answer) = self.faults.http(self.now(), path)?;
        let reason = match &answer {
            Some((status, _)) => format!("answers {status}"),
            None => "lets a request hang".to_owned(),
        };
        let (status, path) = (answer.as_ref().map(|(status, _)| *status), Some(path.into()));
        let (fault_id, reason) = (Some(fault), Some(reason.into()));
        self.log.write(Kind::Fault, Details { fault: fault_id, status, path, reason, ..Details::default() });
        Some(match answer {
            Some((status, body)) => InjectedAnswer::Status(status, body),
            None => InjectedAnswer::After(Box::pin(self.end_of(fault))),
        })
    }
}

impl AppUnderTest {
    fn fault_of(&self, now: Instant, to: SocketId, text: &FrameText) -> Option<(u64, FrameAction, Duration)> {
        let (socket_id, users) = (to.to_string(), self.users_of(to));
        let facts = FrameFacts {
            event: text.event.as_deref(),
            channel: text.channel.as_deref(),
            socket_id: &socket_id,
            users: &users,
            answers_ping: text.answers_ping,
        };
        self.faults.frame(now, &facts)
    }

    fn tell(&self, fault: u64, to: SocketId, text: &FrameText, what: &str) {
        let FrameText { event, channel, data, .. } = text.clone();
        let (socket_id, reason) = (Some(to.to_string().into()), Some(what.into()));
        let fault = Some(fault);
        let details = Details { fault, socket_id, channel, name: event, data, reason, ..Details::default() };
        self.log.write(Kind::Fault, details);
    }

    /// Ready when the fault of this number is over, or nobody should wait any longer.
    fn end_of(&self, fault: u64) -> impl Future<Output = ()> + use<> {
        let (this, mut changed, mut over) = (self.this.clone(), self.log.watch(), self.over());
        async move {
            // The app is not kept while its fault is waited for.
            while let Some(left) = this.upgrade().and_then(|app| app.faults.left(fault, app.now())) {
                tokio::select! {
                    seen = changed.changed() => {
                        if seen.is_err() {
                            return;
                        }
                    }
                    _ = over.wait_for(|over| *over) => return,
                    () = tokio::time::sleep(left) => {}
                }
            }
        }
    }

    /// Lets go the frames whose time has come when it is `time` by the app's clock. If that is advanced, whoever does it
    /// lets them go.
    fn release_at(&self, clock: &Clock, time: Instant) -> Due {
        let (time, due) = clock.wait_until(time, Timed::HeldFrame);
        let this = self.this.clone();
        actix_web::rt::spawn(async move {
            tokio::time::sleep_until(time.into()).await;
            if let Some(app) = this.upgrade() {
                app.release_due();
            }
        });
        due
    }

    /// Lets go the frames whose time has come.
    pub(super) fn release_due(&self) {
        let Ok((hub, state)) = self.place() else { return };
        for (to, frame) in self.held.take_due(state.clock().now()) {
            hub.release(&state, to, frame);
        }
    }
}
