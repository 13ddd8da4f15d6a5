//! A signed request, as backends send them: are key and secret right, and does what was signed come through as it was sent?

use std::time::Duration;

use serde_json::Value as Json;

use super::check::Check;
use super::finding::{CheckOutcome, Finding};
use super::refusal::{JudgedAnswer, read_status, shown_prefix};
use super::stream::{HeardAnswer, UnheardError};
use super::visit::{SignedAddress, Visit};
use crate::cli::remote::path_of;
use crate::http::unix_seconds;

pub(super) const CHECK: Check = Check {
    name: "signature",
    tries: "a signed request",
    needs: &["tls"],
    within: Duration::from_secs(30),
    run: |visit| Box::pin(ask(visit)),
};

/// Seconds by which no clock is off, some 35000 years: what says so is no time.
const FARTHEST_SECONDS: u64 = 1 << 40;

/// What a query may hold and a proxy may write otherwise: behind the beginning of a channel's name, in a filter.
const ODD: &str = "&,=;@+";

async fn ask(visit: &mut Visit) -> CheckOutcome {
    let below = path_of(&["channels", &visit.channel], &[]);
    let signed = visit.sign("GET", &below, &[], "");
    let tried = format!("a signed GET {}", signed.url.path());
    let asked = visit.ask_at("GET", &signed.url, String::new()).await;
    let answer = match asked {
        Err(_) if visit.takes_sockets_alone && visit.api.is_beside(&visit.sockets) => {
            let change = "say by --api where its HTTP API is, which backends publish to";
            return Finding::fault(tried, "this port takes WebSockets alone, and hangs up", change).into();
        }
        Err(error) => return judge_silence(tried, &error).into(),
        Ok(answer) => answer,
    };
    if is_taken(&answer) {
        let first = Finding::ok(tried, "the server takes the signature");
        return CheckOutcome::holding(vec![first, query(visit).await]);
    }
    // With another time or another path it may be right: then the rest can be tried all the same.
    if let Some(ahead) = clock_ahead_of(&answer.text(), unix_seconds()) {
        visit.clock_ahead = ahead;
        if visit.ask_signed("GET", &below, &[], String::new()).await.is_ok_and(|answer| is_taken(&answer)) {
            return CheckOutcome::holding(vec![wrong_time(tried, &answer, ahead)]);
        }
    }
    if !visit.api.prefix().is_empty() {
        visit.signs_prefix = false;
        if visit.ask_signed("GET", &below, &[], String::new()).await.is_ok_and(|answer| is_taken(&answer)) {
            let prefix = visit.api.prefix();
            let change = format!(
                "libraries that sign it are refused (that of PHP leaves it out): Reverb with a path of its own wants it so; \
                 otherwise the proxy takes {prefix} away: of heliostat set server.path_prefix = {prefix:?} and have the proxy pass \
                 the path on as it comes, or have it send X-Forwarded-Prefix: {prefix}"
            );
            let came = format!("it is taken only if it is signed without {prefix}");
            return CheckOutcome::holding(vec![Finding::warning(tried, came, change)]);
        }
        visit.signs_prefix = true;
    }
    let body = answer.text();
    let judged = JudgedAnswer { head: &answer.head, body: &body };
    let (came, change) = read_status(&visit.api, judged)
        .unwrap_or_else(|| (judged.with_sentence(), judge_refusal(visit, judged, &signed)));
    Finding::fault(tried, came, change).into()
}

/// A request whose query holds what proxies write otherwise.
async fn query(visit: &Visit) -> Finding {
    let filter = format!("{}{ODD}", visit.channel);
    let signed = visit.sign("GET", "/channels", &[("filter_by_prefix", &filter)], "");
    let tried = "a signed query with characters that are encoded";
    match visit.ask_at("GET", &signed.url, String::new()).await {
        Err(error) => judge_silence(tried.to_owned(), &error),
        Ok(answer) => {
            let body = answer.text();
            judge_query(tried, JudgedAnswer { head: &answer.head, body: &body }, &signed)
        }
    }
}

fn judge_query(tried: &str, answer: JudgedAnswer<'_>, signed: &SignedAddress) -> Finding {
    match answer.status() {
        200 => Finding::ok(tried, "it comes through as it was signed"),
        401 => {
            let change = changed_on_the_way(answer.body, &signed.string_to_sign).unwrap_or_else(|| {
                "the proxy decodes, encodes or sorts the query: have it pass the address on as it comes (nginx: proxy_pass \
                 without a path and without variables of it)"
                    .to_owned()
            });
            Finding::fault(tried, answer.with_sentence(), change)
        }
        _ => Finding::note(
            tried,
            answer.with_sentence(),
            "the server takes no such filter, so this says nothing of the way there",
        ),
    }
}

