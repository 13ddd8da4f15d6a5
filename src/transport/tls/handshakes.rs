//! TLS handshakes, bounded in time and number without anybody having to wait for those that say nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::Protocol;
use actix_http::error::DispatchError;
use actix_service::{ServiceFactory, fn_service};
use actix_tls::accept::TlsError;
use actix_web::rt::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::TlsStream;

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// Handshakes that one worker has under way at once. One more ends the oldest: of those that take their time it is the
/// least likely to end well, and a client that comes to shake hands does not wait for those that have come to say nothing.
const MOST: usize = 1024;

/// The handshakes that a worker has under way, the oldest first. Whoever is taken out of it is ended.
#[derive(Debug, Default)]
struct Handshakes {
    begun: Cell<u64>,
    under_way: RefCell<BTreeMap<u64, oneshot::Sender<Infallible>>>,
}

/// One of them.
struct Handshake {
    all: Rc<Handshakes>,
    number: u64,
    /// Ends when it is to end.
    ousted: oneshot::Receiver<Infallible>,
}

impl Handshakes {
    fn begin(self: &Rc<Self>) -> Handshake {
        let (sender, ousted) = oneshot::channel();
        let number = self.begun.replace(self.begun.get() + 1);
        let mut under_way = self.under_way.borrow_mut();
        if under_way.len() >= MOST {
            under_way.pop_first();
        }
        under_way.insert(number, sender);
        Handshake { all: Rc::clone(self), number, ousted }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.under_way.borrow_mut().remove(&self.number);
    }
}

/// Makes TLS connections of plain ones, on the calling worker thread.
pub fn accepting(
    config: rustls::ServerConfig,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = (TlsStream, Protocol, Option<SocketAddr>),
    Error = TlsError<io::Error, DispatchError>,
    InitError = (),
> {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let all = Rc::new(Handshakes::default());
    fn_service(move |stream: TcpStream| {
        let (acceptor, handshake) = (acceptor.clone(), all.begin());
        async move {
            let peer = stream.peer_addr().ok();
            let stream = shake_hands(acceptor, stream, handshake).await.inspect_err(|error| {
                debug!(peer = peer.map(tracing::field::display), ?error, "no TLS handshake");
            })?;
            Ok((TlsStream::from(stream), Protocol::Http1, peer))
        }
    })
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    mut handshake: Handshake,
) -> Result<tokio_rustls::server::TlsStream<TcpStream>, TlsError<io::Error, DispatchError>> {
    let shaken = async {
        // Nothing is kept for a client before it has said something.
        stream.readable().await?;
        acceptor.accept(stream).await
    };
    tokio::select! {
        shaken = shaken => shaken.map_err(TlsError::Tls),
        _ = &mut handshake.ousted => Err(TlsError::Timeout),
        () = tokio::time::sleep(HANDSHAKE) => Err(TlsError::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_ends_the_oldest() {
        let all = Rc::new(Handshakes::default());
        let mut handshakes: Vec<_> = (0..MOST).map(|_| all.begin()).collect();
        // One that is over makes room.
        drop(handshakes.remove(5));
        handshakes.push(all.begin());
        let is_ousted = |handshake: &mut Handshake| {
            handshake.ousted.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        };
        assert!(!handshakes.iter_mut().any(is_ousted));
        handshakes.push(all.begin());
        let ousted: Vec<_> = handshakes.iter_mut().map(is_ousted).collect();
        assert!(ousted[0] && !ousted[1..].contains(&true));
        assert_eq!(all.under_way.borrow().len(), MOST);
        drop(handshakes);
        assert!(all.under_way.borrow().is_empty());
    }
}
