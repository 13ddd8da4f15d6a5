//! The parameters of each method of the pipe's protocol, and what is checked in them.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::app::Limits;
use crate::channel::{HistoryPosition, HistoryStart};
use crate::event::{ConsumerGroup, Glob, GroupBy, NotificationFilter, NotificationKind};
use crate::protocol::event_name::{ClientEventKind, kind};
use crate::protocol::json::Data;
use crate::protocol::{ChannelName, Rewind, WrittenSocketId, quote};

use super::command::{PipeCommand, TargetSocket};
use super::outgoing_queue::MAX_CREDIT;
use super::{Dialect, PipeRequestError};

/// Patterns that one filter may hold.
const MAX_PATTERNS: usize = 100;

/// Characters in a pattern, or in the name of a group.
const MAX_PATTERN_CHARS: usize = 200;

/// Channels, or events of one, that one answer may list.
pub(super) const MAX_LISTED: usize = 1000;

/// Events that an answer lists if nothing is said.
const USUALLY_LISTED_EVENTS: usize = 100;

/// The parameters of a request, with the limits that they are checked against.
pub(super) struct Params<'a, 'l> {
    method: &'static str,
    params: &'a str,
    limits: &'l Limits,
}

impl<'a, 'l> Params<'a, 'l> {
    /// Where a request has none, they are an empty object.
    pub(super) fn new(method: &'static str, params: Option<&'a RawValue>, limits: &'l Limits) -> Self {
        Params { method, params: params.map_or("{}", RawValue::get), limits }
    }

    /// The parameters as `T`.
    pub(super) fn read<T: Deserialize<'a>>(&self) -> Result<T, PipeRequestError> {
        serde_json::from_str(self.params).map_err(|error| self.bad(error))
    }

    /// An error that says what is wrong with them.
    pub(super) fn bad(&self, reason: impl ToString) -> PipeRequestError {
        PipeRequestError::params(self.method, reason)
    }

    /// An event that is to be sent: its name and its data.
    pub(super) fn event(
        &self,
        name: Cow<'a, str>,
        data: &'a RawValue,
    ) -> Result<(Cow<'a, str>, Data<'a>), PipeRequestError> {
        let chars = name.chars().count();
        let limit = self.limits.event_name_chars;
        let reason = match kind(&name) {
            _ if name.is_empty() => "it is empty".to_owned(),
            _ if chars > limit => format!("it has {chars} characters, at most {limit} are allowed"),
            ClientEventKind::Reserved => {
                "names that begin with pusher: or pusher_internal: are the protocol's own".to_owned()
            }
            ClientEventKind::ClientEvent | ClientEventKind::Unprefixed => {
                return match Data::relay(data) {
                    Ok(data) => Ok((name, data)),
                    Err(reason) => Err(PipeRequestError::data(self.method, reason)),
                };
            }
        };
        Err(PipeRequestError::EventName { name: quote(&name).into_owned(), reason })
    }

    /// A channel's name.
    pub(super) fn channel(&self, name: &str) -> Result<ChannelName, PipeRequestError> {
        ChannelName::parse(name, self.limits.channel_name_chars)
            .map_err(|reason| PipeRequestError::channel(name, reason))
    }

    /// A socket id.
    pub(super) fn socket(&self, written: Cow<'a, str>) -> Result<TargetSocket<'a>, PipeRequestError> {
        match WrittenSocketId::parse(&written) {
            Ok(id) => Ok(TargetSocket { written, id }),
            Err(_) => {
                Err(self
                    .bad(format!("socket_id must be two numbers joined by a dot, got {:?}", quote(&written))))
            }
        }
    }

    /// The patterns of a list.
    pub(super) fn globs(
        &self,
        key: &str,
        texts: Option<Vec<Cow<'_, str>>>,
    ) -> Result<Option<Vec<Glob>>, PipeRequestError> {
        let Some(texts) = texts else { return Ok(None) };
        if texts.len() > MAX_PATTERNS {
            return Err(self.bad(format!("{key} may hold {MAX_PATTERNS} patterns, got {}", texts.len())));
        }
        let read = |text: &Cow<'_, str>| {
            let fits = text.chars().count() <= MAX_PATTERN_CHARS;
            Glob::parse(text).filter(|_| fits).ok_or_else(|| {
                let expected =
                    format!("texts of 1 to {MAX_PATTERN_CHARS} characters, each with at most one *");
                self.bad(format!("{key} must hold {expected}; got {:?}", quote(text)))
            })
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// So many notifications; `None`: any number.
    pub(super) fn credit(&self, messages: Option<u64>) -> Result<Option<u64>, PipeRequestError> {
        match messages {
            Some(messages) if messages > MAX_CREDIT => {
                Err(self.bad(format!("a credit is at most {MAX_CREDIT}, got {messages}")))
            }
            messages => Ok(messages),
        }
    }
}

/// The bits of the groups that a list names.
pub(super) fn kinds(names: &[Cow<'_, str>], dialect: Dialect) -> Result<u8, PipeRequestError> {
    names.iter().try_fold(0, |bits, name| {
        match NotificationKind::of(name).filter(|kind| dialect.has(*kind)) {
            Some(kind) => Ok(bits | kind.bit()),
            None => Err(PipeRequestError::UnknownGroup { group: quote(name).into_owned(), dialect }),
        }
    })
}

/// What a sender left out is the empty text, as the original client sends it.
fn no_data<'a>() -> &'a RawValue {
    serde_json::from_str("\"\"").unwrap_or(RawValue::NULL)
}

/// The kinds of notifications that a request names.
#[derive(Deserialize)]
pub(super) struct EventsParams<'a> {
    #[serde(borrow)]
    pub(super) events: Vec<Cow<'a, str>>,
}

/// A key that is not known would be a filter that does not filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscribeParams<'a> {
    #[serde(borrow)]
    events: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    channels: Option<Vec<Cow<'a, str>>>,
    back_channel: Option<bool>,
    #[serde(borrow)]
    names: Option<Vec<Cow<'a, str>>>,
    sources: Option<Vec<FilterSource>>,
    #[serde(borrow)]
    group: Option<NamedGroup<'a>>,
    credit: Option<u64>,
    #[serde(rename = "data")]
    _data: Option<IgnoredAny>,
}

