//! The clients under a name, which stands before `/app` in the path: by an option of Swift's, in the host of .NET's, with
//! the port of Ruby's, and in the URL that a subclass of Java's options builds. All of them echo what a ping says.

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, unique};
use serde_json::json;

use super::{dotnet, hears, java, ruby, string_data, succeeded, swift};

/// What was published while a client was away is sent again as it is live, and between that and the next event it is told
/// that this was all, on the channel, in the form of every other event.
///
/// Proves: clients, recovery.
#[test]
fn what_was_missed_is_read_like_what_is_live() {
    let config = format!("{MAIN_APP}[[apps.channels]]\npattern = \"*\"\nhistory = {{ events = 100 }}\n");
    let Some(target) = Target::own(&config) else { return };
    let clients = [
        (swift::CLIENT, swift::QUERY),
        (java::CLIENT, java::QUERY),
        (dotnet::CLIENT, dotnet::QUERY),
        (ruby::CLIENT, ruby::QUERY),
    ];
    for (client, query) in clients {
        let channel = unique("news-");
        let mut named = target.clone();
        named.path_prefix = format!("/r/{}", unique("0123456789abcdef0123456789abcdef-"));
        let subscribe = format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}"#);
        let mut socket = named.connect_as(query);
        socket.send_text(&subscribe);
        succeeded(&mut socket, &channel);
        let told = socket.expect_on(&channel, "pusher:resumed");
        assert_eq!(string_data(&told), json!({ "complete": false, "events": 0 }));
        // What is answered once it has been sent this has been acknowledged by then.
        for _ in 0..2 {
            socket.drain();
        }
        drop(socket);
        for number in ["1", "2"] {
            target.publish(&channel, "count", number);
        }
        let mut socket = named.connect_as(query);
        socket.send_text(&subscribe);
        succeeded(&mut socket, &channel);
        for number in ["1", "2"] {
            hears(&mut socket, &channel, "count", number);
        }
        hears(&mut socket, &channel, "pusher:resumed", r#"{"complete":true,"events":2}"#);
        target.publish(&channel, "count", "3");
        hears(&mut socket, &channel, "count", "3");
        client.shown(&["recovery"]);
    }
}
