//! What the broker counts, for Prometheus and whatever else scrapes: read off the structures when it is asked for.
//!
//! Nothing here is counted up and down. A gauge is what a structure holds at that moment; a counter is kept by whoever
//! brings the thing about, and only read here. Nothing of a scrape is done on a worker's thread but what only the worker
//! knows, and of that no more than a bounded piece in a turn.

mod apps;
mod catalogue;
mod cluster;
#[cfg(test)]
mod documentation;
mod edges;
mod exposition;
mod json;
mod metric;
mod names;
mod node;
mod process;
mod snapshot;
mod soketi;
mod upgrade;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::ClusterView;
use crate::feed::Feed;
use crate::http::{RequestCounts, UnfinishedBodies};
use crate::hub::{Hub, RefusedAddresses};
use crate::net::slots::ConnectionSlots;
use crate::net::tls::Certificates;
use crate::pipe::wire::PipeWire;
use crate::pipe::{HookFigures, RuleBook};
use crate::relay::Relays;
use crate::transport::fallback::Sessions;
use crate::usage::UsageBook;
use crate::webhook::Webhooks;

use exposition::Format;
use snapshot::Snapshot;

pub(crate) use soketi::SoketiNames;

/// How long the workers may take to look at their connections. Who scrapes waits for 10 seconds or so.
const SURVEY_TIMEOUT: Duration = Duration::from_secs(2);

/// The metrics of one broker. It is cheap to clone, and may be asked at any time, from any thread.
#[derive(Clone)]
pub struct Metrics {
    sources: Arc<MetricSources>,
}

/// What the metrics are read off.
pub(crate) struct MetricSources {
    pub(crate) hub: Arc<Hub>,
    /// Of the admin listener's credentials.
    pub(crate) guesses: Arc<RefusedAddresses>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) slots: Arc<ConnectionSlots>,
    pub(crate) unfinished: Arc<UnfinishedBodies>,
    pub(crate) requests: Arc<RequestCounts>,
    pub(crate) wire: Arc<PipeWire>,
    pub(crate) webhooks: Webhooks,
    pub(crate) relays: Relays,
    /// Those that are served, where TLS is.
    pub(crate) certificates: Option<Arc<Certificates>>,
    /// Where anybody takes note of usage.
    pub(crate) usage: Option<UsageBook>,
    pub(crate) rules: Arc<RuleBook>,
    /// The pipes of the embedding program, each with the id of its app.
    pub(crate) hooks: Vec<(String, HookFigures)>,
    /// The names under which some are told again.
    pub(crate) soketi: Option<SoketiNames>,
    /// Where this node is one of several.
    pub(crate) cluster: Option<Arc<dyn ClusterView>>,
}

/// The answer to a scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// The `Content-Type` that goes with it.
    pub content_type: &'static str,
    /// The metrics.
    pub body: String,
}

impl Metrics {
    pub(crate) fn new(sources: MetricSources) -> Self {
        Metrics { sources: Arc::new(sources) }
    }

    /// All metrics as they are now, in the format that an `Accept` header asks for: OpenMetrics where it is preferred,
    /// otherwise Prometheus' text format 0.0.4. Must be called within a Tokio runtime that has time and further threads;
    /// the work is done on one of those.
    pub async fn scrape(&self, accept: Option<&str>) -> Scrape {
        let format = Format::accepted(accept);
        let body = self.write(move |sources| {
            let snapshot = Arc::new(sources.read());
            // A string takes everything.
            let further = sources.soketi.as_ref().map(|names| names.lines(format, &snapshot));
            let further = further.and_then(Result::ok).unwrap_or_default();
            format.write(&snapshot, &further).unwrap_or_default()
        });
        Scrape { content_type: format.content_type(), body: body.await }
    }

    /// The same as JSON, in the form of soketi's `/metrics?json=1`: an array of objects with `help`, `name`, `type`,
    /// `values` and `aggregator`. To be called where [`Metrics::scrape`] may be.
    pub async fn scrape_json(&self) -> Scrape {
        let body = self.write(|sources| json::write(&sources.read(), sources.soketi.as_ref()));
        Scrape { content_type: json::CONTENT_TYPE, body: body.await }
    }

    /// Asks the workers, and then has another thread write.
    async fn write(&self, write: impl FnOnce(&MetricSources) -> String + Send + 'static) -> String {
        let sources = Arc::clone(&self.sources);
        // A worker that does not answer in time is told of as it was when it last did.
        let _ = tokio::time::timeout(SURVEY_TIMEOUT, sources.hub.survey()).await;
        // It fails only where the thread panics, or the runtime has gone; an empty answer is no valid one of OpenMetrics.
        tokio::task::spawn_blocking(move || write(&sources)).await.unwrap_or_default()
    }
}

impl MetricSources {
    /// Everything that there is to tell.
    fn read(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.tell_of(catalogue::BUILD, [env!("CARGO_PKG_VERSION").into()], 1_u64);
        apps::collect(&self.hub, &mut snapshot);
        node::collect(&self.hub, &mut snapshot);
        names::collect(&self.hub, &mut snapshot);
        edges::collect(self, &mut snapshot);
        match &self.cluster {
            Some(node) => cluster::collect(&node.status(), &mut snapshot),
            None => upgrade::collect(&self.hub, &mut snapshot),
        }
        process::collect(&mut snapshot);
        snapshot
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("hub", &self.sources.hub).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
