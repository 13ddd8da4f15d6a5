//! What backends on the pipe hear of other nodes: as the hub announces it, and as it is carried.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::connection::Ending;
use crate::event::{AcceptedEvent, Destination, Source};
use crate::hub::Notice;
use crate::protocol::ChannelName;
use crate::protocol::json::Data;

use super::envelope::CarriedNotice;

/// What is carried of a notice; none if every node announces it by itself.
pub(super) fn pack(notice: &Notice<'_>) -> Option<CarriedNotice> {
    let channel = |channel: &ChannelName| channel.clone();
    Some(match *notice {
        Notice::Event(event) => {
            let payload = event.raw.map_or(event.data.literal(), RawValue::get);
            CarriedNotice::Message {
                sender: event.source.socket_id(),
                user_id: event.source.user_id().cloned(),
                channel: event.channel().cloned(),
                name: event.name.as_ref().into(),
                payload: Bytes::copy_from_slice(payload.as_bytes()),
            }
        }
        Notice::SocketOpened(socket) => CarriedNotice::Opened { socket },
        Notice::SignedIn { socket_id: socket, user_id } => {
            CarriedNotice::SignedIn { socket, user_id: user_id.into() }
        }
        Notice::SocketClosed { socket_id: socket, user_id, ending: _ } => {
            CarriedNotice::Closed { socket, user_id: user_id.map(Into::into) }
        }
        Notice::Subscribed { channel: of, socket_id: socket, user_id } => {
            CarriedNotice::Subscribed { socket, channel: channel(of), user_id: user_id.map(Into::into) }
        }
        Notice::Unsubscribed { channel: of, socket_id: socket, user_id } => {
            CarriedNotice::Unsubscribed { socket, channel: channel(of), user_id: user_id.map(Into::into) }
        }
        Notice::ChannelOccupied(..)
        | Notice::ChannelVacated(..)
        | Notice::MemberAdded(..)
        | Notice::MemberRemoved(..)
        | Notice::CacheMiss(..)
        | Notice::SubscriptionCount(..) => return None,
    })
}

/// Hands `hear` what was carried, as the hub announces it; none if it is nothing that can have happened.
pub(super) fn unpack<R>(carried: &CarriedNotice, hear: impl FnOnce(&Notice<'_>) -> R) -> Option<R> {
    // Backends are not told how a connection ended.
    let ending = Ending::default();
    let notice = match carried {
        CarriedNotice::Message { sender, user_id, channel, name, payload } => {
            // It goes into what backends are sent as it is.
            let raw: &RawValue = serde_json::from_slice(payload).ok()?;
            let data = Data::relay(raw).ok()?;
            let source = match *sender {
                Some(socket_id) => Source::Client { socket_id, user_id: user_id.clone() },
                None => Source::Http,
            };
            let to = Destination::Listeners { channel: channel.clone() };
            let name = name.as_ref().into();
            return Some(hear(&Notice::Event(&AcceptedEvent { source, to, name, data, raw: Some(raw) })));
        }
        CarriedNotice::Opened { socket } => Notice::SocketOpened(*socket),
        CarriedNotice::SignedIn { socket, user_id } => Notice::SignedIn { socket_id: *socket, user_id },
        CarriedNotice::Closed { socket, user_id } => {
            Notice::SocketClosed { socket_id: *socket, user_id: user_id.as_deref(), ending: &ending }
        }
        CarriedNotice::Subscribed { socket, channel, user_id } => {
            Notice::Subscribed { channel, socket_id: *socket, user_id: user_id.as_deref() }
        }
        CarriedNotice::Unsubscribed { socket, channel, user_id } => {
            Notice::Unsubscribed { channel, socket_id: *socket, user_id: user_id.as_deref() }
        }
    };
    Some(hear(&notice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ChangeOrigin, ChannelVersion, NodeId};
    use crate::protocol::{BinaryPayload, SocketId};

    const SOCKET: SocketId = SocketId::new(3, 4);

    fn event<'a>(source: Source, data: Data<'a>, raw: Option<&'a RawValue>) -> AcceptedEvent<'a> {
        let channel = ChannelName::parse("stream", 164).unwrap();
        let to = Destination::Subscribers { channel, except: Some(SOCKET) };
        AcceptedEvent { source, to, name: "frame".into(), data, raw }
    }

    #[test]
    fn what_happens_to_connections_is_carried_and_what_all_nodes_announce_is_not() {
        let channel = ChannelName::parse("presence-a", 164).unwrap();
        let notices = [
            Notice::SocketOpened(SOCKET),
            Notice::SignedIn { socket_id: SOCKET, user_id: "ann" },
            Notice::SocketClosed { socket_id: SOCKET, user_id: Some("ann"), ending: &Ending::Lost },
            Notice::Subscribed { channel: &channel, socket_id: SOCKET, user_id: None },
            Notice::Unsubscribed { channel: &channel, socket_id: SOCKET, user_id: Some("ann") },
        ];
        for notice in &notices {
            let again = unpack(&pack(notice).unwrap(), |notice| format!("{notice:?}"));
            assert_eq!(again, Some(format!("{notice:?}")));
            assert_eq!(notice.origin(), None);
        }
        let origin = ChangeOrigin { node: NodeId::new(1), version: ChannelVersion::new(1) };
        for notice in [Notice::ChannelOccupied(&channel, origin), Notice::CacheMiss(&channel, origin)] {
            assert_eq!((pack(&notice), notice.origin()), (None, Some(origin)));
        }
    }

    #[test]
    fn a_message_is_what_its_sender_wrote_and_text_is_never_taken_for_what_it_is_not() {
        let raw: &RawValue = serde_json::from_str(r#"{"a": [1, "ü"]}"#).unwrap();
        let client = Source::Client { socket_id: SOCKET, user_id: Some("ann".into()) };
        let binary = Data::of_binary(BinaryPayload::new("image/png", "", b"picture").unwrap());
        let literal = binary.literal().to_owned();
        for (event, source, payload) in [
            (event(client.clone(), Data::relay(raw).unwrap(), Some(raw)), client.clone(), raw.get()),
            (event(Source::Http, Data::of_text("x\"y"), None), Source::Http, r#""x\"y""#),
            (event(client.clone(), binary, None), client, &*literal),
        ] {
            let carried = pack(&Notice::Event(&event)).unwrap();
            unpack(&carried, |notice| {
                let Notice::Event(heard) = notice else { panic!("{notice:?}") };
                assert_eq!(
                    (&heard.source, &*heard.name, heard.channel()),
                    (&source, "frame", event.channel())
                );
                assert_eq!(heard.raw.unwrap().get(), payload);
                assert_eq!(heard.to, Destination::Listeners { channel: event.channel().cloned() });
            })
            .unwrap();
        }
        for bad in ["", "{", "1,\"injected\":2", "\"\\ud800\"", "\u{0}"] {
            let payload = Bytes::copy_from_slice(bad.as_bytes());
            let (sender, user_id, channel, name) = (None, None, None, "e".into());
            let carried = CarriedNotice::Message { sender, user_id, channel, name, payload };
            assert_eq!(unpack(&carried, |_| ()), None, "{bad}");
        }
    }
}
