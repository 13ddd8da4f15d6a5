//! What an HTTP status means that is not the broker's own answer but that of something on the way to it.

use super::place::CheckedPlace;
use super::stream::header_of;
use crate::cli::remote::{sentence_of, told_status};
use hyper::http::response;

/// What came and what to change, of an answer that says the same whatever was asked for.
pub(super) type StatusReading = (String, String);

/// An answer as it is judged: its head, and its body as text.
#[derive(Clone, Copy)]
pub(super) struct JudgedAnswer<'a> {
    pub(super) head: &'a response::Parts,
    pub(super) body: &'a str,
}

impl JudgedAnswer<'_> {
    /// The status, or the one that is told in the place of that of a success.
    pub(super) fn status(&self) -> u16 {
        told_status(self.head.status.as_u16(), self.body)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        header_of(self.head, name)
    }

    /// Status and who answered: "404 Not Found by nginx/1.24.0".
    pub(super) fn shown(&self) -> String {
        let (sent, told) = (self.head.status.as_u16(), self.status());
        let reason = self.head.status.canonical_reason().unwrap_or_default();
        let status = format!("{sent} {reason}");
        let code = if told == sent { String::new() } else { format!(" with the code {told}") };
        let by = match self.header("server") {
            "" => String::new(),
            server => format!(" by {server}"),
        };
        format!("{}{code}{by}", status.trim_end())
    }

    /// Whether it is a page for people, as proxies write it; brokers answer in plain text or JSON.
    pub(super) fn is_page(&self) -> bool {
        self.header("content-type").contains("html") || self.body.trim_start().starts_with('<')
    }

    /// The same with the sentence of the body, if there is one.
    pub(super) fn with_sentence(&self) -> String {
        let sentence = sentence_of(self.body);
        if sentence.is_empty() || self.is_page() {
            return self.shown();
        }
        format!("{}: {sentence}", self.shown())
    }
}

/// What an answer means that comes from a proxy, or from something else that is no broker.
pub(super) fn read_status(place: &CheckedPlace, answer: JudgedAnswer<'_>) -> Option<StatusReading> {
    let shown = answer.shown();
    let change = match answer.status() {
        301 | 302 | 303 | 307 | 308 => {
            let location = answer.header("location");
            return Some((
                format!("{shown}, to {location}"),
                "neither WebSockets nor signed requests follow redirects: use the address that it leads to, or exempt the \
                 broker's paths (/app/, /apps/, /pusher/) from the redirect"
                    .to_owned(),
            ));
        }
        401 if !answer.header("www-authenticate").is_empty() => {
            "the proxy asks for a password, which no client has: exempt the broker's paths from it (auth_basic off)"
                .to_owned()
        }
        407 => "a proxy of this network asks for a password: examine from another network".to_owned(),
        403 if answer.is_page() => {
            "the proxy forbids it: see its deny and allow rules, and those of a web application firewall".to_owned()
        }
        404 if answer.is_page() => format!(
            "the proxy does not pass this path on: give the broker a location for {}",
            shown_prefix(place)
        ),
        405 if answer.is_page() => "the proxy takes no such method there: see its rules".to_owned(),
        413 if answer.is_page() => {
            "the proxy takes no body of this size: raise its limit (nginx: client_max_body_size; Caddy: request_body \
             max_size)"
                .to_owned()
        }
        429 => "something counts requests and has had enough of this address: wait a minute; if it comes back, see the limits \
                of the proxy and server.max_refusals_per_address_per_minute"
            .to_owned(),
        502 => "the proxy does not reach the broker: see whether it runs, and whether the proxy has its right address and \
                port and speaks plain HTTP or TLS as the broker does; within a container 127.0.0.1 is the container itself"
            .to_owned(),
        503 if answer.body.contains("shutting down") => {
            "the broker is about to end: wait for the next one".to_owned()
        }
        503 => "nothing is there behind the proxy that it thinks alive: see the broker, and the proxy's health checks (they \
                may ask /health and /ready)"
            .to_owned(),
        504 => "the proxy waits for the broker in vain: see whether it hangs, and whether a firewall is between the two"
            .to_owned(),
        520..=527 => "the CDN does not get on with the server behind it: ask that one directly, by its own address, to see \
                      what is wrong with it"
            .to_owned(),
        _ => return None,
    };
    Some((shown, change))
}

/// The paths of the broker as a proxy's configuration has them.
pub(super) fn shown_prefix(place: &CheckedPlace) -> String {
    match place.prefix() {
        "" => "/app/ and /apps/ (and /pusher/ for the fallbacks)".to_owned(),
        prefix => format!("{prefix}/"),
    }
}

/// The head of an answer with these headers.
#[cfg(test)]
pub(super) fn head(status: u16, headers: &[(&str, &str)]) -> response::Parts {
    let mut answer = hyper::Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(()).unwrap().into_parts().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proxies_answer_is_known() {
        let place = CheckedPlace::read("https://h/x").unwrap();
        let read = |status, headers: &[(&str, &str)], body| {
            read_status(&place, JudgedAnswer { head: &head(status, headers), body })
        };
        let page = "<html>no</html>";
        for (status, body, word) in [
            (404, page, "location for /x/"),
            (403, page, "forbids"),
            (413, page, "client_max_body_size"),
            (502, page, "does not reach"),
            (503, page, "health checks"),
            (503, "The broker is shutting down\n", "about to end"),
            (504, page, "in vain"),
            (521, page, "CDN"),
            (429, page, "counts"),
        ] {
            let (came, change) = read(status, &[("server", "nginx/1.24.0")], body).unwrap();
            assert!(came.ends_with("by nginx/1.24.0") && change.contains(word), "{came}: {change}");
        }
        let (came, _) = read(301, &[("location", "https://h/x/app/k")], "").unwrap();
        assert_eq!(came, "301 Moved Permanently, to https://h/x/app/k");
        // What the broker says itself is its own affair.
        assert_eq!(read(404, &[], "Not found: /x is no endpoint of this broker\n"), None);
        assert_eq!(read(401, &[], "Invalid signature"), None);
        assert!(read(401, &[("www-authenticate", "Basic")], page).is_some());
    }

    #[test]
    fn an_answer_is_shown_with_its_sentence_unless_it_is_a_page() {
        let shown = |body| JudgedAnswer { head: &head(401, &[]), body }.with_sentence();
        assert_eq!(shown("Invalid signature\n"), "401 Unauthorized: Invalid signature");
        assert_eq!(shown("<h1>401</h1>"), "401 Unauthorized");
        // Reverb where nobody is subscribed; soketi, which refuses with the status of a success.
        assert_eq!(shown("{}"), "401 Unauthorized");
        let body = "{\"error\":\"The secret authentication failed\",\"code\":401}";
        let answer = JudgedAnswer { head: &head(200, &[]), body };
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.with_sentence(), "200 OK with the code 401: The secret authentication failed");
    }
}
