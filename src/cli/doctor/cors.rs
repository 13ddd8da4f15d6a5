//! Whether pages of other sites may use the HTTP fallbacks: what a browser asks before, and looks for in each answer (CORS).

use std::time::Duration;

use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, HeaderMap, HeaderName,
    ORIGIN,
};

use super::check::Check;
use super::finding::{CheckOutcome, Finding};
use super::stream::{HeardAnswer, UnheardError};
use super::visit::Visit;

pub(super) const CHECK: Check = Check {
    name: "CORS",
    tries: "asking the fallbacks for a page of another site",
    needs: &["fallbacks"],
    within: Duration::from_secs(30),
    run: |visit| Box::pin(ask_for_a_page(visit)),
};

/// A page that is nobody's, where none was named.
const SOME_PAGE: &str = "https://page.invalid";

/// What a browser asks for a page, and what it needs of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BrowserRequest {
    /// Whether a message may be sent with a media type of its own.
    Preflight,
    /// A poll, without cookies.
    Poll,
    /// What SockJS asks first, which it does with cookies.
    Info,
}

impl BrowserRequest {
    const ALL: [BrowserRequest; 3] = [BrowserRequest::Preflight, BrowserRequest::Poll, BrowserRequest::Info];

    fn method(self) -> &'static str {
        match self {
            BrowserRequest::Preflight => "OPTIONS",
            BrowserRequest::Poll => "POST",
            BrowserRequest::Info => "GET",
        }
    }

    fn words(self) -> &'static str {
        match self {
            BrowserRequest::Preflight => "whether a page may poll (OPTIONS …/xhr)",
            BrowserRequest::Poll => "a poll of a page (POST …/xhr)",
            BrowserRequest::Info => "what SockJS asks first (GET …/info)",
        }
    }
}

async fn ask_for_a_page(visit: &Visit) -> CheckOutcome {
    // There is nothing to ask for.
    if !visit.has_fallbacks {
        return CheckOutcome::holding(Vec::new());
    }
    let origin = visit.origin.as_deref().unwrap_or(SOME_PAGE);
    let session = format!("{}/d{:07x}", rand::random::<u16>() % 1000, rand::random::<u32>() >> 4);
    let poll = visit.sockets.at(
        &format!("/pusher/app/{}/{session}/xhr", visit.app.key),
        concat!("protocol=7&client=heliostat-doctor&t=1&n=1&version=", env!("CARGO_PKG_VERSION")),
    );
    let mut findings = Vec::new();
    for asked in BrowserRequest::ALL {
        let mut headers = vec![(ORIGIN.as_str(), origin)];
        let url = match asked {
            BrowserRequest::Preflight => {
                headers.push((ACCESS_CONTROL_REQUEST_METHOD.as_str(), "POST"));
                headers.push((ACCESS_CONTROL_REQUEST_HEADERS.as_str(), "content-type"));
                poll.clone()
            }
            BrowserRequest::Poll => {
                headers.push((CONTENT_TYPE.as_str(), "application/json"));
                poll.clone()
            }
            BrowserRequest::Info => visit.sockets.at("/pusher/info", ""),
        };
        let heard = visit.ask(&visit.sockets, asked.method(), &url, &headers, "").await;
        findings.push(judge(asked, origin, heard));
    }
    if findings.iter().all(|finding| finding.change.is_none()) {
        let tried =
            format!("a page of {origin}, which asks whether it may poll, polls, and asks for SockJS's info");
        findings = vec![Finding::ok(tried, "it may, and may read the answers")];
    }
    CheckOutcome::holding(findings)
}

fn judge(asked: BrowserRequest, origin: &str, heard: Result<HeardAnswer, UnheardError>) -> Finding {
    let tried = format!("{}, for {origin}", asked.words());
    match heard {
        Err(error) => Finding::fault(tried, error.to_string(), "see the log of the proxy: it did not answer"),
        Ok(answer) => match objection(asked, origin, answer.status(), &answer.head.headers) {
            None => Finding::ok(tried, answer.status().to_string()),
            Some((came, change)) => Finding::fault(tried, came, change),
        },
    }
}

