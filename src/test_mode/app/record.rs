//! What happens in an app under test, as its log tells it.

use std::sync::Arc;

use crate::connection::Ending;
use crate::event::{AcceptedEvent, Source};
use crate::hub::{AppState, Hub, Listener, Notice, Refused};
use crate::protocol::SocketId;
use crate::test_mode::entry::{Details, EventSource, Kind};

use super::AppUnderTest;
use super::roster::Connected;

impl Listener for AppUnderTest {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn notice(&self, _: &Arc<Hub>, _: &Arc<AppState>, notice: &Notice<'_>) {
        if let Some((kind, details)) = self.record(notice) {
            self.log.write(kind, details);
        }
    }

    fn refused(&self, refused: &Refused<'_>) {
        let (kind, details) = refusal(refused);
        self.log.write(kind, details);
    }
}

impl AppUnderTest {
    /// Keeps the roster up to date, and says what is to be written.
    fn record(&self, notice: &Notice<'_>) -> Option<(Kind, Details)> {
        let socket = |id: &SocketId| Some(Arc::from(id.to_string()));
        let text = |text: &str| Some(Arc::from(text));
        let none = Details::default;
        Some(match notice {
            Notice::SocketOpened(id) => {
                let mut roster = self.roster.lock();
                roster.last += 1;
                let number = roster.last;
                roster.sockets.insert(*id, Connected { number, ..Connected::default() });
                (Kind::Connected, Details { socket_id: socket(id), ..none() })
            }
            Notice::SocketClosed { socket_id, user_id, ending } => {
                self.roster.lock().sockets.remove(socket_id);
                self.held.forget(Some(*socket_id));
                let (code, reason) = match ending {
                    Ending::Lost => (None, text("the line was lost")),
                    Ending::Left(code) => (*code, text("the client left")),
                    Ending::Closed(code, reason) => (Some(code.code()), text(reason)),
                };
                let (socket_id, user_id) = (socket(socket_id), user_id.and_then(text));
                (Kind::Disconnected, Details { socket_id, user_id, code, reason, ..none() })
            }
            Notice::Subscribed { channel, socket_id, user_id } => {
                let name: Arc<str> = Arc::from(channel.as_str());
                self.enter(*socket_id, |connected| {
                    connected.channels.insert(Arc::clone(&name), user_id.and_then(text));
                });
                let (socket_id, user_id) = (socket(socket_id), user_id.and_then(text));
                (Kind::Subscribed, Details { socket_id, user_id, channel: Some(name), ..none() })
            }
            Notice::Unsubscribed { channel, socket_id, user_id } => {
                self.enter(*socket_id, |connected| {
                    connected.channels.remove(channel.as_str());
                });
                let (socket_id, user_id) = (socket(socket_id), user_id.and_then(text));
                (
                    Kind::Unsubscribed,
                    Details { socket_id, user_id, channel: text(channel.as_str()), ..none() },
                )
            }
            Notice::SignedIn { socket_id, user_id } => {
                self.enter(*socket_id, |connected| connected.user_id = text(user_id));
                let (socket_id, user_id) = (socket(socket_id), text(user_id));
                (Kind::SignedIn, Details { socket_id, user_id, ..none() })
            }
            Notice::ChannelOccupied(channel, _) => {
                (Kind::ChannelOccupied, Details { channel: text(channel.as_str()), ..none() })
            }
            Notice::ChannelVacated(channel, _) => {
                (Kind::ChannelVacated, Details { channel: text(channel.as_str()), ..none() })
            }
            Notice::MemberAdded(channel, user_id, _) => {
                let (channel, user_id) = (text(channel.as_str()), text(user_id));
                (Kind::MemberAdded, Details { channel, user_id, ..none() })
            }
            Notice::MemberRemoved(channel, user_id, _) => {
                let (channel, user_id) = (text(channel.as_str()), text(user_id));
                (Kind::MemberRemoved, Details { channel, user_id, ..none() })
            }
            // An event was logged when it was accepted, before anybody heard of it. The others are for those who send
            // webhooks, which are logged themselves.
            Notice::Event(_) | Notice::CacheMiss(..) | Notice::SubscriptionCount(..) => return None,
        })
    }
}

/// What is to be written of an event.
pub(in crate::test_mode) fn accepted(event: &AcceptedEvent<'_>) -> Details {
    let text = |text: &str| Some(Arc::from(text));
    let source = match event.source {
        Source::Client { .. } => Some(EventSource::Client),
        Source::Http => Some(EventSource::Http),
        Source::Pipe | Source::Forwarded(_) => None,
    };
    let socket_id = event.source.socket_id().and_then(|socket_id| text(&socket_id.to_string()));
    let user_id = event.source.user_id().cloned();
    let channel = event.channel().and_then(|channel| text(channel.as_str()));
    let (name, data) = (text(&event.name), text(&event.data.text()));
    Details { source, socket_id, user_id, channel, name, data, ..Details::default() }
}

/// What is to be written of a refusal.
pub(in crate::test_mode) fn refusal(refused: &Refused<'_>) -> (Kind, Details) {
    let text = |text: &str| Some(Arc::from(text));
    match refused {
        Refused::ClientMessage { socket_id, refusal, .. } => {
            let channel = refusal.subscription.as_ref().and_then(|(channel, _)| text(channel));
            let (code, reason) = (refusal.code.code(), text(&refusal.message));
            let socket_id = text(&socket_id.to_string());
            (Kind::Refused, Details { socket_id, channel, code, reason, ..Details::default() })
        }
        Refused::Request { method, path, status, reason, .. } => {
            let (path, reason) = (text(&format!("{method} {path}")), text(reason));
            (Kind::HttpRefused, Details { path, status: Some(*status), reason, ..Details::default() })
        }
        Refused::Connection { key, code, reason, .. } => {
            let path = key.and_then(|key| text(&format!("/app/{key}")));
            let (code, reason) = (Some(code.code()), text(reason));
            (Kind::ConnectionRefused, Details { code, reason, path, ..Details::default() })
        }
    }
}
