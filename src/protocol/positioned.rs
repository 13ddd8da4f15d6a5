//! Frames of messages that tell their place in a channel's history, for transports whose peers are told it.

use super::Frame;
use super::json::push_string;

impl Frame {
    /// The message with its place in front of its other members. Control frames have no such form and stay what they are.
    pub fn positioned(&self, position: &str) -> Frame {
        // A message is a JSON object by construction, and never an empty one.
        let members = std::str::from_utf8(self.json()).ok().and_then(|text| text.strip_prefix('{'));
        let Some(members) = members.filter(|_| self.is_text()) else { return self.clone() };
        Frame::text(members.len() + position.len() + 16, |out| {
            out.push_str("{\"position\":");
            push_string(position, out);
            out.push(',');
            out.push_str(members);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::Data;
    use crate::protocol::server_message::connection_event;

    #[test]
    fn a_message_is_given_its_place_and_control_frames_stay() {
        let frame = connection_event("e", &Data::of_text("x"));
        assert_eq!(frame.positioned("a-1").json(), br#"{"position":"a-1","event":"e","data":"x"}"#);
        assert_eq!(Frame::ping().positioned("a-1"), Frame::ping());
    }
}
