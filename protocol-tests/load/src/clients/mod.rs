//! All clients and publishers of one run, on one thread and one epoll.

mod client;
mod publisher;
mod socket;
mod template;
mod viewing;

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use rustls::ClientConfig;
use rustls::client::Resumption;

use crate::ledger::{Ledger, Seat};
use crate::wire::mark::{Finder, Mark};
use crate::wire::signature::{App, Signer};
use client::Client;
use publisher::Publisher;
use socket::Socket;

pub(crate) use client::{ACCEPT, Ending, KEY};
pub(crate) use publisher::Keeping;
pub(crate) use template::{Film, Template};
pub(crate) use viewing::{GROUP, Viewing};

/// Tokens from here on are publishers; below are clients.
const FIRST_PUBLISHER: usize = 1 << 24;
/// Sockets dealt with before anything else gets its turn, such as the next publish.
const EVENTS_PER_STEP: usize = 256;
/// Larger than what a socket usually has ready, so that one read empties it.
const SCRATCH_BYTES: usize = 256 * 1024;
/// Connections being opened at a time, unless a scenario says otherwise. Below any backlog.
pub(crate) const OPENING_AT_ONCE: usize = 64;
/// A server that says nothing for so long is not going to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Why a run cannot go on. The figures of such a run are worth nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The sockets, or `/proc`.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server stopped answering.
    #[error("{0}")]
    Silence(String),
}

/// A channel that a client wants to subscribe to. Its name says whether that must be signed.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) channel: Rc<str>,
    /// Who it is, in a presence channel.
    pub(crate) member: Option<u32>,
}

impl Wish {
    pub(crate) fn channel(name: &str) -> Wish {
        Wish { channel: name.into(), member: None }
    }
}

/// What all sockets of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    pub(crate) counts: Counts,
    /// Nanoseconds from due to delivered, while somebody wants to know.
    pub(crate) latencies: Option<Vec<u64>>,
    /// Of each message, by publisher and sequence number, what it took to the last who was sent it, while somebody wants to know
    /// that as well.
    pub(crate) slowest: Option<HashMap<(u32, u32), u64>>,
    /// Notifications about members: by client, then by member, how many arrived.
    pub(crate) members_heard: Vec<Vec<u32>>,
    finder: Finder,
    signer: Signer,
    start: Instant,
    mask: u32,
    frame: Vec<u8>,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Clients whose every subscription has succeeded, ever.
    pub(crate) subscribed: u64,
    /// Subscriptions that have succeeded, ever.
    pub(crate) granted: u64,
    /// HTTP requests that were answered.
    pub(crate) answered: u64,
    /// Reads that brought something: deliveries divided by this is how many came at once.
    pub(crate) reads: u64,
    /// Members announced as joined or left.
    pub(crate) member_events: u64,
    /// Connections that ended without this side's doing.
    pub(crate) ended: u64,
}

impl Shared {
    /// A message with this mark has arrived.
    fn taken(&mut self, mark: &Mark, now: Instant) {
        let taken = self.nanoseconds(now).saturating_sub(mark.nanoseconds);
        let Some(latencies) = &mut self.latencies else { return };
        latencies.push(taken);
        if let Some(slowest) = &mut self.slowest {
            let slowest = slowest.entry((mark.publisher, mark.sequence)).or_default();
            *slowest = taken.max(*slowest);
        }
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_nanos() as u64
    }

    fn next_mask(&mut self) -> [u8; 4] {
        self.mask = self.mask.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) | 1;
        self.mask.to_be_bytes()
    }
}

/// The clients and publishers of one run.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) shared: Shared,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    clients: Vec<Client>,
    publishers: Vec<Publisher>,
    /// Connections of publishers so far.
    connected: Cell<u8>,
    /// Clients that are opened take binary messages.
    pub(crate) binary: bool,
    /// Bytes that the sockets of clients that are opened hold unread; as many as the system likes if 0.
    pub(crate) unread_bytes: usize,
}

