//! What one connection is subscribed to. Most have a channel or two, and there are many connections: so a few
//! subscriptions are a short list without slack, and only many are a map.

use std::collections::HashMap;
use std::sync::Arc;

use crate::protocol::ChannelName;

/// Subscriptions that a list holds before it becomes a map.
const FEW: usize = 8;

/// The subscribed channels; on presence channels, with the user that joined.
#[derive(Debug)]
pub(super) enum Subscriptions {
    Few(Vec<(ChannelName, Option<Arc<str>>)>),
    Many(HashMap<ChannelName, Option<Arc<str>>>),
}

impl Subscriptions {
    pub(super) fn new() -> Self {
        Subscriptions::Few(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Subscriptions::Few(list) => list.len(),
            Subscriptions::Many(map) => map.len(),
        }
    }

    /// The subscription to the channel of this name.
    pub(super) fn get(&self, name: &str) -> Option<(&ChannelName, Option<&Arc<str>>)> {
        let (channel, user_id) = match self {
            Subscriptions::Few(list) => list
                .iter()
                .find(|(channel, _)| channel.as_str() == name)
                .map(|(channel, user)| (channel, user)),
            Subscriptions::Many(map) => map.get_key_value(name),
        }?;
        Some((channel, user_id.as_ref()))
    }

    /// Adds a subscription; there must be none to this channel.
    pub(super) fn insert(&mut self, channel: ChannelName, user_id: Option<Arc<str>>) {
        match self {
            Subscriptions::Few(list) if list.len() < FEW => {
                list.reserve_exact(1);
                list.push((channel, user_id));
            }
            Subscriptions::Few(list) => {
                let mut map: HashMap<_, _> = std::mem::take(list).into_iter().collect();
                map.insert(channel, user_id);
                *self = Subscriptions::Many(map);
            }
            Subscriptions::Many(map) => {
                map.insert(channel, user_id);
            }
        }
    }

    /// Removes the subscription to the channel of this name.
    pub(super) fn remove(&mut self, name: &str) -> Option<ChannelName> {
        match self {
            Subscriptions::Few(list) => {
                let at = list.iter().position(|(channel, _)| channel.as_str() == name)?;
                Some(list.swap_remove(at).0)
            }
            Subscriptions::Many(map) => map.remove_entry(name).map(|(channel, _)| channel),
        }
    }

    /// Takes all of them.
    pub(super) fn take(&mut self) -> Vec<ChannelName> {
        match std::mem::replace(self, Subscriptions::new()) {
            Subscriptions::Few(list) => list.into_iter().map(|(channel, _)| channel).collect(),
            Subscriptions::Many(map) => map.into_keys().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_behave_alike() {
        let name = |n: usize| ChannelName::parse(&format!("channel-{n}"), 164).unwrap();
        let mut subscriptions = Subscriptions::new();
        for n in 0..30 {
            assert!(subscriptions.get(name(n).as_str()).is_none());
            subscriptions.insert(name(n), (n % 2 == 0).then(|| Arc::from(format!("user-{n}"))));
            assert_eq!(subscriptions.len(), n + 1);
        }
        let (channel, user) = subscriptions.get("channel-20").unwrap();
        assert_eq!((channel, user.map(AsRef::as_ref)), (&name(20), Some("user-20")));
        assert_eq!(subscriptions.get("channel-21").unwrap().1, None);
        for n in 0..28 {
            assert_eq!(subscriptions.remove(name(n).as_str()), Some(name(n)));
            assert_eq!(subscriptions.remove(name(n).as_str()), None);
        }
        let mut rest = subscriptions.take();
        rest.sort();
        assert_eq!(rest, [name(28), name(29)]);
        assert_eq!(subscriptions.len(), 0);
    }
}
