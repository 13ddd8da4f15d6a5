//! Private channels in which everybody talks to everybody.

use super::Stage;
use super::fanout::deliveries_under;
use crate::clients::{Broken, Crowd, OPENING_AT_ONCE, Template, Wish};
use crate::load::{SaturateClients, Speaker};
use crate::run::Outcome;

/// Opens `rooms` groups of `people`, each of whom is a publisher too; room and place follow from a client's number.
pub(super) fn open_rooms(crowd: &mut Crowd, rooms: usize, people: usize) -> Result<Vec<Speaker>, Broken> {
    crowd.open_all(rooms * people, OPENING_AT_ONCE, |crowd, number| {
        let (room, place) = ((number / people) as u32, (number % people) as u32);
        let seat = crowd.shared.ledger.seat(room, Some(place));
        crowd.open(vec![Wish::channel(&channel(room))], vec![seat]).map(drop)
    })?;
    Ok(speakers(crowd, rooms, people, 100))
}

/// A speaker for everybody, ordered so that neighbours are in different rooms.
pub(super) fn speakers(crowd: &Crowd, rooms: usize, people: usize, payload_bytes: usize) -> Vec<Speaker> {
    let everybody = (0..people).flat_map(|place| (0..rooms).map(move |room| (room, place)));
    everybody
        .map(|(room, place)| {
            let publisher = crowd.shared.ledger.publisher(room as u32, place as u32);
            let template = Template::client_event(publisher, &channel(room as u32), payload_bytes);
            Speaker { client: room * people + place, template }
        })
        .collect()
}

pub(super) fn channel(room: u32) -> String {
    format!("private-room-{room}")
}

pub(super) fn saturated(stage: &Stage<'_>, rooms: usize, people: usize) -> Result<Outcome, Broken> {
    let rooms = stage.scaled(rooms);
    let mut crowd = stage.crowd(rooms as u32, people as u32)?;
    let speakers = open_rooms(&mut crowd, rooms, people)?;
    deliveries_under(stage, crowd, SaturateClients { speakers, listeners: people as u64 - 1 })
}
