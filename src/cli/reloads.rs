//! Has a running broker read its configuration again, on a thread of its own: the thread that hears signals, and tells the
//! service manager that the broker lives, waits for no disk, and for nobody else who changes the apps.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::answers::complaint;
use crate::app_admin::{AppsError, ManagedApps, PutInForce, ReloadFailure};
use crate::config::{ConfigDifference, Loaded};
use crate::console::{ConfigReload, ReloadAnswer, ReloadPlan, ReloadRefusal};
use crate::server::control::ControlAnswer;
use crate::server::{PlannedReload, ReloadAsShown, Reloader, Supervision};

/// What the log names as the source of these lines: the program itself.
const PROGRAM: &str = "heliostat";

/// The reloads of a broker. One at a time, in the order in which they are asked for.
pub(super) struct Reloads<F> {
    supervision: Supervision,
    files: Arc<F>,
    turn: Semaphore,
}

/// What reads the configuration again, and takes its time for it.
pub(super) trait ConfigFiles: Send + Sync + 'static {
    /// What a reload would change.
    fn plan(&self) -> Result<ReloadPlan, ReloadRefusal>;

    /// Puts in force what can be, if a version is given only as it was shown under that; returns what to tell whoever asked.
    fn reload(&self, shown: Option<u64>) -> Result<String, ReloadRefusal>;
}

impl<F: ConfigFiles> Reloads<F> {
    /// Nothing has been reloaded so far; this does it, however long it takes.
    pub(super) fn new(supervision: Supervision, files: F) -> Self {
        Reloads { supervision, files: Arc::new(files), turn: Semaphore::new(1) }
    }

    /// Reloads once more; returns what to tell whoever asked. Where the broker ends meanwhile, nobody waits for it.
    pub(super) async fn reload(&self) -> ControlAnswer {
        self.reload_shown(None).await.map_err(|refusal| refusal.to_string())
    }

    /// The same, if a version is given only as it was shown under that. It is one turn, in which nobody else has anything reloaded.
    async fn reload_shown(&self, shown: Option<u64>) -> Result<String, ReloadRefusal> {
        let _turn = self.turn.acquire().await;
        let files = Arc::clone(&self.files);
        let reloading = async {
            match on_its_own_thread(move || files.reload(shown)).await {
                // It was read, and is not at fault.
                Err(ReloadRefusal::NotAsShown) => Ok(Err(ReloadRefusal::NotAsShown)),
                reloaded => reloaded.map(Ok),
            }
        };
        self.supervision.reloading(reloading).await?
    }

    /// What a reload would change.
    pub(super) async fn plan(&self) -> Result<ReloadPlan, ReloadRefusal> {
        let _turn = self.turn.acquire().await;
        let files = Arc::clone(&self.files);
        on_its_own_thread(move || files.plan()).await
    }
}

impl<F: ConfigFiles> ConfigReload for Reloads<F> {
    fn plan(&self) -> ReloadAnswer<'_, ReloadPlan> {
        Box::pin(self.plan())
    }

    fn reload(&self, shown: Option<u64>) -> ReloadAnswer<'_, String> {
        Box::pin(self.reload_shown(shown))
    }
}

/// Does this on a thread that nobody waits for, but whoever wants the answer.
async fn on_its_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReloadRefusal> + Send + 'static,
) -> Result<T, ReloadRefusal> {
    let (done, answer) = oneshot::channel();
    let begun = thread::Builder::new().name("reload".to_owned()).spawn(move || {
        // Whoever asked may have gone.
        let _ = done.send(work());
    });
    if let Err(error) = begun {
        let complaint = format!("the configuration was not reloaded: there is no thread for it: {error}");
        tracing::error!(target: PROGRAM, "{complaint}");
        return Err(format!("heliostat: {complaint}").into());
    }
    let died = "heliostat: a fault of the program has ended the reload; the log tells how";
    answer.await.unwrap_or_else(|_| Err(died.to_owned().into()))
}

/// Where the apps file of a running broker is, from wherever one looks.
#[derive(Debug)]
pub(super) struct AppsPath(Mutex<Option<PathBuf>>);

impl AppsPath {
    /// As it was loaded.
    pub(super) fn of(loaded: &Loaded) -> Self {
        AppsPath(Mutex::new(loaded.apps_file.clone()))
    }

    /// It was loaded again.
    fn update(&self, loaded: &Loaded) {
        self.0.lock().clone_from(&loaded.apps_file);
    }

    /// The path, in words for whoever asks.
    pub(super) fn tell(&self) -> ControlAnswer {
        let path = self.0.lock().clone();
        let path = path.ok_or_else(|| format!("heliostat: {}", AppsError::NoFile))?;
        let absolute = std::path::absolute(&path);
        absolute.map(|path| path.display().to_string()).map_err(|error| format!("heliostat: {error}"))
    }
}

/// The files that a broker was started from, and what they take effect on.
pub(super) struct FilesOfBroker {
    apps: Arc<ManagedApps>,
    reloader: Reloader,
    apps_path: Arc<AppsPath>,
    /// Makes versions of which nobody can tell what they are of.
    versions: RandomState,
}

impl FilesOfBroker {
    pub(super) fn new(apps: Arc<ManagedApps>, reloader: Reloader, apps_path: Arc<AppsPath>) -> Self {
        FilesOfBroker { apps, reloader, apps_path, versions: RandomState::new() }
    }

