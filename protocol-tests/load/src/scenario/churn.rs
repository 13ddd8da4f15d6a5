//! People who come and go, while others stay.

use std::time::{Duration, Instant};

use super::fanout::{PUBLISHERS, open_publishers};
use super::latency::latency_figures;
use super::{Stage, chat, verdict};
use crate::clients::{Broken, Crowd, OPENING_AT_ONCE, Watch, Wish};
use crate::load::{Beat, Both, Load, PacedClients, PacedHttp};
use crate::run::{Outcome, Stopwatch, measure_latency};

const PRESENCE: &str = "presence-hall";
/// Members that leave, or join, at once.
pub(crate) const AT_ONCE: usize = 4;
/// The watchers' own numbers begin here; nobody keeps a book of them.
const FIRST_WATCHER: u32 = 50_000;

/// Every watcher must hear of each who leaves, then of each who joins again, in turn and once.
pub(crate) fn presence(stage: &Stage<'_>, members: usize, movers: usize) -> Result<Outcome, Broken> {
    let members = stage.scaled(members);
    let movers = movers.min(members / 10).max(AT_ONCE) / AT_ONCE * AT_ONCE;
    let watchers = members - movers;
    let mut crowd = stage.crowd(1, 1)?;
    let wish = |member: u32| Wish { channel: PRESENCE.into(), member: Some(member) };
    crowd.open_all(watchers, OPENING_AT_ONCE, |crowd, number| {
        crowd.open(vec![wish(FIRST_WATCHER + number as u32)], Vec::new()).map(drop)
    })?;
    crowd.shared.members_heard = vec![vec![0; movers]; watchers];
    crowd.open_all(movers, OPENING_AT_ONCE, |crowd, member| {
        crowd.open(vec![wish(member as u32)], Vec::new()).map(drop)
    })?;
    let mut expected = (watchers * movers) as u64;
    wait_until_heard(&mut crowd, expected)?;

    let stopwatch = Stopwatch::start(&crowd, stage.server.process)?;
    let end = Instant::now() + stage.window();
    let mut changes = 0;
    for first in (0..movers).step_by(AT_ONCE).cycle() {
        if Instant::now() > end {
            break;
        }
        for leave in [true, false] {
            for member in first..first + AT_ONCE {
                if leave {
                    crowd.unsubscribe(watchers + member)
                } else {
                    crowd.subscribe(watchers + member, wish(member as u32))
                }
            }
            changes += AT_ONCE as u64;
            expected += (AT_ONCE * watchers) as u64;
            wait_until_heard(&mut crowd, expected)?;
        }
    }
    let window = stopwatch.stop(&crowd)?;
    let mut outcome = Outcome::default();
    outcome.add("cpu_us_per_change", window.cpu_micros_per(changes));
    outcome.add("cpu_us_per_notification", window.cpu_micros_per(changes * members as u64));
    outcome.add("changes_per_s", changes as f64 / window.seconds);
    Ok(verdict(crowd, outcome))
}

fn wait_until_heard(crowd: &mut Crowd, expected: u64) -> Result<(), Broken> {
    let mut watch = Watch::new("hearing of members");
    while crowd.shared.counts.member_events < expected {
        crowd.step(Some(Duration::from_millis(100)))?;
        // Of very many, the watchers first hear of each other, for a long time.
        watch.see(crowd.shared.counts.reads, || format!("expected {expected}"))?;
    }
    Ok(())
}

const NEWS: &str = "news";
const ROOMS: usize = 20;
const PEOPLE: usize = 20;

/// Readers of the news who leave and come back, at a pace.
#[derive(Debug)]
struct Returning {
    first: usize,
    count: usize,
    turn: usize,
    beat: Beat,
    news: u32,
    broken: Option<Broken>,
}

impl Load for Returning {
    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        while self.beat.due().is_some() {
            let number = self.first + self.turn % self.count;
            self.turn += 1;
            crowd.end(number);
            let seat = crowd.shared.ledger.late_seat(self.news, None);
            if let Err(broken) = crowd.reopen(number, vec![Wish::channel(NEWS)], vec![seat]) {
                self.broken = Some(broken);
            }
        }
        Some(self.beat.next())
    }
}

/// News over HTTP to all, chats among some, and others coming and going.
pub(super) fn mixed(stage: &Stage<'_>, readers: usize) -> Result<Outcome, Broken> {
    let (readers, rooms) = (stage.scaled(readers), stage.scaled(ROOMS).min(ROOMS));
    let talkers = rooms * PEOPLE;
    let news = rooms as u32;
    let mut crowd = stage.crowd(news + 1, PEOPLE as u32)?;
    crowd.open_all(talkers + readers, OPENING_AT_ONCE, |crowd, number| {
        let (room, place) = ((number / PEOPLE) as u32, (number % PEOPLE) as u32);
        let mut wishes = vec![Wish::channel(NEWS)];
        let mut seats = vec![crowd.shared.ledger.seat(news, None)];
        if number < talkers {
            wishes.push(Wish::channel(&chat::channel(room)));
            seats.push(crowd.shared.ledger.seat(room, Some(place)));
        }
        crowd.open(wishes, seats).map(drop)
    })?;
    open_publishers(&mut crowd, news, PUBLISHERS, NEWS, 1000)?;
    let speakers = chat::speakers(&crowd, rooms, PEOPLE, 200);
    let coming_and_going =
        Returning { first: talkers, count: readers, turn: 0, beat: Beat::new(20.0), news, broken: None };
    let mut load = Both(coming_and_going, Both(PacedHttp::new(10.0), PacedClients::new(speakers, 200.0)));
    let window = stage.window_of_at_least(5.0);
    let (window, latencies) = measure_latency(&mut crowd, stage.server.process, &mut load, window)?;
    if let Some(broken) = load.0.broken {
        return Err(broken);
    }
    Ok(verdict(crowd, latency_figures(&window, &latencies)))
}
