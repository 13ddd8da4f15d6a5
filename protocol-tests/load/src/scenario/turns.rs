//! What others on the worker wait for work that could be done in one long turn: the longest wait for a `pusher:pong`
//! while it is done.

use std::io::{Read, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::{Compress, Compression, FlushCompress};

use super::Stage;
use crate::clients::Broken;
use crate::neighbour::Neighbour;
use crate::run::Outcome;
use crate::talker::{Talker, connect, read_until};
use crate::wire::frame::{TEXT, push_client_frame};
use crate::wire::signature::Signer;

/// Subscriptions that are confirmed before more are asked for.
const AT_ONCE: usize = 1000;
const MIB: usize = 1 << 20;

/// Makes the trouble beside a connection that says `pusher:ping`.
pub(super) fn beside(
    stage: &Stage<'_>,
    trouble: impl FnOnce() -> Result<(), Broken>,
) -> Result<Outcome, Broken> {
    let quiet = Duration::from_millis(if stage.quick { 20 } else { 500 });
    let neighbour = Neighbour::pinging(stage.server.address, &stage.server.app)?;
    std::thread::sleep(quiet);
    trouble()?;
    // An end is noticed a little later; a ping that waits for it is waited for.
    std::thread::sleep(quiet);
    let waits = neighbour.stop()?;
    let mut outcome = Outcome::default();
    outcome.add("longest_wait_ms", waits.micros_at(1.0) / 1e3);
    outcome.add("wait_p99_ms", waits.micros_at(0.99) / 1e3);
    outcome.add("wait_p50_ms", waits.micros_at(0.5) / 1e3);
    Ok(outcome)
}

pub(super) fn talker(stage: &Stage<'_>, headers: &str) -> Result<Talker, Broken> {
    Ok(Talker::open(stage.server.address, &stage.server.app.key, headers)?)
}

fn subscribe(channel: &str) -> String {
    format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}"#)
}

/// One connection that is subscribed to so many channels.
fn subscriber(stage: &Stage<'_>, channels: usize) -> Result<Talker, Broken> {
    let mut talker = talker(stage, "")?;
    for first in (0..channels).step_by(AT_ONCE) {
        let wanted = first..channels.min(first + AT_ONCE);
        talker.say(&wanted.clone().map(|number| subscribe(&format!("many-{number}"))).collect::<Vec<_>>())?;
        talker.hear("subscription_succeeded", wanted.len())?;
    }
    Ok(talker)
}

/// Makes a signed request to the HTTP API, on a connection of its own.
pub(super) fn ask(stage: &Stage<'_>, method: &str, resource: &str, body: &str) -> Result<(), Broken> {
    let app = &stage.server.app;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let path = format!("/apps/{}/{resource}", app.id);
    let target = Signer::new(app.clone()).target(method, &path, body.as_bytes(), now);
    send(stage, method, &target, body)
}

