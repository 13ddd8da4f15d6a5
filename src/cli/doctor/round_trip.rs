//! An event goes all the way: published as a backend does, heard as a client does, on a private channel of its own.

use std::time::{Duration, Instant};

use serde_json::json;

use super::check::Check;
use super::conversation::{ClientConversation, HeardGreeting, HeardNext, read_greeting};
use super::finding::{CheckOutcome, Finding};
use super::greeting::what_code_wants;
use super::place::CheckedPlace;
use super::refusal::{JudgedAnswer, read_status};
use super::stream::UnheardError;
use super::visit::Visit;
use crate::cli::told_values::text_of;

pub(super) const CHECK: Check = Check {
    name: "round trip",
    tries: "an event that is published and heard",
    needs: &["greeting", "signature"],
    within: Duration::from_secs(40),
    run: |visit| Box::pin(go(visit)),
};

/// How many events are timed, one after the other.
const EVENTS: usize = 5;

/// How long one may take from being published until it is heard.
const EVENT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server may take to greet a client, or to answer a subscription.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// What people notice.
const SLOW: Duration = Duration::from_millis(500);

const EVENT: &str = "heliostat-doctor";

async fn go(visit: &mut Visit) -> CheckOutcome {
    let mut listener = match subscribed(visit).await {
        Ok(listener) => listener,
        Err(finding) => return finding.into(),
    };
    let tried = "an event, published and heard";
    let mut times = Vec::new();
    for number in 0..EVENTS {
        let begun = Instant::now();
        if let Err((came, change)) = publish(visit, number).await {
            return Finding::fault("publishing an event", came, change).into();
        }
        let answered = begun.elapsed();
        match tokio::time::timeout(EVENT_TIMEOUT, heard(&mut listener, number)).await {
            Ok(Ok(true)) => times.push((begun.elapsed(), answered)),
            Ok(Ok(false)) => {
                let change = "see the log of the broker: it ended the connection while it was subscribed";
                return Finding::fault(tried, "the client's connection was closed before it came", change)
                    .into();
            }
            Ok(Err(error)) => {
                let change = "the connection fails while it is used: see the proxy's log, and whether it keeps frames back";
                return Finding::fault(tried, error.to_string(), change).into();
            }
            Err(_) => return Finding::fault(tried, not_heard(), who_lost_it(visit)).into(),
        }
    }
    judge(tried, &times).into()
}

fn not_heard() -> String {
    format!("the server took it, and the subscriber did not hear it within {} s", EVENT_TIMEOUT.as_secs())
}

fn who_lost_it(visit: &Visit) -> String {
    let apart = if visit.api.is_beside(&visit.sockets) {
        ""
    } else {
        "the two addresses lead to different servers, or "
    };
    format!(
        "{apart}several brokers stand behind this address and do not know of each other: have them be one (heliostat: --cluster \
         redis://…; others: their Redis adapter), or publish to all of them"
    )
}

/// A client that is subscribed to the channel, or what is in the way.
pub(super) async fn subscribed(visit: &Visit) -> Result<ClientConversation, Finding> {
    match tokio::time::timeout(ANSWER_TIMEOUT, subscribe(visit)).await {
        Ok(subscribed) => subscribed,
        Err(_) => {
            let came = format!("it was neither confirmed nor refused within {} s", ANSWER_TIMEOUT.as_secs());
            let change = "a server that refuses without a word does so where the secret is not the one of this key; otherwise see \
                          its log, and whether a proxy keeps back what it sends";
            Err(Finding::fault(SUBSCRIPTION, came, change))
        }
    }
}

const SUBSCRIPTION: &str = "a subscription to a private channel";

