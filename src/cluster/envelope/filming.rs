//! Which key frames viewers of a channel want, as bytes.

use crate::protocol::Rendition;
use crate::video::{KeyframesWanted, TrackRequest};

use super::facts;
use super::fields::{FieldReader, FieldWriter, Malformed};

// Of which rendition; the track follows.
const OF_ALL: u8 = 0;
const FULL: u8 = 1;
const SMALL: u8 = 2;

pub(super) fn write(wanted: &KeyframesWanted, out: &mut FieldWriter) {
    out.text(wanted.channel.as_str());
    let Some((TrackRequest { event, track }, rendition)) = &wanted.of else { return out.byte(OF_ALL) };
    out.byte(match rendition {
        Rendition::Full => FULL,
        Rendition::Small => SMALL,
    });
    out.text(event);
    out.text(track);
}

pub(super) fn read(fields: &mut FieldReader<'_>) -> Result<KeyframesWanted, Malformed> {
    let channel = facts::channel(fields)?;
    let rendition = match fields.byte()? {
        OF_ALL => return Ok(KeyframesWanted { channel, of: None }),
        FULL => Rendition::Full,
        SMALL => Rendition::Small,
        _ => return Err(Malformed),
    };
    let of = TrackRequest { event: fields.text()?.into(), track: fields.text()?.into() };
    Ok(KeyframesWanted { channel, of: Some((of, rendition)) })
}
