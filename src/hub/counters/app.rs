//! What happens in one app, counted by each worker for itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::channel::WorkerIndex;
use crate::connection::Ending;
use crate::event::Source;
use crate::protocol::CloseCode;

use super::counter::Counter;
use super::{AppUsage, NodeCounters, PeakCount};

/// Codes of the WebSocket protocol that peers end connections with, beside those that the broker uses itself.
const PEERS_CODES: [u16; 9] = [1001, 1003, 1005, 1006, 1008, 1010, 1011, 1012, 1013];

/// What one worker counts of an app. Only that worker writes it, and no other has anything on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct AppCells {
    /// By their source.
    events: [Counter; 3],
    pub(crate) messages_received: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) http_requests: Counter,
    pub(crate) http_bytes_received: Counter,
    pub(crate) http_bytes_sent: Counter,
    /// Requests of pipes on the wire that were answered with an error.
    pub(crate) pipe_requests_refused: Counter,
    /// Events that paced rules did not pass on.
    pub(crate) paced_out: Counter,
}

/// What has happened in one app since the start, or in several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AppCounts {
    /// Events that were accepted: from clients, over HTTP, from pipes.
    pub(crate) events: [u64; 3],
    /// Messages that clients have sent, and have been sent.
    pub(crate) messages_received: u64,
    pub(crate) messages_sent: u64,
    /// Bytes that came from clients, and that were written to them, as they are on the wire but for TLS.
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Requests to the HTTP API that were authenticated, and bytes of bodies.
    pub(crate) http_requests: u64,
    pub(crate) http_bytes_received: u64,
    pub(crate) http_bytes_sent: u64,
    /// Requests of pipes on the wire that were answered with an error, and events that paced rules did not pass on.
    pub(crate) pipe_requests_refused: u64,
    pub(crate) paced_out: u64,
    /// Connections that were opened.
    pub(crate) opened: u64,
    /// Connections that have ended, by their close codes; 0 stands for all codes that are not known.
    pub(crate) ended: BTreeMap<u16, u64>,
    /// Events of latest-only channels that slow subscribers were not sent.
    pub(crate) conflated: u64,
}

/// The counts of one app.
#[derive(Debug)]
pub(in crate::hub) struct AppCounters {
    node: NodeCounters,
    /// One for each worker, and one for all other threads.
    cells: Box<[Arc<AppCells>]>,
    connections: Mutex<ConnectionCounts>,
    /// Connections at once.
    pub(in crate::hub) peak: PeakCount,
    /// What of all this somebody has taken note of.
    noted: Mutex<AppUsage>,
}

/// Connections that came and went.
#[derive(Debug, Default)]
struct ConnectionCounts {
    opened: u64,
    ended: BTreeMap<u16, u64>,
}

impl AppCells {
    /// The events of a source.
    pub(crate) fn events_of(&self, source: &Source) -> &Counter {
        &self.events[match source {
            Source::Client { .. } => 0,
            Source::Http => 1,
            Source::Pipe | Source::Forwarded(_) => 2,
        }]
    }
}

impl AppCounters {
    pub(in crate::hub) fn new(node: NodeCounters) -> Self {
        let cells = (0..=node.workers().len()).map(|_| Arc::default()).collect();
        AppCounters {
            node,
            cells,
            connections: Mutex::default(),
            peak: PeakCount::default(),
            noted: Mutex::default(),
        }
    }

    /// What a worker counts. Nobody else may.
    pub(in crate::hub) fn of_worker(&self, worker: WorkerIndex) -> &Arc<AppCells> {
        &self.cells[usize::from(worker)]
    }

    /// Counts so many more of something, on whatever thread that is.
    pub(in crate::hub) fn add(&self, counter: impl FnOnce(&AppCells) -> &Counter, more: u64) {
        match (self.node.current_worker(), self.cells.last()) {
            (Some(worker), _) => counter(self.of_worker(worker)).add(more),
            (None, Some(of_others)) => counter(of_others).add_from_anywhere(more),
            (None, None) => {}
        }
    }

    /// A connection was opened.
    pub(in crate::hub) fn opened(&self) {
        self.connections.lock().opened += 1;
    }

    /// A connection has ended.
    pub(in crate::hub) fn ended(&self, ending: &Ending) {
        *self.connections.lock().ended.entry(code_of(ending)).or_default() += 1;
    }

    /// What has been counted.
    pub(in crate::hub) fn read(&self, conflated: u64) -> AppCounts {
        let sum =
            |counter: fn(&AppCells) -> &Counter| self.cells.iter().map(|cells| counter(cells).get()).sum();
        let connections = self.connections.lock();
        AppCounts {
            events: [
                sum(|cells| &cells.events[0]),
                sum(|cells| &cells.events[1]),
                sum(|cells| &cells.events[2]),
            ],
            messages_received: sum(|cells| &cells.messages_received),
            messages_sent: sum(|cells| &cells.messages_sent),
            bytes_received: sum(|cells| &cells.bytes_received),
            bytes_sent: sum(|cells| &cells.bytes_sent),
            http_requests: sum(|cells| &cells.http_requests),
            http_bytes_received: sum(|cells| &cells.http_bytes_received),
            http_bytes_sent: sum(|cells| &cells.http_bytes_sent),
            pipe_requests_refused: sum(|cells| &cells.pipe_requests_refused),
            paced_out: sum(|cells| &cells.paced_out),
            opened: connections.opened,
            ended: connections.ended.clone(),
            conflated,
        }
    }

    /// What has been used since this was last asked, with the peak of this time.
    pub(in crate::hub) fn take_usage(&self, peak: usize) -> AppUsage {
        let mut noted = self.noted.lock();
        let now = self.read(0).usage(peak);
        let usage = now.since(&noted);
        *noted = now;
        usage
    }

