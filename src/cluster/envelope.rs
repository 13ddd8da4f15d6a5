//! What nodes say to each other, as bytes, both ways.
//!
//! A message begins with the version of the format, its kind, and the node that says it; what follows is the kind's own.
//! Numbers and lengths take seven bits to a byte, the lowest first. What a later release adds at the end of a kind is
//! passed over, and so are facts of kinds that it adds; a kind that it adds, and a version, is [`Unreadable`], which
//! stops nothing: whoever reads counts it.
//!
//! Whatever the bytes are: reading them takes no memory beyond a small multiple of their length, and a frame is not
//! copied.

mod demand;
mod facts;
mod fields;
mod filming;
mod handed;
mod notice;
mod question;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::channel::NodeId;
use crate::hub::{FeedWord, HandedOver, NameWord};
use crate::protocol::{Frame, SocketId, SocketTag};
use crate::recovery::NoteNumber;
use crate::video::{FilmingClaim, KeyframesWanted};

use super::adapter::EngineId;
use super::shared_settings::SettingDigests;

pub(crate) use facts::{AppFact, FactList, FactListBuilder};
pub(super) use fields::{FieldReader, FieldWriter, Malformed};
pub(crate) use notice::{CarriedNotice, NoticeMessage};
pub(crate) use question::QuestionWord;

/// The version of the format. What can be passed over by those who do not know it needs no other.
const FORMAT: u8 = 1;

/// A message of a node to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Who says it.
    pub(crate) from: NodeId,
    pub(crate) content: Content,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// On the subject of a channel: an event for its subscribers.
    Event(EventMessage),
    /// On the subject of state, each second: the node is there. To the node itself it is a probe.
    Heartbeat(NodeHeartbeat),
    /// On the subject of state: what has become true on the node.
    Facts(FactBatch),
    /// On the subject of state: a node is asked for all that is true on it.
    SnapshotRequest(SnapshotRequest),
    /// To one node: what it has asked for.
    SnapshotPart(SnapshotPart),
    /// On the subject of state: the node ends, and with it all its connections.
    Goodbye,
    /// On the subject of state: the connections of a user are to be ended.
    Terminate { app: Arc<str>, user_id: Arc<str> },
    /// To the node of a connection: it is to be sent a frame.
    ToSocket { app: Arc<str>, socket: SocketId, frame: Frame },
    /// To the node of a connection: it is to be ended.
    CloseSocket { app: Arc<str>, socket: SocketId },
    /// On the subject of an app's backends: something that they want to hear.
    Notice(NoticeMessage),
    /// To the node that succeeds the one that says it: something that is left to it.
    HandedOver { app: Arc<str>, handed: HandedOver },
    /// To a node that had the name of a client, or has it: what became of it.
    ClientName { number: NoteNumber, word: NameWord },
    /// To the node where a track is filmed, or on the subject of state where none is known: viewers want key frames.
    KeyframesWanted { app: Arc<str>, wanted: Box<KeyframesWanted> },
    /// On the subject of state, or to a node where somebody else films: a client of the node films a track.
    FilmingClaimed { app: Arc<str>, claim: Box<FilmingClaim> },
    /// To one node: what those who run the broker want to know of it; and to the one that has asked: what it is told.
    Question { number: u64, word: QuestionWord },
    /// On the subject of state, or to one node: what viewers want to hear of, and what has happened.
    OfFeed(FeedWord),
    /// On the subject of a channel with a history: the node has accepted events before that it could not keep.
    EventsLost,
}

