//! How many are expected: exactly so many, at least, at most.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that is expected, or a range. In JSON a number, or an object with `at_least`, `at_most` or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    least: usize,
    most: usize,
}

impl Count {
    /// Exactly so many.
    pub const fn exactly(number: usize) -> Self {
        Count { least: number, most: number }
    }

    /// So many or more.
    pub const fn at_least(least: usize) -> Self {
        Count { least, most: usize::MAX }
    }

    /// So many or fewer.
    pub const fn at_most(most: usize) -> Self {
        Count { least: 0, most }
    }

    /// Whether so many are as many as expected.
    pub const fn accepts(self, number: usize) -> bool {
        self.least <= number && number <= self.most
    }

    /// So many of these, in words: `exactly 1 connection`, `at least 2 connections`.
    pub fn of(self, one: &str) -> String {
        let last = if self.most == usize::MAX { self.least } else { self.most };
        format!("{self} {one}{}", if last == 1 { "" } else { "s" })
    }

    /// Whether so many are already too many.
    pub const fn is_passed_by(self, number: usize) -> bool {
        number > self.most
    }
}

impl From<usize> for Count {
    fn from(number: usize) -> Self {
        Count::exactly(number)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Count { least, most } if least == most => write!(f, "exactly {least}"),
            Count { least, most: usize::MAX } => write!(f, "at least {least}"),
            Count { least: 0, most } => write!(f, "at most {most}"),
            Count { least, most } => write!(f, "{least} to {most}"),
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a number, or an object with at_least, at_most or both")]
enum WrittenCount {
    Exactly(usize),
    Range(Range),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Range {
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<usize>,
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (least, most) = match WrittenCount::deserialize(deserializer)? {
            WrittenCount::Exactly(number) => (number, number),
            WrittenCount::Range(Range { at_least: None, at_most: None }) => {
                return Err(serde::de::Error::custom("expected at_least, at_most or both"));
            }
            WrittenCount::Range(Range { at_least, at_most }) => {
                (at_least.unwrap_or(0), at_most.unwrap_or(usize::MAX))
            }
        };
        if least <= most {
            Ok(Count { least, most })
        } else {
            Err(serde::de::Error::custom(format!(
                "expected at_least to be no more than at_most, got {least} and {most}"
            )))
        }
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match *self {
            Count { least, most } if least == most => WrittenCount::Exactly(least),
            Count { least, most } => WrittenCount::Range(Range {
                // One of the two is always said: an empty object is no count.
                at_least: (least > 0 || most == usize::MAX).then_some(least),
                at_most: (most < usize::MAX).then_some(most),
            }),
        };
        written.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_count_is_a_number_or_a_range() {
        let cases = [
            (json!(2), Count::exactly(2), "exactly 2"),
            (json!({ "at_least": 1 }), Count::at_least(1), "at least 1"),
            (json!({ "at_least": 0 }), Count::at_least(0), "at least 0"),
            (json!({ "at_most": 3 }), Count::at_most(3), "at most 3"),
            (json!({ "at_least": 1, "at_most": 3 }), Count { least: 1, most: 3 }, "1 to 3"),
        ];
        for (json, count, words) in cases {
            assert_eq!(serde_json::from_value::<Count>(json.clone()).unwrap(), count);
            assert_eq!((serde_json::to_value(count).unwrap(), count.to_string()), (json, words.to_owned()));
        }
        for bad in
            [json!({}), json!(-1), json!("2"), json!({ "at_least": 3, "at_most": 2 }), json!({ "least": 1 })]
        {
            assert!(serde_json::from_value::<Count>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_is_no_plural() {
        let cases = [
            (Count::exactly(1), "exactly 1 member"),
            (Count::exactly(0), "exactly 0 members"),
            (Count::at_least(1), "at least 1 member"),
            (Count::at_most(1), "at most 1 member"),
            (Count { least: 1, most: 3 }, "1 to 3 members"),
        ];
        for (count, words) in cases {
            assert_eq!(count.of("member"), words);
        }
    }

    #[test]
    fn both_ends_count() {
        let count = Count { least: 1, most: 2 };
        assert_eq!([0, 1, 2, 3].map(|n| count.accepts(n)), [false, true, true, false]);
        assert_eq!([2, 3].map(|n| count.is_passed_by(n)), [false, true]);
    }
}
