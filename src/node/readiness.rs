//! Tells whether the node should be sent new clients, and if not, why: read off what it is about, at the moment at which
//! it is asked.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde_json::Value as Json;

use crate::cluster::config::BusLost;
use crate::cluster::status::ClusterStatus;
use crate::cluster::{self, ClusterView};
use crate::hub::Hub;
use crate::net::slots::ConnectionSlots;

/// Whether this node should be sent new clients. Cheap enough to be asked by strangers: it takes the locks that a new
/// connection takes.
#[derive(Debug)]
pub(crate) struct Readiness {
    hub: Arc<Hub>,
    slots: Arc<ConnectionSlots>,
    /// Why new clients should go elsewhere although they would be served.
    draining: OnceLock<&'static str>,
    /// Where this node is one of several: and what is said to clients while the others cannot be reached.
    cluster: Option<(Arc<dyn ClusterView>, BusLost)>,
}

/// A node that clients may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// As far as it goes.
    Whole,
    /// Though it serves its own clients alone for now.
    Degraded,
}

/// Why a node should not be sent new clients. As text: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unready {
    /// Not every worker thread serves yet.
    #[error("starting: not all workers serve yet")]
    Starting,
    /// It is about to stop, or stops.
    #[error("draining: {0}")]
    Draining(&'static str),
    /// A fault of the program has ended a worker thread.
    #[error(
        "broken: a worker thread has died, and its connections with it; the log tells how; restart the broker"
    )]
    LostWorker,
    /// The next connection would be closed with 4100.
    #[error(
        "full: there are {0} connections, and no more are admitted (server.max_connections, or the limit of open files)"
    )]
    Connections(usize),
    /// The next connection of any kind would be refused.
    #[error("full: all {0} connections that the limit of open files leaves room for are in use")]
    OpenFiles(usize),
    /// The next connection that speaks HTTP would be refused, and each begins so.
    #[error("full: all {0} HTTP connections are busy (server.max_http_connections)")]
    HttpConnections(usize),
    /// It has not yet been told what the other nodes have.
    #[error("settling: the other nodes have not yet told what they have")]
    Settling,
    /// The other nodes cannot be reached.
    #[error("bus: the other nodes have been out of reach for {seconds} s: {reason}")]
    Bus {
        /// For how long.
        seconds: u64,
        reason: Arc<str>,
    },
    /// Publishers wait.
    #[error("congested: a worker is far behind with what others have sent it")]
    Congested,
}

impl Readiness {
    /// Of the node with this hub and these slots for connections.
    pub(crate) fn new(hub: Arc<Hub>, slots: Arc<ConnectionSlots>) -> Self {
        Readiness { hub, slots, draining: OnceLock::new(), cluster: None }
    }

    /// The same of a node that is one of several.
    #[must_use]
    pub(crate) fn of_cluster(self, node: Arc<dyn ClusterView>, bus_lost: BusLost) -> Self {
        Readiness { cluster: Some((node, bus_lost)), ..self }
    }

    /// From now on new clients should go elsewhere, for this reason. Who comes nevertheless is served as before. The first
    /// reason stays.
    pub(crate) fn drain(&self, reason: &'static str) {
        let _ = self.draining.set(reason);
    }

    /// Whether the node can go on: whether nothing is wrong that only a restart would mend. A node that stops is no longer
    /// asked that: its workers end one after the other.
    ///
    /// # Errors
    /// With what it is.
    pub(crate) fn check_life(&self) -> Result<(), Unready> {
        let is_broken = self.hub.has_lost_a_worker() && self.hub.shutdown().is_none();
        if is_broken { Err(Unready::LostWorker) } else { Ok(()) }
    }

