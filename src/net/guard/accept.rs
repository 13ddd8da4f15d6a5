//! Takes accepted streams to the HTTP server: gives each a slot and a guard, or refuses it where there is no slot.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_http::Protocol;
use actix_http::error::DispatchError;
use actix_service::{IntoServiceFactory, Service, ServiceFactory, apply_fn_factory};
use tokio::io::AsyncWriteExt;

use super::connection_task::{ConnectionTask, UpgradeTask};
use super::exchange::{Exchange, ExchangeBounds};
use super::{GuardedStream, Stream};
use crate::net::idle::IdleEntry;
use crate::net::slots::{ConnectionSlot, NoSlot, WorkerSlots};
use crate::net::{ConnectionPeers, Socket};

/// The answer to a connection that there is no slot for.
const NO_SLOT_ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 32\r\n\r\nNo room for another connection.\n";

/// How long a connection that there is no slot for may take to read that.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(100);

/// A stream that was accepted, on its way to the HTTP server.
#[derive(Debug)]
pub(crate) struct AcceptedStream<S> {
    stream: S,
    peers: ConnectionPeers,
    slot: ConnectionSlot,
    entry: Result<IdleEntry, NoSlot>,
}

impl<S> AcceptedStream<S> {
    /// A stream of these peers, with its slot and its entry among the idle ones.
    pub(in crate::net) fn new(
        stream: S,
        peers: ConnectionPeers,
        (slot, entry): (ConnectionSlot, Result<IdleEntry, NoSlot>),
    ) -> Self {
        AcceptedStream { stream, peers, slot, entry }
    }
}

impl<S: Socket> AcceptedStream<S> {
    /// A plain stream, as it was accepted.
    pub(crate) fn plain(stream: S, room: &Rc<WorkerSlots>) -> Self {
        let peers = ConnectionPeers::direct(stream.peer());
        AcceptedStream::new(stream, peers, room.accept())
    }
}

/// A stream as the HTTP server takes it, with its peer.
type HttpInput<S> = (GuardedStream<S>, Protocol, Option<SocketAddr>);

/// Guards every stream, as `accept` makes it of what comes, and hands it to the HTTP server. One that there is no room
/// for is told so and closed.
pub(crate) fn guarding<R, S: Stream, H>(
    room: Rc<WorkerSlots>,
    bounds: ExchangeBounds,
    accept: impl Fn(R) -> AcceptedStream<S> + Clone,
    http: impl IntoServiceFactory<H, HttpInput<S>>,
) -> impl ServiceFactory<R, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    H: ServiceFactory<HttpInput<S>, Config = (), Response = (), Error = DispatchError, InitError = ()>,
{
    apply_fn_factory(http, move |request: R, http: &H::Service| {
        let AcceptedStream { stream, peers, slot, entry } = accept(request);
        let begun = entry.and_then(|entry| Ok((entry, room.begin_http()?)));
        let Ok((entry, http_slot)) = begun else {
            room.node().counters().refused.add_from_anywhere(1);
            return ConnectionTask::other(refuse(stream), slot);
        };
        let upgrade_task = UpgradeTask::default();
        let guarded_stream = GuardedStream {
            stream,
            exchange: Rc::new(Exchange::new(Instant::now(), bounds.unread_bytes, entry)),
            bounds,
            timer: None,
            new: true,
            handed_on: 0,
            write_waits: None,
            reading_waits: false,
            peers,
            slot: http_slot,
            upgrade_task: upgrade_task.clone(),
        };
        ConnectionTask::http(http.call((guarded_stream, Protocol::Http1, peers.peer)), upgrade_task, slot)
    })
}

/// Says that there is no room. A new socket has room for that; a peer that makes it wait is not worth the time.
async fn refuse<S: Stream>(mut stream: S) {
    let answered = async {
        stream.write_all(NO_SLOT_ANSWER).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, answered).await;
}
