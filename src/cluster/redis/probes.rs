//! Whether a server still carries what is said: this node's own probes, said by the connection that publishes and heard by
//! the one that hears. An answer to a question proves nothing of the sort.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Value, cmd};
use parking_lot::Mutex;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::connection::read_greeting;
use super::joined::{JoinedEngine, PROBE_EVERY, PROBE_LOST};
use super::outbox::{Asker, EngineCommand};
use super::refusal::StartRefusal;
use super::server::{Verbs, is_unchanged};
use super::stream::ServerAddress;
use crate::cluster::adapter::{EngineError, EngineId, Link};

/// Probes that may be on their way at once: more than are said until the way counts as lost.
const PROBES_UNDER_WAY: usize = 16;

/// The probes of one server.
pub(super) struct EngineProbes {
    /// The channel on which they are said.
    pub(super) channel: String,
    times: Mutex<ProbeTimes>,
    /// Tells whoever judges the link that one has come back.
    came: Arc<Notify>,
}

struct ProbeTimes {
    /// The number of the last one.
    last: u64,
    /// The last ones that have not come back, and when they were said.
    said: VecDeque<(u64, Instant)>,
    heard: Instant,
    /// How long the last one that came back took.
    round_trip: Option<Duration>,
}

impl EngineProbes {
    pub(super) fn new(channel: String, came: Arc<Notify>) -> Self {
        let now = Instant::now();
        let times = Mutex::new(ProbeTimes { last: 0, said: VecDeque::new(), heard: now, round_trip: None });
        EngineProbes { channel, times, came }
    }

    /// Nothing has been heard yet, and that is no trouble yet.
    pub(super) fn begin(&self, now: Instant) {
        self.times.lock().heard = now;
    }

    fn say(&self, now: Instant) -> u64 {
        let mut times = self.times.lock();
        times.last += 1;
        let number = times.last;
        times.said.push_back((number, now));
        if times.said.len() > PROBES_UNDER_WAY {
            times.said.pop_front();
        }
        number
    }

    /// A probe has come back. One that came already, or that nobody has said, shows nothing.
    pub(super) fn hear(&self, number: u64, now: Instant) {
        let mut times = self.times.lock();
        let Some(at) = times.said.iter().position(|(said, _)| *said == number) else { return };
        let Some((_, said)) = times.said.drain(..=at).next_back() else { return };
        times.heard = now;
        times.round_trip = Some(now.saturating_duration_since(said));
        self.came.notify_one();
    }

    fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.times.lock().heard)
    }

    fn round_trip(&self) -> Option<Duration> {
        self.times.lock().round_trip
    }
}

/// What is known of all servers of an engine.
pub(super) struct AllProbes {
    pub(super) engine: EngineId,
    pub(super) of_servers: Vec<Arc<EngineProbes>>,
    pub(super) came: Arc<Notify>,
}

impl AllProbes {
    /// Tells for ever: the link is up once a probe of each has come back, and its time is that of the slowest.
    pub(super) async fn tell(&self, of: &JoinedEngine) -> StartRefusal {
        loop {
            self.came.notified().await;
            let all = self.of_servers.iter().map(|probes| probes.round_trip());
            let slowest = all.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
            if let Some(round_trip) = slowest {
                let was_away = matches!(*of.link.borrow(), Link::Away { .. });
                of.link.send_replace(Link::Up { engine: self.engine.clone(), round_trip });
                if was_away {
                    tracing::info!(engine = %self.engine.0, "the engine of the cluster is there");
                }
            }
        }
    }
}

