//! A certificate that the broker makes for itself, for the addresses that this machine has: browsers lend the camera to HTTPS
//! pages alone, and nobody signs certificates for addresses of a private network. It is kept with its key in one file, and made
//! anew when it runs out or an address is not in it: whoever has accepted it need not do so again before.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::time::ASN1Time;

use crate::files::{self, NotRead, OWNER_ONLY, read_whole};

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Longer ones are refused by Apple's systems.
const VALID_SECONDS: u64 = 397 * DAY_SECONDS;

/// One that is not valid for so long any more is made anew.
const RENEWED_SECONDS: u64 = 30 * DAY_SECONDS;

/// How long is waited for another broker that makes one, whose disk may be slow.
const TURN_PATIENCE: Duration = Duration::from_secs(10);

/// Addresses of it: those of now, and of the networks where the machine was before.
const MOST_ADDRESSES: usize = 16;

/// Bytes of the file.
const FILE_BYTES: u64 = 64 * 1024;

/// How the first line of the file begins. It is before the certificate, where readers of those pass over it.
const HEAD: &str = "heliostat's own certificate: ";

/// Names that are in it besides.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SelfMadeCertificate {
    /// The file of the certificate and its key.
    pub(crate) path: PathBuf,
    /// The SHA-256 of it, as browsers show it.
    pub(crate) fingerprint: String,
    /// It was made just now: nobody has accepted it yet.
    pub(crate) is_new: bool,
}

/// There is none, and none can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelfMadeError {
    /// The folder or the file.
    #[error("cannot keep a certificate in {}: {error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The library refused.
    #[error("cannot make a certificate: {0}")]
    Made(String),
}

/// What the first line tells.
#[derive(Debug, PartialEq, Eq)]
struct CertificateHead {
    /// Seconds since 1970.
    until: u64,
    fingerprint: String,
    addresses: Vec<IpAddr>,
}

impl CertificateHead {
    fn line(&self) -> String {
        let mut line = format!("{HEAD}until={} sha256={} addresses=", self.until, self.fingerprint);
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        line.push_str(&addresses.join(","));
        line
    }

    /// The certificate that it stands before, in this file.
    fn certificate(&self, path: &Path, is_new: bool) -> SelfMadeCertificate {
        SelfMadeCertificate { path: path.to_owned(), fingerprint: self.fingerprint.clone(), is_new }
    }

    /// Whether that certificate and a key are behind it.
    fn is_whole(&self, text: &[u8]) -> bool {
        let certificate = CertificateDer::from_pem_slice(text);
        certificate.is_ok_and(|certificate| fingerprint(&certificate) == self.fingerprint)
            && PrivateKeyDer::from_pem_slice(text).is_ok()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix(HEAD)?.split(' ');
        let mut part = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
        let until = part("until")?.parse().ok()?;
        let fingerprint = part("sha256")?.to_owned();
        let listed = part("addresses")?.split(',').filter(|address| !address.is_empty());
        let addresses = listed.map(|address| address.parse().ok()).collect::<Option<_>>()?;
        Some(CertificateHead { until, fingerprint, addresses })
    }
}

