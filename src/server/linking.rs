//! The two processes of an upgrade as nodes of one broker, where no engine has them be that: how each of them begins it, and ends
//! it.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::net::RecvFlags;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use super::predecessor::Predecessor;
use crate::cluster::config::ClusterConfig;
use crate::cluster::{self, RunningNode};
use crate::config::Config;
use crate::hub::{HandedKind, HandedLoss, Hub};

/// How often it is looked whether this process knows what the one before it has.
const LOOKED_EVERY: Duration = Duration::from_millis(5);

/// How long this process goes on as a node when the other one has ended.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How this process is a node of one broker with the one before it, and with the one after it. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Links {
    /// None where an engine has it be one of several.
    config: Option<ClusterConfig>,
    before: LinkToPredecessor,
}

impl Links {
    /// Those of this configuration.
    pub(super) fn new(config: &Config) -> Self {
        let config = config.cluster.url.is_none().then(|| config.cluster.node.clone());
        Links { config, before: LinkToPredecessor::default() }
    }

    /// The settings of the nodes, if they are to be some.
    pub(super) fn config(&self) -> Option<&ClusterConfig> {
        self.config.as_ref()
    }

    /// Becomes a node with the process before, if there is one with a link. Returns whether this process is to serve: not if it
    /// is to stop before.
    pub(super) async fn join(
        &self,
        predecessor: Option<&Predecessor>,
        hub: &Arc<Hub>,
        stop: impl Future<Output = ()>,
    ) -> bool {
        let stream = predecessor.and_then(Predecessor::take_link);
        let Some((config, stream)) = self.config.clone().zip(stream) else { return true };
        tokio::select! {
            () = self.before.join(hub, config, stream) => true,
            () = stop => false,
        }
    }

    /// Waits until the process before is not there any more.
    pub(super) async fn until_alone(&self) {
        self.before.until_gone().await;
    }

    /// The node that this process is with the one before, if it is one: for whoever ends it.
    pub(super) fn take_before(&self) -> Option<RunningNode> {
        self.before.take()
    }
}

/// This process as the node before: from when on the other one has begun to speak.
#[derive(Debug)]
pub(super) struct LinkToSuccessor {
    hub: Arc<Hub>,
    node: JoinHandle<Option<RunningNode>>,
}

impl LinkToSuccessor {
    /// Waits for the other one to begin, and is a node then.
    pub(super) fn await_it(hub: &Arc<Hub>, config: ClusterConfig, stream: StdStream) -> Self {
        let of_node = Arc::clone(hub);
        let node = actix_web::rt::spawn(async move {
            match host(&of_node, config, stream).await {
                Ok(node) => node,
                Err(error) => {
                    warn!(%error, "the new process and this one are not nodes of one broker");
                    None
                }
            }
        });
        LinkToSuccessor { hub: Arc::clone(hub), node }
    }

    /// The other one serves: this process is a node to its end, if it is one.
    pub(super) async fn keep(self) -> Option<RunningNode> {
        // Whoever serves has joined, or has given it up and closed the link.
        self.node.await.ok().flatten()
    }

    /// The other one has ended, and this process goes on alone.
    pub(super) async fn end(self) {
        // Its end is the end of the link.
        if let Ok(Some(node)) = self.node.await {
            part(&self.hub, node).await;
        }
    }
}

/// Becomes the node before when the other one says something.
async fn host(hub: &Arc<Hub>, config: ClusterConfig, stream: StdStream) -> io::Result<Option<RunningNode>> {
    stream.set_nonblocking(true)?;
    let watched = UnixStream::from_std(stream.try_clone()?)?;
    loop {
        watched.readable().await?;
        let mut byte = [0];
        let peeked = watched.try_io(tokio::io::Interest::READABLE, || {
            rustix::net::recv(&watched, &mut byte, RecvFlags::PEEK).map_err(io::Error::from)
        });
        match peeked {
            Ok((_, 0)) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    drop(watched);
    let node = cluster::before(hub, config, stream).await.map_err(io::Error::other)?;
    hub.upgrades().set_linked(true);
    Ok(Some(node))
}

/// This process as the node after, as long as the one before is there. Clones are one.
#[derive(Clone, Debug, Default)]
struct LinkToPredecessor(Arc<LinkedNode>);

#[derive(Debug, Default)]
struct LinkedNode {
    node: Mutex<Option<RunningNode>>,
    is_there: watch::Sender<bool>,
}

impl LinkToPredecessor {
    /// Becomes a node, and waits until it knows what the process before has. If that cannot be had, it goes on alone.
    async fn join(&self, hub: &Arc<Hub>, config: ClusterConfig, stream: StdStream) {
        let begun = Instant::now();
        let node = match cluster::after(hub, config, stream).await {
            Ok(node) => node,
            Err(error) => return warn!(%error, "this process and the one before are not nodes of one broker"),
        };
        let until_alone = node.until_alone();
        let settled = async {
            while !node.view().is_settled() {
                tokio::time::sleep(LOOKED_EVERY).await;
            }
        };
        tokio::select! {
            () = settled => {}
            () = node.until_alone() => {}
        }
        hub.upgrades().took(begun.elapsed());
        hub.upgrades().set_linked(true);
        *self.0.node.lock() = Some(node);
        self.0.is_there.send_replace(true);
        let (this, hub) = (self.clone(), Arc::clone(hub));
        actix_web::rt::spawn(async move {
            until_alone.await;
            if let Some(node) = this.take() {
                part(&hub, node).await;
                tell_what_was_taken_over(&hub);
            }
            this.0.is_there.send_replace(false);
        });
    }

    /// The node, as long as there is one: for whoever ends it.
    fn take(&self) -> Option<RunningNode> {
        self.0.node.lock().take()
    }

    /// Waits until the process before is not there any more.
    async fn until_gone(&self) {
        let mut is_there = self.0.is_there.subscribe();
        // The sender is held.
        let _ = is_there.wait_for(|is_there| !is_there).await;
    }
}

/// The other process has gone: makes this one the whole broker again.
async fn part(hub: &Hub, node: RunningNode) {
    if timeout(ENDS_WITHIN, node.until_alone()).await.is_err() {
        warn!("the other process has gone, and what it had is not forgotten yet");
    }
    hub.take_bus_away();
    hub.upgrades().set_linked(false);
    hub.upgrades().lost(HandedLoss::Word, node.view().status().figures.dropped_words());
    node.stop().await;
}

/// What has come of an upgrade, in one line.
fn tell_what_was_taken_over(hub: &Hub) {
    let figures = hub.upgrades().read();
    info!(
        took_ms = figures.took.map(|took| took.as_millis() as u64),
        events = figures.of(HandedKind::Event),
        cached = figures.of(HandedKind::Cached),
        publish_ids = figures.of(HandedKind::PublishId),
        removals = figures.of(HandedKind::Removal),
        names = figures.of(HandedKind::Name),
        lost_histories = figures.lost(HandedLoss::History),
        lost_names = figures.lost(HandedLoss::Name),
        lost_words = figures.lost(HandedLoss::Word),
        "the process before has gone: this one is the whole broker"
    );
}
