//! Starts a node of a cluster, and ends it in order.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::hub::{Bus, Hub};

use super::adapter::{Adapter, Link};
use super::config::ClusterConfig;
use super::documents::{DocumentRings, DocumentStore, EngineDocuments};
use super::failure::NodeFailure;
use super::inbox::{Inbox, Words, inbox};
use super::intake::WordReader;
use super::node::ClusterNode;
use super::shared_settings::SharedSettings;
use super::speaking::MOST_REQUESTS;
use super::standing::Standing;
use super::view::ClusterView;

/// How long the engine has to take a goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// How long another process may take to read the last words of one that hosts the engine to it.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(5);

/// The tasks of a node. Dropping it ends them without a goodbye.
pub(super) struct NodeTasks<A> {
    pub(super) node: Arc<ClusterNode<A>>,
    tasks: JoinSet<()>,
    documents: Option<SharedDocuments>,
}

/// The documents that all nodes have in common, and where it is heard that one may have changed.
type SharedDocuments = (Arc<dyn DocumentStore>, DocumentRings);

impl<A: Adapter> NodeTasks<A> {
    /// Makes the hub's node one of several, by an engine that has been joined. Within the runtime that it lives on.
    pub(super) fn start(
        hub: &Arc<Hub>,
        config: ClusterConfig,
        settings: SharedSettings,
        standing: Standing,
        adapter: A,
        words: Words,
    ) -> Self {
        let node = ClusterNode::new(hub, config, settings, standing, adapter, Arc::clone(words.counts()));
        let bus = Arc::clone(&node) as Arc<dyn Bus>;
        hub.set_bus(Arc::clone(&bus));
        // A node that is to be succeeded has served for long. It says nothing before all of that has been told.
        hub.tell_what_is_true(&bus);
        let (requests, asked) = mpsc::channel(MOST_REQUESTS);
        let (documents, bell, rings) = EngineDocuments::of(
            Arc::clone(&node.adapter),
            runtime::Handle::current(),
            Arc::clone(&node.counts),
        );
        let documents: Option<SharedDocuments> = Some((Arc::new(documents), rings));
        let intake = WordReader::new(Arc::clone(&node), Arc::clone(hub), words, requests, bell);
        let mut tasks = JoinSet::new();
        tasks.spawn(staying(standing, Arc::clone(&node).listen()));
        tasks.spawn(staying(standing, Arc::clone(&node).speak()));
        tasks.spawn(staying(standing, Arc::clone(&node).give_snapshots(asked)));
        tasks.spawn(staying(standing, Arc::clone(&node).tell_names()));
        tasks.spawn(staying(standing, Arc::clone(&node).pay()));
        tasks.spawn(staying(standing, intake.run()));
        NodeTasks { node, tasks, documents }
    }

    /// Says goodbye, so that the others know at once, and ends.
    pub(super) async fn stop(&mut self) {
        self.node.tell_last_names().await;
        self.node.leave(GOODBYE_WITHIN).await;
        self.tasks.shutdown().await;
    }

    /// Waits until one of them ends, which none does by itself. Without it this node is no part of the cluster, and nobody
    /// would know: so the others are told that it leaves, and the bus counts as away from then on.
    pub(super) async fn end_with_one(&mut self) {
        self.tasks.join_next().await;
        self.node.failure.set("a task of the cluster");
        self.stop().await;
        let reason = "this node has left the cluster".into();
        self.node.set_link(&Link::Away { since: Instant::now(), reason }, Instant::now());
    }
}

/// A task that is not missed when it has done its work, where it may have: one of two processes outlives the other.
async fn staying(standing: Standing, task: impl Future<Output = ()>) {
    task.await;
    if standing.is_of_two() {
        std::future::pending::<()>().await;
    }
}

