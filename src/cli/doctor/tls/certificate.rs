//! What a server's certificate is worth: its dates, its names, and who vouches for it, each by itself.

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error as TlsFault};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::trust::SeenCertificates;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// How long before the end it is worth a warning. Whoever renews by a timer has done so long before.
const WARNED_DAYS: i64 = 14;

/// Names that are shown of a certificate.
const SHOWN_NAMES: usize = 6;

/// What a certificate says of itself.
struct CertificateFacts {
    names: Vec<String>,
    not_before: i64,
    not_after: i64,
    issuer: String,
    signs_itself: bool,
}

impl CertificateFacts {
    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(certificate).ok()?;
        let alternatives = read.subject_alternative_name().ok().flatten();
        let names = alternatives.into_iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        });
        Some(CertificateFacts {
            names: names.collect(),
            not_before: read.validity().not_before.timestamp(),
            not_after: read.validity().not_after.timestamp(),
            issuer: read.issuer().to_string(),
            signs_itself: read.issuer() == read.subject(),
        })
    }

    fn shown_names(&self) -> String {
        let rest = self.names.len().saturating_sub(SHOWN_NAMES);
        let shown = self.names.iter().take(SHOWN_NAMES).cloned().collect::<Vec<_>>().join(", ");
        match rest {
            _ if self.names.is_empty() => "no name at all".to_owned(),
            0 => shown,
            rest => format!("{shown} and {rest} more"),
        }
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|six| std::net::Ipv6Addr::from(six).to_string())
}

/// What is to be said of a server's certificates: one finding if all is well, otherwise one for each thing that is not.
pub(super) fn judge_certificates(host: &str, seen: &SeenCertificates, now: u64) -> Vec<Finding> {
    let tried = || format!("TLS with {host}");
    let Some(facts) = CertificateFacts::read(&seen.own) else {
        return vec![Finding::fault(tried(), "its certificate cannot be read", "replace it by a sound one")];
    };
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut findings: Vec<Finding> =
        [judge_dates(&facts, now), judge_names(host, &facts, &seen.own), judge_chain(&facts, seen, now)]
            .into_iter()
            .flatten()
            .map(|(is_fault, came, change)| {
                if is_fault {
                    Finding::fault(tried(), came, change)
                } else {
                    Finding::warning(tried(), came, change)
                }
            })
            .collect();
    if findings.is_empty() {
        let days = (facts.not_after - now) / DAY_SECONDS;
        let (names, until) = (facts.shown_names(), date(facts.not_after));
        let came = format!("its certificate is for {names}, and valid for {days} more days, until {until}");
        findings.push(Finding::ok(tried(), came));
    }
    findings
}

/// Whether it is a fault, what came, and what to change.
type CertificateFault = (bool, String, String);

fn judge_dates(facts: &CertificateFacts, now: i64) -> Option<CertificateFault> {
    let renew =
        "renew it, and have whatever serves it read it again (nginx -s reload; heliostat does so by itself)";
    let left = facts.not_after - now;
    if left < 0 {
        let days = -left / DAY_SECONDS;
        let until = date(facts.not_after);
        let came =
            format!("its certificate has expired {days} days ago, on {until}: no client connects any more");
        return Some((true, came, renew.to_owned()));
    }
    if facts.not_before > now {
        let came = format!("its certificate is valid only from {}", date(facts.not_before));
        let change =
            "see whether the clock of this machine is right; otherwise wait until then, or use another one";
        return Some((true, came, change.to_owned()));
    }
    if left < WARNED_DAYS * DAY_SECONDS {
        let (days, until) = (left / DAY_SECONDS, date(facts.not_after));
        let came = format!("its certificate expires in {days} days, on {until}");
        return Some((false, came, format!("{renew}; what should have renewed it by now has not")));
    }
    None
}

fn judge_names(host: &str, facts: &CertificateFacts, own: &CertificateDer<'_>) -> Option<CertificateFault> {
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let parsed = ParsedCertificate::try_from(own).ok()?;
    if verify_server_name(&parsed, &name).is_ok() {
        return None;
    }
    let names = facts.shown_names();
    let change = format!(
        "get a certificate that names {host}, or connect by a name that it has; of several sites of a proxy, see that the one \
         for {host} is asked (server_name)"
    );
    Some((true, format!("its certificate is not for {host} but for {names}"), change))
}