/// The certificate in this file, for these addresses; it is made where there is none that will do. `now` is in seconds since
/// 1970.
///
/// # Errors
/// If it cannot be made or kept.
pub(crate) fn self_made(
    path: &Path,
    addresses: &[IpAddr],
    now: u64,
) -> Result<SelfMadeCertificate, SelfMadeError> {
    let failed = |error| SelfMadeError::Io { path: path.to_owned(), error };
    let will_do = |head: &CertificateHead| {
        head.until >= now + RENEWED_SECONDS
            && addresses.iter().all(|address| head.addresses.contains(address))
    };
    // What will do is not written to, also where nobody could.
    if let Some(head) = kept(path).map_err(failed)?.filter(will_do) {
        return Ok(head.certificate(path, false));
    }
    let folder = files::folder_of(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    // Of several brokers that start at once one makes it, and the others find it.
    let _turn = files::turn_in(folder, TURN_PATIENCE);
    let kept = kept(path).map_err(failed)?;
    if let Some(head) = kept.as_ref().filter(|head| will_do(head)) {
        return Ok(head.certificate(path, false));
    }
    let before = kept.into_iter().flat_map(|head| head.addresses);
    let mut all = addresses.to_vec();
    all.extend(before.filter(|address| !addresses.contains(address)));
    all.truncate(MOST_ADDRESSES);
    let (text, head) = made(&all, now).map_err(SelfMadeError::Made)?;
    files::replace(path, text.as_bytes(), OWNER_ONLY, |_| Ok(())).map_err(failed)?;
    Ok(head.certificate(path, true))
}

/// What is kept, if it is ours and whole, and nobody else can read it.
fn kept(path: &Path) -> io::Result<Option<CertificateHead>> {
    // Somebody's own: it is not for us to replace.
    let other = || io::Error::other("there is something else in it");
    let text = match read_whole(path, FILE_BYTES) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(NotRead::TooLarge) => return Err(other()),
        Err(NotRead::NotAFile) => return Err(io::Error::other("it is no file")),
        Err(NotRead::Failed(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(NotRead::Failed(error)) => return Err(error),
    };
    let is_secret = fs::metadata(path)?.permissions().mode() & 0o077 == 0;
    let head = text.lines().next().and_then(CertificateHead::parse);
    if head.is_none() && !text.is_empty() {
        return Err(other());
    }
    Ok(head.filter(|head| is_secret && head.is_whole(text.as_bytes())))
}

/// The text of the file, and its first line.
fn made(addresses: &[IpAddr], now: u64) -> Result<(String, CertificateHead), String> {
    let until = now + VALID_SECONDS;
    let of_seconds = |seconds: u64| {
        let seconds = i64::try_from(seconds).map_err(|error| error.to_string())?;
        ASN1Time::from_timestamp(seconds).map(|time| time.to_datetime()).map_err(|error| error.to_string())
    };
    let names = NAMES.iter().map(ToString::to_string);
    let names: Vec<String> = names.chain(addresses.iter().map(IpAddr::to_string)).collect();
    let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
    // Clocks of phones may be behind.
    params.not_before = of_seconds(now.saturating_sub(DAY_SECONDS))?;
    params.not_after = of_seconds(until)?;
    params.distinguished_name.push(DnType::CommonName, "heliostat on this network");
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    let fingerprint = fingerprint(certificate.der());
    let head = CertificateHead { until, fingerprint, addresses: addresses.to_vec() };
    let mut text = head.line();
    text.push('\n');
    push_pem("CERTIFICATE", certificate.der(), &mut text);
    push_pem("PRIVATE KEY", &key.serialize_der(), &mut text);
    Ok((text, head))
}

fn push_pem(kind: &str, der: &[u8], text: &mut String) {
    let _ = writeln!(text, "-----BEGIN {kind}-----");
    let base64 = STANDARD.encode(der);
    for line in base64.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    let _ = writeln!(text, "-----END {kind}-----");
}

/// The SHA-256 in pairs of digits, with colons between them.
fn fingerprint(der: &[u8]) -> String {
    let pairs: Vec<String> = Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A folder of a test's own, which goes with it.
    struct CertificateFolder(PathBuf);

    impl CertificateFolder {
        fn new(name: &str) -> Self {
            let name = format!("heliostat-self-made-{}-{name}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&folder);
            CertificateFolder(folder)
        }

        /// A place in it, in a folder that is not there yet.
        fn path(&self) -> PathBuf {
            self.0.join("data").join("lan.pem")
        }
    }

    impl Drop for CertificateFolder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn it_is_remembered_until_it_runs_out_or_the_machine_is_elsewhere() {
        let folder = CertificateFolder::new("kept");
        let path = folder.path();
        let (home, work) = (address("192.168.1.20"), address("10.0.0.5"));
        let first = self_made(&path, &[home], NOW).unwrap();
        assert!(first.is_new && first.fingerprint.len() == 32 * 3 - 1, "{first:?}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = self_made(&path, &[home], NOW + 10).unwrap();
        assert_eq!(again, SelfMadeCertificate { is_new: false, ..first.clone() });
        assert!(!self_made(&path, &[], NOW).unwrap().is_new, "without a network it is the same");
        let elsewhere = self_made(&path, &[work], NOW).unwrap();
        assert!(elsewhere.is_new && elsewhere.fingerprint != first.fingerprint);
        assert!(!self_made(&path, &[home], NOW).unwrap().is_new, "where it was before it is known");
        let late = NOW + VALID_SECONDS - RENEWED_SECONDS;
        assert!(!self_made(&path, &[home, work], late).unwrap().is_new);
        assert!(self_made(&path, &[home, work], late + 1).unwrap().is_new);
    }

    #[test]
    fn what_others_can_read_is_made_anew_and_what_is_not_ours_is_left() {
        let folder = CertificateFolder::new("foreign");
        let path = folder.path();
        let first = self_made(&path, &[], NOW).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let second = self_made(&path, &[], NOW).unwrap();
        assert!(second.is_new && second.fingerprint != first.fingerprint);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(self_made(&path, &[], NOW).unwrap().is_new, "half of one is none");
        let key = text.find("-----BEGIN PRIVATE").unwrap();
        fs::write(&path, &text[..key]).unwrap();
        assert!(self_made(&path, &[], NOW).unwrap().is_new, "nor is one without a key");
        let too_long = vec![b'x'; FILE_BYTES as usize + 1];
        for other in [&b"my notes"[..], &[0xff, 0xfe], &too_long] {
            fs::write(&path, other).unwrap();
            let refused = self_made(&path, &[], NOW).unwrap_err().to_string();
            assert!(refused.ends_with("lan.pem: there is something else in it"), "{refused}");
            assert_eq!(fs::read(&path).unwrap(), other, "it is left");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(self_made(&path, &[], NOW).unwrap_err().to_string().contains("it is no file"));
        let nowhere = Path::new("/proc/nowhere/lan.pem");
        assert!(
            self_made(nowhere, &[], NOW).unwrap_err().to_string().starts_with("cannot keep a certificate in")
        );
    }

    #[test]
    fn of_several_brokers_that_start_at_once_one_makes_it() {
        let folder = CertificateFolder::new("together");
        let path = folder.path();
        let made: Vec<SelfMadeCertificate> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| self_made(&path, &[], NOW).unwrap())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| made.is_new).count(), 1, "{made:?}");
        assert!(made.iter().all(|other| other.fingerprint == made[0].fingerprint), "{made:?}");
    }

    #[test]
    fn it_is_for_the_addresses_and_valid_as_long_as_it_may_be() {
        let (text, shown) = made(&[address("192.168.1.20"), address("2001:db8::1")], NOW).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes()).unwrap();
        assert_eq!(fingerprint(&pem.contents), shown.fingerprint);
        let certificate = pem.parse_x509().unwrap();
        let validity = certificate.validity();
        assert_eq!(validity.not_after.timestamp(), (NOW + VALID_SECONDS) as i64);
        assert!(validity.not_before.timestamp() < NOW as i64);
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 5, "{:?}", names.value.general_names);
    }

    #[test]
    fn the_first_line_is_read_as_it_was_written() {
        let addresses = vec![address("192.168.1.20"), address("::2")];
        let head = CertificateHead { until: 7, fingerprint: "AB:CD".to_owned(), addresses };
        assert_eq!(CertificateHead::parse(&head.line()), Some(head));
        let empty = CertificateHead { until: 7, fingerprint: "AB".to_owned(), addresses: Vec::new() };
        assert_eq!(CertificateHead::parse(&empty.line()), Some(empty));
        for line in ["", HEAD, "heliostat's own certificate: until=x sha256=A addresses="] {
            assert_eq!(CertificateHead::parse(line), None, "{line}");
        }
    }
}