/// An event that was accepted by the node that says it. The app and the channel are those of the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventMessage {
    /// Numbers begin anew with it. It is larger than all epochs that the node has had for this channel before.
    pub(crate) epoch: u64,
    /// The number of the event among those of this node and channel, from 1 on, without gaps.
    pub(crate) number: u64,
    /// The number of the node's last fact when it was accepted: what was true for its sender.
    pub(crate) state: u64,
    /// The connection that is not sent it.
    pub(crate) except: Option<SocketId>,
    /// The name of the event, where a slow subscriber needs only the newest of each name.
    pub(crate) latest: Option<Box<str>>,
    /// What subscribers are sent, in the form in which it was made.
    pub(crate) frame: Frame,
    /// It is no new event, but one that its channel remembers and the engine lacked: the node has put it there again. Its
    /// number is that of the last event of the node.
    pub(crate) restored: Option<Restored>,
    /// Of a channel with a history: the channel also remembers it as its last one.
    pub(crate) is_remembered: bool,
    /// It is a message of a track where it was accepted, whatever its channel is where it comes: its publisher is known by what
    /// nobody else is told.
    pub(crate) is_of_track: bool,
}

/// How an event is remembered that was put to the engine again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Of several nodes' events, that of the largest stays.
    pub(crate) rank: u64,
    /// For how long it was to be remembered then.
    pub(crate) expires_in: Duration,
}

/// What a node says of itself each second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeHeartbeat {
    /// Its number, from 1 on.
    pub(crate) beat: u64,
    /// The number of its last fact; 0 if there was none.
    pub(crate) facts: u64,
    /// It knows what the others have, so it may decide for channels.
    pub(crate) settled: bool,
    /// What people call it.
    pub(crate) name: Arc<str>,
    /// Where those who run it reach it, if it says so.
    pub(crate) address: Option<Arc<str>>,
    /// What the ids of its connections have in common.
    pub(crate) socket_tag: SocketTag,
    /// The version of the program.
    pub(crate) release: Arc<str>,
    /// The engine that it sees, if it sees one.
    pub(crate) engine: Option<EngineId>,
    /// When it started, by its own clock, in milliseconds since 1970: to be shown, and nothing else.
    pub(crate) started_ms: u64,
    /// Digests of its settings that all nodes should have alike.
    pub(crate) settings: SettingDigests,
}

/// Facts that follow each other, each with the number after that of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FactBatch {
    /// The number of the first one. The first one of a node has the number 1.
    pub(crate) first: u64,
    pub(crate) facts: FactList,
}

/// Asks a node for all that is true on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotRequest {
    /// Who is asked. All hear it.
    pub(crate) of: NodeId,
    /// It is repeated in each part of the answer, and tells it from the answers to earlier ones.
    pub(crate) request: u64,
}

/// A part of what is true on a node: facts that make it true where nothing was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotPart {
    pub(crate) request: u64,
    /// The number of the node's last fact when the snapshot was made, the same in all its parts.
    pub(crate) number: u64,
    /// From 0 on.
    pub(crate) part: u32,
    /// No part follows.
    pub(crate) is_last: bool,
    pub(crate) facts: FactList,
}

/// Bytes that say nothing to this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Another format.
    #[error("it has version {0} of the format, this node reads {FORMAT}")]
    Version(u8),
    /// A kind of message that this release does not know.
    #[error("it is of the unknown kind {0}")]
    Kind(u8),
    /// No message at all.
    #[error("it is no message of a node")]
    Malformed,
}

const EVENT: u8 = 1;
const HEARTBEAT: u8 = 2;
const FACTS: u8 = 3;
const SNAPSHOT_REQUEST: u8 = 4;
const SNAPSHOT_PART: u8 = 5;
const GOODBYE: u8 = 6;
const TERMINATE: u8 = 7;
const TO_SOCKET: u8 = 8;
const CLOSE_SOCKET: u8 = 9;
const NOTICE: u8 = 10;
const HANDED_OVER: u8 = 11;
const CLIENT_NAME: u8 = 13;
const KEYFRAMES_WANTED: u8 = 14;
const FILMING_CLAIMED: u8 = 15;
const QUESTION: u8 = 16;
const FEED_WANTED: u8 = 18;
const FEED_PASSED: u8 = 19;

const NAME_WAS_THERE: u8 = 0;
const NAME_TAKEN: u8 = 1;
const EVENTS_LOST: u8 = 12;

