//! The names that clients give themselves: who holds one, what it does not open, and how many there may be.

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::transport::Transport;
use heliostat_protocol_tests::{Credentials, Socket, Target, signature, unique};
use serde_json::json;

use crate::recovery::{Tab, complete, fresh_name, incomplete, keeping};

const QUERY: &str = "protocol=7&client=js&version=8.4.0";

/// Opens a tab that has received everything so far.
fn settled(target: &Target, name: &str, channel: &str) -> Tab {
    let (mut tab, _) = Tab::open(target, name, channel);
    tab.echo_all(None);
    tab
}

/// Whoever comes with a name takes it over at once, and the connection that had it is told so and ends.
///
/// Proves: recovery.
#[test]
fn whoever_comes_with_a_name_takes_it_over_and_the_old_connection_ends() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("news-"), fresh_name());
    let mut old = settled(&target, &name, &channel);
    let (_new, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&[]));
    let reason = old.socket.expect_close_with(4100);
    assert_eq!(reason, "Taken over: another connection came with the name of this one");
}

/// After three takeovers within a minute nobody has the name, and all are served.
///
/// Proves: recovery.
#[test]
fn a_name_that_two_clients_have_is_nobodys_and_both_are_served() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("news-"), fresh_name());
    let mut last = settled(&target, &name, &channel);
    for n in 0..3 {
        let (mut tab, resumed) = Tab::open(&target, &name, &channel);
        // Once it is known that the other one was there, what one has received says nothing of the other.
        assert_eq!(resumed, if n == 0 { complete(&[]) } else { incomplete() });
        if n == 0 {
            tab.echo_all(None);
        }
        let mut before = std::mem::replace(&mut last, tab).socket;
        before.expect_close_with(4100);
        // As a browser does: it is there.
        before.send_frame(0x88, &4100_u16.to_be_bytes());
        before.expect_end();
    }
    let (other, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, incomplete(), "shared");
    target.publish(&channel, "news", "1");
    for mut tab in [last, other] {
        assert_eq!(tab.socket.expect_on(&channel, "news").data, json!("1"), "both are served");
    }
    let (_tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, incomplete(), "and so it stays");
}

/// A line that breaks again and again makes no second client.
///
/// Proves: recovery.
#[test]
fn a_line_that_keeps_breaking_is_no_second_client() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("news-"), fresh_name());
    settled(&target, &name, &channel).cut();
    target.publish(&channel, "news", "1");
    for _ in 0..10 {
        let (tab, resumed) = Tab::open(&target, &name, &channel);
        assert_eq!(resumed, complete(&["1"]));
        tab.cut();
    }
}

/// A short name, another key's, and another app's are served without what they missed; a connection under any is greeted with
/// the shorter time.
///
/// Proves: recovery.
#[test]
fn names_that_are_too_short_or_of_another_key_open_nothing() {
    let other = "[[apps]]\nid = \"1003\"\nkeys = [{ key = \"other-key\", secret = \"other-secret\" }, \
                 { key = \"newer-key\", secret = \"newer-secret\" }]\n\n\
                 [[apps.channels]]\npattern = \"*\"\nhistory = { events = 10 }\n";
    let Some(main) = Target::own(&format!(
        "{MAIN_APP}\n[[apps.channels]]\npattern = \"*\"\nhistory = {{ events = 10 }}\n\n{other}"
    )) else {
        return;
    };
    let channel = unique("news-");
    for short in ["tab1", "123456789012345678901", "not.a.name.of.letters.and.digits"] {
        for _ in 0..2 {
            let (tab, resumed) = Tab::open(&main, short, &channel);
            assert_eq!(resumed, incomplete(), "{short}");
            tab.cut();
        }
    }
    let name = fresh_name();
    let of = |key: &str| {
        main.with_credentials(Credentials::new("1003", &format!("{key}-key"), &format!("{key}-secret")))
    };
    settled(&of("other"), &name, &channel).cut();
    for target in [main.clone(), of("newer")] {
        let (tab, resumed) = Tab::open(&target, &name, &channel);
        assert_eq!(resumed, incomplete(), "{:?}", target.credentials);
        tab.cut();
    }
    let (_tab, resumed) = Tab::open(&of("other"), &name, &channel);
    assert_eq!(resumed, complete(&[]));
    let greeted =
        |target: &Target| target.upgrade(QUERY).await_established().decoded()["activity_timeout"].clone();
    assert_eq!((greeted(&main.named("x")), greeted(&main.named(&name))), (json!(15), json!(15)));
    assert_eq!(greeted(&main), json!(120));
}

