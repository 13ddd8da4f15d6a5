//! Reads the messages of clients: one JSON object in one text message.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json;

/// A message as it came, read as far as its envelope.
#[derive(Clone, Debug)]
pub struct ClientMessage<'a> {
    /// The event's name; decides what the rest means.
    pub event: Cow<'a, str>,
    /// The channel, for events on one. `None` also for `null`.
    pub channel: Option<&'a RawValue>,
    /// The payload, any JSON value.
    pub data: Option<&'a RawValue>,
}

/// The message has no envelope. The text is that of the `pusher:error` it is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableMessage {
    /// Not JSON, or not an object.
    #[error("Received invalid JSON")]
    NotAnObject,
    /// `event` is missing.
    #[error("Missing parameter: event")]
    NoEvent,
    /// `event` is something else than a string.
    #[error("Expected parameter event to be a string")]
    EventNotAString,
}

impl<'a> ClientMessage<'a> {
    /// Reads the envelope. Unknown members are ignored: old releases send some.
    ///
    /// # Errors
    /// If the text is not an object with an event name. The connection stays open.
    pub fn parse(text: &'a str) -> Result<Self, UnreadableMessage> {
        let members = json::members(text, ["event", "channel", "data"]);
        let [event, channel, data] = members.map_err(|_| UnreadableMessage::NotAnObject)?;
        let event = event.filter(|e| !json::is_null(e)).ok_or(UnreadableMessage::NoEvent)?;
        let event = json::as_string(event).ok_or(UnreadableMessage::EventNotAString)?;
        Ok(ClientMessage { event, channel: channel.filter(|c| !json::is_null(c)), data })
    }
}

/// A parameter of a `pusher:*` command is missing or of the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadParameter {
    /// `data` is not an object.
    #[error("Expected parameter data to be a hash")]
    DataNotAnObject,
    /// A required member of `data` is not there.
    #[error("Missing parameter: data.{0}")]
    Missing(&'static str),
    /// A member of `data` should be a string.
    #[error("Expected parameter data.{0} to be a string")]
    NotAString(&'static str),
}

/// The `data` of a `pusher:*` command: named strings. Some clients write the object itself as a string.
#[derive(Debug)]
pub struct MessageParameters<'a>(Cow<'a, str>);

impl<'a> MessageParameters<'a> {
    /// The parameters that `data` holds.
    ///
    /// # Errors
    /// If it is neither an object nor a string that holds one.
    pub fn of(data: Option<&'a RawValue>) -> Result<Self, BadParameter> {
        let data = data.ok_or(BadParameter::DataNotAnObject)?;
        let text = json::as_string(data).unwrap_or(Cow::Borrowed(data.get()));
        if !text.trim_start().starts_with('{') {
            return Err(BadParameter::DataNotAnObject);
        }
        Ok(MessageParameters(text))
    }

    /// Parameters that name a channel and nothing else.
    pub fn naming(channel: &str) -> MessageParameters<'static> {
        let mut text = String::from("{\"channel\":");
        json::push_string(channel, &mut text);
        text.push('}');
        MessageParameters(Cow::Owned(text))
    }

    /// The named members; `null` is absence.
    ///
    /// # Errors
    /// If the text is not an object, or one of the members is not a string.
    pub fn strings<const N: usize>(
        &self,
        names: [&'static str; N],
    ) -> Result<[Option<Cow<'_, str>>; N], BadParameter> {
        let found = json::members(&self.0, names).map_err(|_| BadParameter::DataNotAnObject)?;
        let mut strings = [const { None }; N];
        for ((string, value), name) in strings.iter_mut().zip(found).zip(names) {
            *string = optional_string(value, name)?;
        }
        Ok(strings)
    }

    /// Those of a subscription; `null` is absence.
    ///
    /// # Errors
    /// If the text is not an object, or what should be a string is not.
    pub fn subscription(&self) -> Result<SubscriptionParameters<'_>, BadParameter> {
        let names = ["channel", "auth", "channel_data", "rewind"];
        let found = json::members(&self.0, names).map_err(|_| BadParameter::DataNotAnObject)?;
        let [channel, auth, channel_data, rewind] = found;
        Ok(SubscriptionParameters {
            channel: optional_string(channel, "channel")?,
            auth: optional_string(auth, "auth")?,
            channel_data: optional_string(channel_data, "channel_data")?,
            rewind: rewind.filter(|rewind| !json::is_null(rewind)),
        })
    }
}

