//! Runs the connection of one pipe client: reads its requests, writes what waits, and notices when it is gone.
//!
//! Only its own task waits for a slow client. A client that asks for more than it reads, or that floods a broker
//! that is behind, is not read from until that has changed.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tracing::info;

use crate::hub::{Busy, Timed};
use crate::net::{Stream, peer_field};
use crate::protocol::frame_reader::{FrameError, FrameEvent, FrameReader};
use crate::protocol::{CloseCode, Frame};

use super::admission::{AdmittedPipe, PipeRefusal};
use super::message;

/// Bytes that one read may bring.
const READ_BYTES: usize = 16 * 1024;

/// Bytes that are taken off the queue at a time.
const BATCH_BYTES: usize = 128 * 1024;

/// The largest frame that the original client takes. A larger message is sent in pieces.
const FRAME_BYTES: usize = 1024 * 1024;

/// How long a client may take to read the final frames, and to answer the close frame.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// How a pipe client's connection ended.
enum ConnectionEnd {
    /// The client closed the connection, with this code.
    Peer(Option<u16>),
    /// The socket is gone.
    Lost,
    /// The broker ends it.
    Ours(CloseCode, String),
}

/// The connection of a pipe client while it is open.
struct PipeConnection {
    admitted: AdmittedPipe,
    /// When, by the app's clock.
    heard: Cell<Instant>,
    /// Control frames to be written before anything else: our ping, and the answer to the client's newest one.
    ping: Cell<bool>,
    pong: RefCell<Option<Frame>>,
}

/// Serves a client until it is gone. `early` came together with the handshake.
pub(crate) async fn serve<S: Stream>(stream: S, early: BytesMut, admitted: AdmittedPipe) {
    let heard = admitted.session.clock().now();
    let connection = PipeConnection {
        admitted,
        heard: Cell::new(heard),
        ping: Cell::new(false),
        pong: RefCell::new(None),
    };
    // Nothing has been said before it is known what is waited for.
    let busy = connection.admitted.session.clock().busy();
    let (mut reader, mut writer) = tokio::io::split(stream);
    // Outside of the future that writes it, so that a frame that was begun can be ended.
    let mut unwritten = BytesMut::new();
    let end = tokio::select! {
        end = connection.read(&mut reader, early) => end,
        end = connection.write(&mut writer, &mut unwritten) => end,
        end = connection.watch(busy) => end,
    };
    let PipeConnection { admitted: AdmittedPipe { session, client, shutdown_guard, peer, .. }, .. } =
        connection;
    // From here on nothing more is queued for it.
    drop(session);
    let (how, last) = match &end {
        ConnectionEnd::Peer(code) => ("client left", Some(vec![Frame::close_echo(*code)])),
        ConnectionEnd::Lost => ("lost", None),
        ConnectionEnd::Ours(code, reason) => {
            let error = message::error(None, code.code(), reason);
            client.answer(error);
            ("closed", Some(vec![Frame::close(*code, reason)]))
        }
    };
    let socket_id = client.socket_id;
    let peer = peer_field(peer);
    info!(%socket_id, how, peer, "pipe disconnected");
    if let Some(frames) = last {
        if matches!(end, ConnectionEnd::Ours(..)) {
            client.take(BATCH_BYTES).iter().for_each(|text| push_text(text, &mut unwritten));
        }
        frames.iter().for_each(|frame| unwritten.put_slice(frame.websocket()));
        close_handshake(reader, writer, unwritten).await;
    }
    drop(shutdown_guard);
}

/// Tells a client why it is not let in, and ends the connection.
pub(crate) async fn refuse<S: Stream>(stream: S, refusal: PipeRefusal) {
    let PipeRefusal { code, reason, .. } = refusal;
    let mut bytes = BytesMut::new();
    push_text(&message::error(None, code.code(), &reason), &mut bytes);
    bytes.put_slice(Frame::close(code, &reason).websocket());
    let (reader, writer) = tokio::io::split(stream);
    close_handshake(reader, writer, bytes).await;
}

