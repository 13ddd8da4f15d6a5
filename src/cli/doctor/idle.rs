//! Whether something on the way cuts what says nothing for a while: a WebSocket, a stream, and a poll that is held.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::check::Check;
use super::conversation::{ClientConversation, HeardNext};
use super::fallback_transport::FallbackTransport;
use super::fallbacks::patience;
use super::finding::{CheckOutcome, Finding};
use super::live_answer::NoMore;
use super::tried_session::{SessionFault, SessionGround, TriedSession};
use super::visit::Visit;

/// What may be asked for at most, so that all checks together end in time.
pub(super) const LONGEST_SECONDS: u64 = 240;

/// Within what is longer than this heliostat has spoken.
const LONGER: Duration = Duration::from_secs(60);

pub(super) const CHECK: Check = Check {
    name: "idle",
    tries: "a client that says nothing",
    needs: &["greeting"],
    within: Duration::from_secs(LONGEST_SECONDS + 30),
    run: |visit| Box::pin(hold(visit)),
};

/// A client that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SilentClient {
    Socket,
    Stream,
    Poll,
}

impl SilentClient {
    fn words(self) -> &'static str {
        match self {
            SilentClient::Socket => "a WebSocket",
            SilentClient::Stream => "a stream over HTTP",
            SilentClient::Poll => "a poll over HTTP",
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HeldFate {
    /// The server said something after so long, and it stood.
    Spoke(Duration),
    /// It stood all the time, and nothing was said.
    Stood,
    /// It was cut after so long, in this manner.
    Cut(Duration, String),
    /// It did not come to it.
    NotBegun(String),
}

async fn hold(visit: &Visit) -> CheckOutcome {
    let waited = visit.idle;
    if waited.is_zero() {
        return CheckOutcome::holding(vec![Finding::note(
            "a client that says nothing",
            "not waited for",
            "give --idle 60 to see whether the proxy cuts it before the server speaks (heliostat does within 45 s)",
        )]);
    }
    let deadline = Instant::now() + waited;
    let works = |transport| visit.working_fallbacks.contains(&transport);
    let over_http = async |held, transport| {
        let fate = works(transport).then(|| hold_session(visit, transport, deadline))?;
        Some((held, fate.await))
    };
    let (socket, stream, poll) = tokio::join!(
        hold_socket(visit, deadline),
        over_http(SilentClient::Stream, FallbackTransport::XhrStreaming),
        over_http(SilentClient::Poll, FallbackTransport::XhrPolling),
    );
    let fates = [Some((SilentClient::Socket, socket)), stream, poll].into_iter().flatten();
    CheckOutcome::holding(fates.map(|(held, fate)| judge(held, &fate, waited)).collect())
}

async fn hold_socket(visit: &Visit, deadline: Instant) -> HeldFate {
    let begun = Instant::now();
    let answer = match visit.shake_hands(&visit.socket_url(), &visit.page_headers()).await {
        Ok(answer) => answer,
        Err(error) => return HeldFate::NotBegun(error.to_string()),
    };
    let Ok(socket) = answer.socket else {
        return HeldFate::NotBegun(format!("{} instead of an upgrade", answer.head.status.as_u16()));
    };
    let mut conversation = ClientConversation::over(socket);
    let mut is_greeted = false;
    let mut silent_since = begun;
    loop {
        let Ok(heard) = timeout_at(deadline, conversation.hear()).await else { return HeldFate::Stood };
        let after = silent_since.elapsed();
        let how = match heard {
            Ok(HeardNext::Event(_) | HeardNext::Gibberish(_)) if !is_greeted => {
                is_greeted = true;
                silent_since = Instant::now();
                continue;
            }
            Ok(HeardNext::Event(_) | HeardNext::Gibberish(_) | HeardNext::Ping) => {
                return HeldFate::Spoke(after);
            }
            Ok(HeardNext::Closed(Some((code, reason)))) => format!("closed with {code} {reason}"),
            Ok(HeardNext::Closed(None)) => "closed without a code".to_owned(),
            Ok(HeardNext::Ended) => "the end of the connection, without a word".to_owned(),
            Err(error) => error.to_string(),
        };
        return HeldFate::Cut(after, how);
    }
}

async fn hold_session(visit: &Visit, transport: FallbackTransport, deadline: Instant) -> HeldFate {
    let ground = SessionGround { visit, origin: visit.origin.as_deref(), patience: patience(visit) };
    let mut session = TriedSession::new(ground, transport);
    if session.open().await.is_err() {
        return HeldFate::NotBegun("a session like that before did not open".to_owned());
    }
    let begun = Instant::now();
    let how = match session.rest(deadline).await {
        Ok(Ok(())) => return HeldFate::Spoke(begun.elapsed()),
        Err(NoMore::Silent) => return HeldFate::Stood,
        Err(NoMore::Failed(error)) => error,
        Ok(Err(SessionFault::Refused { head, .. })) => head.status.to_string(),
        Ok(Err(SessionFault::Failed { error, .. })) => error,
        Ok(Err(_)) => "the end of the answer".to_owned(),
    };
    HeldFate::Cut(begun.elapsed(), how)
}

fn judge(held: SilentClient, fate: &HeldFate, waited: Duration) -> Finding {
    let seconds = waited.as_secs_f64();
    let tried = format!("{} that says nothing, for {seconds} s at the most", held.words());
    match fate {
        HeldFate::Spoke(after) => {
            Finding::ok(tried, format!("the server spoke after {:.1} s, and it stood", after.as_secs_f32()))
        }
        HeldFate::Stood => Finding::note(
            tried,
            "it stood, and the server said nothing",
            if waited < LONGER {
                "give a longer --idle, such as 60, to see whether it stands until the server speaks (heliostat does within 45 s)"
            } else {
                "nothing has cut it; a server that says nothing of its own accord, as soketi, leaves that to clients, which ping \
                 after the silence that \"greeting\" tells of"
            },
        ),
        HeldFate::Cut(after, how) => Finding::fault(
            tried,
            format!("cut after {:.1} s: {how}", after.as_secs_f32()),
            match held {
                SilentClient::Socket => {
                    "have the proxy wait longer than the server is silent, 100 s for heliostat: nginx `proxy_read_timeout` and \
                     `proxy_send_timeout`, HAProxy `timeout tunnel`, and the idle time-out of every load balancer on the way"
                }
                SilentClient::Stream | SilentClient::Poll => {
                    "have the proxy wait longer than the server is silent, 100 s for heliostat: nginx `proxy_read_timeout`, \
                     HAProxy `timeout server` and `timeout client`, Caddy no `response_header_timeout` or `read_timeout`, and the \
                     idle time-out of every load balancer on the way"
                }
            },
        ),
        HeldFate::NotBegun(why) => {
            Finding::fault(tried, why.clone(), "see what the checks before have found, and try again")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::*;

    #[test]
    fn what_was_cut_names_the_settings_that_cut_it() {
        let waited = Duration::from_secs(60);
        let cut = HeldFate::Cut(Duration::from_millis(2040), "504".to_owned());
        let socket = judge(SilentClient::Socket, &cut, waited);
        assert_eq!((socket.mark, socket.came.as_str()), (Mark::Fault, "cut after 2.0 s: 504"));
        assert!(socket.change.unwrap().contains("timeout tunnel"));
        assert!(judge(SilentClient::Poll, &cut, waited).change.unwrap().contains("timeout server"));
        let spoke = judge(SilentClient::Stream, &HeldFate::Spoke(Duration::from_secs(25)), waited);
        assert_eq!(
            (spoke.mark, spoke.came.as_str()),
            (Mark::Ok, "the server spoke after 25.0 s, and it stood")
        );
        let stood = |seconds| judge(SilentClient::Socket, &HeldFate::Stood, Duration::from_secs(seconds));
        assert_eq!((stood(20).mark, stood(60).mark), (Mark::Note, Mark::Note));
        assert!(stood(20).change.unwrap().contains("a longer --idle"));
        // soketi 1.6.1 says nothing of its own accord.
        assert!(stood(60).change.unwrap().contains("nothing has cut it"));
    }
}
