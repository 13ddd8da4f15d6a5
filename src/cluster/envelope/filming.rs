//! What nodes tell each other of video channels, as bytes: which key frames viewers want, and who films.

use crate::protocol::{Rendition, TRACK_NAME_BYTES, TrackKind};
use crate::video::{FilmingClaim, KeyframesWanted, TrackMoves, TrackRequest};

use super::facts;
use super::fields::{FieldReader, FieldWriter, Malformed};

// Of which rendition; the track follows.
const OF_ALL: u8 = 0;
const FULL: u8 = 1;
const SMALL: u8 = 2;

pub(super) fn write_wanted(wanted: &KeyframesWanted, out: &mut FieldWriter) {
    out.text(wanted.channel.as_str());
    let Some((TrackRequest { event, track }, rendition)) = &wanted.of else { return out.byte(OF_ALL) };
    out.byte(match rendition {
        Rendition::Full => FULL,
        Rendition::Small => SMALL,
    });
    out.text(event);
    out.text(track);
}

pub(super) fn read_wanted(fields: &mut FieldReader<'_>) -> Result<KeyframesWanted, Malformed> {
    let channel = facts::channel(fields)?;
    let rendition = match fields.byte()? {
        OF_ALL => return Ok(KeyframesWanted { channel, of: None }),
        FULL => Rendition::Full,
        SMALL => Rendition::Small,
        _ => return Err(Malformed),
    };
    Ok(KeyframesWanted { channel, of: Some((track(fields)?, rendition)) })
}

fn track(fields: &mut FieldReader<'_>) -> Result<TrackRequest, Malformed> {
    Ok(TrackRequest { event: fields.text()?.into(), track: fields.text()?.into() })
}

// What a claim is, as bits. Behind them is how often the track has moved, of which earlier releases say and read nothing.
const IS_SOUND: u8 = 1;
const IS_OLDER: u8 = 2;
const MOVES_SHIFT: u8 = 2;

/// Bytes of a user's id: it is kept for as long as the track.
const USER_ID_BYTES: usize = 1024;

pub(super) fn write_claim(claim: &FilmingClaim, out: &mut FieldWriter) {
    let FilmingClaim { channel, of, kind, publisher, user_id, is_older, moves } = claim;
    let TrackRequest { event, track } = of;
    out.text(channel.as_str());
    let is_sound = if *kind == TrackKind::Sound { IS_SOUND } else { 0 };
    let is_older = if *is_older { IS_OLDER } else { 0 };
    out.byte(is_sound | is_older | moves.bits() << MOVES_SHIFT);
    out.text(event);
    out.text(track);
    out.optional_text(publisher.as_deref());
    out.optional_text(user_id.as_deref());
}

pub(super) fn read_claim(fields: &mut FieldReader<'_>) -> Result<FilmingClaim, Malformed> {
    let (channel, marks, of) = (facts::channel(fields)?, fields.byte()?, track(fields)?);
    let kind = if marks & IS_SOUND == 0 { TrackKind::Pictures } else { TrackKind::Sound };
    let publisher = short(fields.optional_text()?, TRACK_NAME_BYTES)?;
    let user_id = short(fields.optional_text()?, USER_ID_BYTES)?;
    let (is_older, moves) = (marks & IS_OLDER != 0, TrackMoves::new(marks >> MOVES_SHIFT));
    Ok(FilmingClaim { channel, of, kind, publisher, user_id, is_older, moves })
}

fn short(text: Option<&str>, bytes: usize) -> Result<Option<Box<str>>, Malformed> {
    match text {
        Some(text) if text.len() > bytes => Err(Malformed),
        text => Ok(text.map(Box::from)),
    }
}