/// Paths below `/r/` lead to the same broker as those without, whatever the prefix; others are refused as ever.
///
/// Proves: recovery.
#[test]
fn a_name_stands_in_the_path_behind_the_prefix_and_over_every_transport() {
    for prefix in ["", "/some/where"] {
        let Some(mut target) = keeping(&format!("[server]\npath_prefix = \"{prefix}\"\n")) else { return };
        target.path_prefix = prefix.to_owned();
        for transport in [
            Transport::WebSocket,
            Transport::XhrStreaming,
            Transport::XhrPolling,
            Transport::SockJsStreaming,
            Transport::SockJsPolling,
            Transport::SockJsWebSocket,
            Transport::SockJsRawWebSocket,
        ] {
            let channel = unique("news-");
            let target = target.over(transport);
            let greeting = target.named(&fresh_name()).upgrade(QUERY).await_established();
            assert_eq!(greeting.decoded()["activity_timeout"], json!(15), "{prefix} {transport:?}");
            let (_tab, resumed) = Tab::open(&target, &fresh_name(), &channel);
            assert_eq!(resumed, incomplete(), "{prefix} {transport:?}");
        }
        let name = fresh_name();
        let refused = |path: &str| {
            let mut socket = Socket::upgrade(&target, &format!("{prefix}{path}?{QUERY}"), &[]);
            socket.expect_close_with(4005)
        };
        let expected = format!("Path not found: expected {prefix}/r/{{name}}/app/{{key}}, got");
        for path in [
            format!("/r/{name}"),
            format!("/r/{name}/"),
            format!("/r/{name}/app"),
            format!("/r/{name}/app/"),
            format!("/r/{name}/app/a/b"),
            format!("/r/{name}/apps/app-key"),
        ] {
            assert!(refused(&path).starts_with(&expected), "{path}");
        }
        let usual = format!("Path not found: expected {prefix}/app/{{key}}, got");
        for path in ["/r", "/r/", "/s/name/app/app-key"] {
            assert!(refused(path).starts_with(&usual), "{path}");
        }
        let get = |path: &str| {
            let mut connection = Connection::open(&target);
            let host = &target.host;
            let request = format!("GET {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            connection.send(request.as_bytes());
            connection.answer().status
        };
        assert_eq!(get(&format!("/r/{name}/app/app-key")), 426, "where a WebSocket is");
        assert_eq!(get(&format!("/r/{name}/info")), 200, "where SockJS is");
        assert_eq!(get(&format!("/r/{name}/nothing/here")), 404);
    }
}

/// Whoever unsubscribed gets nothing of what came then.
///
/// Proves: recovery.
#[test]
fn a_channel_that_was_left_is_not_made_up_for() {
    let Some(target) = keeping("") else { return };
    let (left, kept, name) = (unique("news-"), unique("news-"), fresh_name());
    let mut tab = settled(&target, &name, &left);
    tab.socket.unsubscribe(&left);
    let (mut tab, _) = Tab::of(tab.socket, &kept);
    tab.echo_all(None);
    tab.cut();
    for channel in [&left, &kept] {
        target.publish(channel, "news", "1");
    }
    let (tab, resumed) = Tab::open(&target, &name, &left);
    assert_eq!(resumed, incomplete());
    let (tab, resumed) = Tab::of(tab.socket, &kept);
    assert_eq!(resumed, complete(&["1"]));
    tab.cut();
}

/// Whoever drops again before it has subscribed to all its channels still misses nothing.
///
/// Proves: recovery.
#[test]
fn who_drops_twice_misses_nothing_either() {
    let Some(target) = keeping("") else { return };
    let (a, b, name) = (unique("news-"), unique("news-"), fresh_name());
    let tab = settled(&target, &name, &a);
    let (mut tab, _) = Tab::of(tab.socket, &b);
    tab.echo_all(None);
    tab.cut();
    target.publish(&b, "news", "1");
    let (mut tab, resumed) = Tab::open(&target, &name, &a);
    assert_eq!(resumed, complete(&[]));
    tab.echo_all(None);
    tab.cut();
    target.publish(&b, "news", "2");
    let (_tab, resumed) = Tab::open(&target, &name, &b);
    assert_eq!(resumed, complete(&["1", "2"]));
}

/// Nothing is kept for a user whose connections were terminated, here or away, nor for another user.
///
/// Proves: recovery.
#[test]
fn a_terminated_user_and_another_user_get_nothing() {
    let Some(target) = keeping("") else { return };
    let sign_in = |socket: &mut Socket, user: &str| {
        let user_data = json!({ "id": user }).to_string();
        let auth = signature::user_auth(&socket.app, &socket.id, &user_data);
        socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
        socket.expect("pusher:signin_success");
    };
    let terminate = |user: &str| {
        let path = format!("/users/{user}/terminate_connections");
        target.post(&path, &json!({})).send().assert_empty_object();
    };
    let signed_in = |name: &str, user: &str| {
        let mut socket = target.named(name).connect();
        sign_in(&mut socket, user);
        socket
    };
    let channel = unique("news-");
    let open = |name: &str, user: &str| Tab::of(signed_in(name, user), &channel);
    let [here, away, other, same] = [(); 4].map(|()| fresh_name());
    let [terminated, changed, stays] = ["ann", "bob", "cy"].map(|name| unique(name).replace('.', "-"));
    let mut tab_here = open(&here, &terminated).0;
    tab_here.echo_all(None);
    for (name, user) in [(&away, &terminated), (&other, &changed), (&same, &stays)] {
        let (mut tab, _) = open(name, user);
        tab.echo_all(None);
        tab.cut();
    }
    terminate(&terminated);
    tab_here.socket.expect_close_with(4009);
    for (name, user) in [(&here, &terminated), (&away, &terminated), (&other, &terminated)] {
        let (_tab, resumed) = open(name, user);
        assert_eq!(resumed, incomplete(), "{name} {user}");
    }
    let (_tab, resumed) = open(&same, &stays);
    assert_eq!(resumed, complete(&[]));
}

/// However many names come from one address, what is kept of them stays within its bounds, and everybody is served.
///
/// Proves: recovery.
#[test]
fn a_thousand_names_from_one_address_stay_within_the_bounds() {
    let Some(target) = keeping("[recovery]\nmax_names_per_address = 5\n") else { return };
    let channel = unique("news-");
    let names: Vec<String> = (0..1000).map(|_| fresh_name()).collect();
    for name in &names[..990] {
        target.named(name).connect().close();
    }
    for name in &names[990..] {
        settled(&target, name, &channel).cut();
    }
    let answers: Vec<bool> = names[990..]
        .iter()
        .map(|name| {
            let (tab, resumed) = Tab::open(&target, name, &channel);
            tab.cut();
            resumed.complete
        })
        .collect();
    assert!(!answers[..5].contains(&true), "the oldest were forgotten: {answers:?}");
    let held: Vec<_> = (0..5).map(|_| settled(&target, &fresh_name(), &channel)).collect();
    let (mut tab, resumed) = Tab::open(&target, &fresh_name(), &channel);
    assert_eq!(resumed, incomplete());
    target.publish(&channel, "news", "1");
    tab.socket.expect_on(&channel, "news");
    drop(held);
}
