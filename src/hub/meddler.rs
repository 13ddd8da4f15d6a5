//! The seam for test mode: who may change what happens between an app and its clients.
//!
//! An app has a meddler only where a test has asked for one. The hub does not know what it does, and a delivery to a
//! client of an app without one does not look for it: that the client is to be meddled with is one of the states that
//! are looked at anyway.

use std::pin::Pin;
use std::sync::Arc;

use crate::protocol::{Frame, SocketId};

use super::{AppState, Heard};

/// Changes what happens in one app. It is called on the workers' threads, and must not block.
pub trait Meddler: Send + Sync {
    /// Whether a connection that has passed every check is to be refused all the same: the close code and the reason.
    fn refuses(&self) -> Option<(u16, String)>;

    /// An event was accepted. Nobody has heard of it yet.
    fn accepted(&self, heard: &Heard<'_>);

    /// A frame is about to be queued for a connection: what is queued in its place, in this order. What is held back
    /// can be queued later with [`Hub::release`](super::Hub::release).
    fn instead(&self, app: &Arc<AppState>, to: SocketId, frame: Frame) -> Instead;

    /// A frame was queued for a connection.
    fn queued(&self, to: SocketId, frame: &Frame);

    /// What becomes of an authenticated request to the HTTP API.
    fn answer(&self, path: &str) -> Option<Answer>;
}

/// What is queued in place of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The frame itself, or another.
    One(Frame),
    /// Several, or none.
    Several(Vec<Frame>),
}

/// How a request is answered in place of what it asked for.
pub enum Answer {
    /// With this status and body.
    Status(u16, String),
    /// As ever, but not before this is over.
    After(Pin<Box<dyn Future<Output = ()>>>),
}
