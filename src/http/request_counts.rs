//! Counts the requests that were answered, by route, method and status, and how long their answers took: each worker for
//! itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use parking_lot::Mutex;

use crate::hub::{DurationCounter, Durations};

/// The ranges of the times that answers take.
const ANSWER_TIMES: [Duration; 12] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// The methods that are told apart. Whatever else a stranger thinks of is one more.
const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"];

/// What was asked for, and how it was answered: route, method and status.
pub(crate) type AnswerKind = (&'static str, &'static str, u16);

/// What all workers count.
#[derive(Debug, Default)]
pub(crate) struct RequestCounts {
    workers: Mutex<Vec<Arc<WorkerRequests>>>,
}

/// What one worker counts. Its lock is its own, but for whoever reads the counts now and then.
#[derive(Debug, Default)]
pub(crate) struct WorkerRequests(Mutex<RequestTable>);

#[derive(Debug, Default)]
struct RequestTable {
    answered: BTreeMap<AnswerKind, u64>,
    times: BTreeMap<&'static str, DurationCounter<{ ANSWER_TIMES.len() }>>,
}

impl RequestCounts {
    /// One more that counts, on the calling thread or wherever it is taken.
    pub(crate) fn for_worker(&self) -> Arc<WorkerRequests> {
        let worker = Arc::<WorkerRequests>::default();
        self.workers.lock().push(Arc::clone(&worker));
        worker
    }

    /// What all of them have counted: requests, and by route the times of their answers.
    pub(crate) fn read(&self) -> (BTreeMap<AnswerKind, u64>, BTreeMap<&'static str, Durations>) {
        let (mut answered, mut times) = (BTreeMap::new(), BTreeMap::<_, Durations>::new());
        for worker in self.workers.lock().iter() {
            let table = worker.0.lock();
            for (kind, count) in &table.answered {
                *answered.entry(*kind).or_default() += count;
            }
            for (route, durations) in &table.times {
                times.entry(*route).or_default().add(&durations.read());
            }
        }
        (answered, times)
    }
}

impl WorkerRequests {
    /// A request was answered with this status, so long after its head had come.
    pub(crate) fn add(&self, route: &'static str, method: &Method, status: u16, after: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
        let mut table = self.0.lock();
        *table.answered.entry((route, method, status)).or_default() += 1;
        table.times.entry(route).or_insert_with(|| DurationCounter::new(&ANSWER_TIMES)).add(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_count_together_and_methods_are_those_that_are_known() {
        let counts = RequestCounts::default();
        let (first, second) = (counts.for_worker(), counts.for_worker());
        first.add("events", &Method::POST, 200, Duration::from_millis(2));
        second.add("events", &Method::POST, 200, Duration::from_secs(9));
        second.add("events", &Method::from_bytes(b"BREW").unwrap(), 405, Duration::ZERO);
        let (answered, times) = counts.read();
        assert_eq!(answered, BTreeMap::from([(("events", "POST", 200), 2), (("events", "other", 405), 1)]));
        let times = &times["events"];
        assert_eq!((times.count(), times.seconds), (3, 9.002));
        assert_eq!(times.ranges.last(), Some(&(f64::INFINITY, 1)));
    }
}
