//! A WebSocket is asked for as clients do, on the path of the app's key: does the upgrade come through what is between?

use std::time::{Duration, Instant};

use super::check::Check;
use super::finding::{CheckOutcome, Finding};
use super::place::CheckedPlace;
use super::refusal::{JudgedAnswer, StatusReading, read_status, shown_prefix};
use super::stream::{UnheardError, header_of};
use super::visit::Visit;

pub(super) const CHECK: Check = Check {
    name: "upgrade",
    tries: "a WebSocket",
    needs: &["tls"],
    within: Duration::from_secs(15),
    run: |visit| Box::pin(upgrade(visit)),
};

/// What the Swift library offers; Apple's WebSockets take no answer that does not repeat it.
const SUB_PROTOCOL: &str = "pusher-channels-protocol-7";

async fn upgrade(visit: &mut Visit) -> CheckOutcome {
    let url = visit.socket_url();
    let begun = Instant::now();
    let offers =
        [("sec-websocket-protocol", SUB_PROTOCOL), ("sec-websocket-extensions", "permessage-deflate")];
    let tried = format!("a WebSocket at {}/app/{}", visit.sockets.shown_as_socket(), visit.app.key);
    match visit.shake_hands(&url, &[]).await {
        Err(error) => judge_silence(tried, &error).into(),
        Ok(answer) => match answer.socket {
            Err(body) => {
                let body = String::from_utf8_lossy(&body);
                let judged = JudgedAnswer { head: &answer.head, body: &body };
                let elsewhere = elsewhere(visit).await;
                let (came, change) = judge_refusal(&visit.sockets, judged, elsewhere.as_deref());
                Finding::fault(tried, came, change).into()
            }
            Ok(_) => {
                let judged = JudgedAnswer { head: &answer.head, body: "" };
                let mut findings = vec![Finding::ok(
                    tried,
                    format!("{}, in {} ms", judged.shown(), begun.elapsed().as_millis()),
                )];
                if let Ok(answer) = visit.shake_hands(&url, &offers).await {
                    let granted = |name| header_of(&answer.head, name).to_owned();
                    findings.extend(judge_offers(
                        answer.socket.is_ok(),
                        &granted("sec-websocket-protocol"),
                        &granted("sec-websocket-extensions"),
                    ));
                }
                CheckOutcome::holding(findings)
            }
        },
    }
}

/// A path at which a WebSocket is to be had, other than the one that was given.
async fn elsewhere(visit: &Visit) -> Option<String> {
    let prefix = visit.sockets.prefix();
    let app = format!("/app/{}", visit.app.key);
    // Without the prefix, and with the one that the fallbacks have.
    let others = ["", "/pusher"].into_iter().filter(|other| *other != prefix);
    for other in others {
        let url =
            visit.sockets.outright(&format!("{other}{app}"), visit.socket_url().query().unwrap_or_default());
        if visit.shake_hands(&url, &[]).await.is_ok_and(|answer| answer.socket.is_ok()) {
            return Some(if other.is_empty() { "/".to_owned() } else { other.to_owned() });
        }
    }
    None
}

fn judge_silence(tried: String, error: &UnheardError) -> Finding {
    let change = match error {
        UnheardError::Socket(_) => {
            "something answers in the broker's place: see what serves this address, and whether a proxy keeps answers"
        }
        _ => {
            "the way ends between here and the broker: see the error log of the proxy, and whether the broker runs"
        }
    };
    Finding::fault(tried, error.to_string(), change)
}

