//! What a check found: what was tried, what came, what to change.

use serde_json::{Value as Json, json};

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// As it should be.
    Ok,
    /// Nothing is wrong, but somebody may be surprised by it.
    Note,
    /// It works, and may not for everybody, or not for long.
    Warning,
    /// It does not work.
    Fault,
    /// It was not tried, for it needs what does not work.
    Skipped,
}

impl Mark {
    /// Its word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Mark::Ok => "ok",
            Mark::Note => "note",
            Mark::Warning => "warning",
            Mark::Fault => "fault",
            Mark::Skipped => "skipped",
        }
    }
}

/// One line of the report. Texts of others are in it as they came: whoever shows it makes them harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) mark: Mark,
    /// What was tried, as the beginning of a sentence: "a WebSocket at wss://example.com/app/key".
    pub(super) tried: String,
    /// What came, as the rest of it: "101 Switching Protocols, in 12 ms".
    pub(super) came: String,
    /// What to change, as a sentence that tells somebody to do something; none where nothing is to be done.
    pub(super) change: Option<String>,
}

impl Finding {
    pub(super) fn ok(tried: impl Into<String>, came: impl Into<String>) -> Self {
        Finding { mark: Mark::Ok, tried: tried.into(), came: came.into(), change: None }
    }

    pub(super) fn note(tried: impl Into<String>, came: impl Into<String>, change: impl Into<String>) -> Self {
        Finding { mark: Mark::Note, tried: tried.into(), came: came.into(), change: Some(change.into()) }
    }

    pub(super) fn warning(
        tried: impl Into<String>,
        came: impl Into<String>,
        change: impl Into<String>,
    ) -> Self {
        Finding { mark: Mark::Warning, ..Self::note(tried, came, change) }
    }

    pub(super) fn fault(
        tried: impl Into<String>,
        came: impl Into<String>,
        change: impl Into<String>,
    ) -> Self {
        Finding { mark: Mark::Fault, ..Self::note(tried, came, change) }
    }

    pub(super) fn skipped(tried: impl Into<String>, why: impl Into<String>) -> Self {
        Finding { mark: Mark::Skipped, tried: tried.into(), came: why.into(), change: None }
    }

    /// As a line of JSON has it.
    pub(super) fn to_json(&self, check: &str) -> Json {
        let Finding { mark, tried, came, change } = self;
        json!({ "check": check, "mark": mark.word(), "tried": tried, "came": came, "change": change })
    }
}

/// What a check found, and whether those that need it make sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckOutcome {
    pub(super) findings: Vec<Finding>,
    /// Whether what it looked at works well enough for others to build on.
    pub(super) holds: bool,
}

impl CheckOutcome {
    /// These, on which others can build whatever their marks are.
    pub(super) fn holding(findings: Vec<Finding>) -> Self {
        CheckOutcome { findings, holds: true }
    }

    /// These, with which nothing that needs the check makes sense.
    pub(super) fn broken(findings: Vec<Finding>) -> Self {
        CheckOutcome { findings, holds: false }
    }
}

/// Others can build on it unless it is a fault.
impl From<Finding> for CheckOutcome {
    fn from(finding: Finding) -> Self {
        CheckOutcome { holds: finding.mark != Mark::Fault, findings: vec![finding] }
    }
}
