//! Lists of certificates.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::{InputValue, ValueType, quote};
use crate::net::tls::CertificateFiles;

/// A list of certificates, each with its key. A variable has it in the same form as the file.
#[derive(Clone)]
pub(in crate::config) struct CertificateList;

const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";

impl ValueType for CertificateList {
    type Value = Vec<CertificateFiles>;

    fn read(&self, given: &InputValue<'_>) -> Option<Vec<CertificateFiles>> {
        with_items(given, |items| items.iter().map(|item| pair(item).ok()).collect())?
    }

    fn expected(&self) -> String {
        "a list such as [{ certificate = \"b.pem\", key = \"b.key\" }]".to_owned()
    }

    fn write(&self, value: &Vec<CertificateFiles>) -> String {
        let items: Vec<_> = value
            .iter()
            .map(|CertificateFiles { certificate, key }| {
                let [certificate, key] = [certificate, key].map(|path| quote(&path.to_string_lossy()));
                format!("{{ {CERTIFICATE} = {certificate}, {KEY} = {key} }}")
            })
            .collect();
        format!("[{}]", items.join(", "))
    }

    fn got(&self, given: &InputValue<'_>) -> String {
        let wrong = with_items(given, |items| {
            items.iter().enumerate().find_map(|(n, item)| {
                pair(item).err().map(|fault| format!("{fault} in entry {} of {}", n + 1, items.len()))
            })
        });
        wrong.flatten().unwrap_or_else(|| given.describe())
    }
}

/// The entries of a list, as the file or a variable gives it.
fn with_items<T>(given: &InputValue<'_>, of: impl FnOnce(&[&DeValue<'_>]) -> T) -> Option<T> {
    let items = |value: &DeValue<'_>| -> Option<T> {
        let items: Vec<_> = value.as_array()?.iter().map(|item| item.get_ref()).collect();
        Some(of(&items))
    };
    match given {
        InputValue::Toml(value) => items(value),
        InputValue::Text(text) => {
            let text = if text.trim().is_empty() { "[]" } else { text };
            let document = format!("value = {text}");
            let table = DeTable::parse(&document).ok()?;
            let table = table.get_ref();
            // Nothing may follow the list.
            items(table.get("value").filter(|_| table.len() == 1)?.get_ref())
        }
    }
}

/// One entry, or what is wrong with it.
fn pair(item: &DeValue<'_>) -> Result<CertificateFiles, String> {
    let table = item.as_table().ok_or_else(|| InputValue::Toml(item).describe())?;
    if let Some(unknown) = table.keys().find(|key| ![CERTIFICATE, KEY].contains(&key.get_ref().as_ref())) {
        return Err(format!("the unknown key {:?}", unknown.get_ref()));
    }
    let path = |name: &str| match table.get(name).map(|value| value.get_ref()) {
        None => Err(format!("no {name:?}")),
        Some(value) => match value.as_str() {
            Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
            _ => Err(format!("{} as {name:?}", InputValue::Toml(value).describe())),
        },
    };
    Ok(CertificateFiles { certificate: path(CERTIFICATE)?, key: path(KEY)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_from_text_and_written_again() {
        let text =
            "[{ certificate = \"/a/b.pem\", key = \"/a/b.key\" }, { certificate = \"c\", key = \"d\" }]";
        let read = CertificateList.read(&InputValue::Text(text)).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].key, PathBuf::from("/a/b.key"));
        assert_eq!(CertificateList.write(&read), text);
        assert_eq!(CertificateList.read(&InputValue::Text("")), Some(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, got) in [
            ("/a/b.pem", "\"/a/b.pem\""),
            ("[]\nmore = 1", "\"[]\\nmore = 1\""),
            ("[1]", "1 in entry 1 of 1"),
            ("[{ certificate = \"a\" }]", "no \"key\" in entry 1 of 1"),
            ("[{ certificate = \"a\", key = \"\" }]", "the string \"\" as \"key\" in entry 1 of 1"),
            ("[{ certificate = \"a\", kye = \"b\" }]", "the unknown key \"kye\" in entry 1 of 1"),
        ] {
            let given = InputValue::Text(text);
            assert_eq!(CertificateList.read(&given), None, "{text}");
            assert_eq!(CertificateList.got(&given), got);
        }
    }
}
