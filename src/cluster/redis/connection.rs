//! A connection to one server of an engine: requests in their order, and messages as they come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::{Cmd, PushKind, Value, cmd, parse_redis_value};
use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::framing::{Framing, published};
use super::names::Names;
use super::refusal::{StartRefusal, said};
use super::stream::{EngineStream, ServerAddress};
use super::target::RedisTarget;
use crate::app::Secret;
use crate::cluster::EngineLogin;

/// Answers on their way to whoever waits for them.
const ANSWERS: usize = 64;

/// What is read at once.
const READ: usize = 64 * 1024;

/// Is handed each message that comes: its channel and its payload. It never waits.
pub(super) type OnMessage = Box<dyn Fn(&[u8], &[u8]) + Send + Sync>;

/// A connection. Dropping it ends it.
pub(super) struct EngineConnection {
    pub(super) address: ServerAddress,
    /// Where that was when it was connected to.
    pub(super) connected: Option<SocketAddr>,
    write: WriteHalf<Box<dyn EngineStream>>,
    answers: mpsc::Receiver<Value>,
    /// Answers that are still to come. An engine that sends others has lost count, or is none.
    expected: Arc<AtomicUsize>,
    /// Why nothing more comes.
    ended: Arc<Mutex<Option<String>>>,
    reader: AbortHandle,
}

/// What the engine has said of itself when it was greeted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) role: String,
}

impl EngineConnection {
    /// Connects, and says who this node is.
    pub(super) async fn open(
        address: &ServerAddress,
        target: &RedisTarget,
        login: &EngineLogin,
        heard: OnMessage,
    ) -> Result<(Self, Greeting), StartRefusal> {
        let (stream, connected) = address.connect(target).await?;
        let (read, write) = tokio::io::split(stream);
        let (sender, answers) = mpsc::channel(ANSWERS);
        let expected = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(Mutex::new(None));
        let reading = {
            let (expected, ended, limit) = (Arc::clone(&expected), Arc::clone(&ended), target.message_bytes);
            async move {
                let reason = receive(read, limit, &heard, &sender, &expected).await;
                // The reason is there before the answers end.
                *ended.lock() = Some(reason);
                drop(sender);
            }
        };
        let reader = tokio::spawn(reading).abort_handle();
        let mut connection =
            EngineConnection { address: address.clone(), connected, write, answers, expected, ended, reader };
        let greeting = connection.greet(target, login).await?;
        Ok((connection, greeting))
    }

    async fn greet(&mut self, target: &RedisTarget, login: &EngineLogin) -> Result<Greeting, StartRefusal> {
        let mut hello = cmd("HELLO");
        hello.arg(3);
        if let Some(password) = &login.password {
            hello.arg("AUTH").arg(login.user.as_deref().unwrap_or("default")).arg(password.text());
        }
        hello.arg("SETNAME").arg("heliostat");
        let address = self.address.to_string();
        let answer = match self.ask(&hello, target).await? {
            Value::ServerError(error) => {
                let mut reason = without_code(&error);
                // Some repeat what they have not understood.
                if let Some(password) =
                    login.password.as_ref().map(Secret::text).filter(|text| !text.is_empty())
                {
                    reason = reason.replace(password, "…");
                }
                return Err(match error.code() {
                    "NOAUTH" | "WRONGPASS" => StartRefusal::Login { address, reason },
                    "ERR" if reason.contains("unknown command") => {
                        StartRefusal::TooOld { address, version: "before 6.0".to_owned(), least: "6.0" }
                    }
                    "ERR" if reason.contains("AUTH") => StartRefusal::Login { address, reason },
                    _ => self.address.refuses(reason),
                });
            }
            answer => answer,
        };
        read_greeting(answer).ok_or_else(|| self.address.broken("its greeting is none"))
    }

    /// One command and its answer, within the time of the target. An error that the engine answers is an answer.
    pub(super) async fn ask(&mut self, command: &Cmd, target: &RedisTarget) -> Result<Value, StartRefusal> {
        let answers = self.request(&command.get_packed_command(), 1, target.connect_timeout).await;
        match answers.map(|mut answers| answers.pop()) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) | Err(Unanswered::Late) => Err(self.address.silent(target)),
            Err(Unanswered::Broken(reason)) => Err(self.address.broken(reason)),
        }
    }

    /// The same; an error that the engine answers is one, and names the permission if that is what is lacking.
    pub(super) async fn demand(
        &mut self,
        command: &Cmd,
        target: &RedisTarget,
    ) -> Result<Value, StartRefusal> {
        match self.ask(command, target).await? {
            Value::ServerError(error) => Err(refusal(&self.address, &error, target)),
            answer => Ok(answer),
        }
    }

    /// Commands that are packed already, and as many answers as are asked for, in order.
    pub(super) async fn request(
        &mut self,
        packed: &[u8],
        count: usize,
        within: Duration,
    ) -> Result<Vec<Value>, Unanswered> {
        self.expected.fetch_add(count, Ordering::AcqRel);
        let (write, answers) = (&mut self.write, &mut self.answers);
        let writing = async {
            write.write_all(packed).await?;
            write.flush().await
        };
        let collecting = async {
            let mut found = Vec::with_capacity(count);
            while found.len() < count {
                match answers.recv().await {
                    Some(answer) => found.push(answer),
                    None => return None,
                }
            }
            Some(found)
        };
        // Answers are taken while the commands are still written, or both sides could wait for each other.
        let both = async {
            tokio::pin!(writing, collecting);
            tokio::select! {
                written = &mut writing => match written {
                    Ok(()) => collecting.await.ok_or_else(|| self.ended.lock().clone().unwrap_or_default()),
                    Err(error) => Err(error.to_string()),
                },
                found = &mut collecting => found.ok_or_else(|| self.ended.lock().clone().unwrap_or_default()),
            }
        };
        timeout(within, both).await.map_err(|_| Unanswered::Late)?.map_err(Unanswered::Broken)
    }

    /// Waits for the end, while nothing is asked; says why it ended.
    pub(super) async fn ended(&mut self) -> String {
        while self.answers.recv().await.is_some() {}
        self.ended.lock().clone().unwrap_or_default()
    }
}

