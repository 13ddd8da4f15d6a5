//! A connection subscribes to a channel: it is put on the worker's list, and told what there is.

use std::rc::Rc;

use crate::channel::{ChannelVersion, Replay, ReplayedEvent, Wanted};
use crate::connection::{Join, NotJoined};
use crate::hub::Client;
use crate::hub::settle::Welcome;
use crate::protocol::{Broadcast, ChannelName, Form, Frame, server_message};

use super::Worker;

impl Worker {
    /// Subscribes a connection and tells it so; tells the others of a new member. `None` if that must wait: the connection's
    /// driver is woken then, and finds the answer by [`Worker::take_answers`].
    ///
    /// # Errors
    /// If the app has no room for it, or the channel refuses. Nothing has changed then.
    pub fn join(self: &Rc<Self>, client: &Rc<Client>, join: &Join) -> Option<Result<(), NotJoined>> {
        if let Some(bus) = self.hub.bus()
            && self.claim(&bus, client, join)
        {
            return None;
        }
        Some(self.settle(client, join))
    }

    /// Does so now. Where the channel's events were claimed for it, and it is refused, they are released.
    pub(super) fn settle(&self, client: &Rc<Client>, join: &Join) -> Result<(), NotJoined> {
        let result = self.begin(client, join);
        if result.is_err()
            && let Some(bus) = self.hub.bus()
        {
            bus.release(client.app(), &join.channel);
        }
        result
    }

    fn begin(&self, client: &Rc<Client>, join: &Join) -> Result<(), NotJoined> {
        let Join { channel, member, authorizes, wanted, .. } = join;
        let app = client.app();
        let _step = app.begin_step();
        let counted = *authorizes && self.count(client).map_err(|_| NotJoined::AppFull)?;
        let by_user = client.version().presence_by_user();
        let named = client.named();
        let member_id = member.as_ref().map(|member| &member.user_id);
        let missed = named.map(|named| {
            named.wanted(&self.hub, (app, client.socket_id()), channel, member_id.map(|id| &**id))
        });
        let is_known = matches!(missed, Some(Wanted::Since { .. }));
        let missed = missed.map(|missed| match wanted.as_deref() {
            Some(Wanted::Last(rewind)) => missed.or_last(Some(*rewind)),
            _ => missed,
        });
        let asked = missed.as_ref().or(wanted.as_deref()).unwrap_or(&Wanted::Nothing);
        let most = self.hub.recovery().replay_bytes;
        // What a client that is known has missed is sent once for each of its connections.
        let rewinds = wanted.is_some() && !is_known;
        let room = if rewinds { client.rewind_room(most) } else { client.replay_room(most) };
        let settled = self.subscription(client, channel).begin(member.as_ref(), by_user, (asked, room));
        let Welcome { version, roster, remembered, replay, beginnings } = settled.map_err(|refused| {
            if counted {
                self.uncount(client);
            }
            NotJoined::Refused(refused)
        })?;
        let track = match (named, &replay) {
            (Some(named), Some(Replay { complete, .. })) => {
                named.joined(&self.hub, channel, member_id, (version, is_known && *complete))
            }
            _ => None,
        };
        self.channels.borrow_mut().of_or_new(app.index(), app.cells_of(self.index)).insert(
            channel,
            Rc::clone(client),
            (version, track.clone()),
        );
        if roster.is_some() || client.version().confirms_every_subscription() {
            self.send(client, server_message::subscription_succeeded(channel, roster.as_deref()));
        }
        if let Some(remembered) = remembered {
            self.send(client, remembered);
        }
        if let Some(replay) = replay.as_ref().filter(|_| rewinds) {
            client.rewound(replay.events.iter().map(|event| event.frame.websocket().len()).sum());
        }
        match replay {
            Some(replay) => {
                self.hub.note_recovery(client, channel, asked, &replay);
                self.send_replay(client, channel, &replay, version);
            }
            // Whoever asks is told, also where there is nothing.
            None if wanted.is_some() => self.send_replay(client, channel, &Replay::default(), version),
            None if client.form() == Form::Positioned => {
                let place = server_message::subscription_succeeded(channel, None);
                self.queue(
                    client,
                    place.positioned(&self.position(client, channel, version)),
                    &self.dirty.prompt,
                );
            }
            None => {}
        }
        if let Some(track) = &track {
            self.follow_one(client, track, version, true);
        }
        if !beginnings.is_empty() {
            self.begin_tracks(client, channel, &beginnings);
        }
        Ok(())
    }

    /// The place of a subscriber of a channel who has received what there was up to this version, as it is written.
    pub(super) fn position(&self, client: &Client, channel: &ChannelName, version: ChannelVersion) -> String {
        self.hub.position(client.app(), channel, version).to_string()
    }

    /// Sends a connection what it has missed, or the last events, before anything that is published from now on, and tells it
    /// whether that is all. `joined` is the version with which it joined.
    #[cold]
    fn send_replay(
        &self,
        client: &Rc<Client>,
        channel: &ChannelName,
        replay: &Replay,
        joined: ChannelVersion,
    ) {
        for ReplayedEvent { place, frame, .. } in &replay.events {
            // Who goes in the middle of what is not all has yet to hear that it is not: it must not come back from there.
            let position = replay.complete.then(|| place.to_string());
            let frame = in_form(frame, client.form(), position.as_deref());
            if client.enqueue_replayed(frame) {
                self.is_dirty(client, &self.dirty.prompt);
            }
        }
        let resumed = server_message::resumed(channel, replay.complete, replay.events.len());
        let is_told = self.tell_resumed(client, channel, &resumed, (joined, &self.dirty.prompt));
        let sent = replay.events.len() + usize::from(is_told);
        client.app().cells_of(self.index).messages_sent.add(sent as u64);
    }
}

/// An event of a history as a client takes it: as a binary message only where it was made so, and never compressed.
fn in_form(frame: &Frame, form: Form, position: Option<&str>) -> Frame {
    let frame = Broadcast::new(frame.clone(), false).for_client(form);
    match (form, position) {
        (Form::Quoted, _) => frame.quoted(),
        (Form::Positioned, Some(position)) => frame.positioned(position),
        _ => frame,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::BinaryPayload;
    use crate::protocol::json::Data;

    #[test]
    fn who_takes_binary_messages_is_sent_those_that_it_missed_as_they_were_made() {
        let channel = ChannelName::parse("mirror", 164).unwrap();
        let payload = BinaryPayload::new("image/jpeg", "", &[7; 600]).unwrap();
        let binary = server_message::binary_event("e", &payload, &channel, None);
        let text = server_message::channel_event("e", &Data::of_binary(payload), &channel, None);
        for form in [Form::Binary, Form::BinaryOrCompressed] {
            assert_eq!(in_form(&binary, form, Some("1-2")), binary);
            assert_eq!(in_form(&text, form, None), text);
        }
        for form in [Form::Plain, Form::Compressed] {
            assert_eq!(in_form(&binary, form, Some("1-2")), text);
        }
        assert_eq!(in_form(&binary, Form::Quoted, None), text.quoted());
        assert_eq!(in_form(&binary, Form::Positioned, Some("1-2")), text.positioned("1-2"));
        assert_eq!(in_form(&binary, Form::Positioned, None), text);
    }
}