/// Where events come from, as a filter names it.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum FilterSource {
    Client,
    Http,
}

/// A group of clients as a request names it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedGroup<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default = "by_socket")]
    by: GroupBy,
}

fn by_socket() -> GroupBy {
    GroupBy::Socket
}

impl SubscribeParams<'_> {
    pub(super) fn command<'c>(self, params: &Params<'_, '_>) -> Result<PipeCommand<'c>, PipeRequestError> {
        let kinds = kinds(&self.events, Dialect::V1_0)?;
        let hears = |source| {
            self.sources.as_ref().map_or(source == FilterSource::Client, |all| all.contains(&source))
        };
        let group = match self.group {
            Some(NamedGroup { name, .. }) if name.is_empty() || name.chars().count() > MAX_PATTERN_CHARS => {
                let got = quote(&name);
                return Err(params
                    .bad(format!("a group's name has 1 to {MAX_PATTERN_CHARS} characters, got {got:?}")));
            }
            Some(NamedGroup { name, by }) => Some(ConsumerGroup { name: name.as_ref().into(), by }),
            None => None,
        };
        let filter = NotificationFilter {
            back_channel: self.back_channel.unwrap_or(self.channels.is_none()),
            clients: hears(FilterSource::Client),
            http: hears(FilterSource::Http),
            channels: params.globs("channels", self.channels)?,
            names: params.globs("names", self.names)?,
            group,
        };
        Ok(PipeCommand::Subscribe { kinds, filter: Box::new(filter), credit: params.credit(self.credit)? })
    }
}

/// The parameters of `send_to_socket`.
#[derive(Deserialize)]
pub(super) struct SendToSocketParams<'a> {
    #[serde(borrow, alias = "socketId")]
    pub(super) socket_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow, default = "no_data")]
    pub(super) data: &'a RawValue,
}

/// The parameters of `send_to_channel`.
#[derive(Deserialize)]
pub(super) struct SendToChannelParams<'a> {
    #[serde(borrow)]
    pub(super) channel: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow, default = "no_data")]
    pub(super) data: &'a RawValue,
    #[serde(borrow, alias = "socketId")]
    pub(super) socket_id: Option<Cow<'a, str>>,
}

/// The parameters of `send_to_user`.
#[derive(Deserialize)]
pub(super) struct SendToUserParams<'a> {
    #[serde(borrow)]
    pub(super) user_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow, default = "no_data")]
    pub(super) data: &'a RawValue,
}

/// The parameters of methods about one connection.
#[derive(Deserialize)]
pub(super) struct SocketParams<'a> {
    #[serde(borrow)]
    pub(super) socket_id: Cow<'a, str>,
}

/// The parameters of methods about one channel.
#[derive(Deserialize)]
pub(super) struct ChannelParams<'a> {
    #[serde(borrow)]
    pub(super) channel: Cow<'a, str>,
}

/// The parameters of `channels`.
#[derive(Deserialize)]
pub(super) struct ListParams<'a> {
    #[serde(borrow, default)]
    pub(super) prefix: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) after: Cow<'a, str>,
    pub(super) limit: Option<usize>,
}

/// The parameters of `history`. A key that is not known would be a place that does not count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryParams<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rewind: Option<&'a RawValue>,
    limit: Option<usize>,
}

impl HistoryParams<'_> {
    pub(super) fn command<'c>(self, params: &Params<'_, '_>) -> Result<PipeCommand<'c>, PipeRequestError> {
        let channel = params.channel(&self.channel)?;
        let from = match (self.after, self.rewind) {
            (None, None) => HistoryStart::Oldest,
            (Some(after), None) => HistoryStart::Behind(HistoryPosition::parse(&after).ok_or_else(|| {
                params.bad(format!(
                    "after must be the position of an event, such as \"5f3a-1b2\", got {:?}",
                    quote(&after)
                ))
            })?),
            (None, Some(rewind)) => {
                HistoryStart::Last(Rewind::parse(rewind.get()).map_err(|reason| params.bad(reason))?)
            }
            (Some(_), Some(_)) => return Err(params.bad("expected one of after and rewind, got both")),
        };
        match self.limit.unwrap_or(USUALLY_LISTED_EVENTS) {
            limit @ 1..=MAX_LISTED => Ok(PipeCommand::History { channel, from, limit }),
            limit => Err(params.bad(format!("limit must be from 1 to {MAX_LISTED}, got {limit}"))),
        }
    }
}

/// The parameters of `credit`.
#[derive(Deserialize)]
pub(super) struct CreditParams {
    pub(super) messages: Option<u64>,
}
