//! Admits SockJS clients on a WebSocket: the client names its app in its first message, and only then there is a
//! connection. From then on it is one like any other, with SockJS's framing around each message or without.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::info;

use super::WebSocket;
use super::driver::Driver;
use super::listener::{WebSocketListener, close_handshake};
use crate::connection::{Probe, last_error};
use crate::http::Arrival;
use crate::hub::Worker;
use crate::net::guard::UpgradeSlot;
use crate::net::{Stream, peer_field};
use crate::protocol::frame_reader::{FrameEvent, FrameReader};
use crate::protocol::{CloseCode, Form, Frame, Negotiated, ProtocolVersion};
use crate::recovery::GivenName;
use crate::transport::admission::{self, ConnectRequest, ConnectionPath, ConnectionRefusal};
use crate::transport::conversation::Conversation;
use crate::transport::fallback::{IntroducedPath, SockJsFraming, messages_of_frame};

/// Bytes that the first message may have.
const INTRODUCTION_BYTES: usize = 16 * 1024;

/// What a client has sent before there is a connection.
#[derive(Default)]
struct EarlyInput {
    messages: Vec<String>,
    /// Messages that could not be read.
    broken: bool,
    pongs: Vec<Frame>,
    closed: Option<Frame>,
}

/// The life of one such connection, from its handshake to its end.
pub(super) async fn connect<S: Stream>(
    worker: Rc<Worker>,
    listener: Rc<WebSocketListener>,
    (framing, name): (SockJsFraming, GivenName),
    arrival: Arrival,
    (mut stream, slot): (S, UpgradeSlot),
    early: BytesMut,
) {
    // It is no connection of an app yet, and counts as an HTTP connection until it is.
    let mut reader = FrameReader::new(INTRODUCTION_BYTES);
    let introduced = read_introduction(&mut stream, framing, &mut reader, early);
    let input = slot.unless_evicted(with_timeout(listener.introduction_timeout, introduced)).await;
    let refused = match input.unwrap_or(Ok(None)) {
        Ok(Some(input)) => {
            let mut messages = input.messages.into_iter();
            let first = messages.next().unwrap_or_default();
            let path = IntroducedPath::read(&first, &listener.settings.path_prefix, name);
            let ConnectionPath { key, name } = path.named;
            let connect_request = ConnectRequest { key, name, query: &path.query, arrival: &arrival };
            match admission::admit(&worker, &connect_request) {
                Ok(admitted) => {
                    drop(slot);
                    let form = match framing {
                        SockJsFraming::Framed => Form::Quoted,
                        SockJsFraming::Raw => Form::Plain,
                    };
                    let cells = Arc::clone(admitted.app.cells_of(worker.index()));
                    let transport = WebSocket { stream: RefCell::new(stream), form, cells };
                    let Negotiated { parameterless, .. } = admitted.agreed;
                    let probe = Probe::ControlFrame;
                    let begun = Conversation::begin(worker, admitted, probe, transport);
                    let mut driver = Driver::resuming(begun, reader);
                    driver.start(parameterless, path.query.get("channel"), &mut []);
                    messages.for_each(|message| driver.receive(&message));
                    return driver.await;
                }
                Err(refused) => refused,
            }
        }
        Ok(None) => return,
        Err(refused) => {
            let code = refused.code.code();
            let reason = &refused.reason;
            let (peer, proxy) = (peer_field(arrival.peer), arrival.proxy());
            let origin = arrival.origin();
            info!(code, reason, peer, proxy, origin, "SockJS connection refused");
            admission::announce_nameless(worker.hub(), &arrival, refused.code, reason);
            refused
        }
    };
    slot.unless_evicted(close_handshake(stream, last_frames(framing, &refused).into_iter())).await;
}

/// Says why to a client that is not even asked for its app, and waits a moment for it to have read that.
pub(super) async fn refuse<S: Stream>(
    stream: S,
    slot: UpgradeSlot,
    framing: SockJsFraming,
    refused: ConnectionRefusal,
) {
    let opening = (framing == SockJsFraming::Framed).then(Frame::quoted_hello);
    let frames = opening.into_iter().chain(last_frames(framing, &refused));
    slot.unless_evicted(close_handshake(stream, frames)).await;
}

/// What a client that is refused is sent.
fn last_frames(framing: SockJsFraming, refused: &ConnectionRefusal) -> Vec<Frame> {
    let ConnectionRefusal { code, reason, version } = refused;
    let error = last_error(*version, *code, reason);
    let close = Frame::close(*code, reason);
    match framing {
        SockJsFraming::Raw => error.into_iter().chain([close]).collect(),
        SockJsFraming::Framed => {
            let error = error.map(|error| error.quoted());
            error.into_iter().chain([Frame::quoted_close(*code, reason), close]).collect()
        }
    }
}

async fn with_timeout<T>(
    timeout: Duration,
    introduced: impl Future<Output = Result<T, ConnectionRefusal>>,
) -> Result<T, ConnectionRefusal> {
    tokio::time::timeout(timeout, introduced).await.unwrap_or_else(|_| {
        let reason = "No app was named in time, expected {\"path\":\"/app/KEY?protocol=7\"}";
        Err(refused(CloseCode::Unauthorized, reason))
    })
}

/// Sends the opening frame, and reads until the first message has come; `None` if the peer went before.
async fn read_introduction<S: Stream>(
    stream: &mut S,
    framing: SockJsFraming,
    reader: &mut FrameReader,
    mut early: BytesMut,
) -> Result<Option<EarlyInput>, ConnectionRefusal> {
    if framing == SockJsFraming::Framed && write(stream, &Frame::quoted_hello()).await.is_err() {
        return Ok(None);
    }
    loop {
        let mut input = EarlyInput::default();
        let outcome = reader.feed(&mut early, |event| input.take(event, framing));
        if let Err(error) = outcome {
            return Err(refused(error.close_code(), &error.to_string()));
        }
        if input.broken {
            return Err(refused(CloseCode::ProtocolError, "Broken framing."));
        }
        for answer in input.pongs.iter().chain(&input.closed) {
            if write(stream, answer).await.is_err() {
                return Ok(None);
            }
        }
        if input.closed.is_some() {
            // The peer has closed, and reads no more.
            let _ = stream.shutdown().await;
            return Ok(None);
        }
        if !input.messages.is_empty() {
            return Ok(Some(input));
        }
        early.clear();
        match stream.read_buf(&mut early).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
    }
}

impl EarlyInput {
    fn take(&mut self, event: FrameEvent<'_>, framing: SockJsFraming) -> bool {
        match event {
            FrameEvent::Text(text) if framing == SockJsFraming::Raw => self.messages.push(text.to_owned()),
            FrameEvent::Text(text) => match messages_of_frame(text) {
                Ok(messages) => self.messages.extend(messages),
                Err(_) => self.broken = true,
            },
            FrameEvent::Ping(payload) => self.pongs.push(Frame::pong(payload)),
            // Its reader refuses binary messages.
            FrameEvent::Pong(_) | FrameEvent::Binary(_) => {}
            FrameEvent::Close(code) => self.closed = Some(Frame::close_echo(code)),
        }
        !self.broken
    }
}

async fn write<S: Stream>(stream: &mut S, frame: &Frame) -> io::Result<()> {
    stream.write_all(frame.websocket()).await?;
    stream.flush().await
}

fn refused(code: CloseCode, reason: &str) -> ConnectionRefusal {
    ConnectionRefusal { code: code.into(), reason: reason.to_owned(), version: Some(ProtocolVersion::NEWEST) }
}
