//! Something of a channel may be missing: those are told who would hold that they have everything.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use indexmap::map::Values;

use crate::channel::ChannelVersion;
use crate::hub::Client;
use crate::hub::fanout::Subscriber;
use crate::protocol::{ChannelName, Form, Frame, SocketId, server_message};

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
            let is_positioned = client.form() == Form::Positioned;
            if *since >= version
                || !(client.named().is_some() || is_positioned)
                || !self.tell_resumed(client, channel, &resumed, (version, dirty))
            {
                continue;
            }
            told += 1;
            if let Some(track) = track {
                // Until it says that it knows, it is told again when it comes back.
                self.follow_one(client, track, version, true);
            }
        }
        told
    }

    /// Tells one connection what has become of what it missed of a channel, up to this version. Whoever calls this counts it;
    /// `false` if it is not told: on encrypted channels some try to decrypt whatever they hear.
    pub(super) fn tell_resumed(
        &self,
        client: &Rc<Client>,
        channel: &ChannelName,
        resumed: &Frame,
        (version, dirty): (ChannelVersion, &RefCell<VecDeque<Rc<Client>>>),
    ) -> bool {
        let is_told = !(channel.channel_type().is_encrypted() && client.decrypts_everything());
        if is_told {
            self.queue(client, self.made_anew(resumed, client, (channel, Some(version))), dirty);
        }
        is_told
    }
}
