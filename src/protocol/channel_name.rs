//! Channel names, and the type of channel that a name means.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A valid channel name. Made only by parsing; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// What a channel does, decided by the prefix of its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelType {
    /// `#server-to-user-…`: the events of one signed-in user.
    ServerToUser,
    /// `private-encrypted-cache-…`
    EncryptedCache,
    /// `private-encrypted-…`
    Encrypted,
    /// `private-cache-…`
    PrivateCache,
    /// `private-…`
    Private,
    /// `presence-cache-…`
    PresenceCache,
    /// `presence-…`
    Presence,
    /// `cache-…`
    Cache,
    /// Any other name.
    Public,
}

/// The text is not a channel name. Where the error is shown, the name is shown with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChannelName {
    /// No characters at all.
    #[error("it is empty")]
    Empty,
    /// More characters than the app allows.
    #[error("it has {chars} characters, at most {limit} are allowed")]
    TooLong {
        /// What came.
        chars: usize,
        /// What the app allows.
        limit: usize,
    },
    /// A character that no name may hold.
    #[error("{0:?} is not one of the letters, digits and _ - = @ , . ; that a name may hold")]
    ForbiddenCharacter(char),
}

/// The prefix of a user's own channel. It does not count towards the length limit.
pub const SERVER_TO_USER_PREFIX: &str = "#server-to-user-";

impl ChannelName {
    /// Reads a name of at most `max_chars` characters.
    ///
    /// # Errors
    /// If it is empty, too long, or holds a character outside `A–Z a–z 0–9 _ - = @ , . ;`. A leading `#` is
    /// reserved and only accepted in `#server-to-user-…`.
    pub fn parse(text: &str, max_chars: usize) -> Result<Self, InvalidChannelName> {
        let plain = text.strip_prefix(SERVER_TO_USER_PREFIX).unwrap_or(text);
        if plain.is_empty() {
            return Err(InvalidChannelName::Empty);
        }
        // Whatever comes before the first byte that is not allowed is ASCII, so a character begins there.
        let forbidden = plain.bytes().position(|byte| !is_allowed(byte));
        if let Some(character) = forbidden.and_then(|at| plain[at..].chars().next()) {
            return Err(InvalidChannelName::ForbiddenCharacter(character));
        }
        match plain.len() {
            chars if chars > max_chars => Err(InvalidChannelName::TooLong { chars, limit: max_chars }),
            _ => Ok(ChannelName(text.into())),
        }
    }

    /// The name as text. It holds nothing that JSON would escape.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type that the name means. Prefixes are matched exactly, in lower case and with their hyphen.
    pub fn channel_type(&self) -> ChannelType {
        ChannelType::of(&self.0)
    }
}

impl ChannelType {
    /// All of them, in the order in which they are declared.
    pub const ALL: [ChannelType; 9] = {
        use ChannelType::*;
        [
            ServerToUser,
            EncryptedCache,
            Encrypted,
            PrivateCache,
            Private,
            PresenceCache,
            Presence,
            Cache,
            Public,
        ]
    };

