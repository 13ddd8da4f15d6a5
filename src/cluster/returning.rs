//! An event that a channel remembers, on its way to the engine and back: with the number that the engine gives it, all nodes
//! deliver it alike. Where the engine does not take it, the node that accepted it delivers it without a number.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::oneshot;

use crate::hub::{ArrivedEvent, BusAway, Hub, Outgoing, RememberedAs, Taken};
use crate::protocol::{ChannelName, Form, Frame, SocketId};

use super::adapter::{EngineError, EngineTicket};
use super::counts::ClusterCounts;
use super::status::Loss;

/// What is needed to deliver the event here after all.
pub(super) struct Returning {
    hub: Weak<Hub>,
    app: Arc<str>,
    channel: ChannelName,
    frame: Frame,
    latest: Option<Box<str>>,
    except: Option<SocketId>,
    expiry: Duration,
}

impl Returning {
    pub(super) fn of(hub: &Weak<Hub>, event: &Outgoing<'_>, expiry: Duration) -> Self {
        Returning {
            hub: hub.clone(),
            app: Arc::clone(event.app.shared_id()),
            channel: event.channel.clone(),
            frame: event.message.for_client(Form::Binary),
            latest: event.latest.map(Box::from),
            except: event.except,
            expiry,
        }
    }

    /// Waits for the engine's answer on this runtime, and tells it.
    pub(super) fn ticket(
        self,
        runtime: &runtime::Handle,
        taken: Option<Taken>,
        counts: Arc<ClusterCounts>,
    ) -> EngineTicket {
        let (ticket, answer) = oneshot::channel();
        runtime.spawn(async move {
            let answer = taken_of(answer.await.unwrap_or(Err(EngineError::Away)), &counts);
            if answer.is_err() {
                self.deliver();
            }
            // Whoever asked may have gone.
            let _ = taken.map(|taken| taken.send(answer));
        });
        ticket.into()
    }

    fn deliver(self) {
        let Some(hub) = self.hub.upgrade() else { return };
        let event = ArrivedEvent {
            channel: &self.channel,
            frame: self.frame,
            latest: self.latest.as_deref(),
            except: self.except,
            remembered: Some(RememberedAs { number: None, is_recalled: false, expires_in: self.expiry }),
        };
        hub.deliver_from_elsewhere(&self.app, &event);
    }
}

/// What whoever waits is told when the engine has answered, or has not.
pub(super) fn taken_of(answer: Result<(), EngineError>, counts: &ClusterCounts) -> Result<(), BusAway> {
    match answer {
        Ok(()) => Ok(()),
        Err(EngineError::Refused(reason)) => {
            counts.lost(Loss::Refused, 1);
            tracing::warn!(%reason, "the engine refuses what this node says");
            Err(BusAway)
        }
        Err(EngineError::Away) => Err(BusAway),
    }
}
