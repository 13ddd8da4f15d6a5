//! The name that a client gives to all its connections, so that it is known when it comes back.

use std::borrow::Cow;
use std::sync::Arc;

/// Characters that a name has at least: as many as 128 random bits take in base64. 122 of them are a UUID's, which has 36.
const LEAST_CHARACTERS: usize = 22;

/// Characters that a name may have.
const MOST_CHARACTERS: usize = 128;

/// A name that nobody can guess, if it was drawn at random.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientName(Arc<str>);

/// What the path of a connection says of the client's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum GivenName {
    /// Nothing: it is a connection like any other.
    #[default]
    None,
    /// One that is too short to be kept, too long, or no name. The connection is served without recovery.
    Unfit,
    /// One by which the client is known again.
    Fit(ClientName),
}

impl ClientName {
    /// Reads a name: 22 to 128 letters, digits, hyphens and underscores.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fits = (LEAST_CHARACTERS..=MOST_CHARACTERS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        fits.then(|| ClientName(text.into()))
    }

    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl GivenName {
    /// Takes the name off a path below the broker's prefix that begins with `/r/{name}`; returns the rest of the path,
    /// which begins with a slash or is empty. A path that begins otherwise is given back as it is.
    pub(crate) fn take_off(path: &str) -> (GivenName, &str) {
        let Some(named) = path.strip_prefix("/r/") else { return (GivenName::None, path) };
        let (name, rest) = named.split_at(named.find('/').unwrap_or(named.len()));
        if name.is_empty() {
            return (GivenName::None, path);
        }
        (ClientName::parse(name).map_or(GivenName::Unfit, GivenName::Fit), rest)
    }

    /// A path as the log may show it: whoever knows a client's name is sent what that client has missed.
    pub(crate) fn hidden_in<'p>(path: &'p str, prefix: &str) -> Cow<'p, str> {
        let Some(below) = path.strip_prefix(prefix) else { return Cow::Borrowed(path) };
        match GivenName::take_off(below) {
            (GivenName::None, _) => Cow::Borrowed(path),
            (_, rest) => Cow::Owned(format!("{prefix}/r/…{rest}")),
        }
    }

    /// Whether the path has one, whatever it is.
    pub(crate) fn is_given(&self) -> bool {
        *self != GivenName::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_the_name() {
        let hidden = |path: &'static str| GivenName::hidden_in(path, "/x");
        assert_eq!(hidden("/x/r/7f1b6ea4-8a9e-4e53-8f59-1d7a3e0b9c11/app/k"), "/x/r/…/app/k");
        assert_eq!(hidden("/x/r/short"), "/x/r/…");
        for path in ["/x/app/k", "/x/r//app/k", "/r/a/app/k", "/x/room"] {
            assert_eq!(hidden(path), path);
        }
    }

    #[test]
    fn a_uuid_and_128_bits_in_base64_are_names_and_what_could_be_guessed_is_none() {
        for name in
            ["7f1b6ea4-8a9e-4e53-8f59-1d7a3e0b9c11", "q83vASNFZ4mrze8BI0Vniw", "_-0123456789abcdefghij"]
        {
            assert!(ClientName::parse(name).is_some(), "{name}");
        }
        let long = "a".repeat(129);
        for none in
            ["", "tab1", "123456789012345678901", "q83vASNFZ4mrze8BI0Vni+", "q83vASNFZ4mrze8BI0%20iw", &long]
        {
            assert_eq!(ClientName::parse(none), None, "{none}");
        }
    }

    #[test]
    fn a_name_is_taken_off_the_path() {
        let name = "q83vASNFZ4mrze8BI0Vniw";
        let fit = GivenName::Fit(ClientName::parse(name).unwrap());
        let of = |path: &str| {
            let (given, rest) = GivenName::take_off(path);
            (given, rest.to_owned())
        };
        assert_eq!(of(&format!("/r/{name}/app/k")), (fit.clone(), "/app/k".to_owned()));
        assert_eq!(of(&format!("/r/{name}")), (fit, String::new()));
        assert_eq!(of("/r/tab1/app/k"), (GivenName::Unfit, "/app/k".to_owned()));
        for other in ["/app/k", "/r", "/r/", "/r//app/k", "/rr/a", ""] {
            assert_eq!(of(other), (GivenName::None, other.to_owned()));
        }
    }
}
