//! Agreeing on permessage-deflate (RFC 7692, section 7.1).

/// The answer to most offers that are accepted: both sides compress each message by itself. So no connection keeps
/// a window, and a broadcast is compressed once for all.
const ACCEPTED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The answer to an offer that wants the broker's window to be of 15 bits, as it is: it is accepted by saying so.
const ACCEPTED_WITH_WINDOW: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";

/// The answer to the first offer of a `Sec-WebSocket-Extensions` header that can be accepted. An offer that wants a
/// smaller window of the broker cannot, and neither can one with parameters that are unknown or given twice.
pub(super) fn answer(header: &str) -> Option<&'static str> {
    header.split(',').find_map(accepted)
}

fn accepted(offer: &str) -> Option<&'static str> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate")) {
        return None;
    }
    let mut seen = Vec::new();
    let sound = parts.all(|parameter| {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
            None => (parameter, None),
        };
        let first_time = !seen.contains(&name);
        seen.push(name);
        first_time
            && match (name, value) {
                ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
                ("client_max_window_bits", None) => true,
                ("client_max_window_bits", Some(bits)) => {
                    // A decimal number without leading zeros (section 7.1.2.2).
                    matches!(bits, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
                }
                ("server_max_window_bits", Some(bits)) => bits == "15",
                _ => false,
            }
    });
    let answer = if seen.contains(&"server_max_window_bits") { ACCEPTED_WITH_WINDOW } else { ACCEPTED };
    sound.then_some(answer)
}

/// A value may be quoted. What is only begun with a quote, or only ended, is another value.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
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
            "permessage-deflate; client_max_window_bits=\"9\"",
        ] {
            assert_eq!(answer(header), Some(ACCEPTED), "{header}");
        }
    }

    /// RFC 7692, section 7.1.2.1: an offer with this parameter is accepted by an answer with it, and some clients go
    /// when it is missing.
    #[test]
    fn a_window_that_was_asked_for_is_agreed_to() {
        for header in [
            "permessage-deflate; server_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=\"15\"; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=15",
        ] {
            assert_eq!(answer(header), Some(ACCEPTED_WITH_WINDOW), "{header}");
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
            "permessage-deflate; client_max_window_bits=+8",
            "permessage-deflate; client_max_window_bits=08",
            "permessage-deflate; client_max_window_bits=\"15",
            "permessage-deflate; server_max_window_bits=15\"",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover=1",
        ] {
            assert_eq!(answer(header), None, "{header}");
        }
    }
}
