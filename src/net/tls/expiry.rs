//! Warns of certificates that have expired, or soon will.

use std::fmt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::warn;
use x509_parser::time::ASN1Time;

use super::pair::{LoadedPair, PairFiles};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// How long before the end the warnings begin. Whoever renews by a timer has done so long before.
const WARNED_DAYS: i64 = 14;

/// A certificate that has expired, or soon will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExpiryWarning {
    certificate: PathBuf,
    names: String,
    not_after: i64,
    /// Whole days that are left; none of one that has expired.
    days: Option<i64>,
}

/// What there is to say of the end of this certificate, if anything.
pub(super) fn warning(files: &PairFiles, loaded: &LoadedPair, now: SystemTime) -> Option<ExpiryWarning> {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let left = loaded.not_after.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX));
    (left < WARNED_DAYS * DAY_SECONDS).then(|| ExpiryWarning {
        certificate: files.certificate.path.clone(),
        names: loaded.names.join(", "),
        not_after: loaded.not_after,
        days: (left >= 0).then_some(left / DAY_SECONDS),
    })
}

/// A moment in words, of seconds since 1970.
pub(super) fn date(seconds: i64) -> String {
    ASN1Time::from_timestamp(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

impl ExpiryWarning {
    pub(super) fn log(&self) {
        let (certificate, names) = (self.certificate.display(), &self.names);
        let until = date(self.not_after);
        match self.days {
            Some(days) => warn!(%certificate, names, until, days, "a certificate expires soon: renew it"),
            None => {
                warn!(%certificate, names, until, "a certificate has expired, and clients refuse it: renew it")
            }
        }
    }
}

impl fmt::Display for ExpiryWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (certificate, names, until) = (self.certificate.display(), &self.names, date(self.not_after));
        match self.days {
            Some(days) => {
                write!(
                    f,
                    "the certificate {certificate} for {names} expires in {days} days ({until}): renew it"
                )
            }
            None => write!(
                f,
                "the certificate {certificate} for {names} has expired ({until}), and clients refuse it: renew it"
            ),
        }
    }
}
