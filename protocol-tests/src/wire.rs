//! One TCP connection as a client has it: WebSocket frames in both directions, right or wrong, and a transcript.
//!
//! It knows RFC 6455 and nothing of what the messages mean; [`Socket`](crate::Socket) does. Of the protocol it
//! checks only that a Close of the 4000s has a reason, and that none is of the 4300s, which keep connections open.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::frame::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};
use crate::message::{Closed, Incoming, Message};
use crate::transport::{Session, SessionFrame, session_path};
use crate::{Broker, Target, Transport, patience};

/// Bytes of one transcript line; a hundred-kilobyte frame is not worth reading.
const TRANSCRIPT_LINE_BYTES: usize = 400;

/// A connection to the target's port.
#[derive(Debug)]
pub struct Wire {
    /// Whether a WebSocket Ping is answered as soon as it is read; on unless a test wants to fall silent.
    pub answers_pings: bool,
    /// Whether what the server says is the pipe's protocol.
    pub(crate) speaks_pipe: bool,
    /// Whether the server may send binary messages; off unless the connection asked for them.
    pub takes_binary: bool,
    /// Those that have come and were not asked for yet.
    binaries: VecDeque<Vec<u8>>,
    response_head: String,
    closing: bool,
    stream: TcpStream,
    received: Vec<u8>,
    fragments: Option<Vec<u8>>,
    began: Instant,
    transcript: Vec<String>,
    /// What was in an array of messages and has not been asked for.
    pending: VecDeque<Incoming>,
    /// The framing of SockJS around each message.
    sockjs: bool,
    /// An HTTP transport in place of a WebSocket; the stream is then the connection that receives.
    session: Option<Session>,
    /// The broker must outlive the connection, also where a test keeps no target.
    _broker: Option<Arc<Broker>>,
}

