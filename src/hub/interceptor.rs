//! The seam for test mode: the points at which faults are injected into an app, or what passes is recorded.
//!
//! The core asks an app's [`Interceptor`] at each of them, and knows nothing more. Where no test has asked for faults it
//! does nothing, and a delivery does not look for it: that a client's frames are intercepted is one of the states that
//! are looked at anyway.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use crate::connection::ConnectionConfig;
use crate::event::AcceptedEvent;
use crate::protocol::{CloseStatus, Frame, SocketId};

use super::clock::{Clock, ClockStep};

/// Injects faults into one app. It is called on the workers' threads, and must not block. What it does not implement
/// does nothing.
pub trait FaultInjector: Send + Sync {
    /// How connections that come from now on are treated, if in another way than the node's.
    fn connection_config(&self) -> Option<&Arc<ConnectionConfig>> {
        None
    }

    /// Whether a connection that has passed every check is to be refused all the same: the status code and the reason.
    fn refusal(&self) -> Option<(CloseStatus, String)> {
        None
    }

    /// Something begins whose parts must see the same time by the app's clock. It ends when what is returned is dropped.
    fn begin_step(&self, _: &Clock) -> Option<ClockStep> {
        None
    }

    /// An event was accepted. Nobody has heard of it yet.
    fn accepted(&self, _: &AcceptedEvent<'_>) {}

    /// A frame is about to be queued for a connection: what is queued in its place, in this order. What is held back
    /// can be queued later with [`Hub::release`](super::Hub::release).
    fn replace(&self, _: &Clock, _to: SocketId, frame: Frame) -> Replacement {
        Replacement::One(frame)
    }

    /// A frame was queued for a connection.
    fn queued(&self, _to: SocketId, _: &Frame) {}

    /// What becomes of an authenticated request to the HTTP API, if it is not answered as ever.
    fn answer(&self, _path: &str) -> Option<InjectedAnswer> {
        None
    }
}

/// What is queued in place of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// The frame itself, or another.
    One(Frame),
    /// Several, or none.
    Several(Vec<Frame>),
}

/// How a request is answered in place of what it asked for.
pub enum InjectedAnswer {
    /// With this status and body.
    Status(u16, String),
    /// As ever, but not before this is over.
    After(Pin<Box<dyn Future<Output = ()>>>),
}

/// What a fault injector does to connections of an app, on the workers that have them.
#[derive(Clone, Debug)]
pub(super) enum Injection {
    /// Ends one connection without a close frame.
    Cut(SocketId),
    /// Queues a frame for one connection that was held back from it.
    Release(SocketId, Frame),
    /// Looks at the time again, for everything of the app.
    ClockAdvanced,
}

impl Injection {
    /// Bytes of the frame that it holds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Injection::Release(_, frame) => frame.websocket().len(),
            Injection::Cut(_) | Injection::ClockAdvanced => 0,
        }
    }
}

/// An app's interceptor: it asks the fault injector if the app has one, and else does nothing.
#[derive(Default)]
pub struct Interceptor(OnceLock<Arc<dyn FaultInjector>>);

impl Interceptor {
    /// Has faults injected into the connections that come from now on. The first injector that is given stays.
    pub fn set(&self, injector: Arc<dyn FaultInjector>) {
        let _ = self.0.set(injector);
    }

    /// Whether anything is intercepted.
    pub(super) fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    /// As of [`FaultInjector::connection_config`].
    pub(super) fn connection_config(&self) -> Option<&Arc<ConnectionConfig>> {
        self.0.get()?.connection_config()
    }

    /// As of [`FaultInjector::refusal`].
    pub fn refusal(&self) -> Option<(CloseStatus, String)> {
        self.0.get()?.refusal()
    }

    /// As of [`FaultInjector::begin_step`].
    pub(super) fn begin_step(&self, clock: &Clock) -> Option<ClockStep> {
        self.0.get()?.begin_step(clock)
    }

    /// As of [`FaultInjector::accepted`].
    pub(super) fn accepted(&self, event: &AcceptedEvent<'_>) {
        if let Some(injector) = self.0.get() {
            injector.accepted(event);
        }
    }

    /// As of [`FaultInjector::replace`].
    pub(super) fn replace(&self, clock: &Clock, to: SocketId, frame: Frame) -> Replacement {
        match self.0.get() {
            Some(injector) => injector.replace(clock, to, frame),
            None => Replacement::One(frame),
        }
    }

    /// As of [`FaultInjector::queued`].
    pub(super) fn queued(&self, to: SocketId, frame: &Frame) {
        if let Some(injector) = self.0.get() {
            injector.queued(to, frame);
        }
    }

    /// As of [`FaultInjector::answer`].
    pub fn answer(&self, path: &str) -> Option<InjectedAnswer> {
        self.0.get()?.answer(path)
    }
}