    /// Whether new clients should come here. Whoever asks has `asking` connections of those that are bounded, which do not
    /// count.
    ///
    /// # Errors
    /// With what speaks against it; where there is more than one thing, with what lasts longest.
    pub(crate) fn check(&self, asking: usize) -> Result<(), Unready> {
        if let Some(reason) = self.draining.get() {
            return Err(Unready::Draining(reason));
        }
        if self.hub.shutdown().is_some() {
            return Err(Unready::Draining("nothing new is begun any more"));
        }
        self.check_life()?;
        if self.cluster.as_ref().is_some_and(|(node, _)| !node.is_settled()) {
            return Err(self.bus_trouble().unwrap_or(Unready::Settling));
        }
        if !self.hub.has_started() {
            return Err(Unready::Starting);
        }
        if let Some(limit) = self.hub.sockets().full() {
            return Err(Unready::Connections(limit));
        }
        if let Some(limit) = self.slots.full(asking) {
            return Err(Unready::OpenFiles(limit));
        }
        if let Some(limit) = self.slots.full_of_http(asking) {
            return Err(Unready::HttpConnections(limit));
        }
        if self.hub.is_congested() {
            return Err(Unready::Congested);
        }
        Ok(())
    }

    /// What balancers are told: while the other nodes cannot be reached, a node takes clients still, unless it is configured
    /// not to. All nodes may have lost each other at once.
    ///
    /// # Errors
    /// As of [`Readiness::check`].
    pub(crate) fn check_for_clients(&self, asking: usize) -> Result<Ready, Unready> {
        self.check(asking)?;
        match &self.cluster {
            Some((node, bus_lost)) if node.trouble().is_some() => match bus_lost {
                BusLost::Degrade => Ok(Ready::Degraded),
                BusLost::Drain => Err(Unready::Draining("the other nodes cannot be reached")),
            },
            _ => Ok(Ready::Whole),
        }
    }

    /// What those are told who run the broker: whether anything is wrong.
    ///
    /// # Errors
    /// As of [`Readiness::check`]; also where the other nodes cannot be reached.
    pub(crate) fn check_all(&self) -> Result<(), Unready> {
        self.check(0)?;
        self.bus_trouble().map_or(Ok(()), Err)
    }

    /// This node and those that are one broker with it, as JSON; nothing where it is alone.
    pub(crate) fn nodes(&self) -> Option<Json> {
        let (node, _) = self.cluster.as_ref()?;
        Some(cluster::report(&node.status(), Instant::now()))
    }

    /// What this node knows of its cluster; none where it is alone.
    pub(crate) fn cluster(&self) -> Option<ClusterStatus> {
        self.cluster.as_ref().map(|(node, _)| node.status())
    }

