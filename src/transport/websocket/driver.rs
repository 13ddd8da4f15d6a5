//! The task of one WebSocket connection: it reads the socket, steps the state machine, and carries out what that
//! asks for. Writing is done by the worker, for all its connections together.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::ReadBuf;
use tracing::{debug, info, trace, warn};

use crate::connection::phase::{Event as Happening, Phase, Step};
use crate::connection::{Action, ClientEvent, Connection, RateLimit, Refusal, last_error};
use crate::hub::{AtWork, Client, Heard, Publication, Source, Transport, Worker};
use crate::protocol::{CloseCode, Frame};

use super::WebSocket;
use super::reader::{Event, Fault, FrameReader};
use crate::transport::Stream;

/// Reads per turn: one connection that floods does not starve its neighbours.
const READS_PER_TURN: usize = 4;

/// How long a peer may take to answer the close frame before its socket is reset.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// Refusals of one connection that are logged in a second. A client that errs in a loop must not fill the disk.
const REFUSALS_LOGGED_PER_SECOND: u32 = 10;

/// Everything that one connection is. Whatever ends it, dropping the driver runs the disconnect procedure if
/// nothing else has.
pub(super) struct Driver<S: Stream> {
    worker: Rc<Worker>,
    client: Rc<Client<WebSocket<S>>>,
    /// The same, as the hub knows it.
    shared: Rc<Client>,
    connection: Connection,
    reader: FrameReader,
    /// From the first refusal on.
    refusals_logged: Option<Box<RateLimit>>,
    phase: Phase,
    grace_ends: Option<Instant>,
    /// The code of the peer's close frame.
    echo: Option<u16>,
    /// The peer has said its last word too: the socket is dropped as soon as ours is written.
    hang_up: bool,
    /// The last word is written, and the end of the stream after it.
    write_ended: bool,
    disconnected: bool,
    /// Shutdown waits for this connection.
    _at_work: AtWork,
}

impl<S: Stream> Driver<S> {
    /// Takes charge of a connection that has been admitted.
    pub(super) fn new(
        worker: Rc<Worker>,
        client: Rc<Client<WebSocket<S>>>,
        connection: Connection,
        message_limit: usize,
        at_work: AtWork,
    ) -> Self {
        let compression = client.transport().compresses();
        let shared: Rc<Client> = client.clone();
        worker.open(&shared);
        Driver {
            worker,
            client,
            shared,
            connection,
            reader: FrameReader::new(message_limit).with_compression(compression),
            refusals_logged: None,
            phase: Phase::Open,
            grace_ends: None,
            echo: None,
            hang_up: false,
            write_ended: false,
            disconnected: false,
            _at_work: at_work,
        }
    }

    /// Says the first words, and reads what came together with the handshake.
    pub(super) fn start(&mut self, parameterless: bool, channel: Option<&str>, early: &mut [u8]) {
        let greeting: Vec<Frame> = self.connection.greeting(parameterless).collect();
        greeting.into_iter().for_each(|frame| self.worker.send(&self.shared, frame));
        if let Some(channel) = channel {
            let action = self.connection.subscribe_at_connect(channel);
            self.carry_out(action);
        }
        self.tick(Instant::now());
        if !early.is_empty() {
            self.consume(early, Instant::now());
        }
    }

