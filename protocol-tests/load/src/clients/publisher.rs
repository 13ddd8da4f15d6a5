//! A backend's kept HTTP connection: publishes, waits for the answer, publishes again.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mio::net::TcpStream;

use super::{Shared, Template};
use crate::wire::http;

#[derive(Debug)]
pub(super) struct Publisher {
    socket: TcpStream,
    host: SocketAddr,
    path: String,
    template: Template,
    request: Vec<u8>,
    /// Of the request, what the socket has taken.
    written: usize,
    answer: Vec<u8>,
    busy: bool,
}

impl Publisher {
    pub(super) fn new(socket: TcpStream, host: SocketAddr, path: String, template: Template) -> Self {
        let _ = socket.set_nodelay(true);
        Publisher {
            socket,
            host,
            path,
            template,
            request: Vec::new(),
            written: 0,
            answer: Vec::new(),
            busy: false,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    pub(super) fn publish(&mut self, due: Instant, shared: &mut Shared) {
        let sequence = shared.ledger.send(self.template.publisher);
        let body = self.template.stamp(sequence, shared.nanoseconds(due));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let target = shared.signer.post_target(&self.path, body, now);
        self.request.clear();
        self.written = 0;
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body);
        self.busy = true;
        self.flush(shared);
    }

    pub(super) fn flush(&mut self, shared: &mut Shared) {
        while self.written < self.request.len() {
            match self.socket.write(&self.request[self.written..]) {
                Ok(taken) => self.written += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) =>
                {
                    return;
                }
                Err(_) => return self.lost(shared),
            }
        }
    }

    /// Reads the answer; to the end if the server is `closing`.
    pub(super) fn read(&mut self, scratch: &mut [u8], closing: bool, shared: &mut Shared) {
        loop {
            match self.socket.read(scratch) {
                Ok(0) => return self.lost(shared),
                Ok(count) => {
                    self.answer.extend_from_slice(&scratch[..count]);
                    self.look(shared);
                    if count < scratch.len() && !closing {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) =>
                {
                    return;
                }
                Err(_) => return self.lost(shared),
            }
        }
    }

    fn look(&mut self, shared: &mut Shared) {
        match http::response(&self.answer) {
            Ok(None) => {}
            Ok(Some(response)) => {
                if response.status != 200 || !self.busy {
                    shared.ledger.faults.refused += 1;
                    shared.ledger.faults.show_example(&self.answer);
                }
                self.answer.drain(..response.bytes);
                self.busy = false;
                shared.counts.answered += 1;
            }
            Err(error) => {
                shared.ledger.faults.malformed += 1;
                shared.ledger.faults.show_example(error.to_string().as_bytes());
                self.answer.clear();
                self.busy = false;
            }
        }
    }

    /// The server gave up this connection. It stays busy: nothing more can be published on it.
    fn lost(&mut self, shared: &mut Shared) {
        let _ = self.socket.shutdown(Shutdown::Both);
        self.busy = true;
        shared.counts.ended += 1;
    }
}
