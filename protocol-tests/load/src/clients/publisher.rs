//! A backend's HTTP connection: publishes, waits for the answer, publishes again, on the same connection or on another.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Shared, Socket, Template};
use crate::wire::http;

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// It is kept, if the server keeps it.
    Kept,
    /// The client ends it: each request comes on a connection of its own, as from PHP.
    OneEach,
}

#[derive(Debug)]
pub(super) struct Publisher {
    socket: Socket,
    host: SocketAddr,
    path: String,
    template: Template,
    keeping: Keeping,
    request: Vec<u8>,
    /// Of the request, what the socket has taken.
    written: usize,
    answer: Vec<u8>,
    busy: bool,
    /// The connection was ended after an answer: by the server, as it may, or by this side.
    ended: bool,
}

impl Publisher {
    pub(super) fn new(
        socket: Socket,
        host: SocketAddr,
        path: String,
        template: Template,
        keeping: Keeping,
    ) -> Self {
        socket.set_nodelay();
        Publisher {
            socket,
            host,
            path,
            template,
            keeping,
            request: Vec::new(),
            written: 0,
            answer: Vec::new(),
            busy: false,
            ended: false,
        }
    }

    /// Whether the next message needs another connection; give it one with [`Publisher::renew`].
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn renew(&mut self, socket: Socket) {
        socket.set_nodelay();
        self.socket = socket;
        self.ended = false;
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    pub(super) fn publish(&mut self, due: Instant, shared: &mut Shared) {
        let sequence = shared.ledger.send(self.template.publisher);
        let body = self.template.stamp(sequence, shared.nanoseconds(due));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let target = shared.signer.target("POST", &self.path, body, now);
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
        let _ = self.socket.flush();
        while self.written < self.request.len() && !self.ended {
            match self.socket.write_now(&self.request[self.written..]) {
                Ok(Some(taken)) => self.written += taken,
                Ok(None) => return,
                Err(_) => return self.lost(shared),
            }
        }
    }

    /// Reads the answer; to the end if the server is `closing`.
    pub(super) fn read(&mut self, scratch: &mut [u8], closing: bool, shared: &mut Shared) {
        while !self.ended {
            match self.socket.read_now(scratch) {
                Ok(Some(0)) => return self.lost(shared),
                Ok(Some(count)) => {
                    self.answer.extend_from_slice(&scratch[..count]);
                    self.look(shared);
                    if count < scratch.len() && self.socket.short_reads_empty_it() && !closing {
                        return;
                    }
                }
                Ok(None) => return,
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
                if response.closes || self.keeping == Keeping::OneEach {
                    self.socket.end();
                    self.ended = true;
                }
            }
            Err(error) => {
                shared.ledger.faults.malformed += 1;
                shared.ledger.faults.show_example(error.to_string().as_bytes());
                self.answer.clear();
                self.busy = false;
            }
        }
    }

    /// The server gave up this connection. If it owes an answer it stays busy: nothing more can be published.
    fn lost(&mut self, shared: &mut Shared) {
        self.socket.shutdown();
        self.ended = true;
        shared.counts.ended += 1;
    }
}