    /// Reads the socket until it has no more, or this turn is over.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let worker = Rc::clone(&self.worker);
        for _ in 0..READS_PER_TURN {
            if self.phase == Phase::Open && worker.is_congested(context.waker()) {
                return Poll::Pending;
            }
            let mut scratch = worker.scratch();
            let read = self.client.transport().poll_read(context, &mut scratch);
            match ready!(read) {
                Ok(0) | Err(_) => {
                    drop(scratch);
                    self.happened(Happening::Lost, CloseCode::Normal, "");
                    return Poll::Ready(());
                }
                Ok(read) => self.consume(&mut scratch[..read], Instant::now()),
            }
            if self.is_over() {
                return Poll::Ready(());
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn consume(&mut self, input: &mut [u8], now: Instant) {
        self.connection.heard(now);
        // Taken out, so that what it reads can change the rest.
        let mut reader = std::mem::replace(&mut self.reader, FrameReader::new(0));
        let outcome = reader.feed(input, |event| {
            self.on_event(event, now);
            self.phase != Phase::Closed
        });
        self.reader = reader;
        if let (Err(fault), Phase::Open) = (outcome, self.phase) {
            self.happened(Happening::Close, close_code(fault), &fault.to_string());
        }
    }

    fn on_event(&mut self, event: Event<'_>, now: Instant) {
        match (event, self.phase) {
            (Event::Close(code), _) => {
                self.echo = code;
                self.happened(Happening::PeerClosed, CloseCode::Normal, "");
            }
            // Its last word is said; the client has not heard it yet.
            (_, Phase::Closing | Phase::Closed) | (Event::Pong, Phase::Open) => {}
            (Event::Ping(payload), Phase::Open) => self.worker.send(&self.shared, Frame::pong(payload)),
            (Event::Text(text), Phase::Open) => {
                trace!(socket_id = %self.client.socket_id(), text, "received");
                let app = self.client.app();
                let listens = |channel: Option<&str>, event: &str| app.is_listened_to(channel, event);
                if let Some(action) = self.connection.receive(text, now, &listens) {
                    self.carry_out(action);
                }
            }
        }
    }

    fn carry_out(&mut self, action: Action<'_>) {
        match action {
            Action::Send(frame) => self.worker.send(&self.shared, frame),
            Action::Ping => self.worker.send(&self.shared, Frame::ping()),
            Action::Refuse(refusal) => self.refuse(&refusal),
            Action::Join { channel, member } => {
                match self.worker.join(&self.shared, &channel, member.as_ref()) {
                    Ok(()) => debug!(socket_id = %self.client.socket_id(), %channel, "subscribed"),
                    Err(reason) => {
                        let refusal = self.connection.join_refused(&channel, reason);
                        self.refuse(&refusal);
                    }
                }
            }
            Action::Leave(channel) => {
                self.worker.leave(&self.shared, &channel);
                debug!(socket_id = %self.client.socket_id(), %channel, "unsubscribed");
            }
            Action::SignIn { user_id, answer, watchlist, warning } => {
                self.worker.sign_in(&self.shared, &user_id, &watchlist, answer);
                if let Some(warning) = warning {
                    self.refuse(&warning);
                }
                debug!(socket_id = %self.client.socket_id(), %user_id, "signed in");
            }
            Action::Broadcast(event) => {
                if let Some(channel) = &event.channel {
                    self.worker.hub().publish(
                        self.client.app(),
                        &Publication {
                            channel,
                            event: &event.event,
                            data: &event.data,
                            user_id: event.user_id.as_deref(),
                            except: Some(self.client.socket_id()),
                            remember: false,
                        },
                    );
                }
                self.announce(&event);
            }
            Action::Pipe(event) => self.announce(&event),
            Action::Close(code) => self.happened(Happening::Close, code, code.sentence()),
        }
    }

    fn announce(&self, event: &ClientEvent<'_>) {
        self.worker.hub().announce_event(
            self.client.app(),
            Heard {
                source: Source::Client { socket_id: self.client.socket_id(), user_id: event.user_id.clone() },
                channel: event.channel.as_ref(),
                event: &event.event,
                raw: Some(event.raw),
                data: &event.data,
            },
        );
    }

    fn refuse(&mut self, refusal: &Refusal) {
        let now = Instant::now();
        let limit = || Box::new(RateLimit::new(REFUSALS_LOGGED_PER_SECOND, now));
        if self.refusals_logged.get_or_insert_with(limit).admit(now) {
            let app = &self.connection.app().id;
            let code = refusal.code.code();
            info!(app, socket_id = %self.client.socket_id(), code, reason = refusal.message, "refused");
        }
        let with_event = self.worker.hub().connection_config().subscription_error_event;
        refusal.frames(with_event).for_each(|frame| self.worker.send(&self.shared, frame));
    }

    /// Looks at the time, for everything that waits for it.
    fn tick(&mut self, now: Instant) {
        if let Some(end) = self.grace_ends {
            match now < end {
                true => self.worker.remind(&self.shared, end),
                false => self.happened(Happening::GraceOver, CloseCode::Normal, ""),
            }
            return;
        }
        let (action, again) = self.connection.tick(now);
        if let Some(action) = action {
            self.carry_out(action);
        }
        if let Some(again) = again {
            self.worker.remind(&self.shared, again);
        }
    }

    /// Steps the table of phases, and does what it says.
    fn happened(&mut self, happening: Happening, code: CloseCode, reason: &str) {
        let (phase, step) = self.phase.on(happening);
        self.phase = phase;
        match step {
            Step::None | Step::Drop => {}
            Step::Forget => self.disconnect("lost", ""),
            Step::Reset => self.client.transport().reset_on_drop(),
            Step::EchoClose => {
                self.disconnect("client left", "");
                self.hang_up = true;
                self.say_last([Frame::close_echo(self.echo)]);
            }
            Step::SayGoodbye => {
                self.disconnect("closed", reason);
                let error = last_error(Some(self.client.version()), code, reason);
                self.say_last(error.into_iter().chain([Frame::close(code, reason)]));
            }
        }
    }

    fn say_last(&mut self, words: impl IntoIterator<Item = Frame>) {
        self.client.last_words(words);
        let end = Instant::now() + CLOSE_GRACE;
        self.grace_ends = Some(end);
        self.client.flush();
    }

    /// The client could not keep up. What waits for it is given up but for the rest of a frame that it has begun to
    /// receive, and the close frame goes behind that: a client that reads on within the grace period learns that it is
    /// to back off, where a reset would make some releases distrust WebSockets altogether.
    fn overflowed(&mut self) {
        let (bytes, frames) = self.client.owed();
        let (app, socket_id) = (&self.connection.app().id, self.client.socket_id());
        let closed = self.worker.hub().count_slow_reader();
        warn!(app, %socket_id, bytes, frames, closed, "slow reader closed");
        self.client.abandon_outbox();
        let reason = "Too slow: more was waiting for this connection than is allowed";
        self.happened(Happening::Close, CloseCode::OverCapacity, reason);
    }

    /// The disconnect procedure: runs once, whatever the cause.
    fn disconnect(&mut self, how: &str, reason: &str) {
        if std::mem::replace(&mut self.disconnected, true) {
            return;
        }
        self.worker.disconnect(&self.shared, self.connection.disconnect());
        debug!(app = self.connection.app().id, socket_id = %self.client.socket_id(), how, reason, "disconnected");
    }

    /// Once the last word is written, nothing more will be: the peer sees the end at once, and may still answer.
    fn end_writing(&mut self, context: &mut Context<'_>) {
        if self.phase == Phase::Closing && !self.write_ended && !self.client.has_pending() {
            self.write_ended = true;
            // It never has to wait on a plain socket; and if it failed, reading will say so.
            let _ = self.client.transport().poll_shutdown(context);
        }
    }

    /// Whether everything is said and done.
    fn is_over(&self) -> bool {
        self.phase == Phase::Closed || (self.hang_up && !self.client.has_pending())
    }
}

impl<S: Stream> Future for Driver<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.client.set_waker(context.waker());
        let signals = this.client.take_signals();
        if signals.lost {
            this.happened(Happening::Lost, CloseCode::Normal, "");
        }
        if signals.overflow {
            this.overflowed();
        }
        if let Some(close) = signals.close {
            this.happened(Happening::Close, close.0, close.1);
        }
        if signals.timer {
            this.tick(Instant::now());
        }
        while this.client.is_blocked() && !this.is_over() {
            match this.client.transport().poll_writable(context) {
                Poll::Ready(Ok(())) => {
                    this.client.unblock();
                    this.client.flush();
                }
                Poll::Ready(Err(_)) => this.happened(Happening::Lost, CloseCode::Normal, ""),
                Poll::Pending => break,
            }
        }
        this.end_writing(context);
        if !this.is_over() && this.read(context).is_pending() && !this.is_over() {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl<S: Stream> Drop for Driver<S> {
    fn drop(&mut self) {
        self.disconnect("dropped", "");
    }
}

fn close_code(fault: Fault) -> CloseCode {
    match fault {
        Fault::Unmasked
        | Fault::ReservedBits
        | Fault::UnknownOpcode(_)
        | Fault::BadControlFrame
        | Fault::Interleaved
        | Fault::NothingToContinue
        | Fault::BadClose => CloseCode::ProtocolError,
        Fault::Binary => CloseCode::UnsupportedData,
        Fault::NotUtf8 | Fault::DamagedCompression => CloseCode::InvalidUtf8,
        Fault::TooBig { .. } => CloseCode::MessageTooBig,
    }
}

impl<S: Stream> WebSocket<S> {
    fn poll_read(&self, context: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        let mut stream = self.stream.borrow_mut();
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.borrow_mut().poll_writable(context)
    }

    fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(context)
    }

    /// Dropping the socket will reset it, so that nothing lingers in the kernel for a peer that does not read.
    fn reset_on_drop(&self) {
        self.stream.borrow().reset_on_drop();
    }
}
