//! The stages of a session: a client introduces itself, is connected, and is told that the session closes.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use super::response_writer::ResponseWriter;
use crate::http::Arrival;
use crate::hub::Client;
use crate::protocol::CloseCode;
use crate::recovery::GivenName;
use crate::transport::conversation::Conversation;

/// The stage of a session.
pub(super) enum SessionStage {
    /// SockJS: the client has not named its app yet.
    AwaitingIntroduction { until: Instant, arrival: Arrival, given: GivenName },
    /// It has been admitted.
    Connected(Box<ConnectedSession>),
    /// The final frames are written, or would be if a response were attached. The close frame is repeated to each
    /// further response.
    Closing { final_frames: VecDeque<String>, until: Instant },
    /// Nothing is left to do.
    Ended,
}

impl SessionStage {
    /// Every request of a session has to pass what its first one had to: others may send it, or over other ways. A client
    /// that has not named its app yet will be judged by all that came until then.
    pub(super) fn check_arrival(&mut self, came: &Arrival) {
        match self {
            SessionStage::AwaitingIntroduction { arrival, .. } => {
                *arrival = std::mem::take(arrival).and(came)
            }
            SessionStage::Connected(connected) => {
                let checked = came.check(&connected.client.app().app());
                if let Err((code, reason)) = checked {
                    connected.conversation.turn_away_for(came, code, reason);
                }
            }
            SessionStage::Closing { .. } | SessionStage::Ended => {}
        }
    }
}

/// A session whose client has been admitted.
pub(super) struct ConnectedSession {
    pub(super) client: Rc<Client<Rc<ResponseWriter>>>,
    pub(super) conversation: Conversation,
}

impl ConnectedSession {
    /// Something came from the client.
    pub(super) fn heard(&mut self, now: Instant) {
        self.conversation.heard(now);
    }

    /// The client sent a message.
    pub(super) fn receive(&mut self, message: &str, now: Instant) {
        let limit = self.conversation.message_bytes();
        let bytes = message.len();
        if bytes > limit {
            let reason = format!("Message too big: at most {limit} bytes are allowed, got {bytes}");
            return self.conversation.turn_away(CloseCode::MessageTooBig, &reason);
        }
        self.conversation.receive(message, now);
    }

    /// Has the outbox written: a response was attached, or takes more again.
    pub(super) fn flush(&self) {
        self.client.unblock();
        self.client.flush();
    }
}
