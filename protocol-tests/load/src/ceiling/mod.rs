//! The ceiling: a server that does only what no broker can avoid.
//!
//! It completes upgrades, notes who subscribed to what, and writes each published message to every subscriber as one
//! prepared frame. It checks no limit and no name, and no signature unless it is told to, reads no JSON (it finds names by their place in the
//! messages of this tool), and has no timers. One thread, one epoll. What a broker costs beyond this is its own.

mod connection;
mod requests;
mod socket;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use clap::ValueEnum;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;

use crate::wire::mark::Finder;
use crate::wire::signature::{App, Signer};
use connection::{Connection, Subscription};
use requests::{Request, RequestError};
use socket::Socket;

const LISTENER: Token = Token(usize::MAX >> 1);
const SCRATCH_BYTES: usize = 64 * 1024;
const EVENTS_PER_TURN: usize = 1024;

/// A deliberate mistake, made with every 97th delivery, for proving that the load tool finds it.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Fault {
    /// Leave it out.
    Lose,
    /// Send it twice.
    Duplicate,
    /// Send it after the next one.
    Reorder,
    /// Send it to its sender, or to one who is not subscribed.
    Misdeliver,
    /// Cut its payload short.
    Cut,
}

/// What the ceiling is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The port to listen on; 0 for any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Write each message at once, instead of all messages of one turn together
    #[arg(long)]
    each: bool,
    /// Check the signatures of publishes, with this secret
    #[arg(long)]
    secret: Option<String>,
    /// Serve TLS, with this certificate
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's key
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// Make a mistake with every 97th delivery
    #[arg(long, hide = true)]
    fault: Option<Fault>,
}

/// Runs until it is killed.
pub(crate) fn serve(arguments: Arguments) -> io::Result<()> {
    crate::gauge::raise_file_limit();
    let socket =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &std::net::SocketAddr::from(([127, 0, 0, 1], arguments.port)))?;
    rustix::net::listen(&socket, 4096)?;
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let address = listener.local_addr()?;
    println!("ceiling listening on http://{address}");
    io::stdout().flush()?;
    let tls = match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => Some(socket::settings(certificate, key)?),
        _ => None,
    };
    let signer = arguments.secret.clone().map(|secret| {
        let (id, key) = (String::new(), String::new());
        Signer::new(App { id, key, secret })
    });
    let mut ceiling = Ceiling {
        arguments,
        tls,
        signer,
        poll,
        connections: Vec::new(),
        free: Vec::new(),
        channels: Vec::new(),
        names: HashMap::new(),
        dirty: Vec::new(),
        failed: Vec::new(),
        deliveries: 0,
        held_back: None,
        finder: Finder::default(),
    };
    ceiling.turn_forever(&listener)
}

#[derive(Debug)]
struct Ceiling {
    arguments: Arguments,
    tls: Option<Arc<ServerConfig>>,
    /// Checks publishes, where they are to be checked.
    signer: Option<Signer>,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Subscribers by channel.
    channels: Vec<Vec<usize>>,
    names: HashMap<Box<[u8]>, usize>,
    /// Connections with something to write.
    dirty: Vec<usize>,
    /// Connections whose socket failed while the subscribers were being walked.
    failed: Vec<usize>,
    deliveries: u64,
    /// For [`Fault::Reorder`].
    held_back: Option<HeldBack>,
    finder: Finder,
}

/// A delivery that waits for the next one of its publisher.
#[derive(Debug)]
struct HeldBack {
    number: usize,
    publisher: u32,
    frame: Rc<[u8]>,
}

