//! Tracks of video channels, as `docs/video.md` has them: messages of one, and a checker that judges what a viewer was sent of
//! them by nothing but that. The browser's tests have the same in `browser/track-checker.mjs`.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::Socket;
use crate::frame::{BINARY, FIN};

/// A binary message, as `docs/binary.md` lays it out.
#[derive(Clone, Debug)]
pub struct BinaryMessage {
    /// Its channel; empty if it has none.
    pub channel: String,
    /// The name of its event.
    pub event: String,
    /// What its content is.
    pub media_type: String,
    /// The member that sent it; empty if it is not told.
    pub user_id: String,
    /// What is said of the content; null if that is nothing.
    pub members: Value,
    /// The bytes.
    pub content: Vec<u8>,
}

impl BinaryMessage {
    /// A message without a user id.
    #[must_use]
    pub fn new(channel: &str, event: &str, media_type: &str, members: &Value, content: Vec<u8>) -> Self {
        BinaryMessage {
            channel: channel.to_owned(),
            event: event.to_owned(),
            media_type: media_type.to_owned(),
            user_id: String::new(),
            members: members.clone(),
            content,
        }
    }

    /// It as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let members = if self.members.is_null() { String::new() } else { self.members.to_string() };
        let texts = [&self.channel, &self.event, &self.media_type, &self.user_id, &members];
        let mut bytes = vec![1, 0];
        bytes.extend(texts.iter().flat_map(|text| (text.len() as u16).to_be_bytes()));
        bytes.extend(texts.iter().flat_map(|text| text.bytes()));
        bytes.extend(&self.content);
        bytes
    }

    /// Reads it.
    ///
    /// # Panics
    /// If the bytes are none.
    #[must_use]
    #[track_caller]
    pub fn read(message: &[u8]) -> BinaryMessage {
        assert!(message.len() >= 12 && message[0] == 1, "no binary message of version 1: {message:?}");
        let mut at = 12;
        let mut text = |n: usize| {
            let length = usize::from(u16::from_be_bytes([message[2 + 2 * n], message[3 + 2 * n]]));
            at += length;
            String::from_utf8(message[at - length..at].to_vec()).expect("a text of a binary message is UTF-8")
        };
        let [channel, event, media_type, user_id, members] = [0, 1, 2, 3, 4].map(&mut text);
        let members = if members.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&members).expect("members are JSON")
        };
        let content = message[at..].to_vec();
        BinaryMessage { channel, event, media_type, user_id, members, content }
    }

    /// Says it.
    pub fn send(&self, socket: &mut Socket) {
        socket.send_frame(FIN | BINARY, &self.encode());
    }
}

/// The members of a frame of this number. A key frame has a configuration.
#[must_use]
pub fn members(sequence: u64, is_key: bool) -> Value {
    let mut members = json!({ "sequence": sequence, "timestamp": sequence * 33_333 });
    if is_key {
        members["key"] = json!(true);
        members["config"] = json!({ "codec": "vp8", "codedWidth": 16, "codedHeight": 16 });
    }
    members
}

/// The same of the small rendition.
#[must_use]
pub fn small(sequence: u64, is_key: bool) -> Value {
    let mut members = members(sequence, is_key);
    members["rendition"] = json!("small");
    members
}

/// What a checker makes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFrame {
    /// The name of its event.
    pub event: String,
    /// Which one it is of its track and rendition.
    pub sequence: u64,
    /// Its timestamp.
    pub timestamp: i64,
    /// A decoder can begin with it.
    pub is_key: bool,
    /// It is of the small rendition.
    pub is_small: bool,
    /// It is sound.
    pub is_sound: bool,
}

/// Judges what one viewer is sent of tracks: that a decoder could make something of all of it, in the order in which it comes.
#[derive(Debug, Default)]
pub struct TrackChecker {
    tracks: HashMap<(String, String, bool), SeenTrack>,
    upper: BTreeSet<(String, String, bool, u64)>,
    faults: Vec<String>,
    frames: u64,
    keys: u64,
    moves: u64,
}

/// What it has of one track.
#[derive(Debug)]
struct SeenTrack {
    is_small: bool,
    sequence: u64,
}

