//! What the guard lets through, phase by phase.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use super::exchange::PIPELINED_BYTES;
use super::*;
use crate::net::idle::IdleList;
use crate::net::slots::ConnectionSlots;

const BOUNDS: ExchangeBounds = ExchangeBounds {
    head: Duration::from_secs(10),
    idle: Duration::from_secs(75),
    answer: Duration::from_secs(75),
    unread_bytes: 100,
};

fn exchange(idle: &IdleList) -> Exchange {
    Exchange::new(Instant::now(), BOUNDS.unread_bytes, idle.enter())
}

#[test]
fn every_phase_but_that_of_a_request_ends() {
    let exchange = exchange(&IdleList::default());
    assert!(exchange.deadline(&BOUNDS).is_some(), "the first head");
    exchange.begin(true);
    assert_eq!(exchange.deadline(&BOUNDS), None, "a request");
    exchange.end();
    let waiting = exchange.deadline(&BOUNDS).expect("a bound between requests");
    exchange.received(1);
    let head = exchange.deadline(&BOUNDS).expect("a bound for the second head");
    assert!(head < waiting);
    exchange.received(1);
    assert_eq!(exchange.deadline(&BOUNDS), Some(head), "further bytes gain no time");
}

#[test]
fn after_a_refusal_only_so_much_is_read() {
    let exchange = exchange(&IdleList::default());
    exchange.begin(true);
    exchange.refuse(false);
    exchange.received(60);
    exchange.end();
    exchange.received(60);
    assert!(matches!(exchange.phase(), ExchangePhase::Refused { left: 0, answered: Some(_) }));
    assert!(exchange.deadline(&BOUNDS).is_some());
}

/// A peer that has always more to say, and takes whatever it is told unless it is deaf.
#[derive(Debug, Default)]
struct Talker {
    answered: Vec<u8>,
    deaf: bool,
    /// It says nothing more.
    silent: bool,
    reset: Cell<bool>,
}

