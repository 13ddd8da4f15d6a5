//! Queues lines for standard error. Logging never waits: a thread of its own writes, and what it cannot write
//! in time is dropped, counted, and told once there is room.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing::{Level, Metadata};

use super::line::{LineStyle, LogLine};
use super::line_limits::{LineLimits, REPORT_INTERVAL};

/// Bytes that may wait to be written.
const WAITING_BYTES: usize = 1 << 20;

/// How soon a descriptor is tried again that takes nothing now and was made not to block.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// The queue of lines for standard error.
#[derive(Debug)]
pub(super) struct LineQueue {
    style: LineStyle,
    state: Mutex<LineQueueState>,
    /// Told when something is there to be written.
    filled: Condvar,
    /// Told when all is written.
    emptied: Condvar,
}

/// Lines of the log that were not written, since the start, and what waits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogCounts {
    /// Dropped because nobody read standard error in time.
    pub(crate) dropped: u64,
    /// Left out because their place in the program had said as much before.
    pub(crate) left_out: u64,
    /// Bytes that wait to be written.
    pub(crate) waiting_bytes: usize,
}

/// What waits to be written, and what could not.
#[derive(Debug, Default)]
struct LineQueueState {
    waiting: Vec<u8>,
    /// Lines that found no room, and were not told of yet.
    dropped: u64,
    counts: LogCounts,
    limits: LineLimits,
    /// When what was left out is reported.
    report_at: Option<Instant>,
    is_writing: bool,
}

impl LineQueue {
    pub(super) fn new(style: LineStyle) -> Self {
        LineQueue { style, state: Mutex::default(), filled: Condvar::new(), emptied: Condvar::new() }
    }

    /// Whether an event of this kind may be told now; if not, it is counted.
    pub(super) fn admit(&self, metadata: &'static Metadata<'static>) -> bool {
        let mut state = self.state.lock();
        let had_unreported = state.limits.has_unreported();
        let admitted = state.limits.admit(metadata, Instant::now());
        state.counts.left_out += u64::from(!admitted);
        if !had_unreported && state.limits.has_unreported() {
            self.filled.notify_one();
        }
        admitted
    }

    /// Takes a line, or drops it.
    pub(super) fn push(&self, line: &LogLine) {
        let line = line.write(self.style);
        let mut state = self.state.lock();
        if state.waiting.len() + line.len() > WAITING_BYTES {
            state.dropped += 1;
            state.counts.dropped += 1;
            return;
        }
        let was_empty = state.waiting.is_empty();
        state.waiting.extend_from_slice(line.as_bytes());
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// What was not written, and what waits.
    pub(super) fn counts(&self) -> LogCounts {
        let state = self.state.lock();
        LogCounts { waiting_bytes: state.waiting.len(), ..state.counts }
    }

    /// Waits until all is written, or for so long.
    pub(super) fn flush(&self, longest: Duration) {
        let mut state = self.state.lock();
        state.report_left_out(self.style);
        self.filled.notify_one();
        let is_busy =
            |state: &mut LineQueueState| state.is_writing || !state.waiting.is_empty() || state.dropped > 0;
        self.emptied.wait_while_for(&mut state, is_busy, longest);
    }

    /// Waits for something to be written, and takes it.
    fn take(&self) -> Vec<u8> {
        let mut state = self.state.lock();
        state.is_writing = false;
        loop {
            state.report_dropped(self.style);
            let now = Instant::now();
            // Also while there is always something else to be written.
            let report_at = state.report_at(now);
            if report_at.is_some_and(|report_at| report_at <= now) {
                state.report_left_out(self.style);
            }
            if !state.waiting.is_empty() {
                state.is_writing = true;
                return std::mem::take(&mut state.waiting);
            }
            self.emptied.notify_all();
            let Some(report_at) = report_at else {
                self.filled.wait(&mut state);
                continue;
            };
            let _ = self.filled.wait_for(&mut state, report_at.saturating_duration_since(now));
        }
    }
}

impl LineQueueState {
    fn report_dropped(&mut self, style: LineStyle) {
        if self.dropped > 0 {
            let text = "lines of the log were dropped: nobody read standard error in time";
            let line = LogLine::new(Level::WARN, module_path!(), text).with("dropped", self.dropped);
            self.waiting.extend_from_slice(line.write(style).as_bytes());
            self.dropped = 0;
        }
    }

