//! A question to workers: who is sent a channel's pictures, and how late.

use std::convert::Infallible;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::Sender;

use crate::protocol::SocketId;
use crate::video::{ViewerLag, ViewersSeen};

/// Somebody asks who is sent a channel's pictures, and how late.
#[derive(Clone, Debug)]
pub(super) struct ViewersQuestion {
    seen: Arc<Mutex<ViewersSeen>>,
    /// Whoever asks waits until this is dropped.
    _asked: Sender<Infallible>,
}

impl ViewersQuestion {
    /// A question, and where its answer is.
    pub(super) fn new(asked: Sender<Infallible>) -> (Self, Arc<Mutex<ViewersSeen>>) {
        let seen = Arc::<Mutex<ViewersSeen>>::default();
        (ViewersQuestion { seen: Arc::clone(&seen), _asked: asked }, seen)
    }

    /// These were looked at.
    pub(super) fn tell(&self, viewers: impl Iterator<Item = (SocketId, Option<ViewerLag>)>) {
        // Looked at before the lock, which workers share.
        let viewers: Vec<_> = viewers.collect();
        let mut seen = self.seen.lock();
        viewers.into_iter().for_each(|(socket, lag)| seen.add(socket, lag));
    }
}
