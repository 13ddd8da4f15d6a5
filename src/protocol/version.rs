//! Protocol versions 1 to 7, and what each changes in what the broker says and when.
//!
//! Input is read alike for all versions; every difference is a method of [`ProtocolVersion`].

/// A version of the protocol, 1 to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProtocolVersion(u8);

/// What becomes of a client that names no protocol version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutVersion {
    /// It is taken for the old client that it probably is: the version is inferred.
    #[default]
    Legacy,
    /// It is closed with 4008.
    Strict,
}

/// What a connection's query asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The version to speak.
    pub version: ProtocolVersion,
    /// The client named no version at all. It may be a release of 2010 that waits for the old name of the
    /// first frame, or a slightly later one that waits for the new name: it gets both.
    pub parameterless: bool,
}

/// Why no version could be agreed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// `protocol` is not a decimal integer. Close code 4006.
    #[error("Invalid protocol version: expected an integer from {min} to 7, got {got:?}")]
    NotAnInteger {
        /// The lowest version served.
        min: u8,
        /// What came, shortened.
        got: String,
    },
    /// There is no `protocol`, and `version` does not begin with a number. Close code 4006.
    #[error("Invalid version: expected a release number such as 1.12.7, got {got:?}")]
    NotARelease {
        /// What came, shortened.
        got: String,
    },
    /// The version is not served. Close code 4007.
    #[error("Unsupported protocol version: {min} to 7 are served, got {got}")]
    Unsupported {
        /// The lowest version served.
        min: u8,
        /// What came, shortened.
        got: String,
    },
    /// Neither was given and the broker is configured to insist. Close code 4008.
    #[error("No protocol version supplied: add protocol=7 to the query")]
    Missing,
}

impl ProtocolVersion {
    /// The newest version; what every current JavaScript client speaks.
    pub const NEWEST: ProtocolVersion = ProtocolVersion(7);

    /// The first version whose greeting is called `pusher:connection_established`.
    pub const FIRST_WITH_PREFIX: ProtocolVersion = ProtocolVersion(2);

    /// Version `number`, if it is one.
    pub const fn new(number: u8) -> Option<Self> {
        if matches!(number, 1..=7) { Some(ProtocolVersion(number)) } else { None }
    }

    /// Finds the version from the `protocol` and `version` parameters of the connection's query.
    ///
    /// `protocol` decides. Without it, the version is inferred from the release number of the client library,
    /// by the dates at which the JavaScript client adopted each version.
    ///
    /// # Errors
    /// See [`VersionError`]; each variant has its own close code.
    pub fn negotiate(
        protocol: Option<&str>,
        release: Option<&str>,
        min: u8,
        without_version: WithoutVersion,
    ) -> Result<Negotiated, VersionError> {
        let (number, parameterless) = match (protocol, release) {
            (Some(text), _) => (named(text, min)?, false),
            (None, Some(text)) => (inferred(text)?, false),
            (None, None) if without_version == WithoutVersion::Strict => return Err(VersionError::Missing),
            (None, None) => (1, true),
        };
        match ProtocolVersion::new(number) {
            Some(version) if number >= min => Ok(Negotiated { version, parameterless }),
            _ => {
                Err(VersionError::Unsupported { min, got: shorten(protocol.unwrap_or(&number.to_string())) })
            }
        }
    }

    /// As clients say it in `protocol=`.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The first frame is called `connection_established`, without `pusher:`.
    pub const fn greets_without_prefix(self) -> bool {
        self.0 == 1
    }

    /// The first frame tells the activity time-out.
    pub const fn is_told_activity_timeout(self) -> bool {
        self.0 >= 7
    }

    /// Public and private subscriptions are confirmed too, not only presence ones.
    pub const fn confirms_every_subscription(self) -> bool {
        self.0 >= 4
    }

    /// Rosters and member events speak of distinct users; before, of connections.
    pub const fn presence_by_user(self) -> bool {
        self.0 >= 3
    }