    fn bus_trouble(&self) -> Option<Unready> {
        let trouble = self.cluster.as_ref().and_then(|(node, _)| node.trouble())?;
        Some(Unready::Bus { seconds: trouble.since.elapsed().as_secs(), reason: trouble.reason })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use bytes::Bytes;
    use tokio::sync::mpsc;

    use crate::app::App;
    use crate::channel::NodeId;
    use crate::cluster::questions::{AskedNodes, PutQuestion};
    use crate::cluster::status::BusTrouble;
    use crate::connection::ConnectionConfig;
    use crate::hub::Worker;
    use crate::protocol::{ChannelName, Frame};

    use super::*;

    /// A node of one worker that takes two connections.
    fn readiness() -> Readiness {
        let apps = vec![(App::new("1", "k", "s"), Vec::new())];
        let hub = Hub::new(apps, ConnectionConfig::default(), 1, 2).unwrap();
        Readiness::new(hub, Arc::new(ConnectionSlots::new(0, 64, 1)))
    }

    #[test]
    fn what_is_read_off_the_structures_comes_and_goes_with_them() {
        let readiness = readiness();
        assert_eq!(readiness.check(0), Err(Unready::Starting));
        actix_web::rt::System::new().block_on(async {
            let hub = &readiness.hub;
            let worker = Worker::of_this_thread(hub).unwrap();
            assert_eq!(readiness.check(0), Ok(()));

            let app = hub.state_by_key("k").unwrap();
            let socket = worker.admit(&app, false).unwrap().socket_id;
            while !hub.is_congested() {
                hub.release(&app, socket, Frame::ping());
            }
            assert_eq!(readiness.check(0), Err(Unready::Congested));
            worker.uncongested().await;
            assert_eq!(readiness.check(0), Ok(()));
            worker.admit(&app, false).unwrap();
            assert_eq!(readiness.check(0), Err(Unready::Connections(2)));
        });
    }

    #[test]
    fn a_node_that_has_lost_a_worker_says_so_and_answers_for_it_no_more() {
        let readiness = readiness();
        let hub = Arc::clone(&readiness.hub);
        actix_web::rt::System::new().block_on(async {
            let thread = actix_rt::Arbiter::new();
            let of_thread = Arc::clone(&hub);
            thread.spawn_fn(move || drop(Worker::of_this_thread(&of_thread)));
            hub.until_started().await;
            assert!(hub.turn_of_every_worker().await && readiness.check(0).is_ok());
            hub.kill_worker(0);
            assert!(!hub.turn_of_every_worker().await);
            // It ends with what it did.
            thread.join().unwrap();
        });
        assert_eq!([readiness.check(0), readiness.check_life()], [const { Err(Unready::LostWorker) }; 2]);
        let app = hub.state_by_key("k").unwrap();
        let somebody = crate::protocol::SocketId::new(1, 1);
        hub.release(&app, somebody, Frame::ping());
        assert!(!hub.is_congested());
        // A worker that ends while the node stops is none that is missed.
        hub.stop_work(crate::hub::Shutdown::Soon);
        assert_eq!(readiness.check_life(), Ok(()));
    }

    /// A node of a cluster, as it is made to be.
    #[derive(Debug, Default)]
    struct PretendedNode {
        is_settled: AtomicBool,
        is_away: AtomicBool,
    }

    impl ClusterView for PretendedNode {
        fn status(&self) -> ClusterStatus {
            panic!("nobody asks for it here")
        }

        fn is_settled(&self) -> bool {
            self.is_settled.load(Ordering::SeqCst)
        }

        fn trouble(&self) -> Option<BusTrouble> {
            let is_away = self.is_away.load(Ordering::SeqCst);
            is_away.then(|| BusTrouble { since: Instant::now(), reason: "it is gone".into() })
        }

        fn decider(&self, _: &str, _: &ChannelName) -> Option<NodeId> {
            panic!("nobody asks for it here")
        }

        fn ask(&self, _: Option<NodeId>, _: &Bytes) -> AskedNodes {
            panic!("nobody asks it here")
        }

        fn answer_by(&self, _: mpsc::Sender<PutQuestion>) {
            panic!("nobody answers here")
        }
    }

    #[test]
    fn who_cannot_reach_the_others_says_so_to_operators_and_to_clients_as_configured() {
        actix_web::rt::System::new().block_on(async {
            let Readiness { hub, slots, .. } = readiness();
            let _worker = Worker::of_this_thread(&hub).unwrap();
            for (bus_lost, expected) in [
                (BusLost::Degrade, Ok(Ready::Degraded)),
                (BusLost::Drain, Err(Unready::Draining("the other nodes cannot be reached"))),
            ] {
                let node = Arc::new(PretendedNode::default());
                let readiness = Readiness::new(Arc::clone(&hub), Arc::clone(&slots));
                let readiness = readiness.of_cluster(node.clone(), bus_lost);
                assert_eq!(readiness.check_for_clients(0), Err(Unready::Settling));
                assert_eq!(readiness.check_all(), Err(Unready::Settling));
                node.is_away.store(true, Ordering::SeqCst);
                let away = "bus: the other nodes have been out of reach for 0 s: it is gone";
                assert_eq!(readiness.check_all().unwrap_err().to_string(), away);
                node.is_settled.store(true, Ordering::SeqCst);
                assert_eq!(readiness.check_all().unwrap_err().to_string(), away);
                assert_eq!(readiness.check_for_clients(0), expected);
                node.is_away.store(false, Ordering::SeqCst);
                assert_eq!(
                    (readiness.check_for_clients(0), readiness.check_all()),
                    (Ok(Ready::Whole), Ok(()))
                );
            }
        });
    }

    #[test]
    fn a_node_that_is_to_stop_is_not_ready_whoever_said_so() {
        let told = readiness();
        told.drain("the first reason");
        told.drain("another");
        assert_eq!(told.check(0).unwrap_err().to_string(), "draining: the first reason");
        let stopping = readiness();
        stopping.hub.stop_work(crate::hub::Shutdown::Soon);
        assert!(matches!(stopping.check(0), Err(Unready::Draining(_))));
    }
}
