//! Lists of proxies that are trusted.

use super::{InputValue, ValueType, quote};
use crate::net::{TrustedProxies, TrustedProxy};

/// A list of networks. A variable has them separated by commas.
#[derive(Clone)]
pub(in crate::config) struct ProxyList;

impl ValueType for ProxyList {
    type Value = TrustedProxies;

    fn read(&self, given: &InputValue<'_>) -> Option<TrustedProxies> {
        given.texts()?.into_iter().map(|text| text.parse::<TrustedProxy>().ok()).collect()
    }

    fn expected(&self) -> String {
        "a list of networks such as \"10.0.0.0/8\", with no bits set beyond the prefix, addresses such as \"::1\", and \
         \"unix\""
            .to_owned()
    }

    fn write(&self, value: &TrustedProxies) -> String {
        let texts: Vec<_> = value.iter().map(|proxy| quote(&proxy.to_string())).collect();
        format!("[{}]", texts.join(", "))
    }

    fn got(&self, given: &InputValue<'_>) -> String {
        let texts = given.texts().unwrap_or_default();
        let wrong = texts.iter().find(|text| text.parse::<TrustedProxy>().is_err());
        wrong.map_or_else(|| given.describe(), |text| InputValue::Text(text).describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_the_entry_at_fault_is_named() {
        let read = ProxyList.read(&InputValue::Text("10.0.0.0/8, ::1,unix")).unwrap();
        assert_eq!(ProxyList.write(&read), "[\"10.0.0.0/8\", \"::1\", \"unix\"]");
        let given = InputValue::Text("::1,10.0.0.1/8");
        assert_eq!(ProxyList.read(&given), None);
        assert_eq!(ProxyList.got(&given), "\"10.0.0.1/8\"");
    }
}