/// What a browser minds, and what to change.
fn objection(
    asked: BrowserRequest,
    origin: &str,
    status: u16,
    headers: &HeaderMap,
) -> Option<(String, &'static str)> {
    if !(200..300).contains(&status) {
        let change = match asked {
            BrowserRequest::Preflight => "have the proxy pass OPTIONS on to the broker, which answers it",
            BrowserRequest::Poll | BrowserRequest::Info => {
                "have the proxy pass /pusher/ on to the broker unchanged"
            }
        };
        return Some((format!("{status}, which a browser takes for a no"), change));
    }
    let allowed = values(headers, &ACCESS_CONTROL_ALLOW_ORIGIN);
    match allowed.as_slice() {
        [] => {
            return Some((
                "no Access-Control-Allow-Origin: the browser keeps the answer from the page".to_owned(),
                "have the proxy leave the broker's Access-Control- headers in: nginx no `proxy_hide_header`, HAProxy no \
                 `http-response del-header`, Caddy no `header_down -Access-Control-*`",
            ));
        }
        [one] if one == origin || one == "*" => {}
        [other] => {
            return Some((
                format!("Access-Control-Allow-Origin: {other}, which is another site"),
                "have the proxy leave the broker's Access-Control-Allow-Origin as it is",
            ));
        }
        several => {
            return Some((
                format!(
                    "Access-Control-Allow-Origin twice ({}): browsers take no answer that has two",
                    several.join(" and ")
                ),
                "have the proxy add no Access-Control- headers, as the broker has its own: nginx no `add_header`, HAProxy no \
                 `http-response add-header`, Caddy no `header`",
            ));
        }
    }
    let allowed_headers = values(headers, &ACCESS_CONTROL_ALLOW_HEADERS).join(",").to_ascii_lowercase();
    let is_allowed = allowed_headers.split(',').any(|name| ["content-type", "*"].contains(&name.trim()));
    if asked == BrowserRequest::Preflight && !is_allowed {
        return Some((
            format!(
                "Access-Control-Allow-Headers: {allowed_headers}, without content-type, which pusher-js sends"
            ),
            "have the proxy leave the broker's Access-Control-Allow-Headers as it is",
        ));
    }
    let takes_cookies = values(headers, &ACCESS_CONTROL_ALLOW_CREDENTIALS) == ["true"] && allowed != ["*"];
    if asked == BrowserRequest::Info && !takes_cookies {
        return Some((
            "no Access-Control-Allow-Credentials for this very origin, without which SockJS cannot read it"
                .to_owned(),
            "have the proxy leave the broker's Access-Control- headers as they are",
        ));
    }
    None
}

fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const PAGE: &str = "https://a.example";

    fn minded(asked: BrowserRequest, status: u16, headers: &[(&str, &str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        objection(asked, PAGE, status, &map).map(|(came, _)| came)
    }

    #[test]
    fn a_browser_minds_what_keeps_a_page_from_an_answer() {
        let origin = ("access-control-allow-origin", PAGE);
        let any = ("access-control-allow-origin", "*");
        let cookies = ("access-control-allow-credentials", "true");
        let names = ("access-control-allow-headers", "X-A, Content-Type");
        let [before, poll, info] = BrowserRequest::ALL;
        for (asked, status, headers, objection) in [
            (before, 204, &[origin, names][..], None),
            (before, 200, &[any, names], None),
            (before, 405, &[origin, names], Some("405")),
            (before, 204, &[origin], Some("without content-type")),
            (before, 204, &[origin, ("access-control-allow-headers", "x-a")], Some("without content-type")),
            (poll, 200, &[origin], None),
            (poll, 200, &[any], None),
            (poll, 200, &[], Some("no Access-Control-Allow-Origin")),
            (poll, 200, &[("access-control-allow-origin", "https://b.example")], Some("another site")),
            (poll, 200, &[origin, any], Some("twice (https://a.example and *)")),
            (info, 200, &[origin, cookies], None),
            (info, 200, &[any, cookies], Some("Allow-Credentials")),
            (info, 200, &[origin], Some("Allow-Credentials")),
        ] {
            let came = minded(asked, status, headers);
            match objection {
                None => assert_eq!(came, None, "{asked:?} {headers:?}"),
                Some(words) => {
                    assert!(came.as_ref().is_some_and(|came| came.contains(words)), "{asked:?} {came:?}")
                }
            }
        }
    }
}
