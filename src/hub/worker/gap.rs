//! Something of a channel may be missing: those are told who would hold that they have everything.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use indexmap::map::Values;

use crate::channel::ChannelVersion;
use crate::hub::Client;
use crate::hub::fanout::Subscriber;
use crate::protocol::{ChannelName, Form, SocketId, server_message};

use super::Worker;

impl Worker {
    /// Tells those of a channel's local subscribers who are told of what they missed: connections that have a name, and
    /// streams whose events have places. Who has joined at this version or later has been told. Returns how many were.
    #[cold]
    pub(super) fn tell_of_gap(
        &self,
        channel: &ChannelName,
        subscribers: Values<'_, SocketId, Subscriber>,
        version: ChannelVersion,
        dirty: &RefCell<VecDeque<Rc<Client>>>,
    ) -> u64 {
        let resumed = server_message::resumed(channel, false, 0);
        let mut told = 0;
        for Subscriber { client, since, track } in subscribers {
            let is_encrypted = channel.channel_type().is_encrypted() && client.decrypts_everything();
            let is_positioned = client.form() == Form::Positioned;
            if *since >= version || is_encrypted || !(client.named().is_some() || is_positioned) {
                continue;
            }
            let frame = match client.form() {
                Form::Quoted => resumed.quoted(),
                Form::Positioned => resumed.positioned(&self.position(client, channel, version)),
                _ => resumed.clone(),
            };
            self.queue(client, frame, dirty);
            told += 1;
            if let Some(track) = track {
                // Until it says that it knows, it is told again when it comes back.
                self.follow_one(client, track, version, true);
            }
        }
        told
    }
}
