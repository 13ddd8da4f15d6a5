//! The tool judges brokers, so it is judged here: a server that delivers must pass, one that blunders must not.

use std::process::{Command, Output};

/// A short run against the ceiling, which makes this mistake.
fn quick_run(scenarios: &str, fault: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heliostat-load"));
    command.args(["run", "--quick", "--no-pin", "--against", "ceiling", "--scenario", scenarios]);
    command.args(fault.into_iter().flat_map(|fault| ["--fault", fault]));
    command.output().expect("the tool runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs with this mistake; it must be found, and called by its name.
fn assert_found(fault: &str, name: &str, scenarios: &[&str]) {
    for scenario in scenarios {
        let output = quick_run(scenario, Some(fault));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{fault} must fail {scenario}: {said}");
        let failure = said.lines().find_map(|line| line.split_once("\"failed\":\"")).map(|(_, words)| words);
        assert!(
            failure.is_some_and(|words| words.contains(name)),
            "{fault} in {scenario} must be {name}: {said}"
        );
    }
}

#[test]
fn every_delivery_of_a_server_that_delivers_is_verified() {
    for scenarios in
        ["fanout-*,camera-*", "chat-*,client-*,latency-*", "http-*,connect-*,memory-*,storm-*,mixed-*"]
    {
        let output = quick_run(scenarios, None);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{scenarios}: {stdout}{stderr}");
        let lines: Vec<&str> = stdout.lines().filter(|line| line.starts_with('{')).collect();
        assert!(lines.len() >= 2 && lines.iter().all(|line| line.ends_with("\"failed\":false}")), "{stdout}");
        // A run in which nothing was delivered would have nothing wrong with it either.
        let deliveries = lines.iter().filter_map(|line| line.split_once("\"deliveries_per_s\":"));
        for (_, rest) in deliveries {
            let rate: f64 = rest.split(',').next().and_then(|number| number.parse().ok()).expect("a number");
            assert!(rate > 0.0, "nothing was delivered: {stdout}");
        }
    }
}

#[test]
fn a_lost_delivery_is_found() {
    assert_found("lose", "lost", &["fanout-1000x1k", "chat-50x20"]);
}

#[test]
fn a_delivery_made_twice_is_found() {
    assert_found("duplicate", "duplicated", &["fanout-1000x1k", "chat-50x20"]);
}

#[test]
fn a_delivery_out_of_order_is_found() {
    // In the chat nobody speaks again before everybody has what was said, so nothing can overtake it.
    assert_found("reorder", "reordered", &["fanout-1000x1k"]);
}

#[test]
fn a_delivery_that_was_cut_is_found() {
    assert_found("cut", "malformed", &["fanout-1000x1k", "chat-50x20"]);
}

#[test]
fn an_event_that_comes_back_to_its_sender_is_found() {
    let output = quick_run("chat-50x20", Some("misdeliver"));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("misdelivered"));
}

#[test]
fn a_server_that_is_not_there_is_a_failure_and_a_mistyped_name_a_mistake() {
    let tool = || Command::new(env!("CARGO_BIN_EXE_heliostat-load"));
    let missing = ["--against", "heliostat", "--heliostat", "no-such-program"];
    let output =
        tool().args(["run", "--quick", "--no-pin", "--scenario", "http-publish"]).args(missing).output();
    let output = output.expect("the tool runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot start heliostat"), "{}", text(&output.stderr));
    let output = tool().args(["run", "--quick", "--scenario", "fanuot"]).output().expect("the tool runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no scenario `fanuot`"));
}

#[test]
fn curves_are_measured_kept_and_drawn() {
    let directory = std::env::temp_dir().join(format!("heliostat-curves-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let (data, picture) = (directory.join("data.txt"), directory.join("picture.svg"));
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heliostat-load"));
        command.args(["curves", "--quick", "--no-pin", "--ceiling-only", "--curve", "deliveries,channels"]);
        command.arg("--data").arg(&data).arg("--picture").arg(&picture);
        command.output().expect("the tool runs")
    };
    let (first, again) = (run(), run());
    let drawn = std::fs::read_to_string(&picture).expect("a picture");
    let kept = std::fs::read_to_string(&data).expect("data");
    let _ = std::fs::remove_dir_all(&directory);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert_eq!(kept.lines().count(), 4, "two sizes of two curves: {kept}");
    assert_eq!(drawn.matches("<circle").count(), 4, "{drawn}");
    assert_eq!(text(&again.stdout), text(&first.stdout), "what is there is not measured again");
}
