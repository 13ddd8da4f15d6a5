//! Tests that docs/http-api.md has every error with its status and its sentence, and none that does not exist.

use std::collections::HashSet;
use std::mem::discriminant;

use super::{ApiError, Unauthenticated};
use crate::auth::request::RequestAuthError;
use crate::event::InvalidPublishId;
use crate::hub::RefusedTooOften;
use crate::protocol::event_name::InvalidEventName;
use crate::protocol::json::Unrelayable;
use crate::protocol::{BadRewind, CloseCode, InvalidChannelName, InvalidSocketId};

/// One of each, and of those whose text depends on what came one of each text.
fn every_error() -> Vec<ApiError> {
    let text = || "X".to_owned();
    let auth = [
        RequestAuthError::NoKey,
        RequestAuthError::UnknownKey,
        RequestAuthError::NoVersion,
        RequestAuthError::UnsupportedVersion,
        RequestAuthError::NoTimestamp,
        RequestAuthError::TimestampExpired { given: text(), now: text() },
        RequestAuthError::TimestampAhead { given: text(), now: text() },
        RequestAuthError::WrongSignature { signed: text(), got: text() },
        RequestAuthError::WrongBodyHash,
    ];
    let names = [
        InvalidEventName::NotAString,
        InvalidEventName::TooLong { chars: 201, limit: 200 },
        InvalidEventName::Reserved,
    ];
    let refused = |code: CloseCode, reason: &str| ApiError::NotAdmitted {
        code: code.into(),
        reason: format!("{}{reason}", code.sentence()),
    };
    let others = [
        ApiError::NotFound(text()),
        ApiError::MethodNotAllowed { method: text(), allowed: "GET" },
        ApiError::UpgradeRequired { came: text(), is_known: true },
        ApiError::ForeignHost(text()),
        ApiError::PublicHost(text()),
        ApiError::ForeignOrigin(text()),
        ApiError::Proxied(text()),
        ApiError::KeptKey,
        ApiError::RelayLeadsBack,
        ApiError::AppNotFound(text()),
        ApiError::NoSuchApp(text()),
        ApiError::AppDisabled,
        ApiError::LastEventId(text()),
        ApiError::Rewind(BadRewind::Parameter { parameter: "rewind_events", got: text() }),
        ApiError::Rewind(BadRewind::Both),
        ApiError::HttpStreamsOff,
        ApiError::StreamOfUser,
        ApiError::NoVideoChannel,
        ApiError::NoTrack { seconds: 10 },
        ApiError::TrackCodec(text()),
        ApiError::NotAdmitted { code: CloseCode::Unauthorized.into(), reason: "Origin not allowed".into() },
        refused(CloseCode::TlsOnly, ""),
        refused(CloseCode::OverQuota, " (2 connections)"),
        refused(CloseCode::OverCapacity, " (2 connections)"),
        ApiError::ShuttingDown,
        ApiError::OtherNodesAway,
        ApiError::TooManyBodies,
        ApiError::InvalidJson(text()),
        ApiError::BodyNotUtf8,
        ApiError::Missing("data"),
        ApiError::WrongType { parameter: "channels", expected: "an array of strings" },
        ApiError::Unrelayable(Unrelayable::TooDeep),
        ApiError::DataTooLarge { limit: 1, bytes: 2 },
        ApiError::BodyTooLarge { limit: 1 },
        ApiError::ChannelName { name: text(), reason: InvalidChannelName::Empty },
        ApiError::TooManyChannels { got: 2, limit: 1 },
        ApiError::BatchTooLarge { got: 2, limit: 1 },
        ApiError::MoreEventsThanASecond { got: 2, limit: 1 },
        ApiError::TooManyEvents { limit: 1, seconds: 1 },
        ApiError::TooManyReads { limit: 1, seconds: 1 },
        ApiError::RefusedTooOften(RefusedTooOften { seconds: 1 }),
        ApiError::BatchEmpty,
        ApiError::PublishId { place: "id", error: InvalidPublishId, got: text() },
        ApiError::PublishIdsDiffer { one: text(), other: text() },
        ApiError::PublishIdTwice(text()),
        ApiError::PublishIdOfAnother(text()),
        ApiError::PublishUnderWay(text()),
        ApiError::SocketId { error: InvalidSocketId, got: text() },
        ApiError::Info { got: text(), allowed: "user_count" },
        ApiError::SubscriptionCountOff,
        ApiError::UserCountWithoutPrefix,
        ApiError::UserCountNotPresence,
        ApiError::UsersNotPresence,
        ApiError::NotACacheChannel,
        ApiError::NoHistory,
        ApiError::Extraneous(text()),
        ApiError::Timeout { seconds: text() },
    ];
    let auth = auth.into_iter().map(|error| ApiError::Auth(error.into()));
    auth.chain(names.into_iter().map(ApiError::EventName)).chain(others).collect()
}

/// Whether a text is the one of a row, in which `…` stands for anything.
fn fits(row: &str, text: &str) -> bool {
    let mut parts = row.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (number, part) in parts.iter().enumerate() {
        let last = number + 1 == parts.len();
        let found =
            if last && rest.ends_with(part) { Some(rest.len() - part.len()) } else { rest.find(part) };
        let Some(at) = found else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

#[test]
fn the_page_has_every_error_and_no_other() {
    let page = include_str!("../../docs/http-api.md");
    let table = page.split("\n## Errors\n").nth(1).unwrap();
    let rows: Vec<(u16, &str)> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let (status, body) = (cells.next()?.parse().ok()?, cells.next()?);
            Some((status, body.trim_matches('`')))
        })
        .collect();
    let errors = every_error();
    for error in &errors {
        let (status, text) = (error.status().as_u16(), error.to_string());
        let found =
            rows.iter().filter(|(row_status, body)| *row_status == status && fits(body, &text)).count();
        assert!(found > 0, "no row for {status} {text}");
    }
    for (status, body) in &rows {
        let stands = |error: &ApiError| error.status().as_u16() == *status && fits(body, &error.to_string());
        assert!(errors.iter().any(stands), "no error is {status} {body}");
    }
}

/// A variant that is added has to be added above, too.
#[test]
fn no_error_is_forgotten() {
    let declared = include_str!("error.rs").matches("\n    #[error(").count();
    let listed: HashSet<_> = every_error().iter().map(discriminant).collect();
    assert_eq!(listed.len(), declared, "variants of ApiError");
    let declared = include_str!("../auth/request.rs").matches("\n    #[error(").count();
    let of_auth = |error: &ApiError| match error {
        ApiError::Auth(Unauthenticated { error, .. }) => Some(discriminant(error)),
        _ => None,
    };
    let listed: HashSet<_> = every_error().iter().filter_map(of_auth).collect();
    assert_eq!(listed.len(), declared, "variants of RequestAuthError");
}
