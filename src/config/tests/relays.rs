//! The relays of an app: what they can be, and the sentence that each mistake gets.

use super::*;

const RELAY: &str =
    "[[apps.relay]]\nurl = 'https://old.example.com/ws/'\napp_id = '7'\nkey = 'k'\nsecret = 'hush'\n";

fn relays(text: &str) -> Loaded {
    Sources { file: Some(text), ..Sources::default() }.load().unwrap()
}

#[test]
fn a_relay_has_what_it_is_given() {
    let more = "channels = ['room-*', 'presence-*']\nqueue_events = 5\nqueue_bytes = 1000\nbatch_events = 1\n\
                batches_are_checked_whole = true\nsign_prefix = true\n\
                timeout_seconds = 0.5\ngive_up_after_seconds = 2\nca_file = 'ca.pem'\n";
    let other = RELAY.replace("'7'", "'8'");
    let loaded = relays(&(with_app("") + RELAY + more + &other));
    let [rich, plain] = loaded.config.apps[0].relays.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(rich.url.as_str(), "https://old.example.com/ws");
    assert_eq!((rich.app_id.as_str(), rich.key.key.as_str(), rich.key.secret.text()), ("7", "k", "hush"));
    assert_eq!(rich.channels.iter().map(ToString::to_string).collect::<Vec<_>>(), ["room-*", "presence-*"]);
    assert_eq!((rich.queue_events, rich.queue_bytes, rich.batch_events), (5, 1000, 1));
    assert!(rich.batches_are_checked_whole && rich.sign_prefix);
    assert_eq!((rich.timeout.as_millis(), rich.give_up_after.as_secs()), (500, 2));
    assert_eq!(rich.ca_file.as_deref(), Some("ca.pem".as_ref()));
    let expected = RelaySettings::new(plain.url.clone(), "8", plain.key.clone());
    assert_eq!(*plain, expected);
}

#[test]
fn what_is_printed_is_read_again_and_hides_the_secret() {
    let loaded = relays(&(with_app("") + RELAY + "channels = ['room-*']\nqueue_events = 5\n"));
    let hidden = loaded.to_toml(false);
    assert!(hidden.contains("[[apps.relay]]  # h.toml:") && !hidden.contains("hush"), "{hidden}");
    let again = relays(&loaded.to_toml(true));
    assert_eq!(again.config, loaded.config);
    let masked = Sources { file: Some(&hidden), ..Sources::default() }.complaints();
    assert!(
        masked.iter().any(|line| line.contains("apps.relay.secret") && line.contains("the mask")),
        "{masked:?}"
    );
}

#[test]
fn mistakes_in_a_relay_name_the_line_and_no_secret() {
    let table = [
        ("url = 'ftp://x/'", "a relay's url must begin with http:// or https://, got the scheme \"ftp\""),
        ("url = 'old.example.com'", "a relay's url must be an http or https URL"),
        ("url = 'https://k:hush@x/'", "a relay's url may not hold a name or password"),
        ("url = 'https://x/apps/7'", "without /apps and what follows"),
        ("url = 7", "apps.relay.url must be a string, got 7"),
        ("app_id = 'a b'", "a relay's app_id must be letters, digits and . _ -"),
        ("key = ''", "a relay's key must be letters, digits and . _ -"),
        ("secret = 'hush '", "apps.relay.secret must be a non-empty string without white space around it"),
        (
            "channels = []",
            "apps.relay.channels must be a list of at least one channel pattern, got an array of 0",
        ),
        (
            "channels = 'a'",
            "apps.relay.channels must be a list of at least one channel pattern, got the string \"a\"",
        ),
        ("channels = ['a*b*c']", "a channel pattern may hold one `*`"),
        ("queue_events = 0", "apps.relay.queue_events must be an integer from 1 to"),
        ("queue_bytes = -1", "apps.relay.queue_bytes must be an integer from 1 to"),
        ("batch_events = 1001", "apps.relay.batch_events must be an integer from 1 to 1000, got 1001"),
        (
            "batches_are_checked_whole = 1",
            "apps.relay.batches_are_checked_whole must be true or false, got 1",
        ),
        ("sign_prefix = 'no'", "apps.relay.sign_prefix must be true or false, got the string \"no\""),
        ("timeout_seconds = 0", "apps.relay.timeout_seconds must be a number of seconds from 0.001"),
        ("give_up_after_seconds = 'x'", "apps.relay.give_up_after_seconds must be a number of seconds"),
        ("ca_file = 1", "apps.relay.ca_file must be the path of a file, or empty, got 1"),
        ("sercet = 'hush'", "unknown key \"apps.relay.sercet\"; did you mean \"apps.relay.secret\"?"),
    ];
    for (line, expected) in table {
        let key = line.split(' ').next().unwrap();
        let others = RELAY.lines().filter(|other| !other.starts_with(&format!("{key} ")));
        let text = with_app("") + &others.chain([line]).collect::<Vec<_>>().join("\n") + "\n";
        let complaints = Sources { file: Some(&text), ..Sources::default() }.complaints();
        assert_eq!(complaints.len(), 1, "{line}: {complaints:?}");
        let complaint = &complaints[0];
        let begins = complaint.starts_with("h.toml:");
        assert!(begins && complaint.contains(expected) && !complaint.contains("hush"), "{line}: {complaint}");
    }
}

#[test]
fn what_is_missing_or_there_twice_is_named() {
    for key in ["url", "app_id", "key", "secret"] {
        let others = RELAY.lines().filter(|other| !other.starts_with(&format!("{key} ")));
        let text = with_app("") + &others.collect::<Vec<_>>().join("\n") + "\n";
        let complaints = Sources { file: Some(&text), ..Sources::default() }.complaints();
        assert!(
            complaints[0].ends_with(&format!("a relay needs {key:?}, which is missing")),
            "{complaints:?}"
        );
    }
    let text = with_app("") + RELAY + &RELAY.replace("'k'", "'other'");
    let complaints = Sources { file: Some(&text), ..Sources::default() }.complaints();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains("a relay to the same app of the same server is already given at h.toml:"));
    let text = with_app("") + "relay = 'https://old.example.com'\n";
    let complaints = Sources { file: Some(&text), ..Sources::default() }.complaints();
    assert!(complaints[0].contains("apps.relay must be one or more tables, each begun by [[apps.relay]]"));
}
