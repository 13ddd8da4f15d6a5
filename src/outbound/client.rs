//! An HTTP client for small requests to other servers: connections are reused, redirects are not followed.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connector::{ConnectorError, TrustedFile, connector};

/// Bytes of an answer that are read. The status is all that counts; what is longer costs the connection.
const ANSWER_BYTES: usize = 64 * 1024;

/// How long a connection waits for the next request. Servers commonly hang up after a minute or later.
const IDLE: Duration = Duration::from_secs(30);

/// What the broker calls itself to other servers.
pub(crate) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("heliostat/", env!("CARGO_PKG_VERSION")));

/// The answer of another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, or the beginning of a long one.
    pub body: Bytes,
}

/// Why no whole answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// It took too long.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// The server could not be reached, or the connection failed.
    #[error("{0}")]
    Connection(String),
}

/// An HTTP client. Must be used within a runtime.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HttpClient {
    /// A client that trusts the public certificate authorities, and those of the file if one is named. It makes no
    /// connection yet.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub(crate) fn new(trusted: Option<TrustedFile<'_>>) -> Result<Self, ConnectorError> {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).http1_title_case_headers(true);
        Ok(HttpClient { client: builder.build(connector(trusted)?) })
    }

    /// Sends a request once, and waits for the whole answer.
    ///
    /// # Errors
    /// If none comes.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<Reply, SendError> {
        self.ask(request, timeout, ANSWER_BYTES).await.map(|(reply, _)| reply)
    }

    /// The same, of an answer of which so many bytes are read, and whether that is all of it.
    ///
    /// # Errors
    /// If none comes.
    pub(crate) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
        most_bytes: usize,
    ) -> Result<(Reply, bool), SendError> {
        let exchange = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| SendError::Connection(with_causes(&error)))?;
            let status = response.status().as_u16();
            let read = read_body(response, most_bytes).await;
            let AnswerBody { bytes, is_whole } =
                read.map_err(|error| SendError::Connection(with_causes(&error)))?;
            Ok((Reply { status, body: bytes }, is_whole))
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(SendError::Timeout(timeout)))
    }
}

/// The body of an answer, as far as it is read.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    /// The whole of it, or the beginning of a long one.
    pub(crate) bytes: Bytes,
    /// Whether it was read to its end, so that the connection can go on.
    pub(crate) is_whole: bool,
}

/// Reads an answer.
///
/// # Errors
/// If it breaks off.
pub(crate) async fn body(response: Response<Incoming>) -> Result<AnswerBody, hyper::Error> {
    read_body(response, ANSWER_BYTES).await
}

async fn read_body(response: Response<Incoming>, most: usize) -> Result<AnswerBody, hyper::Error> {
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        if let Some(data) = frame?.data_ref() {
            body.extend_from_slice(&data[..data.len().min(most - body.len())]);
        }
        if body.len() == most {
            return Ok(AnswerBody { bytes: body.into(), is_whole: false });
        }
    }
    Ok(AnswerBody { bytes: body.into(), is_whole: true })
}

/// An error with what caused it: the outermost alone says little.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}
