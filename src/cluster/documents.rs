//! The versioned documents of a cluster, for threads that may wait for the engine, and the bell that tells such a thread when
//! to look at them again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::adapter::{Adapter, Conflict, Document, EngineError, Link, Subject};
use super::counts::ClusterCounts;

/// How long the engine has for an answer.
const ENGINE_PATIENCE: Duration = Duration::from_secs(3);

/// How much longer the thread waits: for the runtime, which may be busy.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(2);

/// Documents that all nodes of a cluster have in common. Whoever asks waits, for some seconds at most.
pub(crate) trait DocumentStore: Send + Sync + fmt::Debug {
    /// The document of this key, if there is one.
    ///
    /// # Errors
    /// If the engine does not tell.
    fn read(&self, key: &str) -> Result<Option<Document>, EngineError>;

    /// Writes the document of this key if it has this version (0: if there is none). Returns its new version.
    ///
    /// # Errors
    /// If the engine does not say that it has. [`EngineError::Away`] leaves open whether it has.
    fn write(&self, key: &str, expected: u64, bytes: Bytes) -> Result<Result<u64, Conflict>, EngineError>;

    /// Has it be counted what has become of a document on this node.
    fn count(&self, outcome: DocumentOutcome);
}

/// What has become of a document on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentOutcome {
    /// It was taken, but for so many parts that this release cannot read.
    Taken { unreadable: usize },
    /// It was not taken.
    Refused,
}

/// The documents of an engine.
pub(crate) struct EngineDocuments<A> {
    adapter: Arc<A>,
    /// Where the adapter's tasks are.
    runtime: Handle,
    counts: Arc<ClusterCounts>,
}

impl<A: Adapter> EngineDocuments<A> {
    /// Those of the engine that this adapter has joined, and a bell that rings when one may have changed: here when the engine
    /// is there again, or is another one. What comes on [`Subject::Documents`], whoever reads the inbox rings for.
    pub(crate) fn of(
        adapter: Arc<A>,
        runtime: Handle,
        counts: Arc<ClusterCounts>,
    ) -> (Self, DocumentBell, DocumentRings) {
        let (bell, rings) = bell();
        adapter.subscribe(&Subject::Documents, None);
        runtime.spawn(ring_when_up(adapter.link(), bell.clone()));
        (EngineDocuments { adapter, runtime, counts }, bell, rings)
    }

    /// Waits for what the adapter does on its runtime.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (done, answer) = mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            // Whoever asked may have given up.
            let _ = done.send(timeout(ENGINE_PATIENCE, work).await.unwrap_or(Err(EngineError::Away)));
        });
        answer.recv_timeout(ENGINE_PATIENCE + RUNTIME_PATIENCE).unwrap_or(Err(EngineError::Away))
    }
}

impl<A: Adapter> DocumentStore for EngineDocuments<A> {
    fn read(&self, key: &str) -> Result<Option<Document>, EngineError> {
        let (adapter, key) = (Arc::clone(&self.adapter), key.to_owned());
        self.wait(async move { adapter.document(&key).await })
    }

    fn write(&self, key: &str, expected: u64, bytes: Bytes) -> Result<Result<u64, Conflict>, EngineError> {
        let (adapter, key) = (Arc::clone(&self.adapter), key.to_owned());
        self.wait(async move { adapter.write_document(&key, expected, Some(bytes)).await })
    }

    fn count(&self, outcome: DocumentOutcome) {
        match outcome {
            DocumentOutcome::Taken { unreadable } => {
                self.counts.unreadable_apps.store(unreadable, Ordering::Relaxed);
            }
            DocumentOutcome::Refused => self.counts.documents_refused.add_from_anywhere(1),
        }
    }
}

impl<A> fmt::Debug for EngineDocuments<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineDocuments").finish_non_exhaustive()
    }
}

/// Tells a thread that a document may have changed. It never waits, and rings once for many.
#[derive(Clone, Debug)]
pub(crate) struct DocumentBell(SyncSender<()>);

/// Where a thread hears the bell.
#[derive(Debug)]
pub(crate) struct DocumentRings(Mutex<Receiver<()>>);

