//! An answer that does not end, read piece by piece.

use std::time::Instant;

use super::{Connection, Response, Unanswered};
use crate::patience;

/// A connection whose answer has begun, and what has come of its body.
#[derive(Debug)]
pub struct Endless {
    connection: Connection,
    /// Status and headers.
    pub head: Response,
    body: Vec<u8>,
    ended: bool,
}

impl Endless {
    /// Sends a request and awaits the head of its answer.
    ///
    /// # Panics
    /// If none comes, or it has no chunked body.
    #[must_use]
    #[track_caller]
    pub fn open(mut connection: Connection, request: &[u8]) -> Endless {
        connection.send(request);
        Endless::answered(connection)
    }

    /// Awaits the head of the answer to a request that has been sent.
    ///
    /// # Panics
    /// As above.
    #[must_use]
    #[track_caller]
    pub fn answered(mut connection: Connection) -> Endless {
        match connection.read_until(b"\r\n\r\n", Instant::now() + patience()) {
            Ok(head) => {
                Endless { connection, head: Response::from_head(&head), body: Vec::new(), ended: false }
            }
            Err(_) => panic!("no answer within {:?}", patience()),
        }
    }

    /// The body up to and including `end`.
    ///
    /// # Panics
    /// If it does not come.
    #[track_caller]
    pub fn up_to(&mut self, end: &[u8]) -> Vec<u8> {
        let deadline = Instant::now() + patience();
        loop {
            if let Some(at) = self.body.windows(end.len()).position(|window| window == end) {
                return self.body.drain(..at + end.len()).collect();
            }
            if self.ended || self.read_chunk(deadline).is_err() {
                let so_far = String::from_utf8_lossy(&self.body);
                panic!("expected {:?}, got {so_far:?}", String::from_utf8_lossy(end));
            }
        }
    }

    /// The next `bytes` bytes of the body.
    ///
    /// # Panics
    /// If they do not come.
    #[track_caller]
    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        let deadline = Instant::now() + patience();
        while self.body.len() < bytes {
            assert!(!self.ended && self.read_chunk(deadline).is_ok(), "expected {bytes} bytes more");
        }
        self.body.drain(..bytes).collect()
    }

    /// The rest of the body, whose end must come.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + patience();
        while !self.ended {
            match self.read_chunk(deadline) {
                Ok(()) => {}
                Err(Unanswered::Closed) => self.ended = true,
                Err(Unanswered::Late) => panic!("the answer did not end within {:?}", patience()),
            }
        }
        std::mem::take(&mut self.body)
    }

    fn read_chunk(&mut self, deadline: Instant) -> Result<(), Unanswered> {
        let line = self.connection.read_until(b"\r\n", deadline)?;
        let size = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk begins with its size in hex");
        let chunk = self.connection.take(size + 2, deadline)?;
        self.body.extend_from_slice(&chunk[..size]);
        self.ended |= size == 0;
        Ok(())
    }
}
