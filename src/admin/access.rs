//! Who may ask the admin listener for what: under which host name, for which pages, and with which credentials.
//!
//! On a loopback address figures are open to whoever is on this machine. But pages of other sites can send requests there,
//! under a name of theirs if they have it resolved to this address, and so can whoever reaches a proxy on this machine. So
//! the name that is asked for and the way that the request came are looked at first.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tracing::warn;

use super::session::ConsoleSessions;
use super::{AdminConfig, AdminError};
use crate::app::Secret;
use crate::auth::is_secret;
use crate::auth::request::Query;
use crate::http::{
    Arrival, ListenerSettings, foreign_origin, host, names_this_machine, proxied, split_host, unix_seconds,
};
use crate::hub::{AddressGroup, RefusedAddresses, RefusedTooOften};
use crate::net::{ConnectionPeers, ListenHost, TrustedProxies, peer_field};

/// What a path belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    /// Figures and the state of the node.
    Figures,
    /// What changes something, or shows what is secret.
    Control,
    /// The same in a browser: the console's pages and what they ask for. A cookie does there, and the token as the password
    /// that a browser asks its user for.
    Console,
}

/// Who may ask.
#[derive(Debug)]
pub(crate) struct Access {
    address: ListenHost,
    hostnames: Vec<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    /// Drawn at the start because there is neither. It may come in a link, too.
    drawn: Option<Secret>,
    /// Apart from those of clients, whose refusals are no reason to shut an operator out.
    refused_addresses: Arc<RefusedAddresses>,
    /// Whose word on the client counts.
    listener: ListenerSettings,
    sessions: ConsoleSessions,
}

/// Wrong credentials that may be shown from one address in a minute where the configuration does not say.
const GUESSES: usize = 100;

/// Who asks, where that is bounded.
struct Caller {
    arrival: Arrival,
    counted_as: Option<AddressGroup>,
    /// Whether all that counts as this is one client, so that none is shut out by what another does.
    is_alone: bool,
}

impl Access {
    /// As it is configured; where nothing is, the token is `draw`n.
    pub(crate) fn new(config: &AdminConfig, draw: impl FnOnce() -> String) -> Self {
        let AdminConfig { host, password, token, hostnames, .. } = config;
        let is_configured = password.is_some() || token.is_some();
        Access {
            address: *host,
            hostnames: hostnames.clone(),
            password: password.clone(),
            token: token.clone(),
            drawn: (!is_configured).then(|| Secret::new(draw())),
            refused_addresses: Arc::default(),
            listener: ListenerSettings::default(),
            sessions: ConsoleSessions::new(rand::random()),
        }
    }

    /// How many wrong credentials may be shown from one address in a minute, if the configuration says so many; 0 stands
    /// for no word.
    pub(crate) fn guesses(configured: usize) -> usize {
        if configured == 0 { GUESSES } else { configured }
    }

    /// The same, if guesses are counted here, by the addresses that these proxies tell.
    pub(crate) fn counting(
        self,
        refused_addresses: Arc<RefusedAddresses>,
        trusted_proxies: Arc<TrustedProxies>,
    ) -> Self {
        let listener = ListenerSettings { trusted_proxies, ..self.listener };
        Access { refused_addresses, listener, ..self }
    }

    /// The token that was drawn.
    pub(crate) fn drawn_token(&self) -> Option<&str> {
        self.drawn.as_ref().map(Secret::text)
    }

    /// Whether the password would do.
    pub(super) fn takes_a_password(&self) -> bool {
        self.password.is_some()
    }

    /// Whether a request may be answered.
    ///
    /// # Errors
    /// With what speaks against it.
    pub(super) fn check(&self, request: &HttpRequest, area: Area) -> Result<(), AdminError> {
        let headers = request.headers();
        let asked = host(headers);
        if !self.is_own(asked) {
            return Err(AdminError::ForeignHost(asked.to_owned()));
        }
        if area != Area::Figures
            && !(area == Area::Console && is_link_of_this_machine(request))
            && let Some(origin) = foreign_page(headers)
        {
            return Err(AdminError::ForeignOrigin(origin));
        }
        let is_local = self.address.is_loopback() && proxied(headers).is_none();
        if area == Area::Figures && is_local {
            return Ok(());
        }
        if area == Area::Console && self.sessions.is_shown(headers, unix_seconds()) {
            return Ok(());
        }
        if !self.refused_addresses.is_bounded() {
            return self.check_credentials(request, area);
        }
        let (caller, now) = (self.caller(request), Instant::now());
        if caller.is_alone {
            // Not even the right ones are looked at, or guesses would cost nothing.
            self.refused_addresses.check(caller.counted_as, now)?;
        }
        let checked = self.check_credentials(request, area);
        if checked == Err(AdminError::WrongCredentials) {
            self.refused_addresses.check(caller.counted_as, now)?;
            self.count_guess(&caller, now);
        }
        checked
    }

