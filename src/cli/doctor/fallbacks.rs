//! The HTTP fallbacks: whether each of them works, and whether something on the way holds its answers back.

use std::time::Duration;

use tokio::time::Instant;

use super::check::Check;
use super::fallback_transport::FallbackTransport;
use super::finding::{CheckOutcome, Finding, Mark};
use super::place::CheckedPlace;
use super::refusal::{JudgedAnswer, read_status};
use super::tried_session::{Awaited, SessionFault, SessionGround, TriedSession};
use super::visit::Visit;

/// How long each part of a session may take, besides ten times what the greeting of the WebSocket took.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) const CHECK: Check = Check {
    name: "fallbacks",
    tries: "sessions over HTTP, as pusher-js and SockJS have them where no WebSocket stands",
    needs: &["tls"],
    within: Duration::from_secs(120),
    run: |visit| Box::pin(try_all(visit)),
};

/// What came of each of them.
type TriedTransport = (FallbackTransport, Result<Duration, SessionFault>);

async fn try_all(visit: &mut Visit) -> CheckOutcome {
    if visit.takes_sockets_alone {
        visit.has_fallbacks = false;
        return CheckOutcome::holding(vec![none_there("this port takes WebSockets alone")]);
    }
    let ground = SessionGround { visit, origin: visit.origin.as_deref(), patience: patience(visit) };
    let [a, b, c, d, e, f, g] = FallbackTransport::ALL.map(|transport| try_one(ground, transport));
    let tried: [TriedTransport; 7] = tokio::join!(a, b, c, d, e, f, g).into();
    let absence = absence(&tried, visit.admin.is_some());
    visit.has_fallbacks = absence.as_ref().is_none_or(|finding| finding.mark == Mark::Fault);
    let findings = match absence {
        Some(finding) => vec![finding],
        None => report(&visit.sockets, &tried, visit.greeted_in),
    };
    let working = tried.iter().filter(|(_, result)| result.is_ok());
    visit.working_fallbacks = working.map(|(transport, _)| *transport).collect();
    // Where nobody takes a session that should, nothing more can be asked of them.
    let is_refused = tried.iter().all(|(transport, result)| refusal(*transport, result).is_some());
    let holds = !(visit.has_fallbacks && is_refused);
    CheckOutcome { findings, holds }
}

/// How long each part of a session may take: a machine that is slow with everything is slow with this as well.
pub(super) fn patience(visit: &Visit) -> Duration {
    PATIENCE + visit.greeted_in.unwrap_or_default() * 10
}

async fn try_one(ground: SessionGround<'_>, transport: FallbackTransport) -> TriedTransport {
    let begun = Instant::now();
    let mut session = TriedSession::new(ground, transport);
    let went = async {
        session.open().await?;
        session.subscribe().await
    };
    (transport, went.await.map(|()| begun.elapsed()))
}

/// What is to be said of them: of those that went alike, once.
fn report(place: &CheckedPlace, tried: &[TriedTransport], greeted_in: Option<Duration>) -> Vec<Finding> {
    let mut findings: Vec<(Vec<&str>, Finding)> = Vec::new();
    for (transport, result) in tried {
        let finding = match result {
            Ok(_) => Finding::ok("", "opened, greeted and subscribed"),
            Err(fault) => of_fault(place, *transport, fault, greeted_in),
        };
        match findings.iter_mut().find(|(_, other)| *other == finding) {
            Some((names, _)) => names.push(transport.name()),
            None => findings.push((vec![transport.name()], finding)),
        }
    }
    let slowest = tried.iter().filter_map(|(_, result)| result.as_ref().ok()).max();
    let told = findings.into_iter().map(|(names, mut finding)| {
        finding.tried = names.join(", ");
        if let (Some(slowest), None) = (slowest, &finding.change) {
            finding.came += &format!(", within {} ms", slowest.as_millis());
        }
        finding
    });
    told.collect()
}

/// The status with which a session was refused from the beginning.
fn refusal(transport: FallbackTransport, result: &Result<Duration, SessionFault>) -> Option<u16> {
    match result {
        Err(SessionFault::Refused { asked, head, .. }) if *asked == transport.receiving().1 => {
            Some(head.status.as_u16())
        }
        _ => None,
    }
}

