//! Redis as the engine: standalone, found by its sentinels, or a Redis Cluster.
//!
//! Every server of it is joined by two connections, one that publishes and one that hears; with the first trouble of any of
//! them all are joined anew, and what is wanted is subscribed to before the link is up again.

mod connection;
mod framing;
mod joined;
mod keeping;
mod lookup;
mod names;
mod outbox;
mod places;
mod probes;
mod refusal;
mod scripts;
mod server;
mod session;
mod stream;
mod stream_scripts;
mod target;
#[cfg(test)]
mod tests;
mod traffic;
mod wanted;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Cmd, Value, cmd};
use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::adapter::{
    self, Adapter, Conflict, Document, EngineError, EngineTicket, Keeping, KeptPage, Link, NoteName,
    OtherNote, OutboxCounts, OutboxFull, Remembered, Subject,
};
use super::inbox::Inbox;
use crate::channel::NodeId;
use joined::JoinedEngine;
use names::{Names, tag};
use outbox::{Asker, EngineCommand, EngineOutbox};
pub(crate) use refusal::StartRefusal;
use scripts::{Scripts, millis, publish, read_numbered};
use server::Verbs;
pub(crate) use target::RedisTarget;

/// How long this node waits before it tries to join again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sees whether an engine can be joined: that it can be reached, is new enough, takes what is written, and lets this user do
/// all that a node does.
///
/// # Errors
/// With what keeps it from that.
pub(crate) async fn check(target: &RedisTarget) -> Result<(), StartRefusal> {
    let places = places::locate(target).await?;
    for (index, address) in places.servers.iter().enumerate() {
        let tag = places.routes.iter().position(|route| usize::from(*route) == index).unwrap_or_default();
        server::join(address, target, tag, Box::new(|_, _| ())).await?;
    }
    Ok(())
}

/// A node's place at a Redis. Dropping it leaves.
pub(crate) struct RedisAdapter {
    joined: Arc<JoinedEngine>,
    verbs: Verbs,
    task: AbortHandle,
}

impl RedisAdapter {
    /// Joins an engine, now or when it is there. Within a runtime, on which the connections are then served.
    pub(crate) fn join(target: RedisTarget, inbox: Inbox) -> Self {
        let away = Link::Away { since: Instant::now(), reason: "it is not yet joined".into() };
        let joined = Arc::new(JoinedEngine {
            names: Names::new(Arc::clone(&target.prefix)),
            me: NodeId::new(rand::random()),
            inbox,
            outbox: EngineOutbox::new(target.outgoing_words, target.outgoing_bytes),
            wanted: Default::default(),
            link: watch::Sender::new(away),
            foreign: Default::default(),
            scripts: Default::default(),
            target,
        });
        let verbs = Verbs::of(&joined.target);
        let task = tokio::spawn(stay(Arc::clone(&joined))).abort_handle();
        RedisAdapter { joined, verbs, task }
    }

    fn say(
        &self,
        subject: &Subject,
        packed: Vec<u8>,
        bytes: usize,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull> {
        if bytes > self.joined.target.most_bytes() {
            // Whoever heard it would take the engine for none.
            return Err(self.joined.outbox.refuse());
        }
        let to = Asker::Said { bytes, is_event: subject.is_of_events(), ticket };
        self.joined.outbox.push(tag(subject), EngineCommand { packed, to })
    }

    /// Sends a command to where a tag is, now; its answer comes later.
    fn ask(
        &self,
        tag: usize,
        command: Result<Cmd, EngineError>,
    ) -> impl Future<Output = Result<Value, EngineError>> + Send + 'static {
        let (asker, asked) = oneshot::channel();
        let pushed = command.and_then(|command| {
            let command = EngineCommand { packed: command.get_packed_command(), to: Asker::Asked(asker) };
            let full = |_| EngineError::Refused("too much waits to be sent to it".to_owned());
            self.joined.outbox.push(tag, command).map_err(full)
        });
        async move {
            pushed?;
            asked.await.unwrap_or(Err(EngineError::Away))
        }
    }

