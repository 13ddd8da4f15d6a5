//! A webhook as a signed request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request};

use crate::app::Key;
use crate::auth::webhook::{ATTEMPT_HEADER, KEY_HEADER, SIGNATURE_HEADER, sign};
use crate::outbound::AGENT;

use super::endpoint::WebhookEndpoint;

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

    /// The request that carries it to the endpoint, as the attempt of this number.
    pub(crate) fn request(&self, endpoint: &WebhookEndpoint, attempt: u32) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = endpoint.url.uri().clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(HeaderName::from_static(ATTEMPT_HEADER), attempt.into());
        request
    }

    /// The same, with a header that marks it.
    pub(crate) fn marked(mut self, header: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(header), HeaderValue::from_static("1"));
        self
    }

    pub(crate) fn body_bytes(&self) -> usize {
        self.body.len()
    }
}
