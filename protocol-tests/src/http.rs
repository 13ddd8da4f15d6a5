//! A plain HTTP/1.1 client that sends exactly the bytes a test asks for and reads what comes back.
//!
//! It knows TCP and message framing and nothing of the API; [`Call`] builds signed requests on top. Every wait
//! has a deadline, and a failure to get an answer panics with what came instead.

mod call;
mod early;
mod endless;
mod stream;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Target, patience};
pub use call::{Call, now_seconds, percent_encoded, within_one_second};
pub use early::ANSWERED_EARLY;
pub use endless::Endless;
pub use stream::Stream;

/// One TCP connection that speaks HTTP/1.1, for as many exchanges as the broker keeps it open.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// What came of waiting for an answer.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A whole answer.
    Answer(Response),
    /// The connection ended before a whole answer had come.
    Closed,
    /// Not a byte.
    Nothing,
}

/// What came next of a body that is read as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A chunk.
    Chunk(Vec<u8>),
    /// The end of the body.
    End,
    /// The end of the connection before that.
    Closed,
    /// Not a whole chunk.
    Nothing,
}

/// Why there is no answer.
enum Unanswered {
    Closed,
    Late,
}

impl Connection {
    /// Connects to the target's host and port.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    #[track_caller]
    pub fn open(target: &Target) -> Connection {
        let stream = TcpStream::connect((target.host.as_str(), target.port))
            .unwrap_or_else(|e| panic!("cannot connect to {}:{}: {e}", target.host, target.port));
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_write_timeout(Some(patience())).expect("a write timeout");
        Connection { stream, received: Vec::new() }
    }