impl Drop for EngineConnection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Why a request has no answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    Late,
    Broken(String),
}

/// Reads until nothing more comes; says why.
async fn receive(
    mut stream: ReadHalf<Box<dyn EngineStream>>,
    limit: usize,
    heard: &OnMessage,
    answers: &mpsc::Sender<Value>,
    expected: &AtomicUsize,
) -> String {
    let (mut framing, mut read) = (Framing::new(limit), BytesMut::new());
    loop {
        read.reserve(READ);
        match stream.read_buf(&mut read).await {
            Ok(0) => return "it was closed".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
        loop {
            let value = match framing.take(&mut read) {
                Ok(Some(value)) => value,
                Ok(None) => break,
                Err(bad) => return bad.to_string(),
            };
            if let Some((channel, payload)) = published(&value) {
                heard(channel, payload);
                continue;
            }
            let Ok(answer) = parse_redis_value(&value) else { return "what it sends is no value".to_owned() };
            let fewer = |count: usize| count.checked_sub(1);
            if expected.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer).is_err() {
                return unasked(&answer).to_owned();
            }
            if answers.send(answer).await.is_err() {
                return "nobody reads it".to_owned();
            }
        }
    }
}

/// What it means that something comes that is no answer.
fn unasked(value: &Value) -> &'static str {
    match value {
        Value::Push { kind: PushKind::SUnsubscribe, .. } => {
            "it has ended a subscription, whose slot has moved"
        }
        Value::Push { kind: PushKind::Disconnection, .. } => "it was closed",
        _ => "it sends what it was not asked for",
    }
}

/// Whether an answer confirms that a subscription to this name has begun or ended.
pub(super) fn confirms(answer: &Value, name: &str) -> bool {
    use PushKind::{SSubscribe, SUnsubscribe, Subscribe, Unsubscribe};
    let Value::Push { kind: Subscribe | SSubscribe | Unsubscribe | SUnsubscribe, data } = answer else {
        return false;
    };
    matches!(data.first(), Some(Value::BulkString(of)) if of == name.as_bytes())
}

/// What an error that the engine has answered means for the connection.
pub(super) fn refusal(
    address: &ServerAddress,
    error: &::redis::ServerError,
    target: &RedisTarget,
) -> StartRefusal {
    let (address, reason) = (address.to_string(), without_code(error));
    match error.code() {
        // What a script lacks has no code of its own.
        code if code == "NOPERM" || reason.starts_with("The user executing the script can't") => {
            let rule = Names::new(Arc::clone(&target.prefix)).acl_rule(target.is_cluster());
            StartRefusal::Permission { address, reason, rule }
        }
        "NOAUTH" | "WRONGPASS" => StartRefusal::Login { address, reason },
        "READONLY" => StartRefusal::Replica { address },
        _ => StartRefusal::Refuses { address, reason },
    }
}

/// The text of an error: its code, too, unless that says nothing.
pub(super) fn without_code(error: &::redis::ServerError) -> String {
    match (error.code(), error.details()) {
        ("ERR" | "NOPERM" | "WRONGPASS" | "NOAUTH", Some(details)) => said(details),
        (code, details) => said(format!("{code} {}", details.unwrap_or_default()).trim_end()),
    }
}

/// The text of an answer that is one.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Okay => Some("OK".to_owned()),
        _ => None,
    }
}

/// Reads what the engine answers to `HELLO`.
pub(super) fn read_greeting(answer: Value) -> Option<Greeting> {
    let Value::Map(pairs) = answer else { return None };
    let named = |name: &str| {
        pairs.iter().find_map(|(key, value)| (text(key)?.as_str() == name).then(|| text(value)).flatten())
    };
    // A sentinel has no role in it.
    Some(Greeting { version: named("version")?, role: named("role").unwrap_or_default() })
}
