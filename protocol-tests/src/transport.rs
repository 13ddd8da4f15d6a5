//! The transports that a client can have besides a bare WebSocket, and what a client does over each of them.
//!
//! A `Session` is the client's side of an HTTP transport: one thread receives, by a stream or by polls, as a browser
//! does, and messages are sent by requests of their own.

use std::cell::Cell;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::Target;
use crate::http::{Connection, Heard, Piece};

/// How long one receiving request is waited for. Brokers hold a poll for less.
const RECEIVE: Duration = Duration::from_secs(60);

/// What carries a client's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket whose messages are the protocol's frames.
    WebSocket,
    /// pusher-js's own stream of lines.
    XhrStreaming,
    /// pusher-js's own polls.
    XhrPolling,
    /// SockJS over a stream.
    SockJsStreaming,
    /// SockJS over polls.
    SockJsPolling,
    /// SockJS over a WebSocket.
    SockJsWebSocket,
    /// SockJS's WebSocket without its framing.
    SockJsRawWebSocket,
}

thread_local! {
    static CURRENT: Cell<Transport> = const { Cell::new(Transport::WebSocket) };
}

impl Transport {
    /// Has every target that `scenario` makes connect over this transport.
    pub fn carry(self, scenario: impl FnOnce()) {
        let before = CURRENT.replace(self);
        scenario();
        CURRENT.set(before);
    }

    /// What targets that are made on this thread connect over.
    pub(crate) fn current() -> Transport {
        CURRENT.get()
    }

    /// Whether it is SockJS, whose clients name their app in the first message.
    #[must_use]
    pub fn is_sockjs(self) -> bool {
        !matches!(self, Transport::WebSocket | Transport::XhrStreaming | Transport::XhrPolling)
    }
}

/// A frame of the HTTP transports and of SockJS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionFrame {
    /// The session is open; what the frame tells besides.
    Open(Value),
    /// A sign of life.
    Heartbeat,
    /// Messages.
    Messages(Vec<String>),
    /// The end.
    Close(u16, String),
}

impl SessionFrame {
    /// Reads a frame.
    ///
    /// # Errors
    /// With a sentence, if it is none.
    pub fn parse(text: &str) -> Result<SessionFrame, String> {
        let bad = |error: serde_json::Error| format!("a bad frame of a session ({error}): {text}");
        match text.split_at_checked(1) {
            Some(("o", "")) => Ok(SessionFrame::Open(Value::Null)),
            Some(("o", more)) => serde_json::from_str(more).map(SessionFrame::Open).map_err(bad),
            Some(("h", "")) => Ok(SessionFrame::Heartbeat),
            Some(("a", messages)) => serde_json::from_str(messages).map(SessionFrame::Messages).map_err(bad),
            Some(("c", close)) => {
                serde_json::from_str(close).map(|(code, why)| SessionFrame::Close(code, why)).map_err(bad)
            }
            _ => Err(format!("no frame of a session: {text:?}")),
        }
    }
}

/// What the first request of a session says the time is, in milliseconds.
const FIRST_TIME: u64 = 1_448_000_000_000;

/// The client's side of a session over HTTP. Dropping it is leaving without a word.
#[derive(Debug)]
pub(crate) struct Session {
    target: Target,
    base: String,
    sending: Option<Connection>,
    frames: Receiver<String>,
    receiving: TcpStream,
}

impl Session {
    /// Begins a session and awaits its `o`.
    #[track_caller]
    pub(crate) fn begin(target: &Target, transport: Transport, query: &str) -> Session {
        let (kind, base) = session_path(target, transport);
        let path =
            if transport.is_sockjs() { format!("{base}/{kind}") } else { format!("{base}/{kind}?{query}") };
        // No two requests of a client are the same, for one that is has been repeated by the browser.
        let (asked, question) = (target.clone(), if path.contains('?') { '&' } else { '?' });
        let prefix = format!("{path}{question}t=");
        let request = move |number: u64| post(&asked, &format!("{prefix}{}", FIRST_TIME + number), "", &[]);
        let connection = Connection::open(target);
        let receiving = connection.handle();
        let (sender, frames) = mpsc::channel();
        let streams = kind == "xhr_streaming";
        thread::spawn(move || receive(connection, request, streams, &sender));
        let mut session = Session { target: target.clone(), base, sending: None, frames, receiving };
        if transport.is_sockjs() {
            let opened = session.frames.recv_timeout(crate::patience());
            assert_eq!(opened.as_deref(), Ok("o"), "the first frame of {path}");
            session.send(&[json!({ "path": target.introduced_path(query) }).to_string()]);
        }
        session
    }

