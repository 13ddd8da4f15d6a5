//! How large an event may be, and who says so: the broker, which names its limit, or a proxy before it, which most often nobody
//! has thought of.

use std::time::Duration;

use serde_json::json;

use super::check::Check;
use super::finding::{CheckOutcome, Finding};
use super::refusal::JudgedAnswer;
use super::stream::UnheardError;
use super::visit::Visit;

pub(super) const CHECK: Check = Check {
    name: "body size",
    tries: "events of growing size",
    needs: &["signature"],
    within: Duration::from_secs(30),
    run: |visit| Box::pin(grow(visit)),
};

/// What an event of hosted Pusher may have, nearly: 10 KB.
const EVERYDAY_BYTES: usize = 9 * 1024;

/// A full batch of ten such events; then more than nginx takes where nobody has told it otherwise, which is 1 MiB.
const LARGER_BYTES: [usize; 2] = [100 * 1024, 1100 * 1024];

/// How long one may take.
const EVENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Who had enough of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BodyFate {
    Taken,
    /// The broker, in its own words.
    RefusedByBroker(String),
    /// Something before it: status, and who.
    RefusedOnTheWay(String),
    /// Something, in an answer that says nothing of sizes.
    RefusedOtherwise(String),
    /// The connection broke off, or nothing came.
    Unanswered(String),
}

async fn grow(visit: &mut Visit) -> CheckOutcome {
    let everyday = publish(visit, EVERYDAY_BYTES).await;
    if everyday != BodyFate::Taken {
        return judge_everyday(&everyday).into();
    }
    let mut taken = EVERYDAY_BYTES;
    for bytes in LARGER_BYTES {
        let fate = publish(visit, bytes).await;
        if fate != BodyFate::Taken {
            return judge_larger(taken, bytes, &fate).into();
        }
        taken = bytes;
    }
    Finding::ok(tried(taken), "taken").into()
}

async fn publish(visit: &Visit, bytes: usize) -> BodyFate {
    let data = "x".repeat(bytes);
    let body = json!({ "name": "heliostat-doctor", "channel": visit.channel, "data": data }).to_string();
    let asked = visit.ask_signed("POST", "/events", &[], body);
    match tokio::time::timeout(EVENT_TIMEOUT, asked).await {
        Err(_) => BodyFate::Unanswered(UnheardError::Timeout(EVENT_TIMEOUT).to_string()),
        Ok(Err(error)) => BodyFate::Unanswered(error.to_string()),
        Ok(Ok(answer)) => {
            let text = answer.text();
            fate_of(JudgedAnswer { head: &answer.head, body: &text })
        }
    }
}

fn fate_of(answer: JudgedAnswer<'_>) -> BodyFate {
    match answer.status() {
        200..=299 => BodyFate::Taken,
        _ if answer.is_page() || answer.body.trim().is_empty() => BodyFate::RefusedOnTheWay(answer.shown()),
        413 if is_phrase(answer.body) => BodyFate::RefusedOnTheWay(answer.shown()),
        400 | 413 if !is_phrase(answer.body) => BodyFate::RefusedByBroker(answer.with_sentence()),
        _ => BodyFate::RefusedOtherwise(answer.with_sentence()),
    }
}

/// Whether a body says no more than its status: so proxies answer that write no pages.
fn is_phrase(body: &str) -> bool {
    let phrases = ["Payload Too Large", "Request Entity Too Large", "Content Too Large", "Bad Request"];
    phrases.iter().any(|phrase| body.trim().eq_ignore_ascii_case(phrase))
}

fn tried(bytes: usize) -> String {
    format!("an event of {} KB", bytes / 1024)
}

const RAISE: &str = "raise the limit of the proxy (nginx: client_max_body_size 2m; Caddy: request_body max_size; a CDN or firewall \
                     has one of its own), until only the broker's own limit counts";

