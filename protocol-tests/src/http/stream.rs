//! A response that goes on: its body is read while it comes.

use std::time::{Duration, Instant};

use super::{Connection, Piece, Response};
use crate::{Target, patience};

/// A response whose head has come.
#[derive(Debug)]
pub struct Stream {
    /// Status and headers.
    pub head: Response,
    connection: Connection,
    unread: String,
    ended: bool,
}

impl Stream {
    /// Sends a request and reads the head of its response, which must be a 200 in chunks.
    ///
    /// # Panics
    /// If another response comes, or none.
    #[must_use]
    #[track_caller]
    pub fn open(target: &Target, request: &[u8]) -> Stream {
        let mut connection = Connection::open(target);
        connection.send(request);
        let head = connection.begin().expect("the connection ended without a response");
        assert_eq!(head.status, 200, "{head}");
        assert_eq!(head.header("transfer-encoding"), Some("chunked"), "{head}");
        Stream { head, connection, unread: String::new(), ended: false }
    }

    /// The next line, without its line feed.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.up_to("\n")
            .unwrap_or_else(|| panic!("no line came; unread: {:?}, ended: {}", self.unread, self.ended))
    }

    /// The next line, which must be this one.
    #[track_caller]
    pub fn expect_line(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// What comes up to `end`, without it; `None` if the response ends before, or nothing more comes in time.
    pub fn up_to(&mut self, end: &str) -> Option<String> {
        let deadline = Instant::now() + patience();
        loop {
            if let Some(at) = self.unread.find(end) {
                let rest = self.unread.split_off(at + end.len());
                let mut before = std::mem::replace(&mut self.unread, rest);
                before.truncate(at);
                return Some(before);
            }
            if !self.read(deadline.saturating_duration_since(Instant::now())) {
                return None;
            }
        }
    }

    /// Everything up to the end of the response.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        let deadline = Instant::now() + patience();
        while !self.ended {
            let read = self.read(deadline.saturating_duration_since(Instant::now()));
            assert!(read || self.ended, "the response goes on: {:?}", self.unread);
        }
        std::mem::take(&mut self.unread)
    }

    /// Ends the connection, as a browser that aborts does.
    pub fn abort(self) {
        let _ = self.connection.handle().shutdown(std::net::Shutdown::Both);
    }

    fn read(&mut self, wait: Duration) -> bool {
        if self.ended {
            return false;
        }
        match self.connection.piece(wait) {
            Piece::Chunk(chunk) => {
                self.unread.push_str(std::str::from_utf8(&chunk).expect("chunks of whole frames"));
                true
            }
            Piece::End | Piece::Closed => {
                self.ended = true;
                false
            }
            Piece::Nothing => false,
        }
    }
}
