//! The upgrade of a running broker: how it is asked for, and its order. A successor is started and serves; only then this
//! broker leaves its place to it. Whatever goes wrong before that, it goes on.

use std::sync::Arc;
use std::time::Duration;

use actix_server::ServerHandle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tracing::{info, warn};

use super::Supervision;
use super::admin::ServingAdmin;
use super::control::{ControlAnswer, ControlSocket};
use super::linking::{LinkToSuccessor, Links};
use super::listening::{self, SocketHandle};
use super::passing::TakenSocket;
use super::proof;
use super::successor::{NoSuccessor, Successor};
use crate::app_admin::ManagedApps;
use crate::cluster::RunningNode;
use crate::hub::Hub;
use crate::net::slots::ConnectionSlots;

/// How often the successor is asked again where this broker has answered in its place.
const PROOFS: usize = 5;

/// How long an upgrade waits for the end of the process before this one.
const BEFORE_ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Has a running broker succeeded by another process. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Upgrader {
    ask: mpsc::Sender<UpgradeRequest>,
    /// Held by the one whose upgrade is under way.
    turn: Arc<Semaphore>,
}

/// The upgrades that are asked for, and what is passed on besides the listening sockets.
#[derive(Debug)]
pub(super) struct Upgrades {
    requests: mpsc::Receiver<UpgradeRequest>,
    control: Option<Arc<ControlSocket>>,
}

/// Somebody wants an upgrade, and to know what comes of it.
type UpgradeRequest = oneshot::Sender<ControlAnswer>;

/// What a running broker can pass on.
pub(super) struct PassableSockets<'a> {
    pub(super) sockets: &'a mut [SocketHandle],
    pub(super) admin: Option<&'a mut ServingAdmin>,
    pub(super) server: &'a ServerHandle,
    pub(super) slots: &'a ConnectionSlots,
    pub(super) supervision: Option<&'a Supervision>,
    pub(super) hub: &'a Arc<Hub>,
    /// How the two are nodes of one broker, where no engine has them be that.
    pub(super) links: Links,
    /// The files that the successor reads, too.
    pub(super) managed: Option<Arc<ManagedApps>>,
}

/// What has come of an upgrade: the process that has taken over, and this one's node, where it is one by the link between them.
pub(super) type Succeeded = (Successor, Option<RunningNode>);

/// The way to ask for upgrades, and that on which they are heard.
pub(super) fn upgrades(control: Option<Arc<ControlSocket>>) -> (Upgrader, Upgrades) {
    let (ask, requests) = mpsc::channel(1);
    (Upgrader { ask, turn: Arc::new(Semaphore::new(1)) }, Upgrades { requests, control })
}

impl Upgrader {
    /// Has the broker succeeded; returns what to tell whoever asked.
    pub(crate) async fn upgrade(&self) -> ControlAnswer {
        let Ok(_turn) = self.turn.try_acquire() else {
            return Err("heliostat: not upgraded: an upgrade is under way already".to_owned());
        };
        let (answer, answered) = oneshot::channel();
        let is_stopping = || Err("heliostat: not upgraded: the broker is stopping".to_owned());
        match self.ask.send(answer).await {
            Ok(()) => answered.await.unwrap_or_else(|_| is_stopping()),
            Err(_) => is_stopping(),
        }
    }
}

impl Upgrades {
    /// Waits until this broker has been succeeded. What goes wrong is told to whoever asked, and the log. `passable` is what
    /// it has to pass on; what has been passed on is marked there.
    pub(super) async fn until_succeeded(
        upgrades: Option<Self>,
        mut passable: PassableSockets<'_>,
    ) -> Succeeded {
        let Some(mut upgrades) = upgrades else { return std::future::pending().await };
        while let Some(asked) = upgrades.requests.recv().await {
            info!("an upgrade: starting the program that is to succeed this one");
            match upgrades.upgrade(&mut passable).await {
                Ok((successor, node)) => {
                    let process = successor.process();
                    info!(process, "another process has taken over; this one serves its clients to the end");
                    let _ = asked.send(Ok(format!("ok: process {process} has taken over")));
                    return (successor, node);
                }
                Err(error) => {
                    warn!(%error, "not upgraded; this broker goes on");
                    let _ = asked.send(Err(format!("heliostat: not upgraded: {error}")));
                }
            }
        }
        std::future::pending().await
    }

