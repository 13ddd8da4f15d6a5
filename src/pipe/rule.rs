//! A rule at work.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde_json::value::RawValue;
use tracing::{trace, warn};

use crate::hub::Source;
use crate::protocol::json::{Data, push_string};

use super::{Context, Message, RuleSpec, Tap};

/// A tap that does what one [`RuleSpec`] says.
#[derive(Clone, Debug)]
pub struct Rule {
    spec: RuleSpec,
}

impl Rule {
    /// The rule at work.
    #[must_use]
    pub fn new(spec: RuleSpec) -> Self {
        Rule { spec }
    }

    /// What the star of the source pattern matched, if the event is one that the rule hears.
    fn capture<'c>(&self, channel: Option<&'c str>, event: &str) -> Option<&'c str> {
        let heard = self.spec.event == "*" || self.spec.event == event;
        self.spec.from.capture(channel?).filter(|_| heard)
    }

    /// The payload as the rule sends it. Only an object can be changed; anything else passes.
    fn transform<'d>(&self, data: &'d Data<'d>) -> Cow<'d, Data<'d>> {
        if self.spec.forwards_verbatim() {
            return Cow::Borrowed(data);
        }
        let text = data.text();
        // Members are kept as they were written: only the outermost object is taken apart.
        match serde_json::from_str::<IndexMap<Cow<'_, str>, &RawValue>>(&text) {
            Ok(members) => Cow::Owned(Data::of_text(&self.rewrite(members))),
            Err(_) => Cow::Borrowed(data),
        }
    }

    fn rewrite(&self, members: IndexMap<Cow<'_, str>, &RawValue>) -> String {
        let picked = |name: &str| match &self.spec.pick {
            Some(pick) => pick.iter().any(|p| p == name),
            None => true,
        };
        let kept =
            members.iter().filter(|(name, _)| picked(name) && !self.spec.add.contains_key(name.as_ref()));
        let kept = kept.map(|(name, value)| (name.as_ref(), Cow::Borrowed(value.get())));
        let added = self.spec.add.iter().map(|(name, value)| (name.as_str(), Cow::Owned(value.to_string())));
        let mut text = String::from("{");
        for (name, value) in kept.chain(added) {
            if text.len() > 1 {
                text.push(',');
            }
            push_string(name, &mut text);
            text.push(':');
            text.push_str(&value);
        }
        text.push('}');
        text
    }
}

impl Tap for Rule {
    fn listens(&self, channel: Option<&str>, event: &str) -> bool {
        self.spec.hears_clients && self.capture(channel, event).is_some()
    }

    fn hear(&self, message: &Message<'_>, context: &Context<'_>) {
        let heard = match message.source {
            Source::Client { .. } => self.spec.hears_clients,
            Source::Http => self.spec.hears_http,
        };
        let channel = message.channel.map(|channel| channel.as_str());
        let Some(captured) = self.capture(channel, message.event).filter(|_| heard) else { return };
        let to = self.spec.to.fill(captured);
        match context.channel(&to) {
            Ok(to) => {
                let event = self.spec.rename.as_deref().unwrap_or(message.event);
                trace!(app = context.app().id, from = channel, %to, event, "forwarded");
                context.trigger(&to, event, &self.transform(message.data));
            }
            Err(reason) => {
                let app = &context.app().id;
                warn!(app, from = channel, to, %reason, "a pipe rule leads to an invalid channel name");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(rule: impl FnOnce(&mut RuleSpec), payload: &str) -> String {
        let mut spec = RuleSpec::new("a", "e", "b").unwrap();
        rule(&mut spec);
        let data = Data::of_text(payload);
        let rule = Rule::new(spec);
        rule.transform(&data).text().into_owned()
    }

    #[test]
    fn a_payload_that_is_not_changed_is_not_looked_at() {
        for payload in [r#"{ "a" : 1 }"#, "not json", ""] {
            assert_eq!(sent(|_| {}, payload), payload);
        }
    }

    #[test]
    fn members_are_picked_and_added_and_otherwise_kept_as_written() {
        let add = |spec: &mut RuleSpec| {
            spec.add.insert("message".into(), "Sending frame".into());
        };
        let payload = r#"{"dataUrl":"data:,x","n":1.50,"deep":{"a": [1]}}"#;
        let expected = r#"{"dataUrl":"data:,x","n":1.50,"deep":{"a": [1]},"message":"Sending frame"}"#;
        assert_eq!(sent(add, payload), expected);
        assert_eq!(sent(add, r#"{"message":"old","a":1}"#), r#"{"a":1,"message":"Sending frame"}"#);
        let pick = |spec: &mut RuleSpec| spec.pick = Some(vec!["dataUrl".into(), "missing".into()]);
        assert_eq!(sent(pick, payload), r#"{"dataUrl":"data:,x"}"#);
        let both = |spec: &mut RuleSpec| {
            add(spec);
            pick(spec);
        };
        assert_eq!(sent(both, payload), r#"{"dataUrl":"data:,x","message":"Sending frame"}"#);
        assert_eq!(sent(both, "{}"), r#"{"message":"Sending frame"}"#);
    }

    #[test]
    fn what_is_no_object_passes() {
        let add = |spec: &mut RuleSpec| {
            spec.add.insert("message".into(), 1.into());
        };
        for payload in ["text", "[1]", "1", "null", ""] {
            assert_eq!(sent(add, payload), payload);
        }
    }

    #[test]
    fn a_rule_hears_its_channel_and_event_only() {
        let rule = Rule::new(RuleSpec::parse("cam-*:frame=mirror-*").unwrap());
        assert!(rule.listens(Some("cam-1"), "frame"));
        assert!(!rule.listens(Some("cam-1"), "other") && !rule.listens(Some("dog-1"), "frame"));
        assert!(!rule.listens(None, "frame"));
        let every = Rule::new(RuleSpec::parse("a:*=b").unwrap());
        assert!(every.listens(Some("a"), "anything"));
        let http =
            RuleSpec { hears_clients: false, hears_http: true, ..RuleSpec::new("a", "e", "b").unwrap() };
        assert!(!Rule::new(http).listens(Some("a"), "e"));
    }
}
