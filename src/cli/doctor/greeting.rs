//! What the server says first to a client with this key, and what it closes the connection with if it does not let it in.

use std::time::{Duration, Instant};

use super::check::Check;
use super::conversation::{ClientConversation, HeardGreeting, HeardNext, read_greeting};
use super::finding::{CheckOutcome, Finding};
use super::place::CheckedPlace;
use super::stream::UnheardError;
use super::visit::Visit;

pub(super) const CHECK: Check = Check {
    name: "greeting",
    tries: "the server's first words to a client with this key",
    needs: &["upgrade"],
    within: Duration::from_secs(20),
    run: |visit| Box::pin(greet(visit)),
};

/// How long the first word may take. Clients wait for some 10 s at the most.
const GREETING_TIMEOUT: Duration = Duration::from_secs(8);

async fn greet(visit: &mut Visit) -> CheckOutcome {
    let begun = Instant::now();
    let heard = come_in(visit).await;
    let (mut finding, mut greeting) = judge(&visit.sockets, &heard, begun.elapsed());
    // Some apps let nobody in who names no page: then clients are as those of the page that was named.
    if visit.origin.is_some() && wants_a_page(&heard) {
        visit.names_page = true;
        let as_page = come_in(visit).await;
        let (second, as_page) = judge(&visit.sockets, &as_page, begun.elapsed());
        if as_page.is_some() {
            let page = visit.origin.as_deref().unwrap_or_default();
            finding = Finding::ok(
                "the server's first words",
                format!("a client that names no page is not let in; as one of {page}: {}", second.came),
            );
            greeting = as_page;
        } else {
            visit.names_page = false;
        }
    }
    visit.greeted_in = greeting.is_some().then(|| begun.elapsed());
    visit.greeting = greeting;
    finding.into()
}

async fn come_in(visit: &Visit) -> Result<HeardNext, UnheardError> {
    first_word(&mut visit.converse().await?).await
}

/// Whether the server minds that the client named no page.
fn wants_a_page(heard: &Result<HeardNext, UnheardError>) -> bool {
    let minds =
        |code: Option<u16>, reason: &str| code == Some(4009) && reason.to_lowercase().contains("origin");
    match heard {
        Ok(HeardNext::Event(event)) => minds(event.code(), &event.sentence()),
        Ok(HeardNext::Closed(Some((code, reason)))) => minds(Some(*code), reason),
        _ => false,
    }
}

/// The first that comes, but for pings.
///
/// # Errors
/// If the connection fails, or nothing comes in time.
pub(super) async fn first_word(conversation: &mut ClientConversation) -> Result<HeardNext, UnheardError> {
    let heard = async {
        loop {
            match conversation.hear().await? {
                HeardNext::Ping => {}
                other => return Ok(other),
            }
        }
    };
    let late = Err(UnheardError::Timeout(GREETING_TIMEOUT));
    tokio::time::timeout(GREETING_TIMEOUT, heard).await.unwrap_or(late)
}

/// What to think of the first word, and the greeting if it is one.
fn judge(
    place: &CheckedPlace,
    heard: &Result<HeardNext, UnheardError>,
    took: Duration,
) -> (Finding, Option<HeardGreeting>) {
    let tried = "the server's first words";
    let refused = |how: &str, code: u16, reason: &str| {
        let came = format!("{how} {code}: {reason}");
        (Finding::fault(tried, came, what_code_wants(place, code, reason)), None)
    };
    match heard {
        Ok(HeardNext::Event(event)) => {
            if let Some(greeting) = read_greeting(event) {
                return (judge_greeting(tried, &greeting, took), Some(greeting));
            }
            if event.event == "pusher:error" {
                let message = event.sentence();
                return event.code().map_or_else(
                    || (Finding::fault(tried, format!("pusher:error: {message}"), SEE_THE_LOG), None),
                    |code| refused("pusher:error", code, &message),
                );
            }
            if event.is_greeting() {
                let came = format!("a greeting without a socket id: {}", event.data);
                return (Finding::fault(tried, came, "this is an error of the server"), None);
            }
            let came = format!("{} instead of pusher:connection_established", event.event);
            (Finding::fault(tried, came, another_server()), None)
        }
        Ok(HeardNext::Closed(Some((code, reason)))) => {
            refused("it closed the connection with", *code, reason)
        }
        Ok(HeardNext::Closed(None) | HeardNext::Ended) => {
            let change = "see whether an app there has this key and is not switched off, as Sockudo ends it so otherwise; see the \
                          logs of the proxy and the broker: a proxy that knows nothing of WebSockets behind its 101 does this, and so \
                          do some firewalls";
            (Finding::fault(tried, "the connection ended before any came", change), None)
        }
        Ok(HeardNext::Gibberish(text)) => {
            (Finding::fault(tried, format!("no event of Pusher Channels: {text:?}"), another_server()), None)
        }
        // Pings were passed over.
        Ok(HeardNext::Ping) => (Finding::fault(tried, "nothing but pings", another_server()), None),
        Err(error) => {
            let change = "the upgrade came through and what follows does not: see whether the proxy keeps back what the broker \
                          sends, and whether the broker is overloaded";
            (Finding::fault(tried, error.to_string(), change), None)
        }
    }
}

