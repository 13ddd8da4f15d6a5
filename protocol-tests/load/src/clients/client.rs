//! One subscriber: opens, subscribes, and reports each delivery to the ledger.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::viewing::Viewing;
use super::{Shared, Socket, Wish};
use crate::ledger::Seat;
use crate::wire::frame::{BINARY, CLOSE, Cutter, Frame, PING, PONG, TEXT, push_client_frame};
use crate::wire::http;
use crate::wire::mark::Mark;
use memchr::memmem;

/// The key of every handshake, and what RFC 6455 makes of it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Subscriptions of one client that wait for their answers: fewer than a server may keep frames for it.
const ASKED_AT_ONCE: usize = 1000;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ending {
    /// By this side.
    Ours,
    /// The server closed it, with this code.
    Closed(u16),
    /// The server dropped it without a close frame.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Waits for the answer to the handshake.
    Opening,
    /// Waits for its socket id, and then for its subscriptions to succeed.
    Entering,
    Subscribed,
    Ended(Ending),
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) seats: Vec<Seat>,
    /// Its socket is left unread.
    pub(super) stalled: bool,
    /// The server may end it, and leave it without what it was owed.
    pub(super) excused: bool,
    /// What it has seen of a film, where that is more than the ledger knows.
    pub(super) viewing: Option<Box<Viewing>>,
    socket: Socket,
    phase: Phase,
    wishes: Vec<Wish>,
    /// Of its wishes, how many were sent, and how many have succeeded.
    asked: usize,
    granted: usize,
    socket_id: String,
    answer: Vec<u8>,
    cutter: Cutter,
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
}

