//! A request for entries of a log: its query has the members of a filter.

use serde_json::Map;

use crate::auth::request::Query;
use crate::config;
use crate::protocol::json;
use crate::test_mode::Filter;
use crate::test_mode::meant::{explained, with_meant};

use super::error::ControlApiError;
use super::requests::rounded;

/// `GET /test/apps/{id}/log`.
#[derive(Debug)]
pub(super) struct LogRequest {
    pub(super) filter: Filter,
    pub(super) after: u64,
    pub(super) limit: Option<usize>,
}

impl LogRequest {
    /// The query has the members of a filter, several kinds separated by commas, and `data` as JSON.
    pub(super) fn parse(query: &Query) -> Result<Self, ControlApiError> {
        let wrong = |error: String| ControlApiError::Query(error);
        let number = |name: &str| {
            let parse = |text: &str| {
                text.parse::<u64>()
                    .map_err(|_| wrong(format!("expected {name} to be a number, got {text:?}")))
            };
            query.get(name).map(parse).transpose()
        };
        const TEXTS: [&str; 7] = ["socket_id", "user_id", "channel", "name", "source", "reason", "path"];
        const NUMBERS: [&str; 3] = ["code", "status", "fault"];
        const OTHERS: [&str; 4] = ["type", "data", "after", "limit"];
        let known = || TEXTS.iter().chain(&NUMBERS).chain(&OTHERS).copied();
        // What is passed over would make the filter wider than it was meant.
        if let Some(unknown) = query.names().find(|name| !known().any(|known| known == *name)) {
            let names: Vec<&str> = known().collect();
            let said = format!("unknown parameter {unknown:?}, expected one of {}", names.join(", "));
            return Err(wrong(with_meant(said, config::nearest(unknown, names))));
        }
        let mut filter = Map::new();
        for name in TEXTS {
            if let Some(text) = query.get(name) {
                filter.insert(name.to_owned(), text.into());
            }
        }
        for name in NUMBERS {
            if let Some(value) = number(name)? {
                filter.insert(name.to_owned(), value.into());
            }
        }
        if let Some(kinds) = query.get("type") {
            filter.insert("type".to_owned(), kinds.split(',').map(str::trim).collect::<Vec<_>>().into());
        }
        if let Some(data) = query.get("data") {
            if let Some(number) = json::first_rounded(data) {
                return Err(wrong(format!("data: {}", rounded(number))));
            }
            let data = serde_json::from_str(data).map_err(|error| wrong(format!("data: {error}")))?;
            filter.insert("data".to_owned(), data);
        }
        let filter = serde_json::from_value(filter.into()).map_err(|error| wrong(explained(&error, &[])))?;
        let limit = number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(LogRequest { filter, after: number("after")?.unwrap_or(0), limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_filter() {
        let text = "type=event,delivered&channel=room&code=4100&after=7&data=[{\"path\":\"a\",\"equals\":1}]";
        let asked = LogRequest::parse(&Query::parse(text)).unwrap();
        assert_eq!((asked.after, asked.filter.code, asked.filter.data.len()), (7, Some(4100), 1));
        for (bad, expected) in [
            ("after=x", "after"),
            ("chanel=room", "unknown parameter \"chanel\", expected one of socket_id,"),
            ("chanel=room", "did you mean \"channel\"?"),
            ("type=delivred", "did you mean \"delivered\"?"),
            ("data=[{\"pth\":\"a\"}]", "did you mean \"path\"?"),
            ("type=nothing", "a type of entry"),
            ("data=x", "data"),
            ("data=[{\"equals\":18446744073709551616}]", "18446744073709551616 is no integer"),
        ] {
            let error = LogRequest::parse(&Query::parse(bad)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