async fn subscribe(visit: &Visit) -> Result<ClientConversation, Finding> {
    let failed = |error: UnheardError| {
        let change = "the connection fails once it is used: see the logs of the proxy and the broker";
        Finding::fault(SUBSCRIPTION, error.to_string(), change)
    };
    let mut conversation = visit.converse().await.map_err(failed)?;
    let first = conversation.hear_of(&["pusher:connection_established", "pusher:error"]).await;
    let first = first.map_err(failed)?;
    let greeting = if let HeardNext::Event(event) = &first { read_greeting(event) } else { None };
    // One client was let in before, and this one was not: the code says why.
    let HeardGreeting { socket_id, .. } = greeting.ok_or_else(|| not_let_in(&visit.sockets, &first))?;
    let answer = conversation.subscribe(&visit.app, &socket_id, &visit.channel).await.map_err(failed)?;
    match &answer {
        HeardNext::Event(event) if event.event == "pusher_internal:subscription_succeeded" => {
            Ok(conversation)
        }
        other => Err(refused(other)),
    }
}

fn not_let_in(place: &CheckedPlace, heard: &HeardNext) -> Finding {
    let (code, reason) = match heard {
        HeardNext::Event(event) => (event.code(), event.sentence()),
        HeardNext::Closed(Some((code, reason))) => (Some(*code), reason.clone()),
        _ => (None, String::new()),
    };
    let change = match code {
        Some(code) => what_code_wants(place, code, &reason),
        None => "see the log of the server: it let one client in, and not the next".to_owned(),
    };
    Finding::fault("a further client, for a subscription", what_came(heard), change)
}

fn refused(heard: &HeardNext) -> Finding {
    let change =
        "if it is the signature, the secret is not the one of this key; otherwise see the log of the server";
    Finding::fault(SUBSCRIPTION, what_came(heard), change)
}

/// A refusal in the words of the server.
fn what_came(heard: &HeardNext) -> String {
    let with_words =
        |what: String, words: &str| if words.is_empty() { what } else { format!("{what}: {words}") };
    match heard {
        HeardNext::Event(event) => {
            let code = text_of(&event.data["code"]);
            let beside = ["error", "cause"].iter().filter_map(|name| text_of(&event.data[*name]));
            let told = [event.sentence()].into_iter().chain(beside).filter(|words| !words.is_empty());
            let words: Vec<String> = code.into_iter().chain(told).collect();
            with_words(event.event.clone(), &words.join(" "))
        }
        HeardNext::Closed(Some((code, reason))) => {
            with_words(format!("it closed the connection with {code}"), reason)
        }
        HeardNext::Gibberish(text) => format!("no event of Pusher Channels: {text:?}"),
        HeardNext::Closed(None) | HeardNext::Ended | HeardNext::Ping => "the connection ended".to_owned(),
    }
}

/// Publishes one; what came and what to change if the server did not take it.
async fn publish(visit: &Visit, number: usize) -> Result<(), (String, String)> {
    let data = json!({ "number": number }).to_string();
    let body = json!({ "name": EVENT, "channel": visit.channel, "data": data }).to_string();
    let silent = "see the logs of the proxy and the broker: reading works, and publishing does not";
    let answer = visit.ask_signed("POST", "/events", &[], body).await;
    let answer = answer.map_err(|error| (error.to_string(), silent.to_owned()))?;
    if answer.status() == 200 {
        return Ok(());
    }
    let body = answer.text();
    let judged = JudgedAnswer { head: &answer.head, body: &body };
    Err(read_status(&visit.api, judged).unwrap_or_else(|| (judged.with_sentence(), judge_refusal(judged))))
}

fn judge_refusal(answer: JudgedAnswer<'_>) -> String {
    match answer.status() {
        401 => {
            "a signed GET is taken and a signed POST is not: something on the way changes the body or loses it (a firewall, a \
             proxy that writes JSON anew)"
        }
        405 => "something on the way lets no POST through: see the rules of the proxy",
        _ => "see the log of the server, which says why",
    }
    .to_owned()
}

/// Whether this one comes before the connection ends.
async fn heard(listener: &mut ClientConversation, number: usize) -> Result<bool, UnheardError> {
    loop {
        match listener.hear_of(&[EVENT]).await? {
            HeardNext::Event(event) if event.data["number"] == number => return Ok(true),
            HeardNext::Event(_) | HeardNext::Gibberish(_) | HeardNext::Ping => {}
            HeardNext::Closed(_) | HeardNext::Ended => return Ok(false),
        }
    }
}

