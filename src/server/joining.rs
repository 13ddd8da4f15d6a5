//! Makes a node one of several where it is configured to be: asks the engine at the start, joins it, and waits until the node
//! knows what the others have.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::StartError;
use super::engine::{self, EngineTrouble};
use crate::channel::NodeId;
use crate::cluster::adapter::Link;
use crate::cluster::config::ClusterConfig;
use crate::cluster::questions::{AskedNodes, PutQuestion};
use crate::cluster::shared_settings::SharedSettings;
use crate::cluster::status::{BusTrouble, ClusterFigures, ClusterStatus, ReplicaSize};
use crate::cluster::{ClusterSettings, ClusterView, RunningNode, StartWithoutBus};
use crate::config::{Config, ServerConfig};
use crate::hub::Hub;
use crate::protocol::ChannelName;

/// How often the engine is asked again where it is waited for.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether a node has settled.
const LOOKED_EVERY: Duration = Duration::from_millis(20);

/// What a node is called whose host has no name that could be told.
const NAMELESS: &str = "heliostat";

/// A node that is to be one of several.
pub(super) struct JoiningNode {
    settings: ClusterSettings,
    config: ClusterConfig,
    /// The settings that all nodes should have alike.
    shared: SharedSettings,
    view: Arc<JoinedView>,
}

impl JoiningNode {
    /// The node of this configuration, which listens on this port if on one, if it is to be one of several. Where it does
    /// not wait for the engine, the engine has
    /// been asked whether it can be joined.
    ///
    /// # Errors
    /// If it cannot.
    pub(super) fn prepare(config: &Config, hub: &Hub, port: Option<u16>) -> Result<Option<Self>, StartError> {
        let settings = &config.cluster;
        if settings.url.is_none() {
            return Ok(None);
        }
        if settings.start_without_bus == StartWithoutBus::Fail {
            engine::check(settings)?;
        }
        let name: Arc<str> = match settings.node_name.as_str() {
            "" => name_of(&host_name(), port.unwrap_or(config.server.port)).into(),
            name => name.into(),
        };
        let node = ClusterConfig { node_name: Arc::clone(&name), address: None, ..settings.node.clone() };
        let view = Arc::new(JoinedView::new(hub.node_id(), name));
        Ok(Some(JoiningNode {
            settings: settings.clone(),
            config: node,
            shared: config.shared_settings(),
            view,
        }))
    }

    /// What it knows of its cluster, also before it has joined.
    pub(super) fn view(&self) -> Arc<dyn ClusterView> {
        Arc::clone(&self.view) as Arc<dyn ClusterView>
    }

    /// Tells the others where those who run the broker reach this node, if others can.
    pub(super) fn reached_at(&mut self, admin: Option<(IpAddr, String)>) {
        let far = admin.filter(|(address, _)| !address.is_loopback() && !address.is_unspecified());
        self.config.address = far.map(|(_, url)| url.into());
    }

    /// Joins, and waits until the node knows what the others have.
    ///
    /// # Errors
    /// If the engine cannot be joined and is not to be waited for.
    pub(super) async fn join(self, hub: &Arc<Hub>) -> io::Result<RunningNode> {
        let JoiningNode { settings, config, shared, view } = self;
        let name = Arc::clone(&config.node_name);
        let node = loop {
            match engine::join(hub, config.clone(), shared.clone(), &settings).await {
                Ok(node) => break node,
                Err(trouble) if settings.start_without_bus == StartWithoutBus::Fail => {
                    return Err(io::Error::other(trouble.to_string()));
                }
                Err(trouble) => view.wait_for(&trouble),
            }
            tokio::time::sleep(ASKED_EVERY).await;
        };
        view.join(node.view());
        info!(node = &*name, id = %hub.node_id(), "joined the cluster; waiting for what the other nodes have");
        while !node.view().is_settled() {
            if let Some(failed) = node.failure().get() {
                return Err(io::Error::other(&*failed.reason));
            }
            tokio::time::sleep(LOOKED_EVERY).await;
        }
        Ok(node)
    }
}

/// What a node is called that nobody has named. Those of one machine have one name but for their ports.
fn name_of(host: &str, port: u16) -> String {
    if port == ServerConfig::default().port { host.to_owned() } else { format!("{host}:{port}") }
}

/// The name of this machine, as far as it can be told in a line.
fn host_name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let plain: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(64).collect();
    if plain.is_empty() { NAMELESS.to_owned() } else { plain }
}

/// What a node knows of its cluster: that it waits for it, until it has joined.
#[derive(Debug)]
struct JoinedView {
    me: NodeId,
    name: Arc<str>,
    joined: OnceLock<Arc<dyn ClusterView>>,
    waits: Mutex<BusTrouble>,
    /// Where what other nodes ask is answered.
    answers: Mutex<Option<mpsc::Sender<PutQuestion>>>,
}

impl JoinedView {
    fn new(me: NodeId, name: Arc<str>) -> Self {
        let waits = BusTrouble { since: Instant::now(), reason: "the engine has not been joined yet".into() };
        JoinedView { me, name, joined: OnceLock::new(), waits: Mutex::new(waits), answers: Mutex::default() }
    }

    fn join(&self, view: &Arc<dyn ClusterView>) {
        let _ = self.joined.set(Arc::clone(view));
        if let Some(answers) = self.answers.lock().clone() {
            view.answer_by(answers);
        }
    }

    /// Tells why it waits, and the log whenever that has changed.
    fn wait_for(&self, trouble: &EngineTrouble) {
        let reason = trouble.to_string();
        let mut waits = self.waits.lock();
        if *waits.reason != *reason {
            warn!(%reason, "waiting for the engine between the nodes; no clients are taken until it is there");
            waits.reason = reason.into();
        }
    }
}

impl ClusterView for JoinedView {
    fn status(&self) -> ClusterStatus {
        if let Some(joined) = self.joined.get() {
            return joined.status();
        }
        let waits = self.waits.lock().clone();
        ClusterStatus {
            me: self.me,
            name: Arc::clone(&self.name),
            is_settled: false,
            link: Link::Away { since: waits.since, reason: Arc::clone(&waits.reason) },
            away: Some(waits),
            peers: Vec::new(),
            own: ReplicaSize::default(),
            figures: ClusterFigures::default(),
        }
    }

    fn is_settled(&self) -> bool {
        self.joined.get().is_some_and(|joined| joined.is_settled())
    }

    fn trouble(&self) -> Option<BusTrouble> {
        match self.joined.get() {
            Some(joined) => joined.trouble(),
            None => Some(self.waits.lock().clone()),
        }
    }

    fn decider(&self, app_id: &str, channel: &ChannelName) -> Option<NodeId> {
        self.joined.get()?.decider(app_id, channel)
    }

    fn ask(&self, of: Option<NodeId>, question: &Bytes) -> AskedNodes {
        match self.joined.get() {
            Some(joined) => joined.ask(of, question),
            None => AskedNodes::unknown(),
        }
    }

    fn answer_by(&self, answers: mpsc::Sender<PutQuestion>) {
        *self.answers.lock() = Some(answers.clone());
        if let Some(joined) = self.joined.get() {
            joined.answer_by(answers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_one_machine_are_told_apart_by_their_ports() {
        assert_eq!([6001, 6002].map(|port| name_of("vm", port)), ["vm", "vm:6002"]);
    }

    #[test]
    fn a_host_has_a_name_that_can_be_told() {
        let name = host_name();
        assert!((1..=64).contains(&name.len()) && !name.contains(char::is_whitespace), "{name:?}");
    }
}