    async fn upgrade(&self, of: &mut PassableSockets<'_>) -> Result<Succeeded, NoSuccessor> {
        // Of three processes, the first and the last could not be nodes of one broker.
        if timeout(BEFORE_ENDS_WITHIN, of.links.until_alone()).await.is_err() {
            return Err(NoSuccessor::StillSucceeding);
        }
        of.hold_files().await;
        let mut link = None;
        match self.hand_over(of, &mut link).await {
            Ok(successor) => {
                let node = match link {
                    Some(link) => link.keep().await,
                    None => None,
                };
                Ok((successor, node))
            }
            Err(error) => {
                if let Some(link) = link {
                    link.end().await;
                }
                if let Some(managed) = &of.managed {
                    managed.release();
                }
                Err(error)
            }
        }
    }

    async fn hand_over(
        &self,
        of: &mut PassableSockets<'_>,
        link: &mut Option<LinkToSuccessor>,
    ) -> Result<Successor, NoSuccessor> {
        let admin = of.admin.as_ref().map_or(&[][..], |admin| admin.sockets());
        let mut passed: Vec<_> = of.sockets.iter().chain(admin).map(SocketHandle::to_pass).collect();
        let control = self.control.as_deref().map(ControlSocket::to_pass).transpose();
        passed.extend(control.map_err(NoSuccessor::System)?);
        let mut successor = Successor::start(&passed, of.links.config().is_some())?;
        *link = successor
            .take_link()
            .zip(of.links.config().cloned())
            .map(|(stream, config)| LinkToSuccessor::await_it(of.hub, config, stream));
        let (taken, health) = successor.until_it_serves().await?;
        of.pause().await;
        if let Err(why) = of.prove(&taken, &health).await {
            of.resume().await;
            successor.turn_down().await;
            return Err(NoSuccessor::NotProven(why));
        }
        // From here on the service manager listens to the successor.
        if let Some(supervision) = of.supervision {
            supervision.pass_on(successor.process());
        }
        if let Err(error) = successor.leave_place().await {
            if let Some(supervision) = of.supervision {
                supervision.take_back();
            }
            of.resume().await;
            successor.turn_down().await;
            return Err(error);
        }
        let count = of.sockets.len();
        for socket in &taken {
            let index = socket.index;
            let admin_sockets = of.admin.as_mut().map_or(&mut [][..], |admin| admin.sockets_mut());
            if let Some(handle) = of.sockets.get_mut(index).or_else(|| admin_sockets.get_mut(index - count)) {
                handle.pass_on();
            }
        }
        if let Some(control) = &self.control {
            // It is the last of what was passed on.
            control.leave(taken.iter().any(|socket| socket.index + 1 == passed.len()));
        }
        Ok(successor)
    }
}

impl PassableSockets<'_> {
    /// Has nothing be read again and no file be changed from now on: it would be in force here, and not in the successor.
    async fn hold_files(&self) {
        if let Some(managed) = self.managed.clone() {
            // Whoever changes something at this moment holds it for as long as that takes.
            let _ = actix_web::rt::task::spawn_blocking(move || managed.hold()).await;
        }
    }

    /// Accepts nothing any more; what comes waits, or is accepted by the successor.
    async fn pause(&self) {
        if let Some(admin) = &self.admin {
            admin.pause().await;
        }
        listening::pause(self.server).await;
    }

    async fn resume(&self) {
        if let Some(admin) = &self.admin {
            admin.resume().await;
        }
        self.server.resume().await;
    }

    /// Finds out whether the successor answers on all that it has taken.
    async fn prove(&self, taken: &[TakenSocket], health: &str) -> Result<(), String> {
        for _ in 0..PROOFS {
            let before = self.slots.counters().accepted.get();
            for socket in taken {
                // Those for commands and for who runs the broker are used when the place has been left.
                let Some(handle) = self.sockets.get(socket.index) else { continue };
                proof::ask(&handle.watched(), *socket, health).await?;
            }
            if self.slots.counters().accepted.get() == before {
                return Ok(());
            }
        }
        Err("this broker has answered in the place of its successor".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_asks_while_an_upgrade_is_under_way_is_told_at_once() {
        let (upgrader, mut upgrades) = upgrades(None);
        let second = async {
            let asked = upgrades.requests.recv().await.unwrap();
            let second = upgrader.upgrade().await;
            asked.send(Err("it fails".to_owned())).unwrap();
            second
        };
        let (first, second) = tokio::join!(upgrader.upgrade(), second);
        assert_eq!(first, Err("it fails".to_owned()));
        assert!(second.unwrap_err().ends_with("an upgrade is under way already"));
        drop(upgrades);
        assert!(upgrader.upgrade().await.unwrap_err().ends_with("the broker is stopping"));
    }
}