/// A bell, and where it is heard.
pub(crate) fn bell() -> (DocumentBell, DocumentRings) {
    let (bell, rings) = mpsc::sync_channel(1);
    (DocumentBell(bell), DocumentRings(Mutex::new(rings)))
}

impl DocumentBell {
    /// Rings.
    pub(crate) fn ring(&self) {
        // Where it has rung and was not heard yet, that one counts for both.
        let _ = self.0.try_send(());
    }
}

impl DocumentRings {
    /// Waits until the bell rings, for so long at most.
    pub(crate) fn wait(&self, most: Duration) -> BellHeard {
        match self.0.lock().recv_timeout(most) {
            Ok(()) => BellHeard::Rung,
            Err(RecvTimeoutError::Timeout) => BellHeard::Silent,
            Err(RecvTimeoutError::Disconnected) => BellHeard::Gone,
        }
    }
}

/// What whoever waited for the bell has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BellHeard {
    Rung,
    /// It has not rung in time.
    Silent,
    /// Nobody is left to ring it.
    Gone,
}

/// Rings whenever the engine is there again, or is another one.
async fn ring_when_up(mut link: tokio::sync::watch::Receiver<Link>, bell: DocumentBell) {
    let engine = |link: &Link| match link {
        Link::Up { engine, .. } => Some(engine.clone()),
        Link::Away { .. } => None,
    };
    let mut known = engine(&link.borrow_and_update());
    while link.changed().await.is_ok() {
        let now = engine(&link.borrow_and_update());
        if now.is_some() && now != known {
            bell.ring();
        }
        known = now;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::thread::JoinHandle;

    use tokio::sync::oneshot;

    use super::super::inbox::inbox;
    use super::super::local::{LocalEngine, LocalFaults};
    use super::*;

    /// A thread with a runtime, for as long as it lives.
    pub(crate) struct RuntimeThread(Handle, Option<(oneshot::Sender<()>, JoinHandle<()>)>);

    impl RuntimeThread {
        pub(crate) fn new() -> Self {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (end, ended) = oneshot::channel();
            let handle = runtime.handle().clone();
            let thread = std::thread::spawn(move || drop(runtime.block_on(ended)));
            RuntimeThread(handle, Some((end, thread)))
        }

        /// The documents of a new member of the engine, and what can go wrong with it.
        pub(crate) fn documents(
            &self,
            engine: &LocalEngine,
        ) -> (impl DocumentStore + use<>, DocumentBell, DocumentRings, LocalFaults) {
            let adapter = Arc::new(engine.join(inbox(10, 10_000).0));
            let faults = adapter.faults();
            let (documents, bell, rings) = EngineDocuments::of(adapter, self.0.clone(), Arc::default());
            (documents, bell, rings, faults)
        }
    }

    impl Drop for RuntimeThread {
        fn drop(&mut self) {
            let Some((end, thread)) = self.1.take() else { return };
            let _ = end.send(());
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_thread_reads_and_writes_and_hears_of_the_engine() {
        let (runtime, engine) = (RuntimeThread::new(), LocalEngine::new());
        let (documents, bell, rings, faults) = runtime.documents(&engine);
        assert_eq!((documents.read("a"), engine.wanted_by(&Subject::Documents)), (Ok(None), 1));
        let version = documents.write("a", 0, Bytes::from_static(b"1")).unwrap().unwrap();
        assert_eq!(documents.write("a", 0, Bytes::new()), Ok(Err(Conflict { version })));
        assert_eq!(documents.read("a").unwrap().unwrap().bytes, "1");
        let patience = Duration::from_secs(30);
        bell.ring();
        bell.ring();
        assert_eq!(rings.wait(patience), BellHeard::Rung);
        faults.cut();
        assert_eq!(documents.read("a"), Err(EngineError::Away));
        faults.heal();
        engine.wipe();
        assert_eq!(rings.wait(patience), BellHeard::Rung);
        assert_eq!(documents.read("a"), Ok(None));
        drop((bell, documents, runtime));
        while rings.wait(patience) != BellHeard::Gone {}
    }
}
