//! Runs one hook: the listener queues events for it, and a thread of its own has it hear them.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tracing::{error, warn};

use crate::connection::RateLimit;
use crate::hub::{AppState, Hub, Listener, Notice};
use crate::pipe::Context;
use crate::protocol::ChannelName;

use super::queue::HookQueue;
use super::{Failure, OwnedMessage, Pipe, PipeCounts};

/// Failures, panics and losses of one hook that are logged in a second, of each kind.
const LOGGED_PER_SECOND: u32 = 1;

/// How often a hook looks whether the broker has caught up, while it is behind.
const CONGESTION_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A hook that has not been started.
pub(crate) struct Hook {
    /// What the hub tells of events.
    pub(crate) listener: Arc<dyn Listener>,
    state: Arc<HookState>,
    thread_body: Box<dyn FnOnce() + Send>,
}

/// Reads what a hook has done, and what waits for it.
#[derive(Clone)]
pub(crate) struct HookFigures(Arc<HookState>);

impl HookFigures {
    /// What became of its events so far.
    pub(crate) fn counts(&self) -> PipeCounts {
        self.0.counters.read()
    }

    /// How many wait for it, and their bytes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        self.0.queue.lock().size()
    }
}

/// A hook at work.
pub(crate) struct RunningHook {
    state: Arc<HookState>,
    ended: oneshot::Receiver<()>,
}

/// What the listener and the thread of a hook share.
struct HookState {
    queue: Mutex<HookQueue<Context<'static>>>,
    arrived: Notify,
    closed: AtomicBool,
    counters: HookCounters,
    logged: Mutex<RateLimit>,
}

/// Counters of what became of a hook's events.
#[derive(Default)]
struct HookCounters {
    heard: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    timed_out: AtomicU64,
}

/// How a hook's handling of one event ended.
enum HearingOutcome {
    Heard,
    Failed(Failure),
    Panicked,
    TimedOut,
}

impl Hook {
    /// The hook of a pipe.
    pub(crate) fn new(pipe: impl Pipe) -> Self {
        let settings = pipe.settings();
        let pipe = Arc::new(pipe);
        let state = Arc::new(HookState {
            queue: Mutex::new(HookQueue::new(settings)),
            arrived: Notify::new(),
            closed: AtomicBool::new(false),
            counters: HookCounters::default(),
            logged: Mutex::new(RateLimit::per_second(LOGGED_PER_SECOND)),
        });
        let listener = Arc::new(HookListener { pipe: Arc::clone(&pipe), state: Arc::clone(&state) });
        let thread_body = {
            let state = Arc::clone(&state);
            Box::new(move || run(&*pipe, &state, settings.timeout))
        };
        Hook { listener, state, thread_body }
    }

    /// What became of its events so far.
    pub(crate) fn counts(&self) -> impl Fn() -> PipeCounts + Send + Sync + use<> {
        let state = Arc::clone(&self.state);
        move || state.counters.read()
    }

    /// The same, with how many events wait for it, and their bytes.
    pub(crate) fn figures(&self) -> HookFigures {
        HookFigures(Arc::clone(&self.state))
    }

    /// Starts its thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(self) -> io::Result<RunningHook> {
        let Hook { state, thread_body, .. } = self;
        let (done, ended) = oneshot::channel();
        // Not joined: a hook that blocks must not keep the broker from ending.
        thread::Builder::new().name("heliostat-hook".to_owned()).spawn(move || {
            thread_body();
            // Nobody may wait for it.
            let _ = done.send(());
        })?;
        Ok(RunningHook { state, ended })
    }
}

impl RunningHook {
    /// Lets the hook hear what waits, and waits until it has.
    pub(crate) async fn stop(self) {
        self.state.closed.store(true, Ordering::Release);
        self.state.arrived.notify_one();
        // An error means that the thread ended by a panic.
        let _ = self.ended.await;
    }
}

/// The listener of a hook, which the hub tells of events.
struct HookListener<P> {
    pipe: Arc<P>,
    state: Arc<HookState>,
}

impl<P: Pipe> HookListener<P> {
    /// Asks the pipe a question; one that panics has answered no.
    fn ask_pipe(&self, question: impl FnOnce(&P) -> bool) -> bool {
        catch_unwind(AssertUnwindSafe(|| question(&self.pipe))).unwrap_or_else(|_| {
            self.state.counters.panicked.fetch_add(1, Ordering::Relaxed);
            if self.state.may_log() {
                error!("a pipe panicked when it was asked whether it listens; that counts as a no");
            }
            false
        })
    }
}

