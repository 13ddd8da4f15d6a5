//! A TCP forwarder between a node and its engine, which can cut connections, stall them, and lead elsewhere.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A forwarder that is running. Dropping it ends its connections.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// The port that new connections lead to.
    to: u16,
    connections: Vec<TcpStream>,
    /// The nodes' ends of them.
    near: Vec<TcpStream>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Passing,
    /// What comes is held back; nothing is lost.
    Stalled,
    /// There are no connections, and new ones end at once.
    Cut,
    Ended,
}

impl Forwarder {
    /// Starts a forwarder to this port.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start(to: u16) -> Forwarder {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = State { mode: Mode::Passing, to, connections: Vec::new(), near: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (mode, to) = {
                    let state = serving.lock();
                    (state.mode, state.to)
                };
                match mode {
                    Mode::Ended => return,
                    Mode::Cut => drop(stream),
                    Mode::Passing | Mode::Stalled => serving.connect(stream, to),
                }
            }
        });
        Forwarder { address, shared }
    }

    /// The port it listens on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Ends all connections, and every new one at once.
    pub fn cut(&self) {
        self.shared.set(Mode::Cut);
    }

    /// Ends all connections; new ones are as before.
    pub fn reset(&self) {
        self.shared.end_connections();
    }

    /// Holds back what comes, in both directions, as a network does that loses packets.
    pub fn stall(&self) {
        self.shared.set(Mode::Stalled);
    }

    /// Goes on.
    pub fn heal(&self) {
        self.shared.set(Mode::Passing);
    }

    /// Says this to the node on every connection that there is, as if the engine had.
    pub fn inject(&self, bytes: &[u8]) {
        let near: Vec<_> =
            self.shared.lock().near.iter().filter_map(|stream| stream.try_clone().ok()).collect();
        for mut stream in near {
            // A connection that has ended is not spoken to.
            let _ = stream.write_all(bytes);
        }
    }

    /// Leads new connections to another port, and ends those that there are.
    pub fn lead_to(&self, port: u16) {
        self.shared.lock().to = port;
        self.shared.end_connections();
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.set(Mode::Ended);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mode: Mode) {
        self.lock().mode = mode;
        self.changed.notify_all();
        if matches!(mode, Mode::Cut | Mode::Ended) {
            self.end_connections();
        }
    }

    fn end_connections(&self) {
        let mut state = self.lock();
        state.near.clear();
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Joins a connection with one of its own to the port.
    fn connect(self: &Arc<Self>, near: TcpStream, to: u16) {
        let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { return };
        for stream in [&near, &far] {
            let _ = stream.set_nodelay(true);
            let Ok(handle) = stream.try_clone() else { return };
            self.lock().connections.push(handle);
        }
        if let Ok(handle) = near.try_clone() {
            self.lock().near.push(handle);
        }
        for (from, into) in [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))] {
            let (Ok(from), Ok(into)) = (from, into) else { return };
            let shared = Arc::clone(self);
            thread::spawn(move || shared.carry(&from, &into));
        }
    }

    fn carry(&self, mut from: &TcpStream, mut into: &TcpStream) {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let mut state = self.lock();
            while state.mode == Mode::Stalled {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            if into.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = into.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{RedisServer, Resp};

    #[test]
    fn a_connection_is_carried_stalled_and_cut() {
        let server = RedisServer::start(&[]);
        let forwarder = Forwarder::start(server.port());
        let mut client = Resp::connect(forwarder.port()).unwrap();
        assert_eq!(client.call(&["PING"]).text(), "PONG");
        forwarder.stall();
        let waiting = thread::spawn(move || (client.call(&["INCR", "n"]).integer(), client));
        forwarder.heal();
        let (answer, mut client) = waiting.join().unwrap();
        assert_eq!(answer, 1);
        forwarder.cut();
        assert!(client.try_call(&[b"PING"]).is_err());
        forwarder.heal();
        assert_eq!(Resp::connect(forwarder.port()).unwrap().call(&["PING"]).text(), "PONG");
    }
}
