//! Frames on their way to clients: which event each is, and those that a fault holds back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::hub::Due;
use crate::protocol::{Frame, SocketId, json};

/// Frames of one app that can be held back at once. Over it: they are sent at once.
pub(super) const MAX_HELD_FRAMES: usize = 10_000;

/// What a frame says, as far as tests ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameText {
    pub(super) event: Option<Arc<str>>,
    pub(super) channel: Option<Arc<str>>,
    pub(super) data: Option<Arc<str>>,
    pub(super) answers_ping: bool,
}

impl FrameText {
    fn read(frame: &Frame) -> FrameText {
        const OPCODE: u8 = 0x0f;
        const TEXT: u8 = 0x1;
        const PONG: u8 = 0xa;
        match frame.websocket().first().map(|head| head & OPCODE) {
            Some(TEXT) => {}
            opcode => return FrameText { answers_ping: opcode == Some(PONG), ..FrameText::default() },
        }
        // Clients of the HTTP transports and of SockJS are sent it as a string in an array.
        let quoted =
            frame.quoted_message().and_then(|message| serde_json::from_slice::<String>(message).ok());
        let plain = || std::str::from_utf8(frame.json()).unwrap_or_default();
        let text = quoted.as_deref().unwrap_or_else(plain);
        let [event, channel, data] = json::members(text, ["event", "channel", "data"]).unwrap_or_default();
        let string = |value| json::as_string(value).map(|text| Arc::from(text.as_ref()));
        let event: Option<Arc<str>> = event.and_then(string);
        let data = data.map(|value| string(value).unwrap_or_else(|| Arc::from(value.get())));
        let answers_ping = event.as_deref() == Some("pusher:pong");
        FrameText { event, channel: channel.and_then(string), data, answers_ping }
    }

    /// Whether it is an event that somebody published or sent, and not the protocol's own.
    pub(super) fn is_event(&self) -> bool {
        self.event.as_deref().is_some_and(|event| {
            !event.starts_with("pusher:")
                && !event.starts_with("pusher_internal:")
                && event != "connection_established"
        })
    }
}

/// Reads frames. A broadcast is read once, although it goes to many.
#[derive(Debug, Default)]
pub(super) struct FrameTextReader {
    /// The frame is kept with its text, so that no other can be at the same address.
    last: Mutex<Option<(Frame, Arc<FrameText>)>>,
}

impl FrameTextReader {
    pub(super) fn read(&self, frame: &Frame) -> Arc<FrameText> {
        let mut last = self.last.lock();
        match &*last {
            Some((known, text)) if same(known, frame) => Arc::clone(text),
            _ => {
                let text = Arc::new(FrameText::read(frame));
                *last = Some((frame.clone(), Arc::clone(&text)));
                text
            }
        }
    }
}

