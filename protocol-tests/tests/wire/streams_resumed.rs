//! Server-sent events of a channel with a history: a reader that comes back gets what it has missed.

use heliostat_protocol_tests::http::{Connection, Endless, Response};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, unique};
use serde_json::{Value, json};

use crate::subscribe::subscribe;

/// Channels that keep nothing.
const NEWS: &str = "[[apps.channels]]\npattern = 'news-*'\ndelivery = 'every'\n";

/// The usual app with HTTP streams, whose other channels keep three events.
fn broker(more: &str) -> Option<Target> {
    let app = MAIN_APP.replace("client_events = true", "client_events = true\nhttp_streams = true");
    Target::own(&format!("{more}{app}{NEWS}[[apps.channels]]\npattern = '*'\nhistory = {{ events = 3 }}\n"))
}

/// A request for a stream that needs no signature.
fn request(target: &Target, channel: &str, query: &str, last_event_id: Option<&str>) -> String {
    let header = last_event_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let path = format!("/apps/{}/channels/{channel}/sse{query}", target.credentials.app_id);
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n")
}

#[track_caller]
fn open(target: &Target, channel: &str, query: &str, last_event_id: Option<&str>) -> Reader {
    let request = request(target, channel, query, last_event_id);
    let mut stream = Endless::open(Connection::open(target), request.as_bytes());
    assert_eq!(stream.head.status, 200, "{}", stream.head);
    assert_eq!(stream.up_to(b"\n\n"), format!(": events of {channel}\n\n").as_bytes());
    Reader { stream, last_event_id: String::new() }
}

#[track_caller]
fn refused(target: &Target, channel: &str, query: &str, last_event_id: Option<&str>) -> Response {
    let request =
        request(target, channel, query, last_event_id).replace("Host:", "Connection: close\r\nHost:");
    Connection::open(target).exchange(request.as_bytes()).unwrap()
}

/// What reads a stream as `EventSource` does: it keeps the last id, also of a block without an event.
struct Reader {
    stream: Endless,
    last_event_id: String,
}

impl Reader {
    /// The name and the data of the next event, or nothing of a block that has none.
    #[track_caller]
    fn block(&mut self) -> Option<(String, String)> {
        let text = String::from_utf8(self.stream.up_to(b"\n\n")).unwrap();
        let fields: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(": ")).collect();
        let first = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
        if let Some(id) = first("id") {
            self.last_event_id = id.to_owned();
        }
        first("event").map(|event| (event.to_owned(), first("data").unwrap().to_owned()))
    }

    /// The place at which a stream begins that has asked for nothing.
    #[track_caller]
    fn begin(&mut self) -> String {
        assert_eq!(self.block(), None);
        assert_ne!(self.last_event_id, "");
        self.last_event_id.clone()
    }

    #[track_caller]
    fn event(&mut self) -> (String, String) {
        loop {
            if let Some(event) = self.block() {
                return event;
            }
        }
    }

    /// The data of the events up to `pusher:resumed`, and what that says.
    #[track_caller]
    fn resumed(&mut self) -> (Vec<String>, Value) {
        let mut data = Vec::new();
        loop {
            match self.event() {
                (name, told) if name == "pusher:resumed" => {
                    return (data, serde_json::from_str(&told).unwrap());
                }
                (_, text) => data.push(text),
            }
        }
    }
}

fn told(complete: bool, events: usize) -> Value {
    json!({ "complete": complete, "events": events })
}

