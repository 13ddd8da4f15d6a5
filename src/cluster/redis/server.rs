//! One server of an engine, joined: a connection that publishes and one that hears, and what was found out about it.

use std::sync::Arc;

use ::redis::{Cmd, Value, cmd};

use super::connection::{EngineConnection, Greeting, OnMessage, Unanswered, confirms, refusal, text};
use super::joined::{ANSWER_WITHIN, BATCH_SUBSCRIPTIONS};
use super::keeping;
use super::names::Names;
use super::refusal::{StartRefusal, said};
use super::scripts::Scripts;
use super::stream::ServerAddress;
use super::target::RedisTarget;

/// A server that was joined.
pub(super) struct JoinedServer {
    pub(super) publishing: EngineConnection,
    pub(super) hearing: EngineConnection,
    /// The process: another one after each restart.
    pub(super) run_id: String,
    /// The set of data: another one after it was emptied.
    pub(super) marker: String,
    pub(super) scripts: Scripts,
}

/// The commands of one kind of engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verbs {
    pub(super) publish: &'static str,
    pub(super) subscribe: &'static str,
    pub(super) unsubscribe: &'static str,
    least: &'static str,
    least_major: u32,
}

impl Verbs {
    pub(super) fn of(target: &RedisTarget) -> Self {
        if target.is_cluster() {
            Verbs {
                publish: "SPUBLISH",
                subscribe: "SSUBSCRIBE",
                unsubscribe: "SUNSUBSCRIBE",
                least: "7.0",
                least_major: 7,
            }
        } else {
            Verbs {
                publish: "PUBLISH",
                subscribe: "SUBSCRIBE",
                unsubscribe: "UNSUBSCRIBE",
                least: "6.0",
                least_major: 6,
            }
        }
    }
}

/// Joins a server: sees that it is one that this node can use, with all that it will ask of it.
pub(super) async fn join(
    address: &ServerAddress,
    target: &RedisTarget,
    tag: usize,
    heard: OnMessage,
) -> Result<JoinedServer, StartRefusal> {
    let (mut publishing, greeting) =
        EngineConnection::open(address, target, &target.login, Box::new(|_, _| ())).await?;
    suits(address, target, &greeting)?;
    let names = Names::new(Arc::clone(&target.prefix));
    if target.database != 0 {
        publishing.demand(cmd("SELECT").arg(target.database), target).await?;
    }
    let info = publishing.demand(cmd("INFO").arg("server"), target).await?;
    let run_id = text(&info).and_then(|info| {
        info.lines().find_map(|line| line.strip_prefix("run_id:")).map(|id| id.trim().to_owned())
    });
    let run_id = run_id.ok_or_else(|| address.broken("it does not tell its run_id"))?;
    let marker = mark(&mut publishing, target, &names, tag).await?;
    let scripts = load(&mut publishing, target).await?;
    let (mut hearing, _) = EngineConnection::open(address, target, &target.login, heard).await?;
    try_all(&mut publishing, &mut hearing, target, &names, tag, &scripts).await?;
    Ok(JoinedServer { publishing, hearing, run_id, marker, scripts })
}

/// Whether it is new enough, and takes what is written.
fn suits(address: &ServerAddress, target: &RedisTarget, greeting: &Greeting) -> Result<(), StartRefusal> {
    let verbs = Verbs::of(target);
    let major = greeting.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < verbs.least_major) {
        let version = said(&greeting.version);
        return Err(StartRefusal::TooOld { address: address.to_string(), version, least: verbs.least });
    }
    is_primary(address, greeting)
}

/// Whether it takes what is written. A copy of another would publish to its own clients only.
pub(super) fn is_primary(address: &ServerAddress, greeting: &Greeting) -> Result<(), StartRefusal> {
    match greeting.role.as_str() {
        "master" => Ok(()),
        _ => Err(StartRefusal::Replica { address: address.to_string() }),
    }
}

/// The mark of the set of data; the first who comes sets it.
async fn mark(
    connection: &mut EngineConnection,
    target: &RedisTarget,
    names: &Names,
    tag: usize,
) -> Result<String, StartRefusal> {
    let key = names.marker(tag);
    // An engine whose memory is full takes no mark, but has one.
    if let Some(found) = text(&connection.demand(cmd("GET").arg(&key), target).await?) {
        return Ok(found);
    }
    let own = format!("{:032x}", rand::random::<u128>());
    connection.demand(cmd("SET").arg(&key).arg(own).arg("NX"), target).await?;
    let found = connection.demand(cmd("GET").arg(&key), target).await?;
    text(&found).ok_or_else(|| connection.address.broken("its data has no mark"))
}

/// Gives it the scripts.
pub(super) async fn load(
    connection: &mut EngineConnection,
    target: &RedisTarget,
) -> Result<Scripts, StartRefusal> {
    let mut names = Vec::new();
    for command in Scripts::load() {
        let name = connection.demand(&command, target).await?;
        names.push(text(&name).ok_or_else(|| connection.address.broken("it does not name a script"))?);
    }
    let [remember, restore, recall, miss, read, write, note, keep, kept] =
        names.try_into().map_err(|_| connection.address.broken("it does not name a script"))?;
    Ok(Scripts { remember, restore, recall, miss, read, write, note, keep, kept })
}

