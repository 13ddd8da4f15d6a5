//! Makes trouble, ends it, and waits until all is well again.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::engine::RedisServer;
use heliostat_protocol_tests::nodes::pause;
use heliostat_protocol_tests::{Engine, Target};

use crate::record::Trouble;
use crate::stage::{Chance, HALL, Stage, lock};

/// All must agree so long after the end of a trouble: N6 gives a death ten seconds and N16 healing five, and this machine
/// does other things besides.
const HEALING: Duration = Duration::from_secs(30);

/// Nothing is done to anybody for so long, before what was answered last must have arrived.
const ARRIVAL: Duration = Duration::from_millis(1000);

/// Whoever reads has read within this what has been sent.
const READING: Duration = Duration::from_millis(400);

/// Shorter than the dead time, and longer.
const BRIEF: Duration = Duration::from_millis(2500);
const LONG: Duration = Duration::from_secs(9);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strike {
    /// `kill -9`, and another process in its place.
    Kill,
    /// A stop in order, and another process in its place.
    Stop,
    /// The process stands still.
    Pause,
    /// Its connections to the engine end, and there are no new ones.
    Cut,
    /// Its packets to the engine are lost.
    Stall,
    /// The engine stands still.
    EnginePause,
    /// The engine ends its connections.
    EngineReset,
    /// The name leads to an empty engine, or from there to another.
    EngineEmpty,
    /// The primary is failed over.
    FailOver,
}

pub(crate) struct Nemesis<'s> {
    stage: &'s Stage,
    engine: &'s Engine,
    chance: Chance,
    /// What is still to come before everything comes again.
    bag: Vec<Strike>,
    spare: Option<RedisServer>,
    led_to_spare: bool,
    counts: BTreeMap<String, usize>,
    slowest: Duration,
    faults: Vec<String>,
}