fn another_server() -> &'static str {
    "another WebSocket server answers there: see where the proxy passes this path to"
}

fn judge_greeting(tried: &str, greeting: &HeardGreeting, took: Duration) -> Finding {
    let HeardGreeting { socket_id, activity_timeout, mistyped } = greeting;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !socket_id.split_once('.').is_some_and(|(one, other)| digits(one) && digits(other)) {
        let change = "server libraries sign nothing for it, they want digits, a dot and digits: this is an error of the server";
        return Finding::fault(tried, format!("the socket id is {socket_id:?}"), change);
    }
    let millis = took.as_millis();
    let Some(seconds) = activity_timeout.filter(|seconds| *seconds > 0) else {
        let change = "pusher-js gives up on such a greeting, which is that of old protocols: have the proxy pass the query \
                      on as it comes, which asks for the newest (?protocol=7&…); otherwise it is an error of the server";
        let instead =
            if mistyped.is_empty() { String::new() } else { format!(", but {}", mistyped.join(", ")) };
        return Finding::fault(tried, format!("the greeting has no activity_timeout{instead}"), change);
    };
    let came = format!(
        "it knows the key and let the client in after {millis} ms, as {socket_id}; clients ping after {seconds} s of silence"
    );
    if mistyped.is_empty() {
        return Finding::ok(tried, came);
    }
    let change = "clients in typed languages do not read such a greeting, in which socket_id is a text and activity_timeout a \
                  number: this is an error of the server";
    Finding::warning(
        tried,
        format!("{came}; of another type than the protocol's: {}", mistyped.join(", ")),
        change,
    )
}

const SEE_THE_LOG: &str = "see the log of the server, which says why";

/// What to do about a code that a connection was closed with.
pub(super) fn what_code_wants(place: &CheckedPlace, code: u16, reason: &str) -> String {
    let prefix = if place.prefix().is_empty() { "none" } else { place.prefix() };
    match code {
        1001 | 4200 => "the server was about to end, or wants clients to come again: try again".to_owned(),
        1006 | 1011 => "the server has failed: see its log".to_owned(),
        4000 => "the app takes TLS only, and the broker does not know that this came by TLS: have the proxy send \
                 X-Forwarded-Proto: https, and name the proxy in server.trusted_proxies; or use wss://"
            .to_owned(),
        4001 => "no app there has this key: compare it with that of the server's configuration (it is the key, not the id and \
                 not the secret, without spaces); if it is the same, this address leads to another server, or to one that has \
                 not read its configuration again"
            .to_owned(),
        4003 => "the app is switched off: switch it on (of heliostat: heliostat apps enable ID)".to_owned(),
        4004 => "the app has all the connections that it may have: raise its limit (heliostat: limits.connections; Reverb: \
                 max_connections), or see who holds them (of heliostat: heliostat connections)"
            .to_owned(),
        4005 => match expected_and_got(reason) {
            Some((expected, got)) => format!(
                "the broker serves {expected}, and {got} came to it: give the address with the prefix that it wants; if a proxy \
                 is between, have it pass the path on as it comes, and let server.path_prefix be what comes"
            ),
            None => format!(
                "the path that came to the broker is none of its own: have the proxy pass /app/… on as it comes, and let \
                 server.path_prefix be what comes before it there (in nginx a / behind the address of proxy_pass cuts the \
                 location away); in the address given here it is {prefix}"
            ),
        },
        4006..=4008 => {
            "the proxy has changed or lost the query of the address: have it pass ?protocol=7&… on as it comes".to_owned()
        }
        4009 if reason.to_lowercase().contains("origin") => {
            "the app names the origins that it takes, and this came with none or another: give the page that clients are on by \
             --origin, and see the list of the app (heliostat, Reverb: allowed_origins)"
                .to_owned()
        }
        4009 => "the app wants connections to sign in: that is for its clients to do".to_owned(),
        4100 => "the server or the app has no room (soketi: maxConnections), or the server has refused this address too often \
                 (heliostat: server.max_connections, server.max_connections_per_address, \
                 server.max_refusals_per_address_per_minute): wait a minute; if it is the address of the proxy that counts, name it \
                 in server.trusted_proxies"
            .to_owned(),
        _ => SEE_THE_LOG.to_owned(),
    }
}

