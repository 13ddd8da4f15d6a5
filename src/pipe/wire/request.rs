//! What a pipe client may ask for: one JSON object in one text message.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::app::Limits;
use crate::protocol::event_name::{ClientEventKind, kind};
use crate::protocol::json::{self, Data};
use crate::protocol::{ChannelName, WrittenSocketId, quote};

use super::filter::{Filter, Glob, Group, GroupBy};
use super::outgoing::MOST_CREDIT;
use super::{Dialect, Fault, Kind};

/// Patterns that one filter may hold.
const MOST_PATTERNS: usize = 100;

/// Characters in a pattern, or in the name of a group.
const PATTERN_CHARS: usize = 200;

/// Bytes of a request's `id`, which is repeated in its answer.
const ID_BYTES: usize = 1024;

/// Channels that one answer may list.
const MOST_LISTED: usize = 1000;

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// To be repeated in the answer, as it is. `None` where there was none.
    pub(crate) id: Option<&'a RawValue>,
    /// What to do, or why it cannot be done.
    pub(crate) command: Result<Command<'a>, Fault>,
}

/// Something to do.
#[derive(Debug)]
pub(crate) enum Command<'a> {
    /// Tell of these kinds (bits) what the filter lets through.
    Subscribe { kinds: u8, filter: Box<Filter>, credit: Option<u64> },
    /// Tell of these kinds (bits) no more.
    Unsubscribe { kinds: u8 },
    /// Send an event to a connection.
    SendToSocket { socket: Socket<'a>, event: Cow<'a, str>, data: Data<'a> },
    /// Send an event to a channel, but not to one connection.
    SendToChannel {
        channel: ChannelName,
        event: Cow<'a, str>,
        data: Data<'a>,
        except: Option<WrittenSocketId>,
    },
    /// Send an event to a user.
    SendToUser { user_id: Cow<'a, str>, event: Cow<'a, str>, data: Data<'a> },
    /// End a connection.
    CloseSocket { socket: Socket<'a> },
    /// Tell how a channel is occupied.
    Channel { channel: ChannelName },
    /// Tell which channels are occupied: those that begin with `prefix` and come after `after`, at most `limit`.
    Channels { prefix: Cow<'a, str>, after: Cow<'a, str>, limit: usize },
    /// Tell who is a member of a channel.
    Users { channel: ChannelName },
    /// Send so many notifications more; `None`: any number.
    Credit { messages: Option<u64> },
    /// Answer.
    Ping,
}

impl Command<'_> {
    /// Whether it does something to clients of the app.
    pub(crate) fn acts(&self) -> bool {
        match self {
            Command::SendToSocket { .. }
            | Command::SendToChannel { .. }
            | Command::SendToUser { .. }
            | Command::CloseSocket { .. } => true,
            Command::Subscribe { .. }
            | Command::Unsubscribe { .. }
            | Command::Channel { .. }
            | Command::Channels { .. }
            | Command::Users { .. }
            | Command::Credit { .. }
            | Command::Ping => false,
        }
    }
}

/// A connection as the client wrote it.
#[derive(Debug)]
pub(crate) struct Socket<'a> {
    /// The text.
    pub(crate) written: Cow<'a, str>,
    /// What it means.
    pub(crate) id: WrittenSocketId,
}

impl<'a> Request<'a> {
    /// Reads a request as far as it can be read.
    pub(crate) fn parse(text: &'a str, dialect: Dialect, limits: &Limits) -> Self {
        let [id, method, params] = match json::members(text, ["id", "method", "params"]) {
            Ok(members) => members,
            Err(error) => return Request { id: None, command: Err(Fault::Unreadable(error.to_string())) },
        };
        let id_bytes = id.map_or(0, |id| id.get().len());
        if id_bytes > ID_BYTES {
            let reason = format!("the id may have {ID_BYTES} bytes, got {id_bytes}");
            return Request { id: None, command: Err(Fault::Unreadable(reason)) };
        }
        let command = match method.and_then(json::as_string) {
            Some(method) => command(&method, params, dialect, limits),
            None => Err(Fault::Unreadable(match method {
                Some(_) => "the method must be a string".to_owned(),
                None => "the method is missing".to_owned(),
            })),
        };
        Request { id, command }
    }
}