impl Crowd {
    pub(crate) fn new(
        address: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
        app: App,
        ledger: Ledger,
    ) -> Result<Self, Broken> {
        Ok(Crowd {
            shared: Shared {
                ledger,
                counts: Counts::default(),
                latencies: None,
                slowest: None,
                members_heard: Vec::new(),
                finder: Finder::default(),
                signer: Signer::new(app),
                start: Instant::now(),
                mask: 1,
                frame: Vec::new(),
            },
            address,
            tls,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_STEP),
            scratch: vec![0; SCRATCH_BYTES],
            clients: Vec::new(),
            publishers: Vec::new(),
            connected: Cell::new(0),
            binary: false,
            unread_bytes: 0,
        })
    }

    /// From now on every TLS connection takes a whole handshake.
    pub(crate) fn resume_no_session(&mut self) {
        if let Some(config) = &mut self.tls {
            Arc::make_mut(config).resumption = Resumption::disabled();
        }
    }

    // ---- Clients ------------------------------------------------------------------------------------------------

    /// Starts opening a client; it subscribes to its wishes by itself. Says its number.
    pub(crate) fn open(&mut self, wishes: Vec<Wish>, seats: Vec<Seat>) -> Result<usize, Broken> {
        let number = self.clients.len();
        let client = self.connect(number, wishes, seats)?;
        self.clients.push(client);
        Ok(number)
    }

    /// Opens a client again that was ended.
    pub(crate) fn reopen(
        &mut self,
        number: usize,
        wishes: Vec<Wish>,
        seats: Vec<Seat>,
    ) -> Result<(), Broken> {
        self.clients[number] = self.connect(number, wishes, seats)?;
        Ok(())
    }

    fn connect(&mut self, number: usize, wishes: Vec<Wish>, seats: Vec<Seat>) -> Result<Client, Broken> {
        let mut socket = match self.unread_bytes {
            0 => Socket::connect(self.address, self.tls.as_ref())?,
            bytes => Socket::connect_small(bytes, self.address, self.tls.as_ref())?,
        };
        socket.register(self.poll.registry(), Token(number))?;
        let who = (&*self.shared.signer.app().key, self.binary);
        Ok(Client::new(socket, self.address, who, wishes, seats))
    }

    /// Opens `count` clients with `open`, at most `at_once` being opened at a time, and waits until all are subscribed.
    pub(crate) fn open_all(
        &mut self,
        count: usize,
        at_once: usize,
        mut open: impl FnMut(&mut Crowd, usize) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let (subscribed_before, mut opened) = (self.shared.counts.subscribed, 0);
        let mut watch = Watch::new("subscribing the clients");
        loop {
            let done = (self.shared.counts.subscribed - subscribed_before) as usize;
            if done == count {
                return Ok(());
            }
            while opened < count && opened - done < at_once {
                open(self, opened)?;
                opened += 1;
            }
            self.step(Some(Duration::from_millis(100)))?;
            watch.see(done as u64, || self.complaint())?;
        }
    }

    /// Ends a client from this side.
    pub(crate) fn end(&mut self, number: usize) {
        self.clients[number].end();
    }

    /// How a client ended, if it has.
    pub(crate) fn ending(&self, number: usize) -> Option<Ending> {
        self.clients[number].ending()
    }

    /// Leaves a client's socket unread from now on. The server may end it for that.
    pub(crate) fn stall(&mut self, number: usize) {
        self.clients[number].stalled = true;
        self.clients[number].excused = true;
    }

    /// Reads a stalled client's socket again, beginning with what has come meanwhile.
    pub(crate) fn resume(&mut self, number: usize) {
        self.clients[number].stalled = false;
        self.clients[number].read(&mut self.scratch, true, &mut self.shared, number);
    }

    /// Sends a client event; `due` is when it should have gone.
    pub(crate) fn speak(&mut self, number: usize, template: &mut Template, due: Instant) {
        let (sequence, due) = (self.shared.ledger.send(template.publisher), self.shared.nanoseconds(due));
        self.clients[number].send(template.stamp(sequence, due), &mut self.shared);
    }

    /// Sends the next message of a film.
    pub(crate) fn film(&mut self, number: usize, film: &mut Film, is_key: bool, bytes: usize, due: Instant) {
        let (sequence, due) = (self.shared.ledger.send(film.publisher), self.shared.nanoseconds(due));
        let message = film.message(sequence, is_key, bytes, due);
        self.clients[number].send_binary(message, &mut self.shared);
    }

    /// From now on this client keeps its own book of what it sees.
    pub(crate) fn view(&mut self, number: usize) {
        self.clients[number].viewing = Some(Box::new(Viewing::new(Instant::now())));
        self.clients[number].excused = true;
    }

    /// What this client has seen.
    pub(crate) fn viewing(&mut self, number: usize) -> Option<&mut Viewing> {
        self.clients[number].viewing.as_deref_mut()
    }

    /// Reads so many bytes of a stalled client's socket; says how many there were.
    pub(crate) fn read_some(&mut self, number: usize, bytes: usize) -> usize {
        let bytes = bytes.min(self.scratch.len());
        let count = self.clients[number].read_some(&mut self.scratch[..bytes], &mut self.shared, number);
        self.clients[number].flush(&mut self.shared);
        count
    }

    /// What a stalled client's socket has, for somebody who hands it over later by [`Crowd::arrive`].
    pub(crate) fn take_unread(&mut self, number: usize) -> Vec<u8> {
        let count = self.clients[number].read_raw(&mut self.scratch, &mut self.shared);
        self.scratch[..count].to_vec()
    }

    /// These bytes arrive at a client.
    pub(crate) fn arrive(&mut self, number: usize, bytes: &[u8]) {
        self.clients[number].take(bytes, &mut self.shared, number);
        self.clients[number].flush(&mut self.shared);
    }

    pub(crate) fn subscribe(&mut self, number: usize, wish: Wish) {
        self.clients[number].subscribe(wish, &mut self.shared);
    }

    pub(crate) fn unsubscribe(&mut self, number: usize) {
        self.clients[number].unsubscribe(&mut self.shared);
    }

    // ---- Publishers ---------------------------------------------------------------------------------------------

    /// Opens an HTTP connection that publishes this template.
    pub(crate) fn open_publisher(&mut self, template: Template, keeping: Keeping) -> Result<usize, Broken> {
        let number = self.publishers.len();
        let socket = self.connect_publisher(number)?;
        let path = format!("/apps/{}/events", self.shared.signer.app().id);
        self.publishers.push(Publisher::new(socket, self.address, path, template, keeping));
        Ok(number)
    }

    pub(crate) fn publishers(&self) -> usize {
        self.publishers.len()
    }

    /// Whether the publisher still waits for an answer.
    pub(crate) fn is_busy(&self, publisher: usize) -> bool {
        self.publishers[publisher].is_busy()
    }

    /// Publishes the next message; `due` is when it should have gone.
    pub(crate) fn publish(&mut self, publisher: usize, due: Instant) {
        if self.publishers[publisher].has_ended() {
            match self.connect_publisher(publisher) {
                Ok(socket) => self.publishers[publisher].renew(socket),
                Err(error) => self.shared.ledger.faults.show_example(error.to_string().as_bytes()),
            }
        }
        self.publishers[publisher].publish(due, &mut self.shared);
    }

    fn connect_publisher(&self, number: usize) -> io::Result<Socket> {
        self.connected.set(self.connected.get().wrapping_add(1));
        let mut socket = Socket::connect_from(self.connected.get(), self.address, self.tls.as_ref())?;
        socket.register(self.poll.registry(), Token(FIRST_PUBLISHER + number))?;
        Ok(socket)
    }

    // ---- Turning ------------------------------------------------------------------------------------------------

    /// Deals with the sockets that have something to say, waiting for the first one at most so long.
    pub(crate) fn step(&mut self, wait: Option<Duration>) -> Result<(), Broken> {
        match self.poll.poll(&mut self.events, wait) {
            Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let number = event.token().0;
            let closing = event.is_read_closed() || event.is_error();
            if let Some(publisher) = number.checked_sub(FIRST_PUBLISHER) {
                let publisher = &mut self.publishers[publisher];
                if event.is_writable() {
                    publisher.flush(&mut self.shared);
                }
                if event.is_readable() || closing {
                    publisher.read(&mut self.scratch, closing, &mut self.shared);
                    // Under TLS, what was read may have been the end of the handshake.
                    publisher.flush(&mut self.shared);
                }
            } else {
                let client = &mut self.clients[number];
                if event.is_writable() {
                    client.flush(&mut self.shared);
                }
                if (event.is_readable() || closing) && !client.stalled {
                    client.read(&mut self.scratch, closing, &mut self.shared, number);
                    client.flush(&mut self.shared);
                }
            }
        }
        Ok(())
    }

    /// Steps until nothing is owed to anybody any more, or nothing has come for so long that nothing will.
    pub(crate) fn drain(&mut self) -> Result<(), Broken> {
        const QUIET: Duration = Duration::from_millis(20);
        const LOST: Duration = Duration::from_secs(5);
        let mut last_news = Instant::now();
        let mut seen = (0, 0);
        loop {
            self.step(Some(QUIET))?;
            let now = (self.shared.ledger.delivered(), self.shared.counts.answered);
            if now != seen {
                (seen, last_news) = (now, Instant::now());
            } else if (self.owed() == 0 && !self.publishers.iter().any(Publisher::is_busy))
                || last_news.elapsed() > LOST
            {
                return Ok(());
            }
        }
    }

    /// Deliveries that were sent and have not arrived, among the clients that still read.
    fn owed(&self) -> u64 {
        let reading = self.clients.iter().filter(|client| client.is_open() && !client.stalled);
        reading.flat_map(|client| &client.seats).map(|seat| self.shared.ledger.owed(seat)).sum()
    }

    /// Counts what is still owed as lost. Call it last, after [`Crowd::drain`].
    pub(crate) fn settle(&mut self) {
        let ledger = &self.shared.ledger;
        let lost: u64 = self
            .clients
            .iter()
            .flat_map(|client| client.seats.iter().map(move |seat| (client, seat)))
            .map(|(client, seat)| {
                if client.is_open() && !client.excused { ledger.owed(seat) } else { ledger.passed_over(seat) }
            })
            .sum();
        let excused = self.clients.iter().filter(|client| client.excused && !client.is_open()).count();
        self.shared.ledger.faults.lost += lost;
        self.shared.ledger.faults.closed += self.shared.counts.ended - excused as u64;
    }

    fn complaint(&self) -> String {
        let ended = self.shared.counts.ended;
        format!("{ended} connections were ended by the server; faults: {}", self.shared.ledger.faults)
    }
}

/// Gives up when nothing has changed for [`PATIENCE`].
#[derive(Debug)]
pub(crate) struct Watch {
    doing: &'static str,
    seen: u64,
    since: Instant,
}

impl Watch {
    pub(crate) fn new(doing: &'static str) -> Self {
        Watch { doing, seen: 0, since: Instant::now() }
    }

    pub(crate) fn see(&mut self, count: u64, complaint: impl FnOnce() -> String) -> Result<(), Broken> {
        if count != self.seen {
            (self.seen, self.since) = (count, Instant::now());
        } else if self.since.elapsed() > PATIENCE {
            let Watch { doing, seen, .. } = self;
            let seconds = PATIENCE.as_secs();
            return Err(Broken::Silence(format!(
                "{doing}: stuck at {seen} for {seconds} s; {}",
                complaint()
            )));
        }
        Ok(())
    }
}
