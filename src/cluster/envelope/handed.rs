//! What a process hands over to the one that succeeds it, as bytes.

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{ChangeOrigin, ChannelVersion};
use crate::hub::{
    HandedEvents, HandedFloor, HandedHistoryEvent, HandedOver, HeldRemoval, KeptChannels, LiveEvent,
};
use crate::protocol::ChannelName;
use crate::protocol::pattern::Pattern;
use crate::recovery::NoteNumber;

use super::facts::channel;
use super::fields::{FieldReader, FieldWriter};
use super::{Malformed, Unreadable};

const REMEMBERED: u8 = 1;
const MISSED: u8 = 2;
const HELD: u8 = 3;
const PUBLISHED: u8 = 4;
const HISTORIES: u8 = 5;
const KEPT: u8 = 6;
const NAME: u8 = 7;
const NAME_ASKED: u8 = 8;
const NAME_GIVEN: u8 = 9;

/// What is said of an event that is kept just now.
const LIVE: u8 = 1;
const IS_REMEMBERED: u8 = 2;
const SAID: u8 = 4;
/// The number of a fact follows. Who does not know of it passes over that.
const WAITS: u8 = 8;

pub(super) fn write(handed: &HandedOver, out: &mut FieldWriter) {
    match handed {
        HandedOver::Remembered { channel, frame, number, expires_in } => {
            begin(out, REMEMBERED, channel);
            out.number(*number);
            time(out, *expires_in);
            out.bytes(frame.websocket());
        }
        HandedOver::Missed { channel } => begin(out, MISSED, channel),
        HandedOver::Held(HeldRemoval { channel, user_id, origin, ago }) => {
            begin(out, HELD, channel);
            out.optional_text(user_id.as_deref());
            out.node(origin.node);
            out.number(origin.version.number());
            time(out, *ago);
        }
        HandedOver::Histories { run, kept: KeptChannels(kept) } => {
            out.byte(HISTORIES);
            out.number(*run);
            out.number(kept.len() as u64);
            for (pattern, is_kept) in kept {
                out.text(&pattern.to_string());
                out.byte((*is_kept).into());
            }
        }
        HandedOver::Kept { channel, events: HandedEvents { behind, events }, live } => {
            begin(out, KEPT, channel);
            lost(out, behind);
            out.number(events.len() as u64);
            events.iter().for_each(|kept| event(out, kept));
            let LiveEvent { is_remembered, said_as, state } = live.unwrap_or_default();
            let flags = [
                (live.is_some(), LIVE),
                (is_remembered, IS_REMEMBERED),
                (said_as.is_some(), SAID),
                (state > 0, WAITS),
            ];
            out.byte(flags.iter().map(|(is_set, flag)| u8::from(*is_set) * flag).sum());
            let (epoch, number) = said_as.unwrap_or_default();
            out.number(epoch);
            out.number(number);
            if state > 0 {
                out.number(state);
            }
        }
        HandedOver::Name { number: NoteNumber(number), note } => {
            out.byte(NAME);
            out.bytes(number);
            out.bytes(note);
        }
        HandedOver::NameAsked { asked, key, name } => {
            out.byte(NAME_ASKED);
            out.number(*asked);
            out.text(key);
            out.text(name);
        }
        HandedOver::NameGiven { asked, note } => {
            out.byte(NAME_GIVEN);
            out.number(*asked);
            out.byte(note.is_some().into());
            out.bytes(note.as_deref().unwrap_or_default());
        }
        HandedOver::Published { id, note, expires_in } => {
            out.byte(PUBLISHED);
            out.bytes(id);
            out.bytes(note);
            time(out, *expires_in);
        }
    }
}

fn lost(out: &mut FieldWriter, HandedFloor { number, ago }: &HandedFloor) {
    out.number(*number);
    time(out, *ago);
}

fn event(
    out: &mut FieldWriter,
    HandedHistoryEvent { number, ago, time_ms, frame, except }: &HandedHistoryEvent,
) {
    out.number(*number);
    time(out, *ago);
    out.number(*time_ms);
    out.byte(except.is_some().into());
    if let Some(except) = except {
        out.socket(*except);
    }
    out.bytes(frame.websocket());
}

fn begin(out: &mut FieldWriter, kind: u8, channel: &ChannelName) {
    out.byte(kind);
    out.text(channel.as_str());
}

fn time(out: &mut FieldWriter, time: Duration) {
    out.number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
}

