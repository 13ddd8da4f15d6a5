//! Accepts TLS connections. Handshakes are bounded in time and number, and none waits for those that send nothing.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_service::{ServiceFactory, fn_service};
use actix_tls::accept::TlsError;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::TlsStream;
use crate::net::guard::AcceptedStream;
use crate::net::idle::IdleList;
use crate::net::proxied::read_peers;
use crate::net::slots::{NoSlot, WorkerSlots};
use crate::net::{ConnectionPeers, Socket, TrustedProxies, peer_field};

/// How long a client may take for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Handshakes that one worker has under way at once. One more ends the oldest: of those that take their time it is the
/// least likely to end well, and a client that shakes hands does not wait for those that send nothing.
const MAX_HANDSHAKES: usize = 1024;

/// Makes TLS connections of plain ones, on the calling worker thread. Where they are `proxied`, each begins with a header of
/// the PROXY protocol.
pub(crate) fn accepting<S: Socket>(
    config: rustls::ServerConfig,
    proxied: Option<Arc<TrustedProxies>>,
    room: Rc<WorkerSlots>,
) -> impl ServiceFactory<
    S,
    Config = (),
    Response = AcceptedStream<TlsStream<S>>,
    Error = TlsError<io::Error, DispatchError>,
    InitError = (),
> {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let handshakes = IdleList::default();
    room.node().watch_handshakes(handshakes.count());
    fn_service(move |stream: S| {
        let (acceptor, proxied, slots) = (acceptor.clone(), proxied.clone(), Rc::clone(&room));
        let handshake = handshakes.enter_within(MAX_HANDSHAKES);
        let (slot, entry) = room.accept();
        // What the handshake needs is dropped at its end.
        Box::pin(async move {
            let peer = stream.peer();
            // A refusal would have to be encrypted, which is not worth a handshake.
            let counters = slots.node().counters();
            let entry = entry.map_err(|NoSlot| {
                counters.refused.add_from_anywhere(1);
                TlsError::Timeout
            })?;
            let stream_or_error = shake_hands(acceptor, stream, proxied.as_deref(), &slots);
            let stream_or_error =
                handshake.unless_evicted(entry.unless_evicted(stream_or_error)).await.flatten();
            let (stream, peers) = stream_or_error.unwrap_or(Err(TlsError::Timeout)).inspect_err(|error| {
                counters.handshakes_failed.add_from_anywhere(1);
                debug!(peer = peer_field(peer), ?error, "no TLS handshake");
            })?;
            counters.handshakes_completed.add_from_anywhere(1);
            entry.set_busy();
            Ok(AcceptedStream::new(TlsStream::from(stream), peers, (slot, Ok(entry))))
        })
    })
}

async fn shake_hands<S: Socket>(
    acceptor: TlsAcceptor,
    mut stream: S,
    proxied: Option<&TrustedProxies>,
    slots: &WorkerSlots,
) -> Result<(tokio_rustls::server::TlsStream<S>, ConnectionPeers), TlsError<io::Error, DispatchError>> {
    let stream_or_error = async {
        // Nothing is kept for a client before it has said something.
        poll_fn(|context| stream.poll_readable(context)).await?;
        let _under_way = slots.node().begin_handshake();
        let peers = match proxied {
            Some(trusted) => read_peers(&mut stream, trusted, slots).await?,
            None => ConnectionPeers::direct(stream.peer()),
        };
        Ok((acceptor.accept(stream).await?, peers))
    };
    let stream_or_error = tokio::time::timeout(HANDSHAKE_TIMEOUT, stream_or_error).await;
    stream_or_error.map_err(|_| TlsError::Timeout)?.map_err(TlsError::Tls)
}