/// The paths of them, for messages.
const PATHS: &str = "the paths of the fallbacks, /pusher/…";

/// That the server offers none, which is no fault.
fn none_there(came: &str) -> Finding {
    Finding::note(
        PATHS,
        format!(
            "{came}: there are none, so whoever is in a network that lets no WebSocket through cannot connect"
        ),
        "soketi, Reverb, Sockudo and others offer none; if this server does (heliostat, unless fallback.enabled is false), have the \
         proxy pass /pusher/ on to it, beside /app/, /apps/ and /r/",
    )
}

/// What to say where none of them is there; `is_ours` if the server is known to be heliostat, which has them.
fn absence(tried: &[TriedTransport], is_ours: bool) -> Option<Finding> {
    let is_missing = tried.iter().all(|(transport, result)| refusal(*transport, result) == Some(404));
    let page = refusals(tried).find(|answer| answer.is_page());
    let by_page = page.map(|page| format!("{}, which is a page of the proxy's own", page.shown()));
    match by_page {
        None if is_missing => Some(none_there("404")),
        Some(came) if is_missing && is_ours => Some(Finding::fault(
            PATHS,
            came,
            "have the proxy pass /pusher/ on to the broker, beside /app/, /apps/ and /r/",
        )),
        by_page if !is_ours && tried.iter().all(is_of_another) => {
            let came = by_page.filter(|_| is_missing).unwrap_or_else(|| {
                let mut shown: Vec<String> = refusals(tried).map(|answer| answer.shown()).collect();
                shown.sort();
                shown.dedup();
                let by = if shown.is_empty() { String::new() } else { format!(": {}", shown.join(", ")) };
                format!("something answers there that takes no session{by}")
            });
            Some(Finding::warning(
                PATHS,
                came,
                "if the server has them (heliostat does; soketi, Reverb, Sockudo and hosted Pusher do not at this address), have the proxy \
                 pass /pusher/ on to it, beside /app/, /apps/ and /r/; with --admin it is known to be heliostat",
            ))
        }
        _ => None,
    }
}

/// The answers of those that were refused.
fn refusals(tried: &[TriedTransport]) -> impl Iterator<Item = JudgedAnswer<'_>> {
    tried.iter().filter_map(|(_, result)| match result {
        Err(SessionFault::Refused { head, text, .. }) => Some(JudgedAnswer { head, body: text }),
        _ => None,
    })
}

/// Whether this is how a website answers, or another server, that knows of no sessions. What asks for a password, counts
/// requests or does not reach its server says nothing of that.
fn is_of_another((transport, result): &TriedTransport) -> bool {
    match result {
        Err(SessionFault::Ended { awaited }) => *awaited == Awaited::Opening,
        // Pages are compressed; of ours the polls would have come through.
        Err(SessionFault::Compressed { .. }) => true,
        _ => refusal(*transport, result)
            .is_some_and(|status| (300..500).contains(&status) && ![401, 407, 429].contains(&status)),
    }
}

