//! Requests to the HTTP API, signed as the server libraries sign them and as oddly as some of them do.

use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use serde_json::{Value, json};

use super::{Connection, Response};
use crate::{Socket, Target, signature, unique};

/// Everything that RFC 3986 does not call unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The HTTP API of the target's app. A `path` continues `/apps/{app_id}` and is sent as it is.
impl Target {
    /// A request with any method.
    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call {
            target: self,
            method: method.to_owned(),
            path: format!("{}/apps/{}{path}", self.path_prefix, self.credentials.app_id),
            signed_path: None,
            parameters: Vec::new(),
            authentication: Authentication::default(),
            body: Vec::new(),
            sent_body: None,
            framing: Framing::Length(None),
            headers: Vec::new(),
        }
    }

    /// A GET.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    /// A POST of a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Call<'_> {
        self.post_bytes(path, body.to_string())
    }

    /// A POST of any bytes.
    pub fn post_bytes(&self, path: &str, body: impl Into<Vec<u8>>) -> Call<'_> {
        self.call("POST", path).body(body)
    }

    /// Publishes one event, given as the whole request body, and returns the answer.
    #[must_use]
    #[track_caller]
    pub fn events(&self, body: &Value) -> Response {
        self.post("/events", body).send()
    }

    /// Publishes a batch of `items` and returns the answer.
    #[must_use]
    #[track_caller]
    pub fn batch_events(&self, items: &[Value]) -> Response {
        self.post("/batch_events", &json!({ "batch": items })).send()
    }

    /// Publishes one event over HTTP and insists on success.
    #[track_caller]
    pub fn publish(&self, channel: &str, name: &str, data: &str) {
        self.events(&json!({ "name": name, "channel": channel, "data": data })).assert_empty_object();
    }

    /// Asserts that nothing was published on `channel` that `socket`, a subscriber, has not yet read: one more
    /// event is published on it, and as a channel's events arrive in their order, it must be the next message.
    #[track_caller]
    pub fn assert_nothing_published(&self, socket: &mut Socket, channel: &str) {
        let name = unique("fence-");
        self.publish(channel, &name, "");
        let _ = socket.expect_on(channel, &name);
    }
}

/// One request in the making. Whatever is not said otherwise is as a careful server library does it.
#[derive(Clone, Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call<'t> {
    target: &'t Target,
    method: String,
    path: String,
    signed_path: Option<String>,
    parameters: Vec<Parameter>,
    authentication: Authentication,
    body: Vec<u8>,
    sent_body: Option<Vec<u8>>,
    framing: Framing,
    headers: Vec<(String, String)>,
}

/// One query parameter: the text in the URL, and what goes into the string to sign for it, if anything.
#[derive(Clone, Debug)]
struct Parameter {
    sent: String,
    signed: Option<(String, String)>,
}

/// Departures from the usual `auth_…` and `body_md5` parameters.
#[derive(Clone, Debug, Default)]
struct Authentication {
    values: Vec<(String, Option<String>)>,
    spellings: Vec<(String, String)>,
    reversed: bool,
}

#[derive(Clone, Debug)]
enum Framing {
    /// A `Content-Length`: the body's own unless another number is given.
    Length(Option<u64>),
    /// Chunks of this many bytes.
    Chunked(usize),
}