/// The path that heliostat wants and the one that came, as it tells them.
fn expected_and_got(reason: &str) -> Option<(&str, &str)> {
    let (_, rest) = reason.split_once("expected ")?;
    rest.split_once(", got ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::conversation::read_event;
    use super::super::finding::Mark;
    use super::*;

    fn judged(heard: HeardNext) -> (Finding, Option<HeardGreeting>) {
        judge(&CheckedPlace::read("wss://h/x").unwrap(), &Ok(heard), Duration::from_millis(5))
    }

    fn event(name: &str, data: serde_json::Value) -> HeardNext {
        HeardNext::Event(read_event(&json!({ "event": name, "data": data }).to_string()).unwrap())
    }

    #[test]
    fn a_greeting_is_kept_if_clients_can_use_it() {
        let established = "pusher:connection_established";
        let (finding, greeting) =
            judged(event(established, json!({ "socket_id": "1.2", "activity_timeout": 120 })));
        assert_eq!((finding.mark, greeting.unwrap().socket_id.as_str()), (Mark::Ok, "1.2"));
        for data in [json!({ "socket_id": "1.2" }), json!({ "socket_id": "abc", "activity_timeout": 30 })] {
            assert_eq!(judged(event(established, data)).0.mark, Mark::Fault);
        }
    }

    #[test]
    fn a_greeting_in_other_types_is_taken_where_it_can_be_and_told_of() {
        let established = "pusher:connection_established";
        let (finding, greeting) =
            judged(event(established, json!({ "socket_id": "1.2", "activity_timeout": "120" })));
        assert_eq!((finding.mark, greeting.unwrap().activity_timeout), (Mark::Warning, Some(120)));
        assert!(finding.came.ends_with("of another type than the protocol's: activity_timeout: \"120\""));
        let (finding, _) =
            judged(event(established, json!({ "socket_id": "1.2", "activity_timeout": "soon" })));
        assert_eq!(finding.came, "the greeting has no activity_timeout, but activity_timeout: \"soon\"");
        let (finding, greeting) = judged(event(established, json!({ "socket_id": [1] })));
        assert_eq!((finding.mark, greeting), (Mark::Fault, None));
        assert_eq!(finding.came, "a greeting without a socket id: {\"socket_id\":[1]}");
        let (finding, _) = judged(event("pusher:error", json!({ "code": "4001", "message": "no" })));
        assert_eq!(finding.came, "pusher:error 4001: no");
        assert!(finding.change.unwrap().contains("no app there has this key"));
    }

    #[test]
    fn who_minds_that_no_page_was_named_is_known() {
        // Reverb 1.10.2 says it in an event, others close with it.
        let error =
            |code, message: &str| Ok(event("pusher:error", json!({ "code": code, "message": message })));
        assert!(wants_a_page(&error(4009, "Origin not allowed")));
        assert!(wants_a_page(&Ok(HeardNext::Closed(Some((4009, "Origin not allowed".to_owned()))))));
        for other in [error(4009, "Connection is unauthorized"), error(4001, "Origin"), Ok(HeardNext::Ended)]
        {
            assert!(!wants_a_page(&other));
        }
    }

    #[test]
    fn codes_are_told_with_what_they_want() {
        for (code, reason, word) in [
            (4001, "Could not find app", "the key, not the id"),
            (4000, "", "X-Forwarded-Proto"),
            (4005, "", "server.path_prefix"),
            (
                4005,
                "Path not found: expected /rt/app/{key}, got /app/k",
                "serves /rt/app/{key}, and /app/k came",
            ),
            (4009, "Origin not allowed", "by --origin"),
            (4100, "", "trusted_proxies"),
        ] {
            let closed = HeardNext::Closed(Some((code, reason.to_owned())));
            let error = event("pusher:error", json!({ "code": code, "message": reason }));
            for heard in [closed, error] {
                let (finding, greeting) = judged(heard);
                assert_eq!((finding.mark, greeting), (Mark::Fault, None));
                assert!(finding.came.contains(&code.to_string()), "{finding:?}");
                assert!(finding.change.as_ref().unwrap().contains(word), "{finding:?}");
            }
        }
        let (finding, _) = judged(event("pusher:error", json!({ "code": null, "message": "no" })));
        assert_eq!((finding.mark, finding.came.as_str()), (Mark::Fault, "pusher:error: no"));
        for heard in [HeardNext::Ended, HeardNext::Closed(None), HeardNext::Gibberish("hello".into())] {
            assert_eq!(judged(heard).0.mark, Mark::Fault);
        }
    }
}
