//! Values that servers tell, taken in whichever JSON type they come: ids may be numbers, and numbers and switches texts. What a value
//! stands for is for whoever reads it; what cannot be taken is `None`, and is told as it came.

use serde_json::Value as Json;

/// The first whole number behind which the digits of a JSON number may not be those that came.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A name or an id: a text, or the digits of a number.
pub(super) fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) if number.is_f64() && number.as_f64()?.abs() >= EXACT => None,
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A number of things: a whole number, or the text of one.
pub(super) fn number_of(value: &Json) -> Option<u64> {
    match value {
        Json::String(text) => text.trim().parse().ok(),
        other => other.as_u64().or_else(|| {
            let number = other.as_f64()?;
            ((0.0..EXACT).contains(&number) && number.fract() == 0.0).then_some(number as u64)
        }),
    }
}

/// Whether something is so: a switch, its text, or a number, of which 0 says that it is not.
pub(super) fn truth_of(value: &Json) -> Option<bool> {
    match value {
        Json::Bool(is_so) => Some(*is_so),
        Json::String(text) if text == "true" => Some(true),
        Json::String(text) if text == "false" => Some(false),
        other => number_of(other).map(|number| number != 0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_of_another_type_is_taken_where_it_says_the_same() {
        let texts =
            [json!("ann"), json!(7), json!(-7), json!(1.5), json!(u64::MAX)].map(|told| text_of(&told));
        assert_eq!(
            texts,
            ["ann", "7", "-7", "1.5", "18446744073709551615"].map(|text| Some(text.to_owned()))
        );
        let numbers = [json!(3), json!("3"), json!(" 3 "), json!(3.0)].map(|told| number_of(&told));
        assert_eq!(numbers, [Some(3); 4]);
        let truths = [json!(true), json!("true"), json!(1), json!("1")].map(|told| truth_of(&told));
        assert_eq!(truths, [Some(true); 4]);
        let untruths = [json!(false), json!("false"), json!(0), json!("0")].map(|told| truth_of(&told));
        assert_eq!(untruths, [Some(false); 4]);
    }

    #[test]
    fn a_value_that_may_say_something_else_is_not_taken() {
        // Of a number of more than 64 bits the digits are lost.
        for told in [json!(null), json!(true), json!([]), json!({}), json!(1e22)] {
            assert_eq!(text_of(&told), None, "{told}");
        }
        for told in [json!(null), json!(true), json!("many"), json!(""), json!(-1), json!(1.5), json!(1e22)] {
            assert_eq!(number_of(&told), None, "{told}");
        }
        for told in [json!(null), json!("yes"), json!([])] {
            assert_eq!(truth_of(&told), None, "{told}");
        }
    }
}
