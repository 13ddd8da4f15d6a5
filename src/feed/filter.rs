//! What one viewer wants to be told of.

use serde::{Deserialize, Serialize};

use super::subject::own_socket;
use super::{FeedEntry, FeedKind, FeedPlace, FeedSubject};
use crate::event::Glob;
use crate::protocol::SocketId;

/// What one viewer wants: what is everything that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FeedFilter {
    /// Bits of the kinds.
    kinds: u8,
    app: Option<String>,
    channel: Option<Glob>,
    event: Option<Glob>,
    socket: Option<SocketId>,
    user: Option<String>,
    /// In lower case.
    text: Option<String>,
    /// The id or the name of the only node that it wants to hear of.
    node: Option<String>,
    written: Box<WrittenFilter>,
}

/// The filter as viewers write it, and nodes to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenFilter {
    #[serde(rename = "type", skip_serializing)]
    _type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kinds: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

/// A filter that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFilter {
    /// There is no such kind.
    #[error("expected kinds out of {kinds}, got {0:?}", kinds = FeedKind::ALL.map(FeedKind::name).join(", "))]
    UnknownKind(String),
    /// Only one star can be filled.
    #[error("expected a pattern with one * at the most in {member:?}, got {got:?}")]
    Pattern {
        /// The member that holds it.
        member: &'static str,
        got: String,
    },
    /// No connection is called so.
    #[error("expected a socket id such as 123.456 in \"socket_id\", got {0:?}")]
    Socket(String),
}

impl WrittenFilter {
    /// What it says.
    ///
    /// # Errors
    /// See [`BadFilter`].
    pub(crate) fn read(self) -> Result<FeedFilter, BadFilter> {
        let written = Box::new(self.clone());
        // What is empty was left out of a form.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let pattern = |member, text: Option<String>| {
            let read = |got: String| Glob::parse(&got).ok_or(BadFilter::Pattern { member, got });
            given(text).map(read).transpose()
        };
        let kinds = match self.kinds {
            None => u8::MAX,
            Some(names) => names.into_iter().try_fold(0, |bits, name| {
                let kind = FeedKind::parse(&name).ok_or(BadFilter::UnknownKind(name))?;
                Ok(bits | kind.bit())
            })?,
        };
        let socket = |text: String| own_socket(&text).ok_or(BadFilter::Socket(text));
        Ok(FeedFilter {
            kinds,
            app: given(self.app),
            channel: pattern("channel", self.channel)?,
            event: pattern("event", self.event)?,
            socket: given(self.socket_id).map(socket).transpose()?,
            user: given(self.user_id),
            text: given(self.text).map(|text| text.to_lowercase()),
            node: given(self.node),
            written,
        })
    }
}

impl FeedFilter {
    /// Bits of the kinds that it wants.
    pub(super) fn kinds(&self) -> u8 {
        self.kinds
    }

    /// As it was written.
    pub(super) fn written(&self) -> &WrittenFilter {
        &self.written
    }

    /// Whether it wants what happens on this node: any of them, unless it says which. A node that is alone has no place.
    pub(super) fn wants_node(&self, place: Option<&FeedPlace>) -> bool {
        self.node.as_ref().is_none_or(|node| place.is_some_and(|place| place.is(node)))
    }

    /// Whether it wants what happens on any node but this one.
    pub(super) fn wants_others(&self, place: &FeedPlace) -> bool {
        self.node.as_ref().is_none_or(|node| !place.is(node))
    }

    /// Whether it may want something of this app.
    pub(super) fn wants_app(&self, app: &str) -> bool {
        self.app.as_ref().is_none_or(|own| own == app)
    }

    /// Whether it wants this, as far as can be said before an entry is made of it.
    pub(super) fn wants(&self, subject: &FeedSubject<'_>) -> bool {
        let text = |own: &Option<String>, of: Option<&str>| own.is_none() || own.as_deref() == of;
        let pattern = |own: &Option<Glob>, of: Option<&str>| {
            own.as_ref().is_none_or(|own| of.is_some_and(|of| own.matches(of)))
        };
        self.kinds & subject.kind.bit() != 0
            && text(&self.app, subject.app)
            && pattern(&self.channel, subject.channel)
            && pattern(&self.event, subject.event)
            && (self.socket.is_none() || self.socket == subject.socket)
            && text(&self.user, subject.user)
    }

    /// Whether it wants this entry.
    pub(super) fn wants_entry(&self, entry: &FeedEntry) -> bool {
        self.wants(&entry.subject())
            && self.wants_node(entry.place.as_deref())
            && self.text.as_ref().is_none_or(|text| entry.holds(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<FeedFilter, BadFilter> {
        serde_json::from_str::<WrittenFilter>(json).unwrap().read()
    }

    #[test]
    fn a_filter_wants_what_is_all_that_it_says() {
        let subject = FeedSubject {
            kind: FeedKind::Events,
            app: Some("1"),
            channel: Some("room-1"),
            event: Some("client-move"),
            socket: Some(SocketId::new(1, 2)),
            user: None,
        };
        let socket = SocketId::new(1, 2).to_string();
        let wanted = [
            r#"{"type":"filter"}"#.to_owned(),
            r#"{"kinds":["refusals","events"],"app":"1","channel":"room-*","event":"*-move"}"#.to_owned(),
            format!(r#"{{"socket_id":"{socket}","user_id":"","text":""}}"#),
        ];
        for json in wanted {
            assert!(read(&json).unwrap().wants(&subject), "{json}");
        }
        for json in [
            r#"{"kinds":[]}"#,
            r#"{"kinds":["api"]}"#,
            r#"{"app":"2"}"#,
            r#"{"channel":"room"}"#,
            r#"{"event":"move*"}"#,
            r#"{"user_id":"ann"}"#,
        ] {
            assert!(!read(json).unwrap().wants(&subject), "{json}");
        }
        let place = FeedPlace::new("00ff", "a");
        for (json, expected) in [
            ("{}", [true; 3]),
            (r#"{"node":"a"}"#, [true, false, false]),
            (r#"{"node":"b"}"#, [false, true, false]),
        ] {
            let filter = read(json).unwrap();
            let wants =
                [filter.wants_node(Some(&place)), filter.wants_others(&place), filter.wants_node(None)];
            assert_eq!(wants, expected, "{json}");
            assert_eq!(serde_json::to_string(filter.written()).unwrap(), json, "as it was written");
        }
        let channel = read(r#"{"channel":"*"}"#).unwrap();
        assert!(!channel.wants(&FeedSubject::of(FeedKind::Api)), "what is on no channel");
    }

    #[test]
    fn what_cannot_be_understood_is_told() {
        let bad = |json: &str| read(json).unwrap_err().to_string();
        assert!(bad(r#"{"kinds":["event"]}"#).ends_with(r#"webhooks, got "event""#));
        assert!(bad(r#"{"channel":"a*b*"}"#).ends_with(r#"in "channel", got "a*b*""#));
        assert!(bad(r#"{"socket_id":"one"}"#).ends_with(r#"got "one""#));
        assert!(serde_json::from_str::<WrittenFilter>(r#"{"chanel":"a"}"#).is_err());
    }
}
