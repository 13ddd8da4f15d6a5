//! How a client came: over TLS or not, for which web pages, from which address.

use std::net::SocketAddr;
use std::time::Instant;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tracing::field::display;
use tracing::warn;

use super::ListenerSettings;
use super::client_address::client_address;
use super::foreign::proxied;
use super::forwarded::elements;
use crate::app::App;
use crate::hub::{AddressGroup, Hub, RefusedTooOften};
use crate::net::{ConnectionPeers, ProxyField, ProxyName, peer_field};
use crate::protocol::CloseCode;

/// How a client reached the broker, as its requests show: over TLS or not, for which web pages, from which address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Whether what it sends is encrypted on its way, as far as that is known and believed.
    pub(crate) tls: bool,
    /// The web pages that it speaks for, if it says so; more than one only if its requests contradict each other.
    origins: Vec<String>,
    /// The address of the client, as far as the peer or a trusted proxy tells it: without a port (0) where that is not
    /// told. `None` of a peer on a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    /// The proxy that told so, where it was not the client itself that came.
    pub(crate) proxy: Option<ProxyName>,
    /// What it counts as where addresses are bounded; `None` of a peer on a Unix socket, which is a program of this
    /// machine.
    pub(crate) counted_as: Option<AddressGroup>,
}

impl Arrival {
    /// What a request with these headers shows, that came from these peers to a listener of these settings.
    pub(crate) fn of(headers: &HeaderMap, settings: &ListenerSettings, peers: ConnectionPeers) -> Self {
        let ConnectionPeers { peer, proxy, nameless } = peers;
        // A proxy that names nobody vouches for nobody's headers.
        let client = if nameless { peer } else { client_address(headers, peer, &settings.trusted_proxies) };
        let is_believed = !nameless && settings.believes(peer);
        // Nobody can count as the proxy by what he writes, nor by what it does not tell: its own programs may come from the
        // same address.
        let is_hidden = nameless || (settings.trusted_proxies.trusts(client) && proxied(headers).is_some());
        let address = client.map(|client| client.ip());
        let counted_as = match address {
            address if is_hidden => Some(AddressGroup::behind(address)),
            address => address.map(AddressGroup::of),
        };
        Arrival {
            tls: settings.tls || (is_believed && came_by_tls(headers)),
            origins: origins(headers),
            peer: client,
            // Who holds the connection is the one that is sure to be there.
            proxy: proxy.or_else(|| (client != peer).then(|| ProxyName::of(peer))),
            counted_as,
        }
    }

    /// Whether what comes from there may be looked at.
    ///
    /// # Errors
    /// If its address was refused too often of late.
    pub(crate) fn check_refusals(&self, hub: &Hub) -> Result<(), RefusedTooOften> {
        hub.refused_addresses().check(self.counted_as, Instant::now())
    }

    /// It was refused for what it has shown. The log hears when that is once too often.
    pub(crate) fn count_refusal(&self, hub: &Hub) {
        if let Some(RefusedTooOften { seconds }) =
            hub.refused_addresses().add(self.counted_as, Instant::now())
        {
            let (peer, proxy) = (peer_field(self.peer), self.proxy());
            warn!(
                peer,
                proxy, seconds, "refused too often: nothing more from this address is looked at for a while"
            );
        }
    }

    /// The proxy, for the log.
    pub(crate) fn proxy(&self) -> ProxyField {
        self.proxy.map(display)
    }

    /// The pages that it speaks for, for the log.
    pub(crate) fn origin(&self) -> Option<String> {
        (!self.origins.is_empty()).then(|| self.origins.join(", "))
    }

    /// A client that came by several requests: as little protected as the least of them, and for all their pages.
    pub(crate) fn and(mut self, other: &Arrival) -> Self {
        self.tls &= other.tls;
        for origin in &other.origins {
            if !self.origins.contains(origin) {
                self.origins.push(origin.clone());
            }
        }
        self
    }

    /// Whether a client that arrived like this may connect to the app.
    ///
    /// # Errors
    /// With the close code and the reason.
    pub(crate) fn check(&self, app: &App) -> Result<(), (CloseCode, &'static str)> {
        if app.force_tls && !self.tls {
            return Err((CloseCode::TlsOnly, CloseCode::TlsOnly.sentence()));
        }
        if !self.origins.iter().all(|origin| app.admits_origin(Some(origin))) {
            return Err((CloseCode::Unauthorized, "Origin not allowed"));
        }
        Ok(())
    }
}