/// A reader that comes back with the last id that it has is sent what came meanwhile, in order, is told that this is all, and
/// hears what comes then; wherever it was when it went.
///
/// Proves: recovery.
#[test]
fn a_reader_that_comes_back_gets_what_it_has_missed() {
    let Some(target) = broker("") else { return };
    let channel = unique("kept-");
    let mut reader = open(&target, &channel, "", None);
    let beginning = reader.begin();
    target.publish(&channel, "e", "1");
    assert_eq!(reader.event(), ("e".to_owned(), "1".to_owned()));
    let first = reader.last_event_id.clone();
    drop(reader);
    for text in ["2", "3"] {
        target.publish(&channel, "e", text);
    }
    for (id, expected) in [(&beginning, &["1", "2", "3"][..]), (&first, &["2", "3"])] {
        let mut reader = open(&target, &channel, "", Some(id));
        assert_eq!(reader.block(), Some(("e".to_owned(), expected[0].to_owned())), "{id}");
        let second = reader.last_event_id.clone();
        let (rest, resumed) = reader.resumed();
        assert_eq!(rest, expected[1..], "{id}");
        assert_eq!(resumed, told(true, expected.len()), "{id}");
        // One that goes in the middle of what it is sent again goes on there.
        let mut again = open(&target, &channel, &format!("?last_event_id={second}"), None);
        assert_eq!(again.resumed().0, expected[1..]);
        // One that has everything is sent nothing.
        let mut again = open(&target, &channel, "", Some(&reader.last_event_id));
        assert_eq!(again.resumed(), (vec![], told(true, 0)));
    }
    let mut reader = open(&target, &channel, "", Some(&first));
    reader.resumed();
    target.publish(&channel, "e", "4");
    assert_eq!(reader.event(), ("e".to_owned(), "4".to_owned()));
    // Where the history does not reach back so far, nothing is sent and that is told.
    let mut late = open(&target, &channel, "", Some(&beginning));
    assert_eq!(late.resumed(), (vec![], told(false, 0)));
    target.publish(&channel, "e", "5");
    assert_eq!(late.event(), ("e".to_owned(), "5".to_owned()));
}

/// The header that a browser sends by itself counts before what stands in the URL, which it asks for again.
///
/// Proves: recovery.
#[test]
fn the_url_of_the_first_request_may_ask_for_the_last_events() {
    let Some(target) = broker("") else { return };
    let channel = unique("kept-");
    for text in ["1", "2", "3", "4"] {
        target.publish(&channel, "e", text);
    }
    let mut reader = open(&target, &channel, "?rewind_events=2", None);
    assert_eq!(reader.resumed(), (vec!["3".to_owned(), "4".to_owned()], told(true, 2)));
    let last = reader.last_event_id.clone();
    let mut hour = open(&target, &channel, "?rewind_seconds=3600", None);
    assert_eq!(hour.resumed().0, ["2", "3", "4"]);
    target.publish(&channel, "e", "5");
    let mut back = open(&target, &channel, "?rewind_events=2&last_event_id=0-0", Some(&last));
    assert_eq!(back.resumed(), (vec!["5".to_owned()], told(true, 1)));
    // What it has missed is not known: the last events come, and are not taken for all.
    let mut back = open(&target, &channel, "?rewind_events=2", Some("0-0"));
    assert_eq!(back.resumed(), (vec!["4".to_owned(), "5".to_owned()], told(false, 2)));
    assert_eq!(open(&target, &channel, "", Some(&back.last_event_id)).resumed(), (vec![], told(true, 0)));
    // Who is cut off before it is told so comes back from where it was, and not from the middle of what is not all.
    let mut cut = open(&target, &channel, "?rewind_events=2", Some("0-0"));
    cut.last_event_id = "0-0".to_owned();
    for text in ["4", "5"] {
        assert_eq!(cut.event(), ("e".to_owned(), text.to_owned()));
        assert_eq!(cut.last_event_id, "0-0");
    }
    let mut many = open(&target, &channel, "?rewind_events=4", None);
    assert_eq!(many.event(), ("e".to_owned(), "3".to_owned()));
    assert_eq!(many.last_event_id, "", "it was not all, and that has yet to be told");
    for (query, message) in [
        (
            "?rewind_events=x",
            "Expected rewind_events parameter to be a whole number from 1 to 4294967295, got \"x\"",
        ),
        (
            "?rewind_seconds=0",
            "Expected rewind_seconds parameter to be a whole number from 1 to 4294967295, got \"0\"",
        ),
        (
            "?rewind_events=1&rewind_seconds=1",
            "Expected one of the parameters rewind_events and rewind_seconds, got both",
        ),
    ] {
        refused(&target, &channel, query, None).assert_error(400, message);
    }
}

