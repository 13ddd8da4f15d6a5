//! One connection of the ceiling: a socket, and the frames it is owed.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;

use super::socket::Socket;

/// Frames handed to the kernel in one call, at most.
const FRAMES_PER_WRITE: usize = 64;

/// A place in a channel's list of subscribers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    pub(super) channel: usize,
    pub(super) place: usize,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) subscriptions: Vec<Subscription>,
    socket: Socket,
    websocket: bool,
    carried: Vec<u8>,
    owed: VecDeque<Rc<[u8]>>,
    /// Of the first frame owed, what is written already.
    written: usize,
}

impl Connection {
    pub(super) fn new(socket: Socket) -> Self {
        Connection {
            subscriptions: Vec::new(),
            socket,
            websocket: false,
            carried: Vec::new(),
            owed: VecDeque::new(),
            written: 0,
        }
    }

    pub(super) fn is_websocket(&self) -> bool {
        self.websocket
    }

    pub(super) fn become_websocket(&mut self) {
        self.websocket = true;
    }

    pub(super) fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        self.socket.read(scratch)
    }

    pub(super) fn take_carried(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.carried)
    }

    pub(super) fn carry(&mut self, rest: Vec<u8>) {
        self.carried = rest;
    }

    /// Whether something waits for the socket to become writable.
    pub(super) fn is_waiting(&self) -> bool {
        !self.owed.is_empty() || self.socket.wants_write()
    }

    /// Whether a read that did not fill its buffer has emptied the socket.
    pub(super) fn short_reads_empty_it(&self) -> bool {
        self.socket.short_reads_empty_it()
    }

    /// Owes it these bytes; says whether nothing was owed before.
    pub(super) fn push(&mut self, bytes: Rc<[u8]>) -> bool {
        let first = self.owed.is_empty();
        self.owed.push_back(bytes);
        first
    }

    /// Writes what the socket takes, as few calls as that needs. Nothing stays allocated when nothing is owed.
    pub(super) fn write(&mut self) -> io::Result<()> {
        while !self.owed.is_empty() {
            let taken = if self.owed.len() == 1 {
                self.socket.write(&self.owed[0][self.written..])
            } else {
                let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
                let count = self.owed.len().min(FRAMES_PER_WRITE);
                for (slice, frame) in slices.iter_mut().zip(&self.owed) {
                    *slice = IoSlice::new(frame);
                }
                slices[0] = IoSlice::new(&self.owed[0][self.written..]);
                self.socket.write_vectored(&slices[..count])
            };
            match taken {
                Ok(taken) => self.took(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.owed = VecDeque::new();
        self.socket.flush()
    }

    fn took(&mut self, mut taken: usize) {
        taken += self.written;
        while let Some(first) = self.owed.front() {
            if taken < first.len() {
                break;
            }
            taken -= first.len();
            self.owed.pop_front();
        }
        self.written = taken;
    }

    /// Its place in a channel's list is another one now.
    pub(super) fn moved(&mut self, channel: usize, place: usize) {
        self.subscriptions
            .iter_mut()
            .filter(|mine| mine.channel == channel)
            .for_each(|mine| mine.place = place);
    }
}
