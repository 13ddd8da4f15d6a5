//! The forms in which other servers write a value, and the same value in ours.

/// How a value is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum ForeignForm {
    /// As here.
    Same,
    /// A count of which a negative one is none.
    Limit,
    /// A time in milliseconds; here in seconds.
    Milliseconds,
    /// A size in units of 1024 bytes; here in bytes.
    Kilobytes,
    /// A switch that asks for more of the log.
    Debug,
    /// Hosts of pages, as patterns without scheme and port.
    Hosts,
    /// Whose client events are accepted: members', all clients' or nobody's.
    Senders,
}

impl ForeignForm {
    /// The value as the text of our own variables; `None` if it asks for what there is without it.
    ///
    /// # Errors
    /// What was expected, if it is no value of this form.
    pub(super) fn read(self, text: &str) -> Result<Option<String>, &'static str> {
        let read = match self {
            ForeignForm::Same => return Ok(Some(text.to_owned())),
            ForeignForm::Limit => limit(text),
            ForeignForm::Milliseconds => {
                text.parse::<u32>().ok().map(|millis| (f64::from(millis) / 1000.0).to_string())
            }
            ForeignForm::Kilobytes => kilobytes(text),
            ForeignForm::Hosts => Some(hosts(text)),
            ForeignForm::Debug => match text {
                "1" | "true" => Some("debug".to_owned()),
                "0" | "false" => return Ok(None),
                _ => None,
            },
            ForeignForm::Senders => match text {
                "members" | "all" => Some("true".to_owned()),
                "none" => Some("false".to_owned()),
                _ => None,
            },
        };
        read.map(Some).ok_or(self.expected())
    }

    /// What is allowed, as the end of the sentence "it must be …"; also what the documentation says of it.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            ForeignForm::Same => "as here",
            ForeignForm::Limit => {
                "an integer above 0, or -1 for no limit; 0, which is nobody there and no limit here, is refused"
            }
            ForeignForm::Milliseconds => "a whole number of milliseconds",
            ForeignForm::Kilobytes => "a size in units of 1024 bytes",
            ForeignForm::Debug => "true, false, 1 or 0; true is the level \"debug\"",
            ForeignForm::Hosts => "hosts of pages, separated by commas, any scheme and port; * for all",
            ForeignForm::Senders => "\"members\", \"all\", which is taken for \"members\", or \"none\"",
        }
    }
}

fn limit(text: &str) -> Option<String> {
    match text.parse::<i64>().ok()? {
        0 => None,
        most => Some(most.max(0).to_string()),
    }
}

fn kilobytes(text: &str) -> Option<String> {
    /// More is out of every setting's range.
    const MOST: f64 = 1e9;
    let bytes = (text.parse::<f64>().ok()? * 1024.0).round();
    (0.0..=MOST).contains(&bytes).then(|| format!("{bytes:.0}"))
}

/// `example.com` there is any page of that host.
fn hosts(text: &str) -> String {
    let patterns = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
    let patterns: Vec<_> = patterns.collect();
    if patterns.contains(&"*") {
        return String::new();
    }
    let with_port =
        |pattern: &&str| if pattern.contains(':') { (*pattern).to_owned() } else { format!("{pattern}:*") };
    patterns.iter().map(with_port).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_brought_into_our_form() {
        let table = [
            (ForeignForm::Same, "x", Some("x")),
            (ForeignForm::Limit, "-1", Some("0")),
            (ForeignForm::Limit, "500", Some("500")),
            (ForeignForm::Milliseconds, "3000", Some("3")),
            (ForeignForm::Milliseconds, "50", Some("0.05")),
            (ForeignForm::Kilobytes, "100", Some("102400")),
            (ForeignForm::Kilobytes, "0.5", Some("512")),
            (ForeignForm::Debug, "true", Some("debug")),
            (ForeignForm::Debug, "0", None),
            (ForeignForm::Hosts, "*", Some("")),
            (
                ForeignForm::Hosts,
                "example.com, *.example.org,https://a.b",
                Some("example.com:*,*.example.org:*,https://a.b"),
            ),
            (ForeignForm::Senders, "members", Some("true")),
            (ForeignForm::Senders, "none", Some("false")),
        ];
        for (form, text, expected) in table {
            assert_eq!(form.read(text), Ok(expected.map(str::to_owned)), "{form:?} {text}");
        }
    }

    #[test]
    fn what_is_no_value_of_a_form_is_refused() {
        let table = [
            (ForeignForm::Limit, "0"),
            (ForeignForm::Limit, "many"),
            (ForeignForm::Milliseconds, "-1"),
            (ForeignForm::Milliseconds, "1.5"),
            (ForeignForm::Kilobytes, "-1"),
            (ForeignForm::Kilobytes, "nan"),
            (ForeignForm::Kilobytes, "1e300"),
            (ForeignForm::Debug, "yes"),
            (ForeignForm::Senders, "some"),
        ];
        for (form, text) in table {
            assert_eq!(form.read(text), Err(form.expected()), "{form:?} {text}");
        }
    }
}
