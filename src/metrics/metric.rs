//! What a metric is: its name, its type, its labels, and the sentence that the exposition and docs/monitoring.md say of it.

/// One metric that the broker exposes.
#[derive(Debug)]
pub(super) struct Metric {
    /// Its name as Prometheus has it, with its unit, and `_total` where it is a counter.
    pub(super) name: &'static str,
    pub(super) metric_type: MetricType,
    /// The names of its labels.
    pub(super) labels: &'static [&'static str],
    /// What it tells, and when it is not there.
    pub(super) help: &'static str,
}

/// What a metric's value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricType {
    /// It rises, from the start of the process.
    Counter,
    /// It rises and falls.
    Gauge,
    /// How many there were in each of several ranges, how many in all, and their sum, from the start of the process.
    Histogram,
    /// It is 1, and its labels tell something.
    Info,
}

impl Metric {
    /// Its name as the library wants it, which writes the suffix of the type itself.
    pub(super) fn stem(&self) -> &'static str {
        let suffix = match self.metric_type {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            MetricType::Gauge | MetricType::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

#[cfg(test)]
impl MetricType {
    /// What the documentation calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::Info => "info",
        }
    }
}

/// Metrics by the names that the collectors know them by, and the list of all of them in the order of the documentation.
macro_rules! metrics {
    ($( $constant:ident = $type:ident $name:literal [$($label:literal),*] $help:literal; )*) => {
        $( pub(super) const $constant: &Metric = {
            // At one address for all who use it, by which it is known again.
            static METRIC: Metric = Metric {
                name: $name,
                metric_type: MetricType::$type,
                labels: &[$($label),*],
                help: $help,
            };
            &METRIC
        }; )*

        /// All that there are, in the order of the documentation.
        #[cfg(test)]
        pub(super) const ALL: &[&Metric] = &[$($constant),*];
    };
}

pub(super) use metrics;
