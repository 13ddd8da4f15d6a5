//! Somebody has come back to a channel: that is noted, for whoever looks.

use crate::channel::{Replay, Wanted};
use crate::protocol::ChannelName;

use super::recent_recoveries::{NamedAs, Recovery, RecoveryOutcome};
use super::{AppState, Client, Hub, unix_ms};

impl Hub {
    /// Somebody has joined a channel with a history, wanted this of it, and is sent that.
    #[cold]
    pub(super) fn note_recovery(
        &self,
        client: &Client,
        channel: &ChannelName,
        asked: &Wanted,
        replay: &Replay,
    ) {
        let app: &AppState = client.app();
        let named = client.named().map(|named| named.named_as());
        let is_of_this_run = |epoch| epoch == self.history_epoch() || Some(epoch) == self.shared_engine();
        let Some(outcome) = RecoveryOutcome::of(asked, replay, named.as_ref(), is_of_this_run) else {
            return;
        };
        let client_name = named.as_ref().and_then(NamedAs::name);
        app.recoveries().note(Recovery {
            at: unix_ms(),
            channel: channel.clone(),
            socket_id: client.socket_id(),
            client: client_name.map(|name| app.recoveries().digest(name)),
            outcome,
            events: replay.events.len(),
            bytes: replay.events.iter().map(|event| event.frame.websocket().len()).sum(),
        });
    }
}