/// Of each event, how long it took until it was heard, and until its publisher was answered.
fn judge(tried: &str, times: &[(Duration, Duration)]) -> Finding {
    let mut until_heard: Vec<Duration> = times.iter().map(|(heard, _)| *heard).collect();
    let mut until_answered: Vec<Duration> = times.iter().map(|(_, answered)| *answered).collect();
    until_heard.sort_unstable();
    until_answered.sort_unstable();
    let middle = |sorted: &[Duration]| sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let (median, longest) = (middle(&until_heard), until_heard.last().copied().unwrap_or_default());
    let came = format!(
        "heard after {} (median of {}, the slowest {}), of which publishing took {}",
        millis(median),
        times.len(),
        millis(longest),
        millis(middle(&until_answered))
    );
    if median >= SLOW {
        let change = "people notice this: see how far it is to the server, how busy it is, and whether the proxy keeps back what \
                      it sends; each publish here makes a connection of its own";
        return Finding::warning(tried, came, change);
    }
    Finding::ok(tried, came)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::conversation::read_event;
    use super::super::finding::Mark;
    use super::*;

    #[test]
    fn the_median_is_told_and_slowness_is_warned_of() {
        let times = |all: [u64; 5]| all.map(|ms| (Duration::from_millis(ms), Duration::from_millis(ms / 2)));
        let quick = judge("t", &times([9, 2, 4, 900, 3]));
        assert_eq!(
            quick,
            Finding::ok(
                "t",
                "heard after 4.0 ms (median of 5, the slowest 900.0 ms), of which publishing took 2.0 ms"
            )
        );
        assert_eq!(judge("t", &times([800, 900, 700, 1, 600])).mark, Mark::Warning);
    }

    #[test]
    fn a_refused_subscription_is_told_in_the_words_of_the_server() {
        let came = |text: &str| what_came(&HeardNext::Event(read_event(text).unwrap()));
        for (text, words) in [
            (
                r#"{"event":"pusher:subscription_error","data":{"type":"AuthError","error":"Invalid signature","cause":"why"}}"#,
                "pusher:subscription_error: Invalid signature why",
            ),
            // soketi 1.6.1, Reverb 1.10.2, pusher-fake 6.1.0.
            (
                r#"{"event":"pusher:subscription_error","channel":"private-x","data":{"type":"AuthError","error":"The connection is unauthorized.","status":401}}"#,
                "pusher:subscription_error: The connection is unauthorized.",
            ),
            (
                r#"{"event":"pusher:error","data":"{\"code\":4009,\"message\":\"Connection is unauthorized\"}"}"#,
                "pusher:error: 4009 Connection is unauthorized",
            ),
            (
                r#"{"event":"pusher_internal:subscription_error","data":"{}","channel":"private-x"}"#,
                "pusher_internal:subscription_error",
            ),
        ] {
            assert_eq!(came(text), words);
        }
        assert!(what_came(&HeardNext::Closed(Some((4009, "no".into())))).ends_with("4009: no"));
        assert!(what_came(&HeardNext::Closed(Some((4100, String::new())))).ends_with("with 4100"));
    }

    #[test]
    fn a_client_that_is_not_let_in_after_another_was_is_told_by_its_code() {
        // soketi 1.6.1, of an app that may have one connection.
        let text = r#"{"event":"pusher:error","data":{"code":4100,"message":"The current concurrent connections quota has been reached."}}"#;
        let place = CheckedPlace::read("https://h").unwrap();
        let found = not_let_in(&place, &HeardNext::Event(read_event(text).unwrap()));
        assert_eq!(
            found.came,
            "pusher:error: 4100 The current concurrent connections quota has been reached."
        );
        assert!(found.change.unwrap().contains("no room"));
    }
}