impl Envelope {
    /// It as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = FieldWriter::with_capacity(self.content.bytes());
        out.byte(FORMAT);
        out.byte(self.content.kind());
        out.node(self.from);
        match &self.content {
            Content::Event(event) => event.write(&mut out),
            Content::Heartbeat(heartbeat) => heartbeat.write(&mut out),
            Content::Facts(FactBatch { first, facts }) => {
                out.number(*first);
                facts.write(&mut out);
            }
            Content::SnapshotRequest(SnapshotRequest { of, request }) => {
                out.node(*of);
                out.number(*request);
            }
            Content::SnapshotPart(SnapshotPart { request, number, part, is_last, facts }) => {
                out.number(*request);
                out.number(*number);
                out.number((*part).into());
                out.byte((*is_last).into());
                facts.write(&mut out);
            }
            Content::Goodbye | Content::EventsLost => {}
            Content::Terminate { app, user_id } => {
                out.text(app);
                out.text(user_id);
            }
            Content::ToSocket { app, socket, frame } => {
                out.text(app);
                out.socket(*socket);
                out.bytes(frame.websocket());
            }
            Content::CloseSocket { app, socket } => {
                out.text(app);
                out.socket(*socket);
            }
            Content::Notice(message) => message.write(&mut out),
            Content::HandedOver { app, handed } => {
                out.text(app);
                handed::write(handed, &mut out);
            }
            Content::ClientName { number: NoteNumber(number), word } => {
                out.bytes(number);
                match word {
                    NameWord::WasThere => out.byte(NAME_WAS_THERE),
                    NameWord::Taken { turn } => {
                        out.byte(NAME_TAKEN);
                        out.number(*turn);
                    }
                }
            }
            Content::KeyframesWanted { app, wanted } => {
                out.text(app);
                filming::write_wanted(wanted, &mut out);
            }
            Content::FilmingClaimed { app, claim } => {
                out.text(app);
                filming::write_claim(claim, &mut out);
            }
            Content::Question { number, word } => {
                out.number(*number);
                word.write(&mut out);
            }
            Content::OfFeed(word) => out.bytes(word.bytes()),
        }
        out.finish()
    }

    /// Reads it. Frames and lists of facts are parts of the bytes, not copies.
    ///
    /// # Errors
    /// If the bytes say nothing to this release. They are passed over then.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Envelope, Unreadable> {
        let mut fields = FieldReader::new(bytes);
        match fields.byte()? {
            FORMAT => {}
            other => return Err(Unreadable::Version(other)),
        }
        let kind = fields.byte()?;
        let from = fields.node()?;
        let content = match kind {
            EVENT => Content::Event(EventMessage::read(&mut fields)?),
            HEARTBEAT => Content::Heartbeat(NodeHeartbeat::read(&mut fields)?),
            FACTS => {
                let first = fields.number()?;
                Content::Facts(FactBatch { first, facts: FactList::read(&mut fields)? })
            }
            SNAPSHOT_REQUEST => {
                let of = fields.node()?;
                Content::SnapshotRequest(SnapshotRequest { of, request: fields.number()? })
            }
            SNAPSHOT_PART => Content::SnapshotPart(SnapshotPart {
                request: fields.number()?,
                number: fields.number()?,
                part: fields.small_number()?,
                is_last: fields.flag()?,
                facts: FactList::read(&mut fields)?,
            }),
            GOODBYE => Content::Goodbye,
            TERMINATE => {
                let app = fields.text()?.into();
                Content::Terminate { app, user_id: fields.text()?.into() }
            }
            TO_SOCKET => Content::ToSocket {
                app: fields.text()?.into(),
                socket: fields.socket()?,
                frame: fields.frame()?,
            },
            CLOSE_SOCKET => {
                let app = fields.text()?.into();
                Content::CloseSocket { app, socket: fields.socket()? }
            }
            NOTICE => Content::Notice(NoticeMessage::read(&mut fields)?),
            HANDED_OVER => {
                let app = fields.text()?.into();
                Content::HandedOver { app, handed: handed::read(&mut fields)? }
            }
            CLIENT_NAME => {
                let number = fields.bytes()?[..].try_into().map_err(|_| Malformed)?;
                let word = match fields.byte()? {
                    NAME_WAS_THERE => NameWord::WasThere,
                    NAME_TAKEN => NameWord::Taken { turn: fields.number()? },
                    other => return Err(Unreadable::Kind(other)),
                };
                Content::ClientName { number: NoteNumber(number), word }
            }
            KEYFRAMES_WANTED => {
                let app = fields.text()?.into();
                Content::KeyframesWanted { app, wanted: Box::new(filming::read_wanted(&mut fields)?) }
            }
            FILMING_CLAIMED => {
                let app = fields.text()?.into();
                Content::FilmingClaimed { app, claim: Box::new(filming::read_claim(&mut fields)?) }
            }
            QUESTION => {
                let number = fields.number()?;
                Content::Question { number, word: QuestionWord::read(&mut fields)? }
            }
            EVENTS_LOST => Content::EventsLost,
            FEED_WANTED => Content::OfFeed(FeedWord::Wanted(fields.bytes()?)),
            FEED_PASSED => Content::OfFeed(FeedWord::Passed(fields.bytes()?)),
            other => return Err(Unreadable::Kind(other)),
        };
        Ok(Envelope { from, content })
    }
}

