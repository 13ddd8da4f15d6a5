//! What a fault injector asks of the hub: time that goes faster, frames that come later, and lines that are cut.

use std::time::Duration;

use crate::protocol::{Frame, SocketId};

use super::interceptor::Injection;
use super::mailbox::WorkerCommand;
use super::{AppState, Hub};

impl Hub {
    /// Advances an app's clock, maybe by nothing, and looks at everything again that waits for it.
    pub fn advance_clock(&self, app: &AppState, by: Duration) {
        app.clock().advance(by);
        app.expire_whole_cache();
        app.expire_histories(usize::MAX, self.recovery().retention);
        let (app, injection) = (app.index(), Injection::ClockAdvanced);
        self.mailboxes.post_to_all(|| WorkerCommand::Injected { app, injection: injection.clone() });
    }

    /// Queues a frame for one connection that was held back from it; nobody is asked again.
    pub fn release(&self, app: &AppState, socket: SocketId, frame: Frame) {
        self.inject(app, socket, Injection::Release(socket, frame));
    }

    /// Ends one connection without a close frame, as a cut line would.
    pub fn cut_socket(&self, app: &AppState, socket: SocketId) {
        self.inject(app, socket, Injection::Cut(socket));
    }

    fn inject(&self, app: &AppState, socket: SocketId, injection: Injection) {
        self.post_to_socket(app, socket, |app| WorkerCommand::Injected { app, injection });
    }
}
