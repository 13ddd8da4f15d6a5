//! An endpoint of webhooks: its URL, what it is told, and the headers that are sent with it.

use std::fmt;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use url::Url;

use crate::outbound::shown;
use crate::protocol::ChannelName;
use crate::protocol::pattern::Pattern;

use super::event_type::{EventType, EventTypes};

/// An endpoint: a URL that webhooks are sent to, and what it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookEndpoint {
    /// `http` or `https`; each request is a POST to it.
    pub url: EndpointUrl,
    /// The types of events that it is told of.
    pub events: EventTypes,
    /// Of which channels; all if absent.
    pub channels: Option<Pattern>,
    /// Sent besides our own.
    pub headers: Vec<WebhookHeader>,
}

impl WebhookEndpoint {
    /// One that is told everything.
    ///
    /// # Errors
    /// If it is no URL that webhooks can be sent to.
    pub fn new(url: &str) -> Result<Self, BadEndpoint> {
        let url = EndpointUrl::parse(url)?;
        Ok(WebhookEndpoint { url, events: EventTypes::all(), channels: None, headers: Vec::new() })
    }

    /// Whether it is told of events of this type on this channel.
    pub fn wants(&self, event_type: EventType, channel: &ChannelName) -> bool {
        self.events.contains(event_type) && self.hears(channel)
    }

    /// Whether events of this type on this channel matter to what it is told: it wants them, or the type that takes
    /// them back.
    pub fn is_concerned(&self, event_type: EventType, channel: &ChannelName) -> bool {
        self.events.concerns(event_type) && self.hears(channel)
    }

    fn hears(&self, channel: &ChannelName) -> bool {
        self.channels.as_ref().is_none_or(|pattern| pattern.capture(channel.as_str()).is_some())
    }
}

/// A URL that webhooks can be sent to: `http` or `https`, with a host, without credentials and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl {
    url: Url,
    uri: Uri,
}

/// What is shown in the place of a query, which may hold a secret.
const HIDDEN_QUERY: &str = "?…";

impl EndpointUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// If webhooks cannot be sent there.
    pub fn parse(text: &str) -> Result<Self, BadEndpoint> {
        let url = Url::parse(text).map_err(|error| BadEndpoint::Url { url: shown(text), error })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadEndpoint::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadEndpoint::Credentials);
        }
        if text.ends_with(HIDDEN_QUERY) {
            return Err(BadEndpoint::Masked);
        }
        if url.fragment().is_some() {
            return Err(BadEndpoint::Fragment(shown(text)));
        }
        // What is a URL to one is to the other, but for a few characters in the query that HTTP does not allow.
        let uri = url.as_str().parse().map_err(|_| BadEndpoint::Characters(shown(text)))?;
        Ok(EndpointUrl { url, uri })
    }

    /// The whole of it, as it is configured.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// Without the query, which may hold a secret.
impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url[..url::Position::AfterPath])?;
        match self.url.query() {
            Some(_) => f.write_str(HIDDEN_QUERY),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A header that is sent with every webhook. Its value may be a secret and is never printed, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookHeader {
    name: HeaderName,
    value: HeaderValue,
}

/// Headers that are the broker's own, or HTTP's.
const RESERVED: [&str; 14] = [
    "content-type",
    "content-length",
    "content-encoding",
    "x-pusher-key",
    "x-pusher-signature",
    "x-heliostat-attempt",
    "host",
    "connection",
    "transfer-encoding",
    "expect",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
];

impl WebhookHeader {
    /// A header of this name and value.
    ///
    /// # Errors
    /// If HTTP does not allow it, or it is one that the broker sets itself.
    pub fn new(name: &str, value: &str) -> Result<Self, BadEndpoint> {
        let parsed = HeaderName::from_bytes(name.as_bytes());
        let parsed = parsed.map_err(|_| BadEndpoint::HeaderName(shown(name)))?;
        if RESERVED.contains(&parsed.as_str()) {
            return Err(BadEndpoint::ReservedHeader(parsed.as_str().to_owned()));
        }
        let value = HeaderValue::from_str(value);
        let mut value = value.map_err(|_| BadEndpoint::HeaderValue(parsed.as_str().to_owned()))?;
        value.set_sensitive(true);
        Ok(WebhookHeader { name: parsed, value })
    }

    /// Its name, in lower case.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Its value: keep it out of logs.
    pub fn value(&self) -> &str {
        // It was made of text.
        self.value.to_str().unwrap_or_default()
    }

    pub(super) fn parts(&self) -> (HeaderName, HeaderValue) {
        (self.name.clone(), self.value.clone())
    }
}

impl fmt::Debug for WebhookHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

/// An endpoint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// Not a URL at all.
    #[error(
        "a webhook's url must be an http or https URL such as \"https://example.com/webhooks\", got {url:?}: {error}"
    )]
    Url {
        /// What came, cut short.
        url: String,
        /// What is wrong with it.
        error: url::ParseError,
    },
    /// Webhooks are sent over HTTP only.
    #[error("a webhook's url must begin with http:// or https://, got the scheme {0:?}")]
    Scheme(String),
    /// They would be printed. The URL is not shown.
    #[error("a webhook's url may not hold a name or password; send an authorization header instead")]
    Credentials,
    /// It was copied from where the query is hidden.
    #[error("the query of a webhook's url is the mask that print-config writes in place of secrets")]
    Masked,
    /// It is never sent.
    #[error("a webhook's url may not have a fragment (# and what follows), got {0:?}")]
    Fragment(String),
    /// HTTP could not carry it.
    #[error("a webhook's url holds characters that must be percent-encoded: {0:?}")]
    Characters(String),
    /// No such type of event.
    #[error("{0:?} is no type of webhook event; there are {names}", names = names())]
    UnknownType(String),
    /// It would never be told anything.
    #[error("a webhook must have at least one type of event; without the key \"events\" it has all")]
    NoTypes,
    /// No header can have that name.
    #[error("{0:?} cannot be the name of a header: letters, digits and - are allowed")]
    HeaderName(String),
    /// No header can have that value, which may be a secret and is not shown.
    #[error("the value of the header {0:?} must be printable ASCII")]
    HeaderValue(String),
    /// The broker sets it itself.
    #[error("the header {0:?} is set by the broker itself and cannot be configured")]
    ReservedHeader(String),
}

fn names() -> String {
    let names: Vec<_> = EventTypes::names().collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_http_with_a_host_and_nothing_that_should_not_be_seen() {
        for good in [
            "http://127.0.0.1:3000/hook",
            "https://example.com",
            "https://bücher.example/a?b=c",
            "http://[::1]:1/",
        ] {
            assert!(EndpointUrl::parse(good).is_ok(), "{good}");
        }
        let url = EndpointUrl::parse("https://example.com/hook?token=hush").unwrap();
        assert_eq!(
            (url.to_string().as_str(), url.as_str()),
            ("https://example.com/hook?…", "https://example.com/hook?token=hush")
        );
        assert!(!format!("{url:?}").contains("hush"));
        let table = [
            ("", "relative URL without a base"),
            ("example.com/hook", "relative URL without a base"),
            ("https://", "empty host"),
            ("ftp://example.com/", "begin with http:// or https://, got the scheme \"ftp\""),
            ("https://user:hush@example.com/", "may not hold a name or password"),
            ("https://example.com/#here", "may not have a fragment"),
            ("https://example.com:99999/", "invalid port number"),
        ];
        for (bad, expected) in table {
            let error = EndpointUrl::parse(bad).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{bad}: {error}");
        }
    }

    #[test]
    fn headers_are_allowed_unless_they_are_ours() {
        let header = WebhookHeader::new("Authorization", "Bearer hush").unwrap();
        assert_eq!((header.name(), header.value()), ("authorization", "Bearer hush"));
        assert_eq!(format!("{header:?}"), "authorization: …");
        let table = [
            (("Content-Type", "text/plain"), "set by the broker itself"),
            (("X-Pusher-Key", "k"), "set by the broker itself"),
            (("a b", "c"), "cannot be the name of a header"),
            (("", "c"), "cannot be the name of a header"),
            (("a", "hush\r\nB: c"), "must be printable ASCII"),
        ];
        for ((name, value), expected) in table {
            let error = WebhookHeader::new(name, value).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn an_endpoint_is_told_what_it_asked_for() {
        let mut endpoint = WebhookEndpoint::new("http://localhost/").unwrap();
        let (room, other) =
            (ChannelName::parse("presence-a", 164).unwrap(), ChannelName::parse("b", 164).unwrap());
        assert!(endpoint.wants(EventType::CacheMiss, &other));
        endpoint.events = EventTypes::of_name("member_removed").unwrap();
        endpoint.channels = Some(Pattern::parse("presence-*").unwrap());
        assert!(endpoint.wants(EventType::MemberRemoved, &room));
        assert!(!endpoint.wants(EventType::MemberAdded, &room));
        assert!(endpoint.is_concerned(EventType::MemberAdded, &room), "it takes the removal back");
        assert!(!endpoint.is_concerned(EventType::MemberAdded, &other));
    }
}
