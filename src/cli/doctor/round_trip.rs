//! An event goes all the way: published as a backend does, heard as a client does, on a private channel of its own.

use std::time::{Duration, Instant};

use serde_json::json;

use super::check::Check;
use super::conversation::{ClientConversation, HeardNext};
use super::finding::{CheckOutcome, Finding};
use super::refusal::{JudgedAnswer, read_status};
use super::stream::UnheardError;
use super::visit::Visit;

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
    let tried = "a subscription to a private channel";
    let failed = |error: UnheardError| {
        let change = "the connection fails once it is used: see the logs of the proxy and the broker";
        Finding::fault(tried, error.to_string(), change)
    };
    let mut conversation = visit.converse().await.map_err(failed)?;
    let socket_id = match conversation.hear_of(&["pusher:connection_established"]).await.map_err(failed)? {
        HeardNext::Event(event) => event.data["socket_id"].as_str().unwrap_or_default().to_owned(),
        other => return Err(refused(tried, &other)),
    };
    let answer = conversation.subscribe(&visit.app, &socket_id, &visit.channel).await.map_err(failed)?;
    match &answer {
        HeardNext::Event(event) if event.event == "pusher_internal:subscription_succeeded" => {
            Ok(conversation)
        }
        other => Err(refused(tried, other)),
    }
}

fn refused(tried: &str, heard: &HeardNext) -> Finding {
    let came = match heard {
        HeardNext::Event(event) => {
            let told = ["message", "error", "cause"].iter().filter_map(|name| event.data[*name].as_str());
            format!("{}: {}", event.event, told.collect::<Vec<_>>().join(" "))
        }
        HeardNext::Closed(Some((code, reason))) => format!("it closed the connection with {code}: {reason}"),
        HeardNext::Gibberish(text) => format!("no event of Pusher Channels: {text:?}"),
        HeardNext::Closed(None) | HeardNext::Ended | HeardNext::Ping => "the connection ended".to_owned(),
    };
    let change =
        "if it is the signature, the secret is not the one of this key; otherwise see the log of the server";
    Finding::fault(tried, came, change)
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
        let text = r#"{"event":"pusher:subscription_error","data":{"type":"AuthError","error":"Invalid signature","cause":"why"}}"#;
        let event = super::super::conversation::read_event(text).unwrap();
        let found = refused("t", &HeardNext::Event(event));
        assert_eq!(found.came, "pusher:subscription_error: Invalid signature why");
        assert!(refused("t", &HeardNext::Closed(Some((4009, "no".into())))).came.contains("4009: no"));
    }
}
