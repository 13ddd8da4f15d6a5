//! Sends webhooks over HTTP: connections are reused, redirects are not followed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use crate::app::Key;
use crate::auth::webhook::{ATTEMPT_HEADER, KEY_HEADER, SIGNATURE_HEADER, sign};

use super::endpoint::WebhookEndpoint;

/// Bytes of an answer that are read. The status is all that counts; what is longer costs the connection.
const ANSWER_BYTES: usize = 64 * 1024;

/// How long a connection waits for the next webhook. Servers commonly hang up after a minute or later.
const IDLE: Duration = Duration::from_secs(30);

const AGENT: HeaderValue = HeaderValue::from_static(concat!("heliostat/", env!("CARGO_PKG_VERSION")));

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file with more certificates cannot be used.
    #[error("cannot read certificates in {}, named by apps.webhook_delivery.ca_file: {error}", .path.display())]
    CaFile {
        /// Where they were looked for.
        path: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// It holds none.
    #[error("{}, named by apps.webhook_delivery.ca_file, holds no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    /// One of them, or TLS itself, is unusable.
    #[error("TLS cannot be used for webhooks: {0}")]
    Tls(#[from] rustls::Error),
}

/// The answer of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, or the beginning of a long one.
    pub body: Bytes,
}

/// Why no whole answer of an endpoint came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// It took too long.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// It could not be reached, or the connection failed.
    #[error("{0}")]
    Connection(String),
}

/// An HTTP client that sends webhooks. Must be used within a runtime.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A webhook that is ready to be sent: the same bytes each time.
#[derive(Clone, Debug)]
pub(crate) struct SignedWebhook {
    body: Bytes,
    headers: HeaderMap,
}

impl SignedWebhook {
    /// Signs a body for an endpoint. `None` if the app's key cannot stand in a header; a configured one can.
    pub(crate) fn new(body: String, key: &Key, endpoint: &WebhookEndpoint) -> Option<Self> {
        let mut headers = HeaderMap::with_capacity(4 + endpoint.headers.len());
        headers.insert(USER_AGENT, AGENT);
        headers.extend(endpoint.headers.iter().map(|header| header.parts()));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static(KEY_HEADER), HeaderValue::from_str(&key.key).ok()?);
        let signature = HeaderValue::from_str(&sign(key, &body)).ok()?;
        headers.insert(HeaderName::from_static(SIGNATURE_HEADER), signature);
        Some(SignedWebhook { body: body.into(), headers })
    }

    pub(crate) fn body_bytes(&self) -> usize {
        self.body.len()
    }
}

impl HttpClient {
    /// A client that trusts the public certificate authorities, and those of the file if one is named. It makes no
    /// connection yet.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in ca_file.map(certificates).transpose()?.unwrap_or_default() {
            roots.add(certificate)?;
        }
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).http1_title_case_headers(true);
        Ok(HttpClient { client: builder.build(connector.wrap_connector(tcp)) })
    }

    /// Sends a webhook once, as its attempt of this number, and waits for the whole answer.
    ///
    /// # Errors
    /// If none comes.
    pub(crate) async fn send(
        &self,
        endpoint: &WebhookEndpoint,
        signed: &SignedWebhook,
        attempt: u32,
        timeout: Duration,
    ) -> Result<Reply, SendError> {
        let mut request = Request::new(Full::new(signed.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = endpoint.url.uri().clone();
        *request.headers_mut() = signed.headers.clone();
        request.headers_mut().insert(HeaderName::from_static(ATTEMPT_HEADER), attempt.into());
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| send_error(&error))?;
            answer(response).await.map_err(|error| send_error(&error))
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(SendError::Timeout(timeout)))
    }
}

async fn answer(response: Response<hyper::body::Incoming>) -> Result<Reply, hyper::Error> {
    let status = response.status().as_u16();
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        if let Some(data) = frame?.data_ref() {
            body.extend_from_slice(&data[..data.len().min(ANSWER_BYTES - body.len())]);
        }
        if body.len() == ANSWER_BYTES {
            break;
        }
    }
    Ok(Reply { status, body: body.into() })
}

/// The certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let unreadable = |error| ClientError::CaFile { path: path.to_owned(), error };
    let found = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(unreadable)?;
    if found.is_empty() { Err(ClientError::NoCertificate(path.to_owned())) } else { Ok(found) }
}

/// An error with what caused it: the outermost alone says little.
fn send_error(error: &dyn Error) -> SendError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    SendError::Connection(text)
}
