//! The client's side of a WebSocket, over a stream of bytes that is open already.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use actix_codec::{Decoder, Encoder, Framed};
use actix_http::ws::{Codec, Frame, Item, Message, ProtocolError, hash_key};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
    USER_AGENT,
};
use hyper::http::response;
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

use crate::outbound::AGENT;

/// Bytes that stand before the payload of a frame, at the most.
const FRAME_HEAD_BYTES: usize = 14;

/// How long the next part of a body may take: one without a length, on a connection that stays open, has no end.
const BODY_PATIENCE: Duration = Duration::from_secs(3);

/// Bytes that are read of the body of a refusal.
const REFUSAL_BYTES: usize = 16 * 1024;

/// A stream of bytes, over TLS or not.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// An open WebSocket.
pub(super) struct ClientSocket {
    framed: Framed<TokioIo<Upgraded>, BoundedCodec>,
    /// The fragments of a message that has not come whole.
    fragments: BytesMut,
}

/// Frames, of which one that is too long ends the connection before it is kept: the codec itself looks at its length only when it
/// has come whole.
struct BoundedCodec {
    codec: Codec,
    /// Bytes that a message may have.
    most: usize,
}

impl BoundedCodec {
    fn new(most: usize) -> Self {
        BoundedCodec { codec: Codec::new().max_size(most).client_mode(), most }
    }
}

impl Decoder for BoundedCodec {
    type Item = Frame;
    type Error = ProtocolError;

    fn decode(&mut self, read: &mut BytesMut) -> Result<Option<Frame>, ProtocolError> {
        let frame = self.codec.decode(read)?;
        if frame.is_none() && read.len() > self.most + FRAME_HEAD_BYTES {
            return Err(ProtocolError::Overflow);
        }
        Ok(frame)
    }
}

impl Encoder<Message> for BoundedCodec {
    type Error = ProtocolError;

    fn encode(&mut self, message: Message, written: &mut BytesMut) -> Result<(), ProtocolError> {
        self.codec.encode(message, written)
    }
}

/// What a server answered to a handshake.
pub(super) struct HandshakeAnswer {
    /// Status, version and headers.
    pub(super) head: response::Parts,
    /// The socket, or the beginning of the body of a refusal.
    pub(super) socket: Result<ClientSocket, Bytes>,
}

/// What came over a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SocketMessage {
    Text(String),
    Binary(Bytes),
    /// A ping, which has been answered.
    Ping,
    Pong,
    /// The other side has closed, with a code and a sentence if it gave them.
    Closed(Option<(u16, String)>),
    /// The stream ended without a close.
    Ended,
}

/// Why there is no WebSocket, or no longer one.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    /// The request cannot be sent.
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    /// The stream has failed, or what came was no HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The answer does not go with the request.
    #[error(
        "it is no WebSocket's server: its Sec-WebSocket-Accept does not go with the key that it was sent"
    )]
    WrongAccept,
    /// What came is no WebSocket's.
    #[error("{0}")]
    Frames(#[from] ProtocolError),
    /// A text that is no UTF-8.
    #[error("{0}")]
    Text(#[from] std::string::FromUtf8Error),
    /// More than is kept.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
}

/// Asks for a WebSocket at this address, of which the path and the query are sent and the host is named, with these
/// headers besides those of a handshake; `most` bytes is what a message may have.
///
/// # Errors
/// If no HTTP comes, or an answer to another question.
pub(super) async fn shake_hands(
    stream: Box<dyn ByteStream>,
    url: &Url,
    headers: &[(&str, &str)],
    most: usize,
) -> Result<HandshakeAnswer, SocketError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the connection that it drives.
    tokio::spawn(connection.with_upgrades());
    let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, rand::random::<[u8; 16]>());
    let expected = hash_key(key.as_bytes());
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = Request::get(&url[url::Position::BeforePath..])
        .header(HOST, authority)
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (head, body) = answer.into_parts();
        return Ok(HandshakeAnswer { head, socket: Err(beginning(body, REFUSAL_BYTES).await.0) });
    }
    if answer.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes) != Some(&expected) {
        return Err(SocketError::WrongAccept);
    }
    let upgraded = hyper::upgrade::on(&mut answer).await?;
    let framed = Framed::new(TokioIo::new(upgraded), BoundedCodec::new(most));
    let socket = ClientSocket { framed, fragments: BytesMut::new() };
    Ok(HandshakeAnswer { head: answer.into_parts().0, socket: Ok(socket) })
}

