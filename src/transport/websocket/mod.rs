//! WebSocket connections over sockets taken from the HTTP server after the handshake.

mod driver;
mod extension;
#[doc(hidden)]
pub mod fuzzing;
mod listener;
mod sockjs;
mod upgrade;

pub(crate) use listener::WebSocketListener;
pub(crate) use upgrade::upgrade;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use crate::hub::{AppCells, Outbox, Transport, Written};
use crate::net::Stream;
use crate::protocol::Form;
use crate::recovery::PACE;

/// Frames handed to the kernel in one system call.
const FRAMES_PER_WRITE: usize = 64;

/// The socket of one connection. The worker writes, the driver reads; both are on the same thread.
pub(crate) struct WebSocket<S> {
    stream: RefCell<S>,
    form: Form,
    /// What the worker counts in the app.
    cells: Arc<AppCells>,
}

impl<S: Stream> Transport for WebSocket<S> {
    fn form(&self) -> Form {
        self.form
    }

    fn write(&self, outbox: &mut Outbox, context: &mut Context<'_>) -> io::Result<Written> {
        let mut stream = self.stream.borrow_mut();
        while !outbox.is_empty() {
            let written = match outbox.frames() {
                // Nearly always: one frame needs no list of them.
                1 => write_frames::<1, S>(&mut stream, outbox, context),
                _ => write_frames::<FRAMES_PER_WRITE, S>(&mut stream, outbox, context),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.cells.bytes_sent.add(bytes as u64);
                    outbox.advance(bytes);
                }
                Err(error) => return blocked_or_lost(error),
            }
        }
        match stream.try_flush_now(context) {
            Ok(()) => Ok(Written::Everything),
            Err(error) => blocked_or_lost(error),
        }
    }

    fn keep_little_unsent(&self) {
        self.stream.borrow().keep_little_unsent();
    }

    fn ping_pace(&self) -> Option<Duration> {
        Some(PACE)
    }

    fn reset(&self) {
        self.stream.borrow().reset_on_drop();
    }
}

fn write_frames<const N: usize, S: Stream>(
    stream: &mut S,
    outbox: &Outbox,
    context: &mut Context<'_>,
) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); N];
    let filled = outbox.fill(&mut slices);
    stream.try_write_now(&slices[..filled], context)
}

fn blocked_or_lost(error: io::Error) -> io::Result<Written> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(Written::Blocked),
        _ => Err(error),
    }
}
