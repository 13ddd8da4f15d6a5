//! How findings are shown: as lines for a person, or as lines of JSON; never with a secret.

use std::fmt::Write as _;

use super::finding::{Finding, Mark};
use crate::cli::remote::{GivenApp, count, harmless};

/// Characters of a finding's part that are shown: a page of a proxy's error says nothing more.
const SHOWN_CHARS: usize = 600;

/// A word that is as short as this is hardly a secret, and stands in texts that are none.
const SHORTEST_SECRET: usize = 6;

/// How the report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportForm {
    Plain,
    Colourful,
    Json,
}

/// Writes findings, without what nobody should read over a shoulder.
#[derive(Debug)]
pub(super) struct Report {
    form: ReportForm,
    /// What is hidden, and what stands for it. The key as well, of which the beginning is shown: whoever has confused it with
    /// the secret would have the secret on the screen.
    hidden: Vec<(String, String)>,
    /// The marks of all findings.
    marks: Vec<Mark>,
    /// Why checks were skipped, and which, in their order: for people they are one line.
    skipped: Vec<(String, Vec<String>)>,
}

impl Report {
    /// Of an examination as this app, with this token for the admin listener if there is one.
    pub(super) fn new(form: ReportForm, app: &GivenApp, token: Option<&str>) -> Self {
        let mut hidden = Vec::new();
        for (text, instead) in [
            (app.secret.text(), "[secret]".to_owned()),
            (token.unwrap_or_default(), "[token]".to_owned()),
            (app.key.as_str(), shortened(&app.key)),
        ] {
            if text.chars().count() >= SHORTEST_SECRET {
                hidden.push((text.to_owned(), instead));
            }
        }
        Report { form, hidden, marks: Vec::new(), skipped: Vec::new() }
    }

    /// What is said before all.
    pub(super) fn beginning(&self, place: &str, app: &GivenApp) -> String {
        match self.form {
            ReportForm::Json => String::new(),
            ReportForm::Plain | ReportForm::Colourful => self.shown(&format!(
                "Examining {place} as app {}, with the key {}.\n\n",
                harmless(&app.id),
                harmless(&app.key)
            )),
        }
    }

    /// The lines of a finding.
    pub(super) fn lines(&mut self, check: &str, finding: &Finding) -> String {
        self.marks.push(finding.mark);
        // What is hidden must not be cut in two before.
        let part = |text: &str| cut(&self.shown(&harmless(text)));
        let finding = Finding {
            mark: finding.mark,
            tried: part(&finding.tried),
            came: part(&finding.came),
            change: finding.change.as_deref().map(part),
        };
        if self.form == ReportForm::Json {
            return format!("{}\n", finding.to_json(check));
        }
        if finding.mark == Mark::Skipped {
            match self.skipped.iter_mut().find(|(why, _)| *why == finding.came) {
                Some((_, checks)) => checks.push(check.to_owned()),
                None => self.skipped.push((finding.came, vec![check.to_owned()])),
            }
            return String::new();
        }
        let mark = self.painted(finding.mark, &format!("{:7}", finding.mark.word()));
        let mut lines = format!("{mark}  {check:13}  {}: {}\n", finding.tried, finding.came);
        if let Some(change) = &finding.change {
            let _ = writeln!(lines, "{:24}→ {change}", "");
        }
        lines
    }

    /// What is said at the end.
    pub(super) fn end(&self) -> String {
        if self.form == ReportForm::Json {
            return String::new();
        }
        let skipped: String = self
            .skipped
            .iter()
            .map(|(why, checks)| {
                format!("{}  {}: {why}\n", self.painted(Mark::Skipped, "skipped"), checks.join(", "))
            })
            .collect();
        let number = |mark: Mark| self.marks.iter().filter(|other| **other == mark).count() as u64;
        let mut parts: Vec<String> =
            [(Mark::Fault, "fault"), (Mark::Warning, "warning"), (Mark::Note, "note")]
                .into_iter()
                .filter(|(mark, _)| number(*mark) > 0)
                .map(|(mark, word)| self.painted(mark, &count(number(mark), word)))
                .collect();
        if number(Mark::Skipped) > 0 {
            parts.push(format!("{} not tried", number(Mark::Skipped)));
        }
        if parts.is_empty() {
            return "\nAll is well.\n".to_owned();
        }
        format!("{skipped}\n{}; {} as it should be.\n", parts.join(", "), number(Mark::Ok))
    }

    fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (hidden, instead) in &self.hidden {
            text = text.replace(hidden, instead);
        }
        text
    }

    fn painted(&self, mark: Mark, text: &str) -> String {
        let colour = match mark {
            Mark::Ok => "32",
            Mark::Note => "36",
            Mark::Warning => "33",
            Mark::Fault => "1;31",
            Mark::Skipped => "2",
        };
        match self.form {
            ReportForm::Colourful => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            ReportForm::Plain | ReportForm::Json => text.to_owned(),
        }
    }
}

/// The beginning of a key, by which whoever knows it knows it again.
fn shortened(key: &str) -> String {
    format!("{}…", key.chars().take(4).collect::<String>())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> GivenApp {
        GivenApp::parse("1001:app-key:app-secret", "--app").unwrap()
    }

    #[test]
    fn findings_are_lines_with_what_to_change_below() {
        let mut report = Report::new(ReportForm::Plain, &app(), None);
        let ok = Finding::ok("h", "127.0.0.1");
        assert_eq!(report.lines("names", &ok), "ok       names          h: 127.0.0.1\n");
        let fault = Finding::fault("h:80", "refused", "start it");
        assert_eq!(
            report.lines("connect", &fault),
            "fault    connect        h:80: refused\n                        → start it\n"
        );
        for check in ["tls", "clock"] {
            assert_eq!(report.lines(check, &Finding::skipped("t", "not tried")), "");
        }
        let end = "skipped  tls, clock: not tried\n\n1 fault, 2 not tried; 1 as it should be.\n";
        assert_eq!(report.end(), end);
        let mut coloured = Report::new(ReportForm::Colourful, &app(), None);
        assert!(coloured.lines("names", &ok).starts_with("\u{1b}[32mok     \u{1b}[0m  names"));
        assert_eq!(coloured.end(), "\nAll is well.\n");
    }

    #[test]
    fn json_is_one_line_a_finding_and_nothing_else() {
        let mut report = Report::new(ReportForm::Json, &app(), None);
        let line = report.lines("connect", &Finding::fault("h:80", "refused\n", "start it"));
        let expected = serde_json::json!({
            "check": "connect", "mark": "fault", "tried": "h:80", "came": "refused\u{fffd}", "change": "start it",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected);
        assert_eq!((report.beginning("h", &app()), report.end()), (String::new(), String::new()));
    }

    #[test]
    fn nothing_shows_a_secret_not_even_where_it_was_taken_for_the_key() {
        for form in [ReportForm::Plain, ReportForm::Json] {
            for app in ["1001:the-key:the-secret", "1001:the-secret:the-key"] {
                let app = GivenApp::parse(app, "--app").unwrap();
                let mut report = Report::new(form, &app, Some("the-token"));
                let text = "app the-secret, auth the-key:0123, Bearer the-token \u{1b}[2J";
                let told = report.beginning("http://h", &app)
                    + &report.lines("x", &Finding::fault(text, text, text))
                    + &report.end();
                for hidden in ["the-secret", "the-token", "\u{1b}"] {
                    assert!(!told.contains(hidden), "{told}");
                }
            }
        }
    }

    #[test]
    fn long_answers_are_cut() {
        let mut report = Report::new(ReportForm::Plain, &app(), None);
        assert!(report.lines("x", &Finding::ok("t", "é".repeat(5000))).chars().count() < 700);
        for before in SHOWN_CHARS - 10..SHOWN_CHARS {
            let told = report.lines("x", &Finding::ok("t", format!("{}app-secret", "é".repeat(before))));
            assert!(!told.contains("app-s"), "{told}");
        }
    }
}