impl TrackChecker {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        TrackChecker::default()
    }

    /// A publisher has sent this. Without it nobody knows of what is missing that it was of layer 1, to which no other frame refers:
    /// then every gap without a key frame is a fault.
    pub fn sent(&mut self, event: &str, members: &Value) {
        if members["layer"] == json!(1) {
            let sequence = members["sequence"].as_u64().unwrap_or_default();
            self.upper.insert((event.to_owned(), name_of(members), is_small(members), sequence));
        }
    }

    /// The viewer was sent this message. Returns what it is, if it is one of a track.
    pub fn take(&mut self, message: &[u8]) -> Option<SeenFrame> {
        let BinaryMessage { event, media_type, members, .. } = BinaryMessage::read(message);
        self.take_members(&event, &media_type, &members)
    }

    /// The same of a message that has been read.
    pub fn take_members(&mut self, event: &str, media_type: &str, members: &Value) -> Option<SeenFrame> {
        let is_sound = media_type.starts_with("audio/");
        if !is_sound && !media_type.starts_with("video/") {
            return None;
        }
        self.frames += 1;
        let (Some(sequence), Some(timestamp)) = (members["sequence"].as_u64(), members["timestamp"].as_i64())
        else {
            self.fault(event, format!("no sequence or no timestamp: {members}"));
            return None;
        };
        if !members["publisher"].is_null() {
            self.fault(event, format!("{sequence} tells what proves who films"));
        }
        let is_key = members["key"] == json!(true);
        let frame = SeenFrame {
            event: event.to_owned(),
            sequence,
            timestamp,
            is_key,
            is_small: is_small(members),
            is_sound,
        };
        if is_key {
            self.take_key(&frame, members);
        } else {
            self.take_delta(&frame, members);
        }
        Some(frame)
    }

    fn take_key(&mut self, frame: &SeenFrame, members: &Value) {
        let SeenFrame { ref event, sequence, is_small, is_sound, .. } = *frame;
        self.keys += 1;
        let config = &members["config"];
        let numbers =
            if is_sound { ["sampleRate", "numberOfChannels"] } else { ["codedWidth", "codedHeight"] };
        if config["codec"].as_str().is_none_or(str::is_empty)
            || numbers.iter().any(|name| !config[name].is_u64())
        {
            self.fault(event, format!("the key frame {sequence} carries no configuration: {members}"));
        }
        let key = (event.clone(), name_of(members), is_sound);
        let before = self.tracks.insert(key, SeenTrack { is_small, sequence });
        self.moves += u64::from(before.is_some_and(|before| before.is_small != is_small));
    }

    fn take_delta(&mut self, frame: &SeenFrame, members: &Value) {
        let SeenFrame { ref event, sequence, is_small, is_sound, .. } = *frame;
        let track = name_of(members);
        let Some(seen) = self.tracks.get_mut(&(event.clone(), track.clone(), is_sound)) else {
            return self.fault(event, format!("{sequence} came before any key frame"));
        };
        let before = seen.sequence;
        let is_other = seen.is_small != is_small;
        seen.sequence = sequence;
        let upper = |number| self.upper.contains(&(event.clone(), track.clone(), is_small, number));
        let is_whole = is_sound || sequence <= before || (before + 1..sequence).all(upper);
        if is_other {
            self.fault(event, format!("{sequence} is of another rendition than {before}, and no key frame"));
        } else if sequence <= before {
            self.fault(event, format!("{sequence} came after {before}, without a key frame"));
        } else if !is_whole {
            self.fault(
                event,
                format!("{sequence} is an orphan: it came after {before}, without a key frame"),
            );
        }
    }

    fn fault(&mut self, event: &str, what: String) {
        self.faults.push(format!("{event}: {what}"));
    }

    /// Messages of tracks so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Key frames among them.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// How often a key frame was of another rendition than what came before it.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// What was wrong.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Nothing was wrong.
    ///
    /// # Panics
    /// If something was.
    #[track_caller]
    pub fn assert_whole(&self) {
        assert!(self.faults.is_empty(), "of {} frames: {:#?}", self.frames, self.faults);
    }
}

fn name_of(members: &Value) -> String {
    members["track"].as_str().unwrap_or_default().to_owned()
}

fn is_small(members: &Value) -> bool {
    members["rendition"] == json!("small")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(frames: &[Value]) -> Vec<String> {
        let mut checker = TrackChecker::new();
        checker.sent("v", &json!({ "sequence": 4, "timestamp": 0, "layer": 1 }));
        frames.iter().for_each(|members| _ = checker.take_members("v", "video/webcodecs", members));
        checker.faults
    }

    #[test]
    fn what_a_decoder_could_not_use_is_a_fault() {
        let layer = |n| json!({ "sequence": n, "timestamp": 0 });
        let good: [&[Value]; 4] = [
            &[members(1, true), members(2, false), members(3, false), members(5, false)],
            &[members(1, true), small(9, true), small(10, false), members(2, true)],
            &[members(7, true), members(2, true), layer(3)],
            &[],
        ];
        for frames in good {
            assert_eq!(faults(frames), [""; 0], "{frames:?}");
        }
        let bad: [(&[Value], &str); 7] = [
            (
                &[members(1, true), json!({ "sequence": 2, "timestamp": 0, "publisher": "p" })],
                "proves who films",
            ),
            (&[members(1, false)], "before any key frame"),
            (&[members(1, true), members(3, false)], "3 is an orphan"),
            (&[members(1, true), members(2, false), members(2, false)], "2 came after 2"),
            (&[members(1, true), small(2, false)], "another rendition"),
            (&[json!({ "sequence": 1, "timestamp": 0, "key": true })], "no configuration"),
            (&[json!({ "key": true })], "no sequence"),
        ];
        for (frames, text) in bad {
            let found = faults(frames);
            assert!(found.len() == 1 && found[0].contains(text), "{frames:?}: {found:?}");
        }
    }

    #[test]
    fn sound_begins_with_its_configuration_and_may_have_gaps() {
        let mut checker = TrackChecker::new();
        let key = json!({ "sequence": 1, "timestamp": 0, "key": true,
                          "config": { "codec": "opus", "sampleRate": 48_000, "numberOfChannels": 2 } });
        let mut take = |members: &Value| _ = checker.take_members("a", "audio/webcodecs", members);
        take(&key);
        take(&json!({ "sequence": 5, "timestamp": 0 }));
        assert_eq!((checker.frames(), checker.faults().len()), (2, 0));
        let message = BinaryMessage::new("c", "a", "audio/webcodecs", &key, vec![1, 2]);
        let read = BinaryMessage::read(&message.encode());
        assert_eq!((read.members, read.content, &*read.event), (key, vec![1, 2], "a"));
        checker.assert_whole();
    }
}
