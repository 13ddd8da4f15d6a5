//! Has a running broker read its configuration again, on a thread of its own: the thread that hears signals, and tells the
//! service manager that the broker lives, waits for no disk, and for nobody else who changes the apps.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::answers::complaint;
use crate::app_admin::{AppsError, ManagedApps, ReloadFailure};
use crate::config::Loaded;
use crate::server::control::ControlAnswer;
use crate::server::{Reloader, Supervision};

/// What the log names as the source of these lines: the program itself.
const PROGRAM: &str = "heliostat";

/// The reloads of a broker. One at a time, in the order in which they are asked for.
pub(super) struct Reloads<R> {
    supervision: Supervision,
    reload: Arc<R>,
    turn: Semaphore,
}

impl<R: Fn() -> ControlAnswer + Send + Sync + 'static> Reloads<R> {
    /// Nothing has been reloaded so far; this does it, however long it takes.
    pub(super) fn new(supervision: Supervision, reload: R) -> Self {
        Reloads { supervision, reload: Arc::new(reload), turn: Semaphore::new(1) }
    }

    /// Reloads once more; returns what to tell whoever asked. Where the broker ends meanwhile, nobody waits for it.
    pub(super) async fn reload(&self) -> ControlAnswer {
        let _turn = self.turn.acquire().await;
        let reload = Arc::clone(&self.reload);
        self.supervision.reloading(on_its_own_thread(move || reload())).await
    }
}

/// Does this on a thread that nobody waits for, but whoever wants the answer.
async fn on_its_own_thread(work: impl FnOnce() -> ControlAnswer + Send + 'static) -> ControlAnswer {
    let (done, answer) = oneshot::channel();
    let begun = thread::Builder::new().name("reload".to_owned()).spawn(move || {
        // Whoever asked may have gone.
        let _ = done.send(work());
    });
    if let Err(error) = begun {
        let complaint = format!("the configuration was not reloaded: there is no thread for it: {error}");
        tracing::error!(target: PROGRAM, "{complaint}");
        return Err(format!("heliostat: {complaint}"));
    }
    let died =
        |_| Err("heliostat: a fault of the program has ended the reload; the log tells how".to_owned());
    answer.await.unwrap_or_else(died)
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

/// Reads the configuration again from where it came, and puts in force what can be. Tells the log; returns what to
/// tell whoever asked.
pub(super) fn reload(apps: &ManagedApps, apps_path: &AppsPath, reloader: &Reloader) -> ControlAnswer {
    let failed = |complaint: String| {
        complaint
            .lines()
            .filter(|line| !line.is_empty())
            .for_each(|line| tracing::error!(target: PROGRAM, "{line}"));
        tracing::error!(target: PROGRAM, "the configuration was not reloaded; nothing has changed");
        Err(complaint.trim_end().to_owned())
    };
    let (loaded, done) = match apps.reload(reloader) {
        Ok(reloaded) => reloaded,
        Err(ReloadFailure::Config(errors)) => return failed(complaint(&errors)),
        Err(ReloadFailure::Apps(AppsError::NotApplied(error))) => {
            return failed(format!("heliostat: {error}\n"));
        }
        Err(ReloadFailure::Apps(error)) => return failed(format!("heliostat: {error}\n")),
    };
    tell(&loaded);
    apps_path.update(&loaded);
    let told = done.told;
    if done.needs_restart {
        tracing::warn!(target: PROGRAM, "configuration reloaded: {told}");
    } else {
        tracing::info!(target: PROGRAM, "configuration reloaded: {told}");
    }
    Ok(format!("ok: {told}"))
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

    #[test]
    fn who_has_it_reloaded_goes_on_meanwhile_and_one_reload_comes_after_the_other() {
        let (begin, begun) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let released = Mutex::new(released);
        let work = move || {
            begin.send(()).unwrap();
            released.lock().recv().unwrap()
        };
        let reloads = Reloads::new(Supervision::default(), work);
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
