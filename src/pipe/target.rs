//! Where a rule sends: to a channel, which is parsed when the rule is made, or to the one that results when a star is
//! filled.

use crate::app::Limits;
use crate::protocol::pattern::Pattern;
use crate::protocol::{ChannelName, InvalidChannelName};

/// One target of a rule.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Always this channel.
    Channel(ChannelName),
    /// The channel that results when the star takes what that of the source matched.
    Filled(Pattern),
}

impl Target {
    /// The target that a pattern means.
    ///
    /// # Errors
    /// If no channel of an app with these limits could ever be meant.
    pub(super) fn parse(pattern: &Pattern, limits: &Limits) -> Result<Self, InvalidChannelName> {
        let shortest = ChannelName::parse(&pattern.fill(""), limits.channel_name_chars);
        match (pattern.is_wild(), shortest) {
            (false, Ok(channel)) => Ok(Target::Channel(channel)),
            (true, Ok(_) | Err(InvalidChannelName::Empty)) => Ok(Target::Filled(pattern.clone())),
            (_, Err(reason)) => Err(reason),
        }
    }

    /// The channel, where the star of the source matched `captured`.
    ///
    /// # Errors
    /// If what results is no channel name of at most `max_chars` characters: that, and why.
    pub(super) fn channel(
        &self,
        captured: &str,
        max_chars: usize,
    ) -> Result<ChannelName, (String, InvalidChannelName)> {
        match self {
            Target::Channel(channel) => Ok(channel.clone()),
            Target::Filled(pattern) => {
                let name = pattern.fill(captured);
                ChannelName::parse(&name, max_chars).map_err(|reason| (name, reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pattern: &str, chars: usize) -> Result<Target, InvalidChannelName> {
        let limits = Limits { channel_name_chars: chars, ..Limits::default() };
        Target::parse(&Pattern::parse(pattern).unwrap(), &limits)
    }

    #[test]
    fn a_target_that_could_never_be_a_channel_is_refused() {
        let reason = InvalidChannelName::TooLong { chars: 8, limit: 7 };
        assert_eq!(parse("mirror-1", 7).unwrap_err(), reason);
        assert_eq!(parse("mirror-*1", 7).unwrap_err(), reason);
        for pattern in ["mirror-1", "mirror-*1", "*"] {
            assert!(parse(pattern, 8).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn a_star_is_filled_and_may_make_a_name_too_long() {
        let target = parse("mirror-*", 8).unwrap();
        assert_eq!(target.channel("1", 8).unwrap().as_str(), "mirror-1");
        let reason = InvalidChannelName::TooLong { chars: 9, limit: 8 };
        assert_eq!(target.channel("12", 8), Err(("mirror-12".to_owned(), reason)));
        assert_eq!(parse("mirror", 8).unwrap().channel("1", 8).unwrap().as_str(), "mirror");
    }
}