/// Of one fault; the transports that have it are put in front later.
fn of_fault(
    place: &CheckedPlace,
    transport: FallbackTransport,
    fault: &SessionFault,
    greeted_in: Option<Duration>,
) -> Finding {
    let (came, change) = match fault {
        SessionFault::HeldBack { awaited, has_head, waited } => {
            let seconds = waited.as_secs_f32();
            let head = if *has_head { "the head of the answer, but" } else { "no answer, and" };
            let besides = greeted_in.map(|took| format!(", while a WebSocket was greeted in {} ms", took.as_millis()));
            let came = format!(
                "{head} not {} within {seconds:.1} s{}: something on the way keeps the answer back",
                awaited.words(),
                besides.unwrap_or_default()
            );
            (came, of_held_back(transport).to_owned())
        }
        SessionFault::Ended { awaited } => (
            format!("200, and the end of the answer before {}", awaited.words()),
            "see what ends answers on the way, or gives them in the broker's place: the proxy has to pass /pusher/ on \
             unchanged, and to wait longer than the broker is silent"
                .to_owned(),
        ),
        SessionFault::Refused { asked, head, text } => {
            let answer = JudgedAnswer { head, body: text };
            let reading = read_status(place, answer);
            let (came, change) =
                reading.unwrap_or_else(|| (answer.with_sentence(), of_status(transport, asked, answer).to_owned()));
            // Those that receive are told apart by their names.
            let asked = if *asked == transport.receiving().1 { "it" } else { asked };
            (format!("{asked} was answered {came}"), change)
        }
        SessionFault::Compressed { encoding } => (
            format!("Content-Encoding: {encoding}, though the broker says no-transform: what compresses waits for more to come"),
            "have the proxy compress nothing below /pusher/: nginx `gzip off;`, HAProxy no `compression`, Caddy no `encode` there"
                .to_owned(),
        ),
        SessionFault::Closed { code, reason } => (format!("closed with {code} {reason}"), of_code(*code).to_owned()),
        SessionFault::Failed { asked, error } => (
            format!("{asked}: {error}"),
            "see the log of the proxy: it ended the connection, or did not take it".to_owned(),
        ),
    };
    Finding::fault("", came, change)
}

fn of_held_back(transport: FallbackTransport) -> &'static str {
    if transport.is_stream() {
        "have the proxy pass answers on as they come, at least below /pusher/: nginx `proxy_buffering off;` and no \
         `proxy_ignore_headers X-Accel-Buffering;`, Caddy no `buffer_responses` and no `response_buffers`, HAProxy no `http-response wait-for-body`; \
         and have it compress none of them"
    } else {
        "have the proxy pass requests below /pusher/ on at once, and their answers as well"
    }
}