    /// Another one where the files, or what runs, have changed.
    fn version(&self, loaded: &Loaded, planned: &PlannedReload) -> u64 {
        let PlannedReload { difference, certificates } = planned;
        // They tell of the same files in other words.
        let difference = ConfigDifference { warnings: Vec::new(), ..difference.clone() };
        // What is the same to look at may be another secret.
        self.versions.hash_one((loaded.to_toml(true), format!("{difference:?}"), certificates))
    }

    /// Loads everything once, and puts that in force.
    fn load_again(&self, shown: Option<u64>) -> Result<(Loaded, PutInForce), ReloadFailure> {
        let Some(shown) = shown else { return self.apps.reload(&self.reloader) };
        let is_as_shown = |loaded: &Loaded, planned: &PlannedReload| self.version(loaded, planned) == shown;
        self.apps.reload(&ReloadAsShown::new(&self.reloader, is_as_shown))
    }
}

impl ConfigFiles for FilesOfBroker {
    fn plan(&self) -> Result<ReloadPlan, ReloadRefusal> {
        let loaded = self.apps.would_load().map_err(|failure| complaint_of(&failure))?;
        let planned = self.reloader.plan(&loaded).map_err(|error| format!("heliostat: {error}"))?;
        let version = self.version(&loaded, &planned);
        Ok(ReloadPlan { difference: planned.difference, version })
    }

    /// Reads the configuration again from where it came. Tells the log.
    fn reload(&self, shown: Option<u64>) -> Result<String, ReloadRefusal> {
        let (loaded, done) = match self.load_again(shown) {
            Ok(reloaded) => reloaded,
            Err(ReloadFailure::Apps(AppsError::NotAsShown)) => {
                tracing::info!(target: PROGRAM, "the configuration was not reloaded: it is not what was shown");
                return Err(ReloadRefusal::NotAsShown);
            }
            Err(failure) => {
                let complaint = complaint_of(&failure);
                complaint.lines().for_each(|line| tracing::error!(target: PROGRAM, "{line}"));
                tracing::error!(target: PROGRAM, "the configuration was not reloaded; nothing has changed");
                return Err(complaint.into());
            }
        };
        tell(&loaded);
        self.apps_path.update(&loaded);
        let told = done.told;
        if done.needs_restart {
            tracing::warn!(target: PROGRAM, "configuration reloaded: {told}");
        } else {
            tracing::info!(target: PROGRAM, "configuration reloaded: {told}");
        }
        Ok(format!("ok: {told}"))
    }
}

/// Why the configuration was not put in force, in lines.
fn complaint_of(failure: &ReloadFailure) -> String {
    match failure {
        ReloadFailure::Config(errors) => complaint(errors).trim_end().to_owned(),
        ReloadFailure::Apps(AppsError::NotApplied(error)) => format!("heliostat: {error}"),
        ReloadFailure::Apps(error) => format!("heliostat: {error}"),
    }
}

/// Tells the log what is odd about the configuration.
pub(super) fn tell(loaded: &Loaded) {
    loaded.warnings.iter().for_each(|warning| tracing::warn!(target: PROGRAM, "{warning}"));
    for variable in &loaded.skipped {
        tracing::debug!(target: PROGRAM, variable, "skipped: it was made for a service whose name begins so");
    }
    if !loaded.unused.is_empty() {
        let variables = loaded.unused.join(" ");
        tracing::info!(target: PROGRAM, variables, "not read: the apps are those of a file");
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Tells that it has begun, and is done when it is told.
    struct HeldFiles {
        begin: mpsc::Sender<()>,
        released: Mutex<mpsc::Receiver<ControlAnswer>>,
    }

    impl ConfigFiles for HeldFiles {
        fn plan(&self) -> Result<ReloadPlan, ReloadRefusal> {
            Err(ReloadRefusal::NotAsShown)
        }

        fn reload(&self, _: Option<u64>) -> Result<String, ReloadRefusal> {
            self.begin.send(()).unwrap();
            Ok(self.released.lock().recv().unwrap()?)
        }
    }

    #[test]
    fn who_has_it_reloaded_goes_on_meanwhile_and_one_reload_comes_after_the_other() {
        let (begin, begun) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let released = Mutex::new(released);
        let reloads = Reloads::new(Supervision::default(), HeldFiles { begin, released });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut first, mut second) = (pin!(reloads.reload()), pin!(reloads.reload()));
            let context = &mut Context::from_waker(Waker::noop());
            assert_eq!(first.as_mut().poll(context), Poll::Pending);
            assert_eq!(second.as_mut().poll(context), Poll::Pending);
            begun.recv().unwrap();
            release.send(Ok("first".to_owned())).unwrap();
            assert_eq!(first.await, Ok("first".to_owned()));
            assert!(begun.try_recv().is_err(), "the second has waited");
            release.send(Err("second".to_owned())).unwrap();
            assert_eq!(second.await, Err("second".to_owned()));
            // Its thread finds nobody who would release it, and panics.
            drop(release);
            let third = reloads.reload().await.unwrap_err();
            assert!(third.contains("a fault of the program has ended the reload"), "{third}");
        });
    }
}