/// Tries every command, so that a permission that is missing is told now.
async fn try_all(
    publishing: &mut EngineConnection,
    hearing: &mut EngineConnection,
    target: &RedisTarget,
    names: &Names,
    tag: usize,
    scripts: &Scripts,
) -> Result<(), StartRefusal> {
    let (verbs, trial, number) = (Verbs::of(target), names.trial(tag), names.number(tag));
    hearing.demand(cmd(verbs.subscribe).arg(&trial), target).await?;
    hearing.demand(cmd(verbs.unsubscribe).arg(&trial), target).await?;
    publishing.demand(cmd(verbs.publish).arg(&trial).arg(""), target).await?;
    let mut remember = cmd("EVALSHA");
    let missed = names.trial(tag) + ":missed";
    remember.arg(&scripts.remember).arg(3).arg(&number).arg(&trial).arg(&missed);
    remember.arg("").arg(1).arg(verbs.publish).arg(&trial);
    let mut recall = cmd("EVALSHA");
    recall.arg(&scripts.recall).arg(1).arg(&trial).arg(0);
    let mut miss = cmd("EVALSHA");
    miss.arg(&scripts.miss).arg(2).arg(&trial).arg(&missed).arg(1);
    let mut tried = vec![remember, recall, miss];
    tried.extend(try_streams(target, names, tag, scripts));
    if tag == 0 {
        let of_hash = |verb: &str| {
            let mut command = cmd(verb);
            command.arg(names.trial(0) + ":hash").arg("a");
            command
        };
        let mut set = of_hash("HSET");
        set.arg("a");
        tried.extend([set, of_hash("HGET"), of_hash("HDEL")]);
    }
    for command in tried {
        if let Value::ServerError(error) = publishing.ask(&command, target).await?
            && !is_for_now(error.code())
        {
            return Err(refusal(&publishing.address, &error, target));
        }
    }
    Ok(())
}

/// What tries the commands that streams take.
fn try_streams(target: &RedisTarget, names: &Names, tag: usize, scripts: &Scripts) -> [Cmd; 2] {
    let (trial, verbs) = (names.trial(tag), Verbs::of(target));
    let keys = ["last", "kept", "number", "remembered", "missed"].map(|key| format!("{trial}:{key}"));
    let (mut keep, mut kept) = (cmd("EVALSHA"), cmd("EVALSHA"));
    keep.arg(&scripts.keep).arg(keys.len()).arg(&keys);
    keeping::add_arguments(&mut keep, b"", verbs.publish, &trial, &keeping::TRIED);
    kept.arg(&scripts.kept).arg(2).arg(&keys[..2]);
    keeping::add_page(&mut kept, 0, (1, 0), 0);
    [keep, kept]
}

/// Whether an error will pass, and publications are carried nevertheless: the memory is full, or a slot is about to move.
fn is_for_now(code: &str) -> bool {
    matches!(code, "OOM" | "ASK" | "TRYAGAIN")
}

/// Whether the server is still what it was when it was joined, by what it has answered just now.
pub(super) fn is_unchanged(
    address: &ServerAddress,
    marker: &str,
    greeting: Option<Greeting>,
    found: &Value,
) -> Result<(), StartRefusal> {
    let greeting = greeting.ok_or_else(|| address.broken("its greeting is none"))?;
    is_primary(address, &greeting)?;
    if text(found).as_deref() == Some(marker) {
        return Ok(());
    }
    Err(StartRefusal::Changed(format!("the engine at {address} was emptied")))
}

/// Subscribes to all of these.
pub(super) async fn subscribe(
    hearing: &mut EngineConnection,
    target: &RedisTarget,
    names: &[Arc<str>],
) -> Result<(), StartRefusal> {
    let verbs = Verbs::of(target);
    for names in names.chunks(BATCH_SUBSCRIPTIONS) {
        let packed = names.iter().flat_map(|name| cmd(verbs.subscribe).arg(&**name).get_packed_command());
        let packed: Vec<u8> = packed.collect();
        let answers = hearing.request(&packed, names.len(), ANSWER_WITHIN).await;
        let answers = answers.map_err(|reason| unanswered(&hearing.address, target, reason))?;
        for (answer, name) in answers.into_iter().zip(names) {
            match answer {
                Value::ServerError(error) => return Err(refusal(&hearing.address, &error, target)),
                answer if confirms(&answer, name) => {}
                _ => return Err(hearing.address.broken("it confirms what it was not asked for")),
            }
        }
    }
    Ok(())
}

/// What it means for a connection that it has not answered.
pub(super) fn unanswered(address: &ServerAddress, target: &RedisTarget, reason: Unanswered) -> StartRefusal {
    match reason {
        Unanswered::Late => address.silent(target),
        Unanswered::Broken(reason) => address.broken(reason),
    }
}
