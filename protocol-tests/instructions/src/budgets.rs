//! What each hot path may take, and what is wrong when it takes something else.
//!
//! A budget may be lowered freely. One that stands above the lowest that was ever recorded was raised, and needs a
//! line in `docs/performance.md` that names the path and how far it was raised, and says why.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::paths::HOT_PATHS;

/// How far over its budget a count may be, as a fraction. Hash tables and the allocator make up to 0.2 % of chance,
/// and code elsewhere in the program moves what the compiler inlines here by a little more. It does not add up:
/// a count within it leaves the budget where it was.
const TOLERANCE: f64 = 0.01;

/// The same where the compiler, the C library or the processor is not the one that the budgets were counted with.
const TOLERANCE_ELSEWHERE: f64 = 0.05;

/// How far below its budget a count is when the budget should follow.
const WORTH_LOWERING: f64 = 0.02;

/// The heading in `docs/performance.md` under which the reasons stand.
pub const REASONS_HEADING: &str = "## Raised instruction budgets";

/// The file `budgets.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// The compiler, the C library and the processor that the budgets were counted with.
    pub counted_with: String,
    /// By path.
    pub paths: BTreeMap<String, Budget>,
}

/// What one path may take.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Instructions per operation that it may take.
    pub budget: f64,
    /// The lowest budget it ever had.
    pub lowest: f64,
}

/// How a count compares with its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It keeps it.
    Within,
    /// It is so far below that the budget should be lowered. No failure.
    WellBelow,
    /// It passes it.
    Over,
    /// The budget was raised, and nothing says why.
    Unexplained,
    /// There is none.
    Unrecorded,
}

impl Verdict {
    /// Whether the check fails by it.
    #[must_use]
    pub const fn fails(self) -> bool {
        match self {
            Verdict::Within | Verdict::WellBelow => false,
            Verdict::Over | Verdict::Unexplained | Verdict::Unrecorded => true,
        }
    }
}

/// Budgets may not be raised in silence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these budgets would be raised, which needs --raise \"the reason\": {}", .0.join(", "))]
pub struct NeedsReason(pub Vec<String>);

impl Budgets {
    /// Reads the file.
    ///
    /// # Errors
    /// If it is not of this form, or knows a path that does not exist.
    pub fn parse(text: &str) -> Result<Self, String> {
        let budgets: Budgets = toml::from_str(text).map_err(|error| error.to_string())?;
        let unknown = budgets.paths.keys().find(|name| super::paths::path(name).is_none());
        match unknown {
            Some(name) => Err(format!("there is no path {name:?}")),
            None => Ok(budgets),
        }
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# Instructions that one operation of each hot path may take, in the release profile.\n\
             # Written by `protocol-tests/instructions/check --update`; docs/performance.md says how it is counted.\n\
             counted_with = {:?}\n",
            self.counted_with
        );
        for path in &HOT_PATHS {
            if let Some(Budget { budget, lowest }) = self.paths.get(path.name) {
                let (name, operation) = (path.name, path.operation);
                // Writing to a String cannot fail.
                let _ = write!(
                    text,
                    "\n# {operation}\n[paths.{name}]\nbudget = {budget:.1}\nlowest = {lowest:.1}\n"
                );
            }
        }
        text
    }

    /// How far over its budget a count may be, as a fraction, in these surroundings.
    #[must_use]
    pub fn tolerance(&self, surroundings: &str) -> f64 {
        if self.counted_with == surroundings { TOLERANCE } else { TOLERANCE_ELSEWHERE }
    }

    /// Compares a count with its budget. `reasons` is the text of `docs/performance.md`.
    #[must_use]
    pub fn judge(&self, path: &str, count: f64, tolerance: f64, reasons: &str) -> Verdict {
        let Some(budget) = self.paths.get(path) else { return Verdict::Unrecorded };
        if budget.budget > budget.lowest && !is_explained(path, budget.budget, reasons) {
            Verdict::Unexplained
        } else if count > budget.budget * (1.0 + tolerance) {
            Verdict::Over
        } else if count < budget.budget * (1.0 - WORTH_LOWERING.max(tolerance)) {
            Verdict::WellBelow
        } else {
            Verdict::Within
        }
    }

    /// Takes the counts as budgets wherever they differ by more than chance; returns the lines that give the reason
    /// of each raise.
    ///
    /// # Errors
    /// If a budget would rise without a reason. Nothing has changed then.
    pub fn update(
        &mut self,
        counts: &[(&str, f64)],
        surroundings: &str,
        reason: Option<&str>,
    ) -> Result<Vec<String>, NeedsReason> {
        let mut paths = self.paths.clone();
        let mut raised = Vec::new();
        let mut lines = Vec::new();
        for &(path, count) in counts {
            let count = (count * 10.0).round() / 10.0;
            let recorded = paths.entry(path.to_owned()).or_insert(Budget { budget: count, lowest: count });
            let Budget { budget: before, lowest } = *recorded;
            if (count - before).abs() <= before * TOLERANCE {
                continue;
            }
            *recorded = Budget { budget: count, lowest: lowest.min(count) };
            if count > before {
                raised.push(format!("{path} from {before:.1} to {count:.1}"));
                lines.extend(reason.map(|r| format!("* `{path}` from {before:.1} to {count:.1}: {r}")));
            }
        }
        if reason.is_none() && !raised.is_empty() {
            return Err(NeedsReason(raised));
        }
        *self = Budgets { counted_with: surroundings.to_owned(), paths };
        Ok(lines)
    }
}

