//! A table by channel name, of which there is one in each connection. Most have a channel or two, and there are many
//! connections: so a few entries are a short list without slack, and only many are a map.

use std::collections::HashMap;

use crate::protocol::ChannelName;

/// Entries that a list holds before it becomes a map.
const FEW: usize = 8;

/// One value for each of some channels.
#[derive(Debug)]
pub(super) enum ByChannel<T> {
    Few(Vec<(ChannelName, T)>),
    Many(HashMap<ChannelName, T>),
}

impl<T> Default for ByChannel<T> {
    fn default() -> Self {
        ByChannel::Few(Vec::new())
    }
}

impl<T> ByChannel<T> {
    pub(super) fn len(&self) -> usize {
        match self {
            ByChannel::Few(list) => list.len(),
            ByChannel::Many(map) => map.len(),
        }
    }

    /// The entry of the channel of this name.
    pub(super) fn get(&self, name: &str) -> Option<(&ChannelName, &T)> {
        match self {
            ByChannel::Few(list) => {
                let entry = list.iter().find(|(channel, _)| channel.as_str() == name);
                entry.map(|(channel, value)| (channel, value))
            }
            ByChannel::Many(map) => map.get_key_value(name),
        }
    }

    /// The value of the channel of this name, to be changed.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        match self {
            ByChannel::Few(list) => {
                let entry = list.iter_mut().find(|(channel, _)| channel.as_str() == name);
                entry.map(|(_, value)| value)
            }
            ByChannel::Many(map) => map.get_mut(name),
        }
    }

    /// The channels that have one, in no particular order.
    pub(super) fn channels(&self) -> impl Iterator<Item = &ChannelName> {
        let (few, many) = match self {
            ByChannel::Few(list) => (Some(list), None),
            ByChannel::Many(map) => (None, Some(map)),
        };
        let few = few.into_iter().flatten().map(|(channel, _)| channel);
        few.chain(many.into_iter().flatten().map(|(channel, _)| channel))
    }

    /// Adds an entry; there must be none of this channel.
    pub(super) fn insert(&mut self, channel: ChannelName, value: T) {
        match self {
            ByChannel::Few(list) if list.len() < FEW => {
                list.reserve_exact(1);
                list.push((channel, value));
            }
            ByChannel::Few(list) => {
                let mut map: HashMap<_, _> = std::mem::take(list).into_iter().collect();
                map.insert(channel, value);
                *self = ByChannel::Many(map);
            }
            ByChannel::Many(map) => {
                map.insert(channel, value);
            }
        }
    }

    /// Removes the entry of the channel of this name.
    pub(super) fn remove(&mut self, name: &str) -> Option<(ChannelName, T)> {
        match self {
            ByChannel::Few(list) => {
                let at = list.iter().position(|(channel, _)| channel.as_str() == name)?;
                Some(list.swap_remove(at))
            }
            ByChannel::Many(map) => map.remove_entry(name),
        }
    }

    /// Takes all channels, and drops what they have.
    pub(super) fn take_channels(&mut self) -> Vec<ChannelName> {
        match std::mem::take(self) {
            ByChannel::Few(list) => list.into_iter().map(|(channel, _)| channel).collect(),
            ByChannel::Many(map) => map.into_keys().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_behave_alike() {
        let name = |n: usize| ChannelName::parse(&format!("channel-{n}"), 164).unwrap();
        let mut table = ByChannel::default();
        for n in 0..30 {
            assert!(table.get(name(n).as_str()).is_none());
            table.insert(name(n), n);
            *table.get_mut(name(n).as_str()).unwrap() += 100;
            assert_eq!(table.len(), n + 1);
        }
        assert_eq!(table.get("channel-20"), Some((&name(20), &120)));
        assert_eq!(table.get("channel-30"), None);
        for n in 0..28 {
            assert_eq!(table.remove(name(n).as_str()), Some((name(n), n + 100)));
            assert_eq!(table.remove(name(n).as_str()), None);
        }
        let mut rest = table.take_channels();
        rest.sort();
        assert_eq!(rest, [name(28), name(29)]);
        assert_eq!(table.len(), 0);
    }
}