fn same(one: &Frame, other: &Frame) -> bool {
    let (one, other) = (one.websocket(), other.websocket());
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

/// Frames that a fault holds back, in the order in which they are to be released.
#[derive(Debug, Default)]
pub(super) struct HeldFrames {
    state: Mutex<HeldByConnection>,
}

#[derive(Debug, Default)]
struct HeldByConnection {
    delayed: HashMap<SocketId, VecDeque<HeldFrame>>,
    /// To go after the connection's next frame.
    swapped: HashMap<SocketId, HeldFrame>,
    count: usize,
}

#[derive(Debug)]
struct HeldFrame {
    until: Instant,
    frame: Frame,
    _due: Due,
}

impl HeldFrames {
    /// Holds a frame until `time`, or until those before it are released, if that is later. Gives it back if there is
    /// no room. `wait` is told when it is to be released.
    pub(super) fn delay(
        &self,
        to: SocketId,
        frame: Frame,
        time: Instant,
        wait: impl FnOnce(Instant) -> Due,
    ) -> Result<(), Frame> {
        let mut held = self.state.lock();
        if held.count >= MAX_HELD_FRAMES {
            return Err(frame);
        }
        held.count += 1;
        let queue = held.delayed.entry(to).or_default();
        let until = queue.back().map_or(time, |last| time.max(last.until));
        queue.push_back(HeldFrame { until, frame, _due: wait(until) });
        Ok(())
    }

    /// Holds a frame until the connection's next one, or until that time if there is none. Gives it back if one is held
    /// already, or there is no room. `wait` is told of the time.
    pub(super) fn swap(
        &self,
        to: SocketId,
        frame: Frame,
        until: Instant,
        wait: impl FnOnce(Instant) -> Due,
    ) -> Result<(), Frame> {
        let mut held = self.state.lock();
        if held.count >= MAX_HELD_FRAMES || held.swapped.contains_key(&to) {
            return Err(frame);
        }
        held.count += 1;
        held.swapped.insert(to, HeldFrame { until, frame, _due: wait(until) });
        Ok(())
    }

    /// The frame that waited for the connection's next one.
    pub(super) fn take_swapped(&self, to: SocketId) -> Option<Frame> {
        let mut held = self.state.lock();
        let HeldFrame { frame, .. } = held.swapped.remove(&to)?;
        held.count -= 1;
        Some(frame)
    }

    /// The frames whose time has come.
    pub(super) fn take_due(&self, now: Instant) -> Vec<(SocketId, Frame)> {
        let mut held = self.state.lock();
        let mut due = Vec::new();
        for (socket, queue) in &mut held.delayed {
            while queue.front().is_some_and(|held| held.until <= now) {
                due.extend(queue.pop_front().map(|held| (*socket, held.frame)));
            }
        }
        held.delayed.retain(|_, queue| !queue.is_empty());
        let over: Vec<SocketId> =
            held.swapped.iter().filter(|(_, held)| held.until <= now).map(|(socket, _)| *socket).collect();
        for socket in over {
            due.extend(held.swapped.remove(&socket).map(|held| (socket, held.frame)));
        }
        held.count -= due.len();
        due
    }

    /// Gives up what is held for a connection that is gone, or for all.
    pub(super) fn forget(&self, socket: Option<SocketId>) {
        let mut held = self.state.lock();
        match socket {
            None => *held = HeldByConnection::default(),
            Some(socket) => {
                let delayed = held.delayed.remove(&socket).map_or(0, |queue| queue.len());
                let swapped = usize::from(held.swapped.remove(&socket).is_some());
                held.count -= delayed + swapped;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::Data;
    use crate::protocol::{ChannelName, server_message};
    use std::time::Duration;

    fn frame(event: &str) -> Frame {
        let channel = ChannelName::parse("room", 164).unwrap();
        server_message::channel_event(event, &Data::of_text("{\"n\":1}"), &channel, None)
    }

    #[test]
    fn a_frame_says_which_event_it_is() {
        let reader = FrameTextReader::default();
        let text = reader.read(&frame("message"));
        assert_eq!(text.event.as_deref(), Some("message"));
        assert_eq!((text.channel.as_deref(), text.data.as_deref()), (Some("room"), Some("{\"n\":1}")));
        assert!(text.is_event() && !text.answers_ping);
        assert_eq!(reader.read(&frame("message").quoted()), text, "in whatever form it is sent");
        assert!(!reader.read(&frame("pusher_internal:member_added")).is_event());
        for pong in [Frame::pong(b"x"), server_message::pong()] {
            let text = reader.read(&pong);
            assert!(text.answers_ping && !text.is_event());
        }
        assert_eq!(*reader.read(&Frame::ping()), FrameText::default());
    }

    #[test]
    fn a_broadcast_is_read_once() {
        let reader = FrameTextReader::default();
        let frame = frame("message");
        assert!(Arc::ptr_eq(&reader.read(&frame), &reader.read(&frame.clone())));
    }

    #[test]
    fn delayed_frames_keep_their_order() {
        let held = HeldFrames::default();
        let (start, socket) = (Instant::now(), SocketId::new(1, 1));
        let at = |ms| start + Duration::from_millis(ms);
        let delay = |event, time, expected| {
            let wait = |until| {
                assert_eq!(until, expected, "not before the one before it");
                Due::default()
            };
            held.delay(socket, frame(event), time, wait).unwrap();
        };
        delay("a", at(100), at(100));
        delay("b", at(50), at(100));
        delay("c", at(200), at(200));
        assert!(held.take_due(at(99)).is_empty());
        assert_eq!(held.take_due(at(100)), [(socket, frame("a")), (socket, frame("b"))]);
        held.forget(Some(socket));
        assert!(held.take_due(at(999)).is_empty());
    }

    #[test]
    fn one_frame_waits_for_the_next() {
        let held = HeldFrames::default();
        let socket = SocketId::new(1, 1);
        assert!(held.take_swapped(socket).is_none());
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        held.swap(socket, frame("a"), later, |_| Due::default()).unwrap();
        assert_eq!(held.swap(socket, frame("b"), later, |_| Due::default()), Err(frame("b")));
        assert!(held.take_due(now).is_empty());
        assert_eq!(held.take_swapped(socket), Some(frame("a")));
        held.swap(socket, frame("c"), later, |_| Due::default()).unwrap();
        assert_eq!(held.take_due(later), [(socket, frame("c"))], "there was none");
        assert!(held.take_swapped(socket).is_none());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let held = HeldFrames::default();
        let (now, socket) = (Instant::now(), SocketId::new(1, 1));
        for _ in 0..MAX_HELD_FRAMES {
            held.delay(socket, frame("a"), now, |_| Due::default()).unwrap();
        }
        assert!(held.delay(socket, frame("a"), now, |_| Due::default()).is_err());
        assert_eq!(held.take_due(now).len(), MAX_HELD_FRAMES);
        assert!(held.delay(socket, frame("a"), now, |_| Due::default()).is_ok());
    }
}