impl AsyncRead for Talker {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.silent {
            return Poll::Pending;
        }
        let room = buffer.remaining();
        buffer.put_slice(&vec![b'a'; room]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Talker {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Pending;
        }
        self.answered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Stream for Talker {
    fn keep_little_unsent(&self) {}

    const IS_TLS: bool = false;

    fn peer(&self) -> Option<std::net::SocketAddr> {
        None
    }

    fn reset_on_drop(&self) {
        self.reset.set(true);
    }
}

fn guarded_stream() -> GuardedStream<Talker> {
    guarded_in(&IdleList::default())
}

fn guarded_in(idle: &IdleList) -> GuardedStream<Talker> {
    GuardedStream {
        stream: Talker::default(),
        exchange: Rc::new(exchange(idle)),
        bounds: BOUNDS,
        timer: None,
        new: true,
        handed_on: 0,
        write_waits: None,
        reading_waits: false,
        peers: ConnectionPeers::default(),
        slot: HttpSlot::of(&Arc::new(ConnectionSlots::new(0, 2, 1))),
        upgrade_task: UpgradeTask::default(),
    }
}

/// Reads until there is no more for now, as the HTTP server does. Returns how much that was.
fn read_all(guarded_stream: &mut GuardedStream<Talker>, context: &mut Context<'_>, most: usize) -> usize {
    let mut room = vec![0; 8192];
    let mut bytes = 0;
    while bytes < most {
        let mut buffer = ReadBuf::new(&mut room);
        match Pin::new(&mut *guarded_stream).poll_read(context, &mut buffer) {
            Poll::Ready(read) => read.unwrap(),
            Poll::Pending => break,
        }
        bytes += buffer.filled().len();
    }
    bytes
}

/// What wakes a task, as far as this test is concerned: it counts.
#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn while_a_request_is_answered_little_of_further_ones_is_taken() {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let (mut guarded_stream, context) = (guarded_stream(), &mut Context::from_waker(&waker));
    guarded_stream.exchange.begin(true);
    assert!(read_all(&mut guarded_stream, context, 1 << 20) >= 1 << 20, "a body that is wanted");
    guarded_stream.exchange.set_body_read();
    let taken: usize = (0..100).map(|_| read_all(&mut guarded_stream, context, 1 << 20)).sum();
    assert!(taken <= PIPELINED_BYTES + 8192, "{taken}");
    let before = wakes.0.load(Ordering::Relaxed);
    assert_eq!(read_all(&mut guarded_stream, context, 1 << 20), 0);
    assert_eq!(wakes.0.load(Ordering::Relaxed), before, "it rests until the answer is complete");
    guarded_stream.exchange.end();
    assert_eq!(wakes.0.load(Ordering::Relaxed), before + 1);
    // The first look may be at what was handed on before.
    let more: usize = (0..2).map(|_| read_all(&mut guarded_stream, context, 1 << 20)).sum();
    assert!(more > 0);
}

#[tokio::test]
async fn a_head_is_looked_at_before_more_is_read() {
    let (mut guarded_stream, context) = (guarded_stream(), &mut Context::from_waker(Waker::noop()));
    // In reads of 8 KiB nothing is a piece by itself; in one of 32 KiB it is.
    let mut room = vec![0; 32 * 1024];
    let mut buffer = ReadBuf::new(&mut room);
    assert!(Pin::new(&mut guarded_stream).poll_read(context, &mut buffer).is_ready());
    buffer.clear();
    assert!(Pin::new(&mut guarded_stream).poll_read(context, &mut buffer).is_pending());
    assert!(Pin::new(&mut guarded_stream).poll_read(context, &mut buffer).is_ready());
}

#[test]
fn whoever_is_late_with_a_head_is_told_unless_an_answer_is_in_the_way() {
    let context = &mut Context::from_waker(Waker::noop());
    let mut late = guarded_stream();
    assert_eq!(late.end(context).kind(), io::ErrorKind::TimedOut);
    assert!(late.stream.answered.starts_with(b"HTTP/1.1 408 "));
    let mut in_the_way = GuardedStream { write_waits: Some(Instant::now()), ..guarded_stream() };
    in_the_way.end(context);
    let mut idle = guarded_stream();
    idle.exchange.begin(false);
    idle.exchange.end();
    idle.end(context);
    assert!(in_the_way.stream.answered.is_empty() && idle.stream.answered.is_empty());
}

/// Each phase, by what leads there, and whether whoever is in it gives way.
#[test]
fn nobody_gives_way_in_the_middle_of_a_request() {
    type Step = fn(&Exchange);
    let steps: [(&str, Step, bool); 9] = [
        ("a wanted body", |exchange| exchange.begin(true), false),
        ("an answer", Exchange::set_body_read, false),
        ("between two requests", Exchange::end, true),
        ("a second head", |exchange| exchange.received(1), true),
        ("a request without a body", |exchange| exchange.begin(false), false),
        ("between two requests", Exchange::end, true),
        ("a body", |exchange| exchange.begin(true), false),
        ("a refused body", |exchange| exchange.refuse(false), false),
        ("what is left of a refused body", Exchange::end, true),
    ];
    let idle = IdleList::default();
    let exchange = exchange(&idle);
    assert_eq!(idle.len(), 0, "nobody has looked yet");
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..2 {
        assert!(exchange.poll_evicted(context).is_pending());
    }
    assert_eq!(idle.len(), 1, "the first head");
    for (name, step, gives_way) in steps {
        step(&exchange);
        assert!(exchange.poll_evicted(context).is_pending());
        assert_eq!(idle.len(), usize::from(gives_way), "{name}");
    }
}

#[tokio::test]
async fn whoever_is_evicted_is_woken_and_ended() {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let context = &mut Context::from_waker(&waker);
    let idle = IdleList::default();
    let mut guarded_stream = guarded_in(&idle);
    guarded_stream.exchange.begin(false);
    while read_all(&mut guarded_stream, context, 1 << 20) > 0 {}
    assert!(!idle.evict_longest(), "a request is under way");
    guarded_stream.exchange.end();
    let before = wakes.0.load(Ordering::Relaxed);
    assert!(idle.evict_longest());
    assert_eq!(wakes.0.load(Ordering::Relaxed), before + 1);
    let read = Pin::new(&mut guarded_stream).poll_read(context, &mut ReadBuf::new(&mut [0; 16]));
    assert!(matches!(read, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted));
    assert!(matches!(Pin::new(&mut guarded_stream).poll_write(context, b"x"), Poll::Ready(Err(_))));
}

#[tokio::test]
async fn nothing_more_is_read_of_whoever_takes_no_answer() {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let context = &mut Context::from_waker(&waker);
    let mut guarded_stream = guarded_stream();
    guarded_stream.exchange.begin(false);
    guarded_stream.exchange.end();
    guarded_stream.stream.deaf = true;
    assert!(Pin::new(&mut guarded_stream).poll_write(context, b"an answer").is_pending());
    for _ in 0..100 {
        assert_eq!(read_all(&mut guarded_stream, context, 1 << 20), 0);
    }
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "it rests until the answer is taken");
    guarded_stream.stream.deaf = false;
    assert!(Pin::new(&mut guarded_stream).poll_write(context, b"an answer").is_ready());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(read_all(&mut guarded_stream, context, 1 << 20) > 0);
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_the_connection() {
    type Step = fn(&Exchange);
    let steps: [(&str, Step); 3] = [
        ("an answer that goes on", |exchange| exchange.begin(false)),
        ("a body", |exchange| exchange.begin(true)),
        ("a refused body", |exchange| exchange.refuse(true)),
    ];
    for (name, step) in steps {
        let mut guarded_stream = guarded_stream();
        guarded_stream.bounds.answer = Duration::from_millis(1);
        step(&guarded_stream.exchange);
        guarded_stream.stream.deaf = true;
        let written = poll_fn(|context| Pin::new(&mut guarded_stream).poll_write(context, b"an answer"));
        let written = tokio::time::timeout(Duration::from_secs(10), written).await.expect(name);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut, "{name}");
        assert!(guarded_stream.stream.reset.get(), "what was sent is not kept for it: {name}");
    }
}

