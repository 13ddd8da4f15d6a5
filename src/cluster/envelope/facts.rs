//! Facts as bytes: a list that is read as often as it is needed, and takes no more memory than its bytes.
//!
//! Each record has a kind and a length. One kind names the app of the facts that follow it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::channel::{ChannelVersion, Fact, Member, user_info_text};
use crate::protocol::ChannelName;

use super::demand;
use super::fields::{FieldReader, FieldWriter, Malformed};

/// A fact, and the app that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppFact {
    pub(crate) app: Arc<str>,
    pub(crate) fact: Fact,
}

/// Facts, as bytes whose structure has been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FactList {
    count: u32,
    records: Bytes,
}

/// Puts a list together.
#[derive(Clone, Debug, Default)]
pub(crate) struct FactListBuilder {
    count: u32,
    records: FieldWriter,
    app: Option<Arc<str>>,
    record: FieldWriter,
}

/// Facts of one list: more than a node puts into one. The smallest take three bytes, and far more memory once they are read.
const MOST_FACTS: u32 = 65_536;

const APP: u8 = 0;
const SUBSCRIBERS: u8 = 1;
const JOINED: u8 = 2;
const LEFT: u8 = 3;
const SIGNED_IN: u8 = 4;
const SIGNED_OUT: u8 = 5;
const CONNECTIONS: u8 = 6;
const CACHE_MISSED: u8 = 7;
const BACKENDS: u8 = 8;
const RENEWED: u8 = 9;

impl FactList {
    /// How many there are, those that this release does not know included.
    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.records.len()
    }

    /// The facts in their order; `None` for one that this release does not know, or that cannot be true.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<AppFact>> + '_ {
        let mut fields = FieldReader::new(&self.records);
        let mut app: Option<Arc<str>> = None;
        std::iter::from_fn(move || {
            loop {
                // The structure was checked when the list was read; it has been made by the builder otherwise.
                let (kind, record) = next_record(&mut fields)?.ok()?;
                let mut record = FieldReader::new(&record);
                if kind == APP {
                    app = Some(record.text().ok()?.into());
                    continue;
                }
                let fact = read_fact(kind, &mut record).ok().flatten();
                return Some(fact.zip(app.clone()).map(|(fact, app)| AppFact { app, fact }));
            }
        })
    }

    pub(super) fn write(&self, out: &mut FieldWriter) {
        out.number(self.count.into());
        out.bytes(&self.records);
    }

    pub(super) fn read(fields: &mut FieldReader<'_>) -> Result<Self, Malformed> {
        let count = fields.small_number()?;
        if count > MOST_FACTS {
            return Err(Malformed);
        }
        let records = fields.bytes()?;
        let mut of_records = FieldReader::new(&records);
        let (mut facts, mut has_app) = (0_u32, false);
        while let Some(record) = next_record(&mut of_records) {
            match record? {
                (APP, record) => {
                    FieldReader::new(&record).text()?;
                    has_app = true;
                }
                _ if has_app => facts += 1,
                _ => return Err(Malformed),
            }
        }
        if facts == count { Ok(FactList { count, records }) } else { Err(Malformed) }
    }
}

/// Kind and body of the next record; none at the end.
fn next_record(fields: &mut FieldReader<'_>) -> Option<Result<(u8, Bytes), Malformed>> {
    let record = |fields: &mut FieldReader<'_>| Ok((fields.byte()?, fields.bytes()?));
    (!fields.is_at_end()).then(|| record(fields))
}