impl Ceiling {
    fn turn_forever(&mut self, listener: &TcpListener) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut scratch = vec![0; SCRATCH_BYTES];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept(listener)?;
                    continue;
                }
                let number = event.token().0;
                let closing = event.is_read_closed() || event.is_error();
                if event.is_writable() {
                    self.flush_if_waiting(number);
                }
                if event.is_readable() || closing {
                    self.read(number, closing, &mut scratch);
                }
            }
            for number in std::mem::take(&mut self.dirty) {
                self.flush(number);
            }
            for number in std::mem::take(&mut self.failed) {
                self.forget(number);
            }
        }
    }

    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            socket.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poll.registry().register(
                &mut socket,
                Token(number),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            self.connections[number] = Some(Connection::new(Socket::new(socket, self.tls.as_ref())?));
        }
    }

    fn read(&mut self, number: usize, closing: bool, scratch: &mut [u8]) {
        loop {
            let Some(connection) = &mut self.connections[number] else { return };
            let count = match connection.read(scratch) {
                Ok(0) => return self.forget(number),
                Ok(count) => count,
                // Under TLS, what was read may have called for an answer of the handshake's own.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.flush_if_waiting(number);
                }
                Err(_) => return self.forget(number),
            };
            let mut carried = connection.take_carried();
            let rest = if carried.is_empty() {
                let rest = self.carry_out(number, &mut scratch[..count]);
                scratch[count - rest..count].to_vec()
            } else {
                carried.extend_from_slice(&scratch[..count]);
                let rest = self.carry_out(number, &mut carried);
                carried.split_off(carried.len() - rest)
            };
            match &mut self.connections[number] {
                Some(connection) => connection.carry(rest),
                None => return,
            }
            let Some(connection) = &self.connections[number] else { return };
            if count < scratch.len() && !closing && connection.short_reads_empty_it() {
                return;
            }
        }
    }

    /// Does what the bytes ask for; says how many at the end are an incomplete request.
    fn carry_out(&mut self, number: usize, mut bytes: &mut [u8]) -> usize {
        loop {
            let Some(connection) = &mut self.connections[number] else { return 0 };
            let (request, used) = match requests::next(bytes, connection.is_websocket()) {
                Ok(found) => found,
                Err(RequestError::Incomplete) => return bytes.len(),
                Err(RequestError::Unknown) => {
                    self.forget(number);
                    return 0;
                }
            };
            match request {
                Request::Upgrade => {
                    connection.become_websocket();
                    self.answer(number, requests::upgraded(number));
                }
                Request::Publish { target, body, .. }
                    if self.signer.as_ref().is_some_and(|signer| !signer.verifies("POST", target, body)) =>
                {
                    self.forget(number);
                    return 0;
                }
                Request::Publish { channel, body, .. } => {
                    let channel = self.channel(channel);
                    let frame = requests::published(body);
                    self.broadcast(channel, &frame, None);
                    self.answer(number, requests::ok());
                }
                Request::Subscribe { channel } => {
                    let succeeded = requests::subscribed(channel);
                    let channel = self.channel(channel);
                    self.subscribe(number, channel);
                    self.answer(number, succeeded);
                }
                Request::ClientEvent { channel, message } => {
                    let channel = self.channel(channel);
                    let frame = requests::relayed(message);
                    self.broadcast(channel, &frame, Some(number));
                }
                Request::Other => {}
            }
            bytes = &mut bytes[used..];
        }
    }

    fn channel(&mut self, name: &[u8]) -> usize {
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        self.channels.push(Vec::new());
        self.names.insert(name.into(), self.channels.len() - 1);
        self.channels.len() - 1
    }

    fn subscribe(&mut self, number: usize, channel: usize) {
        let subscribers = &mut self.channels[channel];
        if let Some(connection) = &mut self.connections[number] {
            connection.subscriptions.push(Subscription { channel, place: subscribers.len() });
            subscribers.push(number);
        }
    }

    fn broadcast(&mut self, channel: usize, frame: &Rc<[u8]>, except: Option<usize>) {
        let subscribers = std::mem::take(&mut self.channels[channel]);
        for subscriber in &subscribers {
            if Some(*subscriber) != except {
                match self.arguments.fault {
                    None => self.queue(*subscriber, Rc::clone(frame)),
                    Some(fault) => self.blunder(fault, *subscriber, frame, except),
                }
            }
        }
        self.channels[channel] = subscribers;
    }

    /// Answers at once: whoever waits for it may go on while the turn's messages are written.
    fn answer(&mut self, number: usize, bytes: Rc<[u8]>) {
        self.queue(number, bytes);
        self.flush(number);
    }

    fn queue(&mut self, number: usize, bytes: Rc<[u8]>) {
        let Some(connection) = &mut self.connections[number] else { return };
        let first = connection.push(bytes);
        if self.arguments.each {
            self.flush(number);
        } else if first {
            self.dirty.push(number);
        }
    }

    fn blunder(&mut self, fault: Fault, number: usize, frame: &Rc<[u8]>, except: Option<usize>) {
        let publisher = self.finder.find(frame).map_or(0, |(_, mark)| mark.publisher);
        let earlier = self.held_back.take_if(|held| held.number == number && held.publisher == publisher);
        if let Some(earlier) = earlier {
            self.queue(number, Rc::clone(frame));
            return self.queue(number, earlier.frame);
        }
        self.deliveries += 1;
        if !self.deliveries.is_multiple_of(97) {
            return self.queue(number, Rc::clone(frame));
        }
        match fault {
            Fault::Lose => {}
            Fault::Duplicate => (0..2).for_each(|_| self.queue(number, Rc::clone(frame))),
            Fault::Reorder if self.held_back.is_none() => {
                self.held_back = Some(HeldBack { number, publisher, frame: Rc::clone(frame) });
            }
            Fault::Reorder => self.queue(number, Rc::clone(frame)),
            Fault::Misdeliver => {
                self.queue(number, Rc::clone(frame));
                let stranger = except.or_else(|| self.somebody_without_subscriptions());
                stranger.into_iter().for_each(|stranger| self.queue(stranger, Rc::clone(frame)));
            }
            Fault::Cut => self.queue(number, requests::cut_short(frame)),
        }
    }

    fn somebody_without_subscriptions(&self) -> Option<usize> {
        self.connections.iter().position(|connection| {
            connection
                .as_ref()
                .is_some_and(|connection| connection.is_websocket() && connection.subscriptions.is_empty())
        })
    }

    fn flush(&mut self, number: usize) {
        if self.connections[number].as_mut().is_some_and(|connection| connection.write().is_err()) {
            self.failed.push(number);
        }
    }

    fn flush_if_waiting(&mut self, number: usize) {
        if self.connections[number].as_ref().is_some_and(Connection::is_waiting) {
            self.flush(number);
        }
    }

    fn forget(&mut self, number: usize) {
        let Some(connection) = self.connections[number].take() else { return };
        for Subscription { channel, place } in connection.subscriptions {
            let subscribers = &mut self.channels[channel];
            subscribers.swap_remove(place);
            let moved = subscribers.get(place).and_then(|moved| self.connections[*moved].as_mut());
            moved.into_iter().for_each(|moved| moved.moved(channel, place));
        }
        self.free.push(number);
    }
}
