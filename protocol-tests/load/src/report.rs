//! What is printed: a line of JSON for each run, and at the end a table of medians and ratios.

use std::fmt::{self, Write};

use crate::run::Outcome;

/// One run of one scenario against one server.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) scenario: &'static str,
    pub(crate) server: String,
    pub(crate) run: usize,
    pub(crate) result: Result<Outcome, String>,
}

impl Entry {
    pub(crate) fn failure(&self) -> Option<String> {
        match &self.result {
            Ok(outcome) if outcome.faults.total() == 0 => None,
            Ok(outcome) => Some(outcome.faults.to_string()),
            Err(words) => Some(words.clone()),
        }
    }

    /// Everything in one line.
    pub(crate) fn json(&self) -> String {
        let Entry { scenario, server, run, .. } = self;
        let mut line = format!(r#"{{"scenario":"{scenario}","server":{},"run":{run}"#, quoted(server));
        for figure in self.result.iter().flat_map(|outcome| &outcome.figures) {
            // Infinities and the like are no JSON: a figure that could not be taken is null.
            let value =
                if figure.value.is_finite() { format!("{:.3}", figure.value) } else { "null".to_owned() };
            let _ = write!(line, r#","{}":{value}"#, figure.name);
        }
        if let Some(calls) = self.result.iter().find_map(|outcome| outcome.calls.as_ref()) {
            let _ = write!(line, r#","system_calls_each":{}"#, quoted(calls));
        }
        match self.failure() {
            Some(failure) => format!(r#"{line},"failed":{}}}"#, quoted(&failure)),
            None => format!(r#"{line},"failed":false}}"#),
        }
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

/// The medians of all runs, a row for each figure; ratios are to the first server.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    pub(crate) entries: &'a [Entry],
    pub(crate) servers: &'a [String],
}

impl Table<'_> {
    /// The middle one of a figure's values, of runs that did not fail.
    fn median(&self, scenario: &str, server: &str, figure: &str) -> Option<f64> {
        let these = self.entries.iter().filter(|entry| entry.scenario == scenario && entry.server == server);
        let fine =
            these.filter(|entry| entry.failure().is_none()).filter_map(|entry| entry.result.as_ref().ok());
        let mut values: Vec<f64> = fine
            .flat_map(|outcome| &outcome.figures)
            .filter(|candidate| candidate.name == figure && candidate.value.is_finite())
            .map(|figure| figure.value)
            .collect();
        values.sort_by(f64::total_cmp);
        middle(&values)
    }

    fn rows(&self) -> Vec<(&'static str, &'static str)> {
        let mut rows = Vec::new();
        for entry in self.entries {
            for figure in entry.result.iter().flat_map(|outcome| &outcome.figures) {
                if !rows.contains(&(entry.scenario, figure.name)) {
                    rows.push((entry.scenario, figure.name));
                }
            }
        }
        rows
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![vec!["scenario".to_owned(), "figure".to_owned()]];
        let first = self.servers.first().map_or("", String::as_str);
        for (index, server) in self.servers.iter().enumerate() {
            lines[0].push(server.clone());
            if index > 0 {
                lines[0].push(format!("/ {first}"));
            }
        }
        for (scenario, figure) in self.rows() {
            let mut line = vec![scenario.to_owned(), figure.to_owned()];
            let base = self.median(scenario, first, figure);
            for (index, server) in self.servers.iter().enumerate() {
                let value = self.median(scenario, server, figure);
                line.push(value.map_or("–".to_owned(), shown));
                if index > 0 {
                    let ratio =
                        value.zip(base).filter(|(_, base)| *base > 0.0).map(|(value, base)| value / base);
                    line.push(ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")));
                }
            }
            lines.push(line);
        }
        let widths: Vec<usize> = (0..lines[0].len())
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect();
        for (index, line) in lines.iter().enumerate() {
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                match column {
                    0 | 1 => write!(f, "| {cell:<width$} ")?,
                    _ => write!(f, "| {cell:>width$} ")?,
                }
            }
            writeln!(f, "|")?;
            if index == 0 {
                for (column, width) in widths.iter().enumerate() {
                    write!(f, "|{}{}", "-".repeat(width + 1), if column < 2 { "-" } else { ":" })?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// The median of values in their order; none if there are none.
pub(crate) fn middle(values: &[f64]) -> Option<f64> {
    let (low, high) = (values.get(values.len().saturating_sub(1) / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

/// Three digits that matter.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Faults;

    fn entry(server: &str, value: f64, faults: Faults) -> Entry {
        let mut outcome = Outcome { faults, ..Outcome::default() };
        outcome.add("cpu_us", value);
        Entry { scenario: "s", server: server.to_owned(), run: 1, result: Ok(outcome) }
    }

    #[test]
    fn medians_leave_failed_runs_out_and_ratios_are_to_the_first() {
        let fine = Faults::default();
        let lossy = Faults { lost: 1, ..Faults::default() };
        let entries = [
            entry("a", 2.0, fine.clone()),
            entry("a", 9.0, fine.clone()),
            entry("a", 1.0, fine.clone()),
            entry("b", 3.0, fine),
            entry("b", 100.0, lossy),
        ];
        let servers = ["a".to_owned(), "b".to_owned()];
        let table = Table { entries: &entries, servers: &servers }.to_string();
        let last: Vec<&str> = table.lines().last().unwrap().split('|').map(str::trim).collect();
        assert_eq!(last, ["", "s", "cpu_us", "2.00", "3.00", "1.50", ""]);
    }

    #[test]
    fn a_line_is_json_whatever_went_wrong() {
        let lossy = Faults { lost: 2, example: Some("a \"quote\"\n".to_owned()), ..Faults::default() };
        assert_eq!(
            entry("a", f64::NAN, lossy).json(),
            r#"{"scenario":"s","server":"a","run":1,"cpu_us":null,"failed":"2 lost (first: a \"quote\"\u000a)"}"#
        );
    }
}
