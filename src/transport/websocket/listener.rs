//! What WebSockets of both kinds share: the settings of the listener that they come by, and the refusal.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::ListenerSettings;
use crate::net::Stream;
use crate::pipe::wire::PipeWire;
use crate::protocol::Frame;
use crate::transport::fallback::FallbackConfig;

/// How long a refused peer may take to answer the close frame.
const REFUSAL_GRACE: Duration = Duration::from_secs(5);

/// The settings of the listener that an upgrade came by.
#[derive(Debug)]
pub(crate) struct WebSocketListener {
    /// What concerns every request.
    pub settings: Rc<ListenerSettings>,
    /// Where SockJS is, prefix included, if it is served.
    pub sockjs: Option<String>,
    /// How long a SockJS client may take to name its app.
    pub introduction_timeout: Duration,
    /// Backends on the pipe's wire.
    pub pipes: Arc<PipeWire>,
    /// Whether it takes backends on the pipe only.
    pub pipes_only: bool,
}

impl WebSocketListener {
    /// A listener with these settings, where SockJS is served as `fallback` says.
    pub(crate) fn new(
        settings: Rc<ListenerSettings>,
        fallback: &FallbackConfig,
        pipes: Arc<PipeWire>,
        pipes_only: bool,
    ) -> Self {
        WebSocketListener {
            sockjs: fallback.enabled.then(|| format!("{}{}", settings.path_prefix, fallback.path)),
            settings,
            introduction_timeout: fallback.introduction_timeout,
            pipes,
            pipes_only,
        }
    }
}

/// Sends these frames, ends the stream, and waits a moment for the peer to have read them.
pub(super) async fn close_handshake<S: Stream>(mut stream: S, frames: impl Iterator<Item = Frame>) {
    let bytes = frames.map(|frame| frame.websocket().clone()).collect::<Vec<_>>().concat();
    let handshake = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    // A peer that is gone, or stays without reading, is not worth more time.
    let _ = tokio::time::timeout(REFUSAL_GRACE, handshake).await;
}
