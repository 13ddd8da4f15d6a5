//! The control API: bodies and queries. What is read can be written and read again.

use heliostat::tools::fuzzing::control;
use heliostat::tools::test_mode::faults::Fault;
use heliostat::tools::test_mode::{Condition, Count, Filter, JsonPath};
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) fn target(data: &[u8]) {
    if let Some(fault) = control::faults_of(data) {
        assert_eq!(Fault::parse(&fault.to_json()).as_ref(), Ok(&fault));
    }
    if let Some((id, key)) = control::app_of(data) {
        assert!(!id.is_empty() && !key.is_empty());
    }
    let (waits, closes) = control::accepts_wait(data);
    assert!(!(waits && closes), "one body asks for two things");
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = control::accepts_query(text);
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        value_is_read_again(&value);
    }
    if let Some((path, json)) = text.split_once('\n') {
        path_leads_where_it_says(path, json);
    }
}

fn value_is_read_again(value: &Value) {
    if let Ok(condition) = Condition::parse(value) {
        assert!(!condition.to_string().is_empty());
    }
    if let Ok(filter) = serde_json::from_value::<Filter>(value.clone()) {
        let written = serde_json::to_value(&filter).expect("a filter is JSON");
        assert_eq!(serde_json::from_value::<Filter>(written).ok(), Some(filter));
    }
    if let Ok(count) = serde_json::from_value::<Count>(value.clone()) {
        let written = serde_json::to_value(count).expect("a count is JSON");
        assert_eq!(serde_json::from_value::<Count>(written).ok(), Some(count));
    }
}

/// A path finds in the text what it finds in the value, as far as names with dots and brackets let that be said twice.
fn path_leads_where_it_says(path: &str, json: &str) {
    let Ok(parsed) = path.parse::<JsonPath>() else { return };
    let (Ok(raw), Ok(value)) = (serde_json::from_str::<&RawValue>(json), serde_json::from_str::<Value>(json))
    else {
        return;
    };
    if path.contains(['[', '$', '\'']) {
        let _ = parsed.of(raw);
        return;
    }
    let mut steps = path.strip_prefix('.').unwrap_or(path).split('.').filter(|step| !step.is_empty());
    let wanted = steps.try_fold(&value, |value, step| value.as_object()?.get(step));
    let found = parsed.of(raw).and_then(|found| serde_json::from_str::<Value>(found.get()).ok());
    assert_eq!(found.as_ref(), wanted, "{path} in {json}");
}