    /// The app is gone: what it has counted stays in the sum of those that are.
    pub(in crate::hub) fn depart(&self, id: &str, conflated: u64) {
        let usage = self.take_usage(self.peak.take(0));
        self.node.add_departed(id, &self.read(conflated), &usage);
    }
}

impl AppCounts {
    /// What of it is usage, with this peak.
    fn usage(&self, peak_connections: usize) -> AppUsage {
        let [_, api_events, _] = self.events;
        AppUsage {
            peak_connections: peak_connections as u64,
            messages_received: self.messages_received,
            messages_sent: self.messages_sent,
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            api_events,
        }
    }

    /// Adds those of another app.
    pub(crate) fn add(&mut self, other: &AppCounts) {
        self.events.iter_mut().zip(other.events).for_each(|(sum, count)| *sum += count);
        self.messages_received += other.messages_received;
        self.messages_sent += other.messages_sent;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.http_requests += other.http_requests;
        self.http_bytes_received += other.http_bytes_received;
        self.http_bytes_sent += other.http_bytes_sent;
        self.pipe_requests_refused += other.pipe_requests_refused;
        self.paced_out += other.paced_out;
        self.opened += other.opened;
        self.conflated += other.conflated;
        for (code, count) in &other.ended {
            *self.ended.entry(*code).or_default() += count;
        }
    }
}

/// The code that a connection ended with, as the WebSocket protocol has it also where there was none. A peer may send any;
/// one that is not known is 0, so that nobody makes as many counts as there are codes.
fn code_of(ending: &Ending) -> u16 {
    let code = match ending {
        Ending::Lost => 1006,
        Ending::Left(code) => code.unwrap_or(1005),
        Ending::Closed(status, _) => status.code(),
    };
    let known = PEERS_CODES.contains(&code) || CloseCode::ALL.iter().any(|own| own.code() == code);
    if known { code } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_thread_counts_is_one_sum() {
        let node = NodeCounters::new(2);
        let counters = AppCounters::new(node.clone());
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let (node, counters) = (&node, &counters);
                scope.spawn(move || {
                    node.is_worker(worker);
                    (0..1000).for_each(|_| counters.add(|cells| cells.events_of(&Source::Http), 1));
                    // Of another node this thread is no worker.
                    assert_eq!(NodeCounters::new(2).current_worker(), None);
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    (0..1000).for_each(|_| counters.add(|cells| cells.events_of(&Source::Pipe), 1))
                });
            }
        });
        assert_eq!(counters.read(0).events, [0, 2000, 2000]);
        assert_eq!(counters.of_worker(1).events_of(&Source::Http).get(), 1000);
    }

    #[test]
    fn no_peer_makes_codes_of_his_own() {
        let counters = AppCounters::new(NodeCounters::new(1));
        (0..=u16::MAX).for_each(|code| counters.ended(&Ending::Left(Some(code))));
        counters.ended(&Ending::Left(None));
        counters.ended(&Ending::Lost);
        counters.ended(&Ending::Closed(CloseCode::OverQuota.into(), String::new()));
        let ended = counters.read(0).ended;
        let codes = CloseCode::ALL.iter().map(|code| code.code()).chain(PEERS_CODES).chain([0]);
        assert_eq!(ended.len(), codes.collect::<std::collections::BTreeSet<_>>().len());
        assert_eq!([1005, 1006, 4004, 1001].map(|code| ended[&code]), [2, 2, 2, 1]);
        assert_eq!(ended.values().sum::<u64>(), 65_536 + 3);
    }

    #[test]
    fn what_an_app_has_counted_outlives_it_in_the_sum() {
        let node = NodeCounters::new(1);
        let counters = AppCounters::new(node.clone());
        counters.opened();
        counters.ended(&Ending::Lost);
        counters.add(|cells| &cells.bytes_sent, 7);
        counters.depart("1", 3);
        counters.depart("1", 0);
        let departed = node.departed();
        assert_eq!((departed.opened, departed.bytes_sent, departed.conflated), (2, 14, 3));
        assert_eq!(departed.ended, BTreeMap::from([(1006, 2)]));
    }

    #[test]
    fn what_was_used_is_told_once_also_of_an_app_that_is_gone() {
        let node = NodeCounters::new(1);
        let counters = AppCounters::new(node.clone());
        counters.add(|cells| &cells.bytes_sent, 7);
        counters.add(|cells| cells.events_of(&Source::Http), 2);
        counters.peak.reached(5);
        let usage = counters.take_usage(counters.peak.take(3));
        let expected = AppUsage { peak_connections: 5, bytes_sent: 7, api_events: 2, ..AppUsage::default() };
        assert_eq!(usage, expected);
        let again = counters.take_usage(counters.peak.take(0));
        assert_eq!(
            again,
            AppUsage { peak_connections: 3, ..AppUsage::default() },
            "those that are open still"
        );
        assert!(counters.take_usage(counters.peak.take(0)).is_nothing());
        // Nobody has asked for apps that are gone yet, so nothing of them is kept.
        AppCounters::new(node.clone()).depart("0", 0);
        assert!(node.take_departed_usage().is_empty());
        counters.add(|cells| &cells.messages_sent, 1);
        counters.depart("1", 0);
        let other = AppCounters::new(node.clone());
        other.add(|cells| &cells.messages_sent, 2);
        other.depart("1", 0);
        AppCounters::new(node.clone()).depart("2", 0);
        let departed = node.take_departed_usage();
        let sent = AppUsage { messages_sent: 3, ..AppUsage::default() };
        assert_eq!(departed, BTreeMap::from([("1".to_owned(), sent)]));
        assert!(node.take_departed_usage().is_empty());
    }
}
