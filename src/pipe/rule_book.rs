//! The rules of all apps that are in force, with what each of them has done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::rule_counts::RuleCounts;
use super::{BadRule, Rule, RuleSpec};
use crate::app::Limits;

/// The rules of all apps. A rule that stays as it is keeps its counts, whatever else of its app is changed.
#[derive(Debug, Default)]
pub(crate) struct RuleBook {
    /// By the app's id, in the order of the configuration; no more than are configured.
    apps: Mutex<BTreeMap<String, Vec<CountedRule>>>,
}

/// A rule, and what it has done.
#[derive(Clone, Debug)]
pub(crate) struct CountedRule {
    pub(crate) spec: RuleSpec,
    pub(crate) counts: Arc<RuleCounts>,
}

impl RuleBook {
    /// These are the rules of an app from now on.
    pub(crate) fn enter(
        &self,
        app_id: &str,
        specs: &[RuleSpec],
        limits: &Limits,
    ) -> Vec<Result<Rule, BadRule>> {
        let mut apps = self.apps.lock();
        let mut before = apps.remove(app_id).unwrap_or_default();
        let counted = |spec: &RuleSpec| {
            let known = before.iter().position(|rule| rule.spec == *spec);
            let counts = known.map(|index| before.swap_remove(index).counts).unwrap_or_default();
            CountedRule { spec: spec.clone(), counts }
        };
        let rules: Vec<_> = specs.iter().map(counted).collect();
        let made = rules.iter().map(|CountedRule { spec, counts }| {
            Rule::new(spec.clone(), limits).map(|rule| rule.counted_by(Arc::clone(counts)))
        });
        let made = made.collect();
        if !rules.is_empty() {
            apps.insert(app_id.to_owned(), rules);
        }
        made
    }

    /// The app is gone.
    pub(crate) fn forget(&self, app_id: &str) {
        self.apps.lock().remove(app_id);
    }

    /// The rules of an app.
    pub(crate) fn of_app(&self, app_id: &str) -> Vec<CountedRule> {
        self.apps.lock().get(app_id).cloned().unwrap_or_default()
    }

    /// The rules of all apps that have some; nothing where there are more than so many.
    pub(crate) fn all(&self, most: usize) -> Vec<(String, Vec<CountedRule>)> {
        let apps = self.apps.lock();
        let count: usize = apps.values().map(Vec::len).sum();
        let all = apps.iter().filter(|_| count <= most);
        all.map(|(id, rules)| (id.clone(), rules.clone())).collect()
    }

    /// Keeps what each rule has counted so far: rates are made of that.
    pub(crate) fn sample(&self, now: Instant) {
        self.apps.lock().values().flatten().for_each(|rule| rule.counts.sample(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_stays_keeps_its_counts() {
        let book = RuleBook::default();
        let spec = |text: &str| RuleSpec::parse(text).unwrap();
        let limits = Limits::default();
        assert_eq!(book.enter("1", &[spec("a:e=b"), spec("c:e=d"), spec("c:e=d")], &limits).len(), 3);
        let [_, second, third] = &book.of_app("1")[..] else { panic!("three") };
        second.counts.count_sent();
        (0..2).for_each(|_| third.counts.count_sent());
        book.enter("1", &[spec("c:e=d"), spec("x:e=y"), spec("c:e=d")], &limits);
        let sent: Vec<u64> = book.of_app("1").iter().map(|rule| rule.counts.totals().sent).collect();
        assert_eq!((sent[1], sent[0] + sent[2]), (0, 3), "{sent:?}");
        assert!(book.all(2).is_empty() && book.all(3).len() == 1);
        book.enter("1", &[], &limits);
        assert!(book.all(3).is_empty());
        book.enter("1", &[spec("c:e=d")], &limits);
        book.forget("1");
        assert!(book.of_app("1").is_empty());
    }
}
