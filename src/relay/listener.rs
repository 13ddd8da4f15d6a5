//! Hears what an app's backends ask for, and queues it for each relay of the app.

use std::sync::Arc;

use crate::event::{BackendCall, PublishedEvent};
use crate::hub::{AppState, Hub, Listener, Notice};

use super::item::{RelayItem, object_of};
use super::sender::Producer;

/// The relays of one app.
#[derive(Debug)]
pub(super) struct RelayListener {
    pub(super) relays: Vec<Producer>,
}

impl Listener for RelayListener {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn is_idle(&self) -> bool {
        true
    }

    fn notice(&self, _: &Arc<Hub>, _: &Arc<AppState>, _: &Notice<'_>) {}

    fn hears_calls(&self) -> bool {
        true
    }

    fn called(&self, call: &BackendCall<'_>, is_relayed: bool) {
        match call {
            BackendCall::TerminateUser(id) => {
                let item = (!is_relayed).then(|| RelayItem::terminate_user(id));
                for relay in &self.relays {
                    match &item {
                        Some(item) => relay.push(item.clone(), &relay.settings()),
                        None => relay.keep_back(),
                    }
                }
            }
            BackendCall::Publish(events) => events.iter().for_each(|event| self.published(event, is_relayed)),
        }
    }
}

impl RelayListener {
    fn published(&self, event: &PublishedEvent<'_>, is_relayed: bool) {
        let object = (!is_relayed).then(|| object_of(event));
        for relay in &self.relays {
            let settings = relay.settings();
            let names = event.channels.iter().map(|channel| channel.as_str());
            let mut wanted = names.filter(|name| settings.wants(name)).peekable();
            if wanted.peek().is_none() {
                continue;
            }
            match &object {
                Some(object) => relay.push(RelayItem::event(object, wanted), &settings),
                None => relay.keep_back(),
            }
        }
    }
}
