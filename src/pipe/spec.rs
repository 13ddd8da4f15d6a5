//! Reads and checks rules: what a line of configuration makes the pipe do.

use std::time::Duration;

use crate::app::{App, Limits};
use crate::event::Source;
use crate::protocol::InvalidChannelName;
use crate::protocol::pattern::{BadPattern, Pattern};

use super::pace::Rate;
use super::target::Target;

/// What a rule hears and what it sends on: `[[apps.pipe]]` of the configuration, or `--pipe`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSpec {
    /// The channels it hears.
    pub from: Pattern,
    /// The event it hears, exactly; `*` hears every event.
    pub event: String,
    /// Where it sends, to each of these; a `*` takes what the star of `from` matched. Without any, what it hears is
    /// taken from the client and goes nowhere.
    pub to: Vec<Pattern>,
    /// The event name it sends; the heard one if absent.
    pub rename: Option<String>,
    /// Members merged into an object payload, replacing members of the same name.
    pub add: serde_json::Map<String, serde_json::Value>,
    /// The members of an object payload to keep; all if absent.
    pub pick: Option<Vec<String>>,
    /// Hears events that clients send.
    pub hears_clients: bool,
    /// Hears events published over the HTTP API.
    pub hears_http: bool,
    /// The members that a payload must have, each with an equal value. Without any, every payload is taken.
    pub filter: serde_json::Map<String, serde_json::Value>,
    /// How often it may send to one channel.
    pub rate: Option<Rate>,
    /// How much time must lie between two events that it sends to one channel.
    pub min_interval: Option<Duration>,
    /// Of the events that come too soon the newest waits until it may go; else all are dropped.
    pub keep_latest: bool,
}

/// A rule that cannot be understood, or could never work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// The command-line form has another shape.
    #[error("expected 'channel:event=channel' or 'channel:event=channel:event', got {0:?}")]
    Shape(String),
    /// A channel or pattern is wrong.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// The target has a star that nothing fills.
    #[error("the target {to:?} holds a `*` but the source {from:?} holds none to fill it with")]
    NothingToFill {
        /// The source pattern.
        from: String,
        /// The target pattern.
        to: String,
    },
    /// No channel of the app can have the target's name.
    #[error("the target {to:?} cannot be the name of a channel: {reason}")]
    Target {
        /// The target pattern.
        to: String,
        /// Why.
        reason: InvalidChannelName,
    },
    /// The name is empty or reserved for the protocol.
    #[error(
        "{0:?} cannot be an event name: it is empty, or begins with \"pusher:\" or \"pusher_internal:\", which are reserved"
    )]
    EventName(String),
    /// It has no target, and is not marked as one that drops events.
    #[error("a rule needs \"to\", or drop = true if what it hears is to go nowhere")]
    Nowhere,
    /// It would send every event twice.
    #[error("the target {0:?} is given twice")]
    RepeatedTarget(String),
    /// It drops events, but has settings of one that sends them.
    #[error("a rule with drop = true sends nothing, so {0:?} has no meaning in it")]
    DropAndSend(&'static str),
    /// Nothing would ever wait.
    #[error("keep = \"latest\" needs a \"rate\" or a \"min_interval\": without one, no event has to wait")]
    NothingToWaitFor,
    /// What it leaves out would be missed by what it sends.
    #[error(
        "a rule with a \"rate\" or a \"min_interval\" cannot lead to {0:?}, a channel with delivery = \"video\": a frame that it \
         leaves out is missed by those that follow"
    )]
    PacedVideo(String),
    /// It would never hear anything.
    #[error("a rule must hear at least one source: \"client\" or \"http\"")]
    Deaf,
}

impl RuleSpec {
    /// A rule that forwards `event` from `from` to `to` unchanged and hears clients only.
    ///
    /// # Errors
    /// If a pattern or the event name is wrong.
    pub fn new(from: &str, event: &str, to: &str) -> Result<Self, BadRule> {
        let rule = RuleSpec {
            from: Pattern::parse(from)?,
            event: event.to_owned(),
            to: vec![Pattern::parse(to)?],
            rename: None,
            add: serde_json::Map::new(),
            pick: None,
            hears_clients: true,
            hears_http: false,
            filter: serde_json::Map::new(),
            rate: None,
            min_interval: None,
            keep_latest: false,
        };
        rule.check().map(|()| rule)
    }

    /// Reads the command-line form `channel:event=channel[:event]`.
    ///
    /// # Errors
    /// If the shape, a pattern or an event name is wrong.
    pub fn parse(text: &str) -> Result<Self, BadRule> {
        let shape = || BadRule::Shape(text.to_owned());
        // A channel name may hold `=` but never `:`, so the first colon comes first.
        let (from, heard) = text.split_once(':').ok_or_else(shape)?;
        let (event, sent) = heard.split_once('=').ok_or_else(shape)?;
        let (to, rename) = match sent.split_once(':') {
            Some((to, rename)) => (to, Some(rename)),
            None => (sent, None),
        };
        let mut rule = RuleSpec::new(from, event, to)?;
        rule.rename = rename.filter(|name| *name != event).map(str::to_owned);
        rule.check().map(|()| rule)
    }

