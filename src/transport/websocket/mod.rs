//! WebSocket connections over sockets taken from the HTTP server after the handshake.

mod driver;
mod reader;
mod upgrade;

pub use reader::{Event, Fault, FrameReader};
pub use upgrade::{Listener, UpgradeError, upgrade};

use std::cell::RefCell;
use std::io::{self, IoSlice};

use actix_web::rt::net::TcpStream;

use crate::hub::{Outbox, Transport, Written};

/// Frames handed to the kernel in one system call.
const FRAMES_PER_WRITE: usize = 64;

/// The socket of one connection. The worker writes, the driver reads; both are on the same thread.
pub(crate) struct WebSocket {
    stream: RefCell<TcpStream>,
}

impl Transport for WebSocket {
    fn write(&self, outbox: &mut Outbox) -> io::Result<Written> {
        let stream = self.stream.borrow();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
            let written = match outbox.fill(&mut slices) {
                1 => stream.try_write(&slices[0]),
                filled => stream.try_write_vectored(&slices[..filled]),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => outbox.advance(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Written::Blocked),
                Err(error) => return Err(error),
            }
        }
        Ok(Written::Everything)
    }
}
