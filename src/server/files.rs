//! Open files: how many connections the system's limit leaves room for, beside what the broker itself needs.
//!
//! Each connection is an open file. Where connections could take them all, nothing could be read, sent or asked any more:
//! no configuration, no webhook, no `/health`. So some are kept back.

use tracing::{info, warn};

/// Below this limit the log says at the start how few connections it leaves room for.
const LOW: u64 = 10_000;

/// Connections that one worker may hold where the system sets no limit: as good as none.
const MOST_PER_WORKER: usize = 1_000_000;

/// What a worker opens for itself: its poll, its waker and its signals.
const OF_A_WORKER: u64 = 6;

/// What may be in use at the start where the system does not tell.
const USUALLY_IN_USE: u64 = 64;

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// WebSockets and sessions of the node; 0 stands for no bound.
    pub(super) max_connections: usize,
    /// Connections of any kind that one worker accepts. Beyond it they wait in the kernel.
    pub(super) per_worker: usize,
}

/// The limit of open files, and what it leaves room for.
#[derive(Debug)]
pub(super) struct OpenFiles {
    pub(super) room: Room,
    limit: u64,
    /// Connections that the operator wants.
    configured: usize,
    /// Why the limit could not be raised.
    not_raised: Option<std::io::Error>,
}

impl OpenFiles {
    /// Raises the limit as far as the system lets us, and finds out how many connections fit, of which an operator wants
    /// `configured`; 0 stands for as many as possible.
    pub(super) fn raise(configured: usize, workers: usize) -> Self {
        let (limit, not_raised) = match rlimit::increase_nofile_limit(u64::MAX) {
            Ok(limit) => (limit, None),
            Err(error) => (rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX), Some(error)),
        };
        OpenFiles { room: divide(limit, in_use(), configured, workers), limit, configured, not_raised }
    }

    /// Tells the log. Not to be called before the broker is sure to start: who made a mistake is told of that alone.
    pub(super) fn tell(&self) {
        let OpenFiles { room: Room { max_connections, .. }, limit, configured, not_raised } = self;
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

fn divide(limit: u64, in_use: u64, configured: usize, workers: usize) -> Room {
    if limit == u64::MAX {
        return Room { max_connections: configured, per_worker: MOST_PER_WORKER };
    }
    let workers = workers.max(1);
    // For files that are read, webhooks that are sent, and whoever asks the control socket.
    let spare = (limit / 8).clamp(16, 512);
    let own = in_use + OF_A_WORKER * workers as u64 + spare;
    let left = usize::try_from(limit.saturating_sub(own)).unwrap_or(usize::MAX);
    let accepted = left.clamp(2 * workers, MOST_PER_WORKER * workers);
    // Requests, and handshakes that are to be refused, need room beside the connections that stay.
    let requests = (accepted / 8).clamp(1, 1024);
    let fit = accepted - requests;
    let max_connections = if configured == 0 { fit } else { configured.min(fit) };
    Room { max_connections, per_worker: accepted / workers }
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
                let Room { max_connections, per_worker } = divide(limit, 20, 0, workers);
                let accepted = per_worker * workers;
                assert!(max_connections >= 1 && max_connections <= accepted + workers, "{limit} {workers}");
                let left = limit.saturating_sub(20 + OF_A_WORKER * workers as u64 + accepted as u64);
                assert!(left >= 16, "{left} of {limit} are left with {workers} workers");
            }
        }
    }

    #[test]
    fn a_limit_that_is_far_too_low_lets_somebody_in() {
        assert!(divide(16, 20, 0, 4).max_connections >= 1);
    }

    #[test]
    fn an_operator_may_want_fewer_and_cannot_have_more() {
        let most = divide(1024, 20, 0, 2).max_connections;
        assert!((700..900).contains(&most), "{most}");
        assert_eq!(divide(1024, 20, 100, 2).max_connections, 100);
        assert_eq!(divide(1024, 20, 1_000_000, 2).max_connections, most);
        assert_eq!(divide(u64::MAX, 20, 0, 2), Room { max_connections: 0, per_worker: MOST_PER_WORKER });
    }
}