fn is_taken(answer: &HeardAnswer) -> bool {
    answer.status() == 200 && serde_json::from_slice::<Json>(&answer.body).is_ok_and(|json| json.is_object())
}

fn judge_silence(tried: String, error: &UnheardError) -> Finding {
    let change = "see the error log of the proxy, and whether the broker runs and is overloaded";
    Finding::fault(tried, error.to_string(), change)
}

fn wrong_time(tried: String, answer: &HeardAnswer, ahead: i64) -> Finding {
    let body = answer.text();
    let judged = JudgedAnswer { head: &answer.head, body: &body };
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let change = format!(
        "the server's clock is {} s {way} that of this machine: have both keep the right time (timedatectl set-ntp true); with \
         its own time the server takes the signature",
        ahead.abs()
    );
    Finding::fault(tried, judged.with_sentence(), change)
}

/// By how much the clock is ahead of a server that says its time where it refuses that of a request.
fn clock_ahead_of(body: &str, now: u64) -> Option<i64> {
    let (_, rest) = body.split_once("server time (")?;
    let there: i64 = rest.split_once(')')?.0.parse().ok()?;
    let ahead = there.checked_sub(i64::try_from(now).ok()?)?;
    (ahead.unsigned_abs() < FARTHEST_SECONDS).then_some(ahead)
}

/// What to do about a signed request that the broker refused, or something that is none.
fn judge_refusal(visit: &Visit, answer: JudgedAnswer<'_>, signed: &SignedAddress) -> String {
    let api = shown_prefix(&visit.api);
    match answer.status() {
        200..=299 => format!(
            "something else answers there, most likely a website: have the proxy pass {api} on to the broker, or say where the \
             HTTP API is by --api"
        ),
        400 | 401 | 403 | 404 if is_unknown_key(answer.body) => {
            "no app there has this key: compare it with that of the server's configuration, and see whether the API at this \
             address belongs to the same server as the WebSockets"
                .to_owned()
        }
        401 | 404 if is_another_id(answer.body) => {
            "the key is right and belongs to an app with another id: use that id (PUSHER_APP_ID)".to_owned()
        }
        404 if has_no_such_id(answer.body) => {
            "no app there has this id: use the one that belongs to the key (PUSHER_APP_ID)".to_owned()
        }
        // pusher-fake knows one app, by the path.
        400 if answer.body.starts_with("Unknown path") => {
            "the path is none of the server's: see whether the id of the app is right (PUSHER_APP_ID)".to_owned()
        }
        404 => format!(
            "the path is none of the broker's: have the proxy pass {api} on as it comes, and give the address with the prefix that \
             the server has (heliostat: server.path_prefix; Reverb: REVERB_SERVER_PATH; soketi: PATH_PREFIX); where backends \
             publish elsewhere, say it by --api"
        ),
        400 | 401 | 403 if answer.body.contains("Missing parameter") => {
            "the query was lost on the way: have the proxy pass it on as it comes (in nginx a variable such as $uri behind the \
             address of proxy_pass leaves it out)"
                .to_owned()
        }
        401 | 403 => changed_on_the_way(answer.body, &signed.string_to_sign).unwrap_or_else(|| {
            "the secret is another one than the server has for this key: compare the two (the whole, without spaces, of the \
             same pair)"
                .to_owned()
        }),
        _ => "see the log of the server, which says why".to_owned(),
    }
}

/// Whether a server says that no app has the key: heliostat, and Sockudo.
fn is_unknown_key(body: &str) -> bool {
    let body = body.to_lowercase();
    body.contains("unknown auth_key") || body.contains("application key not found")
}

/// Whether a server says that the key belongs to another app: heliostat, and Sockudo.
fn is_another_id(body: &str) -> bool {
    body.contains("belongs to the auth_key") || body.contains("does not match route app_id")
}

/// Whether a server says that there is no app of this id: soketi and Reverb have words of their own for it.
fn has_no_such_id(body: &str) -> bool {
    let body = body.to_lowercase();
    body.contains("app ") && body.contains("found") || body.contains("application for id")
}

