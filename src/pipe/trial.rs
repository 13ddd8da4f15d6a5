//! What a rule would make of an event, told and not done.

use std::borrow::Cow;

use crate::event::{AcceptedEvent, Destination, Source};
use crate::protocol::json::Data;
use crate::protocol::{ChannelName, SocketId};

use super::rule::{Unheard, WouldSend};
use super::{Rule, RuleSpec};

/// An event that rules are tried on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TriedEvent<'e> {
    pub(crate) channel: &'e ChannelName,
    pub(crate) event: &'e str,
    /// The payload as subscribers are sent it.
    pub(crate) data: &'e str,
    /// A client sends it; else a backend publishes it.
    pub(crate) from_client: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleTrial {
    pub(crate) matches: bool,
    /// Why, or why not.
    pub(crate) why: String,
    /// What it would send: channel, event and payload of each.
    pub(crate) sends: Vec<(String, String, String)>,
}

impl Rule {
    /// What it would make of an event, whatever its pace would say.
    pub(crate) fn try_on(&self, tried: &TriedEvent<'_>) -> RuleTrial {
        let source = if tried.from_client {
            Source::Client { socket_id: SocketId::new(1, 1), user_id: None }
        } else {
            Source::Http
        };
        let event = AcceptedEvent {
            source,
            to: Destination::Subscribers { channel: tried.channel.clone(), except: None },
            name: Cow::Borrowed(tried.event),
            data: Data::of_text(tried.data),
            raw: None,
        };
        match self.would_send(&event) {
            Err(unheard) => RuleTrial {
                matches: unheard == Unheard::Nowhere,
                why: why_not(unheard, self.spec(), &event),
                sends: Vec::new(),
            },
            Ok(WouldSend { channels, name, data }) => {
                let (mut why, mut sends) = ("it hears the event".to_owned(), Vec::new());
                let data = data.text();
                for channel in channels {
                    match channel {
                        Ok(channel) => sends.push((channel.to_string(), name.to_owned(), data.to_string())),
                        Err((to, reason)) => {
                            why += &format!("; {to:?} cannot be the name of a channel: {reason}");
                        }
                    }
                }
                RuleTrial { matches: true, why, sends }
            }
        }
    }
}

fn why_not(unheard: Unheard, spec: &RuleSpec, event: &AcceptedEvent<'_>) -> String {
    match unheard {
        Unheard::Channel => {
            let from = event.channel().map(ChannelName::as_str).unwrap_or_default();
            format!("the channel {from:?} is none of {:?}", spec.from.to_string())
        }
        Unheard::Event => format!("the event {:?} is not {:?}", event.name, spec.event),
        Unheard::Source => {
            let by = if spec.hears_clients { "over the HTTP API" } else { "by clients" };
            format!("it does not hear what is sent {by}")
        }
        Unheard::Nowhere => "it hears the event, and sends it nowhere".to_owned(),
        Unheard::Payload => "the payload has not the members that its filter asks for".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Limits;
    use crate::pipe::Pattern;

    #[test]
    fn a_rule_says_what_it_would_do_and_why_not() {
        let channel = |name: &str| ChannelName::parse(name, 164).unwrap();
        let mut spec = RuleSpec::parse("cam-*:frame=mirror-*:copy").unwrap();
        spec.filter.insert("kind".into(), "camera".into());
        let rule = Rule::new(spec, &Limits::default()).unwrap();
        let tried = |on: &str, event: &str, data: &str, from_client| {
            rule.try_on(&TriedEvent { channel: &channel(on), event, data, from_client })
        };
        let data = r#"{"kind":"camera"}"#;
        let sent = tried("cam-1", "frame", data, true);
        assert_eq!(sent.sends, [("mirror-1".to_owned(), "copy".to_owned(), data.to_owned())]);
        for (on, event, data, from_client, why) in [
            ("dog-1", "frame", data, true, "the channel"),
            ("cam-1", "other", data, true, "the event"),
            ("cam-1", "frame", data, false, "HTTP"),
            ("cam-1", "frame", "{}", true, "payload"),
        ] {
            let not = tried(on, event, data, from_client);
            assert!(!not.matches && not.sends.is_empty() && not.why.contains(why), "{not:?}");
        }
    }

    #[test]
    fn a_target_that_cannot_be_is_told_beside_what_would_be_sent() {
        let mut spec = RuleSpec::parse("cam-*:frame=mirror-*").unwrap();
        spec.to.push(Pattern::parse("copies").unwrap());
        let rule = Rule::new(spec, &Limits::default()).unwrap();
        let channel = ChannelName::parse(&format!("cam-{}", "x".repeat(160)), 164).unwrap();
        let tried = TriedEvent { channel: &channel, event: "frame", data: "{}", from_client: true };
        let RuleTrial { matches, why, sends } = rule.try_on(&tried);
        assert!(matches && why.starts_with("it hears the event; \"mirror-xx"), "{why}");
        assert_eq!(sends, [("copies".to_owned(), "frame".to_owned(), "{}".to_owned())]);
    }
}
