//! Open files: how many connections the system's limit leaves room for, beside what the broker itself needs.
//!
//! Each connection is an open file. Where connections could take them all, nothing could be read, sent or asked any more:
//! no configuration, no webhook, no `/health`. So some are kept back.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Below this limit the log says at the start how few connections it leaves room for.
const LOW: u64 = 10_000;

/// Connections that one worker may hold where the system sets no limit: as good as none.
const MOST_PER_WORKER: usize = 1_000_000;

/// What the broker opens for itself once it has its configuration: a listener and the control socket, the runtime, signals,
/// and what accepts connections.
const OF_THE_BROKER: u64 = 12;

/// What a listener more takes.
const OF_A_LISTENER: u64 = 3;

/// What a worker opens for itself: its poll, twice, its waker and its signals.
const OF_A_WORKER: u64 = 4;

/// Files that are read, webhooks that are sent, and whoever asks the control socket: so many of them at least.
const LEAST_SPARE: u64 = 2;

/// Connections that a node has to have room for, and each worker: one that stays, and one that comes.
const LEAST_CONNECTIONS: u64 = 4;
const LEAST_PER_WORKER: u64 = 2;

/// Connections that there is room for beside those that stay.
const LEAST_REQUESTS: usize = 2;

/// Open files that the system lets a process ask for, whatever its limit says. macOS refuses more than its `OPEN_MAX`.
const MOST_FILES: Option<u64> = if cfg!(target_os = "macos") { Some(10_240) } else { None };

/// What may be in use at the start where the system does not tell.
const USUALLY_IN_USE: u64 = 64;

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionBounds {
    /// WebSockets and sessions of the node; 0 stands for no bound.
    pub(super) max_connections: usize,
    /// Connections of any kind that one worker accepts. Beyond it they wait in the kernel.
    pub(super) per_worker: usize,
}

/// The limit of open files is too low for a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and a broker with server.workers = {workers} needs {needed}: raise it (`ulimit -n`, \
     `LimitNOFILE=` in a systemd unit), or take fewer workers"
)]
pub struct TooFewFiles {
    /// The limit, as far as it could be raised.
    limit: u64,
    needed: u64,
    workers: usize,
}

/// The limit of open files, and what it leaves room for.
#[derive(Debug)]
pub(super) struct OpenFiles {
    pub(super) bounds: ConnectionBounds,
    limit: u64,
    /// Connections that the operator wants.
    configured: usize,
    /// Why the limit could not be raised.
    not_raised: Option<io::Error>,
}

impl OpenFiles {
    /// Raises the limit as far as the system lets us, and finds out how many connections fit, of which an operator wants
    /// `configured`; 0 stands for as many as possible. `more` are kept back for something else.
    ///
    /// # Errors
    /// If a broker with so many workers and listeners could not even start, or would serve nobody.
    pub(super) fn raise(
        configured: usize,
        workers: usize,
        listeners: usize,
        more: u64,
    ) -> Result<Self, TooFewFiles> {
        let (limit, not_raised) = raise_limit();
        let own = own(in_use(), workers, listeners) + more;
        let bounds = divide(limit, own, configured, workers)?;
        Ok(OpenFiles { bounds, limit, configured, not_raised })
    }

    /// Tells the log. Not to be called before the broker is sure to start: who made a mistake is told of that alone.
    pub(super) fn tell(&self) {
        let OpenFiles { bounds: ConnectionBounds { max_connections, .. }, limit, configured, not_raised } =
            self;
        if let Some(error) = not_raised {
            warn!(%error, "the limit of open files could not be raised");
        }
        if configured > max_connections && *max_connections > 0 {
            warn!(
                limit,
                configured, max_connections, "the limit of open files is too low for server.max_connections"
            );
        } else if *limit < LOW {
            warn!(
                limit,
                max_connections, "the limit of open files is low, and so is the number of connections"
            );
        } else {
            info!(limit, max_connections, "open files");
        }
    }
}

