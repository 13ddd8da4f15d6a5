//! Where the servers of an engine are: asked of its sentinels or of its cluster, where it has some.

use std::time::Duration;

use ::redis::{Value, cmd};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

use super::connection::{EngineConnection, text};
use super::names::TAGS;
use super::refusal::StartRefusal;
use super::stream::ServerAddress;
use super::target::RedisTarget;
use crate::cluster::{EngineHost, EnginePlace};

/// The servers of an engine that take what is written, and the one that each tag is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EnginePlaces {
    pub(super) servers: Vec<ServerAddress>,
    pub(super) routes: [u16; TAGS],
}

/// The longest name that a host can have.
const MOST_BYTES_OF_HOST: usize = 255;

/// How long a host is asked alone: where it does not answer, the next one is asked beside it. All nodes have to learn of a fail-over
/// within the time that it takes to miss a peer. Whoever stayed at the old primary alone would take the others for dead.
const ALONE_FOR: Duration = Duration::from_millis(250);

/// Finds them.
pub(super) async fn locate(target: &RedisTarget) -> Result<EnginePlaces, StartRefusal> {
    let only = |server| EnginePlaces { servers: vec![server], routes: [0; TAGS] };
    match &target.place {
        EnginePlace::Sentinel { sentinels, primary } => {
            ask_sentinels(target, sentinels, primary).await.map(only)
        }
        EnginePlace::Cluster(hosts) => ask_cluster(target, hosts).await,
        place => ServerAddress::only(place)
            .map(only)
            .ok_or_else(|| StartRefusal::Changed("the engine is of no kind that is known".to_owned())),
    }
}

async fn ask_sentinels(
    target: &RedisTarget,
    sentinels: &[EngineHost],
    primary: &str,
) -> Result<ServerAddress, StartRefusal> {
    let asks = sentinels.iter().map(|sentinel| ask_sentinel(target, sentinel, primary));
    first_told(asks).await.map(ServerAddress::Host).map_err(|reasons| StartRefusal::NoPrimary {
        primary: primary.to_owned(),
        reason: reasons.join("; "),
    })
}

/// What is told first by any of those that are asked, one after the other.
///
/// # Errors
/// With why each of them does not tell.
async fn first_told<T, E>(
    mut asks: impl Iterator<Item = impl Future<Output = Result<T, E>>>,
) -> Result<T, Vec<E>> {
    let (mut asked, mut reasons) = (FuturesUnordered::new(), Vec::new());
    loop {
        asked.extend(asks.next());
        match timeout(ALONE_FOR, asked.next()).await {
            Ok(Some(Ok(told))) => return Ok(told),
            Ok(Some(Err(reason))) => reasons.push(reason),
            Ok(None) => return Err(reasons),
            // The next one is asked, if there is one.
            Err(_) => {}
        }
    }
}

/// Asks one of them.
///
/// # Errors
/// With why it does not tell, in words.
async fn ask_sentinel(
    target: &RedisTarget,
    sentinel: &EngineHost,
    primary: &str,
) -> Result<EngineHost, String> {
    let address = ServerAddress::Host(sentinel.clone());
    let asking = async {
        let login = &target.sentinel_login;
        let (mut connection, _) =
            EngineConnection::open(&address, target, login, Box::new(|_, _| ())).await?;
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(primary);
        connection.demand(&ask, target).await
    };
    let answer = asking.await.map_err(|refusal| refusal.to_string())?;
    let told = match &answer {
        Value::Array(parts) => host(parts.first(), parts.get(1)),
        _ => None,
    };
    told.ok_or_else(|| format!("the one at {address} knows none"))
}

async fn ask_cluster(target: &RedisTarget, hosts: &[EngineHost]) -> Result<EnginePlaces, StartRefusal> {
    let refusals = match first_told(hosts.iter().map(|host| ask_member(target, host))).await {
        Ok(places) => return Ok(places),
        Err(refusals) => refusals,
    };
    let none = || StartRefusal::Changed("no host of the cluster is named".to_owned());
    Err(refusals.into_iter().next().unwrap_or_else(none))
}

async fn ask_member(target: &RedisTarget, asked: &EngineHost) -> Result<EnginePlaces, StartRefusal> {
    let address = ServerAddress::Host(asked.clone());
    let incomplete =
        |reason: &str| StartRefusal::Incomplete { address: address.to_string(), reason: reason.to_owned() };
    let (mut connection, _) =
        EngineConnection::open(&address, target, &target.login, Box::new(|_, _| ())).await?;
    let mut slots = cmd("CLUSTER");
    slots.arg("SLOTS");
    let ranges = match connection.ask(&slots, target).await? {
        Value::Array(ranges) => ranges,
        Value::ServerError(error) if error.details().is_some_and(|text| text.contains("cluster support")) => {
            return Err(incomplete("it is no Redis Cluster; leave `+cluster` out of the URL"));
        }
        Value::ServerError(error) => return Err(super::connection::refusal(&address, &error, target)),
        _ => return Err(incomplete("it does not tell its slots")),
    };
    let ranges: Vec<(i64, i64, EngineHost)> =
        ranges.iter().filter_map(|range| range_of(range, asked)).collect();
    let (mut servers, mut routes) = (Vec::new(), [0; TAGS]);
    for (tag, route) in routes.iter_mut().enumerate() {
        let mut ask = cmd("CLUSTER");
        ask.arg("KEYSLOT").arg(format!("{{{tag:02x}}}"));
        let Value::Int(slot) = connection.demand(&ask, target).await? else {
            return Err(incomplete("it does not tell the slot of a key"));
        };
        let found = ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        let Some((_, _, host)) = found else { return Err(incomplete("a slot is on none of its nodes")) };
        let server = ServerAddress::Host(host.clone());
        let at = servers.iter().position(|known| *known == server).unwrap_or_else(|| {
            servers.push(server);
            servers.len() - 1
        });
        *route = u16::try_from(at).map_err(|_| incomplete("it has too many nodes"))?;
    }
    Ok(EnginePlaces { servers, routes })
}

/// The slots of a range, and the primary that they are on.
fn range_of(range: &Value, asked: &EngineHost) -> Option<(i64, i64, EngineHost)> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = parts.as_slice() else {
        return None;
    };
    // A node that does not know its own address leaves it out.
    let mut host = host(primary.first(), primary.get(1))?;
    if host.host.is_empty() {
        host.host.clone_from(&asked.host);
    }
    Some((*first, *last, host))
}

fn host(host: Option<&Value>, port: Option<&Value>) -> Option<EngineHost> {
    let host = match host? {
        Value::Nil => String::new(),
        value => text(value)?,
    };
    let port = match port? {
        Value::Int(port) => u16::try_from(*port).ok()?,
        value => text(value)?.parse().ok()?,
    };
    if host.len() > MOST_BYTES_OF_HOST || host.contains(char::is_control) {
        return None;
    }
    Some(EngineHost { host, port })
}
