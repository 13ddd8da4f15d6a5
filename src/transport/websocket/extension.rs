//! Agreeing on permessage-deflate (RFC 7692, section 7.1).

/// The answer to every offer that is accepted: both sides compress each message by itself. So no connection keeps
/// a window, and a broadcast is compressed once for all.
pub(super) const ACCEPTED: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Whether one of the offers of a `Sec-WebSocket-Extensions` header can be accepted. An offer that wants a smaller
/// window of the broker cannot, and neither can one with parameters that are unknown or given twice.
pub(super) fn is_offered(header: &str) -> bool {
    header.split(',').any(acceptable)
}

fn acceptable(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate")) {
        return false;
    }
    let mut seen = Vec::new();
    parts.all(|parameter| {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (parameter, None),
        };
        let first_time = !seen.contains(&name);
        seen.push(name);
        first_time
            && match (name, value) {
                ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
                ("client_max_window_bits", None) => true,
                ("client_max_window_bits", Some(bits)) => {
                    bits.parse().is_ok_and(|bits| (8..=15).contains(&bits))
                }
                ("server_max_window_bits", Some(bits)) => bits == "15",
                _ => false,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_of_real_clients_are_accepted() {
        for header in [
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=12",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
        ] {
            assert!(is_offered(header), "{header}");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_not_promised() {
        for header in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; unknown",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover=1",
        ] {
            assert!(!is_offered(header), "{header}");
        }
    }
}
