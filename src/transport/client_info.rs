//! What the log says of a connection's client: its address, and what it reports of itself.
//!
//! A connection keeps this for as long as it lives, with its place among those of its address, and few ever need it. So what clients report is kept once for all
//! connections of a worker that report the same, such as those of one page.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tracing::field::display;

use crate::auth::request::Query;
use crate::http::Arrival;
use crate::hub::{AddressPlace, ConnectionDetails};
use crate::net::{PeerField, ProxyField, ProxyName, peer_field};
use crate::telemetry::VALUE_CHARS;

thread_local! {
    /// What the clients of this worker report of themselves, as long as one of them is connected.
    static REPORTED: RefCell<HashSet<Rc<ReportedClient>>> = RefCell::default();
}

/// Entries that the set keeps room for, however few there are.
const MIN_CAPACITY: usize = 64;

/// The address of a client, and what it reports of itself.
#[derive(Debug)]
pub(crate) struct ClientInfo {
    peer: KeptPeer,
    reported: Rc<ReportedClient>,
}

/// The address of a client. Smaller than a `SocketAddr`: one is kept by every connection that is open.
#[derive(Debug)]
enum KeptPeer {
    Uncounted(Option<(IpAddr, u16)>),
    /// With its connection's place among those of the address.
    Counted(Box<(SocketAddr, AddressPlace)>),
}

/// What a client reports of itself, each part as long as the log would show it.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct ReportedClient {
    /// The proxy that it came by.
    proxy: Option<ProxyName>,
    /// Whether it came over TLS, as far as that is known and believed.
    tls: bool,
    /// The web pages that it speaks for.
    origin: Option<Box<str>>,
    /// Its library.
    client: Option<Box<str>>,
    /// Its library's version.
    version: Option<Box<str>>,
}

/// What the log says of a client, as fields.
#[derive(Debug)]
pub(crate) struct ClientLogFields<'c> {
    pub(crate) peer: PeerField,
    pub(crate) proxy: ProxyField,
    pub(crate) origin: Option<&'c str>,
    pub(crate) client: Option<&'c str>,
    pub(crate) version: Option<&'c str>,
}

impl ClientInfo {
    /// A client that arrived like this, with these parameters.
    pub(crate) fn new(arrival: &Arrival, query: &Query) -> Self {
        let part = |name| query.get(name).map(shortened);
        let reported = ReportedClient {
            proxy: arrival.proxy,
            tls: arrival.tls,
            origin: arrival.origin().as_deref().map(shortened),
            client: part("client"),
            version: part("version"),
        };
        let peer = arrival.peer.map(|peer| (peer.ip(), peer.port()));
        ClientInfo { peer: KeptPeer::Uncounted(peer), reported: shared(reported) }
    }

    /// The same, whose connection has this place among those of its address.
    pub(crate) fn holding(mut self, place: Option<AddressPlace>) -> Self {
        if let (KeptPeer::Uncounted(Some(peer)), Some(place)) = (&self.peer, place) {
            self.peer = KeptPeer::Counted(Box::new((SocketAddr::from(*peer), place)));
        }
        self
    }

    /// The address without its port.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.peer().map(|peer| peer.ip())
    }

    fn peer(&self) -> Option<SocketAddr> {
        match &self.peer {
            KeptPeer::Uncounted(peer) => peer.map(SocketAddr::from),
            KeptPeer::Counted(counted) => Some(counted.0),
        }
    }

    /// Adds what is known here to what is told of its connection.
    #[cold]
    pub(crate) fn describe(&self, details: ConnectionDetails) -> ConnectionDetails {
        let ReportedClient { proxy, tls, origin, client, version } = &*self.reported;
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        ConnectionDetails {
            client: text(client),
            client_version: text(version),
            address: self.peer().map(|peer| peer.to_string()),
            proxy: proxy.map(|proxy| proxy.to_string()),
            tls: *tls,
            origin: text(origin),
            ..details
        }
    }

    pub(crate) fn log_fields(&self) -> ClientLogFields<'_> {
        let ReportedClient { proxy, tls: _, origin, client, version } = &*self.reported;
        ClientLogFields {
            peer: peer_field(self.peer()),
            proxy: proxy.map(display),
            origin: origin.as_deref(),
            client: client.as_deref(),
            version: version.as_deref(),
        }
    }
}