/// The HTTP server asks only at the beginning of a turn whether there is something to read. So a bound that begins later
/// has to be looked for without being asked.
#[test]
fn the_time_between_two_requests_ends_however_long_the_one_before_took() {
    let bounds =
        ExchangeBounds { head: Duration::from_millis(20), idle: Duration::from_millis(60), ..BOUNDS };
    // An answer at once, and one that takes longer than the bound of a head, and than that between two requests.
    for answered_after in [Duration::ZERO, Duration::from_millis(30), Duration::from_millis(90)] {
        actix_web::rt::System::new().block_on(async move {
            let stream = Talker { silent: true, ..Talker::default() };
            let mut guarded = GuardedStream { stream, bounds, ..guarded_stream() };
            let exchange = guarded.exchange();
            let mut answer = Box::pin(tokio::time::sleep(answered_after));
            let (mut began, mut answered) = (false, false);
            // A task of its own, which is polled only if it is woken.
            let ended = actix_web::rt::spawn(poll_fn(move |context| {
                let mut room = [0; 16];
                let read = Pin::new(&mut guarded).poll_read(context, &mut ReadBuf::new(&mut room));
                if read.is_pending() && !began {
                    began = true;
                    exchange.begin(false);
                }
                if !answered && answer.as_mut().poll(context).is_ready() {
                    answered = true;
                    exchange.end();
                }
                read.map(|read| (read.map_err(|error| error.kind()), answered))
            }));
            let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
            let (read, answered) = ended.expect("it goes on for ever").unwrap();
            assert_eq!(read, Err(io::ErrorKind::TimedOut));
            assert!(answered, "in the middle of the request");
        });
    }
}
