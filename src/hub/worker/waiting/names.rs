//! What other nodes know of a client's name is asked for with its first subscription to a channel that keeps something; the joins
//! that come meanwhile wait for the same answer.

#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::hub::named::NamedCaller;
use crate::hub::named_notes::AskedName;
use crate::hub::{Bus, Client};
use crate::protocol::ChannelName;
use crate::recovery::TakenName;

use super::super::Worker;

/// How long a client is kept waiting for it.
const NAME_TIME: Duration = Duration::from_secs(1);

/// How long what comes later is still waited for: the name is this node's by then, and nobody else would know.
const LATE_TIME: Duration = Duration::from_secs(5);

impl Worker {
    /// Asks what other nodes know of a client's name, if that is of use. Returns what ends when it is known, or for too long is not.
    pub(super) fn ask_for_name(
        self: &Rc<Self>,
        bus: &Arc<dyn Bus>,
        client: &Rc<Client>,
        channel: &ChannelName,
    ) -> Option<watch::Receiver<()>> {
        let named = client.named()?;
        match named.ask(bus, (client.app(), client.socket_id()), channel)? {
            AskedName::UnderWay(asked) => Some(asked),
            AskedName::Now(came, done, asked) => {
                let caller = named.caller.borrow().clone()?;
                actix_web::rt::spawn(Rc::clone(self).take_name_later(Rc::clone(client), caller, came, done));
                Some(asked)
            }
        }
    }

    async fn take_name_later(
        self: Rc<Self>,
        client: Rc<Client>,
        caller: NamedCaller,
        mut came: oneshot::Receiver<TakenName>,
        done: watch::Sender<()>,
    ) {
        let in_time = timeout(NAME_TIME, &mut came).await;
        let late = match in_time {
            Ok(Ok(came)) => client.named().and_then(|named| named.came(came)),
            Ok(Err(_)) => None,
            Err(_) => {
                drop(done);
                timeout(LATE_TIME, came).await.ok().and_then(Result::ok)
            }
        };
        if let (Some(late), Some(named)) = (late, client.named()) {
            let (app, who) = (client.app(), (client.socket_id(), named.is_over.get()));
            self.hub.name_came_late(app, who, caller, late);
        }
    }
}