    /// Writes `bytes` as they are.
    ///
    /// # Panics
    /// If the broker does not take them.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap_or_else(|e| panic!("the broker does not take the request: {e}"));
    }

    /// Writes `bytes`, or as much of them as the broker takes before it ends the connection, and says whether it
    /// took them all.
    pub fn offer(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Ends the sending direction; answers can still be read.
    pub fn finish_sending(&mut self) {
        // A peer that has already gone is as finished as it can be.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Sends one request and returns the answer, even one that the broker gives before it has read the whole
    /// request. `None` if it ends the connection without one.
    #[must_use]
    #[track_caller]
    pub fn exchange(mut self, request: &[u8]) -> Option<Response> {
        let mut writer = self.stream.try_clone().expect("a second handle of the socket");
        let heard = thread::scope(|scope| {
            // What the broker refuses to read, it refuses: the answer tells.
            scope.spawn(move || writer.write_all(request));
            let heard = self.hear(patience());
            let _ = self.stream.shutdown(Shutdown::Both);
            heard
        });
        match heard {
            Heard::Answer(answer) => Some(answer),
            Heard::Closed => None,
            Heard::Nothing => panic!("neither an answer nor a close within {:?}", patience()),
        }
    }

    /// The next answer. Interim ones (1xx) are passed over.
    ///
    /// # Panics
    /// If none comes.
    #[must_use]
    #[track_caller]
    pub fn answer(&mut self) -> Response {
        match self.hear(patience()) {
            Heard::Answer(answer) => answer,
            Heard::Closed => panic!("the connection ended without an answer; {}", self.fragment()),
            Heard::Nothing => panic!("no answer within {:?}", patience()),
        }
    }

    /// The next answer, or `None` when the broker ends the connection without a whole one.
    ///
    /// # Panics
    /// If the broker does neither.
    #[must_use]
    #[track_caller]
    pub fn answer_or_close(&mut self) -> Option<Response> {
        match self.hear(patience()) {
            Heard::Answer(answer) => Some(answer),
            Heard::Closed => None,
            Heard::Nothing => panic!("neither an answer nor a close within {:?}", patience()),
        }
    }

    /// Waits until the broker has ended the connection; what it still sends is dropped.
    ///
    /// # Panics
    /// If it leaves the connection open.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let deadline = Instant::now() + patience();
        loop {
            match self.fill(deadline) {
                Ok(()) => self.received.clear(),
                Err(Unanswered::Closed) => return,
                Err(Unanswered::Late) => panic!("the connection is still open after {:?}", patience()),
            }
        }
    }

    /// Waits until the broker asks for the body that the head has announced with `Expect: 100-continue`.
    ///
    /// # Panics
    /// If something else comes, or nothing.
    #[track_caller]
    pub fn expect_continue(&mut self) {
        match self.read_until(b"\r\n\r\n", Instant::now() + patience()) {
            Ok(head) => assert!(
                head.starts_with(b"HTTP/1.1 100 "),
                "100 Continue expected, {:?} came",
                String::from_utf8_lossy(&head)
            ),
            Err(_) => panic!("no 100 Continue came; {}", self.fragment()),
        }
    }

    /// What comes first: the beginning of an answer, which is then read to its end, the end of the connection,
    /// or the end of `wait`.
    #[must_use]
    #[track_caller]
    pub fn hear(&mut self, wait: Duration) -> Heard {
        if self.received.is_empty() {
            match self.fill(Instant::now() + wait) {
                Ok(()) => {}
                Err(Unanswered::Closed) => return Heard::Closed,
                Err(Unanswered::Late) => return Heard::Nothing,
            }
        }
        match self.read_answer(Instant::now() + patience()) {
            Ok(answer) => Heard::Answer(answer),
            Err(Unanswered::Closed) => Heard::Closed,
            Err(Unanswered::Late) => panic!("an answer began and did not end; {}", self.fragment()),
        }
    }

    /// The head of the next answer, whose chunked body is then read as it comes, by [`Connection::piece`]. `None` if the
    /// connection ends.
    ///
    /// # Panics
    /// If nothing comes.
    #[must_use]
    #[track_caller]
    pub fn begin(&mut self) -> Option<Response> {
        match self.read_until(b"\r\n\r\n", Instant::now() + patience()) {
            Ok(head) => Some(Response::from_head(&head)),
            Err(Unanswered::Closed) => None,
            Err(Unanswered::Late) => panic!("no answer within {:?}; {}", patience(), self.fragment()),
        }
    }

    /// The next chunk of a body, whole.
    #[must_use]
    pub fn piece(&mut self, wait: Duration) -> Piece {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(line) = self.received.windows(2).position(|window| window == b"\r\n") {
                let size = String::from_utf8_lossy(&self.received[..line]).into_owned();
                let size =
                    usize::from_str_radix(size.trim(), 16).expect("a chunk begins with its size in hex");
                let (start, end) = (line + 2, line + 2 + size);
                if self.received.len() >= end + 2 {
                    let chunk = self.received[start..end].to_vec();
                    self.received.drain(..end + 2);
                    return if size == 0 { Piece::End } else { Piece::Chunk(chunk) };
                }
            }
            match self.fill(deadline) {
                Ok(()) => {}
                Err(Unanswered::Closed) => return Piece::Closed,
                Err(Unanswered::Late) => return Piece::Nothing,
            }
        }
    }

    /// Another handle of the socket.
    ///
    /// # Panics
    /// If the system has none to give.
    #[must_use]
    pub fn handle(&self) -> TcpStream {
        self.stream.try_clone().expect("a second handle of the socket")
    }

    fn read_answer(&mut self, deadline: Instant) -> Result<Response, Unanswered> {
        loop {
            let head = self.read_until(b"\r\n\r\n", deadline)?;
            let mut answer = Response::from_head(&head);
            if (100..200).contains(&answer.status) && answer.status != 101 {
                continue;
            }
            answer.body = self.read_body(&answer, deadline)?;
            return Ok(answer);
        }
    }

    fn read_body(&mut self, answer: &Response, deadline: Instant) -> Result<Vec<u8>, Unanswered> {
        if matches!(answer.status, 101 | 204 | 304) {
            return Ok(Vec::new());
        }
        if answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks(deadline);
        }
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().expect("content-length is a number");
            return self.take(length, deadline);
        }
        loop {
            match self.fill(deadline) {
                Ok(()) => {}
                Err(Unanswered::Closed) => return Ok(std::mem::take(&mut self.received)),
                Err(late) => return Err(late),
            }
        }
    }

    fn read_chunks(&mut self, deadline: Instant) -> Result<Vec<u8>, Unanswered> {
        let mut body = Vec::new();
        loop {
            let line = self.read_until(b"\r\n", deadline)?;
            let line = String::from_utf8_lossy(&line);
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).expect("a chunk begins with its size in hex");
            let chunk = self.take(size + 2, deadline)?;
            assert!(chunk.ends_with(b"\r\n"), "a chunk ends with its line break");
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn read_until(&mut self, end: &[u8], deadline: Instant) -> Result<Vec<u8>, Unanswered> {
        loop {
            if let Some(at) = self.received.windows(end.len()).position(|window| window == end) {
                let mut before: Vec<u8> = self.received.drain(..at + end.len()).collect();
                before.truncate(at);
                return Ok(before);
            }
            self.fill(deadline)?;
        }
    }

    fn take(&mut self, length: usize, deadline: Instant) -> Result<Vec<u8>, Unanswered> {
        while self.received.len() < length {
            self.fill(deadline)?;
        }
        Ok(self.received.drain(..length).collect())
    }

    /// Waits for more bytes and appends them to what was received.
    fn fill(&mut self, deadline: Instant) -> Result<(), Unanswered> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Unanswered::Late);
            }
            self.stream.set_read_timeout(Some(left)).expect("a read timeout");
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Unanswered::Closed),
                Ok(count) => {
                    self.received.extend_from_slice(&chunk[..count]);
                    return Ok(());
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(Unanswered::Late);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Unanswered::Closed),
            }
        }
    }

    fn fragment(&self) -> String {
        format!("received so far: {:?}", String::from_utf8_lossy(&self.received))
    }
}