impl Call<'_> {
    /// Replaces the body; a body that is not empty is signed with its `body_md5`.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends another body than the one that was signed.
    pub fn sent_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.sent_body = Some(body.into());
        self
    }

    /// Adds a query parameter; the name is sent as written, the value percent-encoded and signed as written.
    pub fn query(self, name: &str, value: &str) -> Self {
        self.raw_query(&format!("{name}={}", percent_encoded(value)), name, value)
    }

    /// Adds a query parameter that is sent as `sent` and signed as `name=value`.
    pub fn raw_query(mut self, sent: &str, name: &str, value: &str) -> Self {
        let signed = Some((name.to_lowercase(), value.to_owned()));
        self.parameters.push(Parameter { sent: sent.to_owned(), signed });
        self
    }

    /// Adds text to the query that the signature does not cover.
    pub fn unsigned_query(mut self, sent: &str) -> Self {
        self.parameters.push(Parameter { sent: sent.to_owned(), signed: None });
        self
    }

    /// Signs this path instead of the one that is sent.
    pub fn signed_path(mut self, path: &str) -> Self {
        self.signed_path = Some(path.to_owned());
        self
    }

    /// Gives an `auth_…` parameter or `body_md5` another value, which is signed; for `auth_signature`, the
    /// value replaces the signature.
    pub fn auth(mut self, name: &str, value: &str) -> Self {
        self.authentication.values.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Dates the request `offset` seconds from `now`.
    pub fn timestamp(self, now: i64, offset: i64) -> Self {
        self.auth("auth_timestamp", &(now + offset).to_string())
    }

    /// Leaves an `auth_…` parameter or `body_md5` out, also from the string to sign.
    pub fn without(mut self, name: &str) -> Self {
        self.authentication.values.push((name.to_owned(), None));
        self
    }

    /// Sends the name of an `auth_…` parameter in another spelling; it is signed in lower case.
    pub fn spelled(mut self, name: &str, spelling: &str) -> Self {
        self.authentication.spellings.push((name.to_owned(), spelling.to_owned()));
        self
    }

    /// Sends the query parameters in reverse order.
    pub fn reversed(mut self) -> Self {
        self.authentication.reversed = true;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Declares a `Content-Length` that need not be the truth.
    pub fn content_length(mut self, bytes: u64) -> Self {
        self.framing = Framing::Length(Some(bytes));
        self
    }

    /// Sends the body in chunks of `bytes` each, without a length.
    pub fn chunked(mut self, bytes: usize) -> Self {
        self.framing = Framing::Chunked(bytes);
        self
    }

    /// Sends the request on a connection of its own and returns the answer.
    ///
    /// # Panics
    /// If none comes.
    #[must_use]
    #[track_caller]
    pub fn send(self) -> Response {
        let target = self.target;
        match Connection::open(target).exchange(&self.header("Connection", "close").bytes()) {
            Some(answer) => answer,
            None => panic!("the connection ended without an answer"),
        }
    }

    /// Sends the request on a connection that stays open and returns the answer.
    #[must_use]
    #[track_caller]
    pub fn send_on(self, connection: &mut Connection) -> Response {
        connection.send(&self.bytes());
        connection.answer()
    }

    /// The whole request.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        let body = self.sent_body.as_ref().unwrap_or(&self.body);
        match self.framing {
            Framing::Length(_) => bytes.extend_from_slice(body),
            Framing::Chunked(size) => {
                for chunk in body.chunks(size) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }

    /// The request line and the headers, with the empty line that ends them.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let Target { host, port, .. } = self.target;
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}:{port}\r\n", self.method, self.url());
        match self.framing {
            Framing::Length(Some(bytes)) => head += &format!("Content-Length: {bytes}\r\n"),
            Framing::Length(None) if self.method == "GET" && self.body.is_empty() => {}
            Framing::Length(None) => {
                let body = self.sent_body.as_ref().unwrap_or(&self.body);
                head += &format!("Content-Length: {}\r\n", body.len());
            }
            Framing::Chunked(_) => head += "Transfer-Encoding: chunked\r\n",
        }
        if !self.body.is_empty() && !self.headers.iter().any(|(name, _)| name == "Content-Type") {
            head += "Content-Type: application/json\r\n";
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        head.into_bytes()
    }

    /// The path and query as they stand in the request line.
    #[must_use]
    pub fn url(&self) -> String {
        let mut parameters = self.authenticated();
        let signature = match self.replacement("auth_signature") {
            Some(replacement) => replacement.clone(),
            None => {
                Some(signature::hmac_hex(&self.target.credentials.secret, &self.string_to_sign(&parameters)))
            }
        };
        if let Some(signature) = signature {
            parameters.push(self.parameter("auth_signature", &signature));
        }
        if self.authentication.reversed {
            parameters.reverse();
        }
        let query: Vec<&str> = parameters.iter().map(|parameter| parameter.sent.as_str()).collect();
        if query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, query.join("&")) }
    }

    /// The text under the signature: method, path and sorted parameters, a line each.
    #[must_use]
    pub fn signed_text(&self) -> String {
        self.string_to_sign(&self.authenticated())
    }

    /// The request's own parameters followed by those that authenticate it, the signature excepted.
    fn authenticated(&self) -> Vec<Parameter> {
        let mut parameters = self.parameters.clone();
        let mut usual = vec![
            ("auth_key", self.target.credentials.key.clone()),
            ("auth_timestamp", now_seconds().to_string()),
            ("auth_version", "1.0".to_owned()),
        ];
        if !self.body.is_empty() || matches!(self.replacement("body_md5"), Some(Some(_))) {
            usual.push(("body_md5", hex::encode(Md5::digest(&self.body))));
        }
        for (name, value) in usual {
            match self.replacement(name) {
                None => parameters.push(self.parameter(name, &value)),
                Some(Some(other)) => parameters.push(self.parameter(name, other)),
                Some(None) => {}
            }
        }
        parameters
    }

    fn string_to_sign(&self, parameters: &[Parameter]) -> String {
        let mut signed: Vec<_> =
            parameters.iter().filter_map(|parameter| parameter.signed.as_ref()).collect();
        signed.sort_by(|(one, _), (other, _)| one.cmp(other));
        let pairs: Vec<_> = signed.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let path = self.signed_path.as_ref().unwrap_or(&self.path);
        format!("{}\n{path}\n{}", self.method.to_uppercase(), pairs.join("&"))
    }

    fn parameter(&self, name: &str, value: &str) -> Parameter {
        let spelling = self.authentication.spellings.iter().find(|(held, _)| held == name);
        let sent_name = spelling.map_or(name, |(_, spelling)| spelling.as_str());
        let signed = Some((name.to_owned(), value.to_owned()));
        Parameter { sent: format!("{sent_name}={}", percent_encoded(value)), signed }
    }

    fn replacement(&self, name: &str) -> Option<&Option<String>> {
        self.authentication.values.iter().rev().find(|(held, _)| held == name).map(|(_, value)| value)
    }
}

/// `text` with every byte but letters, digits and `-._~` percent-encoded.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, ENCODED).to_string()
}

/// The wall clock in whole Unix seconds.
#[must_use]
pub fn now_seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since_epoch.as_secs()).expect("seconds fit")
}

/// Runs `attempt` with the current second until one run both began and ended within that second, and returns
/// its result: for answers that depend on the clock to the second.
///
/// # Panics
/// If every run crossed the end of its second.
#[track_caller]
pub fn within_one_second<T>(mut attempt: impl FnMut(i64) -> T) -> T {
    const ATTEMPTS: usize = 50;
    for _ in 0..ATTEMPTS {
        let now = now_seconds();
        let result = attempt(now);
        if now_seconds() == now {
            return result;
        }
    }
    panic!("no request was answered within the second it was sent in, {ATTEMPTS} times over");
}