    /// Whether the parts go together; call it after changing a field.
    ///
    /// # Errors
    /// If the target cannot be filled, an event name is reserved or empty, or nothing would be heard.
    pub fn check(&self) -> Result<(), BadRule> {
        if let Some(to) = self.to.iter().find(|to| to.is_wild() && !self.from.is_wild()) {
            return Err(BadRule::NothingToFill { from: self.from.to_string(), to: to.to_string() });
        }
        let mut targets = self.to.iter().enumerate();
        if let Some((_, twice)) = targets.find(|(n, to)| self.to[..*n].contains(to)) {
            return Err(BadRule::RepeatedTarget(twice.to_string()));
        }
        if self.to.is_empty() {
            let given = [
                ("as", self.rename.is_some()),
                ("add", !self.add.is_empty()),
                ("pick", self.pick.is_some()),
                ("where", !self.filter.is_empty()),
                ("rate", self.rate.is_some()),
                ("min_interval", self.min_interval.is_some()),
                ("keep", self.keep_latest),
            ];
            if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(BadRule::DropAndSend(key));
            }
        }
        if self.keep_latest && !self.is_paced() {
            return Err(BadRule::NothingToWaitFor);
        }
        let names = [Some(self.event.as_str()), self.rename.as_deref()];
        if let Some(bad) = names.into_iter().flatten().find(|n| n.is_empty() || is_reserved(n)) {
            return Err(BadRule::EventName(bad.to_owned()));
        }
        if !(self.hears_clients || self.hears_http) {
            return Err(BadRule::Deaf);
        }
        Ok(())
    }

    /// Whether channels of an app can have the names that it sends to, and be sent what it sends.
    ///
    /// # Errors
    /// If one cannot.
    pub fn check_targets(&self, app: &App) -> Result<(), BadRule> {
        let targets = self.targets(&app.limits)?;
        let paced_video = self.to.iter().zip(targets).find(|(pattern, target)| match target {
            Target::Channel(channel) => app.video(channel).is_some(),
            Target::Filled(_) => app
                .channels
                .iter()
                .any(|settings| settings.video.is_some() && settings.pattern.overlaps(pattern)),
        });
        match paced_video.filter(|_| self.is_paced()) {
            Some((pattern, _)) => Err(BadRule::PacedVideo(pattern.to_string())),
            None => Ok(()),
        }
    }

    /// Its targets, parsed.
    pub(super) fn targets(&self, limits: &Limits) -> Result<Vec<Target>, BadRule> {
        let target = |pattern: &Pattern| {
            Target::parse(pattern, limits)
                .map_err(|reason| BadRule::Target { to: pattern.to_string(), reason })
        };
        self.to.iter().map(target).collect()
    }

    /// Whether it hears events from there. Those of pipes are announced to nobody.
    pub(super) fn hears(&self, source: &Source) -> bool {
        match source {
            Source::Client { .. } => self.hears_clients,
            Source::Http => self.hears_http,
            Source::Pipe | Source::Forwarded(_) => false,
        }
    }

    /// Whether it may be told to wait.
    pub fn is_paced(&self) -> bool {
        self.rate.is_some() || self.min_interval.is_some()
    }

    /// Whether the payload goes through untouched, and so unparsed.
    pub fn forwards_verbatim(&self) -> bool {
        self.add.is_empty() && self.pick.is_none()
    }
}

/// The names that only the broker itself may send.
fn is_reserved(event: &str) -> bool {
    event.starts_with("pusher:") || event.starts_with("pusher_internal:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_form_reads_as_it_looks() {
        let rule = RuleSpec::parse("stream:frame=mirror:frame").unwrap();
        assert_eq!(rule, RuleSpec::new("stream", "frame", "mirror").unwrap());
        let rule = RuleSpec::parse("cam-*:client-frame=mirror-*:frame").unwrap();
        assert_eq!(rule.rename.as_deref(), Some("frame"));
        assert_eq!(rule.to[0].fill("7"), "mirror-7");
        assert_eq!(RuleSpec::parse("a=b:e=c").unwrap(), RuleSpec::new("a=b", "e", "c").unwrap());
    }

    #[test]
    fn a_rule_that_could_never_work_says_why() {
        assert!(matches!(RuleSpec::parse("stream=mirror"), Err(BadRule::Shape(_))));
        assert!(matches!(RuleSpec::parse("stream:frame"), Err(BadRule::Shape(_))));
        assert!(matches!(RuleSpec::parse("a:e=b-*"), Err(BadRule::NothingToFill { .. })));
        assert!(matches!(RuleSpec::parse("a:pusher:ping=b"), Err(BadRule::EventName(_))));
        assert!(matches!(RuleSpec::parse("a:=b"), Err(BadRule::EventName(_))));
        let deaf = RuleSpec { hears_clients: false, ..RuleSpec::new("a", "e", "b").unwrap() };
        assert_eq!(deaf.check(), Err(BadRule::Deaf));
    }

    #[test]
    fn what_goes_nowhere_or_waits_must_say_so_rightly() {
        let rule = |change: &dyn Fn(&mut RuleSpec)| {
            let mut rule = RuleSpec::new("a", "e", "b").unwrap();
            change(&mut rule);
            rule.check()
        };
        assert_eq!(rule(&|rule| rule.to.clear()), Ok(()));
        let renamed = |rule: &mut RuleSpec| {
            rule.to.clear();
            rule.rename = Some("x".to_owned());
        };
        assert_eq!(rule(&renamed), Err(BadRule::DropAndSend("as")));
        assert_eq!(
            rule(&|rule| rule.to.push(rule.to[0].clone())),
            Err(BadRule::RepeatedTarget("b".to_owned()))
        );
        assert_eq!(rule(&|rule| rule.keep_latest = true), Err(BadRule::NothingToWaitFor));
    }
}