/// So many bytes of a body, as far as they come, and whether they are all of it.
pub(super) async fn beginning(mut body: Incoming, most: usize) -> (Bytes, bool) {
    let mut read = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(BODY_PATIENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return (read.freeze(), true),
            Ok(Some(Err(_))) | Err(_) => return (read.freeze(), false),
        };
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(&data[..data.len().min(most - read.len())]);
        }
        if read.len() == most {
            return (read.freeze(), false);
        }
    }
}

impl ClientSocket {
    /// Sends a text.
    ///
    /// # Errors
    /// If the connection has ended.
    pub(super) async fn say(&mut self, text: String) -> Result<(), SocketError> {
        self.write(Message::Text(text.into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), SocketError> {
        let mut framed = Pin::new(&mut self.framed);
        framed.as_mut().write(message)?;
        Ok(poll_fn(|context| framed.as_mut().flush::<Message>(context)).await?)
    }

    /// The next message, or the end.
    ///
    /// # Errors
    /// If the connection has failed, or what came is no WebSocket's.
    pub(super) async fn hear(&mut self) -> Result<SocketMessage, SocketError> {
        loop {
            let next = poll_fn(|context| Pin::new(&mut self.framed).next_item(context)).await;
            return Ok(match next.transpose()? {
                None => SocketMessage::Ended,
                Some(Frame::Text(text)) => SocketMessage::Text(String::from_utf8(text.to_vec())?),
                Some(Frame::Binary(bytes)) => SocketMessage::Binary(bytes),
                Some(Frame::Ping(payload)) => {
                    self.write(Message::Pong(payload)).await?;
                    SocketMessage::Ping
                }
                Some(Frame::Pong(_)) => SocketMessage::Pong,
                Some(Frame::Close(reason)) => SocketMessage::Closed(
                    reason.map(|reason| (reason.code.into(), reason.description.unwrap_or_default())),
                ),
                Some(Frame::Continuation(item)) => match self.joined(item)? {
                    Some(text) => SocketMessage::Text(text),
                    None => continue,
                },
            });
        }
    }

    /// The text that ends with this fragment.
    fn joined(&mut self, item: Item) -> Result<Option<String>, SocketError> {
        let (part, is_last) = match item {
            Item::FirstText(part) | Item::FirstBinary(part) | Item::Continue(part) => (part, false),
            Item::Last(part) => (part, true),
        };
        let most = self.framed.codec_ref().most;
        if self.fragments.len() + part.len() > most {
            return Err(SocketError::TooLong(most));
        }
        self.fragments.extend_from_slice(&part);
        Ok(if is_last { Some(String::from_utf8(self.fragments.split().to_vec())?) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_has_come() {
        let decoded = |length: u16, came: usize| {
            let head = [&[0x82, 126], length.to_be_bytes().as_slice()].concat();
            let mut read = BytesMut::from(&[head, vec![0; came]].concat()[..]);
            BoundedCodec::new(1000).decode(&mut read)
        };
        assert!(matches!(decoded(1000, 999), Ok(None)));
        assert!(matches!(decoded(1000, 1000), Ok(Some(Frame::Binary(bytes))) if bytes.len() == 1000));
        assert!(matches!(decoded(u16::MAX, 1000), Ok(None)), "not before so many bytes are kept");
        assert!(matches!(decoded(u16::MAX, 1011), Err(ProtocolError::Overflow)));
    }
}