impl Content {
    fn kind(&self) -> u8 {
        match self {
            Content::Event(_) => EVENT,
            Content::Heartbeat(_) => HEARTBEAT,
            Content::Facts(_) => FACTS,
            Content::SnapshotRequest(_) => SNAPSHOT_REQUEST,
            Content::SnapshotPart(_) => SNAPSHOT_PART,
            Content::Goodbye => GOODBYE,
            Content::Terminate { .. } => TERMINATE,
            Content::ToSocket { .. } => TO_SOCKET,
            Content::CloseSocket { .. } => CLOSE_SOCKET,
            Content::Notice(_) => NOTICE,
            Content::HandedOver { .. } => HANDED_OVER,
            Content::ClientName { .. } => CLIENT_NAME,
            Content::KeyframesWanted { .. } => KEYFRAMES_WANTED,
            Content::FilmingClaimed { .. } => FILMING_CLAIMED,
            Content::Question { .. } => QUESTION,
            Content::EventsLost => EVENTS_LOST,
            Content::OfFeed(FeedWord::Wanted(_)) => FEED_WANTED,
            Content::OfFeed(FeedWord::Passed(_)) => FEED_PASSED,
        }
    }

    /// About as many bytes as it takes.
    fn bytes(&self) -> usize {
        /// More than version, kind, node and a few numbers.
        const HEAD_BYTES: usize = 96;
        HEAD_BYTES
            + match self {
                Content::Event(event) => {
                    event.frame.websocket().len() + event.latest.as_ref().map_or(0, |name| name.len())
                }
                Content::Facts(FactBatch { facts, .. })
                | Content::SnapshotPart(SnapshotPart { facts, .. }) => facts.bytes(),
                Content::ToSocket { frame, .. } => frame.websocket().len(),
                Content::Notice(message) => message.bytes(),
                Content::Question { word, .. } => word.bytes(),
                Content::HandedOver { handed: HandedOver::Remembered { frame, .. }, .. } => {
                    frame.websocket().len()
                }
                Content::HandedOver { handed: HandedOver::Kept { events, .. }, .. } => events.bytes(),
                Content::OfFeed(word) => word.bytes().len(),
                Content::HandedOver { .. }
                | Content::ClientName { .. }
                | Content::KeyframesWanted { .. }
                | Content::FilmingClaimed { .. } => 0,
                Content::Heartbeat(_)
                | Content::SnapshotRequest(_)
                | Content::Goodbye
                | Content::EventsLost
                | Content::Terminate { .. }
                | Content::CloseSocket { .. } => 0,
            }
    }
}

