//! Event names: whose they are, by their prefix.

/// Who an event name that a client sent belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEventKind {
    /// `client-…`: to be broadcast to the channel's other subscribers.
    ClientEvent,
    /// `pusher:…` or `pusher_internal:…`: the protocol's own. Those that a client may send are read before.
    Reserved,
    /// Any other name: only a pipe can want it.
    Unprefixed,
}

/// A name that cannot be published over the HTTP API. The text is the body of the 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEventName {
    /// Missing, empty, or another JSON type.
    #[error("Expected name parameter to be a string")]
    NotAString,
    /// The name has more characters than the app allows.
    #[error("Event name too long: at most {limit} characters are allowed, got {chars}")]
    TooLong {
        /// What came.
        chars: usize,
        /// What the app allows.
        limit: usize,
    },
    /// Kept for the protocol: everything that begins with `pusher`, whatever follows.
    #[error("The 'pusher' namespace is reserved for internal usage")]
    Reserved,
}

/// Sorts a name that came from a client.
pub fn kind(name: &str) -> ClientEventKind {
    if name.starts_with("client-") {
        ClientEventKind::ClientEvent
    } else if name.starts_with("pusher:") || name.starts_with("pusher_internal:") {
        ClientEventKind::Reserved
    } else {
        ClientEventKind::Unprefixed
    }
}

/// Checks a name that came over the HTTP API. Any characters are allowed.
///
/// # Errors
/// If it is empty, longer than `max_chars`, or reserved.
pub fn check_published(name: &str, max_chars: usize) -> Result<(), InvalidEventName> {
    if name.is_empty() {
        return Err(InvalidEventName::NotAString);
    }
    if name.starts_with("pusher") {
        return Err(InvalidEventName::Reserved);
    }
    match name.chars().count() {
        chars if chars > max_chars => Err(InvalidEventName::TooLong { chars, limit: max_chars }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_tells_whose_a_name_is() {
        assert_eq!(kind("client-x"), ClientEventKind::ClientEvent);
        assert_eq!(kind("pusher:ping"), ClientEventKind::Reserved);
        assert_eq!(kind("pusher_internal:x"), ClientEventKind::Reserved);
        assert_eq!(kind("pusher-auth-request"), ClientEventKind::Unprefixed);
        assert_eq!(kind("frame"), ClientEventKind::Unprefixed);
        assert_eq!(kind("Client-x"), ClientEventKind::Unprefixed);
    }

    #[test]
    fn published_names_are_free_but_for_length_and_the_reserved_prefix() {
        assert_eq!(check_published(r"App\Events\Shipped", 200), Ok(()));
        assert_eq!(check_published("client-x", 200), Ok(()));
        assert_eq!(check_published(&"é".repeat(200), 200), Ok(()));
        assert_eq!(check_published("", 200), Err(InvalidEventName::NotAString));
        assert_eq!(check_published("pusher-note", 200), Err(InvalidEventName::Reserved));
        let long = check_published(&"x".repeat(201), 200);
        assert_eq!(long, Err(InvalidEventName::TooLong { chars: 201, limit: 200 }));
    }
}