impl<P: Pipe> Listener for HookListener<P> {
    fn listens(&self, channel: Option<&str>, event: &str) -> bool {
        self.ask_pipe(|pipe| pipe.listens(channel, event))
    }

    fn listens_to_clients(&self) -> bool {
        true
    }

    fn notice(&self, hub: &Arc<Hub>, app: &Arc<AppState>, notice: &Notice<'_>) {
        let Notice::Event(event) = notice else { return };
        let channel = event.channel().map(ChannelName::as_str);
        if !self.ask_pipe(|pipe| pipe.hears(&event.source, channel, &event.name)) {
            return;
        }
        let message = OwnedMessage::of(event);
        let lost = self.state.queue.lock().push(message, Context::borrowed(hub, app).into_owned());
        self.state.arrived.notify_one();
        if lost > 0 {
            let dropped = self.state.counters.dropped.fetch_add(lost, Ordering::Relaxed) + lost;
            if self.state.may_log() {
                warn!(
                    app = app.id(),
                    event = &*event.name,
                    dropped,
                    "a pipe cannot keep up; events are lost to it"
                );
            }
        }
    }
}

impl HookState {
    /// Waits for the next event; `None` if there will be none.
    async fn next(&self) -> Option<(OwnedMessage, Context<'static>)> {
        loop {
            if let Some(next) = self.queue.lock().pop() {
                return Some(next);
            }
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            self.arrived.notified().await;
        }
    }

    fn may_log(&self) -> bool {
        self.logged.lock().admit(Instant::now())
    }
}

impl HookCounters {
    fn read(&self) -> PipeCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        PipeCounts {
            heard: read(&self.heard),
            dropped: read(&self.dropped),
            failed: read(&self.failed),
            panicked: read(&self.panicked),
            timed_out: read(&self.timed_out),
        }
    }
}

/// The life of the thread.
fn run(pipe: &impl Pipe, state: &HookState, timeout: Duration) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error!(%error, "a pipe has no runtime and hears nothing"),
    };
    runtime.block_on(async {
        while let Some((message, context)) = state.next().await {
            while context.is_congested() {
                tokio::time::sleep(CONGESTION_POLL_INTERVAL).await;
            }
            let app = context.app().id.clone();
            let event = message.event.clone();
            let outcome = hear(pipe, message, context, timeout).await;
            record_outcome(state, &app, &event, outcome, timeout);
        }
    });
}

/// Has the pipe hear one event.
async fn hear(
    pipe: &impl Pipe,
    message: OwnedMessage,
    context: Context<'static>,
    timeout: Duration,
) -> HearingOutcome {
    // The call itself may panic, before there is anything to poll.
    let Ok(hearing) = catch_unwind(AssertUnwindSafe(|| pipe.hear(message, context))) else {
        return HearingOutcome::Panicked;
    };
    let mut hearing = pin!(hearing);
    let guarded = poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| hearing.as_mut().poll(task))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Ok(()))) => Poll::Ready(HearingOutcome::Heard),
        Ok(Poll::Ready(Err(failure))) => Poll::Ready(HearingOutcome::Failed(failure)),
        Err(_) => Poll::Ready(HearingOutcome::Panicked),
    });
    tokio::time::timeout(timeout, guarded).await.unwrap_or(HearingOutcome::TimedOut)
}

fn record_outcome(state: &HookState, app: &str, event: &str, outcome: HearingOutcome, timeout: Duration) {
    let HookCounters { heard, failed, panicked, timed_out, .. } = &state.counters;
    let count = match &outcome {
        HearingOutcome::Heard => heard,
        HearingOutcome::Failed(_) => failed,
        HearingOutcome::Panicked => panicked,
        HearingOutcome::TimedOut => timed_out,
    };
    let count = count.fetch_add(1, Ordering::Relaxed) + 1;
    match outcome {
        HearingOutcome::Heard => {}
        _ if !state.may_log() => {}
        HearingOutcome::Failed(reason) => warn!(app, event, count, %reason, "a pipe failed"),
        HearingOutcome::Panicked => error!(app, event, count, "a pipe panicked; the event is lost to it"),
        HearingOutcome::TimedOut => {
            warn!(app, event, count, ?timeout, "a pipe took too long and was stopped")
        }
    }
}
