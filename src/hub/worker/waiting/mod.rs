//! Joins that wait: an engine carries events between nodes, and has not confirmed yet that those of the channel come here.
//!
//! A waiting join is in no roster and has no version. It settles when the engine has confirmed, or after a second, as if it
//! had been asked for then; whoever drives the connection is woken, and takes the answer. An unsubscription or the end of
//! the connection cancels it.

mod names;
mod waits;

#[cfg(test)]
mod tests;

pub(super) use waits::WaitingJoins;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::channel::Wanted;
use crate::connection::{Join, JoinAnswer, JoinNumber};
use crate::hub::{Bus, Claim, Client};
use crate::protocol::ChannelName;
use crate::recovery::TakenName;

use super::{ClientKey, Worker, key};
use waits::WaitingJoin;

/// How long a join waits at most for the engine to confirm. The hub's own figure: the bus gives up sooner, and counts it.
const CONFIRMATION_TIME: Duration = Duration::from_millis(1250);

/// The engine's confirmation, what other nodes know of the client, and what the process before has told.
type WaitedFor =
    (Option<oneshot::Receiver<()>>, Option<watch::Receiver<()>>, Option<oneshot::Receiver<TakenName>>);

impl Worker {
    /// Claims the channel's events for a join. Returns whether it must wait until they come, or until it is known what other nodes
    /// know of its client.
    #[cold]
    pub(super) fn claim(self: &Rc<Self>, bus: &Arc<dyn Bus>, client: &Rc<Client>, join: &Join) -> bool {
        let named = self.ask_for_name(bus, client, &join.channel);
        let told = self.ask_for_what_it_has(bus, client, join);
        let confirmed = match bus.claim(client.app(), &join.channel) {
            Claim::Settled => None,
            Claim::Waiting(confirmed) => Some(confirmed),
        };
        if confirmed.is_none() && named.is_none() && told.is_none() {
            return false;
        }
        let (channel, number) = (join.channel.clone(), join.number);
        let settling = Rc::clone(self).settle_later(key(client), channel, number, (confirmed, named, told));
        let task = actix_web::rt::spawn(settling).abort_handle();
        let (client, join) = (Rc::clone(client), join.clone());
        self.waiting_joins.insert(WaitingJoin { client, join, task });
        true
    }

    /// Asks the process before this one to have told what a client has received there, so that it is not sent it again.
    fn ask_for_what_it_has(
        &self,
        bus: &Arc<dyn Bus>,
        client: &Client,
        Join { channel, wanted, .. }: &Join,
    ) -> Option<oneshot::Receiver<TakenName>> {
        let place = wanted.as_deref().and_then(Wanted::since)?;
        let is_on_its_way = self.hub.is_on_its_way(client.app(), channel, place);
        is_on_its_way.then(|| bus.ask_before(client.app(), "", None)).flatten()
    }

    /// Cancels the waiting join of a connection to a channel. Returns whether there was one.
    #[cold]
    pub(super) fn cancel_join(&self, bus: &Arc<dyn Bus>, client: &Client, channel: &ChannelName) -> bool {
        let Some(cancelled) = self.waiting_joins.take(&(key(client), channel.clone()), None) else {
            return false;
        };
        cancelled.task.abort();
        bus.release(client.app(), channel);
        true
    }

    /// The answers to joins of a connection that had to wait.
    pub fn take_answers(&self, client: &Client) -> Vec<JoinAnswer> {
        self.waiting_joins.take_answers(key(client))
    }

    async fn settle_later(
        self: Rc<Self>,
        client: ClientKey,
        channel: ChannelName,
        number: JoinNumber,
        (confirmed, named, told): WaitedFor,
    ) {
        let all = async {
            if let Some(confirmed) = confirmed {
                let _ = confirmed.await;
            }
            if let Some(mut named) = named {
                let _ = named.changed().await;
            }
            if let Some(told) = told {
                let _ = told.await;
            }
        };
        // If it comes too late, or never, the bus has counted it.
        let _ = timeout(CONFIRMATION_TIME, all).await;
        if let Some(waiting) = self.waiting_joins.take(&(client, channel), Some(number)) {
            self.settle_now(waiting);
        }
    }

    fn settle_now(&self, WaitingJoin { client, join, .. }: WaitingJoin) {
        if client.is_stopped() {
            // Its end is under way.
            if let Some(bus) = self.hub.bus() {
                bus.release(client.app(), &join.channel);
            }
            return;
        }
        let result = self.settle(&client, &join);
        let Join { channel, number, .. } = join;
        self.waiting_joins.answer(key(&client), JoinAnswer { channel, number, result });
        client.signal_joined();
    }
}
