//! The scenarios: what is opened, what is sent, and which figures come of it.

mod chat;
pub(crate) mod churn;
mod connections;
mod ends;
pub(crate) mod fanout;
mod latency;
mod neighbour;
mod sessions;
mod slow;
mod turns;
mod video;
mod watched;

use std::time::Duration;

use crate::clients::{Broken, Crowd, Keeping};
use crate::ledger::Ledger;
use crate::load::Load;
use crate::run::{Outcome, Window, count_calls};
use crate::server::Server;

/// One scenario. Its first figure is the one it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// What the server must be able to do.
    pub(crate) needs: Needs,
    pub(crate) run: fn(&Stage<'_>) -> Result<Outcome, Broken>,
}

/// What a scenario asks of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Subscribing, publishing and delivering, which the ceiling can do as well.
    Deliveries,
    /// The same over TLS, by servers that are started for it.
    Tls,
    /// The rest of the protocol: the ceiling cannot do it.
    Broker,
    /// A channel of video, in whose place the ceiling delivers events of the same sizes.
    Video,
    /// The same over TLS.
    VideoTls,
    /// What only a broker does of it.
    VideoBroker,
    /// A console in which somebody may watch an app.
    Console,
}

/// A server, and how much of a scenario to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) server: &'a Server,
    pub(crate) seconds: f64,
    pub(crate) quick: bool,
    /// Publishers that have a message on its way at any time, where the load is as much as goes.
    pub(crate) outstanding: u32,
    /// Count system calls too.
    pub(crate) system_calls: bool,
}

impl Stage<'_> {
    pub(crate) fn crowd(&self, groups: u32, slots: u32) -> Result<Crowd, Broken> {
        let Server { address, ref tls, ref app, .. } = *self.server;
        Crowd::new(address, tls.clone(), app.clone(), Ledger::new(groups, slots))
    }

    /// So many, or a twentieth of them in a quick run.
    fn scaled(&self, count: usize) -> usize {
        if self.quick { (count / 20).max(5) } else { count }
    }

    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// For scenarios that need time for enough events: at least so long, except in a quick run.
    fn window_of_at_least(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { self.seconds } else { self.seconds.max(seconds) })
    }
}

/// Adds the system calls for each unit, if somebody wants to know.
fn add_calls(
    stage: &Stage<'_>,
    crowd: &mut Crowd,
    load: &mut dyn Load,
    units: fn(&Window) -> u64,
    outcome: &mut Outcome,
) -> Result<(), Broken> {
    if stage.system_calls {
        outcome.calls = Some(count_calls(crowd, stage.server.process, load, stage.window(), units)?);
    }
    Ok(())
}

/// What every scenario ends with: who is still owed something, and what else went wrong.
fn verdict(mut crowd: Crowd, mut outcome: Outcome) -> Outcome {
    crowd.settle();
    outcome.faults = crowd.shared.ledger.faults;
    outcome
}