    /// Who asks. Of a proxy that is not trusted nobody knows for whom it speaks: so all that it brings count together, and
    /// only their guesses are refused, or one of them would shut out the others. The same holds for a trusted one that names
    /// nobody.
    fn caller(&self, request: &HttpRequest) -> Caller {
        let peer = request.peer_addr();
        let arrival = Arrival::of(request.headers(), &self.listener, ConnectionPeers::direct(peer));
        let is_named = arrival.proxy.is_some() && arrival.counted_as.is_some_and(|group| !group.is_behind());
        let (counted_as, is_alone) = if is_named {
            (arrival.counted_as, true)
        } else if proxied(request.headers()).is_some() {
            (Some(AddressGroup::behind(peer.map(|peer| peer.ip()))), false)
        } else {
            (peer.map(|peer| AddressGroup::of(peer.ip())), !self.listener.trusted_proxies.trusts(peer))
        };
        Caller { arrival, counted_as, is_alone }
    }

    /// Wrong credentials were shown. The log hears when that is once too often.
    fn count_guess(&self, caller: &Caller, now: Instant) {
        let Caller { arrival, counted_as, is_alone } = caller;
        if let Some(RefusedTooOften { seconds }) = self.refused_addresses.add(*counted_as, now) {
            let (peer, proxy) = (peer_field(arrival.peer), arrival.proxy());
            let what = if *is_alone {
                "refused too often: nothing more from this address is looked at by the admin listener for a while"
            } else {
                "refused too often: wrong credentials for the admin listener that come by this proxy are not told of for a \
                 while; server.trusted_proxies has them counted by client"
            };
            warn!(peer, proxy, seconds, "{what}");
        }
    }

    /// Whether a host, with or without a port, is a name of this listener: nobody can have one of these resolved to its
    /// address so that a page of his counts as one of it.
    fn is_own(&self, asked: &str) -> bool {
        if names_this_machine(asked) {
            return true;
        }
        let (name, _) = split_host(asked);
        if self.hostnames.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return true;
        }
        // A loopback address was recognised above.
        let ListenHost::Address(own) = self.address else { return false };
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|address| own.is_unspecified() || address.to_canonical() == own.to_canonical())
    }

    /// A cookie for a request that was let in by its credentials: what stands in for them from then on. `None` where it came
    /// with one.
    pub(super) fn begin_session(&self, request: &HttpRequest) -> Option<HeaderValue> {
        let now = unix_seconds();
        if self.sessions.is_shown(request.headers(), now) { None } else { self.sessions.begin(now) }
    }

    fn check_credentials(&self, request: &HttpRequest, area: Area) -> Result<(), AdminError> {
        let shown = |shown: &[u8], secret: &Option<Secret>| {
            secret.as_ref().is_some_and(|secret| is_secret(shown, secret.text().as_bytes()))
        };
        let query = Query::parse(request.query_string());
        let linked = query.get("token").filter(|_| self.drawn.is_some());
        let given = request.headers().get(header::AUTHORIZATION);
        let is_right = match given.map(|given| credentials(given.as_bytes())) {
            Some(Some(ShownCredentials::Bearer(token))) => {
                shown(token, &self.token) || shown(token, &self.drawn)
            }
            Some(Some(ShownCredentials::Basic { user, password })) => {
                // Both are looked at, whatever the first is.
                let is_user = user == AdminConfig::USER.as_bytes();
                let is_token = shown(&password, &self.token) || shown(&password, &self.drawn);
                let is_password = shown(&password, &self.password) || (is_token && area == Area::Console);
                is_password && is_user
            }
            Some(None) => false,
            None => match linked {
                Some(token) => shown(token.as_bytes(), &self.drawn),
                None => return Err(AdminError::NoCredentials),
            },
        };
        if is_right { Ok(()) } else { Err(AdminError::WrongCredentials) }
    }
}

/// What an `Authorization` header shows.
#[derive(Debug, PartialEq, Eq)]
enum ShownCredentials<'h> {
    Bearer(&'h [u8]),
    Basic { user: Vec<u8>, password: Vec<u8> },
}

fn credentials(header: &[u8]) -> Option<ShownCredentials<'_>> {
    let space = header.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&header[..space], header[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(ShownCredentials::Bearer(rest));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(ShownCredentials::Basic { user: decoded[..colon].to_vec(), password: decoded[colon + 1..].to_vec() })
}

/// Whether somebody follows a link to the console's page from a page of this machine, as that of development mode: whatever
/// else is asked for is asked for by the console's own page.
fn is_link_of_this_machine(request: &HttpRequest) -> bool {
    let is = |name: &str, expected: &[u8]| {
        let mut values = request.headers().get_all(name);
        values.next().is_some_and(|value| value.as_bytes() == expected) && values.next().is_none()
    };
    let is_page = matches!(request.path(), "/console" | "/console/") && request.method() == Method::GET;
    // With a query it would show credentials, and wrong ones count.
    is_page
        && request.query_string().is_empty()
        && is("sec-fetch-site", b"same-site")
        && is("sec-fetch-mode", b"navigate")
        && is("sec-fetch-dest", b"document")
        && !request.headers().contains_key(header::ORIGIN)
}

/// The page that asks, if it is any but one of this listener: not even one of another port of this machine.
fn foreign_page(headers: &HeaderMap) -> Option<String> {
    let is_other_site = |site: &[u8]| !["same-origin", "none"].iter().any(|own| own.as_bytes() == site);
    let sites = headers.get_all("sec-fetch-site");
    let other = sites.map(|site| site.as_bytes().to_ascii_lowercase()).find(|site| is_other_site(site));
    let other = other.map(|_| "another site".to_owned());
    foreign_origin(headers, |_| false).or(other)
}

#[cfg(test)]
mod tests;