impl Drop for ClientInfo {
    fn drop(&mut self) {
        // The other one is the set's.
        if Rc::strong_count(&self.reported) == 2 {
            // At the end of its thread the set may have gone before.
            let _ = REPORTED.try_with(|all| {
                let mut all = all.borrow_mut();
                all.remove(&self.reported);
                if all.capacity() > MIN_CAPACITY && all.len() < all.capacity() / 8 {
                    let len = all.len();
                    all.shrink_to(MIN_CAPACITY.max(2 * len));
                }
            });
        }
    }
}

/// The same, in the one place where it is kept.
fn shared(reported: ReportedClient) -> Rc<ReportedClient> {
    REPORTED.with(|all| {
        let mut all = all.borrow_mut();
        if let Some(known) = all.get(&reported) {
            return Rc::clone(known);
        }
        let reported = Rc::new(reported);
        all.insert(Rc::clone(&reported));
        reported
    })
}

/// As much of a value as the log shows.
fn shortened(value: &str) -> Box<str> {
    match value.char_indices().nth(VALUE_CHARS) {
        None => value.into(),
        Some(_) => value.chars().take(VALUE_CHARS - 1).chain(['…']).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderMap, HeaderValue, ORIGIN};

    use crate::http::ListenerSettings;
    use crate::net::ConnectionPeers;

    fn client_info(origin: &str, query: &str) -> ClientInfo {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
        let peers = ConnectionPeers::direct(Some(SocketAddr::from(([127, 0, 0, 1], 4711))));
        ClientInfo::new(&Arrival::of(&headers, &ListenerSettings::default(), peers), &Query::parse(query))
    }

    fn kept() -> usize {
        REPORTED.with(|all| all.borrow().len())
    }

    #[test]
    fn what_many_say_is_kept_once_and_no_longer_than_one_of_them_lives() {
        let one = client_info("https://a.example", "client=js&version=8.4.0");
        let clients: Vec<ClientInfo> =
            (0..1000).map(|_| client_info("https://a.example", "client=js&version=8.4.0")).collect();
        assert!(clients.iter().all(|client_info| Rc::ptr_eq(&client_info.reported, &one.reported)));
        let other = client_info("https://b.example", "client=js&version=8.4.0");
        assert_eq!(kept(), 2);
        drop(clients);
        assert_eq!(kept(), 2);
        let ClientLogFields { peer, proxy, origin, client, version } = one.log_fields();
        assert!(proxy.is_none());
        assert_eq!(format!("{peer:?}"), "127.0.0.1:4711");
        assert_eq!((origin, client, version), (Some("https://a.example"), Some("js"), Some("8.4.0")));
        drop((one, other));
        assert_eq!(kept(), 0);
    }

    #[test]
    fn what_everybody_says_differently_goes_with_them() {
        let clients: Vec<ClientInfo> =
            (0..10_000).map(|n| client_info("https://a.example", &format!("client={n}"))).collect();
        assert_eq!(kept(), 10_000);
        drop(clients);
        assert_eq!(kept(), 0);
        assert!(REPORTED.with(|all| all.borrow().capacity()) <= 4 * MIN_CAPACITY);
    }

    #[test]
    fn nobody_is_remembered_by_more_than_the_log_shows() {
        let long = "ä".repeat(60_000);
        let client_info = client_info(&long, &format!("client={long}&version={}", "x".repeat(VALUE_CHARS)));
        let ClientLogFields { origin, client, version, .. } = client_info.log_fields();
        for value in [origin, client, version] {
            assert_eq!(value.unwrap().chars().count(), VALUE_CHARS);
        }
        assert!(client.unwrap().ends_with('…') && version.unwrap().ends_with('x'));
    }

    #[test]
    fn it_costs_a_connection_no_more_than_the_address_of_a_socket() {
        assert!(size_of::<ClientInfo>() <= size_of::<Option<SocketAddr>>(), "{}", size_of::<ClientInfo>());
    }
}
