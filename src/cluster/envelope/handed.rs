//! What a process hands over to the one that succeeds it, as bytes.

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{ChangeOrigin, ChannelVersion};
use crate::hub::{HandedOver, HeldRemoval};
use crate::protocol::ChannelName;

use super::facts::channel;
use super::fields::{FieldReader, FieldWriter};
use super::{Malformed, Unreadable};

const REMEMBERED: u8 = 1;
const MISSED: u8 = 2;
const HELD: u8 = 3;
const PUBLISHED: u8 = 4;

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
        HandedOver::Published { id, note, expires_in } => {
            out.byte(PUBLISHED);
            out.bytes(id);
            out.bytes(note);
            time(out, *expires_in);
        }
    }
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
    let channel = channel(fields)?;
    Ok(match kind {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Content, Envelope};
    use super::*;
    use crate::channel::NodeId;
    use crate::protocol::server_message;

    #[test]
    fn what_is_handed_over_is_read_as_it_is_written_and_a_part_of_it_is_nothing() {
        let channel = || ChannelName::parse("presence-cache-a", 164).unwrap();
        let frame = || server_message::cache_miss(&channel());
        let time = Duration::from_millis(300);
        let origin = ChangeOrigin { node: NodeId::new(7), version: ChannelVersion::new(300) };
        let held = |user_id| HeldRemoval { channel: channel(), user_id, origin, ago: time };
        for handed in [
            HandedOver::Remembered { channel: channel(), frame: frame(), number: 3, expires_in: time },
            HandedOver::Missed { channel: channel() },
            HandedOver::Published { id: [7; 16], note: Bytes::from_static(b"\0x"), expires_in: time },
            HandedOver::Held(held(None)),
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
