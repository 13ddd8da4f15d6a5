//! A client that is a member of the hall and subscribed to rooms, and notes every frame.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::nodes::pause;
use heliostat_protocol_tests::{Incoming, Message, Socket};
use serde_json::json;

use crate::record::{Event, FENCE, Move, Session, Stay};
use crate::stage::{Chance, HALL, ROOMS, Stage, lock};

/// How long one look at the connection takes at most.
const LOOK: Duration = Duration::from_millis(50);

/// Lives until the end, by one connection after the other. Who stays has one user of its own, and leaves only with its node;
/// of those who pass, two share a user.
pub(crate) fn live(stage: &Stage, number: usize, stays: bool, mut chance: Chance) -> Vec<Session> {
    let user = if stays { format!("stays{number}") } else { format!("passes{}", number / 2) };
    let mut sessions = Vec::new();
    lock(&stage.places).insert(number, Some((user.clone(), None)));
    while !stage.is_over() {
        let Some(node) = stage.somewhere(&mut chance) else {
            pause();
            continue;
        };
        let mut visit = Visit::new(stage, number, stays, chance.clone());
        chance.next();
        if !visit.begins_to_move() {
            pause();
            continue;
        }
        let session = visit.session(node, &user);
        lock(&stage.places).insert(number, Some((user.clone(), None)));
        match session {
            Some(session) => sessions.push(session),
            None => pause(),
        }
    }
    sessions
}

struct Visit<'s> {
    stage: &'s Stage,
    number: usize,
    stays: bool,
    chance: Chance,
    socket: Option<Socket>,
    /// How many rooms it has asked for.
    rooms: usize,
    /// Where it has heard the last fence, and through which node.
    fence: (usize, BTreeSet<(String, usize)>),
}

impl<'s> Visit<'s> {
    fn new(stage: &'s Stage, number: usize, stays: bool, chance: Chance) -> Visit<'s> {
        let rooms = if stays { 3 } else { 1 };
        Visit { stage, number, stays, chance, socket: None, rooms, fence: (0, BTreeSet::new()) }
    }

    /// One connection to a node; none if it does not come to one.
    fn session(&mut self, node: usize, user: &str) -> Option<Session> {
        let slot = &self.stage.slots[node];
        let target = slot.target();
        // A node that has just been killed refuses in some way.
        let mut socket = catch_unwind(AssertUnwindSafe(|| target.connect())).ok()?;
        let asked = Instant::now();
        let mut session = Session {
            user: user.to_owned(),
            node,
            joined: None,
            ended: asked,
            rooms: Vec::new(),
            roster: BTreeSet::new(),
            moves: Vec::new(),
            fences: Vec::new(),
        };
        let first = self.chance.below(ROOMS);
        let said = catch_unwind(AssertUnwindSafe(|| {
            socket.join(HALL, &json!({ "user_id": user }).to_string());
            for n in 0..self.rooms {
                let room = format!("room-{}", (first + n) % ROOMS);
                socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": room } }));
            }
        }));
        said.ok()?;
        self.socket = Some(socket);
        let stay = Duration::from_millis(300 + self.chance.next() % 2500);
        loop {
            let socket = self.socket.as_mut()?;
            match catch_unwind(AssertUnwindSafe(|| socket.receive_within(LOOK))) {
                Ok(Some(Incoming::Message(message))) => self.note(&mut session, &message),
                Ok(Some(Incoming::Ping(_) | Incoming::Pong(_)) | None) => {}
                Ok(Some(Incoming::Close(_) | Incoming::End)) | Err(_) => break,
            }
            session.ended = Instant::now();
            if self.stage.is_over() {
                break;
            }
            if !self.stays && session.ended > asked + stay && self.begins_to_move() {
                break;
            }
        }
        self.leave(&mut session);
        Some(session)
    }

    /// Says that it is about to move, unless all who can should stay where they are.
    fn begins_to_move(&self) -> bool {
        let mut places = lock(&self.stage.places);
        let moves = self.stays || !self.stage.hold.load(Ordering::SeqCst);
        if moves {
            places.insert(self.number, None);
        }
        moves
    }

    fn note(&mut self, session: &mut Session, message: &Message) {
        let now = Instant::now();
        let channel = message.channel.as_deref().unwrap_or_default();
        match message.event.as_str() {
            "pusher_internal:subscription_succeeded" => {
                if channel == HALL {
                    session.joined = Some(now);
                    let roster = message.decoded();
                    let ids = roster["presence"]["ids"].as_array().cloned().unwrap_or_default();
                    session.roster = ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect();
                } else {
                    session.rooms.push(Stay { room: channel.to_owned(), joined: now, heard: Vec::new() });
                }
                if session.joined.is_some() && session.rooms.len() == self.rooms {
                    let place = Some((session.user.clone(), Some(session.node)));
                    lock(&self.stage.places).insert(self.number, place);
                }
            }
            name @ ("pusher_internal:member_added" | "pusher_internal:member_removed") => {
                let user = message.decoded()["user_id"].as_str().unwrap_or_default().to_owned();
                session.moves.push(Move { at: now, user, came: name.ends_with("added") });
            }
            "number" => {
                let Some(event) = message.data.as_str().and_then(Event::parse) else { return };
                if let Some(stay) = session.rooms.iter_mut().find(|stay| stay.room == channel) {
                    stay.heard.push(event);
                }
                if event.publisher == FENCE {
                    self.note_fence(session, channel, event);
                }
            }
            _ => {}
        }
    }

    fn note_fence(&mut self, session: &mut Session, channel: &str, event: Event) {
        let (number, heard) = &mut self.fence;
        if *number != event.number {
            (*number, *heard) = (event.number, BTreeSet::new());
        }
        heard.insert((channel.to_owned(), event.node));
        let in_hall = heard.iter().filter(|(channel, _)| channel == HALL).count();
        let nodes = self.stage.slots.len();
        if channel == HALL && in_hall == nodes {
            session.fences.push((*number, session.moves.len()));
        }
        if heard.len() == nodes * (1 + self.rooms) {
            lock(&self.stage.reached).insert(self.number, *number);
        }
    }

    /// Leaves in one of the ways in which clients do.
    fn leave(&mut self, session: &mut Session) {
        session.ended = Instant::now();
        let Some(socket) = self.socket.take() else { return };
        let politely = self.chance.below(2) == 0 && !self.stage.is_over();
        let _ = catch_unwind(AssertUnwindSafe(|| if politely { socket.close() } else { socket.vanish() }));
    }
}