fn judge_everyday(fate: &BodyFate) -> Finding {
    let tried = tried(EVERYDAY_BYTES);
    match fate {
        BodyFate::Taken => Finding::ok(tried, "taken"),
        BodyFate::RefusedByBroker(told) => Finding::fault(
            tried,
            told,
            "backends expect that an event may have 10 KB: raise the limit of the app (heliostat: limits.event_payload_bytes; \
             soketi: maxEventPayloadInKb) or of the server (Reverb: max_request_size), or keep events small; if it is another refusal, do what it says",
        ),
        BodyFate::RefusedOnTheWay(told) => Finding::fault(tried, format!("{told}, not by the broker"), RAISE),
        BodyFate::RefusedOtherwise(told) => Finding::fault(
            tried,
            told,
            "a small request is taken and this one is not: see the logs of the proxy and the broker, which say why",
        ),
        BodyFate::Unanswered(told) => Finding::fault(
            tried,
            told,
            "small requests are answered and this one is not: see the limits of the proxy, and the MTU of tunnels and VPNs on the \
             way (packets that are too large get lost)",
        ),
    }
}

/// Of a size that was not taken, when `taken` bytes were.
fn judge_larger(taken: usize, bytes: usize, fate: &BodyFate) -> Finding {
    let kilobytes = taken / 1024;
    match fate {
        BodyFate::Taken => Finding::ok(tried(bytes), "taken"),
        BodyFate::RefusedByBroker(told) => {
            let came =
                format!("{kilobytes} KB are taken; of {} KB the broker itself says {told}", bytes / 1024);
            Finding::ok("events of growing size", came)
        }
        BodyFate::RefusedOnTheWay(told) => Finding::warning(
            tried(bytes),
            format!("{told}, not by the broker; {kilobytes} KB are taken"),
            format!("if the app sends large events or batches, {RAISE}"),
        ),
        BodyFate::RefusedOtherwise(told) => Finding::note(
            tried(bytes),
            format!("{told}; {kilobytes} KB are taken"),
            "that may be because of its size or not: if the app sends large events or batches, see the logs of the proxy and the \
             broker, which say why",
        ),
        BodyFate::Unanswered(told) => Finding::note(
            tried(bytes),
            format!("{told}; {kilobytes} KB are taken"),
            "whoever has had enough of it hung up without saying why: if the app sends large events or batches, see the limits of \
             the proxy and the broker",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::super::refusal::head;
    use super::*;

    #[test]
    fn a_limit_is_the_brokers_if_it_is_told_in_words() {
        let fate = |status, headers: &[(&str, &str)], body| {
            fate_of(JudgedAnswer { head: &head(status, headers), body })
        };
        assert_eq!(fate(200, &[], "{}"), BodyFate::Taken);
        let ours = "The data content of this event exceeds the allowed maximum (10240 bytes)";
        assert!(matches!(fate(413, &[], ours), BodyFate::RefusedByBroker(told) if told.contains(ours)));
        let page = [("content-type", "text/html"), ("server", "nginx")];
        let expected = BodyFate::RefusedOnTheWay("413 Payload Too Large by nginx".to_owned());
        assert_eq!(fate(413, &page, "<html>"), expected);
        let by_phrase = BodyFate::RefusedOnTheWay("413 Payload Too Large".to_owned());
        assert_eq!(fate(413, &[], "Request Entity Too Large\n"), by_phrase);
        for (status, body) in [
            (401, "Invalid signature"),
            (429, "slow down"),
            (503, "upstream connect error"),
            (400, "Bad Request"),
        ] {
            assert!(
                matches!(fate(status, &[], body), BodyFate::RefusedOtherwise(told) if told.contains(body))
            );
        }
    }

    #[test]
    fn nine_kilobytes_have_to_pass_and_more_need_not() {
        let (broker, way, other, none) = (
            BodyFate::RefusedByBroker("413".into()),
            BodyFate::RefusedOnTheWay("413 by nginx".into()),
            BodyFate::RefusedOtherwise("429".into()),
            BodyFate::Unanswered("reset".into()),
        );
        let all = [&broker, &way, &other, &none];
        assert_eq!(all.map(|fate| judge_everyday(fate).mark), [Mark::Fault; 4]);
        let larger = all.map(|fate| judge_larger(EVERYDAY_BYTES, LARGER_BYTES[0], fate).mark);
        assert_eq!(larger, [Mark::Ok, Mark::Warning, Mark::Note, Mark::Note]);
        assert!(judge_everyday(&way).change.unwrap().contains("client_max_body_size"));
    }
}