    /// When what was left out is to be reported, if something was.
    fn report_at(&mut self, now: Instant) -> Option<Instant> {
        let unreported = self.limits.has_unreported();
        unreported.then(|| *self.report_at.get_or_insert(now + REPORT_INTERVAL))
    }

    fn report_left_out(&mut self, style: LineStyle) {
        self.report_at = None;
        for line in self.limits.take_left_out_lines() {
            self.waiting.extend_from_slice(line.write(style).as_bytes());
        }
    }
}

/// Starts the thread that writes. It ends with the program.
pub(super) fn spawn_writer(
    queue: Arc<LineQueue>,
    mut out: impl Write + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        loop {
            let lines = queue.take();
            write_out(&mut out, &lines);
        }
    })
}

/// Writes as much as will ever be taken. Nothing can be said about what is not: there is no other place to say it.
#[expect(clippy::disallowed_methods, reason = "this thread writes the log and does nothing else")]
fn write_out(out: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return,
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_INTERVAL),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Hands on what is written; does not return before that is taken.
    struct Slow(SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(message: &str) -> LogLine {
        LogLine::new(Level::INFO, "heliostat", message)
    }

    fn read_until(end: &str, reader: &Receiver<Vec<u8>>) -> String {
        let mut all = String::new();
        while !all.contains(end) {
            all.push_str(&String::from_utf8(reader.recv().unwrap()).unwrap());
        }
        all
    }

    #[test]
    fn whoever_logs_never_waits_and_what_was_dropped_is_told() {
        let (writer, reader) = sync_channel(0);
        let queue = Arc::new(LineQueue::new(LineStyle::Plain));
        spawn_writer(Arc::clone(&queue), Slow(writer)).unwrap();
        let text = "x".repeat(1000);
        (0..5000).for_each(|_| queue.push(&line(&text)));
        assert!(queue.state.lock().waiting.len() <= WAITING_BYTES);
        assert!(queue.state.lock().dropped > 0);
        // Nobody reads yet; the end does not hang.
        queue.flush(Duration::from_millis(1));
        let all = read_until("dropped=", &reader);
        let dropped: u64 = all.rsplit_once("dropped=").unwrap().1.trim().parse().unwrap();
        assert_eq!(all.matches(&text).count() as u64 + dropped, 5000);
        queue.push(&line("again"));
        read_until("again", &reader);
        queue.flush(Duration::from_secs(20));
        assert!(queue.state.lock().waiting.is_empty());
    }

    #[test]
    fn what_was_left_out_is_told_while_there_is_always_something_to_write() {
        let queue = LineQueue::new(LineStyle::Plain);
        let burst = || tracing::info_span!("burst").metadata();
        let metadata = tracing::subscriber::with_default(tracing_subscriber::registry(), burst).unwrap();
        while queue.admit(metadata) {}
        let began = Instant::now();
        loop {
            queue.push(&line("something else"));
            if String::from_utf8(queue.take()).unwrap().contains("left_out=") {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it waits for a rest");
            thread::yield_now();
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_reason_to_stop() {
        let (writer, reader) = sync_channel(0);
        drop(reader);
        let queue = Arc::new(LineQueue::new(LineStyle::Plain));
        let thread = spawn_writer(Arc::clone(&queue), Slow(writer)).unwrap();
        for _ in 0..100 {
            queue.push(&line("x"));
            queue.flush(Duration::from_secs(20));
        }
        assert!(queue.state.lock().waiting.is_empty());
        assert!(!thread.is_finished());
    }
}
