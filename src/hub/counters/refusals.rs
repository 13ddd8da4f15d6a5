//! Counts refusals, by what was refused and with which code: of all apps together, because most name none.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::hub::Refused;

/// What was refused, and the close code, error code or status that told it.
pub(crate) type RefusalKind = (&'static str, u16);

/// How often each kind of refusal has happened. There are as many kinds as the broker has codes.
#[derive(Debug, Default)]
pub(in crate::hub) struct RefusalCounts(Mutex<BTreeMap<RefusalKind, u64>>);

impl RefusalCounts {
    /// One more. It is followed by a line of the log, which costs more than this lock.
    pub(in crate::hub) fn add(&self, refused: &Refused<'_>) {
        let kind = match refused {
            Refused::ClientMessage { refusal, .. } => ("message", refusal.code.code().unwrap_or(0)),
            Refused::Connection { code, .. } => ("connection", code.code()),
            Refused::Request { status, .. } => ("request", *status),
        };
        *self.0.lock().entry(kind).or_default() += 1;
    }

    /// A backend on the wire was refused with this code.
    pub(in crate::hub) fn add_backend(&self, code: u16) {
        *self.0.lock().entry(("backend", code)).or_default() += 1;
    }

    /// All kinds that have happened.
    pub(in crate::hub) fn read(&self) -> BTreeMap<RefusalKind, u64> {
        self.0.lock().clone()
    }
}
