//! A rule at work.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::{Arc, Weak};
use std::time::Instant;

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tracing::{trace, warn};

use crate::app::Limits;
use crate::event::{AcceptedEvent, Destination, ForwardedFrom, Source};
use crate::hub::{Due, Timed};
use crate::protocol::json::{Data, push_string};
use crate::protocol::{BinaryPayload, ChannelName, DATA_URL, InvalidChannelName};

use super::filter;
use super::rule_counts::{RuleCounts, RuleDrop};
use super::target::Target;
use super::target_pace::{PaceDecision, Release, TargetPaces};
use super::{BadRule, Context, RuleSpec, Tap};

/// A tap that does what one [`RuleSpec`] says.
#[derive(Clone, Debug)]
pub struct Rule {
    spec: RuleSpec,
    targets: Vec<Target>,
    /// Characters that a channel's name may have in the app.
    channel_name_chars: usize,
    /// Of a rule that has a pace. When the rule is dropped, what waits is dropped with it.
    paces: Option<Arc<Mutex<TargetPaces<AcceptedEvent<'static>>>>>,
    counts: Arc<RuleCounts>,
}

/// Why a rule sends nothing of an event: what is asked in this order, and is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unheard {
    /// It is on another channel, or on none.
    Channel,
    /// It is called otherwise.
    Event,
    /// It comes from where the rule does not listen.
    Source,
    /// The rule has no targets, and then no filter.
    Nowhere,
    /// The payload has not the members that the filter asks for.
    Payload,
}

/// What a rule would send of an event.
pub(super) struct WouldSend<'e> {
    /// To which channels; of a target that is no name of a channel what it would be, and why it is none.
    pub(super) channels: Vec<Result<ChannelName, (String, InvalidChannelName)>>,
    pub(super) name: &'e str,
    pub(super) data: Cow<'e, Data<'e>>,
}

impl Rule {
    /// The rule at work in an app with these limits.
    ///
    /// # Errors
    /// If a target is no channel that the app can have.
    pub fn new(spec: RuleSpec, limits: &Limits) -> Result<Self, BadRule> {
        let targets = spec.targets(limits)?;
        let paces = || Arc::new(Mutex::new(TargetPaces::new(spec.rate, spec.min_interval, spec.keep_latest)));
        let paces = spec.is_paced().then(paces);
        let (channel_name_chars, counts) = (limits.channel_name_chars, Arc::default());
        Ok(Rule { spec, targets, channel_name_chars, paces, counts })
    }

    /// The same, which counts there what it does.
    pub(super) fn counted_by(self, counts: Arc<RuleCounts>) -> Self {
        Rule { counts, ..self }
    }

    /// What it does.
    pub(super) fn spec(&self) -> &RuleSpec {
        &self.spec
    }