/// All scenarios, in the order of the table of targets.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "fanout-100x100b",
        about: "HTTP-published fan-out, saturated: 100 subscribers, 100 bytes",
        needs: Needs::Deliveries,
        run: |stage| fanout::over_http(stage, 100, 100),
    },
    Scenario {
        name: "fanout-1000x100b",
        about: "HTTP-published fan-out, saturated: 1000 subscribers, 100 bytes",
        needs: Needs::Deliveries,
        run: |stage| fanout::over_http(stage, 1000, 100),
    },
    Scenario {
        name: "fanout-1000x1k",
        about: "HTTP-published fan-out, saturated: 1000 subscribers, 1 KB",
        needs: Needs::Deliveries,
        run: |stage| fanout::over_http(stage, 1000, 1000),
    },
    Scenario {
        name: "fanout-1000x10k",
        about: "HTTP-published fan-out, saturated: 1000 subscribers, 10 KB",
        needs: Needs::Deliveries,
        run: |stage| fanout::over_http(stage, 1000, 10_000),
    },
    Scenario {
        name: "fanout-5000x100b",
        about: "HTTP-published fan-out, saturated: 5000 subscribers, 100 bytes",
        needs: Needs::Deliveries,
        run: |stage| fanout::over_http(stage, 5000, 100),
    },
    Scenario {
        name: "fanout-5000x100b-2x2",
        about: "… two publishers with two messages each on their way, until everybody has them",
        needs: Needs::Deliveries,
        run: |stage| fanout::until_delivered(stage, 5000, 100, 2 * 2),
    },
    Scenario {
        name: "fanout-1000x1k-16",
        about: "… 1000 subscribers, 1 KB, 16 publishers with one message each on its way, until everybody has it",
        needs: Needs::Deliveries,
        run: |stage| fanout::until_delivered(stage, 1000, 1000, 16),
    },
    Scenario {
        name: "camera-100x40k",
        about: "HTTP-published camera frames, saturated: 100 subscribers, 40 KB",
        needs: Needs::Deliveries,
        run: |stage| fanout::over_http(stage, 100, 40_000),
    },
    Scenario {
        name: "chat-50x20",
        about: "50 private channels of 20, everybody sends client events of 100 bytes, saturated",
        needs: Needs::Deliveries,
        run: |stage| chat::saturated(stage, 50, 20),
    },
    Scenario {
        name: "client-events-1000x1k",
        about: "client-event fan-out, saturated: 4 of 1000 subscribers of a private channel send 1 KB",
        needs: Needs::Deliveries,
        run: |stage| fanout::of_client_events(stage, 1000, 1000),
    },
    Scenario {
        name: "http-publish",
        about: "HTTP publish of 100 bytes over 64 kept connections to a channel without subscribers",
        needs: Needs::Deliveries,
        run: |stage| fanout::to_nobody(stage, 64, Keeping::Kept),
    },
    Scenario {
        name: "http-publish-new",
        about: "… over a connection for each, which its client ends, 64 at a time",
        needs: Needs::Deliveries,
        run: |stage| fanout::to_nobody(stage, 64, Keeping::OneEach),
    },
    Scenario {
        name: "http-publish-tls",
        about: "… over a TLS connection for each, with a whole handshake",
        needs: Needs::Tls,
        run: |stage| fanout::to_nobody(stage, 64, Keeping::OneEach),
    },
    Scenario {
        name: "connect-10000",
        about: "10,000 clients connect and subscribe, 64 at a time",
        needs: Needs::Deliveries,
        run: |stage| connections::connect(stage, 10_000),
    },
    Scenario {
        name: "memory-10000",
        about: "memory of 10,000 idle subscribers, after a broadcast of 40 KB, and 10 s later",
        needs: Needs::Deliveries,
        run: |stage| connections::memory(stage, 10_000),
    },
    Scenario {
        name: "memory-burst",
        about: "memory 8 s after 120,000 sessions, 15,000 at a time, that connected, subscribed and left",
        needs: Needs::Deliveries,
        run: |stage| connections::burst(stage, 15_000),
    },
    Scenario {
        name: "memory-burst-xhr",
        about: "memory 8 s after 120,000 sessions of XHR polling that were begun and given up",
        needs: Needs::Broker,
        run: |stage| sessions::burst(stage, 120_000),
    },
    Scenario {
        name: "latency-fanout",
        about: "latency at moderate load: 20 messages/s of 100 bytes to 1000 subscribers",
        needs: Needs::Deliveries,
        run: |stage| latency::measured(stage, latency::open_fanout(stage, 1000, 20.0)?),
    },
    Scenario {
        name: "latency-chat",
        about: "latency at moderate load: 50 private channels of 20, 1000 client events/s of 100 bytes",
        needs: Needs::Deliveries,
        run: |stage| latency::measured(stage, latency::open_chat(stage, 50, 20, 1000.0)?),
    },
    Scenario {
        name: "watched-fanout",
        about: "… the fan-out, with nobody watching, with a viewer of another app and with one of this: turn about",
        needs: Needs::Console,
        run: |stage| watched::turn_about(stage, latency::open_fanout(stage, 1000, 20.0)?),
    },
    Scenario {
        name: "watched-chat",
        about: "… the chat, likewise",
        needs: Needs::Console,
        run: |stage| watched::turn_about(stage, latency::open_chat(stage, 50, 20, 1000.0)?),
    },
    Scenario {
        name: "neighbour-5000",
        about: "what others on the worker wait while two publishers feed 5000 subscribers with 100 bytes, saturated",
        needs: Needs::Broker,
        run: |stage| neighbour::beside_fanout(stage, 5000),
    },
    Scenario {
        name: "turns-watchers",
        about: "the longest wait of others on the worker: 8000 watchers of the same 100 users leave at once",
        needs: Needs::Broker,
        run: |stage| turns::watchers(stage, 8000),
    },
    Scenario {
        name: "turns-end",
        about: "… a connection with 100,000 subscriptions ends",
        needs: Needs::Broker,
        run: |stage| turns::end(stage, 100_000),
    },
    Scenario {
        name: "turns-xhr-send",
        about: "… one xhr_send of 1 MiB of empty messages",
        needs: Needs::Broker,
        run: turns::xhr_send,
    },
    Scenario {
        name: "turns-channels",
        about: "… GET /channels over 100,000 channels",
        needs: Needs::Broker,
        run: |stage| turns::channels(stage, 100_000),
    },
    Scenario {
        name: "turns-inflating",
        about: "… 1000 compressed messages at once, each of 1 MiB when inflated",
        needs: Needs::Broker,
        run: |stage| turns::inflating(stage, 1000),
    },
    Scenario {
        name: "turns-latest",
        about: "… events of a latest-only channel, to 400 stalled readers whose outboxes hold 3500 other frames",
        needs: Needs::Broker,
        run: |stage| turns::latest(stage, 400),
    },
    Scenario {
        name: "turns-close-app",
        about: "… 10,000 connections of an app are closed because a reload removes it",
        needs: Needs::Broker,
        run: |stage| ends::close_app(stage, 10_000),
    },
    Scenario {
        name: "turns-close-user",
        about: "… 8000 connections of one user are closed",
        needs: Needs::Broker,
        run: |stage| ends::close_user(stage, 8000),
    },
    Scenario {
        name: "turns-roster",
        about: "… 4000 members of a presence channel leave at once",
        needs: Needs::Broker,
        run: |stage| ends::roster(stage, 4000),
    },
    Scenario {
        name: "presence-churn-500",
        about: "presence channel of 500: one in ten leaves and joins again, four at a time",
        needs: Needs::Broker,
        run: |stage| churn::presence(stage, 500, 50),
    },
    Scenario {
        name: "storm-5000",
        about: "5000 subscribers drop at once and come back, 512 at a time",
        needs: Needs::Deliveries,
        run: |stage| connections::storm(stage, 5000),
    },
    Scenario {
        name: "mixed-2000",
        about: "real life: 2000 readers of the news, 400 of them in 20 chats, and 20 a second who leave and return",
        needs: Needs::Deliveries,
        run: |stage| churn::mixed(stage, 2000),
    },
    Scenario {
        name: "slow-one",
        about: "one stalled reader of 1000: 60 messages/s of 10 KB",
        needs: Needs::Broker,
        run: |stage| slow::one_of(stage, 1000),
    },
    Scenario {
        name: "slow-thousand",
        about: "1000 stalled readers and 100 that read: 60 messages/s of 10 KB",
        needs: Needs::Broker,
        run: |stage| slow::many(stage, 1000, 100),
    },
    Scenario {
        name: "slow-thousand-apart",
        about: "1000 stalled readers, each owed 1.5 MB of its own, in messages of 10 KB",
        needs: Needs::Broker,
        run: |stage| slow::many_apart(stage, 1000),
    },
    Scenario {
        name: "video-1000",
        about: "a film of 4 Mb/s, 30 pictures a second, to 1000 viewers",
        needs: Needs::Video,
        run: |stage| video::watched(stage, 1000),
    },
    Scenario {
        name: "video-1000-tls",
        about: "… over TLS",
        needs: Needs::VideoTls,
        run: |stage| video::watched(stage, 1000),
    },
    Scenario {
        name: "video-throttled",
        about: "… in two renditions, 100 of 1000 behind lines that take a quarter of it",
        needs: Needs::VideoBroker,
        run: |stage| video::throttled(stage, 1000, 100),
    },
    Scenario {
        name: "video-join",
        about: "… 1000 join within a second: from connecting to the first picture",
        needs: Needs::VideoBroker,
        run: |stage| video::joined(stage, 1000),
    },
    Scenario {
        name: "video-stalls",
        about: "… with sound, behind lines of 80 ms that stand still for 300 ms each 5 s",
        needs: Needs::VideoBroker,
        run: |stage| video::stalling(stage, 10),
    },
];