pub(super) fn read(fields: &mut FieldReader<'_>) -> Result<HandedOver, Unreadable> {
    let kind = fields.byte()?;
    if kind == PUBLISHED {
        let id = fields.bytes()?.as_ref().try_into().map_err(|_| Malformed)?;
        let (note, expires_in) = (fields.bytes()?, Duration::from_millis(fields.number()?));
        return Ok(HandedOver::Published { id, note, expires_in });
    }
    if kind == HISTORIES {
        let (run, count) = (fields.number()?, fields.number()?);
        // It takes memory only as it is read.
        let kept = (0..count).map(|_| read_pattern(fields)).collect::<Result<_, _>>()?;
        return Ok(HandedOver::Histories { run, kept: KeptChannels(kept) });
    }
    match kind {
        NAME => {
            let number = fields.bytes()?.as_ref().try_into().map_err(|_| Malformed)?;
            return Ok(HandedOver::Name { number: NoteNumber(number), note: fields.bytes()? });
        }
        NAME_ASKED => {
            let (asked, key) = (fields.number()?, fields.text()?.into());
            return Ok(HandedOver::NameAsked { asked, key, name: fields.text()?.into() });
        }
        NAME_GIVEN => {
            let (asked, is_known) = (fields.number()?, fields.flag()?);
            let note = Some(fields.bytes()?).filter(|_| is_known);
            return Ok(HandedOver::NameGiven { asked, note });
        }
        _ => {}
    }
    let channel = channel(fields)?;
    Ok(match kind {
        KEPT => {
            let (behind, count) = (read_lost(fields)?, fields.number()?);
            let events = (0..count).map(|_| read_event(fields)).collect::<Result<_, _>>()?;
            let flags = fields.byte()?;
            let said = (fields.number()?, fields.number()?);
            let live = LiveEvent {
                is_remembered: flags & IS_REMEMBERED != 0,
                said_as: (flags & SAID != 0).then_some(said),
                state: if flags & WAITS != 0 { fields.number()? } else { 0 },
            };
            let live = (flags & LIVE != 0).then_some(live);
            HandedOver::Kept { channel, events: HandedEvents { behind, events }, live }
        }
        REMEMBERED => {
            let (number, expires_in) = (fields.number()?, Duration::from_millis(fields.number()?));
            HandedOver::Remembered { channel, frame: fields.frame()?, number, expires_in }
        }
        MISSED => HandedOver::Missed { channel },
        HELD => {
            let user_id = fields.optional_text()?.map(Arc::from);
            let node = fields.node()?;
            let origin = ChangeOrigin { node, version: ChannelVersion::new(fields.number()?) };
            HandedOver::Held(HeldRemoval {
                channel,
                user_id,
                origin,
                ago: Duration::from_millis(fields.number()?),
            })
        }
        other => return Err(Unreadable::Kind(other)),
    })
}

fn read_lost(fields: &mut FieldReader<'_>) -> Result<HandedFloor, Unreadable> {
    Ok(HandedFloor { number: fields.number()?, ago: Duration::from_millis(fields.number()?) })
}

fn read_pattern(fields: &mut FieldReader<'_>) -> Result<(Pattern, bool), Unreadable> {
    let pattern = Pattern::parse(fields.text()?).map_err(|_| Malformed)?;
    Ok((pattern, fields.flag()?))
}

fn read_event(fields: &mut FieldReader<'_>) -> Result<HandedHistoryEvent, Unreadable> {
    let (number, ago) = (fields.number()?, Duration::from_millis(fields.number()?));
    let time_ms = fields.number()?;
    let except = if fields.flag()? { Some(fields.socket()?) } else { None };
    Ok(HandedHistoryEvent { number, ago, time_ms, frame: fields.frame()?, except })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Content, Envelope};
    use super::*;
    use crate::channel::NodeId;
    use crate::protocol::{SocketId, server_message};

    #[test]
    fn what_is_handed_over_is_read_as_it_is_written_and_a_part_of_it_is_nothing() {
        let channel = || ChannelName::parse("presence-cache-a", 164).unwrap();
        let frame = || server_message::cache_miss(&channel());
        let time = Duration::from_millis(300);
        let origin = ChangeOrigin { node: NodeId::new(7), version: ChannelVersion::new(300) };
        let held = |user_id| HeldRemoval { channel: channel(), user_id, origin, ago: time };
        let kept = |live| {
            let event =
                |except| HandedHistoryEvent { number: 300, ago: time, time_ms: 7, frame: frame(), except };
            let events = vec![event(None), event(Some(SocketId::new(1, u32::MAX)))];
            let events = HandedEvents { behind: HandedFloor { number: 3, ago: time }, events };
            HandedOver::Kept { channel: channel(), events, live }
        };
        for handed in [
            HandedOver::Remembered { channel: channel(), frame: frame(), number: 3, expires_in: time },
            HandedOver::Missed { channel: channel() },
            HandedOver::Published { id: [7; 16], note: Bytes::from_static(b"\0x"), expires_in: time },
            HandedOver::Held(held(None)),
            HandedOver::Name { number: NoteNumber([9; 16]), note: Bytes::from_static(b"\0x") },
            HandedOver::NameAsked { asked: 300, key: "k".into(), name: "n".into() },
            HandedOver::NameGiven { asked: 300, note: None },
            HandedOver::NameGiven { asked: 300, note: Some(Bytes::from_static(b"x")) },
            HandedOver::Histories {
                run: u64::MAX,
                kept: KeptChannels(vec![
                    (Pattern::parse("mirror-log").unwrap(), false),
                    (Pattern::parse("mirror-*").unwrap(), true),
                ]),
            },
            HandedOver::begun(&channel(), HandedFloor { number: 300, ago: time }),
            kept(Some(LiveEvent { is_remembered: true, said_as: None, state: 0 })),
            kept(Some(LiveEvent { is_remembered: true, said_as: None, state: 300 })),
            kept(Some(LiveEvent { is_remembered: false, said_as: Some((1, 300)), state: 0 })),
            HandedOver::Held(held(Some("ann".into()))),
        ] {
            let content = Content::HandedOver { app: "1".into(), handed };
            let envelope = Envelope { from: NodeId::new(1), content };
            let bytes = envelope.encode();
            assert_eq!(Envelope::decode(&bytes), Ok(envelope));
            (0..bytes.len()).for_each(|end| assert!(Envelope::decode(&bytes.slice(..end)).is_err()));
        }
        let mut unknown = FieldWriter::default();
        unknown.byte(99);
        unknown.text("a");
        let bytes: Bytes = unknown.finish();
        assert_eq!(read(&mut FieldReader::new(&bytes)), Err(Unreadable::Kind(99)));
    }
}
