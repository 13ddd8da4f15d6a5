//! Who tells what a node knows of its cluster: for the metrics, `/ready` and `heliostat nodes`, which need not know how it
//! comes to know it.

use std::fmt;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::channel::NodeId;
use crate::protocol::ChannelName;

use super::questions::{AskedNodes, PutQuestion};
use super::status::{BusTrouble, ClusterStatus};

/// A node of a cluster, for those who ask how it is.
pub(crate) trait ClusterView: Send + Sync + fmt::Debug {
    /// What it knows of its cluster now.
    fn status(&self) -> ClusterStatus;

    /// Whether it takes joins: it has listened for long enough, and has been told what the others have.
    fn is_settled(&self) -> bool;

    /// Since when the bus counts as away, and why, if it does. Strangers may have this asked.
    fn trouble(&self) -> Option<BusTrouble>;

    /// The node that decides for a channel: it tells webhooks of it.
    fn decider(&self, app_id: &str, channel: &ChannelName) -> Option<NodeId>;

    /// Asks other nodes something: this one, or all that it knows of.
    fn ask(&self, of: Option<NodeId>, question: &Bytes) -> AskedNodes;

    /// Has what other nodes ask put there, in place of where it was put before.
    fn answer_by(&self, answers: mpsc::Sender<PutQuestion>);
}
