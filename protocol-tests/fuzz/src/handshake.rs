//! Headers of the handshake: what is offered of compression, what proxies tell, and which pages may connect. One line
//! each; the last two lines are a pattern for origins and an origin.

use heliostat::app::AllowedOrigin;
use heliostat::tools::fuzzing::websocket;
use heliostat::tools::protocol::{ProtocolVersion, WithoutVersion};

use crate::two_texts;

pub(crate) fn target(data: &[u8]) {
    let Some((first, rest)) = two_texts(data) else { return };
    if let Some(answer) = websocket::extension(first) {
        let offered = first.to_ascii_lowercase();
        assert!(offered.contains("permessage-deflate"), "{first:?}");
        assert_eq!(answer.contains("server_max_window_bits=15"), offered_window(first), "{first:?}");
    }
    let forwarded = websocket::came_by_tls(&[("forwarded", first)]);
    assert!(!forwarded || first.to_ascii_lowercase().contains("proto"), "{first:?}");
    // Two that agree say what each says; one that contradicts is not believed.
    let proto = websocket::came_by_tls(&[("x-forwarded-proto", first)]);
    let both = websocket::came_by_tls(&[("x-forwarded-proto", first), ("forwarded", "proto=http")]);
    assert!(!both, "{first:?}");
    let confirmed = websocket::came_by_tls(&[("x-forwarded-proto", first), ("forwarded", "proto=https")]);
    assert!(!proto || confirmed, "{first:?}");

    let (pattern, origin) = rest.split_once('\n').unwrap_or((rest, first));
    if let Ok(allowed) = pattern.parse::<AllowedOrigin>() {
        assert_eq!(allowed.to_string().parse::<AllowedOrigin>().as_ref(), Ok(&allowed));
        let admitted = allowed.admits(origin);
        assert_eq!(admitted, allowed.admits(&origin.to_ascii_uppercase()), "{pattern} {origin}");
    }
    let agreed = ProtocolVersion::negotiate(Some(first), None, 1, WithoutVersion::Legacy);
    let number = first.parse::<u8>().ok().filter(|_| first.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.filter(|number| (1..=7).contains(number));
    assert_eq!(agreed.ok().map(|agreed| agreed.version.number()), number, "{first:?}");
    drop(ProtocolVersion::negotiate(None, Some(first), 1, WithoutVersion::Strict));
}

/// Whether the first offer that can be accepted wants a window of 15 bits.
fn offered_window(header: &str) -> bool {
    let sound = |offer: &&str| websocket::extension(offer).is_some();
    header.split(',').find(sound).is_some_and(|offer| offer.contains("server_max_window_bits"))
}
