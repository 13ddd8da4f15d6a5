//! The task of one WebSocket connection: it reads the socket and feeds the conversation. Writing is done by the
//! worker, for all its connections together.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::ReadBuf;

use crate::connection::phase::Phase;
use crate::hub::{Client, come_again};
use crate::protocol::{CloseCode, Form, Frame};

use super::WebSocket;
use super::reader::{Event, Fault, FrameReader};
use crate::transport::Stream;
use crate::transport::conversation::{Begun, Conversation};
use crate::transport::fallback::messages_of_frame;

/// Reads per turn: one connection that floods does not starve its neighbours.
const READS_PER_TURN: usize = 4;

/// A conversation and the socket that carries it.
pub(super) struct Driver<S: Stream> {
    conversation: Conversation,
    client: Rc<Client<WebSocket<S>>>,
    reader: FrameReader,
    /// The peer has said its last word too: the socket is dropped as soon as ours is written.
    hang_up: bool,
    /// The last word is written, and the end of the stream after it.
    write_ended: bool,
}

impl<S: Stream> Driver<S> {
    /// Takes charge of a connection that has been admitted.
    pub(super) fn new(begun: Begun<WebSocket<S>>) -> Self {
        Driver::resuming(begun, FrameReader::new(0))
    }

    /// Takes charge of a connection of which something has been read already.
    pub(super) fn resuming(begun: Begun<WebSocket<S>>, reader: FrameReader) -> Self {
        let Begun { client, conversation, message_limit } = begun;
        let form = client.form();
        let mut reader = reader.with_compression(form.is_compressed()).with_binary(form.is_binary());
        reader.set_limit(frame_limit(form, message_limit));
        Driver { conversation, client, reader, hang_up: false, write_ended: false }
    }

    /// Says the first words, and reads what came together with the handshake.
    pub(super) fn start(&mut self, parameterless: bool, channel: Option<&str>, early: &mut [u8]) {
        self.conversation.greet(parameterless, channel);
        if !early.is_empty() {
            self.consume(early);
        }
    }

    /// A message that was read before there was a connection.
    pub(super) fn hear(&mut self, message: &str) {
        let now = self.conversation.now();
        self.conversation.receive(message, now);
    }

    /// Reads the socket until it has no more, or this turn is over.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let worker = Rc::clone(self.conversation.worker());
        for _ in 0..READS_PER_TURN {
            if self.conversation.phase() == Phase::Open && worker.is_congested(context.waker()) {
                return Poll::Pending;
            }
            let mut scratch = worker.scratch();
            let read = self.client.transport().poll_read(context, &mut scratch);
            match ready!(read) {
                Ok(0) | Err(_) => {
                    drop(scratch);
                    self.conversation.lost();
                    return Poll::Ready(());
                }
                Ok(read) => self.consume(&mut scratch[..read]),
            }
            if self.is_over() {
                return Poll::Ready(());
            }
        }
        come_again(context);
        Poll::Pending
    }

    fn consume(&mut self, input: &mut [u8]) {
        let Driver { conversation, client, reader, hang_up, .. } = self;
        let now = conversation.now();
        conversation.heard(now);
        // It may change at any time: by a new configuration, or a pipe that connects.
        reader.set_limit(frame_limit(client.form(), conversation.message_bytes()));
        let outcome = reader.feed(input, |event| {
            match event {
                Event::Close(code) => *hang_up |= conversation.peer_closed(Frame::close_echo(code)),
                Event::Text(text) if client.form() == Form::Quoted => receive_quoted(conversation, text, now),
                Event::Text(text) => conversation.receive(text, now),
                Event::Binary(message) => conversation.receive_binary(message, now),
                Event::Ping(payload) if conversation.phase() == Phase::Open => {
                    conversation.send(Frame::pong(payload));
                }
                // Its last word is said; the client has not heard it yet.
                Event::Ping(_) | Event::Pong => {}
            }
            conversation.phase() != Phase::Closed
        });
        if let (Err(fault), Phase::Open) = (outcome, conversation.phase()) {
            conversation.close(close_code(fault), &fault.to_string());
        }
    }

    /// Once the last word is written, nothing more will be: the peer sees the end at once, and may still answer.
    fn end_writing(&mut self, context: &mut Context<'_>) {
        let closing = self.conversation.phase() == Phase::Closing;
        if closing && !self.write_ended && !self.client.has_pending() {
            self.write_ended = true;
            // It never has to wait on a plain socket; and if it failed, reading will say so.
            let _ = self.client.transport().poll_shutdown(context);
        }
    }

    /// Whether everything is said and done.
    fn is_over(&self) -> bool {
        self.conversation.phase() == Phase::Closed || (self.hang_up && !self.client.has_pending())
    }
}

impl<S: Stream> Future for Driver<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.conversation.attend(context);
        while this.client.is_blocked() && !this.is_over() {
            match this.client.transport().poll_writable(context) {
                Poll::Ready(Ok(())) => {
                    this.client.unblock();
                    this.client.flush();
                }
                Poll::Ready(Err(_)) => this.conversation.lost(),
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

/// Bytes that a frame may have whose message may have so many. Quoting adds an escape to each byte at most, and
/// brackets.
fn frame_limit(form: Form, message_limit: usize) -> usize {
    match form {
        Form::Quoted => message_limit.saturating_mul(2).saturating_add(4),
        _ => message_limit,
    }
}

/// Messages in SockJS's framing.
fn receive_quoted(conversation: &mut Conversation, text: &str, now: Instant) {
    match messages_of_frame(text) {
        Ok(messages) => messages.iter().for_each(|message| conversation.receive(message, now)),
        Err(_) => conversation.close(CloseCode::ProtocolError, "Broken framing."),
    }
}

/// The code that a connection is ended with whose peer broke the WebSocket protocol.
pub(crate) fn close_code(fault: Fault) -> CloseCode {
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
}
