//! Takes connections from proxies that begin them with a header of the PROXY protocol.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_service::{ServiceFactory, fn_service};
use tracing::{debug, warn};

use super::guard::AcceptedStream;
use super::idle::IdleList;
use super::peer::{ConnectionPeers, peer_field};
use super::proxies::TrustedProxies;
use super::proxy_header::{self, ProxyHeaderError};
use super::slots::{NoSlot, WorkerSlots};
use super::stream::Socket;

/// How long a proxy may take for its header. It is the first thing that it sends.
const HEADER_TIMEOUT: Duration = Duration::from_secs(3);

/// Headers that one worker waits for at once. One more ends the wait for the oldest.
const MAX_HEADERS: usize = 1024;

/// Why a connection does not begin as it should.
#[derive(Debug, thiserror::Error)]
enum NotProxied {
    #[error("it comes from none of server.trusted_proxies")]
    Stranger,
    #[error("its PROXY header cannot be read: {0}")]
    Header(#[from] ProxyHeaderError),
}

/// Accepts plain connections that begin with a header, on the calling worker thread.
pub(crate) fn accepting_proxied<S: Socket>(
    trusted: Arc<TrustedProxies>,
    room: Rc<WorkerSlots>,
) -> impl ServiceFactory<S, Config = (), Response = AcceptedStream<S>, Error = DispatchError, InitError = ()>
{
    let headers = IdleList::default();
    fn_service(move |mut stream: S| {
        let (trusted, room) = (Arc::clone(&trusted), Rc::clone(&room));
        let waiting = headers.enter_within(MAX_HEADERS);
        let (slot, entry) = room.accept();
        Box::pin(async move {
            let ended = || DispatchError::Io(io::ErrorKind::ConnectionAborted.into());
            let entry = entry.map_err(|NoSlot| {
                room.node().counters().refused.add_from_anywhere(1);
                ended()
            })?;
            let header = async {
                poll_fn(|context| stream.poll_readable(context)).await?;
                read_peers(&mut stream, &trusted, &room).await
            };
            let header = tokio::time::timeout(HEADER_TIMEOUT, header);
            let peers = waiting.unless_evicted(entry.unless_evicted(header)).await.flatten();
            let Some(Ok(peers)) = peers else {
                // Its time is over, or another one's has come.
                room.node().counters().headers_refused.add_from_anywhere(1);
                return Err(ended());
            };
            let peers = peers.map_err(DispatchError::Io)?;
            entry.set_busy();
            Ok(AcceptedStream::new(stream, peers, (slot, Ok(entry))))
        })
    })
}

/// Reads the header, and nothing else, of a peer that may send one: any, where no proxies are named. What is wrong is
/// logged.
///
/// # Errors
/// If it may not, or sends something else.
pub(super) async fn read_peers<S: Socket>(
    stream: &mut S,
    trusted: &TrustedProxies,
    room: &WorkerSlots,
) -> io::Result<ConnectionPeers> {
    let proxy = stream.peer();
    let read = if trusted.is_empty() || trusted.trusts(proxy) {
        proxy_header::read(stream).await.map_err(NotProxied::from)
    } else {
        Err(NotProxied::Stranger)
    };
    match read {
        Ok(client) => Ok(ConnectionPeers::by_proxy(proxy, client)),
        Err(error) => {
            let peer = peer_field(proxy);
            // One that connects and goes only looks whether somebody is here.
            let is_worth_a_warning = !matches!(error, NotProxied::Header(ProxyHeaderError::Io(_)));
            room.node().counters().headers_refused.add_from_anywhere(u64::from(is_worth_a_warning));
            if is_worth_a_warning && room.node().may_warn_of_proxies() {
                warn!(peer, %error, "refused on a listener with proxy_protocol");
            } else {
                debug!(peer, %error, "refused on a listener with proxy_protocol");
            }
            Err(io::Error::other(error))
        }
    }
}
