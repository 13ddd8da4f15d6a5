//! Whether clients may send events to each other. Either is right: the app decides.

use std::time::{Duration, Instant};

use serde_json::json;

use super::check::Check;
use super::conversation::{ClientConversation, HeardNext};
use super::finding::{CheckOutcome, Finding};
use super::round_trip::subscribed;
use super::stream::UnheardError;
use super::visit::Visit;

pub(super) const CHECK: Check = Check {
    name: "client events",
    tries: "an event from one client to another",
    needs: &["round trip"],
    within: Duration::from_secs(20),
    run: |visit| Box::pin(send(visit)),
};

/// How long it may take until it is heard, or refused.
const EVENT_TIMEOUT: Duration = Duration::from_secs(3);

const EVENT: &str = "client-heliostat-doctor";

/// What came of an event of a client.
enum ClientEventFate {
    Heard(Duration),
    Refused(String),
    /// Neither was it heard, nor was anything said of it.
    Lost,
    Failed(String),
}

async fn send(visit: &mut Visit) -> CheckOutcome {
    let clients = async { Ok::<_, Finding>((subscribed(visit).await?, subscribed(visit).await?)) };
    let (mut sender, mut listener) = match clients.await {
        Ok(clients) => clients,
        Err(finding) => return finding.into(),
    };
    let begun = Instant::now();
    let fate = match sender.say(EVENT, Some(&visit.channel), &json!({})).await {
        Err(error) => ClientEventFate::Failed(error.to_string()),
        Ok(()) => {
            let first = async {
                tokio::select! {
                    heard = next(&mut listener, EVENT) => match heard {
                        Ok(_) => ClientEventFate::Heard(begun.elapsed()),
                        Err(error) => ClientEventFate::Failed(error),
                    },
                    refused = next(&mut sender, "pusher:error") => match refused {
                        Ok(message) => ClientEventFate::Refused(message),
                        Err(error) => ClientEventFate::Failed(error),
                    },
                }
            };
            tokio::time::timeout(EVENT_TIMEOUT, first).await.unwrap_or(ClientEventFate::Lost)
        }
    };
    judge(&fate).into()
}

/// The message of the next event of this name, or why there is none.
async fn next(conversation: &mut ClientConversation, event: &str) -> Result<String, String> {
    match conversation.hear_of(&[event]).await {
        Ok(HeardNext::Event(event)) => {
            let sentence = event.sentence();
            Ok(if sentence.is_empty() { "without a reason".to_owned() } else { sentence })
        }
        Ok(HeardNext::Closed(Some((code, reason)))) => {
            Err(format!("it closed the connection with {code}: {reason}"))
        }
        Ok(_) => Err("the connection ended".to_owned()),
        Err(error) => Err(UnheardError::to_string(&error)),
    }
}

fn judge(fate: &ClientEventFate) -> Finding {
    let tried = "an event from one client to another";
    let allow = "if clients are to send events to each other, allow it for the app (heliostat: client_events = true; hosted \
                 Pusher: \"Enable client events\" of its settings; soketi: enableClientMessages; Reverb: \
                 accept_client_events_from)";
    match fate {
        ClientEventFate::Heard(took) => {
            Finding::ok(tried, format!("allowed, and heard after {:.1} ms", took.as_secs_f64() * 1000.0))
        }
        ClientEventFate::Refused(message) => Finding::note(tried, format!("not allowed: {message}"), allow),
        ClientEventFate::Lost => {
            let came = format!("neither heard nor refused within {} s", EVENT_TIMEOUT.as_secs());
            Finding::note(tried, came, allow)
        }
        ClientEventFate::Failed(error) => {
            let change = "see the log of the server: it should have refused the event, or passed it on, and kept the connection";
            Finding::warning(tried, error.clone(), change)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::*;

    #[test]
    fn an_app_without_client_events_is_no_fault() {
        for (fate, mark) in [
            (ClientEventFate::Heard(Duration::from_millis(2)), Mark::Ok),
            (
                ClientEventFate::Refused("To send client events, you must enable this feature".into()),
                Mark::Note,
            ),
            (ClientEventFate::Lost, Mark::Note),
            (ClientEventFate::Failed("the connection ended".into()), Mark::Warning),
        ] {
            assert_eq!(judge(&fate).mark, mark);
        }
    }
}
