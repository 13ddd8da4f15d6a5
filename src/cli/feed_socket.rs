//! A WebSocket to an admin listener, for what happens while it happens.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::ws::{Codec, Frame, Item, Message, hash_key};
use bytes::{Bytes, BytesMut};
use http_body_util::Empty;
use hyper::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::remote::RemoteFailure;
use crate::outbound::{AGENT, client_tls};

/// How long it may take until it is open.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of one message.
const MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// A stream of bytes, over TLS or not.
trait FeedStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> FeedStream for S {}

/// An open WebSocket.
pub(super) struct FeedSocket {
    framed: Framed<TokioIo<Upgraded>, Codec>,
    /// The fragments of a message that has not come whole.
    fragments: BytesMut,
}

impl FeedSocket {
    /// Opens one, showing this token.
    ///
    /// # Errors
    /// If it cannot be had.
    pub(super) async fn open(url: &Url, token: &str) -> Result<Self, RemoteFailure> {
        match tokio::time::timeout(TIMEOUT, opened(url, token)).await {
            Ok(opened) => opened,
            Err(_) => Err(RemoteFailure::not_done(format!("{url} did not answer within {TIMEOUT:?}"))),
        }
    }

    /// Sends a text.
    ///
    /// # Errors
    /// If the connection has ended.
    pub(super) async fn say(&mut self, text: String) -> Result<(), RemoteFailure> {
        self.write(Message::Text(text.into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), RemoteFailure> {
        let mut framed = Pin::new(&mut self.framed);
        framed.as_mut().write(message).map_err(ended)?;
        poll_fn(|context| framed.as_mut().flush::<Message>(context)).await.map_err(ended)
    }

    /// The next text; `None` at the end.
    ///
    /// # Errors
    /// If the connection has failed, or what came is no WebSocket's.
    pub(super) async fn hear(&mut self) -> Result<Option<String>, RemoteFailure> {
        loop {
            let next = poll_fn(|context| Pin::new(&mut self.framed).next_item(context)).await;
            match next.transpose().map_err(ended)? {
                None => return Ok(None),
                Some(Frame::Text(text)) => return text_of(&text).map(Some),
                Some(Frame::Ping(payload)) => self.write(Message::Pong(payload)).await?,
                Some(Frame::Continuation(item)) => {
                    let (part, is_last) = match item {
                        Item::FirstText(part) | Item::FirstBinary(part) | Item::Continue(part) => {
                            (part, false)
                        }
                        Item::Last(part) => (part, true),
                    };
                    if self.fragments.len() + part.len() > MESSAGE_BYTES {
                        return Err(ended("a message is too long"));
                    }
                    self.fragments.extend_from_slice(&part);
                    if is_last {
                        return text_of(&self.fragments.split()).map(Some);
                    }
                }
                Some(Frame::Close(Some(reason))) if reason.description.is_some() => {
                    return Err(ended(reason.description.unwrap_or_default()));
                }
                Some(Frame::Close(_)) => return Ok(None),
                Some(Frame::Pong(_) | Frame::Binary(_)) => {}
            }
        }
    }
}

fn text_of(bytes: &[u8]) -> Result<String, RemoteFailure> {
    String::from_utf8(bytes.to_vec()).map_err(ended)
}

fn ended(why: impl std::fmt::Display) -> RemoteFailure {
    RemoteFailure::not_done(format!("the connection has ended: {why}"))
}

async fn opened(url: &Url, token: &str) -> Result<FeedSocket, RemoteFailure> {
    let cannot =
        |why: &dyn std::fmt::Display| RemoteFailure::not_done(format!("{url} cannot be asked: {why}"));
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(80);
    let tcp = TcpStream::connect((host, port)).await.map_err(|error| cannot(&error))?;
    let stream: Box<dyn FeedStream> = if url.scheme() == "https" {
        let tls = client_tls(None, None).map_err(|error| cannot(&error))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| cannot(&error))?;
        Box::new(TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.map_err(|error| cannot(&error))?)
    } else {
        Box::new(tcp)
    };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| cannot(&error))?;
    // It ends with the connection that it drives.
    tokio::spawn(connection.with_upgrades());
    let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, rand::random::<[u8; 16]>());
    let expected = hash_key(key.as_bytes());
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = Request::get(&url[url::Position::BeforePath..])
        .header(HOST, authority)
        .header(USER_AGENT, AGENT)
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key)
        .body(Empty::<Bytes>::new())
        .map_err(|error| cannot(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| cannot(&error))?;
    let status = answer.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let hint = match status.as_u16() {
            401 => ": the token is wrong",
            404 => ": it is no admin listener with a console",
            503 => ": too many are watching",
            _ => "",
        };
        return Err(RemoteFailure::not_done(format!("{url} answered {}{hint}", status.as_u16())));
    }
    let accepted = answer.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accepted != Some(&expected) {
        return Err(cannot(&"it is no WebSocket's server"));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(|error| cannot(&error))?;
    let codec = Codec::new().max_size(MESSAGE_BYTES).client_mode();
    Ok(FeedSocket { framed: Framed::new(TokioIo::new(upgraded), codec), fragments: BytesMut::new() })
}