fn judge_chain(facts: &CertificateFacts, seen: &SeenCertificates, now: i64) -> Option<CertificateFault> {
    let Err(fault) = &seen.verdict else { return None };
    let issuer = &facts.issuer;
    match fault {
        // Told of its names, as the dates of its own are told of those.
        TlsFault::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => None,
        TlsFault::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => (facts.not_before..=facts.not_after).contains(&now).then(|| {
            let came =
                "one of the certificates between its own and a known authority is out of date".to_owned();
            (true, came, "serve the chain that the authority hands out now (fullchain.pem)".to_owned())
        }),
        TlsFault::InvalidCertificate(CertificateError::Other(other)) if is_of_authority(other) => {
            let change = "many clients refuse it whoever vouches for it: make one with CA:FALSE for the server (openssl req -x509 \
                          makes authorities unless told otherwise), or get one of a public authority";
            let by_itself = if facts.signs_itself { ", and signed by itself alone" } else { "" };
            let came =
                format!("its certificate is that of an authority (CA:TRUE), not of a server{by_itself}");
            Some((true, came, change.to_owned()))
        }
        TlsFault::InvalidCertificate(CertificateError::UnknownIssuer) if facts.signs_itself => {
            let change = "clients refuse it: get a certificate of a public authority (Let's Encrypt), or have every client \
                          trust this one, and name its file here by --ca-file";
            Some((true, "its certificate is signed by itself alone".to_owned(), change.to_owned()))
        }
        TlsFault::InvalidCertificate(CertificateError::UnknownIssuer) if seen.others.is_empty() => {
            let came =
                format!("it sends its own certificate alone, without the one of its issuer ({issuer})");
            let change = "serve the whole chain (fullchain.pem in place of cert.pem): browsers that have met the issuer \
                          elsewhere hide this, and backends, phones and curl refuse it; if it is an authority of your own, name \
                          its file here by --ca-file";
            Some((true, came, change.to_owned()))
        }
        TlsFault::InvalidCertificate(CertificateError::UnknownIssuer) => {
            let came = format!("its certificate is of an authority that is not publicly trusted ({issuer})");
            let change = "if it is one of your own, have every client trust it, and name its file here by --ca-file; if not, \
                          somebody may be between";
            Some((true, came, change.to_owned()))
        }
        other => {
            let change = "get another certificate, of a public authority".to_owned();
            Some((true, format!("its certificate is refused: {other}"), change))
        }
    }
}

/// Whether the certificate may vouch for others, and is none of a server.
fn is_of_authority(error: &rustls::OtherError) -> bool {
    format!("{error:?}").contains("CaUsedAsEndEntity")
}

/// A day, of seconds since 1970.
fn date(seconds: i64) -> String {
    ASN1Time::from_timestamp(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair, date_time_ymd};

    use super::*;
    use crate::cli::doctor::finding::Mark;

    /// 2026-06-01.
    const NOW: u64 = 1_780_272_000;

    /// A certificate for this name until this year's first of July, signed by itself or by an authority.
    fn certificate(name: &str, until: i32, by_authority: bool) -> CertificateDer<'static> {
        let params = |name: &str| {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(until, 7, 1);
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let key = KeyPair::generate().unwrap();
        if by_authority {
            let issuer = Issuer::new(params("authority.test"), KeyPair::generate().unwrap());
            return params(name).signed_by(&key, &issuer).unwrap().der().clone();
        }
        params(name).self_signed(&key).unwrap().der().clone()
    }

    fn judged(
        own: CertificateDer<'static>,
        others: usize,
        verdict: Result<(), CertificateError>,
    ) -> Vec<Finding> {
        let others = vec![own.clone(); others];
        let verdict = verdict.map_err(TlsFault::InvalidCertificate);
        judge_certificates("h.test", &SeenCertificates { own, others, verdict }, NOW)
    }

    #[test]
    fn a_sound_certificate_is_told_with_its_names_and_its_end() {
        let found = judged(certificate("h.test", 2027, true), 1, Ok(()));
        assert_eq!((found.len(), found[0].mark), (1, Mark::Ok));
        assert!(found[0].came.contains("for h.test, and valid for 395 more days"), "{:?}", found[0]);
    }

    #[test]
    fn each_thing_that_is_wrong_is_told_by_itself() {
        let unknown = Err(CertificateError::UnknownIssuer);
        let came =
            |found: Vec<Finding>| found.into_iter().map(|one| (one.mark, one.came)).collect::<Vec<_>>();
        let all = came(judged(certificate("other.test", 2021, false), 0, unknown.clone()));
        for ((mark, came), word) in all.iter().zip([
            "has expired 1796 days ago",
            "not for h.test but for other.test",
            "signed by itself alone",
        ]) {
            assert!(*mark == Mark::Fault && came.contains(word), "{came}");
        }
        assert_eq!(all.len(), 3);
        let alone = came(judged(certificate("h.test", 2027, true), 0, unknown.clone()));
        assert!(alone[0].1.contains("its own certificate alone") && alone.len() == 1, "{alone:?}");
        let private = came(judged(certificate("h.test", 2027, true), 1, unknown));
        assert!(private[0].1.contains("not publicly trusted") && private.len() == 1, "{private:?}");
        let between = came(judged(certificate("h.test", 2027, true), 1, Err(CertificateError::Expired)));
        assert!(between[0].1.contains("between its own and a known authority"), "{between:?}");
    }

    #[test]
    fn what_ends_soon_is_warned_of() {
        let own = certificate("h.test", 2026, true);
        let week_before = 1_782_864_000 - 7 * 24 * 60 * 60;
        let seen = SeenCertificates { own, others: Vec::new(), verdict: Ok(()) };
        let found = judge_certificates("h.test", &seen, week_before);
        assert!(found[0].mark == Mark::Warning && found[0].came.contains("expires in 7 days"), "{found:?}");
    }
}
