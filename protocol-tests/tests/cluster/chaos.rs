//! The chaos program, for as long as the suite has time for it.

use std::process::Command;

/// Sixty seconds of trouble of all kinds, judged by the record of every frame and every answer.
///
/// Proves: N1, N2, N5, N6, N12, N15, N16, N17.
#[test]
fn sixty_seconds_of_trouble() {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--seconds", "60"])
        .env("PROTOCOL_TESTS_BIN", heliostat_protocol_tests::broker::binary())
        .output()
        .unwrap();
    let words =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words}");
    println!("{words}");
}
