//! What test mode asks of the hub: time that goes faster, frames that come later, and lines that are cut.

use std::time::Duration;

use crate::protocol::{Frame, SocketId};

use super::mailbox::Letter;
use super::{AppState, Hub};

impl Hub {
    /// Advances an app's clock, maybe by nothing, and looks at everything again that waits for it.
    pub fn advance_clock(&self, app: &AppState, by: Duration) {
        app.clock().advance(by);
        app.expire_whole_cache();
        self.mailboxes.iter().for_each(|mailbox| mailbox.post(Letter::ClockAdvanced { app: app.index() }));
    }

    /// Queues a frame for one connection that was held back from it; nobody is asked again.
    pub fn release(&self, app: &AppState, socket: SocketId, frame: Frame) {
        self.post_to_socket(app, socket, |app| Letter::Release { app, socket, frame });
    }

    /// Ends one connection without a close frame, as a cut line would.
    pub fn cut_socket(&self, app: &AppState, socket: SocketId) {
        self.post_to_socket(app, socket, |app| Letter::Cut { app, socket });
    }
}
