//! TLS handshakes, bounded in time and number without anybody having to wait for those that say nothing.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_service::{ServiceFactory, fn_service};
use actix_tls::accept::TlsError;
use actix_web::rt::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::TlsStream;
use crate::net::guard::Accepted;
use crate::net::idle::IdleList;
use crate::net::room::{NoRoom, WorkerRoom};

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Handshakes that one worker has under way at once. One more ends the oldest: of those that take their time it is the
/// least likely to end well, and a client that comes to shake hands does not wait for those that have come to say nothing.
const MOST: usize = 1024;

/// Makes TLS connections of plain ones, on the calling worker thread.
pub fn accepting(
    config: rustls::ServerConfig,
    room: Rc<WorkerRoom>,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = Accepted<TlsStream>,
    Error = TlsError<io::Error, DispatchError>,
    InitError = (),
> {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let handshakes = IdleList::default();
    fn_service(move |stream: TcpStream| {
        let (acceptor, handshake) = (acceptor.clone(), handshakes.enter_within(MOST));
        let (counted, entry) = room.accept();
        // What it needs is gone once hands are shaken.
        Box::pin(async move {
            let peer = stream.peer_addr().ok();
            // A refusal would have to be encrypted, which is not worth a handshake.
            let entry = entry.map_err(|NoRoom| TlsError::Timeout)?;
            let shaken = shake_hands(acceptor, stream);
            let shaken = handshake.unless_evicted(entry.unless_evicted(shaken)).await.flatten();
            let stream = shaken.unwrap_or(Err(TlsError::Timeout)).inspect_err(|error| {
                debug!(peer = peer.map(tracing::field::display), ?error, "no TLS handshake");
            })?;
            entry.set_busy();
            Ok(Accepted::new(TlsStream::from(stream), peer, (counted, Ok(entry))))
        })
    })
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
) -> Result<tokio_rustls::server::TlsStream<TcpStream>, TlsError<io::Error, DispatchError>> {
    let shaken = async {
        // Nothing is kept for a client before it has said something.
        stream.readable().await?;
        acceptor.accept(stream).await
    };
    let shaken = tokio::time::timeout(HANDSHAKE, shaken).await;
    shaken.map_err(|_| TlsError::Timeout)?.map_err(TlsError::Tls)
}
