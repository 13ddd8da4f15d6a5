//! Who comes back, and up to where it has received: the names that clients give themselves, what each of their
//! connections has echoed, and the cursors that are kept while a client is away.
//!
//! A name is in the path of a connection, `/r/{name}`. What was sent to it is followed by pings, whose echoes tell
//! ([`Echoes`]) what has arrived; that moves the [`Cursors`] of the name. [`ClientNameTable`] keeps the names, within bounds.
//!
//! Where several nodes are one broker, each tells the others of its names by a [`NameNote`], of which the engine keeps one for each
//! name: whoever takes a name reads there what the node before has written.
//!
//! It knows neither channels nor sockets: whoever owns these asks for a cursor where a subscription begins, and says what
//! was sent and what came.

mod config;
mod cursors;
mod echoes;
pub mod fuzzing;
mod held_note;
mod name;
mod names;
mod note;
mod noted_names;
mod terminations;
mod track;

#[cfg(test)]
pub(crate) use note::NotedCursor;

#[cfg(test)]
mod promise;
#[cfg(test)]
mod promise_elsewhere;

pub use config::RecoveryConfig;
pub(crate) use cursors::{CursorBytes, Cursors, JoinedAs, NameTimes, ReceivedPlace};
pub(crate) use echoes::{Echoes, PACE, Payload, ReceivedUpTo};
pub(crate) use held_note::{ChangedNotes, NoteUrgency, OldNote};
pub(crate) use name::{ClientName, GivenName};
pub(crate) use names::{Arrived, ClientNameTable, NameBounds, NameCounts, NameHold, NameKey};
pub(crate) use note::{HELD_LONGER, NameNote, NoteNumber, UnreadableNote};
pub(crate) use noted_names::{ArrivingNote, DueNote, NoteFate, TakenName, TakenNote};
pub(crate) use track::Track;
