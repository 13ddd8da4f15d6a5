//! Makes trouble, ends it, and waits until all is well again.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::engine::RedisServer;
use heliostat_protocol_tests::nodes::pause;
use heliostat_protocol_tests::{Engine, standstill};

use crate::agreement::{agreement, fence};
use crate::record::{Calm, Trouble};
use crate::stage::{Chance, Slot, Stage, lock};

/// All must agree so long after the end of a trouble, and have heard what was published then: N6 gives a death ten seconds
/// and N16 healing five, and this machine may do other things besides.
const HEALING: Duration = Duration::from_secs(60);

/// So long a fence is waited for where it may have been lost.
const FENCE_WITHIN: Duration = Duration::from_secs(5);

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
    /// The number of the last one.
    fences: usize,
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
            fences: 0,
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
        let stood_still = standstill::longest(began, healed).is_some();
        let trouble = Trouble { name, node: alone.then_some(node), stood_still, began, healed };
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
        if matches!(strike, Strike::EnginePause | Strike::EngineReset | Strike::FailOver) {
            self.await_engine();
        }
    }

    /// Waits until the engine is one again, by its own words, and the nodes have followed: what they say to a primary that
    /// was failed over may still be carried, for a moment.
    fn await_engine(&mut self) {
        let deadline = Instant::now() + HEALING;
        let prefix = format!("{}*", self.stage.slots[0].setup.prefix_text());
        while !self.engine.is_whole() || self.engine.is_heard_elsewhere(&prefix) {
            if Instant::now() > deadline {
                self.not_well(
                    "N14: nodes stay with a primary that was failed over, or the engine is not well",
                );
                return;
            }
            pause();
        }
    }

    fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            pause();
        }
    }

    /// Waits until all nodes are ready and list exactly those who are there, and all of these have heard a fence; returns
    /// when all was well.
    pub(crate) fn settle(&mut self, after: &str) -> Instant {
        let began = Instant::now();
        self.stage.hold.store(true, Ordering::SeqCst);
        let healed = loop {
            let why = match agreement(self.stage) {
                Ok(there) => {
                    let healed = Instant::now();
                    // What is published before a node has seen the trouble may be lost, and there is another one.
                    match self.fence(Instant::now() + FENCE_WITHIN) {
                        Ok(number) => {
                            lock(&self.stage.truths).push((number, there));
                            break healed;
                        }
                        Err(why) => why,
                    }
                }
                Err(why) => why,
            };
            if began.elapsed() > HEALING {
                self.not_well(&format!("N16: not well {HEALING:?} after {after}: {why}"));
                break Instant::now();
            }
            pause();
        };
        self.stage.hold.store(false, Ordering::SeqCst);
        self.slowest = self.slowest.max(healed - began);
        healed
    }

    fn fence(&mut self, deadline: Instant) -> Result<usize, String> {
        self.fences += 1;
        fence(self.stage, self.fences, deadline)?;
        Ok(self.fences)
    }

    /// Notes a fault, and shows what the nodes say.
    fn not_well(&mut self, fault: &str) {
        for slot in &self.stage.slots {
            if let Some(node) = &*lock(&slot.node) {
                eprintln!("node {} says:\n{}", node.name, node.broker().log());
            }
        }
        self.faults.push(fault.to_owned());
    }

    /// Lets all be well for a while, and waits until everybody has heard what was published then.
    fn calm(&mut self) {
        let late = self.late_returns();
        let from = Instant::now();
        let time = Duration::from_millis(1000 + self.chance.next() % 1500);
        self.wait(time);
        let to = Instant::now();
        self.stage.hold.store(true, Ordering::SeqCst);
        while let Err(why) = self.fence(to + HEALING) {
            if to.elapsed() > HEALING {
                self.not_well(&format!("N1: {HEALING:?} after a calm: {why}"));
                break;
            }
            pause();
        }
        let was_late = self.late_returns() > late;
        let stood = standstill::longest(from, Instant::now());
        if let Some(stood) = stood {
            // It may be seen by all of them, until all is well again.
            println!("  this machine stood still for {stood:?}");
            let (name, healed) =
                ("a machine that stood still".to_owned(), self.settle("a machine that stood still"));
            lock(&self.stage.troubles).push(Trouble {
                name,
                node: None,
                stood_still: true,
                began: from,
                healed,
            });
        }
        lock(&self.stage.calm).push(Calm { from, to, was_late, stood_still: stood.is_some() });
        self.stage.hold.store(false, Ordering::SeqCst);
    }

    /// Events that nodes have delivered without having had them back from the engine.
    fn late_returns(&self) -> f64 {
        let late = |slot: &Slot| {
            let node = lock(&slot.node);
            node.as_ref()
                .map_or(0.0, |node| node.metric("heliostat_cluster_lost_total", "reason=\"return_late\""))
        };
        self.stage.slots.iter().map(late).sum()
    }

    /// What was done, and what was wrong. The nodes may still be led to the spare engine, which is there for as long as this is.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        let counts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("  done: {}", counts.join(", "));
        println!("  all was well again after {:.1} s at most", self.slowest.as_secs_f64());
        std::mem::take(&mut self.faults)
    }
}
