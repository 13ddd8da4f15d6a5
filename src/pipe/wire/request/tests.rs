//! Requests as clients write them: what is read of them, and the code of each error.

use super::*;
use crate::event::{ConsumerGroup, GroupBy, NotificationKind};

fn error_of(text: &str, dialect: Dialect) -> (Option<String>, u16, String) {
    let request = PipeRequest::parse(text, dialect, &Limits::default());
    let error = request.command.unwrap_err();
    (request.id.map(|id| id.get().to_owned()), error.code(), error.to_string())
}

#[test]
fn the_original_clients_requests_are_read() {
    let limits = Limits::default();
    let parse = |text| PipeRequest::parse(text, Dialect::V0_2, &limits);
    let request =
        parse(r#"{"id":"6f","method":"subscribe","params":{"events":["socket_message"],"data":""}}"#);
    assert_eq!(request.id.unwrap().get(), "\"6f\"");
    let Ok(PipeCommand::Subscribe { kinds, filter, credit: None }) = request.command else { panic!() };
    assert_eq!((kinds, *filter), (NotificationKind::SocketMessage.bit(), NotificationFilter::EVERYTHING));

    let request = parse(
        r#"{"id":1,"method":"send_to_channel","params":{"channel":"mirror","event":"frame","data":{"a": 1},"socket_id":null}}"#,
    );
    let Ok(PipeCommand::SendToChannel { channel, event, data, except: None }) = request.command else {
        panic!()
    };
    assert_eq!((channel.as_str(), &*event, &*data.text()), ("mirror", "frame", r#"{"a":1}"#));

    let request =
        parse(r#"{"method":"send_to_channel","params":{"channel":"a","event":"e","socketId":"1.2"}}"#);
    let Ok(PipeCommand::SendToChannel { except: Some(_), data, .. }) = request.command else { panic!() };
    assert_eq!(data.text(), "");

    let request = parse(
        r#"{"method":"send_to_socket","params":{"socket_id":"1.2","event":"pusher-auth-response","data":null}}"#,
    );
    let Ok(PipeCommand::SendToSocket { data, .. }) = request.command else { panic!() };
    assert_eq!(data.text(), "null");
}

#[test]
fn each_fault_has_its_code_and_repeats_the_id() {
    let table = [
        ("rubbish", None, 4216),
        ("[]", None, 4216),
        (r#"{"id":5}"#, Some("5"), 4216),
        (r#"{"id":5,"method":7}"#, Some("5"), 4216),
        (r#"{"id":5,"method":"dance"}"#, Some("5"), 4214),
        (r#"{"id":5,"method":"ping"}"#, Some("5"), 4214),
        (r#"{"id":5,"method":"subscribe","params":{"events":["presence"]}}"#, Some("5"), 4215),
        (r#"{"id":5,"method":"subscribe","params":[]}"#, Some("5"), 4213),
        (r#"{"id":5,"method":"subscribe"}"#, Some("5"), 4213),
        (r#"{"id":5,"method":"send_to_channel","params":{"channel":"a b","event":"e"}}"#, Some("5"), 4212),
        (
            r#"{"id":5,"method":"send_to_channel","params":{"channel":"a","event":"pusher:x"}}"#,
            Some("5"),
            4210,
        ),
        (r#"{"id":5,"method":"send_to_channel","params":{"channel":"a","event":""}}"#, Some("5"), 4210),
        (
            r#"{"id":5,"method":"send_to_channel","params":{"channel":"a","event":"e","socket_id":"x"}}"#,
            Some("5"),
            4213,
        ),
        (r#"{"id":5,"method":"send_to_socket","params":{"socket_id":"1.2"}}"#, Some("5"), 4213),
    ];
    for (text, id, code) in table {
        let (got, got_code, message) = error_of(text, Dialect::V0_2);
        assert_eq!((got.as_deref(), got_code), (id, code), "{text}: {message}");
    }
    let long = format!(r#"{{"id":"{}","method":"subscribe"}}"#, "x".repeat(2000));
    assert_eq!(error_of(&long, Dialect::V0_2).0, None);
}

#[test]
fn filters_are_read_strictly() {
    let limits = Limits::default();
    let text = r#"{"method":"subscribe","params":{"events":["socket_message","presence"],"channels":["camera-*"],
        "names":["frame"],"sources":["client","http"],"group":{"name":"workers","by":"channel"},"credit":10}}"#;
    let request = PipeRequest::parse(text, Dialect::V1_0, &limits);
    let Ok(PipeCommand::Subscribe { kinds, filter, credit: Some(10) }) = request.command else { panic!() };
    assert_eq!(kinds, NotificationKind::SocketMessage.bit() | NotificationKind::Presence.bit());
    assert!(filter.http && filter.clients && !filter.back_channel);
    assert_eq!(filter.group, Some(ConsumerGroup { name: "workers".into(), by: GroupBy::Channel }));
    let wrong = [
        r#"{"events":["socket_message"],"chanels":["a"]}"#,
        r#"{"events":["socket_message"],"channels":["a*b*"]}"#,
        r#"{"events":["socket_message"],"sources":["server"]}"#,
        r#"{"events":["socket_message"],"group":{"name":""}}"#,
        r#"{"events":["socket_message"],"credit":-1}"#,
        r#"{"events":"socket_message"}"#,
    ];
    for params in wrong {
        let text = format!(r#"{{"id":1,"method":"subscribe","params":{params}}}"#);
        assert_eq!(error_of(&text, Dialect::V1_0).1, 4213, "{params}");
    }
}
