//! What is examined, what the checks have learned of it so far, and how they ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, ORIGIN, USER_AGENT};
use rustls::ClientConfig;
use url::Url;

use super::conversation::{ClientConversation, HeardGreeting};
use super::fallback_transport::FallbackTransport;
use super::place::CheckedPlace;
use super::stream::{HeardAnswer, UnheardError, exchange, open, open_from, send};
use super::trust::{IndulgentVerifier, indulgent_tls};
use crate::cli::remote::{GivenApp, Remote, SignedUrl, path_of};
use crate::cli::web_socket::{ByteStream, HandshakeAnswer, shake_hands};
use crate::http::unix_seconds;
use crate::outbound::{AGENT, ConnectorError, TrustedFile};

/// Bytes of one message that a client hears: no server says more in a greeting, or tells of the events that are sent here.
const MESSAGE_BYTES: usize = 1024 * 1024;

/// A server that is examined, as an app.
pub(super) struct Visit {
    /// Where clients connect.
    pub(super) sockets: CheckedPlace,
    /// Where backends publish; most often the same.
    pub(super) api: CheckedPlace,
    pub(super) app: GivenApp,
    /// A private channel that nobody else uses.
    pub(super) channel: String,
    /// What the server said first to the client that came in.
    pub(super) greeting: Option<HeardGreeting>,
    /// Seconds by which the server's clock is ahead of this machine's; requests are signed with its time.
    pub(super) clock_ahead: i64,
    /// Whether requests are signed with the prefix of the path: the server sees it.
    pub(super) signs_prefix: bool,
    /// The page that clients are on, where one was named.
    pub(super) origin: Option<String>,
    /// Whether clients name it: the app lets nobody in who names no page.
    pub(super) names_page: bool,
    /// Whether the port of the WebSockets hangs up on whoever asks for something else.
    pub(super) takes_sockets_alone: bool,
    /// How long a client says nothing, to see whether it is cut.
    pub(super) idle: Duration,
    /// The broker's admin listener.
    pub(super) admin: Option<Remote>,
    /// How long it took until a client was greeted.
    pub(super) greeted_in: Option<Duration>,
    /// Whether the server has fallbacks, as far as is known: others than heliostat need not.
    pub(super) has_fallbacks: bool,
    /// The fallbacks that work.
    pub(super) working_fallbacks: Vec<FallbackTransport>,
    tls: Arc<ClientConfig>,
    pub(super) certificates: Arc<IndulgentVerifier>,
}

impl Visit {
    /// Nothing is known yet.
    ///
    /// # Errors
    /// If the file of certificates cannot be used.
    pub(super) fn new(
        sockets: CheckedPlace,
        api: CheckedPlace,
        app: GivenApp,
        trusted: Option<TrustedFile<'_>>,
    ) -> Result<Self, ConnectorError> {
        let (tls, certificates) = indulgent_tls(trusted)?;
        let channel = format!("private-heliostat-doctor-{:016x}", rand::random::<u64>());
        Ok(Visit {
            sockets,
            api,
            app,
            channel,
            greeting: None,
            clock_ahead: 0,
            signs_prefix: true,
            origin: None,
            names_page: false,
            takes_sockets_alone: false,
            idle: Duration::ZERO,
            admin: None,
            greeted_in: None,
            has_fallbacks: true,
            working_fallbacks: Vec::new(),
            tls,
            certificates,
        })
    }

    /// The places, each once.
    pub(super) fn places(&self) -> Vec<CheckedPlace> {
        let mut places = vec![self.sockets.clone()];
        if !self.api.is_beside(&self.sockets) {
            places.push(self.api.clone());
        }
        places
    }

    /// Takes what was learned of the addresses of a place.
    pub(super) fn remember(&mut self, place: &CheckedPlace) {
        for own in [&mut self.sockets, &mut self.api] {
            if own.is_beside(place) {
                own.addresses.clone_from(&place.addresses);
                own.answering = place.answering;
            }
        }
    }

    /// Where a client of this key connects, speaking the newest protocol.
    pub(super) fn socket_url(&self) -> Url {
        let query = concat!("protocol=7&client=heliostat-doctor&version=", env!("CARGO_PKG_VERSION"));
        self.sockets.at(&format!("/app/{}", self.app.key), query)
    }

    /// What a client says of the page that it is on.
    pub(super) fn page_headers(&self) -> Vec<(&str, &str)> {
        let page = self.origin.as_deref().filter(|_| self.names_page);
        page.map(|origin| (ORIGIN.as_str(), origin)).into_iter().collect()
    }

