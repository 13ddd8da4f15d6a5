//! The task of one WebSocket connection: it reads the socket and feeds the conversation. Writing is done by the
//! worker, for all its connections together.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::vec;

use tokio::io::ReadBuf;

use crate::connection::phase::Phase;
use crate::hub::{Client, Queued, Turn, come_again};
use crate::protocol::{CloseCode, Form, Frame};

use super::WebSocket;
use crate::net::Stream;
use crate::protocol::frame_reader::{AfterEvent, FrameEvent, FrameReader};
use crate::transport::conversation::{Begun, Conversation};
use crate::transport::fallback::messages_of_frame;

/// Reads per turn: one connection that floods does not starve its neighbours.
const READS_PER_TURN: usize = 4;

/// The task of one WebSocket connection: a conversation and the socket that carries it.
pub(super) struct Driver<S: Stream> {
    conversation: Conversation,
    client: Rc<Client<WebSocket<S>>>,
    reader: FrameReader,
    /// The last turn was over before everything that had been read was looked at.
    paused: bool,
    /// Messages that came in one frame, of which the first have been received.
    unread: Option<Box<vec::IntoIter<String>>>,
    /// The peer has closed, too: the socket is dropped as soon as our close frame is written.
    close_when_written: bool,
    /// Our close frame is written, and the end of the stream after it.
    write_ended: bool,
    queued: Queued,
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
        Driver {
            conversation,
            client,
            reader,
            paused: false,
            unread: None,
            close_when_written: false,
            write_ended: false,
            queued: Queued::default(),
        }
    }

    /// Greets the client, and reads what came together with the handshake.
    pub(super) fn start(&mut self, parameterless: bool, channel: Option<&str>, early: &mut [u8]) {
        self.conversation.greet(parameterless, channel);
        if !early.is_empty() {
            let worker = Rc::clone(self.conversation.worker());
            self.consume(early, &mut worker.next_turn());
        }
    }

    /// A message that was read before there was a connection.
    pub(super) fn receive(&mut self, message: &str) {
        let now = self.conversation.now();
        self.conversation.receive(message, now);
    }

    /// Reads the socket until it has no more, or this turn is over.
    fn read(&mut self, turn: &mut Turn<'_>, context: &mut Context<'_>) -> Poll<()> {
        let worker = Rc::clone(self.conversation.worker());
        for _ in 0..READS_PER_TURN {
            if self.conversation.phase() == Phase::Open && worker.is_congested(context.waker()) {
                return Poll::Pending;
            }
            if self.paused {
                self.go_on(turn);
                if self.is_over() {
                    return Poll::Ready(());
                }
                if self.paused {
                    break;
                }
            }
            let mut scratch = worker.scratch();
            let read = self.client.transport().poll_read(context, &mut scratch);
            match ready!(read) {
                Ok(0) | Err(_) => {
                    drop(scratch);
                    self.conversation.lost();
                    return Poll::Ready(());
                }
                Ok(read) => self.consume(&mut scratch[..read], turn),
            }
            if self.is_over() {
                return Poll::Ready(());
            }
            if self.paused {
                break;
            }
        }
        come_again(context);
        Poll::Pending
    }

    /// Goes on where the last turn has ended.
    fn go_on(&mut self, turn: &mut Turn<'_>) {
        self.paused = false;
        if let Some(mut unread) = self.unread.take() {
            receive_some(&mut self.conversation, &mut unread, turn);
            if unread.len() > 0 {
                self.unread = Some(unread);
                self.paused = true;
                return;
            }
        }
        self.consume(&mut [], turn);
    }

    fn consume(&mut self, input: &mut [u8], turn: &mut Turn<'_>) {
        let Driver { conversation, client, reader, paused, unread, close_when_written, .. } = self;
        let now = conversation.now();
        conversation.heard(now);
        // It may change at any time: by a new configuration, or a pipe that connects.
        reader.set_limit(frame_limit(client.form(), conversation.message_bytes()));
        let outcome = reader.feed(input, |event| {
            turn.spend(event.bytes());
            match event {
                FrameEvent::Close(code) => {
                    *close_when_written |= conversation.peer_closed(Frame::close_echo(code))
                }
                FrameEvent::Text(text) if client.form() == Form::Quoted => {
                    *unread = receive_quoted(conversation, text, turn);
                }
                FrameEvent::Text(text) => conversation.receive(text, now),
                FrameEvent::Binary(message) => conversation.receive_binary(message, now),
                FrameEvent::Ping(payload) if conversation.phase() == Phase::Open => {
                    conversation.send(Frame::pong(payload));
                }
                FrameEvent::Pong(payload) if !payload.is_empty() => conversation.echoed(payload),
                // Our close frame is on its way.
                FrameEvent::Ping(_) | FrameEvent::Pong(_) => {}
            }
            match conversation.phase() {
                Phase::Closed => AfterEvent::Stop,
                _ if turn.is_over() || unread.is_some() => {
                    *paused = true;
                    AfterEvent::Pause
                }
                _ => AfterEvent::GoOn,
            }
        });
        if let (Err(error), Phase::Open) = (outcome, conversation.phase()) {
            conversation.turn_away(error.close_code(), &error.to_string());
        }
    }

    /// Once the close frame is written, nothing more will be: the peer sees the end at once, and may still answer.
    fn end_writing(&mut self, context: &mut Context<'_>) {
        let closing = self.conversation.phase() == Phase::Closing;
        if closing && !self.write_ended && !self.client.has_pending() {
            self.write_ended = true;
            // It never has to wait on a plain socket; and if it failed, reading will say so.
            let _ = self.client.transport().poll_shutdown(context);
        }
    }

    /// Whether the connection has ended and all is written.
    fn is_over(&self) -> bool {
        self.conversation.phase() == Phase::Closed || (self.close_when_written && !self.client.has_pending())
    }
}

impl<S: Stream> Future for Driver<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let worker = Rc::clone(this.conversation.worker());
        let Some(mut turn) = worker.turn_of(&mut this.queued, context) else { return Poll::Pending };
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
        if !this.is_over() && this.read(&mut turn, context).is_pending() && !this.is_over() {
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

/// Messages in SockJS's framing. Returns those for which this turn is too short.
fn receive_quoted(
    conversation: &mut Conversation,
    text: &str,
    turn: &mut Turn<'_>,
) -> Option<Box<vec::IntoIter<String>>> {
    let Ok(messages) = messages_of_frame(text) else {
        conversation.turn_away(CloseCode::ProtocolError, "Broken framing.");
        return None;
    };
    let mut messages = messages.into_iter();
    receive_some(conversation, &mut messages, turn);
    (messages.len() > 0).then(|| Box::new(messages))
}

fn receive_some(conversation: &mut Conversation, messages: &mut vec::IntoIter<String>, turn: &mut Turn<'_>) {
    let now = conversation.now();
    while !turn.is_over() {
        let Some(message) = messages.next() else { return };
        turn.spend(0);
        conversation.receive(&message, now);
    }
}

impl<S: Stream> WebSocket<S> {
    fn poll_read(&self, context: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        let mut stream = self.stream.borrow_mut();
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        let read = buffer.filled().len();
        self.cells.bytes_received.add(read as u64);
        Poll::Ready(Ok(read))
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.borrow_mut().poll_writable(context)
    }

    fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(context)
    }
}
