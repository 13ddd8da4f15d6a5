//! A slow line in front of a broker: what it sends is carried on at a rate, through a buffer, with a delay, and not at all for a while now
//! and then. What clients send has the delay alone.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::{Target, keep_pace};

/// What the kernel holds on the broker's side, where little waits in the line, and what is read at once.
const KERNEL_BYTES: usize = 8 * 1024;

/// In a line with so much room more waits than in the kernel. There its buffer is as it is: with a small one whatever is longer than
/// that takes some hundreds of milliseconds, as the broker's kernel asks that seldom whether there is room again.
const MUCH_ROOM: usize = 1024 * 1024;
const CHUNK_BYTES: usize = 4 * 1024;

/// How a line is.
#[derive(Clone, Copy, Debug)]
pub struct LineTerms {
    /// What it takes each second; none if it takes everything.
    pub bytes_per_second: Option<u32>,
    /// Bytes that wait in it; then it reads no more.
    pub buffer: usize,
    /// How long everything is on its way, in each direction.
    pub delay: Duration,
    /// Nothing gets through for so long, at the end of each time so long.
    pub stalls: Option<(Duration, Duration)>,
}

/// A line that is there. Dropping it ends its connections.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    /// It is to end.
    ends: Arc<Mutex<bool>>,
}

/// What is on its way in one direction.
#[derive(Debug, Default)]
struct Buffered {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    has_ended: bool,
}

#[derive(Debug, Default)]
struct Way {
    buffered: Mutex<Buffered>,
    changed: Condvar,
}

impl Line {
    /// A line to a target.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn to(target: &Target, terms: LineTerms) -> (Line, Target) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let line = Line { address, connections: Arc::default(), ends: Arc::default() };
        let (connections, ends) = (Arc::clone(&line.connections), Arc::clone(&line.ends));
        let to = target.port;
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                if *lock(&ends) {
                    return;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                if terms.buffer < MUCH_ROOM {
                    let _ = SockRef::from(&far).set_recv_buffer_size(KERNEL_BYTES);
                }
                for stream in [&near, &far] {
                    let _ = stream.set_nodelay(true);
                    lock(&connections).extend(stream.try_clone());
                }
                let up = LineTerms { bytes_per_second: None, buffer: 1 << 20, stalls: None, ..terms };
                for (from, into, terms) in
                    [(far.try_clone(), near.try_clone(), terms), (Ok(near), Ok(far), up)]
                {
                    let (Ok(from), Ok(into)) = (from, into) else { continue };
                    carry(from, into, terms);
                }
            }
        });
        let mut through = target.clone();
        through.port = address.port();
        (line, through)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        *lock(&self.ends) = true;
        for connection in lock(&self.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries what comes in one direction, on two threads.
fn carry(mut from: TcpStream, into: TcpStream, terms: LineTerms) {
    let way = Arc::<Way>::default();
    let reading = Arc::clone(&way);
    thread::spawn(move || {
        let mut bytes = [0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let mut buffered = lock(&reading.buffered);
            while buffered.bytes > 0 && buffered.bytes + count > terms.buffer && !buffered.has_ended {
                buffered = reading.changed.wait(buffered).unwrap_or_else(PoisonError::into_inner);
            }
            if buffered.has_ended {
                break;
            }
            buffered.bytes += count;
            buffered.chunks.push_back((Instant::now() + terms.delay, bytes[..count].to_vec()));
            reading.changed.notify_all();
        }
        lock(&reading.buffered).has_ended = true;
        reading.changed.notify_all();
        let _ = from.shutdown(Shutdown::Both);
    });
    thread::spawn(move || hand_on(&way, into, terms));
}

fn hand_on(way: &Way, mut into: TcpStream, terms: LineTerms) {
    let began = Instant::now();
    let mut free = began;
    loop {
        let (ready, chunk) = {
            let mut buffered = lock(&way.buffered);
            loop {
                if let Some(next) = buffered.chunks.pop_front() {
                    break next;
                }
                if buffered.has_ended {
                    let _ = into.shutdown(Shutdown::Both);
                    return;
                }
                buffered = way.changed.wait(buffered).unwrap_or_else(PoisonError::into_inner);
            }
        };
        let mut at = ready.max(free);
        if let Some(rate) = terms.bytes_per_second {
            // What was late by this machine's fault is made up for, within a tenth of a second.
            let earliest = Instant::now().checked_sub(Duration::from_millis(100)).unwrap_or(began);
            at = at.max(earliest) + Duration::from_secs_f64(chunk.len() as f64 / f64::from(rate));
            free = at;
        }
        if let Some((every, length)) = terms.stalls {
            let within = at.saturating_duration_since(began).as_millis() % every.as_millis();
            let stalled = (every - length).as_millis();
            if within >= stalled {
                at += Duration::from_millis(u64::try_from(every.as_millis() - within).unwrap_or_default());
            }
        }
        keep_pace(at);
        let is_written = into.write_all(&chunk).is_ok();
        let mut buffered = lock(&way.buffered);
        // It has been in the line until now.
        buffered.bytes -= chunk.len();
        buffered.has_ended |= !is_written;
        drop(buffered);
        way.changed.notify_all();
        if !is_written {
            return;
        }
    }
}