    /// A connection to a place, over TLS if its address says so, whatever its certificate is worth.
    ///
    /// # Errors
    /// If there is none.
    pub(super) async fn open(&self, place: &CheckedPlace) -> Result<Box<dyn ByteStream>, UnheardError> {
        open(place, &self.tls).await
    }

    /// Asks for a WebSocket at this address of `sockets`, with these headers besides those of a handshake.
    ///
    /// # Errors
    /// If no answer comes.
    pub(super) async fn shake_hands(
        &self,
        url: &Url,
        headers: &[(&str, &str)],
    ) -> Result<HandshakeAnswer, UnheardError> {
        let stream = self.open(&self.sockets).await?;
        Ok(shake_hands(stream, url, headers, MESSAGE_BYTES).await?)
    }

    /// The same, with this machine's address on the connection.
    ///
    /// # Errors
    /// If no answer comes.
    pub(super) async fn shake_hands_from(
        &self,
        url: &Url,
    ) -> Result<(HandshakeAnswer, SocketAddr), UnheardError> {
        let (stream, local) = open_from(&self.sockets, &self.tls).await?;
        Ok((shake_hands(stream, url, &self.page_headers(), MESSAGE_BYTES).await?, local))
    }

    /// Sends a request to this address of a place, with these headers, on a connection of its own.
    ///
    /// # Errors
    /// If no answer comes.
    pub(super) async fn ask(
        &self,
        place: &CheckedPlace,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<HeardAnswer, UnheardError> {
        let request = request(place, method, url, headers, body)?;
        exchange(self.open(place).await?, request).await
    }

    /// The beginning of an answer, of which the rest can be read as it comes.
    ///
    /// # Errors
    /// If no head of an answer comes.
    pub(super) async fn begin(
        &self,
        place: &CheckedPlace,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<hyper::Response<hyper::body::Incoming>, UnheardError> {
        let request = request(place, method, url, headers, body)?;
        send(self.open(place).await?, request).await
    }

    /// A client that has come in at the path of the app's key, and has heard nothing yet.
    ///
    /// # Errors
    /// If there is no WebSocket.
    pub(super) async fn converse(&self) -> Result<ClientConversation, UnheardError> {
        let answer = self.shake_hands(&self.socket_url(), &self.page_headers()).await?;
        let refused = |_| UnheardError::NoSocket(answer.head.status.as_u16());
        answer.socket.map(ClientConversation::over).map_err(refused)
    }

    /// Asks the HTTP API for what is at this path below the app's, signed: with the server's time where that is known, and
    /// over the path that the server is known to see.
    ///
    /// # Errors
    /// If no answer comes.
    pub(super) async fn ask_signed(
        &self,
        method: &str,
        below: &str,
        pairs: &[(&str, &str)],
        body: String,
    ) -> Result<HeardAnswer, UnheardError> {
        let signed = self.sign(method, below, pairs, &body);
        self.ask_at(method, &signed.url, body).await
    }

    /// The same, at an address that is signed already.
    ///
    /// # Errors
    /// If no answer comes.
    pub(super) async fn ask_at(
        &self,
        method: &str,
        url: &Url,
        body: String,
    ) -> Result<HeardAnswer, UnheardError> {
        let json = [(CONTENT_TYPE.as_str(), "application/json")];
        let headers = if body.is_empty() { &json[..0] } else { &json };
        self.ask(&self.api, method, url, headers, body).await
    }

    /// The address of a signed request to what is at this path below the app's. The prefix is sent in any case.
    pub(super) fn sign(
        &self,
        method: &str,
        below: &str,
        pairs: &[(&str, &str)],
        body: &str,
    ) -> SignedAddress {
        let path = path_of(&["apps", &self.app.id], &[]) + below;
        let prefix = if self.signs_prefix { self.api.prefix() } else { "" };
        let now = unix_seconds().saturating_add_signed(self.clock_ahead);
        let signed = SignedUrl::of(&self.app, method, &format!("{prefix}{path}"), pairs, body, now);
        SignedAddress { url: self.api.at(&path, &signed.query), string_to_sign: signed.string_to_sign }
    }
}

/// The address of a request with its signature, and what was signed.
pub(super) struct SignedAddress {
    pub(super) url: Url,
    pub(super) string_to_sign: String,
}

fn request(
    place: &CheckedPlace,
    method: &str,
    url: &Url,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder()
        .method(method)
        .uri(&url[url::Position::BeforePath..])
        .header(HOST, place.authority())
        .header(USER_AGENT, AGENT);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into()))
}