/// The fact of this kind; none if the kind is not known.
fn read_fact(kind: u8, fields: &mut FieldReader<'_>) -> Result<Option<Fact>, Malformed> {
    Ok(Some(match kind {
        SUBSCRIBERS => {
            let (channel, version) = (channel(fields)?, version(fields)?);
            Fact::Subscribers { channel, count: fields.small_number()?, version }
        }
        JOINED => {
            Fact::Joined { channel: channel(fields)?, version: version(fields)?, member: member(fields)? }
        }
        LEFT => Fact::Left { channel: channel(fields)?, joined: version(fields)?, version: version(fields)? },
        SIGNED_IN => Fact::SignedIn { user_id: user_id(fields)? },
        SIGNED_OUT => Fact::SignedOut { user_id: user_id(fields)? },
        CONNECTIONS => Fact::Connections { count: fields.small_number()? },
        CACHE_MISSED => {
            let channel = channel(fields)?;
            Fact::CacheMissed { channel, version: version(fields)? }
        }
        BACKENDS => Fact::Backends { demand: Arc::new(demand::read(fields)?) },
        RENEWED => Fact::Renewed,
        _ => return Ok(None),
    }))
}

pub(super) fn channel(fields: &mut FieldReader<'_>) -> Result<ChannelName, Malformed> {
    // How long a name may be is an app's setting, and was judged by the node that has the connection.
    ChannelName::parse(fields.text()?, usize::MAX).map_err(|_| Malformed)
}

fn version(fields: &mut FieldReader<'_>) -> Result<ChannelVersion, Malformed> {
    fields.number().map(ChannelVersion::new)
}

fn user_id(fields: &mut FieldReader<'_>) -> Result<Arc<str>, Malformed> {
    Some(fields.text()?).filter(|id| !id.is_empty()).map(Arc::from).ok_or(Malformed)
}

fn member(fields: &mut FieldReader<'_>) -> Result<Member, Malformed> {
    let user_id = user_id(fields)?;
    // It goes into what subscribers are sent as it is: so it must be what a client could have said.
    let info = fields.optional_text()?.map(serde_json::from_str::<&RawValue>).transpose();
    let user_info = user_info_text(info.map_err(|_| Malformed)?).map_err(|_| Malformed)?;
    Ok(Member { user_id, user_info })
}

impl FactListBuilder {
    /// Adds a fact of an app behind the others.
    pub(crate) fn push(&mut self, app: &Arc<str>, fact: &Fact) {
        if self.app.as_ref() != Some(app) {
            self.app = Some(Arc::clone(app));
            self.record.clear();
            self.record.text(app);
            self.end_record(APP);
        }
        self.record.clear();
        let kind = write_fact(fact, &mut self.record);
        self.end_record(kind);
        self.count += 1;
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> usize {
        self.records.written().len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The list, which begins anew.
    pub(crate) fn take(&mut self) -> FactList {
        let FactListBuilder { count, records, .. } = std::mem::take(self);
        FactList { count, records: records.finish() }
    }

    fn end_record(&mut self, kind: u8) {
        self.records.byte(kind);
        self.records.bytes(self.record.written());
    }
}

/// Writes all but the kind, which is returned.
fn write_fact(fact: &Fact, out: &mut FieldWriter) -> u8 {
    match fact {
        Fact::Subscribers { channel, count, version } => {
            out.text(channel.as_str());
            out.number(version.number());
            out.number((*count).into());
            SUBSCRIBERS
        }
        Fact::Joined { channel, version, member: Member { user_id, user_info } } => {
            out.text(channel.as_str());
            out.number(version.number());
            out.text(user_id);
            out.optional_text(user_info.as_deref());
            JOINED
        }
        Fact::Left { channel, joined, version } => {
            out.text(channel.as_str());
            out.number(joined.number());
            out.number(version.number());
            LEFT
        }
        Fact::SignedIn { user_id } => {
            out.text(user_id);
            SIGNED_IN
        }
        Fact::SignedOut { user_id } => {
            out.text(user_id);
            SIGNED_OUT
        }
        Fact::Connections { count } => {
            out.number((*count).into());
            CONNECTIONS
        }
        Fact::CacheMissed { channel, version } => {
            out.text(channel.as_str());
            out.number(version.number());
            CACHE_MISSED
        }
        Fact::Backends { demand } => {
            demand::write(demand, out);
            BACKENDS
        }
        Fact::Renewed => RENEWED,
    }
}