/// Makes a request, and reads all of the answer.
fn send(stage: &Stage<'_>, method: &str, target: &str, body: &str) -> Result<(), Broken> {
    let address = stage.server.address;
    let mut stream = connect(address)?;
    let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{length}\r\n");
    stream.write_all((head + body).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer.get(9..12) {
        Some(b"200" | b"204") => Ok(()),
        _ => {
            let said = String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned();
            Err(Broken::Silence(format!("{method} {target} was answered with {said:?}")))
        }
    }
}

/// A connection that is signed in.
pub(super) fn signed_in(stage: &Stage<'_>, signer: &Signer, user_data: &str) -> Result<Talker, Broken> {
    let mut talker = talker(stage, "")?;
    let auth = signer.user(&talker.socket_id, user_data);
    // A text of plain ASCII is quoted in JSON as it is in Rust.
    talker.say(&[format!(
        r#"{{"event":"pusher:signin","data":{{"auth":"{auth}","user_data":{user_data:?}}}}}"#
    )])?;
    talker.hear("signin_success", 1)?;
    Ok(talker)
}

/// So many connections leave at once that have the same hundred users in their watchlists.
pub(super) fn watchers(stage: &Stage<'_>, watchers: usize) -> Result<Outcome, Broken> {
    let users: Vec<String> = (0..100).map(|user| format!("\"watched-{user}\"")).collect();
    let signer = Signer::new(stage.server.app.clone());
    let mut all = Vec::new();
    for number in 0..stage.scaled(watchers) {
        let user_data = format!(r#"{{"id":"watcher-{number}","watchlist":[{}]}}"#, users.join(","));
        all.push(signed_in(stage, &signer, &user_data)?);
    }
    beside(stage, || {
        drop(all);
        Ok(())
    })
}

/// A connection with so many subscriptions ends.
pub(super) fn end(stage: &Stage<'_>, subscriptions: usize) -> Result<Outcome, Broken> {
    let subscriber = subscriber(stage, stage.scaled(subscriptions))?;
    beside(stage, || {
        drop(subscriber);
        Ok(())
    })
}

/// A backend asks which channels there are, of so many.
pub(super) fn channels(stage: &Stage<'_>, channels: usize) -> Result<Outcome, Broken> {
    let _subscriber = subscriber(stage, stage.scaled(channels))?;
    beside(stage, || ask(stage, "GET", "channels", ""))
}

/// A session of XHR streaming is sent a mebibyte of empty messages.
pub(super) fn xhr_send(stage: &Stage<'_>) -> Result<Outcome, Broken> {
    let (address, key) = (stage.server.address, &stage.server.app.key);
    let base = format!("/pusher/app/{key}/1/turns");
    let mut stream = connect(address)?;
    write!(
        stream,
        "POST {base}/xhr_streaming?protocol=7&client=js&version=8.4.0 HTTP/1.1\r\nHost: {address}\r\n\
         Content-Length: 0\r\n\r\n"
    )?;
    read_until(&mut stream, |read| memchr::memmem::find(read, b"connection_established").map(drop))?;
    let body = format!("[{}\"\"]", "\"\",".repeat(stage.scaled(MIB) / 3 - 2));
    beside(stage, || send(stage, "POST", &format!("{base}/xhr_send"), &body))
}

/// A client sends compressed messages, each of a mebibyte when inflated.
pub(super) fn inflating(stage: &Stage<'_>, messages: usize) -> Result<Outcome, Broken> {
    const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; \
                         server_no_context_takeover\r\n";
    let mut talker = talker(stage, OFFER)?;
    let text = format!(
        r#"{{"event":"client-load","channel":"private-nobody","data":"{}"}}"#,
        "x".repeat(MIB - 1024)
    );
    let mut deflated = Vec::with_capacity(MIB);
    let mut compress = Compress::new(Compression::fast(), false);
    compress
        .compress_vec(text.as_bytes(), &mut deflated, FlushCompress::Sync)
        .map_err(|error| Broken::Silence(error.to_string()))?;
    let tail = deflated.len() - 4;
    let mut frames = Vec::new();
    for _ in 0..stage.scaled(messages) {
        // The first reserved bit says that the message is compressed.
        push_client_frame(&mut frames, TEXT | 0x40, &deflated[..tail], [1, 2, 3, 4]);
    }
    beside(stage, || {
        talker.stream.write_all(&frames)?;
        // A server that skipped one would have ended the connection.
        talker.say(&[r#"{"event":"pusher:ping","data":{}}"#.to_owned()])?;
        Ok(talker.hear("", 1)?)
    })
}

/// Events of a latest-only channel whose readers have stopped to read, with outboxes full of something else.
pub(super) fn latest(stage: &Stage<'_>, readers: usize) -> Result<Outcome, Broken> {
    /// What the sockets' buffers hold of a reader with little room, and more.
    const FILLING: usize = 1_500_000 / 10_000;
    /// Below what an outbox may hold.
    const STUFFED: usize = 3500;
    /// Events in a batch.
    const BATCH: usize = 10;
    let mut all = Vec::new();
    for _ in 0..stage.scaled(readers) {
        let mut talker = talker(stage, "")?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&talker.stream, 64 * 1024)
            .map_err(std::io::Error::from)?;
        talker.say(&["latest-picture", "stuffing"].map(subscribe))?;
        talker.hear("subscription_succeeded", 2)?;
        all.push(talker);
    }
    let publish = |channel: &str, bytes: usize, count: usize| -> Result<(), Broken> {
        let event = format!(r#"{{"name":"load","channel":"{channel}","data":"{}"}}"#, "x".repeat(bytes));
        for first in (0..count).step_by(BATCH) {
            let batch = vec![event.as_str(); BATCH.min(count - first)].join(",");
            ask(stage, "POST", "batch_events", &format!(r#"{{"batch":[{batch}]}}"#))?;
        }
        Ok(())
    };
    publish("latest-picture", 10_000, FILLING)?;
    publish("stuffing", 10, stage.scaled(STUFFED))?;
    let outcome = beside(stage, || publish("latest-picture", 1000, 10 * BATCH))?;
    // Whoever was ended had no outbox to search.
    for talker in &mut all {
        rustix::net::sockopt::set_socket_recv_buffer_size(&talker.stream, MIB)
            .map_err(std::io::Error::from)?;
        talker.hear("stuffing", stage.scaled(STUFFED))?;
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_json() {
        assert_eq!(subscribe("many-1"), r#"{"event":"pusher:subscribe","data":{"channel":"many-1"}}"#);
    }
}