    /// Understands a `pusher:ping` event from the broker.
    pub const fn understands_ping_event(self) -> bool {
        self.0 >= 5
    }

    /// Reacts to the `pusher:error` event and not to close codes, so each fatal close is preceded by one.
    pub const fn needs_error_before_close(self) -> bool {
        self.0 <= 5
    }
}

fn named(text: &str, min: u8) -> Result<u8, VersionError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(VersionError::NotAnInteger { min, got: shorten(text) });
    }
    // A number too large for the type is an integer all the same, and out of range like 8.
    Ok(text.parse().unwrap_or(u8::MAX))
}

/// The version that the JavaScript client of release `text` spoke. Only the leading digits and dots count.
fn inferred(text: &str) -> Result<u8, VersionError> {
    let numeric = text.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    let mut parts = numeric.split('.').map(|part| part.parse::<u32>().ok());
    let Some(Some(major)) = parts.next() else {
        return Err(VersionError::NotARelease { got: shorten(text) });
    };
    let minor = parts.next().flatten().unwrap_or(0);
    let patch = parts.next().flatten().unwrap_or(0);
    Ok(match (major, minor, patch) {
        release if release < (1, 4, 2) => 1,
        release if release < (1, 8, 0) => 2,
        release if release < (1, 10, 0) => 3,
        release if release < (1, 11, 0) => 4,
        _ => 5,
    })
}

/// Close reasons hold 123 bytes: what came is quoted only as far as it helps.
fn shorten(text: &str) -> String {
    const QUOTED_CHARS: usize = 16;
    super::shorten(text, QUOTED_CHARS).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(protocol: Option<&str>, release: Option<&str>) -> Result<u8, VersionError> {
        let agreed = ProtocolVersion::negotiate(protocol, release, 1, WithoutVersion::Legacy)?;
        Ok(agreed.version.number())
    }

    #[test]
    fn releases_imply_the_version_that_they_spoke() {
        let table = [
            ("1.2.1", 1),
            ("1.4.1", 1),
            ("1.4.2", 2),
            ("1.7.6", 2),
            ("1.8.0", 3),
            ("1.9.4", 3),
            ("1.10.0-pre", 4),
            ("1.10.1", 4),
            ("1.11.0", 5),
            ("1.12.7", 5),
            ("8.4.0-rc2", 5),
            ("2", 5),
        ];
        for (release, version) in table {
            assert_eq!(negotiate(None, Some(release)), Ok(version), "{release}");
        }
    }

    #[test]
    fn the_protocol_parameter_decides_over_the_release() {
        assert_eq!(negotiate(Some("7"), Some("1.2")), Ok(7));
        assert_eq!(negotiate(Some("5"), Some("abc")), Ok(5));
        assert_eq!(negotiate(None, None), Ok(1));
    }

    #[test]
    fn each_fault_has_its_own_error() {
        for text in ["abc", "", "-1", "7.0", "+7", "７"] {
            assert!(matches!(negotiate(Some(text), None), Err(VersionError::NotAnInteger { .. })), "{text}");
        }
        for text in ["0", "8", "300", "99999999999999999999999"] {
            assert!(matches!(negotiate(Some(text), None), Err(VersionError::Unsupported { .. })), "{text}");
        }
        for text in ["abc", "", "x1.2"] {
            assert!(matches!(negotiate(None, Some(text)), Err(VersionError::NotARelease { .. })), "{text}");
        }
        let strict = ProtocolVersion::negotiate(None, None, 1, WithoutVersion::Strict);
        assert_eq!(strict, Err(VersionError::Missing));
        let modern = ProtocolVersion::negotiate(Some("4"), None, 5, WithoutVersion::Legacy);
        assert_eq!(modern, Err(VersionError::Unsupported { min: 5, got: "4".into() }));
    }

    #[test]
    fn a_long_parameter_is_quoted_short_enough_for_a_close_reason() {
        let long = "é".repeat(5000);
        let error = negotiate(Some(&long), None).unwrap_err().to_string();
        assert!(error.len() <= 123, "{} bytes: {error}", error.len());
    }
}
