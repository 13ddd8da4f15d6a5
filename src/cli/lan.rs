//! `--lan`: development mode for a phone. It listens on all addresses, over HTTPS with a certificate of its own making, and shows
//! where as a code that a camera reads.

use std::ffi::OsString;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use qrcode::{Color, EcLevel, QrCode};

use crate::config::{DEVELOPMENT, Flags, HOST, LAN};
use crate::development;
use crate::hub::unix_ms;
use crate::net::tls::{SelfMadeCertificate, self_made};

/// Modules around a code that are left bright.
const QUIET: usize = 2;

/// What there is of it, once it is prepared.
#[derive(Debug)]
pub(super) struct Lan {
    pub(super) certificate: SelfMadeCertificate,
}

/// Makes sure of the certificate, if it was asked for. The flags that it returns name it.
pub(super) fn prepare(mut flags: Flags) -> Result<(Flags, Option<Lan>), String> {
    if flags.value(LAN).is_none() {
        return Ok((flags, None));
    }
    if !flags.development {
        return Err(format!("{LAN} is for development mode alone: expected {DEVELOPMENT} as well"));
    }
    let folder = data_folder(|name| std::env::var_os(name))?;
    let addresses = addresses_for(flags.value(HOST).and_then(|host| host.parse().ok()));
    let certificate = self_made(&folder.join("lan.pem"), &addresses, unix_ms() / 1000);
    let certificate = certificate.map_err(|error| format!("{LAN}: {error}"))?;
    let Some(path) = certificate.path.to_str() else {
        return Err(format!("{LAN}: expected a path in UTF-8, got {}", certificate.path.display()));
    };
    flags.values.insert(LAN, path.to_owned());
    Ok((flags, Some(Lan { certificate })))
}

/// What a certificate has to be for, whatever the broker listens on: the addresses of this machine, and the one that is named.
fn addresses_for(named: Option<IpAddr>) -> Vec<IpAddr> {
    let mut addresses = development::reachable(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let is_more =
        |named: &IpAddr| !named.is_unspecified() && !named.is_loopback() && !addresses.contains(named);
    let named = named.filter(is_more);
    addresses.extend(named);
    addresses
}

/// The folder in which the broker keeps what it has made for whoever runs it.
fn data_folder(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, String> {
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    let data = data.ok_or_else(|| {
        format!("{LAN} keeps its certificate below XDG_DATA_HOME or HOME: expected the path of a folder in one of them")
    })?;
    Ok(data.join("heliostat"))
}

impl Lan {
    /// What the broker prints of it, where it listens at `url` and is reached at these addresses; with a code for the first on a
    /// terminal.
    pub(super) fn lines(&self, url: &str, reachable: &[IpAddr], is_terminal: bool) -> String {
        let mut text = String::from("\nFor a phone on this network:\n");
        let pages = reachable.iter().filter_map(|address| {
            let mut url = url::Url::parse(url).ok()?;
            url.set_ip_host(*address).ok()?;
            url.set_path("/stream");
            Some(url.to_string())
        });
        let pages: Vec<String> = pages.collect();
        for page in &pages {
            let _ = writeln!(text, "  {page}");
        }
        match pages.first() {
            Some(page) if is_terminal => text.extend(code(page)),
            Some(_) => {}
            None => text.push_str("  no address was found by which it can reach this machine\n"),
        }
        let SelfMadeCertificate { path, fingerprint, is_new } = &self.certificate;
        let warns = if *is_new { "warns of it once" } else { "has warned of it before" };
        let _ = write!(
            text,
            "The certificate is this broker's own, in {}; a browser {warns}. Its SHA-256 is\n  {fingerprint}\n\
             Everybody on this network may do all that is listed above, and have anything signed:\n\
             use {LAN} only where you trust all of them, and not for longer than you need it.\n",
            path.display(),
        );
        text
    }
}

/// The code of a text, two modules in each character, in black on white whatever the terminal's colours are.
fn code(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let is_dark = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < width);
        matches!((inside(x), inside(y)), (Some(x), Some(y)) if code[(x, y)] == Color::Dark)
    };
    let mut lines = String::from("\n");
    for y in (0..width + 2 * QUIET).step_by(2) {
        lines.push_str("  \x1b[30;107m");
        lines.extend((0..width + 2 * QUIET).map(|x| match (is_dark(x, y), is_dark(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        lines.push_str("\x1b[0m\n");
    }
    lines.push('\n');
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_kept_below_the_users_data() {
        let of = |set: &'static [(&str, &str)]| {
            data_folder(move |name| set.iter().find(|(set, _)| *set == name).map(|(_, value)| value.into()))
        };
        assert_eq!(of(&[("XDG_DATA_HOME", "/d"), ("HOME", "/h")]).unwrap(), PathBuf::from("/d/heliostat"));
        let home = PathBuf::from("/h/.local/share/heliostat");
        assert_eq!(of(&[("XDG_DATA_HOME", ""), ("HOME", "/h")]).unwrap(), home);
        assert!(of(&[("HOME", "relative")]).unwrap_err().contains("XDG_DATA_HOME or HOME"));
    }

    #[test]
    fn it_is_for_development_mode_alone() {
        let (flags, lan) = prepare(Flags::default()).unwrap();
        assert!(lan.is_none() && flags == Flags::default());
        let mut flags = Flags::default();
        flags.values.insert(LAN, String::new());
        let refused = prepare(flags).unwrap_err();
        assert_eq!(refused, "--lan is for development mode alone: expected --development as well");
    }

    #[test]
    fn a_phone_is_told_where_and_what_to_beware_of() {
        let certificate = SelfMadeCertificate {
            path: "/d/heliostat/lan.pem".into(),
            fingerprint: "AB:CD".to_owned(),
            is_new: true,
        };
        let lan = Lan { certificate };
        let reachable = ["192.168.1.20".parse().unwrap()];
        let text = lan.lines("https://0.0.0.0:6001", &reachable, false);
        for words in [
            "  https://192.168.1.20:6001/stream\n",
            "in /d/heliostat/lan.pem; a browser warns of it once. Its SHA-256 is\n  AB:CD\n",
            "have anything signed",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains('█'));
        let shown = lan.lines("https://0.0.0.0:6001", &reachable, true);
        let rows: Vec<&str> = shown.lines().filter(|line| line.contains("\x1b[30;107m")).collect();
        // A code of this length has 29 modules each way.
        assert_eq!(rows.len(), (29 + 2 * QUIET).div_ceil(2), "{shown}");
        assert!(rows.iter().all(|row| row.ends_with("\x1b[0m")), "{shown}");
        let here = lan.lines("https://127.0.0.1:6001", &[], true);
        assert!(here.contains("no address was found") && !here.contains('█'), "{here}");
        let of_ipv6 = lan.lines("https://[::]:6001", &["fd00::5".parse().unwrap()], false);
        assert!(of_ipv6.contains("  https://[fd00::5]:6001/stream\n"), "{of_ipv6}");
    }

    #[test]
    fn a_certificate_is_for_the_address_that_was_named() {
        let named = "2001:db8::7".parse().unwrap();
        assert!(addresses_for(Some(named)).contains(&named));
        for known in ["::", "0.0.0.0", "127.0.0.1", "::1"].map(|known| known.parse().unwrap()) {
            assert!(!addresses_for(Some(known)).contains(&known), "{known}");
        }
    }
}