/// A node of a cluster, on a thread of its own. Dropping it ends it without a goodbye.
#[derive(Debug)]
pub(crate) struct RunningNode {
    view: Arc<dyn ClusterView>,
    documents: Option<SharedDocuments>,
    /// Has it say at once what it says each second.
    beat_now: Arc<Notify>,
    failure: NodeFailure,
    /// It was one of two, and the other one has gone.
    is_alone: watch::Receiver<bool>,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

/// Why a node is not one of several.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeNotStarted<E> {
    /// The system gives it no thread.
    #[error("no thread for the cluster: {0}")]
    Thread(#[from] io::Error),
    /// The engine cannot be joined.
    #[error(transparent)]
    Engine(E),
}

/// Makes the hub's node one of several: `join` joins the engine, on the thread that the adapter will live on. Returns when
/// it has. `settings` are those that all nodes should have alike.
///
/// # Errors
/// If the engine cannot be joined.
#[cfg(any(test, feature = "redis"))]
pub(crate) async fn start<A, E, J>(
    hub: &Arc<Hub>,
    config: ClusterConfig,
    settings: SharedSettings,
    join: impl FnOnce(Inbox) -> J + Send + 'static,
) -> Result<RunningNode, NodeNotStarted<E>>
where
    A: Adapter,
    E: Send + 'static,
    J: Future<Output = Result<A, E>>,
{
    let join = async move |inbox: Inbox| Ok((join(inbox).await?, None));
    start_as(Standing::OneOfMany, hub, config, settings, join).await
}

/// The same of a node that is this among the others. Where it hosts the engine to another process, that is a task, which is
/// waited for at the end: it says what has not been said.
pub(super) async fn start_as<A, E, J>(
    standing: Standing,
    hub: &Arc<Hub>,
    config: ClusterConfig,
    settings: SharedSettings,
    join: impl FnOnce(Inbox) -> J + Send + 'static,
) -> Result<RunningNode, NodeNotStarted<E>>
where
    A: Adapter,
    E: Send + 'static,
    J: Future<Output = Result<(A, Option<JoinHandle<()>>), E>>,
{
    let own = runtime::Builder::new_current_thread().enable_all().build()?;
    let hub = Arc::clone(hub);
    let (started, has_started) = oneshot::channel();
    let (stop, is_to_stop) = oneshot::channel();
    let (has_stopped, stopped) = oneshot::channel();
    std::thread::Builder::new().name("cluster".to_owned()).spawn(move || {
        own.block_on(async {
            let (inbox, words) = inbox(config.inbox_words, config.inbox_bytes);
            let (adapter, hosting) = match join(inbox).await {
                Ok(joined) => joined,
                Err(error) => return drop(started.send(Err(error))),
            };
            let mut tasks = NodeTasks::start(&hub, config, settings, standing, adapter, words);
            drop(hub);
            let view: Arc<dyn ClusterView> = Arc::clone(&tasks.node) as Arc<dyn ClusterView>;
            let (documents, beat_now) = (tasks.documents.take(), Arc::clone(&tasks.node.beat_now));
            let (failure, is_alone) = (tasks.node.failure.clone(), tasks.node.is_alone.subscribe());
            if started.send(Ok((view, documents, beat_now, failure, is_alone))).is_err() {
                return;
            }
            let mut is_to_stop = is_to_stop;
            tokio::select! {
                asked = &mut is_to_stop => if asked.is_ok() {
                    tasks.stop().await;
                    if let Some(hosting) = hosting {
                        // The other process ends it when it has heard all.
                        let _ = timeout(LAST_WORDS_WITHIN, hosting).await;
                    }
                },
                () = tasks.end_with_one() => {
                    // Whoever asks for documents still has the engine.
                    let _ = is_to_stop.await;
                }
            }
        });
        // A name that is being looked up may take its time.
        own.shutdown_background();
        // Whoever waits may have gone.
        let _ = has_stopped.send(());
    })?;
    match has_started.await {
        Ok(Ok((view, documents, beat_now, failure, is_alone))) => {
            Ok(RunningNode { view, documents, beat_now, failure, is_alone, stop, stopped })
        }
        Ok(Err(error)) => Err(NodeNotStarted::Engine(error)),
        Err(_) => Err(NodeNotStarted::Thread(io::Error::other("it has ended"))),
    }
}

impl RunningNode {
    /// The documents that all nodes have in common, for the one who asks first.
    pub(crate) fn take_documents(&mut self) -> Option<SharedDocuments> {
        self.documents.take()
    }

    /// What it knows of its cluster, for those who ask.
    pub(crate) fn view(&self) -> &Arc<dyn ClusterView> {
        &self.view
    }

    /// Whether a part of it has ended that must not. Other parts are told of there, too.
    pub(crate) fn failure(&self) -> &NodeFailure {
        &self.failure
    }

    /// Says at once that it is about to stop, so that the others do not leave to it what it will leave to them.
    pub(crate) fn begin_leaving(&self) {
        self.beat_now.notify_one();
    }

    /// Waits until the other one has gone, where it is one of two, and nothing of it is left here.
    pub(crate) fn until_alone(&self) -> impl Future<Output = ()> + use<> {
        let mut is_alone = self.is_alone.clone();
        async move {
            // Where it has ended itself, it is alone, too.
            let _ = is_alone.wait_for(|is_alone| *is_alone).await;
        }
    }

    /// Says goodbye and ends. When its connections have gone, the others have been told of each; so they need not wait.
    pub(crate) async fn stop(self) {
        // It has ended already, if nobody hears it.
        let _ = self.stop.send(());
        let _ = self.stopped.await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::local::LocalEngine;
    use super::*;
    use crate::app::App;
    use crate::connection::ConnectionConfig;

    #[tokio::test]
    async fn a_task_that_ends_is_missed() {
        let hub = Hub::new(vec![(App::new("1", "k", "s"), Vec::new())], ConnectionConfig::default(), 1, 0);
        let (hub, config, engine) = (hub.unwrap(), ClusterConfig::default(), LocalEngine::new());
        let (inbox, words) = inbox(config.inbox_words, config.inbox_bytes);
        let adapter = engine.join(inbox);
        let mut tasks =
            NodeTasks::start(&hub, config, SharedSettings::default(), Standing::OneOfMany, adapter, words);
        tasks.tasks.spawn(async { panic!("as a fault of the program would have it") });
        tasks.end_with_one().await;
        let trouble = ClusterView::trouble(&*tasks.node).unwrap();
        assert!(trouble.reason.contains("restart this node"), "{trouble:?}");
        assert!(tasks.node.is_away() && tasks.node.status().away == Some(trouble));
    }
}