fn of_status(transport: FallbackTransport, asked: &str, answer: JudgedAnswer<'_>) -> &'static str {
    let sends = asked == transport.sending().0;
    match answer.status() {
        500 if answer.body.contains("callback") => {
            "the query was lost on the way: have the proxy pass it on as it comes"
        }
        400 => {
            "have the proxy speak HTTP/1.1 with the broker (nginx: proxy_http_version 1.1): by HTTP/1.0 it passes empty bodies on \
             without a length, which are refused"
        }
        404 if sends => {
            "where several brokers are behind the proxy, have it pass all requests of a session to the same one, by their path, \
             or give each broker a name of its own (fallback.hostname)"
        }
        404 => "have the proxy pass /pusher/ on to the broker with its path unchanged",
        405 => "have the proxy pass every method on, POST and OPTIONS as well",
        413 => "have the proxy take longer bodies: nginx `client_max_body_size`, 1m at the least",
        _ => "see the log of the proxy, and that of the broker, for this request",
    }
}

fn of_code(code: u64) -> &'static str {
    match code {
        4000 => {
            "have the proxy say `X-Forwarded-Proto: https`, and name the proxy in server.trusted_proxies: the app takes no \
             one who did not come over TLS"
        }
        4001 => "give the key of an app that the server has",
        4009 => "put the origin of the page on the app's list, allowed_origins",
        4100 | 4004 => "the server has no room for more connections: see its limits",
        _ => "see the log of the broker",
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::super::refusal::head;
    use super::super::tried_session::Awaited;
    use super::*;

    const ALL: [FallbackTransport; 7] = FallbackTransport::ALL;

    fn all(result: Result<Duration, SessionFault>) -> Vec<TriedTransport> {
        ALL.map(|transport| (transport, result.clone())).to_vec()
    }

    fn place() -> CheckedPlace {
        CheckedPlace::read("https://h").unwrap()
    }

    fn refused(asked: &'static str, status: u16, text: &str) -> SessionFault {
        SessionFault::Refused { asked, head: Box::new(head(status, &[])), text: text.to_owned() }
    }

    #[test]
    fn those_that_went_alike_are_told_of_once() {
        let mut tried = all(Ok(Duration::from_millis(7)));
        let findings = report(&place(), &tried, None);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (findings[0].mark, findings[0].came.as_str()),
            (Mark::Ok, "opened, greeted and subscribed, within 7 ms")
        );
        for n in [0, 2, 5] {
            let waited = Duration::from_secs(5);
            tried[n].1 = Err(SessionFault::HeldBack { awaited: Awaited::Opening, has_head: false, waited });
        }
        let findings = report(&place(), &tried, Some(Duration::from_millis(3)));
        assert_eq!(findings.iter().map(|finding| finding.mark).collect::<Vec<_>>(), [Mark::Fault, Mark::Ok]);
        assert_eq!(findings[0].tried, "XHR streaming, XHR streaming of SockJS, the endless page of SockJS");
        assert_eq!(
            findings[0].came,
            "no answer, and not the frame that opens the session within 5.0 s, while a WebSocket was greeted in 3 ms: \
             something on the way keeps the answer back"
        );
        assert!(findings[0].change.as_ref().unwrap().contains("proxy_buffering off"));
    }

    #[test]
    fn who_answered_that_there_is_nothing_decides_whose_fault_it_is() {
        let absent = |text: &str, is_ours| {
            let tried = ALL.map(|transport| (transport, Err(refused(transport.receiving().1, 404, text))));
            absence(&tried, is_ours).unwrap()
        };
        let html = "<html>\r\n<hr><center>nginx/1.22.1</center>";
        for is_ours in [true, false] {
            assert_eq!(absent("Not found", is_ours).mark, Mark::Note);
            let page = absent(html, is_ours);
            assert_eq!(page.mark, if is_ours { Mark::Fault } else { Mark::Warning });
            assert!(page.came.contains("a page of the proxy's own"), "{page:?}");
            assert!(page.change.as_ref().unwrap().contains("pass /pusher/ on"), "{page:?}");
        }
    }

    #[test]
    fn a_website_in_their_place_is_no_fault_of_a_server_that_may_have_none() {
        let website = ALL.map(|transport| {
            let (method, asked) = transport.receiving();
            let posted = refused(asked, 405, "<html>");
            let compressed = SessionFault::Compressed { encoding: "gzip".to_owned() };
            let ended = SessionFault::Ended { awaited: Awaited::Opening };
            let got = if transport.is_stream() { compressed } else { ended };
            (transport, Err(if method == "POST" { posted } else { got }))
        });
        let finding = absence(&website, false).unwrap();
        assert_eq!(finding.mark, Mark::Warning);
        assert!(finding.came.ends_with("takes no session: 405 Method Not Allowed"), "{finding:?}");
        assert_eq!(absence(&website, true), None, "of heliostat each is told");
        // One that works shows that they are there; a proxy that does not reach its server shows nothing.
        let mut some = website.clone();
        some[3].1 = Ok(Duration::from_millis(7));
        assert_eq!(absence(&some, false), None);
        let unreached =
            ALL.map(|transport| (transport, Err(refused(transport.receiving().1, 502, "<html>"))));
        assert_eq!(absence(&unreached, false), None);
    }

    #[test]
    fn every_fault_says_what_to_change() {
        let stream = FallbackTransport::XhrStreaming;
        for (fault, came, change) in [
            (
                SessionFault::Ended { awaited: Awaited::Greeting },
                "before pusher:connection_established",
                "wait longer",
            ),
            (
                refused("xhr_send", 404, "none"),
                "xhr_send was answered 404 Not Found: none",
                "to the same one",
            ),
            (refused("xhr_streaming", 404, "none"), "it was answered 404", "path unchanged"),
            (refused("xhr_send", 413, "long"), "xhr_send was answered 413", "client_max_body_size"),
            (refused("xhr_streaming", 502, "<b>"), "it was answered 502", "right address and port"),
            (SessionFault::Compressed { encoding: "gzip".to_owned() }, "Content-Encoding: gzip", "gzip off"),
            (
                SessionFault::Closed { code: 4000, reason: "TLS".to_owned() },
                "closed with 4000 TLS",
                "X-Forwarded-Proto",
            ),
            (
                SessionFault::Failed { asked: "xhr_send", error: "reset".to_owned() },
                "xhr_send: reset",
                "log of the proxy",
            ),
        ] {
            let finding = of_fault(&place(), stream, &fault, None);
            assert!(finding.came.contains(came), "{finding:?}");
            assert!(finding.change.as_ref().unwrap().contains(change), "{finding:?}");
        }
    }
}