fn command<'a>(
    method: &str,
    params: Option<&'a RawValue>,
    dialect: Dialect,
    limits: &Limits,
) -> Result<Command<'a>, Fault> {
    let Some(method) = dialect.methods().iter().copied().find(|known| *known == method) else {
        return Err(Fault::UnknownMethod { method: quote(method).into_owned(), dialect });
    };
    let given = Given { method, params: params.map_or("{}", RawValue::get), limits };
    match method {
        "subscribe" if dialect.is_modern() => given.read::<Subscribe<'_>>()?.command(&given),
        "subscribe" => {
            let kinds = kinds(&given.read::<Events<'_>>()?.events, dialect)?;
            Ok(Command::Subscribe { kinds, filter: Box::new(Filter::EVERYTHING), credit: None })
        }
        "unsubscribe" => {
            Ok(Command::Unsubscribe { kinds: kinds(&given.read::<Events<'_>>()?.events, dialect)? })
        }
        "send_to_socket" => {
            let ToSocket { socket_id, event, data } = given.read()?;
            let (event, data) = given.event(event, data)?;
            Ok(Command::SendToSocket { socket: given.socket(socket_id)?, event, data })
        }
        "send_to_channel" => {
            let ToChannel { channel, event, data, socket_id } = given.read()?;
            let channel = given.channel(&channel)?;
            let (event, data) = given.event(event, data)?;
            let except = socket_id.map(|text| given.socket(text)).transpose()?.map(|socket| socket.id);
            Ok(Command::SendToChannel { channel, event, data, except })
        }
        "send_to_user" => {
            let ToUser { user_id, event, data } = given.read()?;
            let (event, data) = given.event(event, data)?;
            Ok(Command::SendToUser { user_id, event, data })
        }
        "close_socket" => {
            Ok(Command::CloseSocket { socket: given.socket(given.read::<OfSocket<'_>>()?.socket_id)? })
        }
        "channel" => {
            Ok(Command::Channel { channel: given.channel(&given.read::<OfChannel<'_>>()?.channel)? })
        }
        "users" => Ok(Command::Users { channel: given.channel(&given.read::<OfChannel<'_>>()?.channel)? }),
        "channels" => {
            let Listing { prefix, after, limit } = given.read()?;
            match limit.unwrap_or(MOST_LISTED) {
                limit @ 1..=MOST_LISTED => Ok(Command::Channels { prefix, after, limit }),
                limit => Err(given.bad(format!("limit must be from 1 to {MOST_LISTED}, got {limit}"))),
            }
        }
        "credit" => Ok(Command::Credit { messages: given.credit(given.read::<Credit>()?.messages)? }),
        _ => Ok(Command::Ping),
    }
}

/// The parameters of a method, and what they may be.
struct Given<'a, 'l> {
    method: &'static str,
    params: &'a str,
    limits: &'l Limits,
}

impl<'a> Given<'a, '_> {
    fn read<T: Deserialize<'a>>(&self) -> Result<T, Fault> {
        serde_json::from_str(self.params).map_err(|error| self.bad(error))
    }

    fn bad(&self, reason: impl ToString) -> Fault {
        Fault::params(self.method, reason)
    }

    fn event(&self, name: Cow<'a, str>, data: &'a RawValue) -> Result<(Cow<'a, str>, Data<'a>), Fault> {
        let (chars, limit) = (name.chars().count(), self.limits.event_name_chars);
        let reason = match kind(&name) {
            _ if name.is_empty() => "it is empty".to_owned(),
            _ if chars > limit => format!("it has {chars} characters, at most {limit} are allowed"),
            ClientEventKind::Reserved => {
                "names that begin with pusher: or pusher_internal: are the protocol's own".to_owned()
            }
            ClientEventKind::ClientEvent | ClientEventKind::Unprefixed => {
                return match Data::relay(data) {
                    Ok(data) => Ok((name, data)),
                    Err(reason) => Err(Fault::data(self.method, reason)),
                };
            }
        };
        Err(Fault::EventName { name: quote(&name).into_owned(), reason })
    }

    fn channel(&self, name: &str) -> Result<ChannelName, Fault> {
        ChannelName::parse(name, self.limits.channel_name_chars)
            .map_err(|reason| Fault::channel(name, reason))
    }

    fn socket(&self, written: Cow<'a, str>) -> Result<Socket<'a>, Fault> {
        match WrittenSocketId::parse(&written) {
            Ok(id) => Ok(Socket { written, id }),
            Err(_) => {
                Err(self
                    .bad(format!("socket_id must be two numbers joined by a dot, got {:?}", quote(&written))))
            }
        }
    }

    fn globs(&self, key: &str, texts: Option<Vec<Cow<'_, str>>>) -> Result<Option<Vec<Glob>>, Fault> {
        let Some(texts) = texts else { return Ok(None) };
        if texts.len() > MOST_PATTERNS {
            return Err(self.bad(format!("{key} may hold {MOST_PATTERNS} patterns, got {}", texts.len())));
        }
        let read = |text: &Cow<'_, str>| {
            let fits = text.chars().count() <= PATTERN_CHARS;
            Glob::parse(text).filter(|_| fits).ok_or_else(|| {
                let expected = format!("texts of 1 to {PATTERN_CHARS} characters, each with at most one *");
                self.bad(format!("{key} must hold {expected}; got {:?}", quote(text)))
            })
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    fn credit(&self, messages: Option<u64>) -> Result<Option<u64>, Fault> {
        match messages {
            Some(messages) if messages > MOST_CREDIT => {
                Err(self.bad(format!("a credit is at most {MOST_CREDIT}, got {messages}")))
            }
            messages => Ok(messages),
        }
    }
}

/// The bits of the groups that a list names.
fn kinds(names: &[Cow<'_, str>], dialect: Dialect) -> Result<u8, Fault> {
    names.iter().try_fold(0, |bits, name| match Kind::of(name).filter(|kind| kind.is_in(dialect)) {
        Some(kind) => Ok(bits | kind.bit()),
        None => Err(Fault::UnknownGroup { group: quote(name).into_owned(), dialect }),
    })
}

/// What a sender left out is the empty text, as the original client sends it.
fn no_data<'a>() -> &'a RawValue {
    serde_json::from_str("\"\"").unwrap_or(RawValue::NULL)
}

#[derive(Deserialize)]
struct Events<'a> {
    #[serde(borrow)]
    events: Vec<Cow<'a, str>>,
}

/// A key that is not known would be a filter that does not filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscribe<'a> {
    #[serde(borrow)]
    events: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    channels: Option<Vec<Cow<'a, str>>>,
    back_channel: Option<bool>,
    #[serde(borrow)]
    names: Option<Vec<Cow<'a, str>>>,
    sources: Option<Vec<Source>>,
    #[serde(borrow)]
    group: Option<NamedGroup<'a>>,
    credit: Option<u64>,
    #[serde(rename = "data")]
    _data: Option<IgnoredAny>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Source {
    Client,
    Http,
}

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

impl Subscribe<'_> {
    fn command<'c>(self, given: &Given<'_, '_>) -> Result<Command<'c>, Fault> {
        let kinds = kinds(&self.events, Dialect::V1_0)?;
        let hears =
            |source| self.sources.as_ref().map_or(source == Source::Client, |all| all.contains(&source));
        let group = match self.group {
            Some(NamedGroup { name, .. }) if name.is_empty() || name.chars().count() > PATTERN_CHARS => {
                let got = quote(&name);
                return Err(
                    given.bad(format!("a group's name has 1 to {PATTERN_CHARS} characters, got {got:?}"))
                );
            }
            Some(NamedGroup { name, by }) => Some(Group { name: name.as_ref().into(), by }),
            None => None,
        };
        let filter = Filter {
            back_channel: self.back_channel.unwrap_or(self.channels.is_none()),
            clients: hears(Source::Client),
            http: hears(Source::Http),
            channels: given.globs("channels", self.channels)?,
            names: given.globs("names", self.names)?,
            group,
        };
        Ok(Command::Subscribe { kinds, filter: Box::new(filter), credit: given.credit(self.credit)? })
    }
}

#[derive(Deserialize)]
struct ToSocket<'a> {
    #[serde(borrow, alias = "socketId")]
    socket_id: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default = "no_data")]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct ToChannel<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default = "no_data")]
    data: &'a RawValue,
    #[serde(borrow, alias = "socketId")]
    socket_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ToUser<'a> {
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default = "no_data")]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct OfSocket<'a> {
    #[serde(borrow)]
    socket_id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct OfChannel<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow, default)]
    prefix: Cow<'a, str>,
    #[serde(borrow, default)]
    after: Cow<'a, str>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct Credit {
    messages: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str, dialect: Dialect) -> (Option<String>, u16, String) {
        let request = Request::parse(text, dialect, &Limits::default());
        let fault = request.command.unwrap_err();
        (request.id.map(|id| id.get().to_owned()), fault.code(), fault.to_string())
    }

    #[test]
    fn the_original_clients_requests_are_read() {
        let limits = Limits::default();
        let parse = |text| Request::parse(text, Dialect::V0_2, &limits);
        let request =
            parse(r#"{"id":"6f","method":"subscribe","params":{"events":["socket_message"],"data":""}}"#);
        assert_eq!(request.id.unwrap().get(), "\"6f\"");
        let Ok(Command::Subscribe { kinds, filter, credit: None }) = request.command else { panic!() };
        assert_eq!((kinds, *filter), (Kind::SocketMessage.bit(), Filter::EVERYTHING));

        let request = parse(
            r#"{"id":1,"method":"send_to_channel","params":{"channel":"mirror","event":"frame","data":{"a": 1},"socket_id":null}}"#,
        );
        let Ok(Command::SendToChannel { channel, event, data, except: None }) = request.command else {
            panic!()
        };
        assert_eq!((channel.as_str(), &*event, &*data.text()), ("mirror", "frame", r#"{"a":1}"#));

        let request =
            parse(r#"{"method":"send_to_channel","params":{"channel":"a","event":"e","socketId":"1.2"}}"#);
        let Ok(Command::SendToChannel { except: Some(_), data, .. }) = request.command else { panic!() };
        assert_eq!(data.text(), "");

        let request = parse(
            r#"{"method":"send_to_socket","params":{"socket_id":"1.2","event":"pusher-auth-response","data":null}}"#,
        );
        let Ok(Command::SendToSocket { data, .. }) = request.command else { panic!() };
        assert_eq!(data.text(), "null");
    }

    #[test]
    fn each_fault_has_its_code_and_repeats_the_id() {
        let table = [
            ("rubbish", None, 4216),
            ("[]", None, 4216),
            (r#"{"id":5}"#, Some("5"), 4216),
            (r#"{"id":5,"method":7}"#, Some("5"), 4216),
            (r#"{"id":5,"method":"dance"}"#, Some("5"), 4214),
            (r#"{"id":5,"method":"ping"}"#, Some("5"), 4214),
            (r#"{"id":5,"method":"subscribe","params":{"events":["presence"]}}"#, Some("5"), 4215),
            (r#"{"id":5,"method":"subscribe","params":[]}"#, Some("5"), 4213),
            (r#"{"id":5,"method":"subscribe"}"#, Some("5"), 4213),
            (
                r#"{"id":5,"method":"send_to_channel","params":{"channel":"a b","event":"e"}}"#,
                Some("5"),
                4212,
            ),
            (
                r#"{"id":5,"method":"send_to_channel","params":{"channel":"a","event":"pusher:x"}}"#,
                Some("5"),
                4210,
            ),
            (r#"{"id":5,"method":"send_to_channel","params":{"channel":"a","event":""}}"#, Some("5"), 4210),
            (
                r#"{"id":5,"method":"send_to_channel","params":{"channel":"a","event":"e","socket_id":"x"}}"#,
                Some("5"),
                4213,
            ),
            (r#"{"id":5,"method":"send_to_socket","params":{"socket_id":"1.2"}}"#, Some("5"), 4213),
        ];
        for (text, id, code) in table {
            let (got, got_code, message) = fault(text, Dialect::V0_2);
            assert_eq!((got.as_deref(), got_code), (id, code), "{text}: {message}");
        }
        let long = format!(r#"{{"id":"{}","method":"subscribe"}}"#, "x".repeat(2000));
        assert_eq!(fault(&long, Dialect::V0_2).0, None);
    }

    #[test]
    fn filters_are_read_strictly() {
        let limits = Limits::default();
        let text = r#"{"method":"subscribe","params":{"events":["socket_message","presence"],"channels":["camera-*"],
            "names":["frame"],"sources":["client","http"],"group":{"name":"workers","by":"channel"},"credit":10}}"#;
        let request = Request::parse(text, Dialect::V1_0, &limits);
        let Ok(Command::Subscribe { kinds, filter, credit: Some(10) }) = request.command else { panic!() };
        assert_eq!(kinds, Kind::SocketMessage.bit() | Kind::Presence.bit());
        assert!(filter.http && filter.clients && !filter.back_channel);
        assert_eq!(filter.group, Some(Group { name: "workers".into(), by: GroupBy::Channel }));
        let wrong = [
            r#"{"events":["socket_message"],"chanels":["a"]}"#,
            r#"{"events":["socket_message"],"channels":["a*b*"]}"#,
            r#"{"events":["socket_message"],"sources":["server"]}"#,
            r#"{"events":["socket_message"],"group":{"name":""}}"#,
            r#"{"events":["socket_message"],"credit":-1}"#,
            r#"{"events":"socket_message"}"#,
        ];
        for params in wrong {
            let text = format!(r#"{{"id":1,"method":"subscribe","params":{params}}}"#);
            assert_eq!(fault(&text, Dialect::V1_0).1, 4213, "{params}");
        }
    }
}
