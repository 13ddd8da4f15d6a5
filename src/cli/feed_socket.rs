//! A WebSocket to an admin listener, for what happens while it happens.

use std::fmt::Display;
use std::time::Duration;

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tower_service::Service;
use url::Url;

use super::remote::{ADMIN_MAY_BE_OFF, NO_ADMIN_LISTENER, RemoteFailure};
use super::web_socket::{ByteStream, ClientSocket, SocketMessage, shake_hands};
use crate::outbound::client::with_causes;
use crate::outbound::connector;

/// How long it may take until it is open.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of one message, which tells of all that happened in some time.
const MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// An open WebSocket, of which only texts are heard.
pub(super) struct FeedSocket(ClientSocket);

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
        self.0.say(text).await.map_err(ended)
    }

    /// The next text; `None` at the end.
    ///
    /// # Errors
    /// If the connection has failed, or what came is no WebSocket's.
    pub(super) async fn hear(&mut self) -> Result<Option<String>, RemoteFailure> {
        loop {
            match self.0.hear().await.map_err(ended)? {
                SocketMessage::Text(text) => return Ok(Some(text)),
                SocketMessage::Closed(Some((4005, reason))) => {
                    return Err(ended(format!("{reason}; {NO_ADMIN_LISTENER}")));
                }
                SocketMessage::Closed(Some((_, reason))) if !reason.is_empty() => return Err(ended(reason)),
                SocketMessage::Closed(_) | SocketMessage::Ended => return Ok(None),
                SocketMessage::Ping | SocketMessage::Pong | SocketMessage::Binary(_) => {}
            }
        }
    }
}

fn ended(why: impl Display) -> RemoteFailure {
    RemoteFailure::not_done(format!("the connection has ended: {why}"))
}

async fn opened(url: &Url, token: &str) -> Result<FeedSocket, RemoteFailure> {
    let cannot = |why: &dyn Display| RemoteFailure::not_done(format!("{url} cannot be asked: {why}"));
    let server: Uri = url.as_str().parse().map_err(|error| cannot(&error))?;
    let mut connector = connector(None).map_err(|error| cannot(&error))?;
    let stream = connector.call(server).await.map_err(|error| {
        let why = with_causes(&*error);
        cannot(&format!("{why}; {ADMIN_MAY_BE_OFF}"))
    })?;
    let stream: Box<dyn ByteStream> = Box::new(TokioIo::new(stream));
    let shown = format!("Bearer {token}");
    let answer = shake_hands(stream, url, &[("authorization", &shown)], MESSAGE_BYTES).await;
    let answer = answer.map_err(|error| cannot(&error))?;
    answer.socket.map(FeedSocket).map_err(|_| {
        let status = answer.head.status.as_u16();
        let hint = match status {
            401 => ": the token is wrong",
            200..=399 | 404 => ": it is no admin listener with a console",
            503 => ": too many are watching",
            _ => "",
        };
        RemoteFailure::not_done(format!("{url} answered {status}{hint}"))
    })
}
