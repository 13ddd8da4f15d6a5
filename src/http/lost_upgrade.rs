//! What a handshake of a WebSocket lacks that came as an ordinary request: most often a proxy has taken it.

use actix_web::http::Version;
use actix_web::http::header::{self, HeaderMap, HeaderName};

/// How it came, as the end of a sentence. Nothing of what was sent is in it.
pub(crate) fn how_it_came(version: Version, headers: &HeaderMap) -> String {
    let has = |name: HeaderName, token: &str| {
        let lines = headers.get_all(name).filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    let mut lacks = Vec::new();
    if !has(header::UPGRADE, "websocket") {
        lacks.push("without Upgrade: websocket");
    }
    if !has(header::CONNECTION, "upgrade") {
        lacks.push("without Connection: Upgrade");
    } else if has(header::CONNECTION, "close") {
        lacks.push("with Connection: close");
    }
    if version < Version::HTTP_11 {
        lacks.insert(0, "by HTTP/1.0");
    }
    if lacks.is_empty() { "as another request than a GET".to_owned() } else { lacks.join(", ") }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn what_a_proxy_took_is_named() {
        let came = |version, all: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in all {
                headers.append(name.clone(), HeaderValue::from_static(value));
            }
            how_it_came(version, &headers)
        };
        let (upgrade, connection) = (header::UPGRADE, header::CONNECTION);
        assert_eq!(
            came(Version::HTTP_10, &[(connection.clone(), "close")]),
            "by HTTP/1.0, without Upgrade: websocket, without Connection: Upgrade"
        );
        assert_eq!(
            came(Version::HTTP_11, &[(upgrade.clone(), "WebSocket"), (connection.clone(), "keep-alive")]),
            "without Connection: Upgrade"
        );
        let both =
            [(upgrade, "websocket"), (connection.clone(), "keep-alive, Upgrade"), (connection, "close")];
        assert_eq!(came(Version::HTTP_11, &both), "with Connection: close");
        assert_eq!(came(Version::HTTP_11, &both[..2]), "as another request than a GET");
    }
}