    /// What the metrics call it.
    pub const fn name(self) -> &'static str {
        match self {
            ChannelType::ServerToUser => "server-to-user",
            ChannelType::EncryptedCache => "private-encrypted-cache",
            ChannelType::Encrypted => "private-encrypted",
            ChannelType::PrivateCache => "private-cache",
            ChannelType::Private => "private",
            ChannelType::PresenceCache => "presence-cache",
            ChannelType::Presence => "presence",
            ChannelType::Cache => "cache",
            ChannelType::Public => "public",
        }
    }

    /// The type that a channel of this name has, if the name is valid.
    pub fn of(name: &str) -> Self {
        if let Some(rest) = name.strip_prefix("private-") {
            return match rest.strip_prefix("encrypted-") {
                Some(rest) if rest.starts_with("cache-") => ChannelType::EncryptedCache,
                Some(_) => ChannelType::Encrypted,
                None if rest.starts_with("cache-") => ChannelType::PrivateCache,
                None => ChannelType::Private,
            };
        }
        match name.strip_prefix("presence-") {
            Some(rest) if rest.starts_with("cache-") => ChannelType::PresenceCache,
            Some(_) => ChannelType::Presence,
            None if name.starts_with("cache-") => ChannelType::Cache,
            None if name.starts_with(SERVER_TO_USER_PREFIX) => ChannelType::ServerToUser,
            None => ChannelType::Public,
        }
    }

    /// Subscribing takes a signature.
    pub const fn needs_auth(self) -> bool {
        use ChannelType::{Encrypted, EncryptedCache, Presence, PresenceCache, Private, PrivateCache};
        matches!(self, Private | PrivateCache | Encrypted | EncryptedCache | Presence | PresenceCache)
    }

    /// Subscribers are members, and know of each other.
    pub const fn is_presence(self) -> bool {
        matches!(self, ChannelType::Presence | ChannelType::PresenceCache)
    }

    /// The last published event is kept for those who come later.
    pub const fn is_cache(self) -> bool {
        use ChannelType::{Cache, EncryptedCache, PresenceCache, PrivateCache};
        matches!(self, Cache | PrivateCache | PresenceCache | EncryptedCache)
    }

    /// Payloads are ciphertext to the broker.
    pub const fn is_encrypted(self) -> bool {
        matches!(self, ChannelType::Encrypted | ChannelType::EncryptedCache)
    }

    /// Subscribers can be told how many they are. Members of presence channels know.
    pub const fn tells_count(self) -> bool {
        self.is_listed() && !self.is_presence()
    }

    /// The channel shows in the HTTP API and in webhooks.
    pub const fn is_listed(self) -> bool {
        !matches!(self, ChannelType::ServerToUser)
    }
}

/// Whether this is one of the characters that a name may hold.
const fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=' | b'@' | b',' | b'.' | b';')
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 164;

    #[test]
    fn all_types_are_listed_in_their_order_and_by_the_beginning_of_their_names() {
        for (place, channel_type) in ChannelType::ALL.into_iter().enumerate() {
            assert_eq!(channel_type as usize, place);
            let prefix = match channel_type {
                ChannelType::Public => String::new(),
                ChannelType::ServerToUser => SERVER_TO_USER_PREFIX.to_owned(),
                other => format!("{}-", other.name()),
            };
            assert_eq!(ChannelType::of(&format!("{prefix}x")), channel_type);
        }
    }

    #[test]
    fn the_prefix_decides_the_type() {
        use ChannelType::*;
        let table = [
            ("#server-to-user-u1", ServerToUser),
            ("private-encrypted-cache-x", EncryptedCache),
            ("private-encrypted-x", Encrypted),
            ("private-cache-x", PrivateCache),
            ("private-x", Private),
            ("private-", Private),
            ("presence-cache-x", PresenceCache),
            ("presence-x", Presence),
            ("presence-encrypted-x", Presence),
            ("cache-x", Cache),
            ("private", Public),
            ("Private-x", Public),
            ("privatex", Public),
            ("cachefoo", Public),
            ("news", Public),
        ];
        for (name, channel_type) in table {
            assert_eq!(ChannelName::parse(name, MAX).unwrap().channel_type(), channel_type, "{name}");
        }
    }

    #[test]
    fn length_and_characters_are_checked() {
        assert!(ChannelName::parse("foo-bar_1234@=,.;", MAX).is_ok());
        assert!(ChannelName::parse(&"x".repeat(164), MAX).is_ok());
        assert!(ChannelName::parse(&format!("#server-to-user-{}", "x".repeat(164)), MAX).is_ok());
        let long = ChannelName::parse(&"x".repeat(165), MAX);
        assert_eq!(long, Err(InvalidChannelName::TooLong { chars: 165, limit: 164 }));
        assert_eq!(ChannelName::parse("", MAX), Err(InvalidChannelName::Empty));
        assert_eq!(ChannelName::parse("#server-to-user-", MAX), Err(InvalidChannelName::Empty));
        for bad in ["a:b", "a b", "a/b", "#a", "é", "a\0", "a\"b", "a\\b", "a\n", "#server-to-user-a:b"] {
            let result = ChannelName::parse(bad, MAX);
            assert!(matches!(result, Err(InvalidChannelName::ForbiddenCharacter(_))), "{bad:?}");
        }
    }
}
