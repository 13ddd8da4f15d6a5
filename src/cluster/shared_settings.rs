//! The settings that all nodes of a cluster should have alike, as nodes tell each other of them: a digest of each, so that one
//! that differs can be named, and no value is told.

use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Settings of which another node may tell. Further ones are not looked at.
const MOST_SETTINGS: usize = 64;

/// The digests of a name and of a value.
const BYTES_OF_ONE: usize = 8;

/// This node's settings that all should have alike, by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedSettings {
    settings: Vec<(&'static str, SettingDigest)>,
}

/// What a node tells of a setting: nodes of other releases make the same of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SettingDigest {
    name: u32,
    value: u32,
}

/// What a node tells of its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SettingDigests(Arc<[SettingDigest]>);

impl SharedSettings {
    /// These settings, each with its value as it would stand in a file.
    pub(crate) fn new(settings: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let of = |(name, value): (&'static str, String)| {
            (name, SettingDigest { name: digest(name), value: digest(&value) })
        };
        SharedSettings { settings: settings.into_iter().map(of).collect() }
    }

    /// What the others are told of them.
    pub(crate) fn digests(&self) -> SettingDigests {
        SettingDigests(self.settings.iter().map(|(_, digest)| *digest).collect())
    }

    /// The names of those that another node has otherwise. What only one of the two knows is none of them.
    pub(crate) fn differing(&self, other: &SettingDigests) -> Vec<&'static str> {
        let differs = |own: &SettingDigest| {
            other.0.iter().any(|other| other.name == own.name && other.value != own.value)
        };
        self.settings.iter().filter(|(_, own)| differs(own)).map(|(name, _)| *name).collect()
    }
}

impl SettingDigests {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let bytes = |of: &SettingDigest| [of.name.to_be_bytes(), of.value.to_be_bytes()];
        self.0.iter().flat_map(bytes).flatten().collect()
    }

    /// Whatever the bytes are.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let read = |one: &[u8]| {
            let (name, value) = one.split_first_chunk()?;
            Some(SettingDigest {
                name: u32::from_be_bytes(*name),
                value: u32::from_be_bytes(*value.first_chunk()?),
            })
        };
        SettingDigests(bytes.chunks_exact(BYTES_OF_ONE).take(MOST_SETTINGS).filter_map(read).collect())
    }
}

fn digest(text: &str) -> u32 {
    let digest: [u8; 32] = Sha256::digest(text).into();
    digest.first_chunk().map_or(0, |first| u32::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&'static str, &str)]) -> SharedSettings {
        SharedSettings::new(settings.iter().map(|(name, value)| (*name, (*value).to_owned())))
    }

    #[test]
    fn what_differs_is_named_and_what_one_does_not_know_is_not() {
        let own = of(&[("a", "1"), ("b", "2"), ("only-here", "3")]);
        let told =
            |settings: &[(&'static str, &str)]| SettingDigests::of_bytes(&of(settings).digests().to_bytes());
        assert_eq!(own.differing(&own.digests()), [""; 0]);
        assert_eq!(own.differing(&told(&[("only-there", "3"), ("b", "3"), ("a", "1")])), ["b"]);
        assert_eq!(own.differing(&SettingDigests::default()), [""; 0]);
    }

    #[test]
    fn whatever_the_bytes_are_they_are_few_settings() {
        assert_eq!(SettingDigests::of_bytes(&[7; 15]).0.len(), 1);
        assert_eq!(SettingDigests::of_bytes(&[7; 100_000]).0.len(), MOST_SETTINGS);
    }
}