impl Wire {
    /// Opens a TCP connection and says nothing.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    #[track_caller]
    pub fn open(target: &Target) -> Wire {
        let address = (target.host.as_str(), target.port);
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|e| panic!("cannot connect to {}:{}: {e}", target.host, target.port));
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_write_timeout(Some(patience())).expect("a write timeout");
        Wire::on(target, stream, None)
    }

    fn on(target: &Target, stream: TcpStream, session: Option<Session>) -> Wire {
        Wire {
            answers_pings: true,
            speaks_pipe: false,
            takes_binary: false,
            binaries: VecDeque::new(),
            response_head: String::new(),
            closing: false,
            stream,
            received: Vec::new(),
            fragments: None,
            began: Instant::now(),
            transcript: Vec::new(),
            pending: VecDeque::new(),
            sockjs: false,
            session,
            _broker: target.share_broker(),
        }
    }

    /// Opens a TCP connection and completes the WebSocket upgrade on `path`, with more header lines.
    ///
    /// # Panics
    /// If the server does not answer 101 with the right `Sec-WebSocket-Accept`.
    #[must_use]
    #[track_caller]
    pub fn upgrade(target: &Target, path: &str, headers: &[&str]) -> Wire {
        let mut wire = Wire::open(target);
        wire.send_bytes(upgrade_request(target, path, headers).as_bytes());
        let head = wire.read_head();
        wire.response_head = head.clone();
        let accept = wire.response_header("sec-websocket-accept");
        if !head.starts_with("HTTP/1.1 101 ") || accept.as_deref() != Some(ACCEPT) {
            wire.fail(&format!("the upgrade on {path} was not completed"));
        }
        wire
    }

    /// Begins a connection over another transport than the bare WebSocket, up to where the first frame is due.
    #[must_use]
    #[track_caller]
    pub fn begin(target: &Target, transport: Transport, query: &str) -> Wire {
        let path = match transport {
            Transport::SockJsWebSocket => format!("{}/websocket", session_path(target, transport).1),
            Transport::SockJsRawWebSocket => format!("{}/websocket", target.fallback_base()),
            _ => {
                let session = Session::begin(target, transport, query);
                return Wire::on(target, session.receiving(), Some(session));
            }
        };
        let mut wire = Wire::upgrade(target, &path, &[]);
        wire.sockjs = transport == Transport::SockJsWebSocket;
        wire.send_text(&serde_json::json!({ "path": target.introduced_path(query) }).to_string());
        wire
    }

    /// Whether it is a session of HTTP requests.
    #[must_use]
    pub fn is_session(&self) -> bool {
        self.session.is_some()
    }

    /// A header of the upgrade's response; `name` in lower case.
    #[must_use]
    pub fn response_header(&self, name: &str) -> Option<String> {
        self.response_head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// Sends one text message, whatever it holds.
    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        if self.session.is_some() {
            return self.send_together([text]);
        }
        if self.sockjs {
            self.send_frame(FIN | TEXT, serde_json::json!([text]).to_string().as_bytes())
        } else {
            self.send_frame(FIN | TEXT, text.as_bytes())
        }
    }

    /// Sends one masked WebSocket frame; `head` as in [`frame::masked`].
    #[track_caller]
    pub fn send_frame(&mut self, head: u8, payload: &[u8]) {
        self.note(&format!("→ [{head:#04x}] {}", String::from_utf8_lossy(payload)));
        self.closing |= head & 0x0F == CLOSE;
        self.write(&frame::masked(head, payload));
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.note(&format!("→ (raw) {}", String::from_utf8_lossy(bytes)));
        self.write(bytes);
    }

    /// Tells that there is a Close in bytes that are sent as they are: the server's answer to it need give no reason.
    pub fn will_close(&mut self) {
        self.closing = true;
    }

    /// Sends several text messages in one write, so that they arrive together.
    #[track_caller]
    pub fn send_together<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        if let Some(session) = &mut self.session {
            let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
            session.send(&texts);
            self.note(&format!("→ {texts:?}"));
            return;
        }
        let mut bytes = Vec::new();
        for text in texts {
            self.note(&format!("→ {text}"));
            let framed = self.sockjs.then(|| serde_json::json!([text]).to_string());
            bytes.extend(frame::masked(FIN | TEXT, framed.as_deref().unwrap_or(text).as_bytes()));
        }
        self.write(&bytes);
    }

    /// As [`Wire::send_together`], but gives up when the server has taken nothing for `patience`; `false` if it did.
    /// Nothing more can be said on the connection then.
    #[must_use]
    pub fn try_send_together<'t>(
        &mut self,
        texts: impl IntoIterator<Item = &'t str>,
        patience: Duration,
    ) -> bool {
        let bytes: Vec<u8> =
            texts.into_iter().flat_map(|text| frame::masked(FIN | TEXT, text.as_bytes())).collect();
        self.stream.set_write_timeout(Some(patience)).expect("a write timeout");
        self.stream.write_all(&bytes).is_ok()
    }

    /// Ends the connection without a word: TCP is shut down, no Close is sent.
    pub fn vanish(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Makes the end of this connection a TCP reset, as of a client that crashed: an answer from the server is
    /// left unread, and a kernel that has to throw bytes away says so to the other side.
    #[track_caller]
    pub fn leave_an_answer_unread(&mut self) {
        self.send_text(r#"{"event":"pusher:ping"}"#);
        self.stream.set_read_timeout(Some(patience())).expect("a read timeout");
        if !self.stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
            self.fail("no answer came that could be left unread");
        }
    }

    /// Ends what this side says (TCP half-close) and keeps listening.
    pub fn stop_talking(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next thing that arrives, Pings and Pongs included.
    #[track_caller]
    pub fn receive(&mut self) -> Incoming {
        match self.receive_within(patience()) {
            Some(incoming) => incoming,
            None => self.fail(&format!("nothing arrived within {:?}", patience())),
        }
    }

    /// The next thing that arrives within `wait`, if anything does.
    #[track_caller]
    pub fn receive_within(&mut self, wait: Duration) -> Option<Incoming> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(incoming) = self.pending.pop_front() {
                return Some(incoming);
            }
            if let Some(session) = &mut self.session {
                match session.next(deadline.saturating_duration_since(Instant::now())) {
                    Ok(Some(frame)) => self.take_session_frame(&frame),
                    Ok(None) => return None,
                    Err(()) => {
                        self.note("← (the session ended)");
                        return Some(Incoming::End);
                    }
                }
                continue;
            }
            let frame = match frame::take(&mut self.received) {
                Ok(Some(frame)) => frame,
                Ok(None) => match self.read_more(deadline) {
                    Progress::Bytes => continue,
                    Progress::Deadline => return None,
                    Progress::Ended => {
                        self.note("← (TCP ended)");
                        return Some(Incoming::End);
                    }
                },
                Err(fault) => self.fail(&fault),
            };
            if let Some(incoming) = self.take_frame(frame) {
                return Some(incoming);
            }
        }
    }

    /// The payload of the next WebSocket frame but a Close, whatever it says: for framings within the protocol's.
    #[track_caller]
    pub fn raw_text(&mut self) -> String {
        let deadline = Instant::now() + patience();
        loop {
            match frame::take(&mut self.received) {
                Ok(Some(frame)) if frame.opcode != CLOSE => {
                    let text = String::from_utf8_lossy(&frame.payload).into_owned();
                    self.note(&format!("← {text}"));
                    return if frame.opcode == PONG { String::new() } else { text };
                }
                Ok(Some(frame)) => {
                    let closed = self.take_close(&frame.payload);
                    self.fail(&format!("expected a frame, the server closed with {closed:?}"));
                }
                Ok(None) => match self.read_more(deadline) {
                    Progress::Bytes => {}
                    Progress::Deadline => self.fail(&format!("nothing arrived within {:?}", patience())),
                    Progress::Ended => self.fail("the connection ended"),
                },
                Err(fault) => self.fail(&fault),
            }
        }
    }

    /// Reads an HTTP response head; what follows it stays to be read.
    #[track_caller]
    pub fn read_head(&mut self) -> String {
        let deadline = Instant::now() + patience();
        loop {
            if let Some(end) = self.received.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.received[..end]).into_owned();
                self.received.drain(..end + 4);
                self.note(&format!("← {head}"));
                return head;
            }
            match self.read_more(deadline) {
                Progress::Bytes => {}
                Progress::Ended => self.fail("the connection ended before a response head was complete"),
                Progress::Deadline => self.fail(&format!("no response head within {:?}", patience())),
            }
        }
    }

    /// The next binary message. What else comes before it must be a Ping or a Pong.
    #[track_caller]
    pub fn receive_binary(&mut self) -> Vec<u8> {
        let is_passed = |incoming: &Incoming| matches!(incoming, Incoming::Ping(_) | Incoming::Pong(_));
        let binary = self.binary_by(Instant::now() + patience(), is_passed);
        binary.unwrap_or_else(|| self.fail(&format!("no binary message within {:?}", patience())))
    }

    /// The next binary message that comes within `wait`, if one does. What else comes before it is passed over.
    #[track_caller]
    pub fn binary_within(&mut self, wait: Duration) -> Option<Vec<u8>> {
        self.binary_by(Instant::now() + wait, |incoming| !matches!(incoming, Incoming::Close(_)))
    }

    /// The next binary message that comes by then, if one does. What else comes before it must be what is passed over.
    #[track_caller]
    fn binary_by(&mut self, deadline: Instant, is_passed: impl Fn(&Incoming) -> bool) -> Option<Vec<u8>> {
        loop {
            if let Some(binary) = self.binaries.pop_front() {
                return Some(binary);
            }
            match frame::take(&mut self.received) {
                Ok(Some(frame)) => {
                    if let Some(other) = self.take_frame(frame).filter(|incoming| !is_passed(incoming)) {
                        self.fail(&format!("expected a binary message, got {other:?}"));
                    }
                }
                Ok(None) => match self.read_more(deadline) {
                    Progress::Bytes => {}
                    Progress::Deadline => return None,
                    Progress::Ended => self.fail("expected a binary message, but the connection ended"),
                },
                Err(fault) => self.fail(&fault),
            }
        }
    }

    /// Whether binary messages have come that were not asked for.
    #[must_use]
    pub fn has_binary(&self) -> bool {
        !self.binaries.is_empty()
    }

    /// Reads whatever comes, which need not be WebSocket frames, until the server ends the connection.
    #[track_caller]
    pub fn read_to_end(&mut self) -> String {
        let deadline = Instant::now() + patience();
        loop {
            match self.read_more(deadline) {
                Progress::Bytes => {}
                Progress::Ended => {
                    let text = String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned();
                    self.note(&format!("← {text}"));
                    return text;
                }
                Progress::Deadline => self.fail(&format!("the server kept it open for {:?}", patience())),
            }
        }
    }

    /// Fails the test, with everything that went over this connection.
    ///
    /// # Panics
    /// Always.
    #[track_caller]
    pub fn fail(&self, why: &str) -> ! {
        panic!("{why}\n  the connection so far:\n    {}", self.transcript.join("\n    "))
    }

    /// Turns one WebSocket frame into what it means; `None` for a fragment that does not end its message.
    #[track_caller]
    fn take_frame(&mut self, frame: frame::ServerFrame) -> Option<Incoming> {
        match (frame.opcode, self.fragments.take()) {
            (PING, fragments) => {
                self.fragments = fragments;
                self.note(&format!("← PING {:?}", String::from_utf8_lossy(&frame.payload)));
                if self.answers_pings {
                    self.send_frame(FIN | PONG, &frame.payload);
                }
                Some(Incoming::Ping(frame.payload))
            }
            (PONG, fragments) => {
                self.fragments = fragments;
                self.note(&format!("← PONG {:?}", String::from_utf8_lossy(&frame.payload)));
                Some(Incoming::Pong(frame.payload))
            }
            (CLOSE, _) => Some(Incoming::Close(self.take_close(&frame.payload))),
            (TEXT, None) => self.take_text(frame.payload, frame.fin),
            (CONTINUATION, Some(mut begun)) => {
                begun.extend(frame.payload);
                self.take_text(begun, frame.fin)
            }
            (BINARY, None) if self.takes_binary && frame.fin => {
                self.note(&format!("← BINARY {}", String::from_utf8_lossy(&frame.payload)));
                self.binaries.push_back(frame.payload);
                None
            }
            (BINARY, _) => self.fail("the server sent a binary message"),
            (opcode, _) => self.fail(&format!("the server sent the frame {opcode:#x} out of order")),
        }
    }

    #[track_caller]
    fn take_text(&mut self, bytes: Vec<u8>, complete: bool) -> Option<Incoming> {
        if !complete {
            self.fragments = Some(bytes);
            return None;
        }
        let Ok(text) = String::from_utf8(bytes) else { self.fail("the server sent invalid UTF-8") };
        if self.sockjs {
            self.take_session_frame(&text);
            return self.pending.pop_front();
        }
        self.note(&format!("← {text}"));
        let read = if self.speaks_pipe { Message::parse_pipe(&text) } else { Message::parse(&text) };
        match read {
            Ok(message) => Some(Incoming::Message(message)),
            Err(fault) => self.fail(&fault),
        }
    }

    /// Takes a frame of an HTTP transport or of SockJS apart.
    #[track_caller]
    fn take_session_frame(&mut self, text: &str) {
        self.note(&format!("← {text}"));
        match SessionFrame::parse(text) {
            Ok(SessionFrame::Open(_)) => {}
            Ok(SessionFrame::Heartbeat) => self.pending.push_back(Incoming::Ping(Vec::new())),
            Ok(SessionFrame::Messages(messages)) => {
                for message in messages {
                    match Message::parse(&message) {
                        Ok(message) => self.pending.push_back(Incoming::Message(message)),
                        Err(fault) => self.fail(&fault),
                    }
                }
            }
            Ok(SessionFrame::Close(code, reason)) if self.session.is_some() => {
                if code >= 4000 && (reason.is_empty() || code >= 4300) {
                    self.fail(&format!("{code} {reason:?} is no way to close"));
                }
                self.pending.push_back(Incoming::Close(Closed { code, reason }));
            }
            // The Close of the WebSocket follows, and says the same.
            Ok(SessionFrame::Close(..)) => {}
            Err(fault) => self.fail(&fault),
        }
    }

    #[track_caller]
    fn take_close(&mut self, payload: &[u8]) -> Closed {
        let (code, reason) = match payload {
            [] => (1005, String::new()),
            [high, low, reason @ ..] => match std::str::from_utf8(reason) {
                Ok(reason) => (u16::from_be_bytes([*high, *low]), reason.to_owned()),
                Err(_) => self.fail("the reason of the server's Close is no UTF-8"),
            },
            [_] => self.fail("the server's Close carries half a code"),
        };
        self.note(&format!("← CLOSE {code} {reason:?}"));
        // An answer may repeat what the client chose; what the server chooses itself has rules.
        if !self.closing && code >= 4000 && reason.is_empty() {
            self.fail(&format!("the Close {code} gives no reason"));
        }
        if !self.closing && code >= 4300 {
            self.fail(&format!("{code} is no code to close with"));
        }
        Closed { code, reason }
    }

    fn read_more(&mut self, deadline: Instant) -> Progress {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Progress::Deadline;
        }
        self.stream.set_read_timeout(Some(left)).expect("a read timeout");
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Progress::Ended,
            Ok(n) => {
                self.received.extend_from_slice(&chunk[..n]);
                Progress::Bytes
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Progress::Deadline,
            Err(e) if e.kind() == ErrorKind::Interrupted => Progress::Bytes,
            Err(e) if is_gone(e.kind()) => Progress::Ended,
            Err(e) => self.fail(&format!("reading failed: {e}")),
        }
    }

    /// Writes. A connection that the server has just ended is no failure here: what is read next tells.
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Ok(()) => {}
            Err(e) if is_gone(e.kind()) => self.note("→ (not written: the server ended the connection)"),
            Err(e) => self.fail(&format!("writing failed: {e}")),
        }
    }

    fn note(&mut self, line: &str) {
        let mut end = line.len().min(TRANSCRIPT_LINE_BYTES);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let cut = if end < line.len() { format!(" … ({} bytes)", line.len()) } else { String::new() };
        self.transcript.push(format!("{:7.3}s {}{cut}", self.began.elapsed().as_secs_f64(), &line[..end]));
    }
}

enum Progress {
    Bytes,
    Deadline,
    Ended,
}

/// The handshake key of RFC 6455's own example, whose answer is therefore known.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A WebSocket upgrade request with more header lines.
#[must_use]
pub fn upgrade_request(target: &Target, path: &str, headers: &[&str]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n",
        target.host, target.port
    );
    for header in headers {
        request = request + header + "\r\n";
    }
    request + "\r\n"
}

fn is_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}