/// Writes the final frames and waits a moment for the peer to have read them: a socket closed with unread input would be
/// reset, and the reason lost.
async fn close_handshake<S: Stream>(mut reader: ReadHalf<S>, mut writer: WriteHalf<S>, mut bytes: BytesMut) {
    let handshake = async {
        writer.write_all_buf(&mut bytes).await?;
        writer.shutdown().await?;
        let mut unread = [0; 1024];
        while reader.read(&mut unread).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    // A peer that is gone, or stays without reading, is not worth more time.
    let _ = tokio::time::timeout(CLOSE_GRACE, handshake).await;
}

impl PipeConnection {
    async fn read<S: Stream>(&self, reader: &mut ReadHalf<S>, mut early: BytesMut) -> ConnectionEnd {
        let mut frames = FrameReader::new(self.admitted.message_bytes);
        if !early.is_empty()
            && let Some(end) = self.consume(&mut frames, &mut early).await
        {
            return end;
        }
        let mut input = vec![0; READ_BYTES];
        loop {
            self.until_receptive().await;
            let read = match reader.read(&mut input).await {
                Ok(0) | Err(_) => return ConnectionEnd::Lost,
                Ok(read) => read,
            };
            if let Some(end) = self.consume(&mut frames, &mut input[..read]).await {
                return end;
            }
            // A client that floods does not starve its neighbours.
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the client reads its answers, and the broker has caught up.
    async fn until_receptive(&self) {
        let client = &self.admitted.client;
        while client.has_too_many_answers() {
            client.output_written.notified().await;
        }
        self.admitted.worker.uncongested().await;
    }

    async fn consume(&self, frames: &mut FrameReader, input: &mut [u8]) -> Option<ConnectionEnd> {
        self.heard.set(self.admitted.session.clock().now());
        let mut texts = Vec::new();
        let mut closed = None;
        let outcome = frames.feed(input, |event| {
            match event {
                FrameEvent::Text(text) => texts.push(text.to_owned()),
                FrameEvent::Ping(payload) => {
                    *self.pong.borrow_mut() = Some(Frame::pong(payload));
                    self.admitted.client.output_queued.notify_one();
                }
                FrameEvent::Close(code) => closed = Some(ConnectionEnd::Peer(code)),
                _ => {}
            }
            closed.is_none()
        });
        let mut turn = self.admitted.worker.next_turn();
        for text in texts {
            self.until_receptive().await;
            self.admitted.session.receive(&text).await;
            turn.spend(text.len());
            if turn.is_over() {
                drop(turn);
                tokio::task::yield_now().await;
                turn = self.admitted.worker.next_turn();
            }
        }
        match outcome {
            Ok(()) => closed,
            Err(error) => Some(self.broken(error)),
        }
    }

    fn broken(&self, error: FrameError) -> ConnectionEnd {
        let reason = error.to_string();
        self.admitted.session.refuse(&reason);
        ConnectionEnd::Ours(error.close_code(), reason)
    }

    async fn write<S: Stream>(&self, writer: &mut WriteHalf<S>, unwritten: &mut BytesMut) -> ConnectionEnd {
        let client = &self.admitted.client;
        loop {
            if unwritten.is_empty() {
                if self.ping.take() {
                    unwritten.put_slice(Frame::ping().websocket());
                }
                if let Some(pong) = self.pong.take() {
                    unwritten.put_slice(pong.websocket());
                }
                client.take(BATCH_BYTES).iter().for_each(|text| push_text(text, unwritten));
                client.output_written.notify_one();
            }
            if unwritten.is_empty() {
                // What was written is sent, and the memory for it given back.
                if writer.flush().await.is_err() {
                    return ConnectionEnd::Lost;
                }
                *unwritten = BytesMut::new();
                client.output_queued.notified().await;
            } else if !matches!(writer.write_buf(unwritten).await, Ok(1..)) {
                return ConnectionEnd::Lost;
            }
        }
    }

    /// Waits for the end that the broker decides on, or for the client to fall silent.
    async fn watch(&self, busy: Busy) -> ConnectionEnd {
        let client = &self.admitted.client;
        let clock = self.admitted.session.clock();
        let config = self.admitted.session.connection_config(self.admitted.worker.hub());
        let silence = async {
            let mut before = busy;
            loop {
                let heard = self.heard.get();
                let silent = clock.sleep_until(heard + config.ping_after, Timed::PipePing);
                drop(std::mem::take(&mut before));
                let due = silent.await;
                if self.heard.get() != heard {
                    before = clock.busy();
                    due.put_off();
                    continue;
                }
                let unanswered = clock.sleep_until(clock.now() + config.pong_timeout, Timed::PipePongTimeout);
                self.ping.set(true);
                client.output_queued.notify_one();
                drop(due);
                let due = unanswered.await;
                if self.heard.get() == heard {
                    return;
                }
                before = clock.busy();
                due.put_off();
            }
        };
        let code = tokio::select! {
            () = silence => CloseCode::PongMissing,
            code = client.ended() => code,
        };
        ConnectionEnd::Ours(code, code.sentence().to_owned())
    }
}

/// Appends a text message, in as many frames as the original client needs.
fn push_text(text: &[u8], out: &mut BytesMut) {
    let pieces = text.len().div_ceil(FRAME_BYTES).max(1);
    for n in 0..pieces {
        let piece = &text[n * FRAME_BYTES..text.len().min((n + 1) * FRAME_BYTES)];
        out.put_slice(&Frame::text_header(n == 0, n + 1 == pieces, piece.len()));
        out.put_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_messages_go_out_in_pieces() {
        for length in [0, 5, 126, 70_000, FRAME_BYTES] {
            let mut out = BytesMut::new();
            push_text(&vec![b'x'; length], &mut out);
            assert_eq!(out[0], 0x81, "{length}");
            assert!(out.len() - length <= 10);
        }
        let mut out = BytesMut::new();
        push_text(&vec![b'x'; 2 * FRAME_BYTES + 1], &mut out);
        assert_eq!(out[0], 0x01, "a beginning");
        assert_eq!(out[10 + FRAME_BYTES], 0x00, "a middle");
        assert_eq!(out[20 + 2 * FRAME_BYTES..], [0x80, 1, b'x'], "an end");
    }
}