impl<'s> Nemesis<'s> {
    pub(crate) fn new(stage: &'s Stage, engine: &'s Engine, chance: Chance) -> Nemesis<'s> {
        let spare = matches!(engine, Engine::Standalone(_)).then(|| RedisServer::start(&[]));
        let (bag, counts) = (Vec::new(), BTreeMap::new());
        let slowest = Duration::ZERO;
        Nemesis {
            stage,
            engine,
            chance,
            bag,
            spare,
            led_to_spare: false,
            counts,
            slowest,
            faults: Vec::new(),
        }
    }

    /// Makes one trouble, ends it, and waits until all is well.
    pub(crate) fn strike(&mut self) {
        let strike = self.draw();
        let node = self.chance.below(3);
        let time = if self.chance.below(2) == 0 { BRIEF } else { LONG };
        let alone =
            matches!(strike, Strike::Kill | Strike::Stop | Strike::Pause | Strike::Cut | Strike::Stall);
        let lasts = matches!(strike, Strike::Pause | Strike::Cut | Strike::Stall | Strike::EnginePause);
        let mut name = format!("{strike:?}");
        if lasts {
            name += if time == BRIEF { " briefly" } else { " for long" };
        }
        *self.counts.entry(name.clone()).or_default() += 1;
        let began = Instant::now();
        self.carry_out(strike, node, time);
        let healed = self.settle(&name);
        let trouble = Trouble { name, node: alone.then_some(node), began, healed };
        lock(&self.stage.troubles).push(trouble);
        self.calm();
    }

    fn draw(&mut self) -> Strike {
        if self.bag.is_empty() {
            use Strike::{Cut, EngineEmpty, EnginePause, EngineReset, FailOver, Kill, Pause, Stall, Stop};
            self.bag = match self.engine {
                Engine::Standalone(_) => {
                    vec![Kill, Stop, Pause, Cut, Stall, EnginePause, EngineReset, EngineEmpty]
                }
                Engine::Sentinel(_) => vec![Kill, Stop, Pause, EnginePause, EngineReset, FailOver, FailOver],
                Engine::Cluster(_) => vec![Kill, Stop, Pause, EnginePause, EngineReset, EngineReset],
            };
        }
        let at = self.chance.below(self.bag.len());
        self.bag.swap_remove(at)
    }

    fn carry_out(&mut self, strike: Strike, node: usize, time: Duration) {
        let slot = &self.stage.slots[node];
        match strike {
            Strike::Kill | Strike::Stop => {
                slot.open.store(false, Ordering::SeqCst);
                {
                    let node = lock(&slot.node);
                    let broker = node.as_ref().expect("it runs").broker();
                    if strike == Strike::Kill {
                        broker.kill();
                    } else {
                        broker.terminate();
                        let _ = broker.await_exit(Duration::from_secs(60));
                    }
                }
                slot.restart();
                slot.open.store(true, Ordering::SeqCst);
            }
            Strike::Pause => {
                slot.open.store(false, Ordering::SeqCst);
                let held = lock(&slot.node);
                let broker = held.as_ref().expect("it runs").broker();
                broker.pause();
                self.wait(time);
                broker.resume();
                slot.open.store(true, Ordering::SeqCst);
            }
            Strike::Cut | Strike::Stall => {
                let forwarder = slot.forwarder.as_ref().expect("a standalone engine is behind forwarders");
                if strike == Strike::Cut {
                    forwarder.cut()
                } else {
                    forwarder.stall()
                }
                self.wait(time);
                forwarder.heal();
            }
            Strike::EnginePause => {
                let servers = self.engine.servers();
                let server = servers[self.chance.below(servers.len())];
                server.pause();
                self.wait(time);
                server.resume();
            }
            Strike::EngineReset => {
                for server in self.engine.servers() {
                    for kind in ["normal", "pubsub"] {
                        let _ = server.kill_clients(kind);
                    }
                }
            }
            Strike::EngineEmpty => {
                let spare = self.spare.as_ref().expect("a standalone engine has a spare one");
                self.led_to_spare = !self.led_to_spare;
                let port = if self.led_to_spare { spare.port() } else { self.engine.server().port() };
                for slot in &self.stage.slots {
                    slot.forwarder.as_ref().expect("it is behind forwarders").lead_to(port);
                }
            }
            Strike::FailOver => {
                let Engine::Sentinel(watched) = self.engine else { return };
                watched.await_replica();
                watched.fail_over();
            }
        }
    }

    fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            pause();
        }
    }

    /// Waits until all nodes are ready and list exactly those who are there; returns when that was first so.
    pub(crate) fn settle(&mut self, after: &str) -> Instant {
        let began = Instant::now();
        self.stage.hold.store(true, Ordering::SeqCst);
        let healed = loop {
            match self.agreement() {
                Ok(there) => {
                    let healed = Instant::now();
                    self.wait(READING);
                    lock(&self.stage.truths).push((healed, Instant::now(), there));
                    break healed;
                }
                Err(why) if began.elapsed() > HEALING => {
                    self.faults.push(format!("N16: not well {HEALING:?} after {after}: {why}"));
                    break Instant::now();
                }
                Err(_) => pause(),
            }
        };
        self.stage.hold.store(false, Ordering::SeqCst);
        self.slowest = self.slowest.max(healed - began);
        healed
    }

    /// Who is there, as all nodes say; or why not all is well.
    fn agreement(&self) -> Result<BTreeSet<String>, String> {
        let mut there = BTreeSet::new();
        for place in lock(&self.stage.places).values() {
            match place {
                Some((user, Some(_))) => drop(there.insert(user.clone())),
                Some((user, None)) if user.starts_with("stays") => return Err(format!("{user} is nowhere")),
                Some((_, None)) => {}
                None => return Err("somebody moves".to_owned()),
            }
        }
        for (n, slot) in self.stage.slots.iter().enumerate() {
            let node = lock(&slot.node);
            let node = node.as_ref().ok_or("a node is missing")?;
            let looked = catch_unwind(AssertUnwindSafe(|| (node.ready(), users(&slot.target()))));
            let Ok((ready, users)) = looked else { return Err(format!("node {n} does not answer")) };
            if ready.status != 200 {
                return Err(format!("node {n} is not ready: {}", ready.text()));
            }
            if users != there {
                let more: Vec<_> = users.difference(&there).collect();
                let less: Vec<_> = there.difference(&users).collect();
                return Err(format!("node {n} lists {more:?} too many and {less:?} too few"));
            }
        }
        Ok(there)
    }

    /// Lets all be well for a while.
    fn calm(&mut self) {
        let from = Instant::now();
        let time = Duration::from_millis(1000 + self.chance.next() % 1500);
        self.wait(time);
        lock(&self.stage.calm).push((from, Instant::now()));
        self.wait(ARRIVAL);
    }

    /// What was done, and what was wrong.
    pub(crate) fn finish(self) -> Vec<String> {
        let counts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("  done: {}", counts.join(", "));
        println!("  all was well again after {:.1} s at most", self.slowest.as_secs_f64());
        self.faults
    }
}

fn users(target: &Target) -> BTreeSet<String> {
    let answer = target.get(&format!("/channels/{HALL}/users")).send().json();
    let users = answer["users"].as_array().cloned().unwrap_or_default();
    users.iter().filter_map(|user| user["id"].as_str().map(str::to_owned)).collect()
}
