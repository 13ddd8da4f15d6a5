//! Presence that cannot rot: after a storm of joins, leaves and broken connections the roster is exact, and what the
//! backend was told adds up to it.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::{Sink, Socket, Target, patience, unique};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::eventually;
use crate::storm::histories;
use crate::webhooks::{broker, sink};

const THREADS: usize = 4;
/// Connections of each thread; every user has one in each thread.
const USERS: usize = 120;
const STEPS: usize = 400;

/// One connection of a user, and the channel it is in.
struct Client {
    socket: Socket,
    user: String,
    channel: Option<String>,
}

impl Client {
    fn join(&mut self, channel: &str) {
        self.socket.join(channel, &json!({ "user_id": self.user }).to_string());
        // Members come and go in the channels it was in before, too.
        while self.socket.message().event != "pusher_internal:subscription_succeeded" {}
        self.channel = Some(channel.to_owned());
    }

    fn leave(&mut self) {
        if let Some(channel) = self.channel.take() {
            self.socket.unsubscribe(&channel);
            self.socket.drain();
        }
    }

    /// Its connection breaks, in one way or another, and a new one is made.
    fn break_off(&mut self, target: &Target, reset: bool) {
        if reset {
            self.socket.drain();
            self.socket.leave_an_answer_unread();
        }
        self.socket.vanish();
        self.socket = target.connect();
        self.channel = None;
    }

    fn step(&mut self, happening: Happening, channel: &str, target: &Target) {
        match happening {
            Happening::Reload => {
                let before = self.channel.clone();
                self.break_off(target, false);
                before.iter().for_each(|channel| self.join(channel));
            }
            Happening::BreakOff => self.break_off(target, true),
            Happening::Leave => self.leave(),
            Happening::Move => {
                self.leave();
                self.join(channel);
            }
        }
    }
}

/// What a client does, or what happens to it.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// A page is reloaded.
    Reload,
    BreakOff,
    Leave,
    /// It leaves where it is, and joins a channel.
    Move,
}

/// One step of a history.
#[derive(Clone, Copy, Debug)]
struct Step {
    client: usize,
    channel: usize,
    happening: Happening,
}

/// What the backend makes of the webhooks: who is there.
#[derive(Default)]
struct Backend {
    channels: BTreeSet<String>,
    members: BTreeSet<(String, String)>,
    told: usize,
}

impl Backend {
    /// Reads everything that is told, until it makes these members and then nothing more comes. Nobody may come twice, and nobody
    /// go who is not there.
    fn listen(&mut self, sink: &Sink, members: &BTreeSet<(String, String)>) {
        /// Longer than removals are held back and batches wait.
        const QUIET: Duration = Duration::from_millis(1500);
        let deadline = Instant::now() + patience();
        loop {
            match sink.webhook_within(QUIET) {
                Some(webhook) => webhook.events().iter().for_each(|event| self.hear(event)),
                None if self.members == *members || Instant::now() > deadline => break,
                // The machine was held up.
                None => {}
            }
        }
    }

    fn hear(&mut self, event: &Value) {
        self.told += 1;
        let text =
            |name: &str| event[name].as_str().unwrap_or_else(|| panic!("{name} in {event}")).to_owned();
        let channel = text("channel");
        let new = match event["name"].as_str() {
            Some("channel_occupied") => self.channels.insert(channel),
            Some("channel_vacated") => self.channels.remove(&channel),
            Some("member_added") => self.members.insert((channel, text("user_id"))),
            Some("member_removed") => self.members.remove(&(channel, text("user_id"))),
            _ => panic!("nobody asked for {event}"),
        };
        assert!(new, "told twice: {event}");
    }
}

fn users(target: &Target, channel: &str) -> BTreeSet<String> {
    let answer = target.get(&format!("/channels/{channel}/users")).send().json();
    let users = answer["users"].as_array().cloned().unwrap_or_default();
    users.iter().filter_map(|user| user["id"].as_str()).map(str::to_owned).collect()
}

/// Hundreds of members with several connections each join, leave and break off at random. In the end every roster is
/// exact, and coming and going have been told in turns, with the same result; when all have left, nothing is left.
///
/// Proves: 97, 98, 99, 202, 218, 219, 221.
#[test]
fn webhooks_add_up_after_a_storm() {
    let sink = sink();
    let settings = "limits = { presence_members_per_channel = 1000 }\n[apps.webhook_delivery]\nbatching = true\n\
                    batch_window_seconds = 0.1\nremoval_delay_seconds = 0.3\n";
    let Some(target) = broker(settings, &sink) else { return };
    let channels: [String; 3] = std::array::from_fn(|_| unique("presence-churn-"));
    let storm = |(first, history): (Vec<usize>, Vec<Step>)| {
        let (target, channels) = (target.clone(), channels.clone());
        thread::spawn(move || {
            let client = |n| Client { socket: target.connect(), user: format!("user-{n}"), channel: None };
            let mut clients: Vec<Client> = (0..USERS).map(client).collect();
            for (client, channel) in clients.iter_mut().zip(first) {
                client.join(&channels[channel]);
            }
            for Step { client, channel, happening } in history {
                clients[client].step(happening, &channels[channel], &target);
            }
            clients
        })
    };
    let happening = prop_oneof![
        3 => Just(Happening::Reload),
        2 => Just(Happening::BreakOff),
        2 => Just(Happening::Leave),
        3 => Just(Happening::Move),
    ];
    let step = (0..USERS, 0..channels.len(), happening).prop_map(|(client, channel, happening)| Step {
        client,
        channel,
        happening,
    });
    let first = histories(THREADS, USERS, 0..channels.len());
    let storms = first.into_iter().zip(histories(THREADS, STEPS, step)).map(storm);
    let storms: Vec<_> = storms.collect();
    let clients: Vec<Client> = storms.into_iter().flat_map(|storm| storm.join().unwrap()).collect();

    let there = clients.iter().filter_map(|client| Some((client.channel.clone()?, client.user.clone())));
    let there: BTreeSet<(String, String)> = there.collect();
    for channel in &channels {
        let here = there.iter().filter(|(name, _)| name == channel).map(|(_, user)| user.clone());
        let here: BTreeSet<String> = here.collect();
        eventually("the broken connections are noticed", || (users(&target, channel) == here).then_some(()));
    }
    let mut backend = Backend::default();
    backend.listen(&sink, &there);
    assert_eq!(backend.members, there);
    assert_eq!(backend.channels, there.iter().map(|(channel, _)| channel.clone()).collect());
    assert!(backend.told > there.len() + 100, "only {} events: it was no storm", backend.told);

    clients.iter().for_each(|client| client.socket.vanish());
    drop(clients);
    eventually("everybody has left", || {
        let listed = target.get("/channels").send().json();
        (listed["channels"] == json!({})).then_some(())
    });
    backend.listen(&sink, &BTreeSet::new());
    assert!(backend.members.is_empty(), "{:?}", backend.members);
    assert!(backend.channels.is_empty(), "{:?}", backend.channels);
}
