//! What an event is called: an id that is made from what happened.
//!
//! Whoever tells of the same happening, in whichever request and from whichever node, says the same id; and no other
//! happening has it, however much it looks the same.

use sha2::{Digest, Sha256};

use crate::hub::Version;

use super::event::Event;

/// Which of the happenings that look the same it was: the change of a channel, named by where it took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// The node that made the change, since its start: see [`crate::hub::Hub::incarnation`].
    pub incarnation: u128,
    /// The change.
    pub version: Version,
}

/// The id of an event of this app: 32 hexadecimal digits.
#[must_use]
pub fn id(app_id: &str, event: &Event, Occasion { incarnation, version }: Occasion) -> String {
    let mut hash = Sha256::new();
    // No part can be taken for the end of another: none has a line break, but for the user's id, which comes last.
    for part in [app_id, event.event_type().name(), event.channel().as_str()] {
        hash.update(part);
        hash.update("\n");
    }
    hash.update(incarnation.to_be_bytes());
    hash.update(version.to_be_bytes());
    hash.update(event.user_id().unwrap_or_default());
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::protocol::ChannelName;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text, 164).unwrap()
    }

    fn occasion(incarnation: u128, version: u64) -> Occasion {
        Occasion { incarnation, version }
    }

    #[test]
    fn the_same_happening_has_one_id_wherever_it_is_told() {
        let event = || Event::MemberAdded(name("presence-a"), "ann".into());
        let told = id("1001", &event(), occasion(7, 1));
        assert_eq!(told, id("1001", &event(), occasion(7, 1)));
        // Pinned: nodes of two releases must agree.
        assert_eq!(told, "6eee6c783a87e27afee39e80e98e90db");
    }

    #[test]
    fn whatever_differs_makes_another_id() {
        let events = [
            Event::ChannelOccupied(name("presence-a")),
            Event::ChannelVacated(name("presence-a")),
            Event::CacheMiss(name("presence-a")),
            Event::SubscriptionCount(name("presence-a"), 1),
            Event::MemberAdded(name("presence-a"), "ann".into()),
            Event::MemberAdded(name("presence-a"), "bob".into()),
            Event::MemberAdded(name("presence-a"), "".into()),
            Event::MemberAdded(name("presence-b"), "ann".into()),
            Event::MemberRemoved(name("presence-a"), "ann".into()),
        ];
        let mut ids = HashSet::new();
        for event in &events {
            for app in ["1", "11"] {
                for incarnation in [1, 2, u128::MAX] {
                    for version in [1, 2, u64::MAX] {
                        let id = id(app, event, occasion(incarnation, version));
                        assert!(id.len() == 32 && ids.insert(id), "{app} {event:?} {incarnation} {version}");
                    }
                }
            }
        }
    }
}