/// What differs between what was signed and what the server saw, where it says that.
fn changed_on_the_way(body: &str, signed: &str) -> Option<String> {
    let (_, rest) = body.split_once("HmacSHA256Hex(\"")?;
    let seen = rest.split_once("\", your_secret_key")?.0;
    let mut seen = seen.splitn(3, "\\n");
    let mut sent = signed.splitn(3, '\n');
    for part in ["method", "path", "query"] {
        let (seen, sent) = (seen.next()?, sent.next()?);
        if seen != sent {
            return Some(format!(
                "the {part} has been changed on the way: the server saw {seen} where {sent} was sent; have the proxy pass the \
                 address on as it comes (nginx: proxy_pass without a path), and let server.path_prefix be what comes"
            ));
        }
    }
    Some(
        "the server saw what was sent, so it is the secret: compare it with the one that the server has for this key (the \
         whole, without spaces, of the same pair)"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::super::place::CheckedPlace;
    use super::super::refusal::head;
    use super::*;
    use crate::cli::remote::GivenApp;

    fn signed() -> SignedAddress {
        let url = url::Url::parse("https://h/x/apps/1/channels/c?auth_key=k").unwrap();
        SignedAddress { url, string_to_sign: "GET\n/x/apps/1/channels/c\nauth_key=k".to_owned() }
    }

    fn judged(status: u16, body: &str) -> String {
        let place = CheckedPlace::read("https://h/x").unwrap();
        let app = GivenApp::parse("1:key:secret", "--app").unwrap();
        let visit = Visit::new(place.clone(), place, app, None).unwrap();
        judge_refusal(&visit, JudgedAnswer { head: &head(status, &[]), body }, &signed())
    }

    #[test]
    fn what_the_server_saw_is_compared_with_what_was_sent() {
        let saw = |path: &str, query: &str| {
            format!(
                "Invalid signature: you should have sent HmacSHA256Hex(\"GET\\n{path}\\n{query}\", your_secret_key), but \
                 you sent \"00\""
            )
        };
        for (path, query, word) in [
            ("/apps/1/channels/c", "auth_key=k", "the path has been changed"),
            ("/x/apps/1/channels/c", "auth_key=k&a=b", "the query has been changed"),
            ("/x/apps/1/channels/c", "auth_key=k", "it is the secret"),
        ] {
            let change = judged(401, &saw(path, query));
            assert!(change.contains(word), "{change}");
        }
    }

    #[test]
    fn a_refused_signature_is_told_with_what_to_compare() {
        for (status, body, word) in [
            (401, "Unauthorized", "the secret is another one"),
            (401, "Missing parameter: auth_key\n", "the query was lost"),
            (400, "Unknown auth_key\n", "no app there has this key"),
            (404, "App 2 not found: no app with this id belongs to the auth_key\n", "another id"),
            (200, "{\"error\":\"The app 7 could not be found.\",\"code\":404}", "no app there has this id"),
            (404, "No matching application for ID [7].", "no app there has this id"),
            (400, "Unknown path: /apps/7/channels/c", "the id of the app"),
            // Sockudo 5.2.0.
            (404, "Application key not found or invalid: Invalid app key", "no app there has this key"),
            (401, "Authenticated app does not match route app_id", "another id"),
            (401, "Invalid API signature", "the secret is another one"),
            (
                200,
                "{\"error\":\"The secret authentication failed\",\"code\":401}",
                "the secret is another one",
            ),
            (401, "Authentication signature invalid.", "the secret is another one"),
            (404, "Not found: /x/apps is no endpoint of this broker\n", "server.path_prefix"),
            (200, "<html>", "--api"),
            (500, "", "log"),
        ] {
            let change = judged(status, body);
            assert!(change.contains(word), "{status}: {change}");
        }
    }

    #[test]
    fn a_server_that_tells_its_time_is_believed() {
        let body = "Timestamp expired: Given timestamp (1000) not within 600s of server time (1900)\n";
        assert_eq!(clock_ahead_of(body, 1000), Some(900));
        assert_eq!(clock_ahead_of("Invalid signature", 1000), None);
        for time in [i64::MIN, i64::MAX] {
            assert_eq!(clock_ahead_of(&format!("server time ({time})"), 1000), None);
        }
    }

    #[test]
    fn a_query_is_judged_by_the_signature_alone() {
        for (status, mark) in [(200, Mark::Ok), (401, Mark::Fault), (400, Mark::Note)] {
            let head = head(status, &[]);
            let found = judge_query("q", JudgedAnswer { head: &head, body: "" }, &signed());
            assert_eq!(found.mark, mark);
        }
    }
}