/// Raises the limit of open files as far as the system lets us. Returns it, where [`u64::MAX`] stands for none, and why it
/// could not be raised.
fn raise_limit() -> (u64, Option<io::Error>) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let hard = maximum.unwrap_or(u64::MAX);
    let most = MOST_FILES.map_or(hard, |most| hard.min(most));
    let limit = current.unwrap_or(u64::MAX);
    if limit >= most {
        return (limit, None);
    }
    let wanted = (most < u64::MAX).then_some(most);
    match setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum }) {
        Ok(()) => (most, None),
        Err(error) => (limit, Some(error.into())),
    }
}

/// What the broker will have open before anybody comes, where so much is open now.
fn own(in_use: u64, workers: usize, listeners: usize) -> u64 {
    let more = listeners.saturating_sub(1) as u64;
    in_use + OF_THE_BROKER + OF_A_LISTENER * more + OF_A_WORKER * workers as u64
}

fn divide(limit: u64, own: u64, configured: usize, workers: usize) -> Result<ConnectionBounds, TooFewFiles> {
    if limit == u64::MAX {
        return Ok(ConnectionBounds { max_connections: configured, per_worker: MOST_PER_WORKER });
    }
    let workers = workers.max(1);
    let least = LEAST_CONNECTIONS.max(LEAST_PER_WORKER * workers as u64);
    let needed = own + LEAST_SPARE + least;
    if limit < needed {
        return Err(TooFewFiles { limit, needed, workers });
    }
    // For files that are read, webhooks that are sent, and whoever asks the control socket.
    let spare = (limit / 8).clamp(16, 512).min(limit - own - least);
    let left = usize::try_from(limit - own - spare).unwrap_or(usize::MAX);
    let per_worker = (left / workers).min(MOST_PER_WORKER);
    let accepted = per_worker * workers;
    // Requests, and handshakes that are to be refused, need room beside the connections that stay.
    let requests = (accepted / 8).clamp(LEAST_REQUESTS, 1024);
    let fit = accepted - requests;
    let max_connections = if configured == 0 { fit } else { configured.min(fit) };
    Ok(ConnectionBounds { max_connections, per_worker })
}

/// Files that this process has open.
fn in_use() -> u64 {
    let listed = std::fs::read_dir("/proc/self/fd").map(|open| open.count() as u64);
    listed.unwrap_or(USUALLY_IN_USE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_needs_is_never_given_to_connections() {
        for limit in [100, 128, 256, 1024, 4096, 65_536, 1_048_576] {
            for workers in [1, 2, 4] {
                let own = own(4, workers, 2);
                let ConnectionBounds { max_connections, per_worker } =
                    divide(limit, own, 0, workers).unwrap();
                let accepted = per_worker * workers;
                assert!(max_connections >= 1 && max_connections < accepted, "{limit} {workers}");
                let left = limit.saturating_sub(own + accepted as u64);
                assert!(left >= 16, "{left} of {limit} are left with {workers} workers");
            }
        }
    }

    #[test]
    fn whatever_a_broker_starts_with_lets_somebody_in() {
        for workers in [1, 2, 3, 4, 16] {
            let own = own(4, workers, 1);
            let least = (1..).find(|limit| divide(*limit, own, 0, workers).is_ok()).unwrap();
            let ConnectionBounds { max_connections, per_worker } = divide(least, own, 0, workers).unwrap();
            assert!(max_connections >= 2 && per_worker >= 2, "{workers}: {max_connections} of {per_worker}");
            assert!(max_connections + 2 <= per_worker * workers, "and a request beside them");
            assert!(own + (per_worker * workers) as u64 + LEAST_SPARE <= least);
            let refused = divide(least - 1, own, 0, workers).unwrap_err();
            assert_eq!(refused, TooFewFiles { limit: least - 1, needed: least, workers });
        }
    }

    #[test]
    fn an_operator_may_want_fewer_and_cannot_have_more() {
        let divide = |limit, configured| divide(limit, own(4, 2, 1), configured, 2).unwrap();
        let most = divide(1024, 0).max_connections;
        assert!((700..900).contains(&most), "{most}");
        assert_eq!(divide(1024, 100).max_connections, 100);
        assert_eq!(divide(1024, 1_000_000).max_connections, most);
        assert_eq!(divide(u64::MAX, 0), ConnectionBounds { max_connections: 0, per_worker: MOST_PER_WORKER });
    }
}
