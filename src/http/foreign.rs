//! Tells requests that were sent for pages of other sites, or that came by a proxy, by what no page and no stranger can
//! choose: browsers set `Host`, `Origin` and `Sec-Fetch-Site` themselves.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use url::Url;

use super::host::{host, is_authority};

/// Headers in which proxies name the client, beside the standard ones.
const CLIENT_HEADERS: [&str; 4] = ["x-real-ip", "true-client-ip", "cf-connecting-ip", "x-client-ip"];

/// The name of a header that only proxies add. Not every proxy adds one: this is one lock of several.
pub(crate) fn proxied(headers: &HeaderMap) -> Option<String> {
    let adds = |name: &str| {
        name == "forwarded"
            || name == "via"
            || name.starts_with("x-forwarded-")
            || CLIENT_HEADERS.contains(&name)
    };
    headers.keys().map(|name| name.as_str()).find(|name| adds(name)).map(str::to_owned)
}

/// The origin that asks, if it is not one of the host that is asked, nor of one that is `admitted`: those have a host, with
/// or without a port. `null`, what browsers send for files and sandboxed frames, is anybody's. Without an `Origin`, which
/// browsers leave out where the page cannot read the answer, `Referer` and `Sec-Fetch-Site` tell of another site's page.
pub(crate) fn foreign_origin(headers: &HeaderMap, admitted: impl Fn(&str) -> bool) -> Option<String> {
    let own = host(headers).to_ascii_lowercase();
    let foreign = |page: &HeaderValue| {
        let text = String::from_utf8_lossy(page.as_bytes()).to_ascii_lowercase();
        (!is_page_of(&text, |host| host == own || admitted(host))).then_some(text)
    };
    if headers.contains_key(header::ORIGIN) {
        return headers.get_all(header::ORIGIN).find_map(foreign);
    }
    let referring = |page: &HeaderValue| {
        let page = String::from_utf8_lossy(page.as_bytes());
        let origin = Url::parse(&page).ok().map(|page| page.origin().ascii_serialization());
        HeaderValue::try_from(origin.as_deref().unwrap_or(&page)).ok().and_then(|origin| foreign(&origin))
    };
    let cross_site = |site: &HeaderValue| {
        site.as_bytes().eq_ignore_ascii_case(b"cross-site").then(|| "another site".to_owned())
    };
    let referrer = headers.get_all(header::REFERER).find_map(referring);
    referrer.or_else(|| headers.get_all("sec-fetch-site").find_map(cross_site))
}

/// Whether a text is an origin, a scheme and an authority without anything else, of a page of such a host.
fn is_page_of(origin: &str, is_meant: impl Fn(&str) -> bool) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    is_authority(authority) && is_meant(authority)
}
