//! Viewers of tracks: what they begin with, what they are offered, and what they ask for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use indexmap::map::Values;

use crate::connection::ViewerRequest;
use crate::hub::fanout::Subscriber;
use crate::hub::viewers_question::ViewersQuestion;
use crate::hub::{AppState, Client, Transport};
use crate::protocol::{Broadcast, ChannelName, SocketId, TrackFrame};
use crate::video::{Beginning, FrameFates, InvalidWish, KeyframeWish, TrackRequest, TrackWish};

use super::Worker;

/// Tells how late these subscribers of a channel are sent its pictures. None of them is sent anything.
#[cold]
pub(super) fn tell_of_viewers(
    channel: &ChannelName,
    subscribers: Values<'_, SocketId, Subscriber>,
    question: &ViewersQuestion,
) -> u64 {
    question.tell(subscribers.map(|Subscriber { client, .. }| (client.socket_id(), client.lag(channel))));
    0
}

impl Worker {
    /// A connection has joined a channel that has these tracks.
    #[cold]
    pub(super) fn begin_tracks(&self, client: &Rc<Client>, channel: &ChannelName, beginnings: &[Beginning]) {
        let app = client.app();
        let Some(viewer) = client.viewer() else { return };
        let wishes = viewer.borrow_mut().begin(beginnings, app.clock().now());
        self.begun(client, channel, &wishes);
    }

    /// Tracks of a channel have begun, and these key frames are wanted.
    fn begun(&self, client: &Rc<Client>, channel: &ChannelName, wishes: &[KeyframeWish]) {
        if client.has_frames() {
            self.is_dirty(client, &self.dirty.prompt);
        }
        self.hub.want_key_frames(client.app(), channel, wishes);
    }

    /// Of the channel that a connection is about to join it is sent no pictures but those of one track.
    pub(crate) fn watch_only<T: Transport>(
        &self,
        client: &Client<T>,
        channel: &ChannelName,
        of: TrackRequest,
    ) {
        let Some(viewer) = client.viewer() else { return };
        let (mut viewer, now) = (viewer.borrow_mut(), client.app().clock().now());
        for (of, wish) in [(None, TrackWish::Nothing), (Some(of), TrackWish::Full)] {
            // It has wanted nothing else, so it does not want too much.
            let _ = viewer.want(channel, of, wish, Vec::new, now);
        }
    }

    /// Offers a message of a track to the viewers among those who are to hear it. Returns how many were given it.
    #[cold]
    pub(super) fn offer_frame<'s>(
        &self,
        hearers: impl Iterator<Item = &'s Subscriber>,
        message: &Broadcast,
        about: &TrackFrame,
        dirty: &RefCell<VecDeque<Rc<Client>>>,
    ) -> u64 {
        let mut fates = FrameFates::default();
        let mut now = None;
        for Subscriber { client, .. } in hearers {
            let Some(viewer) = client.viewer() else { continue };
            let now = *now.get_or_insert_with(|| client.app().clock().now());
            fates.add(viewer.borrow_mut().offer(about, message.first_form(), now));
            if client.has_frames() {
                self.is_dirty(client, dirty);
            }
        }
        self.hub.video().count(&fates);
        fates.queued
    }

    /// Does what a connection asks for as a viewer of tracks.
    ///
    /// # Errors
    /// If it wants too much that is particular.
    pub(crate) fn watch(&self, client: &Rc<Client>, request: ViewerRequest) -> Result<(), InvalidWish> {
        let app: &AppState = client.app();
        // On other channels it means nothing.
        let viewer = |channel| app.app().video(channel).and_then(|_| client.viewer());
        match request {
            ViewerRequest::Keyframe(channel, of) => {
                let now = app.clock().now();
                let wish = viewer(&channel).and_then(|viewer| viewer.borrow_mut().fail(&channel, &of, now));
                self.hub.want_key_frames(app, &channel, wish.as_slice());
            }
            ViewerRequest::Wish(channel, of, wish) => {
                // To who is sent no tracks it means nothing, either.
                if let Some(viewer) = viewer(&channel) {
                    let (beginnings, now) = (|| self.hub.beginnings(app, &channel), app.clock().now());
                    let wishes = viewer.borrow_mut().want(&channel, of, wish, beginnings, now)?;
                    self.begun(client, &channel, &wishes);
                }
            }
        }
        Ok(())
    }
}