/// The pages that a request was sent for. Browsers say it in `Origin`, but not with what they fetch as a script or as a
/// picture: then the page that refers to it counts, and where it is kept secret that it is any page at all, an unknown
/// one.
fn origins(headers: &HeaderMap) -> Vec<String> {
    const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let told: Vec<String> = headers.get_all(header::ORIGIN).map(text).collect();
    if !told.is_empty() {
        return told;
    }
    let unknown = || "null".to_owned();
    let referring = headers.get(header::REFERER).map(|referrer| {
        let referrer = text(referrer);
        let origin = referrer.split_once("://").map(|(scheme, rest)| {
            format!("{scheme}://{}", rest.split(['/', '?', '#']).next().unwrap_or_default())
        });
        origin.unwrap_or_else(unknown)
    });
    // `none` is what the user does: an address that was typed in.
    let of_a_page = || headers.get(FETCH_SITE).is_some_and(|site| site.as_bytes() != b"none");
    referring.or_else(|| of_a_page().then(unknown)).into_iter().collect()
}

/// Whether a proxy says that the client reached it by TLS. To be asked only of a proxy that is trusted.
fn came_by_tls(headers: &HeaderMap) -> bool {
    const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    let forwarded = headers.get(FORWARDED_PROTO).and_then(|value| value.to_str().ok());
    // Of several proxies, the first in the list is the one that the client reached.
    let reached = forwarded.and_then(|proto| proto.split(',').next()).map(str::trim);
    let is_secure = |proto: &str| ["https", "wss"].iter().any(|secure| proto.eq_ignore_ascii_case(secure));
    // A proxy sets one of the two, and passes on what a client has put into the other: that can only make it worse.
    let told: Vec<&str> = reached.into_iter().chain(forwarded_protos(headers)).collect();
    !told.is_empty() && told.into_iter().all(is_secure)
}