/// One answer, with its body read to the end.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body with any transfer coding removed.
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Response {
    /// The value of the first header of that name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The JSON body of a success: status 200, `application/json`.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "the answer was {self}");
        self.assert_content_type("application/json");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}) in {self}"))
    }

    /// Asserts a success whose body is exactly the two characters `{}`.
    #[track_caller]
    pub fn assert_empty_object(&self) {
        assert_eq!(self.status, 200, "the answer was {self}");
        self.assert_content_type("application/json");
        assert_eq!(self.text(), "{}");
    }

    /// Asserts an error of `status` whose body is exactly `sentence` and one line break.
    #[track_caller]
    pub fn assert_error(&self, status: u16, sentence: &str) {
        assert_eq!(self.error(status), sentence, "the answer was {self}");
    }

    /// Asserts an error of `status` whose body begins with `beginning`.
    #[track_caller]
    pub fn assert_error_beginning(&self, status: u16, beginning: &str) {
        let text = self.error(status);
        assert!(text.starts_with(beginning), "{beginning:?} does not begin {self}");
    }

    /// The text of an error of `status`, without its closing line break, after checking the form all errors
    /// share: `text/plain`, a line break at the very end and words before it.
    #[track_caller]
    pub fn error(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "the answer was {self}");
        self.assert_content_type("text/plain");
        let text = self.text();
        let sentence = text.strip_suffix('\n').unwrap_or_else(|| panic!("no line break ends {self}"));
        assert!(!sentence.trim().is_empty(), "an error without a word: {self}");
        sentence
    }

    #[track_caller]
    fn assert_content_type(&self, wanted: &str) {
        let content_type = self.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        assert!(media_type.eq_ignore_ascii_case(wanted), "{wanted} expected, {content_type:?} came: {self}");
    }

    fn from_head(head: &[u8]) -> Response {
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
            .unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Response { status, body: Vec::new(), headers }
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {:?}", self.status, String::from_utf8_lossy(&self.body))
    }
}
