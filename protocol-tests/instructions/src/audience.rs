//! A worker with subscribers whose sockets take everything: the broadcast path without the kernel.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use actix_web::rt::task::yield_now;
use actix_web::rt::{System, SystemRunner};

use heliostat::app::App;
use heliostat::config::ConnectionConfig;
use heliostat::tools::connection::{Join, JoinNumber};
use heliostat::tools::event::{AcceptedEvent, Destination, Source};
use heliostat::tools::hub::{AppState, Bounds, Client, Hub, Outbox, Transport, Worker, Written};
use heliostat::tools::protocol::json::Data;
use heliostat::tools::protocol::{ChannelName, ProtocolVersion, SocketId};

use super::client;

/// Turns of the worker in which everything must be written. Far more than it takes, so that a path that is broken
/// ends with a message and not never.
const MOST_TURNS: usize = 100_000;

/// Subscribers of one channel, all on the worker of the calling thread. A thread can have one audience only.
pub struct Audience {
    system: SystemRunner,
    worker: Rc<Worker>,
    app: Arc<AppState>,
    channel: ChannelName,
    clients: Vec<Rc<Client>>,
    /// Frames that all of them have been given since this was last set to 0.
    written: Rc<Cell<usize>>,
}

/// Who hears the events of a channel with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearers {
    /// Clients as they are.
    Nameless,
    /// Clients that have given themselves names.
    Named,
}

/// A socket that takes everything at once. A client that has a name is pinged behind the first event, and then no more: by
/// the clock that would be more or less often, as the machine is busy.
struct Sink {
    written: Rc<Cell<usize>>,
}

impl Transport for Sink {
    fn write(&self, outbox: &mut Outbox, _: &mut Context<'_>) -> io::Result<Written> {
        self.written.set(self.written.get() + outbox.frames());
        outbox.advance(outbox.bytes());
        Ok(Written::Everything)
    }

    fn ping_pace(&self) -> Option<Duration> {
        Some(Duration::from_secs(3600))
    }
}

impl Audience {
    /// Subscribes `size` connections to `channel`.
    ///
    /// # Panics
    /// If the hub refuses one.
    #[must_use]
    pub fn of(size: usize, channel: &ChannelName) -> Self {
        Audience::among(client::app(), size, channel, None)
    }

    /// Subscribes `size` connections to `channel`, which keeps its events.
    ///
    /// # Panics
    /// If the hub refuses one.
    #[must_use]
    pub fn of_kept(size: usize, channel: &ChannelName, hearers: Hearers) -> Self {
        Audience::among(client::keeping_app(), size, channel, Some(hearers))
    }

    fn among(of: App, size: usize, channel: &ChannelName, hearers: Option<Hearers>) -> Self {
        let system = System::new();
        let hub =
            Hub::new(vec![(of.clone(), Vec::new())], ConnectionConfig::default(), 1, 0).expect("one app");
        let app = Arc::clone(hub.apps().state_of(&of).expect("the app of the hub"));
        let worker = system.block_on(async { Worker::of_this_thread(&hub).expect("the only worker") });
        let written = Rc::new(Cell::new(0));
        let mut audience =
            Audience { system, worker, app, channel: channel.clone(), clients: Vec::new(), written };
        let join = Join::plain(channel.clone(), JoinNumber::default());
        for number in 0..size {
            let client = audience.admit();
            if hearers == Some(Hearers::Named) {
                audience.worker.name_as(&client, "app-key", &format!("name-of-client-{number:08}"));
            }
            audience.worker.join(&client, &join).expect("no bus to wait for").expect("a first subscription");
            audience.clients.push(client);
        }
        // Whoever has a name is told what became of it, and pinged.
        let frames = if hearers == Some(Hearers::Named) { 3 } else { 1 };
        audience.run(audience.written(frames * size));
        audience
    }

    /// A connection that is subscribed to nothing.
    ///
    /// # Panics
    /// If the hub refuses it.
    #[must_use]
    pub fn admit(&self) -> Rc<Client> {
        let socket_id = self.worker.admit(&self.app, true).expect("room for a connection").socket_id;
        let config = self.worker.hub().connection_config();
        let bounds = Bounds { bytes: config.outbox_bytes, frames: config.outbox_frames };
        let sink = Sink { written: Rc::clone(&self.written) };
        let client: Rc<Client> =
            Rc::new(Client::new(Arc::clone(&self.app), socket_id, ProtocolVersion::NEWEST, bounds, sink));
        self.worker.open(&client);
        client
    }

    /// The worker that they are all on.
    #[must_use]
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// One of them.
    #[must_use]
    pub fn someone(&self) -> SocketId {
        self.clients[self.clients.len() / 2].socket_id()
    }

    /// An event of a backend, to all of them.
    #[must_use]
    pub fn event<'a>(&self, name: &'a str, data: Data<'a>) -> AcceptedEvent<'a> {
        let to = Destination::Subscribers { channel: self.channel.clone(), except: None };
        AcceptedEvent { source: Source::Http, to, name: name.into(), data, raw: None }
    }

    /// Publishes it, from the worker's own thread.
    pub fn publish(&self, event: &AcceptedEvent<'_>) {
        self.worker.hub().accept(&self.app, event);
    }

    /// Publishes an event `times` times, each time only when everybody has been written the last one.
    ///
    /// # Panics
    /// If they never are.
    pub fn broadcast(&self, times: usize, event: &AcceptedEvent<'_>) {
        let hearers = self.clients.len();
        self.run(async {
            for _ in 0..times {
                self.publish(event);
                self.written(hearers).await;
            }
        });
    }

    /// Runs on the worker's thread.
    pub fn run<R>(&self, future: impl Future<Output = R>) -> R {
        self.system.block_on(future)
    }

    /// Waits until `frames` frames have been written, to whomever.
    ///
    /// # Panics
    /// If they never are, or if it were more.
    pub async fn written(&self, frames: usize) {
        for _ in 0..MOST_TURNS {
            if self.written.get() >= frames {
                assert_eq!(self.written.take(), frames, "more was written than was asked for");
                return;
            }
            yield_now().await;
        }
        panic!("{} of {frames} frames were written in {MOST_TURNS} turns", self.written.get());
    }
}

impl std::fmt::Debug for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audience").field("size", &self.clients.len()).finish_non_exhaustive()
    }
}