/// The parameters of a subscription, as they came.
#[derive(Debug)]
pub struct SubscriptionParameters<'p> {
    /// The name of the channel.
    pub channel: Option<Cow<'p, str>>,
    /// The signature.
    pub auth: Option<Cow<'p, str>>,
    /// What was signed, besides.
    pub channel_data: Option<Cow<'p, str>>,
    /// How much of the channel's history is wanted: any JSON.
    pub rewind: Option<&'p RawValue>,
}

fn optional_string<'p>(
    value: Option<&'p RawValue>,
    name: &'static str,
) -> Result<Option<Cow<'p, str>>, BadParameter> {
    match value.filter(|value| !json::is_null(value)) {
        Some(value) => json::as_string(value).ok_or(BadParameter::NotAString(name)).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_read_and_nothing_else() {
        let text = r#"{"js_version":"1.5.0","event":"client-x","channel":"private-a","data":{"deep":[1]}}"#;
        let message = ClientMessage::parse(text).unwrap();
        assert_eq!(message.event, "client-x");
        assert_eq!(message.channel.unwrap().get(), "\"private-a\"");
        assert_eq!(message.data.unwrap().get(), r#"{"deep":[1]}"#);
        assert!(ClientMessage::parse(r#"{"event":"e","channel":null}"#).unwrap().channel.is_none());
    }

    #[test]
    fn every_unreadable_message_has_its_answer() {
        use UnreadableMessage::*;
        let table = [
            ("", NotAnObject),
            ("{", NotAnObject),
            ("hello", NotAnObject),
            ("[]", NotAnObject),
            ("1e999", NotAnObject),
            (r#"{"event":"a"} x"#, NotAnObject),
            ("{}", NoEvent),
            (r#"{"event":null}"#, NoEvent),
            (r#"{"event":1}"#, EventNotAString),
            (r#"{"event":["a"]}"#, EventNotAString),
        ];
        for (text, error) in table {
            assert_eq!(ClientMessage::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn parameters_may_come_as_an_object_or_as_a_string_that_holds_one() {
        for text in [r#"{"channel":"a","auth":null}"#, r#""{\"channel\":\"a\"}""#] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            let parameters = MessageParameters::of(Some(&raw)).unwrap();
            let [channel, auth] = parameters.strings(["channel", "auth"]).unwrap();
            assert_eq!((channel.as_deref(), auth), (Some("a"), None));
        }
    }

    #[test]
    fn a_subscription_has_strings_and_what_it_wants_of_the_history() {
        let rewind = |text: &str| {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            let parameters = MessageParameters::of(Some(&raw)).unwrap();
            let SubscriptionParameters { channel, auth, channel_data, rewind } =
                parameters.subscription().unwrap();
            assert_eq!((channel.as_deref(), auth.as_deref(), channel_data), (Some("a"), Some("b"), None));
            rewind.map(|rewind| rewind.get().to_owned())
        };
        assert_eq!(rewind(r#"{"channel":"a","auth":"b"}"#), None);
        assert_eq!(rewind(r#"{"channel":"a","auth":"b","channel_data":null,"rewind":null}"#), None);
        assert_eq!(rewind(r#"{"rewind":{"events":1},"channel":"a","auth":"b"}"#).unwrap(), r#"{"events":1}"#);
        assert_eq!(rewind(r#""{\"channel\":\"a\",\"auth\":\"b\",\"rewind\":7}""#).unwrap(), "7");
    }

    #[test]
    fn anything_else_is_not_a_hash() {
        for text in ["null", "1", "[]", "\"a\"", "\"[]\"", "\"{\"", "true"] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            let result = MessageParameters::of(Some(&raw)).and_then(|p| p.strings(["a"]).map(|_| ()));
            assert_eq!(result, Err(BadParameter::DataNotAnObject), "{text}");
        }
        let raw = RawValue::from_string(r#"{"channel":1}"#.to_owned()).unwrap();
        let result = MessageParameters::of(Some(&raw)).unwrap().strings(["channel"]).map(|_| ());
        assert_eq!(result, Err(BadParameter::NotAString("channel")));
        let result = MessageParameters::of(Some(&raw)).unwrap().subscription().map(|_| ());
        assert_eq!(result, Err(BadParameter::NotAString("channel")));
    }
}
