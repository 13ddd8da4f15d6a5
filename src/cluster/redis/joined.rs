//! What lives as long as this node is joined to an engine, through every loss of the connections.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::names::Names;
use super::outbox::EngineOutbox;
use super::scripts::Scripts;
use super::target::RedisTarget;
use super::wanted::WantedSubjects;
use crate::channel::NodeId;
use crate::cluster::adapter::Link;
use crate::cluster::inbox::Inbox;
use crate::hub::Counter;

/// How often a probe is said.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// A server is away if no probe has come back for so long. A pause of an engine that forks, or of this node, is shorter.
pub(super) const PROBE_LOST: Duration = Duration::from_secs(4);

/// How long a batch may take. The probes are lost before; this ends what they do not see.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Subscriptions that are asked for at once.
pub(super) const BATCH_SUBSCRIPTIONS: usize = 1000;

/// What lives through every loss of the connections.
pub(super) struct JoinedEngine {
    pub(super) target: RedisTarget,
    pub(super) names: Names,
    /// Of this adapter, for its probes.
    pub(super) me: NodeId,
    pub(super) inbox: Inbox,
    pub(super) outbox: EngineOutbox,
    pub(super) wanted: WantedSubjects,
    pub(super) link: watch::Sender<Link>,
    /// Messages on our names that none of us has said.
    pub(super) foreign: Counter,
    /// As they are called, once an engine has been joined.
    pub(super) scripts: Mutex<Option<Scripts>>,
}