/// The schemes that the first element of `Forwarded` (RFC 7239) names. There should be one; where there are more,
/// somebody has slipped one in.
fn forwarded_protos(headers: &HeaderMap) -> Vec<&str> {
    let forwarded = headers.get(header::FORWARDED).and_then(|value| value.to_str().ok());
    let pairs = elements(forwarded.unwrap_or_default()).next().unwrap_or_default().into_iter();
    let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    let protos = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("proto"));
    protos.map(|(_, value)| value.trim().trim_matches('"')).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn arrival(headers: &[(&str, &str)]) -> Arrival {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let settings = ListenerSettings { trust_forwarded_proto: true, ..ListenerSettings::default() };
        Arrival::of(&map, &settings, ConnectionPeers::default())
    }

    #[test]
    fn a_trusted_proxy_tells_that_the_client_came_by_tls() {
        let x = "x-forwarded-proto";
        let forwarded = "forwarded";
        for (tls, headers) in [
            (false, &[][..]),
            (true, &[(x, "https")]),
            (true, &[(x, "HTTPS, http")]),
            (true, &[(x, "wss")]),
            (false, &[(x, "http, https")]),
            (true, &[(forwarded, "proto=https")]),
            (true, &[(forwarded, "for=\"[2001:db8::1]:4711\";Proto=\"HTTPS\", for=b;proto=http")]),
            (false, &[(forwarded, "for=a;proto=http, proto=https")]),
            (false, &[(forwarded, "for=\"x;proto=https\";proto=http")]),
            (false, &[(forwarded, "for=\"x\\\";proto=https\";proto=http")]),
            (false, &[(forwarded, "proto=https;proto=http")]),
            (false, &[(forwarded, "for=\"a, proto=https\"")]),
            (false, &[(forwarded, "proto=https"), (x, "http")]),
            (true, &[(forwarded, "proto=https"), (x, "https")]),
        ] {
            assert_eq!(arrival(headers).tls, tls, "{headers:?}");
        }
    }

    #[test]
    fn where_proxies_are_named_nobody_else_is_believed() {
        let settings = ListenerSettings {
            trust_forwarded_proto: true,
            trusted_proxies: Arc::new(
                ["10.0.0.0/8"].into_iter().filter_map(|text| text.parse().ok()).collect(),
            ),
            ..ListenerSettings::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static("https"));
        headers.insert(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static("192.0.2.1"));
        let of = |peer: &str| {
            let Arrival { tls, peer, proxy, .. } =
                Arrival::of(&headers, &settings, ConnectionPeers::direct(peer.parse().ok()));
            (tls, peer.map(|peer| peer.ip().to_string()), proxy.map(|proxy| proxy.to_string()))
        };
        let told = |address: &str| Some(address.to_owned());
        assert_eq!(of("10.0.0.1:5"), (true, told("192.0.2.1"), told("10.0.0.1")));
        assert_eq!(of("192.0.2.9:5"), (false, told("192.0.2.9"), None));
        // A proxy that names nobody lends nobody its authority, not even where everybody is believed.
        let everybody = ListenerSettings { trust_forwarded_proto: true, ..ListenerSettings::default() };
        let nameless = ConnectionPeers::by_proxy("10.0.0.1:5".parse().ok(), None);
        for settings in [&settings, &everybody] {
            let Arrival { tls, peer, proxy, counted_as, .. } = Arrival::of(&headers, settings, nameless);
            assert_eq!(counted_as, Some(AddressGroup::behind("10.0.0.1".parse().ok())));
            assert_eq!((tls, peer), (false, "10.0.0.1:5".parse().ok()));
            assert_eq!(proxy.map(|proxy| proxy.to_string()), told("10.0.0.1"));
        }
    }

    #[test]
    fn nobody_counts_as_somebody_else_by_what_he_writes() {
        let trusted_proxies =
            ["10.0.0.0/8", "unix"].into_iter().filter_map(|text| text.parse().ok()).collect();
        let settings =
            ListenerSettings { trusted_proxies: Arc::new(trusted_proxies), ..ListenerSettings::default() };
        let counted = |peer: &str, headers: &[(&str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                map.append(name, HeaderValue::from_str(value).unwrap());
            }
            Arrival::of(&map, &settings, ConnectionPeers::direct(peer.parse().ok())).counted_as
        };
        let of = |address: &str| address.parse().ok().map(AddressGroup::of);
        let behind = |proxy: &str| Some(AddressGroup::behind(proxy.parse().ok()));
        let (x, forwarded) = ("x-forwarded-for", "forwarded");
        const PROXY: &str = "10.0.0.1:80";
        for (peer, headers, expected) in [
            (PROXY, &[][..], of("10.0.0.1")),
            (PROXY, &[(x, "192.0.2.1")], of("192.0.2.1")),
            (PROXY, &[(x, "198.51.100.1, 192.0.2.1")], of("192.0.2.1")),
            // What is contradicted, or cannot be read, is the proxy's word no more, nor is it the proxy.
            (PROXY, &[(x, "192.0.2.1"), (forwarded, "for=198.51.100.1")], behind("10.0.0.1")),
            (PROXY, &[(x, "unknown")], behind("10.0.0.1")),
            (PROXY, &[(forwarded, "proto=https")], behind("10.0.0.1")),
            (PROXY, &[(x, "10.0.0.7")], behind("10.0.0.7")),
            // A proxy that names nobody is known by whatever else it adds.
            (PROXY, &[("x-real-ip", "192.0.2.1")], behind("10.0.0.1")),
            (PROXY, &[("x-forwarded-proto", "https")], behind("10.0.0.1")),
            (PROXY, &[("via", "1.1 proxy")], behind("10.0.0.1")),
            ("unix", &[("x-forwarded-host", "a.example")], behind("none")),
            ("192.0.2.9:80", &[(x, "198.51.100.1"), (forwarded, "for=_x")], of("192.0.2.9")),
            ("unix", &[], None),
            ("unix", &[(x, "192.0.2.1")], of("192.0.2.1")),
            ("unix", &[(x, "unknown")], behind("none")),
        ] {
            assert_eq!(counted(peer, headers), expected, "{peer} {headers:?}");
        }
    }

    #[test]
    fn the_page_is_told_by_whatever_the_browser_says_of_it() {
        type Case<'c> = (&'c [(&'c str, &'c str)], &'c [&'c str]);
        let table: [Case<'_>; 9] = [
            (&[], &[]),
            (&[("origin", "https://a.example")], &["https://a.example"]),
            (&[("origin", "https://a.example"), ("referer", "https://b.example/x")], &["https://a.example"]),
            (&[("origin", "https://a.example"), ("origin", "null")], &["https://a.example", "null"]),
            (&[("referer", "https://a.example:8443/x/y?z")], &["https://a.example:8443"]),
            (&[("referer", "https://a.example")], &["https://a.example"]),
            (&[("referer", "about:blank")], &["null"]),
            (&[("sec-fetch-site", "cross-site")], &["null"]),
            (&[("sec-fetch-site", "none")], &[]),
        ];
        for (headers, origins) in table {
            assert_eq!(arrival(headers).origins, origins, "{headers:?}");
        }
    }

    #[test]
    fn several_requests_are_as_good_as_the_worst_of_them() {
        let tls = ("x-forwarded-proto", "https");
        let good = arrival(&[tls, ("origin", "https://a.example")]);
        let plain = arrival(&[]);
        let foreign = arrival(&[tls, ("origin", "https://b.example")]);
        let mut app = App::new("1", "key", "secret");
        app.force_tls = true;
        app.allowed_origins = vec!["https://a.example".parse().unwrap()];
        assert_eq!(good.check(&app), Ok(()));
        assert_eq!(good.clone().and(&good).check(&app), Ok(()));
        assert!(matches!(good.clone().and(&plain).check(&app), Err((CloseCode::TlsOnly, _))));
        for both in [good.clone().and(&foreign), foreign.and(&good)] {
            assert_eq!(both.check(&app), Err((CloseCode::Unauthorized, "Origin not allowed")));
        }
    }
}