impl EventMessage {
    const HAS_EXCEPT: u8 = 1;
    const HAS_LATEST: u8 = 2;
    const IS_RESTORED: u8 = 4;
    const IS_REMEMBERED: u8 = 8;
    const IS_OF_TRACK: u8 = 16;

    fn write(&self, out: &mut FieldWriter) {
        let EventMessage { epoch, number, state, except, latest, frame, restored, .. } = self;
        let mark = |is: bool, mark: u8| if is { mark } else { 0 };
        let of_parts = mark(except.is_some(), Self::HAS_EXCEPT) | mark(latest.is_some(), Self::HAS_LATEST);
        let of_keeping =
            mark(restored.is_some(), Self::IS_RESTORED) | mark(self.is_remembered, Self::IS_REMEMBERED);
        out.byte(of_parts | of_keeping | mark(self.is_of_track, Self::IS_OF_TRACK));
        out.number(*epoch);
        out.number(*number);
        out.number(*state);
        if let Some(except) = except {
            out.socket(*except);
        }
        if let Some(latest) = latest {
            out.text(latest);
        }
        out.bytes(frame.websocket());
        if let Some(Restored { rank, expires_in }) = restored {
            out.number(*rank);
            out.number(u64::try_from(expires_in.as_millis()).unwrap_or(u64::MAX));
        }
    }

    fn read(fields: &mut FieldReader<'_>) -> Result<Self, Malformed> {
        // Marks that a later release may add belong to fields behind the frame.
        let marks = fields.byte()?;
        let has = |mark: u8| marks & mark != 0;
        Ok(EventMessage {
            epoch: fields.number()?,
            number: fields.number()?,
            state: fields.number()?,
            except: has(Self::HAS_EXCEPT).then(|| fields.socket()).transpose()?,
            latest: has(Self::HAS_LATEST).then(|| fields.text().map(Box::from)).transpose()?,
            frame: fields.frame()?,
            restored: has(Self::IS_RESTORED).then(|| Restored::read(fields)).transpose()?,
            is_remembered: has(Self::IS_REMEMBERED),
            is_of_track: has(Self::IS_OF_TRACK),
        })
    }
}

impl Restored {
    fn read(fields: &mut FieldReader<'_>) -> Result<Self, Malformed> {
        Ok(Restored { rank: fields.number()?, expires_in: Duration::from_millis(fields.number()?) })
    }
}

/// A name, an address, a release, or an engine's identity is no longer than this: of 256 nodes all is kept, and shown.
const MOST_NAME_BYTES: usize = 512;

/// A text that is kept for as long as the node that says it.
fn short_text(text: &str) -> Result<Arc<str>, Malformed> {
    if text.len() > MOST_NAME_BYTES { Err(Malformed) } else { Ok(text.into()) }
}

impl NodeHeartbeat {
    fn write(&self, out: &mut FieldWriter) {
        out.number(self.beat);
        out.number(self.facts);
        out.byte(self.settled.into());
        out.text(&self.name);
        out.optional_text(self.address.as_deref());
        out.number(self.socket_tag.number().into());
        out.text(&self.release);
        out.optional_text(self.engine.as_ref().map(|EngineId(id)| &**id));
        out.number(self.started_ms);
        out.bytes(&self.settings.to_bytes());
    }

    fn read(fields: &mut FieldReader<'_>) -> Result<Self, Malformed> {
        Ok(NodeHeartbeat {
            beat: fields.number()?,
            facts: fields.number()?,
            settled: fields.flag()?,
            name: short_text(fields.text()?)?,
            address: fields.optional_text()?.map(short_text).transpose()?,
            socket_tag: fields.number()?.try_into().ok().and_then(SocketTag::new).ok_or(Malformed)?,
            release: short_text(fields.text()?)?,
            engine: fields.optional_text()?.map(|id| short_text(id).map(EngineId)).transpose()?,
            started_ms: fields.number()?,
            settings: SettingDigests::of_bytes(&fields.bytes()?),
        })
    }
}

impl From<Malformed> for Unreadable {
    fn from(Malformed: Malformed) -> Self {
        Unreadable::Malformed
    }
}
