//! The handshake's headers, and the reader with its pauses, for the fuzz targets.

use std::sync::Arc;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::http::{Arrival, ListenerSettings};
use crate::net::{ConnectionPeers, TrustedProxy};

pub use crate::protocol::frame_reader::AfterEvent;

/// The answer to a `Sec-WebSocket-Extensions` header, if one of its offers is accepted.
pub fn extension(header: &str) -> Option<&'static str> {
    super::extension::answer(header)
}

/// Whether a client came by TLS, as a trusted proxy tells with these headers. Those that are no headers are left out.
pub fn came_by_tls(headers: &[(&str, &str)]) -> bool {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::try_from(*value)) {
            map.append(name, value);
        }
    }
    // Whoever comes by a Unix socket is trusted, and has no address of its own.
    let trusted_proxies = Arc::new([TrustedProxy::Unix].into_iter().collect());
    let settings = ListenerSettings { trusted_proxies, ..ListenerSettings::default() };
    Arrival::of(&map, &settings, ConnectionPeers::default()).tls
}
