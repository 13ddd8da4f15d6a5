//! Who is subscribed to a channel, as far as a broker tells over its HTTP API, and which one may be meant where nobody is.

use serde_json::{Value as Json, json};

use super::remote::{AskedFor, Remote, are_subscribed, harmless};
use super::told_values::{number_of, truth_of};
use crate::config::nearest;
use crate::protocol::ChannelType;

/// Who is there, as far as the broker tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WhoIsThere {
    /// So many subscriptions; `None` where the app does not count them.
    Somebody(Option<u64>),
    /// Nobody, but the channel of this name is taken, and by so many.
    NobodyBut(Option<(String, Option<u64>)>),
    /// The broker does not tell.
    Unknown,
}

impl WhoIsThere {
    pub(super) fn of(remote: &Remote, channel: &str) -> Self {
        match state_of(remote, channel) {
            Ok(found) => Self::of_state(remote, channel, &found),
            Err(_) => WhoIsThere::Unknown,
        }
    }

    /// Who is there of a channel of which this is told.
    pub(super) fn of_state(remote: &Remote, channel: &str, found: &Json) -> Self {
        match truth_of(&found["occupied"]) {
            Some(true) => return WhoIsThere::Somebody(number_of(&found["subscription_count"])),
            Some(false) => {}
            None => return WhoIsThere::Unknown,
        }
        let Ok(all) = remote.get(&remote.app_path(&["channels"]), &[]) else {
            return WhoIsThere::NobodyBut(None);
        };
        let names = listed_channels(&all).into_iter().flatten().map(|(name, _)| name.as_str());
        let alike = nearest(channel, names.filter(|name| *name != channel));
        WhoIsThere::NobodyBut(alike.map(|name| {
            let found = state_of(remote, &name).ok();
            let number = found.and_then(|found| number_of(&found["subscription_count"]));
            (name, number)
        }))
    }

    pub(super) fn sentence(&self, channel: &str) -> String {
        let subscribed = |number: &Option<u64>| match number {
            Some(number) => are_subscribed(*number),
            None => "somebody is subscribed".to_owned(),
        };
        match self {
            WhoIsThere::Somebody(number) => subscribed(number),
            WhoIsThere::NobodyBut(None) => format!("nobody is subscribed to {}", harmless(channel)),
            WhoIsThere::NobodyBut(Some((other, number))) => {
                let (channel, other) = (harmless(channel), harmless(other));
                format!("nobody is subscribed to {channel}; {} to {other}", subscribed(number))
            }
            WhoIsThere::Unknown => "the broker does not tell whether anybody is subscribed".to_owned(),
        }
    }

    pub(super) fn as_json(&self) -> Json {
        match self {
            WhoIsThere::Somebody(number) => json!({ "occupied": true, "subscriptions": number }),
            WhoIsThere::NobodyBut(other) => {
                json!({ "occupied": false, "nearest": other.as_ref().map(|(name, _)| name) })
            }
            WhoIsThere::Unknown => Json::Null,
        }
    }
}

/// The channels that a broker lists, each with what it tells of it; `None` if it lists none at all. Servers in PHP write an empty
/// object as an empty array.
pub(super) fn listed_channels(answer: &Json) -> Option<Vec<(&String, &Json)>> {
    match &answer["channels"] {
        Json::Object(channels) => Some(channels.iter().collect()),
        Json::Array(none) if none.is_empty() => Some(Vec::new()),
        _ => None,
    }
}

/// What a broker tells of a channel, as much of it as it does: the number of its subscriptions only if the app counts them.
///
/// # Errors
/// If it tells nothing: its refusal of the plainest question.
pub(super) fn state_of(remote: &Remote, channel: &str) -> AskedFor {
    let of_type = ChannelType::of(channel);
    let attributes =
        [("user_count", of_type.is_presence()), ("cache", of_type.is_cache()), ("subscription_count", true)];
    let mut wanted: Vec<&str> =
        attributes.into_iter().filter_map(|(name, has)| has.then_some(name)).collect();
    let path = remote.app_path(&["channels", channel]);
    loop {
        let info = wanted.join(",");
        let pairs = [("info", info.as_str())];
        let asked = remote.get(&path, if wanted.is_empty() { &[] } else { &pairs });
        match asked {
            // It may be for an attribute that it does not have.
            Err(refused) if refused.is_of_server && wanted.pop().is_some() => {}
            asked => return asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_is_read_in_whichever_types_a_broker_tells_it() {
        let nowhere = Remote::nowhere();
        let told = |state: Json| WhoIsThere::of_state(&nowhere, "a", &state);
        assert_eq!(
            told(json!({ "occupied": "true", "subscription_count": "2" })),
            WhoIsThere::Somebody(Some(2))
        );
        assert_eq!(told(json!({ "occupied": 1, "subscription_count": [] })), WhoIsThere::Somebody(None));
        assert_eq!(told(json!({ "occupied": 0 })), WhoIsThere::NobodyBut(None));
        for unknown in [json!(null), json!({}), json!({ "occupied": "perhaps" })] {
            assert_eq!(told(unknown), WhoIsThere::Unknown);
        }
        assert_eq!(listed_channels(&json!({ "channels": [] })), Some(Vec::new()));
        assert_eq!(listed_channels(&json!({ "channels": { "a": {} } })).unwrap()[0].0, "a");
        for none in [json!(null), json!({}), json!({ "channels": ["a"] })] {
            assert_eq!(listed_channels(&none), None);
        }
    }

    #[test]
    fn who_is_there_is_told_with_the_nearest_name() {
        let told = |audience: WhoIsThere| audience.sentence("my-chanel");
        assert_eq!(told(WhoIsThere::Somebody(Some(1))), "1 connection is subscribed");
        assert_eq!(told(WhoIsThere::Somebody(Some(2))), "2 connections are subscribed");
        assert_eq!(told(WhoIsThere::Somebody(None)), "somebody is subscribed");
        assert_eq!(told(WhoIsThere::NobodyBut(None)), "nobody is subscribed to my-chanel");
        let other = Some(("my-channel".to_owned(), Some(1)));
        assert_eq!(
            told(WhoIsThere::NobodyBut(other)),
            "nobody is subscribed to my-chanel; 1 connection is subscribed to my-channel"
        );
    }
}
