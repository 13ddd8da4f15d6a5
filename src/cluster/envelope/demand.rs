//! What the backends of a node want to hear, as bytes.

use std::sync::Arc;

use crate::event::{BackendDemand, BackendWish, ConsumerGroup, Glob, GroupBy, NotificationFilter};
use crate::protocol::SocketId;

use super::fields::{FieldReader, FieldWriter, Malformed};

// What a filter has, as bits.
const BACK_CHANNEL: u8 = 1;
const CLIENTS: u8 = 2;
const HTTP: u8 = 4;
const CHANNELS: u8 = 8;
const NAMES: u8 = 16;
const GROUP: u8 = 32;
const BY_CHANNEL: u8 = 64;

pub(super) fn write(demand: &BackendDemand, out: &mut FieldWriter) {
    out.number(demand.wishes().len() as u64);
    for BackendWish { kinds, filter, members } in demand.wishes() {
        out.byte(*kinds);
        out.byte(marks(filter));
        for globs in [&filter.channels, &filter.names].into_iter().flatten() {
            out.number(globs.len() as u64);
            globs.iter().for_each(|glob| out.text(&glob.text()));
        }
        if let Some(group) = &filter.group {
            out.text(&group.name);
            out.number(members.len() as u64);
            members.iter().for_each(|member| out.socket(*member));
        }
    }
}

fn marks(filter: &NotificationFilter) -> u8 {
    let NotificationFilter { channels, back_channel, names, clients, http, group } = filter;
    let by_channel = group.as_ref().is_some_and(|group| group.by == GroupBy::Channel);
    let marks = [
        (*back_channel, BACK_CHANNEL),
        (*clients, CLIENTS),
        (*http, HTTP),
        (channels.is_some(), CHANNELS),
        (names.is_some(), NAMES),
        (group.is_some(), GROUP),
        (by_channel, BY_CHANNEL),
    ];
    marks.into_iter().filter(|(is, _)| *is).fold(0, |bits, (_, bit)| bits | bit)
}

pub(super) fn read(fields: &mut FieldReader<'_>) -> Result<BackendDemand, Malformed> {
    let wishes = list(fields, BackendDemand::MOST_WISHES, read_wish)?;
    BackendDemand::from_wishes(wishes).ok_or(Malformed)
}

fn read_wish(fields: &mut FieldReader<'_>) -> Result<BackendWish, Malformed> {
    let (kinds, marks) = (fields.byte()?, fields.byte()?);
    let has = |mark: u8| marks & mark != 0;
    let globs = |fields: &mut FieldReader<'_>| list(fields, BackendDemand::MOST_BYTES, read_glob);
    let channels = has(CHANNELS).then(|| globs(fields)).transpose()?;
    let names = has(NAMES).then(|| globs(fields)).transpose()?;
    let (mut group, mut members) = (None, Vec::new());
    if has(GROUP) {
        let by = if has(BY_CHANNEL) { GroupBy::Channel } else { GroupBy::Socket };
        group = Some(ConsumerGroup { name: fields.text()?.into(), by });
        members = list(fields, BackendDemand::MOST_MEMBERS, read_socket)?;
    }
    let (back_channel, clients, http) = (has(BACK_CHANNEL), has(CLIENTS), has(HTTP));
    let filter = Arc::new(NotificationFilter { channels, back_channel, names, clients, http, group });
    Ok(BackendWish { kinds, filter, members })
}

fn read_glob(fields: &mut FieldReader<'_>) -> Result<Glob, Malformed> {
    Glob::parse(fields.text()?).ok_or(Malformed)
}

fn read_socket(fields: &mut FieldReader<'_>) -> Result<SocketId, Malformed> {
    fields.socket()
}

/// A list of at most so many. It takes memory only as it is read.
fn list<T>(
    fields: &mut FieldReader<'_>,
    most: usize,
    read: fn(&mut FieldReader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let length = fields.small_number()?;
    if usize::try_from(length).is_ok_and(|length| length > most) {
        return Err(Malformed);
    }
    (0..length).map(|_| read(fields)).collect()
}
