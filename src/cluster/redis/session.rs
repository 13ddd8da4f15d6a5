//! One time of being joined to an engine: from finding its servers to the first trouble with any of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{select_all, try_join_all};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::joined::JoinedEngine;
use super::places::{EnginePlaces, locate};
use super::probes::{AllProbes, EngineProbes, probe};
use super::refusal::StartRefusal;
use super::server::{self, JoinedServer};
use super::traffic::{change_all, hears, publish_all};
use crate::cluster::EnginePlace;
use crate::cluster::adapter::EngineId;

/// How often sentinels and the nodes of a cluster are asked for what has moved.
const PLACES_EVERY: Duration = Duration::from_secs(2);

/// One server of the engine, and the first tag that is on it.
struct JoinedPart {
    index: usize,
    tag: usize,
    probes: Arc<EngineProbes>,
    server: JoinedServer,
}

/// Joins the engine and carries everything to and fro until there is trouble; says which.
pub(super) async fn session(of: &Arc<JoinedEngine>) -> StartRefusal {
    let places = match locate(&of.target).await {
        Ok(places) => places,
        Err(refusal) => return refusal,
    };
    let came = Arc::default();
    match join_all(of, &places, &came).await {
        Ok(parts) => carry(of, &places, parts, came).await,
        Err(refusal) => refusal,
    }
}

async fn join_all(
    of: &Arc<JoinedEngine>,
    places: &EnginePlaces,
    came: &Arc<Notify>,
) -> Result<Vec<JoinedPart>, StartRefusal> {
    let joining = places.servers.iter().enumerate().map(|(index, address)| async move {
        let tag = places.routes.iter().position(|route| usize::from(*route) == index).unwrap_or_default();
        let probes = Arc::new(EngineProbes::new(of.names.probe(tag, of.me), Arc::clone(came)));
        let heard = hears(Arc::clone(of), Arc::clone(&probes));
        let server = server::join(address, &of.target, tag, heard).await?;
        Ok(JoinedPart { index, tag, probes, server })
    });
    try_join_all(joining).await
}

/// Restores what is wanted, then carries.
async fn carry(
    of: &Arc<JoinedEngine>,
    places: &EnginePlaces,
    mut parts: Vec<JoinedPart>,
    came: Arc<Notify>,
) -> StartRefusal {
    let engine = identity(parts.iter().map(|part| &part.server));
    *of.scripts.lock() = parts.first().map(|part| part.server.scripts.clone());
    let (names, changes) = of.wanted.open(parts.len(), places.routes);
    let restoring = parts.iter_mut().zip(&names).map(|(part, names)| async move {
        let probe = [Arc::from(part.probes.channel.as_str())];
        server::subscribe(&mut part.server.hearing, &of.target, &probe).await?;
        server::subscribe(&mut part.server.hearing, &of.target, names).await
    });
    if let Err(refusal) = try_join_all(restoring).await {
        return refusal;
    }
    let waiting = of.outbox.open(parts.len(), places.routes);
    let of_servers = parts.iter().map(|part| Arc::clone(&part.probes)).collect();
    let all = AllProbes { engine, of_servers, came };
    let parts = parts.into_iter().zip(changes).zip(waiting);
    let running = parts.map(|((part, changes), waiting)| {
        Box::pin(async move {
            let JoinedServer { publishing, hearing, marker, .. } = part.server;
            let (address, connected) = (publishing.address.clone(), publishing.connected);
            tokio::select! {
                trouble = of.target.lookup.until_moved(address.host(), connected) => trouble,
                trouble = publish_all(of, part.index, publishing, &waiting) => trouble,
                trouble = change_all(of, part.index, hearing, &changes) => trouble,
                trouble = probe(of, &part.probes, &address, (part.tag, &marker)) => trouble,
            }
        })
    });
    tokio::select! {
        (trouble, ..) = select_all(running) => trouble,
        trouble = all.tell(of) => trouble,
        trouble = watch_places(of, places) => trouble,
    }
}

/// Asks where the servers are; ends when they have moved. While nobody tells, they stay where they are.
async fn watch_places(of: &JoinedEngine, places: &EnginePlaces) -> StartRefusal {
    if matches!(of.target.place, EnginePlace::Server(_) | EnginePlace::Socket(_)) {
        return std::future::pending().await;
    }
    loop {
        sleep(PLACES_EVERY).await;
        if locate(&of.target).await.is_ok_and(|found| found != *places) {
            return StartRefusal::Changed("the engine's servers have moved".to_owned());
        }
    }
}

/// Which engine it is: the processes of its servers and their data. After a restart, after a fail-over to a copy, and once
/// it was emptied it is another one.
fn identity<'a>(servers: impl Iterator<Item = &'a JoinedServer>) -> EngineId {
    let mut of_servers: Vec<String> =
        servers.map(|server| format!("{}/{}\n", server.run_id, server.marker)).collect();
    of_servers.sort();
    let digest = Sha256::digest(of_servers.concat());
    EngineId(hex::encode(digest.get(..8).unwrap_or_default()).into())
}