impl Client {
    pub(super) fn new(
        socket: Socket,
        host: SocketAddr,
        (key, binary): (&str, bool),
        wishes: Vec<Wish>,
        seats: Vec<Seat>,
    ) -> Self {
        socket.set_nodelay();
        let binary = if binary { "&binary=1" } else { "" };
        let handshake = format!(
            "GET /app/{key}?protocol=7&client=load&version=1{binary} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        Client {
            seats,
            stalled: false,
            excused: false,
            viewing: None,
            socket,
            phase: Phase::Opening,
            wishes,
            asked: 0,
            granted: 0,
            socket_id: String::new(),
            answer: Vec::new(),
            cutter: Cutter::default(),
            unsent: handshake.into_bytes(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Ended(_))
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        match self.phase {
            Phase::Ended(how) => Some(how),
            _ => None,
        }
    }

    pub(super) fn end(&mut self) {
        self.phase = Phase::Ended(Ending::Ours);
        self.socket.shutdown();
    }

    // ---- Out ----------------------------------------------------------------------------------------------------

    pub(super) fn send(&mut self, message: &[u8], shared: &mut Shared) {
        self.send_frame(TEXT, message, shared);
    }

    pub(super) fn send_binary(&mut self, message: &[u8], shared: &mut Shared) {
        self.send_frame(BINARY, message, shared);
    }

    pub(super) fn subscribe(&mut self, wish: Wish, shared: &mut Shared) {
        let channel = &*wish.channel;
        let member = wish.member.map(|member| format!(r#"{{"user_id":"member-{member:05}"}}"#));
        let message = if channel.starts_with("private-") || member.is_some() {
            let auth = shared.signer.channel(&self.socket_id, channel, member.as_deref());
            let quoted = member.map(|data| format!(r#","channel_data":"{}""#, data.replace('"', "\\\"")));
            let quoted = quoted.unwrap_or_default();
            format!(
                r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}","auth":"{auth}"{quoted}}}}}"#
            )
        } else {
            format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}"#)
        };
        self.send(message.as_bytes(), shared);
    }

    /// Leaves the channel of its first wish.
    pub(super) fn unsubscribe(&mut self, shared: &mut Shared) {
        let channel = &*self.wishes[0].channel;
        let message = format!(r#"{{"event":"pusher:unsubscribe","data":{{"channel":"{channel}"}}}}"#);
        self.send(message.as_bytes(), shared);
    }

    fn send_frame(&mut self, opcode: u8, payload: &[u8], shared: &mut Shared) {
        let mask = shared.next_mask();
        if !self.unsent.is_empty() {
            push_client_frame(&mut self.unsent, opcode, payload, mask);
            return;
        }
        let mut frame = std::mem::take(&mut shared.frame);
        frame.clear();
        push_client_frame(&mut frame, opcode, payload, mask);
        let written = self.write(&frame, shared);
        self.unsent.extend_from_slice(&frame[written..]);
        shared.frame = frame;
    }

    pub(super) fn flush(&mut self, shared: &mut Shared) {
        let _ = self.socket.flush();
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let written = self.write(&unsent, shared);
            self.unsent.extend_from_slice(&unsent[written..]);
        }
    }

    fn write(&mut self, bytes: &[u8], shared: &mut Shared) -> usize {
        let mut written = 0;
        while written < bytes.len() && self.is_open() {
            match self.socket.write_now(&bytes[written..]) {
                Ok(Some(taken)) => written += taken,
                Ok(None) => break,
                Err(_) => self.ended(Ending::Dropped, shared),
            }
        }
        written
    }

    // ---- In -----------------------------------------------------------------------------------------------------

    /// Reads what is there; to the end if the server is `closing`.
    pub(super) fn read(&mut self, scratch: &mut [u8], closing: bool, shared: &mut Shared, number: usize) {
        while self.is_open() {
            match self.socket.read_now(scratch) {
                Ok(Some(0)) => self.ended(Ending::Dropped, shared),
                Ok(Some(count)) => {
                    shared.counts.reads += 1;
                    self.take(&scratch[..count], shared, number);
                    // A short read has emptied the socket: whatever comes later announces itself.
                    if count < scratch.len() && self.socket.short_reads_empty_it() && !closing {
                        return;
                    }
                }
                Ok(None) => return,
                Err(_) => self.ended(Ending::Dropped, shared),
            }
        }
    }

    /// Reads so many bytes of what is there; the line takes no more now. Returns how many it were.
    pub(super) fn read_some(&mut self, scratch: &mut [u8], shared: &mut Shared, number: usize) -> usize {
        let count = self.read_raw(scratch, shared);
        self.take(&scratch[..count], shared, number);
        count
    }

    /// The same, for somebody who hands them over.
    pub(super) fn read_raw(&mut self, scratch: &mut [u8], shared: &mut Shared) -> usize {
        let mut count = 0;
        while self.is_open() && count < scratch.len() {
            match self.socket.read_now(&mut scratch[count..]) {
                Ok(Some(0)) | Err(_) => self.ended(Ending::Dropped, shared),
                Ok(Some(more)) => count += more,
                Ok(None) => break,
            }
        }
        count
    }

    pub(super) fn take(&mut self, bytes: &[u8], shared: &mut Shared, number: usize) {
        if self.phase != Phase::Opening {
            return self.take_frames(bytes, shared, number);
        }
        self.answer.extend_from_slice(bytes);
        match http::response(&self.answer) {
            Ok(None) => {}
            Ok(Some(response))
                if response.status == 101 && memmem::find(&self.answer, ACCEPT.as_bytes()).is_some() =>
            {
                self.phase = Phase::Entering;
                let answer = std::mem::take(&mut self.answer);
                self.take_frames(&answer[response.bytes..], shared, number);
            }
            _ => {
                shared.ledger.faults.refused += 1;
                shared.ledger.faults.show_example(&self.answer);
                self.ended(Ending::Dropped, shared);
            }
        }
    }

    fn take_frames(&mut self, bytes: &[u8], shared: &mut Shared, number: usize) {
        let mut cutter = std::mem::take(&mut self.cutter);
        let now = (shared.latencies.is_some() || self.viewing.is_some()).then(Instant::now);
        cutter.feed(bytes, |frame| self.on_frame(frame, now, shared, number));
        self.cutter = cutter;
    }

    fn on_frame(&mut self, frame: Frame<'_>, now: Option<Instant>, shared: &mut Shared, number: usize) {
        match frame.opcode {
            TEXT if frame.whole => match shared.finder.find(frame.head) {
                Some((at, mark)) => {
                    if !is_whole(&frame, at, &mark) {
                        malformed(frame.head, shared);
                    }
                    shared.ledger.deliver(&mut self.seats, mark.publisher, mark.sequence);
                    now.into_iter().for_each(|now| shared.taken(&mark, now));
                }
                None => self.on_event(frame.head, shared, number),
            },
            BINARY if frame.whole => match shared.finder.find(frame.head) {
                Some((at, mark)) if frame.payload_bytes == at as u64 + u64::from(mark.payload_bytes) => {
                    self.on_film(&mark, now, shared);
                }
                _ => malformed(frame.head, shared),
            },
            CLOSE => {
                let code = frame.head.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                self.ended(Ending::Closed(code), shared);
            }
            PING => self.send_frame(PONG, frame.head, shared),
            PONG => {}
            _ => malformed(frame.head, shared),
        }
    }

    /// A picture, or a piece of sound.
    fn on_film(&mut self, mark: &Mark, now: Option<Instant>, shared: &mut Shared) {
        match (&mut self.viewing, now) {
            (Some(viewing), Some(now)) => {
                let late = shared.nanoseconds(now).saturating_sub(mark.nanoseconds);
                viewing.see(mark, now, Duration::from_nanos(late));
            }
            _ => {
                shared.ledger.deliver(&mut self.seats, mark.publisher, mark.sequence);
                now.into_iter().for_each(|now| shared.taken(mark, now));
            }
        }
    }

    /// Anything that is not a delivery. The event's name is near the beginning, whatever the order of the keys.
    fn on_event(&mut self, message: &[u8], shared: &mut Shared, number: usize) {
        let says = |words: &str| memmem::find(message, words.as_bytes()).is_some();
        if says(r#""pusher:connection_established""#) {
            self.socket_id = socket_id(message).unwrap_or_default();
            self.ask(shared);
            self.see_if_subscribed(shared);
        } else if says(r#""pusher_internal:subscription_succeeded""#) {
            self.granted += 1;
            shared.counts.granted += 1;
            self.ask(shared);
            self.see_if_subscribed(shared);
        } else if says(r#""pusher_internal:member_added""#) {
            heard_of_member(message, 0, shared, number);
        } else if says(r#""pusher_internal:member_removed""#) {
            heard_of_member(message, 1, shared, number);
        } else if says(r#""pusher:ping""#) {
            self.send(br#"{"event":"pusher:pong","data":{}}"#, shared);
        } else if says(r#""pusher:error""#) || says(r#""pusher:subscription_error""#) {
            shared.ledger.faults.refused += 1;
            shared.ledger.faults.show_example(message);
        } else if says(r#""pusher:frame_received""#) || says(r#""pusher:keyframe_wanted""#) {
            // Its pace is the same whatever it is told.
        } else if !says(r#""pusher:pong""#) {
            malformed(message, shared);
        }
    }

    /// Subscribes to what it wishes for, but does not ask for more than it can hear the answers of.
    fn ask(&mut self, shared: &mut Shared) {
        while self.asked < self.wishes.len().min(self.granted + ASKED_AT_ONCE) {
            let wish = self.wishes[self.asked].clone();
            self.asked += 1;
            self.subscribe(wish, shared);
        }
    }

    fn see_if_subscribed(&mut self, shared: &mut Shared) {
        if self.phase == Phase::Entering && self.granted == self.wishes.len() {
            self.phase = Phase::Subscribed;
            shared.counts.subscribed += 1;
        }
    }

    fn ended(&mut self, how: Ending, shared: &mut Shared) {
        if self.is_open() {
            self.end();
            self.phase = Phase::Ended(how);
            shared.counts.ended += 1;
        }
    }
}

/// Whether the payload that carries this mark is as long as the mark says: a quotation mark ends it there, or, where
/// that is beyond what is looked at, the frame has at least room for it.
fn is_whole(frame: &Frame<'_>, at: usize, mark: &Mark) -> bool {
    let end = at + mark.payload_bytes as usize;
    match frame.head.get(end) {
        Some(byte) => *byte == b'"',
        None => frame.payload_bytes >= end as u64 + 2,
    }
}

fn malformed(message: &[u8], shared: &mut Shared) {
    shared.ledger.faults.malformed += 1;
    shared.ledger.faults.show_example(message);
}

/// The socket id in `connection_established`: digits, a dot, digits.
fn socket_id(message: &[u8]) -> Option<String> {
    let after = &message[memmem::find(message, b"socket_id")? + b"socket_id".len()..];
    let start = after.iter().position(u8::is_ascii_digit)?;
    let id = after[start..].split(|byte| !byte.is_ascii_digit() && *byte != b'.').next()?;
    Some(String::from_utf8_lossy(id).into_owned())
}

/// Notes that a client heard of a member; it must hear of joining (`parity` 0) and leaving (1) in turn.
fn heard_of_member(message: &[u8], parity: u32, shared: &mut Shared, number: usize) {
    const BEFORE: &[u8] = b"member-";
    let digits =
        memmem::find(message, BEFORE).and_then(|at| message.get(at + BEFORE.len()..at + BEFORE.len() + 5));
    let member = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
    let heard = member.and_then(|member| shared.members_heard.get_mut(number)?.get_mut(member));
    match heard {
        Some(heard) if *heard % 2 == parity => {
            *heard += 1;
            shared.counts.member_events += 1;
        }
        Some(_) => {
            shared.ledger.faults.reordered += 1;
            shared.ledger.faults.show_example(message);
        }
        // Nobody asked to keep this client's book.
        None if member.is_some() => {}
        None => malformed(message, shared),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_id_is_found_however_data_is_encoded() {
        for message in [
            r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"123.456\",\"activity_timeout\":120}"}"#,
            r#"{"data":{"activity_timeout":30,"socket_id": "123.456"},"event":"pusher:connection_established"}"#,
        ] {
            assert_eq!(socket_id(message.as_bytes()).as_deref(), Some("123.456"));
        }
    }
}