/// Only the events of one name are sent again, too, and the reader's place is told in a silence, although it is that of another
/// event.
///
/// Proves: recovery.
#[test]
fn a_reader_of_one_event_keeps_its_place_among_all() {
    let Some(target) = broker("[connection]\nping_after_seconds = 0.1\n") else { return };
    let channel = unique("kept-");
    let mut reader = open(&target, &channel, "?event=wanted", None);
    let beginning = reader.begin();
    for (event, text) in [("other", "1"), ("wanted", "2"), ("other", "3")] {
        target.publish(&channel, event, text);
    }
    assert_eq!(reader.event(), ("wanted".to_owned(), "2".to_owned()));
    let place = reader.last_event_id.clone();
    while reader.last_event_id == place {
        assert_eq!(reader.block(), None);
    }
    let mut back = open(&target, &channel, "?event=wanted", Some(&beginning));
    assert_eq!(back.resumed().0, ["2"]);
    let mut back = open(&target, &channel, "", Some(&reader.last_event_id));
    assert_eq!(back.resumed(), (vec![], told(true, 0)));
}

/// What is written anew for each reader may be as much as may wait for one at any time; whoever would be sent more is sent nothing.
///
/// Proves: recovery, bad input.
#[test]
fn no_reader_is_sent_more_at_once_than_may_wait_for_it() {
    let Some(target) = broker("[connection]\noutbox_bytes = 8192\n") else { return };
    let channel = unique("kept-");
    let data = "x".repeat(4000);
    for _ in 0..3 {
        target.publish(&channel, "e", &data);
    }
    let two = open(&target, &channel, "?rewind_events=2", None).resumed();
    assert_eq!(two, (vec![data.clone(), data.clone()], told(true, 2)));
    assert_eq!(open(&target, &channel, "?rewind_events=3", None).resumed(), (vec![], told(false, 0)));
    // A client that shares what all are sent may be sent more.
    let mut socket = target.connect();
    subscribe(&mut socket, json!({ "channel": channel, "rewind": { "events": 3 } }));
    socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
    (0..3).for_each(|_| assert_eq!(socket.expect_on(&channel, "e").data, json!(data)));
    assert_eq!(socket.expect_on(&channel, "pusher:resumed").decoded(), told(true, 3));
}

/// Members come and go without an id: they are in no history, and are told as they are.
///
/// Proves: recovery.
#[test]
fn members_have_no_place_in_a_history() {
    let Some(target) = broker("") else { return };
    let channel = unique("presence-kept-");
    let signed = target.get(&format!("/channels/{channel}/sse")).bytes();
    let stream = Endless::open(Connection::open(&target), &signed);
    let mut reader = Reader { stream, last_event_id: String::new() };
    assert_eq!(reader.block(), None, "the comment at the beginning");
    let beginning = reader.begin();
    let mut member = target.connect();
    member.subscribe_presence(&channel, "ann", &json!({}));
    assert_eq!(reader.event().0, "pusher_internal:member_added");
    assert_eq!(reader.last_event_id, beginning);
    target.publish(&channel, "e", "1");
    assert_eq!(reader.event(), ("e".to_owned(), "1".to_owned()));
    assert_ne!(reader.last_event_id, beginning);
}

/// An id that no stream has given is refused, one of a stream from before the channel had a history is told to be of no use.
/// Where there is no history, ids are passed over as ever.
///
/// Proves: recovery, bad input.
#[test]
fn an_id_that_no_stream_has_given_is_refused() {
    let Some(target) = broker("") else { return };
    let (kept, news) = (unique("kept-"), unique("news-"));
    for id in ["x", "1-", "-1", "1-2-3", "g-1", "11111111111111111-1", "1 - 2", "é"] {
        let expected = format!(
            "Invalid last event id: expected the id of an event of this stream, such as 5f3a-1b2, got {id:?}"
        );
        refused(&target, &kept, "", Some(id)).assert_error(400, &expected);
        let mut reader = open(&target, &news, "", Some(id));
        target.publish(&news, "e", "1");
        assert_eq!(reader.event(), ("e".to_owned(), "1".to_owned()));
        assert_eq!(reader.last_event_id, "1");
    }
    for id in ["17", "0-1", "ffffffffffffffff-ffffffffffffffff"] {
        assert_eq!(open(&target, &kept, "", Some(id)).resumed(), (vec![], told(false, 0)), "{id}");
    }
    let mut reader = open(&target, &news, "", Some("0-1"));
    assert_eq!(reader.resumed(), (vec![], told(false, 0)), "there is no history any more");
}
