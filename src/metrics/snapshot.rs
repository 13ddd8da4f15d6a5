//! What a scrape tells, as values: every metric with its samples, before any format.

use std::borrow::Cow;

use crate::hub::Durations;

use super::metric::Metric;

/// The labels of one sample, name and value.
pub(super) type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// What there is to tell at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// In the order in which they were first told.
    pub(super) families: Vec<Family>,
}

/// One metric and its samples.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) metric: &'static Metric,
    pub(super) samples: Vec<(Labels, Value)>,
}

/// The value of one sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
    Durations(Durations),
}

impl From<Durations> for Value {
    fn from(value: Durations) -> Self {
        Value::Durations(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Value::Whole(value as u64)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Real(value)
    }
}

impl Snapshot {
    /// Tells the value of a metric that has no labels.
    pub(super) fn tell(&mut self, metric: &'static Metric, value: impl Into<Value>) {
        self.tell_of(metric, [], value);
    }

    /// Tells a value of a metric, with the values of its labels in their order.
    pub(super) fn tell_of<const N: usize>(
        &mut self,
        metric: &'static Metric,
        labels: [Cow<'static, str>; N],
        value: impl Into<Value>,
    ) {
        debug_assert_eq!(metric.labels.len(), N, "{}", metric.name);
        let labels = metric.labels.iter().copied().zip(labels).collect();
        self.samples(metric).push((labels, value.into()));
    }

    /// The samples of a metric that were told.
    pub(super) fn samples_of(&self, metric: &'static Metric) -> &[(Labels, Value)] {
        let told = self.families.iter().find(|family| std::ptr::eq(family.metric, metric));
        told.map_or(&[], |family| &family.samples)
    }

    /// The samples of a metric. The last metrics are looked at first: one that is told of many apps is among them.
    fn samples(&mut self, metric: &'static Metric) -> &mut Vec<(Labels, Value)> {
        let known = self.families.iter().rposition(|family| std::ptr::eq(family.metric, metric));
        let at = known.unwrap_or_else(|| {
            self.families.push(Family { metric, samples: Vec::new() });
            self.families.len() - 1
        });
        &mut self.families[at].samples
    }
}
