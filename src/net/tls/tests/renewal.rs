//! Certificates that change while they are served, and several of them.

use std::os::unix::fs::symlink;
use std::time::{SystemTime, UNIX_EPOCH};

use heliostat_protocol_tests::tls::trusting;

use super::*;

/// A directory of its own, removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("heliostat-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn served(files: &Files) -> Arc<Certificates> {
    Certificates::new(load(files).unwrap())
}

/// The certificate that is shown to whoever asks for this host.
fn shown(certificates: &Certificates, host: &str) -> CertificateDer<'static> {
    let server = Arc::new(certificates.server_config().unwrap());
    let mut client = trusting();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = rustls::ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn a_new_pair_is_taken_once_both_halves_fit_and_rest() {
    let (files, next) = (Files::new("halves"), Files::new("next"));
    let certificates = served(&files);
    let old = shown(&certificates, "localhost");
    assert_eq!(old, files.root);
    certificates.look();
    let before = certificates.status();
    // The new certificate beside the old key, for as long as it takes.
    std::fs::copy(&next.certificate, &files.certificate).unwrap();
    for _ in 0..5 {
        certificates.look();
        assert_eq!(shown(&certificates, "localhost"), old);
    }
    assert_eq!(certificates.failed_reloads(), 1, "it is told once");
    std::fs::copy(&next.key, &files.key).unwrap();
    certificates.look();
    assert_eq!(shown(&certificates, "localhost"), old, "somebody may still be writing");
    certificates.look();
    assert_eq!(shown(&certificates, "localhost"), next.root);
    let after = certificates.status();
    assert!(after[0].loaded_at >= before[0].loaded_at);
    assert_eq!((after[0].failed_reloads, certificates.failed_reloads()), (1, 1));
}

#[test]
fn each_content_that_cannot_be_served_is_told_and_counted_once() {
    let files = Files::new("told-once");
    let whole = std::fs::read(&files.key).unwrap();
    let certificates = served(&files);
    let look = |content: &[u8], counted: u64| {
        if content.is_empty() {
            std::fs::remove_file(&files.key).unwrap();
        } else {
            std::fs::write(&files.key, content).unwrap();
        }
        for _ in 0..4 {
            certificates.look();
        }
        assert_eq!(certificates.status()[0].failed_reloads, counted, "{}", content.len());
        assert_eq!(shown(&certificates, "localhost"), files.root);
    };
    look(b"rubbish", 1);
    look(b"", 2);
    look(&whole, 2);
    look(b"rubbish", 3);
    look(&whole, 3);
}

/// As Kubernetes does it: the files are links into a folder that is a link itself, and that one is replaced.
#[test]
fn links_that_lead_elsewhere_are_a_change() {
    let folder = Folder::new("links");
    let (files, next) = (Files::new("links-first"), Files::new("links-next"));
    for (name, pair) in [("first", &files), ("next", &next)] {
        std::fs::create_dir(folder.0.join(name)).unwrap();
        std::fs::copy(&pair.certificate, folder.0.join(name).join("tls.crt")).unwrap();
        std::fs::copy(&pair.key, folder.0.join(name).join("tls.key")).unwrap();
    }
    symlink("first", folder.0.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), folder.0.join(name)).unwrap();
    }
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.0.join(name));
    let certificates =
        Certificates::new(prepare(pair_files(Some(&certificate), Some(&key), &[]).unwrap()).unwrap());
    certificates.look();
    assert_eq!(shown(&certificates, "localhost"), files.root);
    symlink("next", folder.0.join("..new")).unwrap();
    std::fs::rename(folder.0.join("..new"), folder.0.join("..data")).unwrap();
    certificates.look();
    certificates.look();
    assert_eq!(shown(&certificates, "localhost"), next.root);
    assert_eq!(certificates.failed_reloads(), 0);
}

#[test]
fn whoever_asks_for_a_host_is_shown_its_certificate() {
    let default = Files::of("default", &["localhost"]);
    let exact = Files::of("exact", &["api.example.com", "B.Example"]);
    let wildcard = Files::of("wildcard", &["*.example.com"]);
    let further = [exact.pair(), wildcard.pair()];
    let pairs = pair_files(Some(&default.certificate), Some(&default.key), &further).unwrap();
    let certificates = Certificates::new(prepare(pairs).unwrap());
    for (host, expected) in [
        ("localhost", &default),
        ("api.example.com", &exact),
        ("API.example.com", &exact),
        ("b.example", &exact),
        ("www.example.com", &wildcard),
        ("a.b.example.com", &default),
        ("example.com", &default),
        ("192.0.2.1", &default),
    ] {
        assert_eq!(shown(&certificates, host), expected.root, "{host}");
    }
    let names: Vec<_> = certificates.status().into_iter().map(|status| status.names.join(" ")).collect();
    assert_eq!(names, ["localhost", "api.example.com b.example", "*.example.com"]);
    // Without a default, the first of the list is it.
    let alone = Certificates::new(prepare(pair_files(None, None, &further).unwrap()).unwrap());
    assert_eq!(shown(&alone, "elsewhere.example"), exact.root);
}

#[test]
fn a_reload_serves_other_files_or_nothing_new() {
    let (first, second) = (Files::new("reload-1"), Files::of("reload-2", &["b.example"]));
    let certificates = served(&first);
    let both = || pair_files(Some(&first.certificate), Some(&first.key), &[second.pair()]).unwrap();
    let loaded_at = certificates.status()[0].loaded_at;
    let renewed = certificates.serve(certificates.prepare(both()).unwrap());
    assert_eq!(renewed, std::slice::from_ref(&second.certificate), "what is the same stays");
    assert_eq!(certificates.status()[0].loaded_at, loaded_at);
    assert_eq!(shown(&certificates, "b.example"), second.root);
    std::fs::copy(&first.key, &second.key).unwrap();
    let error = certificates.prepare(both()).unwrap_err().to_string();
    assert!(error.contains("named by server.certificates[0].key, does not belong to"), "{error}");
    assert_eq!(shown(&certificates, "b.example"), second.root);
    // Whoever asked was told.
    certificates.look();
    certificates.look();
    let failed: Vec<_> = certificates.status().iter().map(|status| status.failed_reloads).collect();
    assert_eq!((failed, certificates.failed_reloads()), (vec![0, 1], 1));
}

#[test]
fn the_end_is_told_two_weeks_ahead_and_after_it() {
    let files = Files::new("expiry");
    let (_, certificate, key) = made(&["a.example", "*.a.example"], (2030, 6, 30));
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
    let prepared = load(&files).unwrap();
    const NOON_OF_THE_29TH: u64 = 1_908_964_800;
    let told = |days: i64| {
        let seconds = NOON_OF_THE_29TH.saturating_add_signed(days * 24 * 60 * 60);
        let warnings = prepared.warnings(UNIX_EPOCH + Duration::from_secs(seconds));
        warnings.first().cloned().unwrap_or_default()
    };
    assert_eq!(told(-14), "");
    assert!(told(-13).contains("for a.example, *.a.example expires in 13 days (Jun 30 "), "{}", told(-13));
    assert!(told(0).contains("expires in 0 days"), "{}", told(0));
    assert!(told(1).contains("has expired (Jun 30 "), "{}", told(1));
    // It is served nevertheless: clients may be told to take it.
    let certificates = Certificates::new(load(&files).unwrap());
    assert_eq!(certificates.status()[0].not_after, 1_909_008_000);
    certificates.warn_of_expiry(SystemTime::now());
}