    /// The next frame; `None` when nothing came within `wait`, an error when nothing will come any more.
    pub(crate) fn next(&mut self, wait: Duration) -> Result<Option<String>, ()> {
        match self.frames.recv_timeout(wait) {
            Ok(frame) => Ok(Some(frame)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(()),
        }
    }

    /// Sends messages in one request; a session that has ended hears nothing.
    #[track_caller]
    pub(crate) fn send(&mut self, messages: &[String]) {
        let body = json!(messages).to_string();
        let request = post(&self.target, &format!("{}/xhr_send?t=1&n=2", self.base), &body, &[]);
        let mut connection = self.sending.take().unwrap_or_else(|| Connection::open(&self.target));
        connection.send(&request);
        let answer = connection.answer();
        assert!(matches!(answer.status, 204 | 404), "{} was answered {answer}", self.base);
        assert!(answer.body.is_empty() || answer.status == 404);
        self.sending = Some(connection);
    }

    /// A handle of the connection that receives.
    pub(crate) fn receiving(&self) -> TcpStream {
        self.receiving.try_clone().expect("a second handle of the socket")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Its thread ends with it.
        let _ = self.receiving.shutdown(std::net::Shutdown::Both);
    }
}

/// The last segment of the path that receives, and what comes before it, for a session that nobody has yet.
#[must_use]
pub fn session_path(target: &Target, transport: Transport) -> (&'static str, String) {
    let (base, id) = (target.fallback_base(), session_id());
    let kind = match transport {
        Transport::XhrStreaming | Transport::SockJsStreaming => "xhr_streaming",
        Transport::XhrPolling | Transport::SockJsPolling => "xhr",
        _ => "websocket",
    };
    if transport.is_sockjs() {
        (kind, format!("{base}/007/{id}"))
    } else {
        (kind, format!("{base}/app/{}/7/{id}", target.credentials.key))
    }
}

/// Eight characters, as clients draw them, that no other session has.
#[must_use]
pub fn session_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let mut number =
        (started ^ u64::from(std::process::id()) << 20) << 12 | COUNTER.fetch_add(1, Ordering::Relaxed);
    let digit = |number: u64| char::from_digit((number % 32) as u32, 32).expect("a digit of base 32");
    std::iter::repeat_with(|| {
        let next = digit(number);
        number /= 32;
        next
    })
    .take(8)
    .collect()
}

/// A POST of a JSON body, as a browser on another origin sends it.
#[must_use]
pub fn post(target: &Target, path: &str, body: &str, headers: &[&str]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        target.host,
        target.port,
        body.len()
    );
    for header in headers {
        request = request + header + "\r\n";
    }
    (request + "\r\n" + body).into_bytes()
}

/// Receives until the end, like a browser: a stream for as long as it goes on, or poll after poll.
fn receive(
    mut connection: Connection,
    request: impl Fn(u64) -> Vec<u8>,
    streams: bool,
    frames: &Sender<String>,
) {
    let (mut ended, mut number) = (false, 0);
    while !ended && connection.offer(&request(number)) {
        number += 1;
        let mut lines = String::new();
        let mut take = |piece: &[u8]| {
            lines.push_str(&String::from_utf8_lossy(piece));
            while let Some(end) = lines.find('\n') {
                let line: String = lines.drain(..=end).collect();
                let line = line.trim_end_matches('\n');
                // The prelude of a stream is a long line.
                if !line.starts_with("hh") && frames.send(line.to_owned()).is_err() {
                    return true;
                }
                if line.starts_with('c') {
                    return true;
                }
            }
            false
        };
        if !streams {
            match connection.hear(RECEIVE) {
                Heard::Answer(answer) if answer.status == 200 => ended = take(&answer.body),
                Heard::Answer(_) | Heard::Closed | Heard::Nothing => return,
            }
            continue;
        }
        if connection.begin().is_none_or(|head| head.status != 200) {
            return;
        }
        loop {
            match connection.piece(RECEIVE) {
                Piece::Chunk(chunk) => ended |= take(&chunk),
                Piece::End => break,
                Piece::Closed | Piece::Nothing => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_sessions_are_read() {
        assert_eq!(SessionFrame::parse("o"), Ok(SessionFrame::Open(Value::Null)));
        let named = SessionFrame::Open(json!({ "hostname": "n" }));
        assert_eq!(SessionFrame::parse(r#"o{"hostname":"n"}"#), Ok(named));
        let messages = SessionFrame::Messages(vec!["x".to_owned()]);
        assert_eq!(SessionFrame::parse(r#"a["x"]"#), Ok(messages));
        assert_eq!(SessionFrame::parse(r#"c[4001,"no"]"#), Ok(SessionFrame::Close(4001, "no".to_owned())));
        assert!(SessionFrame::parse("").is_err() && SessionFrame::parse("x").is_err());
    }

    #[test]
    fn ids_are_as_clients_draw_them() {
        let (one, other) = (session_id(), session_id());
        assert!(
            one.len() == 8 && one.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'v').contains(&b)),
            "{one}"
        );
        assert_ne!(one, other);
    }
}
