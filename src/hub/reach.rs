//! Reaching connections by name, wherever they live: one, some, or all of a user.

use std::borrow::Cow;
use std::time::Duration;

use indexmap::set::Slice;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::protocol::{CloseCode, CloseStatus, Frame, SocketId};

use super::details::DetailsReply;
use super::mailbox::WorkerCommand;
use super::receipts::until_taken;
use super::users::Address;
use super::{AppIndex, AppState, BusAway, ConnectionDetails, Hub};

/// How long a connection may take to tell of itself. One that is not answered for has most likely ended.
const DESCRIBE_TIME: Duration = Duration::from_secs(2);

impl Hub {
    /// Whether there is such a connection.
    pub fn is_connected(&self, app: &AppState, socket: SocketId) -> bool {
        self.sockets.worker_of(app.index(), socket).is_some()
    }

    /// What there is of a connection of this node; `None` if there is no such one, or it does not answer.
    pub(crate) async fn describe(&self, app: &AppState, socket: SocketId) -> Option<ConnectionDetails> {
        let (reply, mut answer) = DetailsReply::new();
        if !self.post_to_socket(app, socket, |app| WorkerCommand::Describe { app, socket, reply }) {
            return None;
        }
        timeout(DESCRIBE_TIME, answer.recv()).await.ok().flatten()
    }

    /// The same of several connections, those that answer.
    pub(crate) async fn describe_all(
        &self,
        app: &AppState,
        sockets: &[SocketId],
    ) -> Vec<(SocketId, ConnectionDetails)> {
        let asked = sockets.iter().filter_map(|&socket| {
            let (reply, answer) = DetailsReply::new();
            let is_asked =
                self.post_to_socket(app, socket, |app| WorkerCommand::Describe { app, socket, reply });
            is_asked.then_some((socket, answer))
        });
        let asked: Vec<_> = asked.collect();
        let until = Instant::now() + DESCRIBE_TIME;
        let mut told = Vec::with_capacity(asked.len());
        for (socket, mut answer) in asked {
            let details = timeout_at(until, answer.recv()).await.ok().flatten();
            told.extend(details.map(|details| (socket, details)));
        }
        told
    }

    /// Ends one connection of this node. It may come back. `false` if there is no such connection.
    pub fn close_socket(&self, app: &AppState, socket: SocketId) -> bool {
        self.close_socket_with(
            app,
            socket,
            CloseCode::Unauthorized.into(),
            "You got disconnected by the app.".into(),
        )
    }

    /// Ends one connection, on whichever node it is. `false` if there is no such connection here, and no other node that
    /// it may be on.
    pub(crate) fn close_socket_everywhere(&self, app: &AppState, socket: SocketId) -> bool {
        self.close_socket(app, socket) || self.bus().is_some_and(|bus| bus.carry_close(app, socket))
    }

    /// Ends one connection with this code and reason. `false` if there is no such connection.
    pub fn close_socket_with(
        &self,
        app: &AppState,
        socket: SocketId,
        code: CloseStatus,
        reason: Cow<'static, str>,
    ) -> bool {
        self.post_to_socket(app, socket, |app| WorkerCommand::Close { app, socket, code, reason })
    }

    /// Ends every connection of this node that is signed in as the user. They may come back, and get nothing of what they
    /// missed; nor does one that was away.
    pub fn terminate_user(&self, app: &AppState, user_id: &str) {
        for (_, socket) in app.users.connections(user_id) {
            self.close_socket(app, socket);
        }
        self.names.terminated(app, user_id);
    }

    /// Ends every connection that is signed in as the user, on all nodes. Those of this node end in any case.
    ///
    /// # Errors
    /// If other nodes cannot be reached, or it is not known.
    pub(crate) async fn terminate_user_everywhere(
        &self,
        app: &AppState,
        user_id: &str,
    ) -> Result<(), BusAway> {
        self.terminate_user(app, user_id);
        let Some(bus) = self.bus() else { return Ok(()) };
        let (taken, carried) = oneshot::channel();
        bus.carry_termination(app, user_id, taken)?;
        until_taken(carried).await
    }

    /// Sends one frame to several connections, wherever they live. It is made only if there are any.
    pub(super) fn post_to_sockets(
        &self,
        app: &AppState,
        addresses: &Slice<Address>,
        frame: impl FnOnce() -> Frame,
    ) {
        if addresses.is_empty() {
            return;
        }
        let frame = frame();
        let mut by_worker = vec![Vec::new(); self.mailboxes.len()];
        addresses.iter().for_each(|&(worker, socket)| by_worker[usize::from(worker)].push(socket));
        for (mailbox, sockets) in self.mailboxes.iter().zip(by_worker).filter(|(_, s)| !s.is_empty()) {
            let (sockets, frame) = (sockets.into_boxed_slice(), frame.clone());
            mailbox.post(WorkerCommand::ToSockets { app: app.index(), sockets, next: 0, frame });
        }
    }

    /// Posts a command, made only if it has where to go, to the worker that has the connection; `false` if none has.
    pub(super) fn post_to_socket(
        &self,
        app: &AppState,
        socket: SocketId,
        command: impl FnOnce(AppIndex) -> WorkerCommand,
    ) -> bool {
        let worker = self.sockets.worker_of(app.index(), socket);
        if let Some(worker) = worker {
            self.mailbox(worker).post(command(app.index()));
        }
        worker.is_some()
    }
}