    /// The command that calls a script; none before an engine was joined.
    fn call(&self, script: impl FnOnce(&Scripts) -> &String, keys: &[String]) -> Result<Cmd, EngineError> {
        let scripts = self.joined.scripts.lock();
        let script = script(scripts.as_ref().ok_or(EngineError::Away)?);
        let mut call = cmd("EVALSHA");
        call.arg(script).arg(keys.len()).arg(keys);
        Ok(call)
    }
}

/// Joins again and again, as long as the adapter is there.
async fn stay(joined: Arc<JoinedEngine>) {
    let ending = EndingStay(joined);
    let joined = &ending.0;
    let mut pause = FIRST_PAUSE;
    loop {
        let trouble = session::session(joined).await;
        let was_up = matches!(*joined.link.borrow(), Link::Up { .. });
        if was_up {
            tracing::warn!(reason = %trouble, "the engine of the cluster is away");
            pause = FIRST_PAUSE;
        }
        lose(joined, trouble.to_string().into());
        // Nodes that have lost the engine at once do not come back at once.
        sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The link is away from now on, and nothing waits for it.
fn lose(joined: &JoinedEngine, reason: Arc<str>) {
    joined.link.send_modify(|link| {
        let since = if let Link::Away { since, .. } = link { *since } else { Instant::now() };
        *link = Link::Away { since, reason };
    });
    joined.outbox.close();
    joined.wanted.close();
}

/// Has the link be away also where the task that joins has panicked: nobody joins again then.
struct EndingStay(Arc<JoinedEngine>);

impl Drop for EndingStay {
    fn drop(&mut self) {
        lose(&self.0, "the task that joins it has ended: restart this node".into());
    }
}

impl Adapter for RedisAdapter {
    fn publish(
        &self,
        subject: &Subject,
        bytes: Bytes,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull> {
        let packed = publish(self.verbs.publish, &self.joined.names.channel(subject), &bytes);
        self.say(subject, packed, bytes.len(), ticket)
    }

    fn publish_and_remember(
        &self,
        subject: &Subject,
        bytes: Bytes,
        expiry: Duration,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull> {
        let (tag, names) = (tag(subject), &self.joined.names);
        let keys = [names.number(tag), names.remembered(subject), names.missed(subject)];
        match self.call(|scripts| &scripts.remember, &keys) {
            Ok(mut call) => {
                call.arg(&bytes[..]).arg(millis(expiry)).arg(self.verbs.publish).arg(names.channel(subject));
                self.say(subject, call.get_packed_command(), bytes.len(), ticket)
            }
            Err(away) => {
                adapter::answer(ticket, Err(away));
                Ok(())
            }
        }
    }

    fn restore(
        &self,
        subject: &Subject,
        bytes: Bytes,
        expiry: Duration,
        over: u64,
    ) -> impl Future<Output = Result<bool, EngineError>> + Send {
        let (tag, names) = (tag(subject), &self.joined.names);
        let keys = [names.number(tag), names.remembered(subject), names.missed(subject)];
        let is_short = bytes.len() <= self.joined.target.most_bytes();
        let too_long = || EngineError::Refused("the event is longer than is read".to_owned());
        let call = if is_short { self.call(|scripts| &scripts.restore, &keys) } else { Err(too_long()) };
        let call = call.map(|mut call| {
            call.arg(&bytes[..]).arg(millis(expiry)).arg(self.verbs.publish).arg(names.channel(subject));
            call.arg(over);
            call
        });
        let asked = self.ask(tag, call);
        async move { Ok(asked.await? == Value::Int(1)) }
    }

    fn recall(
        &self,
        subject: &Subject,
    ) -> impl Future<Output = Result<Option<Remembered>, EngineError>> + Send {
        let key = [self.joined.names.remembered(subject)];
        let call = self.call(|scripts| &scripts.recall, &key).map(|mut call| {
            call.arg(self.joined.target.most_bytes());
            call
        });
        let asked = self.ask(tag(subject), call);
        async move { Ok(read_remembered(&asked.await?)) }
    }

    fn publish_and_keep(
        &self,
        subject: &Subject,
        bytes: Bytes,
        keeping: &Keeping,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull> {
        let (tag, names) = (tag(subject), &self.joined.names);
        let (last, kept, number) = (names.last(subject), names.kept(subject), names.number(tag));
        let keys = [last, kept, number, names.remembered(subject), names.missed(subject)];
        let most = self.joined.target.most_bytes();
        if bytes.len() > most {
            // That will not change: whoever is to say it again says it in vain.
            self.joined.outbox.refuse();
            let why = format!(
                "an event is to have no more than {most} bytes, as cluster.message_bytes has it, got {}",
                bytes.len()
            );
            adapter::answer(ticket, Err(EngineError::Refused(why)));
            return Ok(());
        }
        match self.call(|scripts| &scripts.keep, &keys) {
            Ok(mut call) => {
                let channel = names.channel(subject);
                keeping::add_arguments(&mut call, &bytes, self.verbs.publish, &channel, keeping);
                self.say(subject, call.get_packed_command(), bytes.len(), ticket)
            }
            Err(away) => {
                adapter::answer(ticket, Err(away));
                Ok(())
            }
        }
    }

    fn kept(
        &self,
        subject: &Subject,
        behind: u64,
        most: (usize, usize),
    ) -> impl Future<Output = Result<KeptPage, EngineError>> + Send {
        let names = &self.joined.names;
        let keys = [names.last(subject), names.kept(subject)];
        let call = self.call(|scripts| &scripts.kept, &keys).map(|mut call| {
            keeping::add_page(&mut call, behind, most, self.joined.target.most_bytes());
            call
        });
        let asked = self.ask(tag(subject), call);
        async move {
            let strange = || EngineError::Refused("what it answers is no part of a stream".to_owned());
            keeping::read_page(&asked.await?).ok_or_else(strange)
        }
    }

    fn note_miss(
        &self,
        subject: &Subject,
        expiry: Duration,
    ) -> impl Future<Output = Result<bool, EngineError>> + Send {
        let keys = [self.joined.names.remembered(subject), self.joined.names.missed(subject)];
        let call = self.call(|scripts| &scripts.miss, &keys).map(|mut call| {
            call.arg(millis(expiry));
            call
        });
        let asked = self.ask(tag(subject), call);
        async move { Ok(asked.await? == Value::Int(1)) }
    }

    fn subscribe(&self, subject: &Subject, ticket: Option<EngineTicket>) {
        self.joined.wanted.change(self.joined.names.channel(subject), subject, true, ticket);
    }

    fn unsubscribe(&self, subject: &Subject) {
        self.joined.wanted.change(self.joined.names.channel(subject), subject, false, None);
    }

    fn write_document(
        &self,
        key: &str,
        expected: u64,
        bytes: Option<Bytes>,
    ) -> impl Future<Output = Result<Result<u64, Conflict>, EngineError>> + Send {
        let (names, at) = (&self.joined.names, tag(&Subject::Documents));
        let is_short = bytes.as_ref().is_none_or(|bytes| bytes.len() <= self.joined.target.most_bytes());
        let too_long = || EngineError::Refused("the document is longer than is read".to_owned());
        let call = self.call(|scripts| &scripts.write, &[names.number(at), names.documents()]);
        let call = if is_short { call } else { Err(too_long()) };
        let call = call.map(|mut call| {
            let is_written = u8::from(bytes.is_some());
            call.arg(key).arg(expected).arg(is_written).arg(&bytes.unwrap_or_default()[..]);
            call.arg(self.verbs.publish).arg(names.channel(&Subject::Documents));
            call
        });
        let asked = self.ask(at, call);
        async move {
            let strange = || EngineError::Refused("what it answers is no version".to_owned());
            read_written(&asked.await?).ok_or_else(strange)
        }
    }

    fn document(&self, key: &str) -> impl Future<Output = Result<Option<Document>, EngineError>> + Send {
        let most = self.joined.target.most_bytes();
        let call = self.call(|scripts| &scripts.read, &[self.joined.names.documents()]).map(|mut call| {
            call.arg(key).arg(most);
            call
        });
        let (asked, key) = (self.ask(tag(&Subject::Documents), call), Arc::from(key));
        async move { Ok(read_document(&asked.await?, key)) }
    }

    fn write_note(
        &self,
        name: &NoteName,
        expected: Option<Bytes>,
        note: Option<(Bytes, Duration)>,
    ) -> impl Future<Output = Result<Result<(), OtherNote>, EngineError>> + Send {
        let most = self.joined.target.most_bytes();
        let (at, key) = self.joined.names.note(name);
        let is_short = note.as_ref().is_none_or(|(note, _)| note.len() <= most);
        let too_long = || EngineError::Refused("the note is longer than is read".to_owned());
        let call = if is_short { self.call(|scripts| &scripts.note, &[key]) } else { Err(too_long()) };
        let call = call.map(|mut call| {
            call.arg(u8::from(expected.is_some())).arg(&expected.unwrap_or_default()[..]);
            let is_written = u8::from(note.is_some());
            let (note, expiry) = note.unwrap_or_default();
            call.arg(is_written).arg(&note[..]).arg(millis(expiry)).arg(most);
            call
        });
        let asked = self.ask(at, call);
        async move {
            let strange = || EngineError::Refused("what it answers is no note".to_owned());
            read_noted(&asked.await?).ok_or_else(strange)
        }
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.joined.link.subscribe()
    }

    fn outbox(&self) -> OutboxCounts {
        self.joined.outbox.counts()
    }

    fn foreign_words(&self) -> u64 {
        self.joined.foreign.get()
    }
}

impl Drop for RedisAdapter {
    fn drop(&mut self) {
        self.task.abort();
        self.joined.outbox.close();
        self.joined.wanted.close();
    }
}

impl fmt::Debug for RedisAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisAdapter").field(&self.joined.target).finish()
    }
}

fn read_remembered(answer: &Value) -> Option<Remembered> {
    let Value::Array(parts) = answer else { return None };
    let [Value::BulkString(text), Value::Int(millis)] = parts.as_slice() else { return None };
    let (number, bytes) = read_numbered(text)?;
    let expires_in = Duration::from_millis(u64::try_from(*millis).ok()?);
    Some(Remembered { bytes: Bytes::copy_from_slice(bytes), number, expires_in })
}

fn read_written(answer: &Value) -> Option<Result<u64, Conflict>> {
    let Value::Array(parts) = answer else { return None };
    let [Value::Int(is_done), Value::BulkString(text)] = parts.as_slice() else { return None };
    let (version, _) = read_numbered(text)?;
    Some(if *is_done == 1 { Ok(version) } else { Err(Conflict { version }) })
}

fn read_noted(answer: &Value) -> Option<Result<(), OtherNote>> {
    let Value::Array(parts) = answer else { return None };
    match parts.as_slice() {
        [Value::Int(1), _] => Some(Ok(())),
        [_, Value::BulkString(found)] => Some(Err(OtherNote(Some(Bytes::copy_from_slice(found))))),
        [_, Value::Nil] => Some(Err(OtherNote(None))),
        _ => None,
    }
}

/// What was written by somebody else, and has no version, is none.
fn read_document(answer: &Value, key: Arc<str>) -> Option<Document> {
    let Value::BulkString(value) = answer else { return None };
    let (version, bytes) = read_numbered(value)?;
    Some(Document { key, version, bytes: Bytes::copy_from_slice(bytes) })
}
