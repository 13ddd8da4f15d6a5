//! What the guard lets through, phase by phase.

use super::*;

const BOUNDS: Bounds =
    Bounds { head: Duration::from_secs(10), idle: Duration::from_secs(75), unread_bytes: 100 };

#[test]
fn every_phase_but_that_of_a_request_ends() {
    let exchange = Exchange::new(Instant::now(), BOUNDS.unread_bytes);
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
    let exchange = Exchange::new(Instant::now(), BOUNDS.unread_bytes);
    exchange.begin(true);
    exchange.refuse(false);
    exchange.received(60);
    exchange.end();
    exchange.received(60);
    assert!(matches!(exchange.phase.get(), Phase::Refused { left: 0, answered: Some(_) }));
    assert!(exchange.deadline(&BOUNDS).is_some());
}

/// A peer that has always more to say, and takes whatever it is told.
#[derive(Debug, Default)]
struct Talker {
    told: Vec<u8>,
}

impl AsyncRead for Talker {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        buffer.put_slice(&vec![b'a'; room]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Talker {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.told.extend_from_slice(bytes);
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
    const IS_TLS: bool = false;

    fn reset_on_drop(&self) {}
}

fn guarded() -> Guarded<Talker> {
    let place = Arc::new(HttpConnections::new(0)).begin().unwrap();
    Guarded {
        stream: Talker::default(),
        exchange: Rc::new(Exchange::new(Instant::now(), BOUNDS.unread_bytes)),
        bounds: BOUNDS,
        timer: None,
        new: true,
        handed_on: 0,
        write_waits: false,
        peer: None,
        place,
    }
}

/// Reads until there is no more for now, as the HTTP server does. Returns how much that was.
fn read_all(guarded: &mut Guarded<Talker>, context: &mut Context<'_>, most: usize) -> usize {
    let mut room = vec![0; 8192];
    let mut bytes = 0;
    while bytes < most {
        let mut buffer = ReadBuf::new(&mut room);
        match Pin::new(&mut *guarded).poll_read(context, &mut buffer) {
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
    let (mut guarded, context) = (guarded(), &mut Context::from_waker(&waker));
    guarded.exchange.begin(true);
    assert!(read_all(&mut guarded, context, 1 << 20) >= 1 << 20, "a body that is wanted");
    guarded.exchange.set_body_read();
    let taken: usize = (0..100).map(|_| read_all(&mut guarded, context, 1 << 20)).sum();
    assert!(taken <= PIPELINED_BYTES + 8192, "{taken}");
    let before = wakes.0.load(Ordering::Relaxed);
    assert_eq!(read_all(&mut guarded, context, 1 << 20), 0);
    assert_eq!(wakes.0.load(Ordering::Relaxed), before, "it rests until the answer is complete");
    guarded.exchange.end();
    assert_eq!(wakes.0.load(Ordering::Relaxed), before + 1);
    // The first look may be at what was handed on before.
    let more: usize = (0..2).map(|_| read_all(&mut guarded, context, 1 << 20)).sum();
    assert!(more > 0);
}

#[tokio::test]
async fn a_head_is_looked_at_before_more_is_read() {
    let (mut guarded, context) = (guarded(), &mut Context::from_waker(Waker::noop()));
    // In reads of 8 KiB nothing is a piece by itself; in one of 32 KiB it is.
    let mut room = vec![0; 32 * 1024];
    let mut buffer = ReadBuf::new(&mut room);
    assert!(Pin::new(&mut guarded).poll_read(context, &mut buffer).is_ready());
    buffer.clear();
    assert!(Pin::new(&mut guarded).poll_read(context, &mut buffer).is_pending());
    assert!(Pin::new(&mut guarded).poll_read(context, &mut buffer).is_ready());
}

#[test]
fn whoever_is_late_with_a_head_is_told_unless_an_answer_is_in_the_way() {
    let context = &mut Context::from_waker(Waker::noop());
    let mut late = guarded();
    assert_eq!(late.end(context).kind(), io::ErrorKind::TimedOut);
    assert!(late.stream.told.starts_with(b"HTTP/1.1 408 "));
    let mut in_the_way = Guarded { write_waits: true, ..guarded() };
    in_the_way.end(context);
    let mut idle = guarded();
    idle.exchange.begin(false);
    idle.exchange.end();
    idle.end(context);
    assert!(in_the_way.stream.told.is_empty() && idle.stream.told.is_empty());
}

#[test]
fn a_place_is_given_back() {
    let connections = Arc::new(HttpConnections::new(1));
    let first = connections.begin();
    assert!(first.is_some() && connections.begin().is_none());
    drop(first);
    assert!(connections.begin().is_some());
}
