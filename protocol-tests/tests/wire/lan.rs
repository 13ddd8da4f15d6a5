//! Development mode for phones: on all addresses, over HTTPS, with a certificate of the broker's own making.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use heliostat_protocol_tests::{Target, unique};

/// What curl, which trusts this certificate alone, is answered: the status, and the body.
fn curl(port: u16, trusted: &Path, path: &str, more: &[&str]) -> (String, String) {
    let url = format!("https://localhost:{port}{path}");
    let output = Command::new("curl")
        .args(["-sS", "-w", "\n%{http_code}", "--resolve", &format!("localhost:{port}:127.0.0.1")])
        .arg("--cacert")
        .arg(trusted)
        .args(more)
        .arg(url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// The pages come over a certificate that is kept from start to start, the endpoints that sign answer no page of another site,
/// and whoever starts it is told who can reach it.
///
/// Proves: pages.
#[test]
fn a_phone_is_served_with_a_certificate_that_is_remembered() {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("lan-"));
    let variables = [("XDG_DATA_HOME", data.to_str().unwrap())];
    let kept = data.join("heliostat/lan.pem");
    let mut before = None;
    for warns in ["warns of it once", "has warned of it before"] {
        let Some(target) = Target::own_with(None, &["--development", "--lan"], &variables) else { return };
        let broker = target.broker().unwrap();
        assert!(broker.ready_line().contains("https://0.0.0.0:"), "{}", broker.ready_line());
        let _line = broker.await_line(warns);
        let _line = broker.await_line("Everybody on this network may do all that is listed above");
        let certificate = std::fs::read(&kept).unwrap();
        assert!(before.is_none_or(|before| before == certificate), "it is the same");
        before = Some(certificate);
        assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        let get = |path, more: &[&str]| curl(target.port, &kept, path, more);
        let (status, page) = get("/stream", &[]);
        assert!(status == "200" && page.contains("<html"), "{status} {page}");
        let own = format!("Origin: https://localhost:{}", target.port);
        assert_eq!(get("/dev/config.json", &["-H", &own]).0, "200");
        assert_eq!(get("/dev/config.json", &["-H", "Origin: https://evil.example"]).0, "403");
    }
}

/// It is for development mode alone, and nothing is made where that is not asked for.
///
/// Proves: pages, bad input.
#[test]
fn nobody_else_is_served_so() {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("lan-"));
    let run = |arguments: &[&str], variable: &str| {
        let mut command = heliostat_protocol_tests::broker::command();
        let output =
            command.args(arguments).env_remove("HOME").env("XDG_DATA_HOME", variable).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run(&["--lan"], data.to_str().unwrap());
    assert_eq!(said, "heliostat: --lan is for development mode alone: expected --development as well\n");
    assert!(!data.exists());
    let said = run(&["--lan", "--development"], "");
    assert!(said.contains("below XDG_DATA_HOME or HOME: expected the path of a folder"), "{said}");
    std::fs::create_dir_all(data.join("heliostat")).unwrap();
    std::fs::write(data.join("heliostat/lan.pem"), "notes").unwrap();
    let said = run(&["--lan", "--development"], data.to_str().unwrap());
    assert!(said.contains("lan.pem: there is something else in it"), "{said}");
}
