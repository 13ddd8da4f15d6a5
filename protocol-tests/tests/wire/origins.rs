//! Apps that only some web pages may use.

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Socket, Target};

const SENTENCE: &str = "Origin not allowed";

fn connect(target: &Target, protocol: u32, origin: &str) -> Socket {
    Socket::upgrade(
        target,
        &target.socket_path(&format!("protocol={protocol}")),
        &[&format!("Origin: {origin}")],
    )
}

/// A page that is on the list connects, one that is not is closed with 4009, and who names no origin is not asked.
///
/// Proves: 34.
#[test]
fn only_pages_on_the_list_may_connect() {
    let list = r#"allowed_origins = ["https://example.com", "https://*.example.org", "localhost:*"]"#;
    let Some(target) = Target::own(&format!("{MAIN_APP}{list}\n")) else { return };
    for origin in
        ["https://example.com", "https://a.b.example.org", "http://localhost:3000", "HTTPS://EXAMPLE.COM"]
    {
        connect(&target, 7, origin).await_established();
    }
    let strangers =
        ["https://example.com.evil.net", "http://example.com", "https://example.org", "null", "nonsense", ""];
    for origin in strangers {
        let mut socket = connect(&target, 7, origin);
        assert_eq!(socket.expect_close_with(4009), SENTENCE, "{origin:?}");
        socket.expect_end();
        let mut old = connect(&target, 5, origin);
        old.expect_error(Some(4009), SENTENCE);
        assert_eq!(old.expect_close_with(4009), SENTENCE, "{origin:?}");
    }
    target.connect().assert_silence();
}

/// Where there is no list, every page may connect.
///
/// Proves: 34.
#[test]
fn without_a_list_every_page_may_connect() {
    let target = Target::main();
    for origin in ["https://example.com", "null", "nonsense", ""] {
        connect(&target, 7, origin).await_established();
    }
}
