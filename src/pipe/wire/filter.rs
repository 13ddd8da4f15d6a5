//! What one pipe client wants to hear: groups of notifications, each with a filter. Pure.

use std::sync::Arc;

use super::Dialect;

/// A group of notifications that can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What clients say, and what is published over HTTP.
    SocketMessage,
    /// Connections that open, sign in and close.
    SocketExistence,
    /// Channels that are occupied and vacated, missed, or counted.
    ChannelExistence,
    /// Connections that subscribe and unsubscribe.
    Subscription,
    /// Users that join and leave presence channels.
    Presence,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 5] = [
        Kind::SocketMessage,
        Kind::SocketExistence,
        Kind::ChannelExistence,
        Kind::Subscription,
        Kind::Presence,
    ];

    /// The name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::SocketMessage => "socket_message",
            Kind::SocketExistence => "socket_existence",
            Kind::ChannelExistence => "channel_existence",
            Kind::Subscription => "subscription",
            Kind::Presence => "presence",
        }
    }

    /// The group of this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a version of the protocol has it.
    pub(crate) fn is_in(self, dialect: Dialect) -> bool {
        dialect.is_modern() || matches!(self, Kind::SocketMessage | Kind::SocketExistence)
    }

    /// A bit of its own.
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A text, or a text in which one `*` stands for any text, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    prefix: String,
    suffix: Option<String>,
}

impl Glob {
    /// Reads a pattern; `None` if it is empty or holds more than one star.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (prefix, suffix) = match text.split_once('*') {
            Some((prefix, suffix)) => (prefix, Some(suffix.to_owned())),
            None => (text, None),
        };
        let sound = !text.is_empty() && !suffix.as_ref().is_some_and(|suffix| suffix.contains('*'));
        sound.then(|| Glob { prefix: prefix.to_owned(), suffix })
    }

    /// Whether it matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match &self.suffix {
            None => text == self.prefix,
            Some(suffix) => {
                text.strip_prefix(self.prefix.as_str()).is_some_and(|rest| rest.ends_with(suffix.as_str()))
            }
        }
    }
}

/// Which notifications of a group are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// On channels that match one of these; on any if `None`.
    pub(crate) channels: Option<Vec<Glob>>,
    /// What clients say on no channel.
    pub(crate) back_channel: bool,
    /// Events whose names match one of these; any if `None`.
    pub(crate) names: Option<Vec<Glob>>,
    /// What clients say.
    pub(crate) clients: bool,
    /// What is published over HTTP.
    pub(crate) http: bool,
    /// The clients with which the work is shared.
    pub(crate) group: Option<Group>,
}

impl Filter {
    /// All that the original protocol tells.
    pub(crate) const EVERYTHING: Filter =
        Filter { channels: None, back_channel: true, names: None, clients: true, http: false, group: None };

    /// Whether a message is wanted.
    pub(crate) fn wants_message(&self, from_client: bool, channel: Option<&str>, name: &str) -> bool {
        let source = if from_client { self.clients } else { self.http };
        let place = match channel {
            Some(channel) => self.wants_channel(channel),
            None => self.back_channel,
        };
        source && place && matches_any(self.names.as_deref(), name)
    }

    /// Whether what happens on a channel is wanted.
    pub(crate) fn wants_channel(&self, channel: &str) -> bool {
        matches_any(self.channels.as_deref(), channel)
    }
}

fn matches_any(globs: Option<&[Glob]>, text: &str) -> bool {
    globs.is_none_or(|globs| globs.iter().any(|glob| glob.matches(text)))
}

/// Clients that share the work: each notification goes to one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// The name that they have in common.
    pub(crate) name: Arc<str>,
    /// What stays together.
    pub(crate) by: GroupBy,
}

/// What the notifications of one member of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GroupBy {
    /// The connection that they are about; where they are about none, the channel.
    Socket,
    /// The channel that they are about; where they are about none, the connection.
    Channel,
}

impl GroupBy {
    /// The name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            GroupBy::Socket => "socket",
            GroupBy::Channel => "channel",
        }
    }
}

/// How much a member of a group is called to a piece of work: the one with the most does it. So each piece of work
/// has its member, evenly spread, and where a member comes or goes only its own share moves.
///
/// It is the first eight bytes, the most significant one first, of the SHA-256 of the key, a byte 0xff (which no text
/// holds), and the member: all workers and all nodes agree, whatever release of this program or its compiler they are.
pub(crate) fn calling(key: &str, member: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(key).chain_update([0xff]).chain_update(member).finalize();
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another program.
    const VECTORS: [(&str, &str, u64); 4] = [
        ("", "", 0xa810_0ae6_aa19_40d0),
        ("123.456", "789.12", 0xcc67_1607_b308_e4a6),
        ("camera-1", "1.1", 0x66ee_cb1e_1d80_58c4),
        ("camera-é", "18446744073709551615.1", 0x7bd5_f688_5445_750b),
    ];

    fn globs(texts: &[&str]) -> Option<Vec<Glob>> {
        Some(texts.iter().map(|text| Glob::parse(text).unwrap()).collect())
    }

    #[test]
    fn a_star_stands_for_any_text_and_there_may_be_one() {
        let table = [
            ("camera-*", "camera-1", true),
            ("camera-*", "camera-", true),
            ("camera-*", "camera", false),
            ("*", "", true),
            ("*-raw", "a-raw", true),
            ("ab*ba", "aba", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("App\\*", "App\\Events\\Shipped", true),
        ];
        for (glob, text, matches) in table {
            assert_eq!(Glob::parse(glob).unwrap().matches(text), matches, "{glob} {text}");
        }
        assert_eq!((Glob::parse(""), Glob::parse("a*b*")), (None, None));
    }

    #[test]
    fn a_filter_looks_at_source_place_and_name() {
        let all = Filter::EVERYTHING;
        assert!(all.wants_message(true, Some("a"), "e") && all.wants_message(true, None, "e"));
        assert!(!all.wants_message(false, Some("a"), "e"), "not what comes over HTTP");
        let cameras = Filter {
            channels: globs(&["camera-*", "stream"]),
            back_channel: false,
            names: globs(&["frame", "client-*"]),
            http: true,
            ..all
        };
        assert!(cameras.wants_message(true, Some("camera-1"), "client-x"));
        assert!(cameras.wants_message(false, Some("stream"), "frame"));
        assert!(!cameras.wants_message(true, Some("stream"), "other"));
        assert!(!cameras.wants_message(true, Some("door"), "frame"));
        assert!(!cameras.wants_message(true, None, "frame"));
    }

    #[test]
    fn who_is_called_is_the_same_in_every_release() {
        for (key, member, expected) in VECTORS {
            assert_eq!(calling(key, member), expected, "{key} {member}");
        }
    }

    #[test]
    fn work_is_spread_evenly_and_moves_only_with_its_member() {
        let members = ["1.1", "2.2", "3.3"];
        let of = |key: &str, members: &[&str]| {
            (0..members.len())
                .max_by_key(|n| calling(key, members[*n]))
                .map(|n| members[n].to_owned())
                .unwrap()
        };
        let mut shares = [0; 3];
        for n in 0..3000 {
            let key = format!("{n}.7");
            let member = of(&key, &members);
            shares[members.iter().position(|m| *m == member).unwrap()] += 1;
            if member != "3.3" {
                assert_eq!(of(&key, &members[..2]), member, "only the share of the one that left moves");
            }
        }
        assert!(shares.iter().all(|share| (850..1150).contains(share)), "{shares:?}");
    }
}
