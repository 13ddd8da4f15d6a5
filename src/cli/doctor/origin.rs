//! Whether a page of the origin that was named may connect: apps may name those that they take.

use std::time::Duration;

use hyper::header::ORIGIN;

use super::check::Check;
use super::conversation::{ClientConversation, HeardNext, read_greeting};
use super::finding::{CheckOutcome, Finding};
use super::greeting;
use super::visit::Visit;

pub(super) const CHECK: Check = Check {
    name: "origin",
    tries: "a WebSocket of the page that --origin names",
    needs: &["tls"],
    within: Duration::from_secs(20),
    run: |visit| Box::pin(connect_as_page(visit)),
};

async fn connect_as_page(visit: &Visit) -> CheckOutcome {
    // Nobody has asked.
    let Some(origin) = &visit.origin else { return CheckOutcome::holding(Vec::new()) };
    judge(origin, visit.greeting.is_some(), first_word(visit, origin).await).into()
}

/// The first that comes, or why nothing does.
async fn first_word(visit: &Visit, origin: &str) -> Result<HeardNext, String> {
    let answer = visit.shake_hands(&visit.socket_url(), &[(ORIGIN.as_str(), origin)]).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let socket = answer.socket.map_err(|_| answer.head.status.to_string())?;
    let mut conversation = ClientConversation::over(socket);
    greeting::first_word(&mut conversation).await.map_err(|error| error.to_string())
}

/// What to think of it; `is_let_in` is whether a client that names no page was.
fn judge(origin: &str, is_let_in: bool, heard: Result<HeardNext, String>) -> Finding {
    let tried = format!("a WebSocket of a page of {origin}");
    let came = match heard {
        Ok(HeardNext::Event(event)) if read_greeting(&event).is_some() => {
            return Finding::ok(tried, "it was let in");
        }
        Ok(HeardNext::Event(event)) => {
            format!("{} {}", event.event, event.sentence())
        }
        Ok(HeardNext::Closed(Some((code, reason)))) => format!("closed with {code}: {reason}"),
        Ok(_) => "the end of the connection".to_owned(),
        Err(error) => error,
    };
    let list = "put the origin on the list of the app (heliostat: allowed_origins), and see whether the proxy has rules of its own \
                for it";
    let change = if is_let_in {
        format!("one that names no page is let in: {list}")
    } else if came.to_lowercase().contains("origin") {
        list.to_owned()
    } else {
        "one that names no page is not let in either: see what \"upgrade\" and \"greeting\" found".to_owned()
    };
    Finding::fault(tried, came, change)
}

#[cfg(test)]
mod tests {
    use super::super::conversation::read_event;
    use super::super::finding::Mark;
    use super::*;

    #[test]
    fn a_page_is_let_in_or_told_why_not() {
        let event = |text| Ok(HeardNext::Event(read_event(text).unwrap()));
        let greeting = r#"{"event":"pusher:connection_established","data":{"socket_id":"1.2"}}"#;
        let error = r#"{"event":"pusher:error","data":{"code":4009,"message":"Origin not allowed"}}"#;
        let closed = HeardNext::Closed(Some((4009, "Origin not allowed".to_owned())));
        for (heard, mark, came) in [
            (event(greeting), Mark::Ok, "it was let in"),
            (event(error), Mark::Fault, "pusher:error Origin not allowed"),
            (Ok(closed), Mark::Fault, "closed with 4009: Origin not allowed"),
            (Err("403 Forbidden".to_owned()), Mark::Fault, "403 Forbidden"),
        ] {
            let finding = judge("https://a.example", true, heard);
            assert_eq!((finding.mark, finding.came.as_str()), (mark, came));
        }
        let change = |code, reason: &str| {
            let closed = HeardNext::Closed(Some((code, reason.to_owned())));
            judge("https://a.example", false, Ok(closed)).change.unwrap()
        };
        assert!(change(4009, "Origin not allowed").starts_with("put the origin on the list"));
        assert!(change(4001, "Could not find app").contains("\"greeting\" found"));
    }
}