    /// What the star of the source pattern matched, if the event is one that the rule hears.
    fn capture<'c>(&self, channel: Option<&'c str>, event: &str) -> Result<&'c str, Unheard> {
        let captured = channel.and_then(|channel| self.spec.from.capture(channel)).ok_or(Unheard::Channel)?;
        if self.spec.event == "*" || self.spec.event == event { Ok(captured) } else { Err(Unheard::Event) }
    }

    /// What the star of the source pattern matched, if the rule sends the event on.
    fn heard_in<'e>(&self, event: &'e AcceptedEvent<'_>) -> Result<&'e str, Unheard> {
        let captured = self.capture(event.channel().map(ChannelName::as_str), &event.name)?;
        if !self.spec.hears(&event.source) {
            Err(Unheard::Source)
        } else if self.targets.is_empty() {
            Err(Unheard::Nowhere)
        } else if !self.takes(event) {
            Err(Unheard::Payload)
        } else {
            Ok(captured)
        }
    }

    /// Whether the payload has the members that the rule asks for. Only those are looked at.
    fn takes(&self, event: &AcceptedEvent<'_>) -> bool {
        let wanted = &self.spec.filter;
        if wanted.is_empty() {
            return true;
        }
        if let Some(binary) = event.data.as_binary().filter(|_| !wanted.contains_key(DATA_URL)) {
            return filter::matches(binary.members(), wanted);
        }
        // An object that a client sent need not be unescaped first.
        match event.raw.filter(|raw| raw.get().starts_with('{')) {
            Some(raw) => filter::matches(raw.get(), wanted),
            None => filter::matches(&event.data.text(), wanted),
        }
    }

    /// The payload as the rule sends it. Only an object can be changed; anything else passes.
    fn transform<'d>(&self, data: &'d Data<'d>) -> Cow<'d, Data<'d>> {
        if self.spec.forwards_verbatim() {
            return Cow::Borrowed(data);
        }
        if let Some(binary) = data.as_binary().filter(|_| self.keeps_content()) {
            return Cow::Owned(self.transform_binary(binary));
        }
        let text = data.text();
        match self.rewrite(&text) {
            Some(text) => Cow::Owned(Data::of_text(&text)),
            None => Cow::Borrowed(data),
        }
    }

    /// Whether the content of a binary payload is among what the rule sends, as it came.
    fn keeps_content(&self) -> bool {
        let picked = |pick: &Vec<String>| pick.iter().any(|name| name == DATA_URL);
        !self.spec.add.contains_key(DATA_URL) && self.spec.pick.as_ref().is_none_or(picked)
    }

    /// A binary payload with other members: it stays binary.
    fn transform_binary<'d>(&self, binary: &'d BinaryPayload<'d>) -> Data<'d> {
        let members = if binary.members().is_empty() { "{}" } else { binary.members() };
        // It was checked that they are an object.
        Data::of_binary(binary.with_members(self.rewrite(members).unwrap_or_default()))
    }

    /// An object with the members that the rule sends; `None` if the text is no object. Members are kept as they were
    /// written: only the outermost object is taken apart.
    fn rewrite(&self, text: &str) -> Option<String> {
        let members = serde_json::from_str::<IndexMap<Cow<'_, str>, &RawValue>>(text).ok()?;
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
        Some(text)
    }

    /// What it would send of an event, whatever its pace would say.
    ///
    /// # Errors
    /// With why it sends nothing.
    pub(super) fn would_send<'e>(&'e self, event: &'e AcceptedEvent<'_>) -> Result<WouldSend<'e>, Unheard> {
        let captured = self.heard_in(event)?;
        Ok(WouldSend {
            channels: self.channels(captured).collect(),
            name: self.sent_as(&event.name),
            data: self.transform(&event.data),
        })
    }

    /// What it calls an event of this name.
    fn sent_as<'n>(&'n self, event: &'n str) -> &'n str {
        self.spec.rename.as_deref().unwrap_or(event)
    }

    /// The channel of each target, where the star of the source matched `captured`; of one that is no name of a channel that, and
    /// why.
    fn channels<'c>(
        &'c self,
        captured: &'c str,
    ) -> impl Iterator<Item = Result<ChannelName, (String, InvalidChannelName)>> + use<'c> {
        self.targets.iter().map(|target| target.channel(captured, self.channel_name_chars))
    }

    /// Whether an event may go to a channel now. If it is to wait, a task of the calling thread's runtime sends it when
    /// its time has come; `make` makes what waits.
    fn may_go(
        &self,
        paces: &Arc<Mutex<TargetPaces<AcceptedEvent<'static>>>>,
        (event, to): (&AcceptedEvent<'_>, &ChannelName),
        context: &Context<'_>,
        make: impl FnOnce() -> AcceptedEvent<'static>,
    ) -> bool {
        let decision = paces.lock().offer(to, context.clock().now(), make);
        match decision {
            PaceDecision::Go => true,
            PaceDecision::Wait(time) => {
                // Events are accepted within a runtime; outside of one there are no timers, and nothing waits.
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    let (_, due) = context.clock().wait_until(time, Timed::PipePace);
                    let context = context.clone().into_owned();
                    let counts = Arc::clone(&self.counts);
                    runtime.spawn(release((Arc::downgrade(paces), counts), to.clone(), context, time, due));
                }
                false
            }
            PaceDecision::Replaced | PaceDecision::Dropped | PaceDecision::Full => {
                context.count_paced_out();
                let why = match decision {
                    PaceDecision::Replaced => RuleDrop::Replaced,
                    PaceDecision::Full => RuleDrop::Full,
                    _ => RuleDrop::Pace,
                };
                self.counts.count_drop(why, event, Some(to.as_str()));
                trace!(app = context.app().id, %to, ?decision, "not forwarded: the rule's pace");
                false
            }
        }
    }
}