/// What to do about an upgrade that was answered by HTTP; `elsewhere` is a prefix below which one was to be had.
fn judge_refusal(place: &CheckedPlace, answer: JudgedAnswer<'_>, elsewhere: Option<&str>) -> StatusReading {
    if let Some(other) = elsewhere {
        let change = format!(
            "below {other} there is one: use that address, or have the proxy pass {} on to it",
            shown_prefix(place)
        );
        return (answer.with_sentence(), change);
    }
    // A broker that was asked for a WebSocket answers 426 only if the question did not come as one.
    let is_plain = answer.status() == 426
        || answer.status() == 400 && !answer.is_page() && answer.body.contains("WebSocket");
    if is_plain {
        let change = "the handshake came to the broker as an ordinary request: have the proxy pass it on by HTTP/1.1 with \
                      Upgrade and Connection (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                      proxy_set_header Connection \"upgrade\"), or switch WebSockets on at the CDN or load balancer";
        return (answer.with_sentence(), change.to_owned());
    }
    if let Some(reading) = read_status(place, answer) {
        return reading;
    }
    let change = match answer.status() {
        200..=299 => format!(
            "something else answers there, most likely a website: have the proxy pass {} on to the broker",
            shown_prefix(place)
        ),
        400 => "the proxy does not take the handshake: see its error log, and whether it speaks HTTP/1.1 with clients here"
            .to_owned(),
        404 => format!(
            "the path is none of the broker's: have the proxy pass it on as it comes (in nginx a / behind the address of \
             proxy_pass cuts the location away), and give the address with the prefix that the server has (heliostat: server.path_prefix; Reverb: \
             REVERB_SERVER_PATH; soketi: PATH_PREFIX); here it is {}",
            if place.prefix().is_empty() { "empty" } else { place.prefix() }
        ),
        403 => "something forbids it: see the rules of the proxy, and which origins the app takes".to_owned(),
        500..=599 => "see the logs of the broker and of the proxy: this is an error of one of them".to_owned(),
        _ => "see what answers at this address: a broker would have agreed to it with 101".to_owned(),
    };
    (answer.with_sentence(), change)
}

/// What was granted of a sub-protocol and of compression.
fn judge_offers(is_open: bool, sub_protocol: &str, extensions: &str) -> Vec<Finding> {
    let tried = format!("a WebSocket with the sub-protocol {SUB_PROTOCOL}");
    let change = "the Swift library offers it, and Apple's WebSockets take no answer without it: heliostat and soketi repeat it, and a \
                  proxy before them has to pass Sec-WebSocket-Protocol on, both ways; others, such as \
                  Reverb, repeat none";
    let protocol = if !is_open {
        Finding::warning(tried, "it was refused, and without one it was not", change)
    } else if sub_protocol == SUB_PROTOCOL {
        Finding::ok(tried, "it was repeated, as Apple's WebSockets want it")
    } else {
        Finding::warning(tried, "it was not repeated", change)
    };
    let compressed = extensions.contains("permessage-deflate");
    let compression = Finding::ok(
        "compression of messages",
        if compressed {
            "agreed on (permessage-deflate)"
        } else {
            "not agreed on: the server has it off, or a proxy takes the offer away; everything works without"
        },
    );
    vec![protocol, compression]
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::super::refusal::head;
    use super::*;

    fn judged(status: u16, headers: &[(&str, &str)], body: &str, elsewhere: Option<&str>) -> StatusReading {
        let place = CheckedPlace::read("wss://h/x").unwrap();
        judge_refusal(&place, JudgedAnswer { head: &head(status, headers), body }, elsewhere)
    }

    #[test]
    fn a_refusal_says_what_the_proxy_lost() {
        let html = [("content-type", "text/html")];
        let text = [("content-type", "text/plain")];
        let ours = "Upgrade required: this is a WebSocket endpoint (it came over HTTP/1.0)\n";
        for (status, headers, body, word) in [
            (426, text, ours, "proxy_http_version 1.1"),
            (400, text, "Expected a WebSocket handshake (RFC 6455)", "proxy_http_version 1.1"),
            (400, html, "<h1>400 Bad Request</h1>", "error log"),
            (404, html, "<h1>404</h1>", "location for /x/"),
            (404, text, "Not found: /app/k is no endpoint of this broker", "server.path_prefix"),
            (200, html, "<title>Shop</title>", "website"),
            (502, html, "<h1>502</h1>", "does not reach the broker"),
            (418, text, "", "101"),
        ] {
            let (_, change) = judged(status, &headers, body, None);
            assert!(change.contains(word), "{status}: {change}");
        }
        let (came, change) = judged(404, &text, "no such path", Some("/"));
        assert_eq!(came, "404 Not Found: no such path");
        assert!(change.contains("below / there is one"), "{change}");
    }

    #[test]
    fn a_sub_protocol_has_to_be_repeated_and_compression_need_not_be() {
        let marks = |found: Vec<Finding>| found.iter().map(|one| one.mark).collect::<Vec<_>>();
        assert_eq!(marks(judge_offers(true, SUB_PROTOCOL, "permessage-deflate")), [Mark::Ok, Mark::Ok]);
        assert_eq!(marks(judge_offers(true, "", "")), [Mark::Warning, Mark::Ok]);
        assert_eq!(marks(judge_offers(false, "", "")), [Mark::Warning, Mark::Ok]);
    }
}
