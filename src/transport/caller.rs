//! Who is at the other end of a connection, for the log.
//!
//! A connection keeps this for as long as it lives, and few ever need it. So what clients say of themselves is kept once for
//! all connections of a worker that say the same, such as those of one page.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tracing::field::{DisplayValue, display};

use crate::auth::request::Query;
use crate::http::Arrival;
use crate::telemetry::VALUE_CHARS;

thread_local! {
    /// What the clients of this worker have said of themselves, as long as one of them is connected.
    static SAID: RefCell<HashSet<Rc<Said>>> = RefCell::default();
}

/// Entries that the set keeps room for, whoever goes.
const ROOM: usize = 64;

/// The address and the words of one client.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Smaller than a `SocketAddr`: one is kept by every connection that is open.
    peer: Option<(IpAddr, u16)>,
    said: Rc<Said>,
}

/// What a client says of itself, each part as long as the log would show it.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Said {
    /// The web pages that it speaks for.
    origin: Option<Box<str>>,
    /// Its library.
    client: Option<Box<str>>,
    /// Its library's version.
    version: Option<Box<str>>,
}

/// A caller in the form of the log's fields.
#[derive(Debug)]
pub(crate) struct Told<'c> {
    pub(crate) peer: Option<DisplayValue<SocketAddr>>,
    pub(crate) origin: Option<&'c str>,
    pub(crate) client: Option<&'c str>,
    pub(crate) version: Option<&'c str>,
}

impl Caller {
    /// Whoever came so, with these parameters.
    pub(crate) fn new(arrival: &Arrival, query: &Query) -> Self {
        let part = |name| query.get(name).map(shortened);
        let said = Said {
            origin: arrival.origin().as_deref().map(shortened),
            client: part("client"),
            version: part("version"),
        };
        let peer = arrival.peer.map(|peer| (peer.ip(), peer.port()));
        Caller { peer, said: shared(said) }
    }

    /// For the log.
    pub(crate) fn told(&self) -> Told<'_> {
        let Said { origin, client, version } = &*self.said;
        Told {
            peer: self.peer.map(SocketAddr::from).map(display),
            origin: origin.as_deref(),
            client: client.as_deref(),
            version: version.as_deref(),
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // The other one is the set's.
        if Rc::strong_count(&self.said) == 2 {
            // At the end of its thread the set may have gone before.
            let _ = SAID.try_with(|all| {
                let mut all = all.borrow_mut();
                all.remove(&self.said);
                if all.capacity() > ROOM && all.len() < all.capacity() / 8 {
                    let len = all.len();
                    all.shrink_to(ROOM.max(2 * len));
                }
            });
        }
    }
}

/// The same, in the one place where it is kept.
fn shared(said: Said) -> Rc<Said> {
    SAID.with(|all| {
        let mut all = all.borrow_mut();
        if let Some(known) = all.get(&said) {
            return Rc::clone(known);
        }
        let said = Rc::new(said);
        all.insert(Rc::clone(&said));
        said
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

    fn caller(origin: &str, query: &str) -> Caller {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
        let peer = Some(SocketAddr::from(([127, 0, 0, 1], 4711)));
        Caller::new(&Arrival::of(&headers, false, false).from(peer), &Query::parse(query))
    }

    fn kept() -> usize {
        SAID.with(|all| all.borrow().len())
    }

    #[test]
    fn what_many_say_is_kept_once_and_no_longer_than_one_of_them_lives() {
        let one = caller("https://a.example", "client=js&version=8.4.0");
        let crowd: Vec<Caller> =
            (0..1000).map(|_| caller("https://a.example", "client=js&version=8.4.0")).collect();
        assert!(crowd.iter().all(|caller| Rc::ptr_eq(&caller.said, &one.said)));
        let other = caller("https://b.example", "client=js&version=8.4.0");
        assert_eq!(kept(), 2);
        drop(crowd);
        assert_eq!(kept(), 2);
        let Told { peer, origin, client, version } = one.told();
        assert_eq!(format!("{:?}", peer.unwrap()), "127.0.0.1:4711");
        assert_eq!((origin, client, version), (Some("https://a.example"), Some("js"), Some("8.4.0")));
        drop((one, other));
        assert_eq!(kept(), 0);
    }

    #[test]
    fn what_everybody_says_differently_goes_with_them() {
        let crowd: Vec<Caller> =
            (0..10_000).map(|n| caller("https://a.example", &format!("client={n}"))).collect();
        assert_eq!(kept(), 10_000);
        drop(crowd);
        assert_eq!(kept(), 0);
        assert!(SAID.with(|all| all.borrow().capacity()) <= 4 * ROOM);
    }

    #[test]
    fn nobody_is_remembered_by_more_than_the_log_shows() {
        let long = "ä".repeat(60_000);
        let caller = caller(&long, &format!("client={long}&version={}", "x".repeat(VALUE_CHARS)));
        let Told { origin, client, version, .. } = caller.told();
        for value in [origin, client, version] {
            assert_eq!(value.unwrap().chars().count(), VALUE_CHARS);
        }
        assert!(client.unwrap().ends_with('…') && version.unwrap().ends_with('x'));
    }

    #[test]
    fn it_costs_a_connection_no_more_than_the_address_of_a_socket() {
        assert!(size_of::<Caller>() <= size_of::<Option<SocketAddr>>(), "{}", size_of::<Caller>());
    }
}