/// Whether a line tells why the path was raised as far as this budget, or farther.
fn is_explained(path: &str, budget: f64, reasons: &str) -> bool {
    let name = format!("`{path}` from ");
    let raised_to = |line: &str| -> Option<f64> {
        let (_, raise) = line.split_once(&name)?;
        let (raise, reason) = raise.split_once(": ")?;
        let (_, to) = raise.split_once(" to ")?;
        to.parse().ok().filter(|_| !reason.trim().is_empty())
    };
    reasons.lines().filter_map(raised_to).any(|to| to >= budget)
}

/// `document` with the lines under the heading of the reasons, which is put at its end if it is not there.
#[must_use]
pub fn with_reasons(document: &str, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let heading = format!("{REASONS_HEADING}\n");
    let Some(at) = document.find(&heading) else {
        return format!("{}\n\n{heading}\n{lines}", document.trim_end());
    };
    let (before, section) = document.split_at(at + heading.len());
    let end = section.find("\n## ").unwrap_or(section.len());
    let (section, after) = section.split_at(end);
    format!("{before}{}\n{lines}{after}", section.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "subscribe";

    fn budgets(budget: f64, lowest: f64) -> Budgets {
        let paths = BTreeMap::from([(PATH.to_owned(), Budget { budget, lowest })]);
        Budgets { counted_with: "here".to_owned(), paths }
    }

    #[test]
    fn a_count_is_judged_by_its_budget() {
        let here = budgets(1000.0, 1000.0);
        let table = [
            (1009.9, Verdict::Within),
            (1010.1, Verdict::Over),
            (980.1, Verdict::Within),
            (979.9, Verdict::WellBelow),
        ];
        for (count, verdict) in table {
            assert_eq!(here.judge(PATH, count, here.tolerance("here"), ""), verdict, "{count}");
        }
        let tolerance = here.tolerance("elsewhere");
        assert_eq!(here.judge(PATH, 1049.9, tolerance, ""), Verdict::Within);
        assert_eq!(here.judge(PATH, 1050.1, tolerance, ""), Verdict::Over);
        assert_eq!(here.judge("relay-payload", 1.0, tolerance, ""), Verdict::Unrecorded);
    }

    #[test]
    fn a_budget_falls_freely_and_rises_with_a_reason() {
        let mut subject = budgets(1000.0, 900.0);
        assert_eq!(subject.update(&[(PATH, 950.0)], "here", None), Ok(vec![]));
        assert_eq!(subject, budgets(950.0, 900.0));
        assert_eq!(subject.update(&[(PATH, 850.04)], "here", None), Ok(vec![]));
        assert_eq!(subject, budgets(850.0, 850.0));
        let refused = subject.update(&[(PATH, 860.0), ("relay-payload", 7.0)], "here", None);
        assert_eq!(refused, Err(NeedsReason(vec!["subscribe from 850.0 to 860.0".to_owned()])));
        assert_eq!(subject, budgets(850.0, 850.0), "nothing changes by halves");
        let lines = subject.update(&[(PATH, 860.0)], "here", Some("it checks more")).unwrap();
        assert_eq!(lines, ["* `subscribe` from 850.0 to 860.0: it checks more"]);
        assert_eq!(subject, budgets(860.0, 850.0));
        let reasons = with_reasons("# Performance\n", &lines);
        assert_eq!(subject.judge(PATH, 860.0, 0.0, &reasons), Verdict::Within);
        assert_eq!(subject.judge(PATH, 860.0, 0.0, "# Performance\n"), Verdict::Unexplained);
        assert_eq!(
            subject.judge(PATH, 860.0, 0.0, "* `subscribe` from 850.0 to 860.0: \n"),
            Verdict::Unexplained
        );
        assert_eq!(budgets(855.0, 850.0).judge(PATH, 855.0, 0.0, &reasons), Verdict::Within);
        assert_eq!(budgets(861.0, 850.0).judge(PATH, 861.0, 0.0, &reasons), Verdict::Unexplained);
    }

    #[test]
    fn chance_changes_no_budget() {
        let mut subject = budgets(1000.0, 1000.0);
        for count in [1009.9, 990.1] {
            assert_eq!(subject.update(&[(PATH, count)], "here", None), Ok(vec![]));
            assert_eq!(subject, budgets(1000.0, 1000.0));
        }
    }

    #[test]
    fn the_reasons_have_their_place_in_the_document() {
        let line = |text: &str| vec![format!("* {text}")];
        let first = with_reasons("# Performance\n\nText.\n", &line("one"));
        assert_eq!(first, format!("# Performance\n\nText.\n\n{REASONS_HEADING}\n\n* one\n"));
        assert_eq!(with_reasons(&first, &line("two")), format!("{first}* two\n"));
        let middle = format!("# Performance\n\n{REASONS_HEADING}\n\n* one\n\n## More\n");
        let expected = format!("# Performance\n\n{REASONS_HEADING}\n\n* one\n* two\n\n## More\n");
        assert_eq!(with_reasons(&middle, &line("two")), expected);
    }

    #[test]
    fn the_file_is_read_as_it_is_written() {
        let subject = budgets(12.3, 4.5);
        assert_eq!(Budgets::parse(&subject.to_text()), Ok(subject));
        assert!(Budgets::parse("counted_with = \"\"\n[paths.x]\nbudget = 1.0\nlowest = 1.0").is_err());
    }

    #[test]
    fn every_path_has_a_budget() {
        let recorded = Budgets::parse(include_str!("../budgets.toml")).unwrap();
        for path in HOT_PATHS {
            assert!(recorded.paths.contains_key(path.name), "{}", path.name);
        }
    }
}
