//! What the hub counts, for the metrics: by app and by worker.
//!
//! Nothing is counted per subscriber: a delivery counts once per broadcast and worker. Each worker has cells of its own,
//! which only it writes, so that counting costs an addition and no thread waits for a cache line of another.

mod app;
mod counter;
mod figures;
mod refusals;
mod usage;
mod worker;

pub(in crate::hub) use app::AppCounters;
pub(crate) use app::{AppCells, AppCounts};
pub(crate) use counter::{Counter, DurationCounter, Durations};
pub(crate) use figures::AppFigures;
pub(in crate::hub) use refusals::RefusalCounts;
pub(crate) use refusals::RefusalKind;
pub(crate) use usage::{AppUsage, PeakCount};
pub(crate) use worker::{WorkerCounters, WorkerSurvey};

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::channel::WorkerIndex;

/// Tells the nodes of a process apart. 0 is none.
static NODES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The node and the worker that this thread is.
    static CURRENT: Cell<(u64, WorkerIndex)> = const { Cell::new((0, 0)) };
}

/// What all apps and workers of a node count with. Clones are the same.
#[derive(Clone, Debug)]
pub(in crate::hub) struct NodeCounters(Arc<NodeState>);

#[derive(Debug)]
struct NodeState {
    node: u64,
    workers: Box<[Arc<WorkerCounters>]>,
    /// The counts of apps that are gone.
    departed: Mutex<AppCounts>,
    /// What apps that are gone have used since it was last taken, by their ids; nothing where nobody takes it.
    departed_usage: Mutex<Option<BTreeMap<String, AppUsage>>>,
}

impl NodeCounters {
    /// Those of a new node with so many workers.
    pub(in crate::hub) fn new(workers: usize) -> Self {
        let node = NODES.fetch_add(1, Ordering::Relaxed) + 1;
        let workers = (0..workers).map(|_| Arc::default()).collect();
        NodeCounters(Arc::new(NodeState {
            node,
            workers,
            departed: Mutex::default(),
            departed_usage: Mutex::default(),
        }))
    }

    /// Those of each worker.
    pub(in crate::hub) fn workers(&self) -> &[Arc<WorkerCounters>] {
        &self.0.workers
    }

    /// From now on the calling thread is this worker, for as long as it runs.
    pub(in crate::hub) fn is_worker(&self, worker: WorkerIndex) {
        CURRENT.set((self.0.node, worker));
    }

    /// The worker that the calling thread is.
    pub(in crate::hub) fn current_worker(&self) -> Option<WorkerIndex> {
        let (node, worker) = CURRENT.get();
        (node == self.0.node).then_some(worker)
    }

    /// The counts of all apps that are gone.
    pub(in crate::hub) fn departed(&self) -> AppCounts {
        self.0.departed.lock().clone()
    }

    /// What apps that are gone have used since this was last asked. From now on it is kept for the next time.
    pub(in crate::hub) fn take_departed_usage(&self) -> BTreeMap<String, AppUsage> {
        self.0.departed_usage.lock().replace(BTreeMap::new()).unwrap_or_default()
    }

    fn add_departed(&self, id: &str, counts: &AppCounts, usage: &AppUsage) {
        self.0.departed.lock().add(counts);
        if let Some(kept) = self.0.departed_usage.lock().as_mut().filter(|_| !usage.is_nothing()) {
            kept.entry(id.to_owned()).or_default().add(usage);
        }
    }
}