/// Says probes, and ends when a server has lost them, is a copy of another, or has lost its data.
pub(super) async fn probe(
    of: &JoinedEngine,
    probes: &EngineProbes,
    address: &ServerAddress,
    (tag, marker): (usize, &str),
) -> StartRefusal {
    probes.begin(Instant::now());
    let mut ticks = interval(PROBE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        ticks.tick().await;
        if probes.silent_for(Instant::now()) > PROBE_LOST {
            return address.broken(format_args!("no probe came back for {} s", PROBE_LOST.as_secs()));
        }
        if let Err(refusal) = judge(&mut last, address, marker) {
            return refusal;
        }
        let number = probes.say(Instant::now()).to_string();
        let verbs = Verbs::of(&of.target);
        ask(of, tag, cmd(verbs.publish).arg(&probes.channel).arg(number).get_packed_command());
        if last.is_none() {
            let mark = ask(of, tag, cmd("GET").arg(of.names.marker(tag)).get_packed_command());
            let greeting = ask(of, tag, cmd("HELLO").arg(3).get_packed_command());
            last = mark.zip(greeting);
        }
    }
}

type Asked = oneshot::Receiver<Result<Value, EngineError>>;

/// Asks; a full queue is no trouble, only the probes that are lost in it are.
fn ask(of: &JoinedEngine, tag: usize, packed: Vec<u8>) -> Option<Asked> {
    let (asker, asked) = oneshot::channel();
    of.outbox.push(tag, EngineCommand { packed, to: Asker::Asked(asker) }).ok().map(|()| asked)
}

/// What was answered to the last question, if it was. What has not been answered is for the probes to judge.
fn judge(
    last: &mut Option<(Asked, Asked)>,
    address: &ServerAddress,
    marker: &str,
) -> Result<(), StartRefusal> {
    let Some((mut mark, mut greeting)) = last.take() else { return Ok(()) };
    // It was asked after the other one.
    let greeting = match greeting.try_recv() {
        Ok(greeting) => greeting,
        Err(TryRecvError::Empty) => {
            *last = Some((mark, greeting));
            return Ok(());
        }
        Err(TryRecvError::Closed) => return Ok(()),
    };
    match (mark.try_recv(), greeting) {
        (Ok(Ok(mark)), Ok(greeting)) => is_unchanged(address, marker, read_greeting(greeting), &mark),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_probe_that_comes_back_tells_its_time_once() {
        let (probes, start) = (EngineProbes::new(String::new(), Arc::default()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        probes.begin(start);
        assert_eq!((probes.say(at(0)), probes.say(at(1)), probes.say(at(2))), (1, 2, 3));
        probes.hear(4, at(5));
        assert_eq!(probes.silent_for(at(5)), Duration::from_secs(5), "nobody has said it");
        probes.hear(1, at(3));
        assert_eq!((probes.silent_for(at(4)), probes.round_trip()), (at(4) - at(3), Some(at(3) - start)));
        probes.hear(3, at(4));
        assert_eq!(probes.round_trip(), Some(Duration::from_secs(2)));
        for again in [1, 2, 3] {
            probes.hear(again, at(9));
        }
        assert_eq!(probes.silent_for(at(9)), Duration::from_secs(5), "what is heard again shows nothing");
    }

    #[test]
    fn what_is_asked_is_judged_when_it_is_answered_however_late() {
        let address = ServerAddress::Socket(std::path::Path::new("/r").into());
        let ((answers_mark, mark), (answers_greeting, greeting)) = (oneshot::channel(), oneshot::channel());
        let mut last = Some((mark, greeting));
        assert_eq!(judge(&mut last, &address, "m"), Ok(()));
        assert!(last.is_some(), "it is still waited for");
        answers_mark.send(Ok(Value::BulkString(b"m".to_vec()))).unwrap();
        let text = |text: &str| Value::SimpleString(text.to_owned());
        let greeting = vec![(text("version"), text("7.0.0")), (text("role"), text("slave"))];
        answers_greeting.send(Ok(Value::Map(greeting))).unwrap();
        let refusal = judge(&mut last, &address, "m").unwrap_err();
        assert_eq!(refusal, StartRefusal::Replica { address: "/r".to_owned() });
        assert!(last.is_none());
    }
}