/// Sends what waits for a channel when its time has come. It ends with the rule.
async fn release(
    (paces, counts): (Weak<Mutex<TargetPaces<AcceptedEvent<'static>>>>, Arc<RuleCounts>),
    to: ChannelName,
    context: Context<'static>,
    mut time: Instant,
    mut due: Due,
) {
    loop {
        let sleep = context.clock().sleep_until(time, Timed::PipePace);
        due.put_off();
        due = sleep.await;
        let Some(paces) = paces.upgrade() else { return };
        let released = paces.lock().release(&to, context.clock().now());
        match released {
            Release::Now(event) => {
                counts.count_sent();
                context.accept(&event);
                return;
            }
            Release::At(later) => time = later,
            Release::Nothing => return due.put_off(),
        }
    }
}

/// The source of an event that is passed on, which names the client that sent it.
#[cold]
fn source_of(event: &AcceptedEvent<'_>) -> Source {
    match (&event.source, event.channel()) {
        (Source::Client { socket_id, user_id }, Some(channel)) => {
            let (user_id, channel, event) = (user_id.clone(), channel.clone(), Box::from(&*event.name));
            Source::Forwarded(Arc::new(ForwardedFrom { socket_id: *socket_id, user_id, channel, event }))
        }
        _ => Source::Pipe,
    }
}

impl Tap for Rule {
    fn listens(&self, channel: Option<&str>, event: &str) -> bool {
        self.spec.hears_clients && self.capture(channel, event).is_ok()
    }

    fn leads_to(&self, event: &AcceptedEvent<'_>, is_such: &dyn Fn(&ChannelName) -> bool) -> bool {
        self.heard_in(event).is_ok_and(|captured| self.channels(captured).flatten().any(|to| is_such(&to)))
    }

    fn may_lead(&self, (channel, event): (&ChannelName, &str), (to, name): (&ChannelName, &str)) -> bool {
        let captured = self.capture(Some(channel.as_str()), event).ok().filter(|_| self.spec.hears_clients);
        self.sent_as(event) == name
            && captured.is_some_and(|captured| self.channels(captured).flatten().any(|target| target == *to))
    }

    fn hear(&self, event: &AcceptedEvent<'_>, context: &Context<'_>) {
        let captured = match self.heard_in(event) {
            Ok(captured) => captured,
            Err(Unheard::Channel | Unheard::Event | Unheard::Source) => return,
            Err(Unheard::Payload) => return self.counts.count_drop(RuleDrop::Payload, event, None),
            Err(Unheard::Nowhere) => return self.counts.count_match(event),
        };
        self.counts.count_match(event);
        let from = event.channel().map(ChannelName::as_str);
        let name = self.sent_as(&event.name);
        // Made once for all targets, and only if one of them is to be sent it.
        let data = OnceCell::new();
        let data = || data.get_or_init(|| self.transform(&event.data));
        for channel in self.channels(captured) {
            let channel = match channel {
                Ok(channel) => channel,
                Err((to, reason)) => {
                    let app = &context.app().id;
                    warn!(app, from, to, %reason, "a pipe rule leads to an invalid channel name");
                    self.counts.count_drop(RuleDrop::Target, event, Some(&to));
                    continue;
                }
            };
            let sent = || {
                let to = Destination::Subscribers { channel: channel.clone(), except: None };
                let sent = AcceptedEvent::of_pipe(to, name, data().borrowed());
                // It matters which client has sent it.
                if event.is_of_track() { AcceptedEvent { source: source_of(event), ..sent } } else { sent }
            };
            let waiting = || sent().into_owned();
            if self.paces.as_ref().is_none_or(|paces| self.may_go(paces, (event, &channel), context, waiting))
            {
                self.counts.count_sent();
                trace!(app = context.app().id, from, to = %channel, event = name, "forwarded");
                context.accept(&sent());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_of(spec: RuleSpec) -> Rule {
        Rule::new(spec, &Limits::default()).unwrap()
    }

    fn sent(rule: impl FnOnce(&mut RuleSpec), payload: &str) -> String {
        let mut spec = RuleSpec::new("a", "e", "b").unwrap();
        rule(&mut spec);
        let data = Data::of_text(payload);
        let rule = rule_of(spec);
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
        let rule = rule_of(RuleSpec::parse("cam-*:frame=mirror-*").unwrap());
        assert!(rule.listens(Some("cam-1"), "frame"));
        assert!(!rule.listens(Some("cam-1"), "other") && !rule.listens(Some("dog-1"), "frame"));
        assert!(!rule.listens(None, "frame"));
        let every = rule_of(RuleSpec::parse("a:*=b").unwrap());
        assert!(every.listens(Some("a"), "anything"));
        let http =
            RuleSpec { hears_clients: false, hears_http: true, ..RuleSpec::new("a", "e", "b").unwrap() };
        assert!(!rule_of(http).listens(Some("a"), "e"));
    }

    #[test]
    fn whether_what_a_client_films_may_go_on_is_known_without_what_it_sends() {
        let channel = |name: &str| ChannelName::parse(name, 164).unwrap();
        let may_lead = |rule: &Rule, from: (&str, &str), to: (&str, &str)| {
            rule.may_lead((&channel(from.0), from.1), (&channel(to.0), to.1))
        };
        let mut spec = RuleSpec::parse("cam-*:frame=mirror-*:picture").unwrap();
        spec.filter.insert("kind".into(), "camera".into());
        let rule = rule_of(spec.clone());
        assert!(may_lead(&rule, ("cam-1", "frame"), ("mirror-1", "picture")), "it may be such a one");
        for (from, to) in [
            (("dog-1", "frame"), ("mirror-1", "picture")),
            (("cam-1", "other"), ("mirror-1", "picture")),
            (("cam-1", "frame"), ("mirror-2", "picture")),
            (("cam-1", "frame"), ("mirror-1", "frame")),
        ] {
            assert!(!may_lead(&rule, from, to), "{from:?} to {to:?}");
        }
        let of_backends = rule_of(RuleSpec { hears_clients: false, hears_http: true, ..spec });
        assert!(!may_lead(&of_backends, ("cam-1", "frame"), ("mirror-1", "picture")));
        let as_it_is = rule_of(RuleSpec::parse("a:*=b").unwrap());
        assert!(may_lead(&as_it_is, ("a", "frame"), ("b", "frame")));
    }

    #[test]
    fn a_binary_payload_stays_binary_as_long_as_its_content_is_sent() {
        let binary = BinaryPayload::new("image/png", r#"{"n":1,"kind":"camera"}"#, b"picture").unwrap();
        let data = Data::of_binary(binary);
        let sent = |change: &dyn Fn(&mut RuleSpec)| {
            let mut spec = RuleSpec::new("a", "e", "b").unwrap();
            change(&mut spec);
            rule_of(spec).transform(&data).into_owned().into_owned()
        };
        let add = |spec: &mut RuleSpec| drop(spec.add.insert("message".into(), "Sending frame".into()));
        let pick = |spec: &mut RuleSpec| spec.pick = Some(vec!["dataUrl".into(), "n".into()]);
        assert_eq!(sent(&|_| {}), data.clone().into_owned());
        let added = sent(&add);
        let expected = r#"{"n":1,"kind":"camera","message":"Sending frame"}"#;
        assert_eq!(added.as_binary().unwrap().members(), expected);
        assert_eq!(added.as_binary().unwrap().content(), b"picture");
        assert_eq!(sent(&pick).as_binary().unwrap().members(), r#"{"n":1}"#);
        let without = sent(&|spec| spec.pick = Some(vec!["n".into()]));
        assert_eq!((without.as_binary(), &*without.text()), (None, r#"{"n":1}"#));
        let other = sent(&|spec| drop(spec.add.insert(DATA_URL.into(), "gone".into())));
        assert_eq!(
            (other.as_binary(), &*other.text()),
            (None, r#"{"n":1,"kind":"camera","dataUrl":"gone"}"#)
        );
    }
}
