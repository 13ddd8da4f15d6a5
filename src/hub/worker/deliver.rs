//! One event, or one member's coming and going, for all local subscribers of a channel.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use indexmap::map::Values;

use crate::channel::ChannelVersion;
use crate::hub::fanout::Subscriber;
use crate::hub::{AppIndex, Client};
use crate::protocol::{Audience, Broadcast, ChannelName, Form, Frame, SocketId, SpecialDelivery};

use super::Worker;

/// Whether a connection is one of those that a message is for, where it is not for all.
#[cold]
fn is_among(client: &Client, audience: Audience, message: &Broadcast) -> bool {
    match audience {
        Audience::All => true,
        Audience::InClear => !client.decrypts_everything(),
        Audience::Stills => message.latest().is_none_or(|key| client.wants_stills(&key.channel)),
    }
}

impl Worker {
    /// Delivers a message that no channel remembers to the local subscribers of one, all at once: there must not be more
    /// than [`HEARERS_PER_TURN`](super::HEARERS_PER_TURN).
    pub(in crate::hub) fn deliver(
        &self,
        app: AppIndex,
        channel: &ChannelName,
        message: &Broadcast,
        except: Option<SocketId>,
    ) {
        let channels = self.channels.borrow();
        let Some(channels) = channels.of(app) else { return };
        let Some(subscribers) = channels.subscribers(channel) else { return };
        let sent = self.deliver_to(subscribers, message, except, (channel, None), &self.dirty.prompt);
        channels.count_sent(sent);
    }

    /// Returns how many were given it.
    pub(super) fn deliver_to(
        &self,
        subscribers: Values<'_, SocketId, Subscriber>,
        message: &Broadcast,
        except: Option<SocketId>,
        (channel, version): (&ChannelName, Option<ChannelVersion>),
        dirty: &RefCell<VecDeque<Rc<Client>>>,
    ) -> u64 {
        let audience = message.audience();
        let is_plain = audience == Audience::All && version.is_none();
        let mut passed_over = 0;
        let among = subscribers.len();
        let hearers = subscribers.filter(|subscriber| {
            let is_new = is_plain || version.is_none_or(|version| subscriber.since < version);
            let hears =
                is_plain || audience == Audience::All || is_among(&subscriber.client, audience, message);
            if is_new && hears && Some(subscriber.client.socket_id()) != except {
                return true;
            }
            // Those are counted who are few.
            passed_over += 1;
            false
        });
        let only_form = message.only_form();
        // Made for the first that takes it, and shared by the others of this worker.
        let (mut quoted, mut positioned) = (None, None);
        let mut made = |client: &Client, form| {
            let made = if form == Form::Quoted { &mut quoted } else { &mut positioned };
            made.get_or_insert_with(|| self.made_anew(message.plain(), client, (channel, version))).clone()
        };
        let mut frame_for = |client: &Client| match (client.form(), only_form) {
            (form, _) if form.is_of_its_own() => made(client, form),
            (_, Some(frame)) => frame.clone(),
            (form, None) => message.for_client(form),
        };
        match message.special() {
            None => hearers.for_each(|hearer| self.queue(&hearer.client, frame_for(&hearer.client), dirty)),
            Some(SpecialDelivery::Latest(latest)) => hearers.for_each(|hearer| {
                let client = &hearer.client;
                if client.enqueue_latest(frame_for(client), latest) {
                    self.is_dirty(client, dirty);
                }
            }),
            Some(SpecialDelivery::Track(about)) => return self.offer_frame(hearers, message, about, dirty),
        }
        (among - passed_over) as u64
    }

    /// A message in a client's form, which is not the broadcast's.
    #[cold]
    pub(super) fn made_anew(
        &self,
        plain: &Frame,
        client: &Client,
        (channel, version): (&ChannelName, Option<ChannelVersion>),
    ) -> Frame {
        match (client.form(), version) {
            (Form::Quoted, _) => plain.quoted(),
            (Form::Positioned, Some(version)) => plain.positioned(&self.position(client, channel, version)),
            _ => plain.clone(),
        }
    }

    /// Tells the local subscribers of a presence channel of a member. Returns how many were told.
    pub(super) fn tell_of_member(
        &self,
        subscribers: Values<'_, SocketId, Subscriber>,
        frame: &Frame,
        version: ChannelVersion,
        user_changed: bool,
        dirty: &RefCell<VecDeque<Rc<Client>>>,
    ) -> u64 {
        let mut quoted = None;
        let mut told = 0;
        for subscriber in subscribers {
            let by_user = subscriber.client.version().presence_by_user();
            if subscriber.since < version && (user_changed || !by_user) {
                let frame = match subscriber.client.form() {
                    Form::Quoted => quoted.get_or_insert_with(|| frame.quoted()),
                    _ => frame,
                };
                self.queue(&subscriber.client, frame.clone(), dirty);
                told += 1;
            }
        }
        told
    }

    /// One step of telling a channel's local subscribers something; `room` is how many of them may be told it in this
    /// turn; `tell` returns how many were. Returns whether there are more.
    pub(super) fn walk(
        &self,
        (app, channel): (AppIndex, &ChannelName),
        begun: bool,
        room: &mut usize,
        tell: impl FnOnce(Values<'_, SocketId, Subscriber>, &RefCell<VecDeque<Rc<Client>>>) -> u64,
    ) -> bool {
        let mut channels = self.channels.borrow_mut();
        let Some(channels) = channels.of_mut(app) else { return false };
        if !begun {
            channels.begin_walk(channel);
        }
        let (step, more) = channels.step(channel, *room);
        *room -= step.len();
        let told = tell(step.values(), if begun || more { &self.dirty.bulk } else { &self.dirty.prompt });
        channels.count_sent(told);
        more
    }
}
