//! Hears what an app's backends ask for, and queues it for each relay of the app.

use std::sync::Arc;

use crate::event::BackendCall;
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

    fn called(&self, call: &BackendCall<'_>) {
        match call {
            BackendCall::TerminateUser(id) => {
                let item = RelayItem::terminate_user(id);
                self.relays.iter().for_each(|relay| relay.push(item.clone(), &relay.settings()));
            }
            BackendCall::Publish(events) => {
                for event in *events {
                    let object = object_of(event);
                    for relay in &self.relays {
                        let settings = relay.settings();
                        let names = event.channels.iter().map(|channel| channel.as_str());
                        let mut wanted = names.filter(|name| settings.wants(name)).peekable();
                        if wanted.peek().is_some() {
                            relay.push(RelayItem::event(&object, wanted), &settings);
                        }
                    }
                }
            }
        }
    }
}
