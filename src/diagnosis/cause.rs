//! What a refusal came from, in a sentence.

use crate::protocol::SocketId;

use super::json_forms::JsonForm;

/// Why a signature was refused, where that could be proved. Holds no secret, and no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// There is a signature, and no key.
    #[error("the key and the colon before the signature are missing: expected key:signature")]
    KeyMissing,
    /// The key stands there twice.
    #[error("the key stands before the signature twice: expected key:signature")]
    KeyTwice,
    /// It is a whole answer of an endpoint, or a JSON string.
    #[error("auth is JSON within JSON: expected only key:signature, the text of the member auth")]
    AuthIsJson,
    /// It is `key::user::signature`.
    #[error("::user:: belongs into the string that is signed and not into auth: expected key:signature")]
    UserWordsInAuth,
    /// Right but for its letters.
    #[error("the signature has upper-case letters: expected lower-case hexadecimal digits")]
    UpperCase,
    /// Right but for what stands around it.
    #[error("there is a space or a line break beside the signature")]
    SpaceAround,
    /// Right, in another encoding.
    #[error("the signature is in Base64: expected hexadecimal digits")]
    Base64,
    /// It cannot be a signature.
    #[error("this is no HMAC-SHA256: expected 64 hexadecimal digits, got {chars} characters")]
    NoDigest { chars: usize },
    /// For another connection.
    #[error(
        "it was signed for the connection {socket_id}{}: auth is made anew for each connection, of its own socket id",
        if *.is_open { "" } else { ", which has ended" }
    )]
    OtherSocket {
        socket_id: SocketId,
        /// Whether it is connected now.
        is_open: bool,
    },
    /// For another channel.
    #[error("it was signed for the channel {signed}: the name is signed whole, with its prefix")]
    OtherChannel { signed: String },
    /// The data that came was not signed.
    #[error("channel_data came and was not signed: expected socket_id:channel:channel_data")]
    DataNotSigned,
    /// The data was written anew between the two.
    #[error("{what} was signed as {} writes it, and came written otherwise: it must come as it was signed, byte for byte",
        library(*.form))]
    Reencoded { what: &'static str, form: JsonForm },
    /// The data was encoded twice where it was signed.
    #[error("{what} is JSON within JSON in what was signed: it was encoded once more than what came")]
    SignedEncodedTwice { what: &'static str },
    /// The data was encoded twice where it was sent.
    #[error("{what} is JSON within JSON: it came encoded once more than it was signed")]
    SentEncodedTwice { what: &'static str },
    /// A sign-in's signature came for a channel.
    #[error("it was signed to sign a user in, and came to subscribe to a channel: these are two endpoints")]
    SignedForUser,
    /// It was signed with one colon.
    #[error("it was signed without the two colons around user: expected socket_id::user::user_data")]
    UserWithoutColons,
    /// Another pair of the same app.
    #[error(
        "it was signed with the secret that belongs to this app's key {key}, and names another of its keys"
    )]
    OtherSecretOfApp { key: String },
    /// This app's key, another's secret.
    #[error("it was signed with the secret of the app {app}, and names a key of this app")]
    SecretOfOtherApp { app: String },
    /// Another app's key and secret.
    #[error("it was signed with the key and the secret of the app {app}, and came to another app")]
    CredentialsOfOtherApp { app: String },
    /// Another app's key, and not its secret.
    #[error(
        "the key is of the app {app}, and it came to another app{}",
        if *.is_signed_here { ", with whose secret it was signed" } else { "; the signature is right for neither" }
    )]
    KeyOfOtherApp {
        app: String,
        /// Whether it was signed with a secret of the app that it came to.
        is_signed_here: bool,
    },
    /// The id in the place of the key.
    #[error("the id of the app {app} stands where its key should")]
    IdAsKey { app: String },
    /// The key but for its letters or what stands around it.
    #[error("the key is {key} but for spaces and upper-case letters")]
    AlmostKey { key: String },
    /// The secret was told to everybody.
    #[error(
        "the secret of the app {app} stands in what came, so it has been told: give the app another pair"
    )]
    SecretTold { app: String },
    /// Signed with what everybody knows.
    #[error("it was signed with the app's key: expected its secret")]
    KeyAsSecret,
    /// The secret was read from a file with its end of line.
    #[error("the secret was used with a line break or a space behind it")]
    SecretWithSpace,
    /// The clocks differ.
    #[error(
        "the clock that signed is {} {} the broker's{}",
        duration(*.seconds), if *.is_ahead { "ahead of" } else { "behind" },
        if *.is_right { ", or it was signed that long ago; the signature is right" } else { "" }
    )]
    Clock {
        seconds: u64,
        is_ahead: bool,
        /// Whether that is all that is wrong.
        is_right: bool,
    },
    /// Milliseconds, or something else that is no time.
    #[error("auth_timestamp is in milliseconds: expected seconds since 1970")]
    Milliseconds,
    /// No number.
    #[error("auth_timestamp is no number: expected seconds since 1970")]
    NoTime,
    /// For another method.
    #[error("it was signed for {signed}, and came as {came}")]
    OtherMethod { signed: &'static str, came: String },
    /// For another path.
    #[error("it was signed for the path {signed}, and came for {came}{}", on_the_way(.signed, .came))]
    OtherPath { signed: String, came: String },
    /// In the order of the query.
    #[error("the parameters were signed in the order of the query: expected them sorted by name")]
    Unsorted,
    /// The values of an array came in another order.
    #[error("the values of the array {name} came in another order than they were signed in")]
    ArrayReordered { name: String },
    /// The values were encoded again.
    #[error(
        "values of the query were encoded once more on the way, or decoded once too often: a proxy does so"
    )]
    EncodedTwice,
    /// The values were signed as they were once encoded.
    #[error(
        "values of the query were signed encoded, and a proxy wrote them otherwise: they are signed decoded"
    )]
    SignedEncoded,
    /// Something came in addition.
    #[error("the parameter {name} came and was not signed: all but auth_signature are")]
    NotSigned { name: String },
    /// Something is missing.
    #[error("the parameter {parameter} was signed and did not come")]
    DidNotCome { parameter: String },
    /// Two characters instead of one.
    #[error("the lines were signed with a backslash and an n between them: expected line breaks")]
    NoLineBreaks,
    /// The body has no hash.
    #[error("there is a body, and its MD5 was not signed: body_md5 is missing")]
    BodyNotSigned,
    /// The hash is right but for its form.
    #[error("body_md5 is the right hash in another form: expected lower-case hexadecimal digits")]
    HashWrittenOtherwise,
    /// The body came without what was in it.
    #[error("the body came empty, and another was signed: it was lost on the way")]
    BodyLost,
    /// The hash is that of nothing.
    #[error("body_md5 is the hash of an empty body, and there came {bytes} bytes")]
    HashOfNothing { bytes: usize },
    /// The end of the body.
    #[error("the body differs from the signed one by a line break at its end, or by what its lines end with")]
    BodyLineBreak,
    /// The body was written anew.
    #[error("the body was signed as {} writes it, and came written otherwise: something wrote it anew on the way",
        library(*.0))]
    BodyReencoded(JsonForm),
    /// It is another one.
    #[error(
        "the body of {bytes} bytes is not the one whose MD5 was signed: it was changed behind the signature"
    )]
    BodyChanged { bytes: usize },
}

impl Cause {
    /// A word for it, for programs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Cause::KeyMissing => "key_missing",
            Cause::KeyTwice => "key_twice",
            Cause::AuthIsJson => "auth_is_json",
            Cause::UserWordsInAuth => "user_words_in_auth",
            Cause::UpperCase => "upper_case",
            Cause::SpaceAround => "space_around",
            Cause::Base64 => "base64",
            Cause::NoDigest { .. } => "no_digest",
            Cause::OtherSocket { .. } => "other_socket",
            Cause::OtherChannel { .. } => "other_channel",
            Cause::DataNotSigned => "data_not_signed",
            Cause::Reencoded { .. } => "reencoded",
            Cause::SignedEncodedTwice { .. } => "signed_json_in_json",
            Cause::SentEncodedTwice { .. } => "sent_json_in_json",
            Cause::SignedForUser => "signed_for_user",
            Cause::UserWithoutColons => "user_without_colons",
            Cause::OtherSecretOfApp { .. } => "other_secret_of_app",
            Cause::SecretOfOtherApp { .. } => "secret_of_other_app",
            Cause::CredentialsOfOtherApp { .. } => "credentials_of_other_app",
            Cause::KeyOfOtherApp { .. } => "key_of_other_app",
            Cause::IdAsKey { .. } => "id_as_key",
            Cause::AlmostKey { .. } => "almost_key",
            Cause::SecretTold { .. } => "secret_told",
            Cause::KeyAsSecret => "key_as_secret",
            Cause::SecretWithSpace => "secret_with_space",
            Cause::Clock { .. } => "clock",
            Cause::Milliseconds => "milliseconds",
            Cause::NoTime => "no_time",
            Cause::OtherMethod { .. } => "other_method",
            Cause::OtherPath { .. } => "other_path",
            Cause::Unsorted => "unsorted",
            Cause::ArrayReordered { .. } => "array_reordered",
            Cause::EncodedTwice => "encoded_twice",
            Cause::SignedEncoded => "signed_encoded",
            Cause::NotSigned { .. } => "not_signed",
            Cause::DidNotCome { .. } => "did_not_come",
            Cause::NoLineBreaks => "no_line_breaks",
            Cause::BodyNotSigned => "body_not_signed",
            Cause::HashWrittenOtherwise => "hash_written_otherwise",
            Cause::BodyLost => "body_lost",
            Cause::HashOfNothing { .. } => "hash_of_nothing",
            Cause::BodyLineBreak => "body_line_break",
            Cause::BodyReencoded(_) => "body_reencoded",
            Cause::BodyChanged { .. } => "body_changed",
        }
    }

    /// The part of what came, or of what was signed, that is not as it should be.
    pub(crate) fn part(&self) -> &'static str {
        match self {
            Cause::KeyMissing | Cause::KeyTwice | Cause::AuthIsJson | Cause::UserWordsInAuth => {
                "the form of auth"
            }
            Cause::UpperCase | Cause::SpaceAround | Cause::Base64 | Cause::NoDigest { .. } => {
                "the form of the signature"
            }
            Cause::OtherSocket { .. } => "the socket id",
            Cause::OtherChannel { .. } => "the channel",
            Cause::DataNotSigned
            | Cause::Reencoded { .. }
            | Cause::SignedEncodedTwice { .. }
            | Cause::SentEncodedTwice { .. } => "the data",
            Cause::SignedForUser | Cause::UserWithoutColons | Cause::NoLineBreaks => {
                "the string that was signed"
            }
            Cause::OtherSecretOfApp { .. }
            | Cause::SecretOfOtherApp { .. }
            | Cause::KeyAsSecret
            | Cause::SecretWithSpace
            | Cause::SecretTold { .. } => "the secret",
            Cause::CredentialsOfOtherApp { .. } => "the app",
            Cause::KeyOfOtherApp { .. } | Cause::IdAsKey { .. } | Cause::AlmostKey { .. } => "the key",
            Cause::Clock { .. } | Cause::Milliseconds | Cause::NoTime => "the time",
            Cause::OtherMethod { .. } => "the method",
            Cause::OtherPath { .. } => "the path",
            Cause::Unsorted
            | Cause::ArrayReordered { .. }
            | Cause::EncodedTwice
            | Cause::SignedEncoded
            | Cause::NotSigned { .. }
            | Cause::DidNotCome { .. } => "the query",
            Cause::BodyNotSigned
            | Cause::HashWrittenOtherwise
            | Cause::BodyLost
            | Cause::HashOfNothing { .. }
            | Cause::BodyLineBreak
            | Cause::BodyReencoded(_)
            | Cause::BodyChanged { .. } => "the body",
        }
    }

    /// Whether it is told to those who run the broker alone: it tells of other apps, other connections or other keys, or of
    /// a secret that was told. The rest is told to whoever was refused; what has the wrong form the refusal says itself.
    pub(crate) fn is_for_operators(&self) -> bool {
        matches!(
            self,
            Cause::OtherSocket { .. }
                | Cause::OtherSecretOfApp { .. }
                | Cause::SecretOfOtherApp { .. }
                | Cause::CredentialsOfOtherApp { .. }
                | Cause::KeyOfOtherApp { .. }
                | Cause::IdAsKey { .. }
                | Cause::AlmostKey { .. }
                | Cause::SecretTold { .. }
                | Cause::NoDigest { .. }
        )
    }
}

/// What is shown in the place of a text that may hold a secret.
pub(crate) const HIDDEN: &str = "(hidden: a secret stands in what came)";

/// What came of looking for a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// This is it.
    Found(Cause),
    /// None that is known could be proved.
    Unknown,
    /// It was not looked for: too many were refused in this second, or what came is too long.
    NotExamined,
}

impl Diagnosis {
    /// What was found, or not.
    pub(crate) fn of(found: Option<Cause>) -> Self {
        found.map_or(Diagnosis::Unknown, Diagnosis::Found)
    }

    /// A word for it, for programs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Diagnosis::Found(cause) => cause.name(),
            Diagnosis::Unknown => "unknown",
            Diagnosis::NotExamined => "not_examined",
        }
    }

    /// The same as a sentence.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Diagnosis::Found(cause) => cause.to_string(),
            Diagnosis::Unknown => {
                "no cause could be proved: most likely it is another secret, or another text".to_owned()
            }
            Diagnosis::NotExamined => "not examined".to_owned(),
        }
    }

    /// Whether the refusal's own words may hold a secret, because what came does.
    pub(crate) fn hides_the_reason(&self) -> bool {
        self.cause().is_some_and(|cause| matches!(cause, Cause::SecretTold { .. }))
    }

    /// What may be shown to those who run the broker of a text that was refused, such as the refusal's own words.
    pub(crate) fn shown<'t>(of: Option<&Self>, text: &'t str) -> &'t str {
        if of.is_some_and(Diagnosis::hides_the_reason) { HIDDEN } else { text }
    }

    /// What was found.
    pub(crate) fn cause(&self) -> Option<&Cause> {
        match self {
            Diagnosis::Found(cause) => Some(cause),
            Diagnosis::Unknown | Diagnosis::NotExamined => None,
        }
    }

    /// What whoever was refused may be told.
    pub(crate) fn for_outsiders(&self) -> Option<String> {
        match self {
            Diagnosis::Found(cause) if !cause.is_for_operators() => Some(cause.to_string()),
            _ => None,
        }
    }
}

/// Who writes JSON like that.
fn library(form: JsonForm) -> &'static str {
    match form {
        JsonForm::Compact => "JavaScript",
        JsonForm::Php => "PHP",
        JsonForm::Python => "Python",
        JsonForm::Quoted => "a string",
    }
}

/// What a difference between two paths comes from.
fn on_the_way(signed: &str, came: &str) -> &'static str {
    if signed.len() > came.len() && signed.ends_with(came) {
        ": a proxy took the beginning of the path away"
    } else if came.len() > signed.len() && came.ends_with(signed) {
        ": the beginning of the path was left out"
    } else {
        ""
    }
}

/// A time in the largest units that make sense of it.
fn duration(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let (large, small) = match seconds {
        0..MINUTE => return format!("{seconds} s"),
        MINUTE..HOUR => ((MINUTE, "min"), (1, "s")),
        HOUR..DAY => ((HOUR, "h"), (MINUTE, "min")),
        _ => ((DAY, "d"), (HOUR, "h")),
    };
    let (whole, rest) = (seconds / large.0, seconds % large.0 / small.0);
    if rest == 0 { format!("{whole} {}", large.1) } else { format!("{whole} {} {rest} {}", large.1, small.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_units_that_one_can_imagine() {
        let told = [59, 60, 605, 3600, 11_520, 90_000, 86_400 * 400].map(duration);
        assert_eq!(told, ["59 s", "1 min", "10 min 5 s", "1 h", "3 h 12 min", "1 d 1 h", "400 d"]);
    }

    #[test]
    fn the_page_has_every_name() {
        let (code, page) = (include_str!("cause.rs"), include_str!("../../docs/why.md"));
        let names = code.split("fn name(&self)").skip(1).flat_map(|rest| {
            let function = rest.split("\n    }\n").next().unwrap();
            function
                .lines()
                .filter_map(|line| line.trim().strip_suffix("\",")?.rsplit_once("=> \""))
                .map(|(_, name)| name)
        });
        let names: Vec<&str> = names.collect();
        assert!(names.len() > 40, "{names:?}");
        for name in names {
            assert!(page.contains(&format!("`{name}`")), "docs/why.md lacks {name}");
        }
    }

    #[test]
    fn every_cause_is_found_in_a_test() {
        let tests = [
            include_str!("client_auth/tests.rs"),
            include_str!("request/tests.rs"),
            include_str!("body.rs"),
            include_str!("told.rs"),
        ];
        let tests = tests.map(|text| text.rsplit("mod tests {").next().unwrap()).concat();
        let code = include_str!("cause.rs").split("fn name(&self)").nth(1).unwrap();
        let names = code.split("\n    }\n").next().unwrap().lines().filter_map(|line| {
            let named = line.trim().strip_prefix("Cause::")?;
            named.split(|letter: char| !letter.is_alphanumeric()).next()
        });
        let names: Vec<&str> = names.collect();
        assert!(names.len() > 40, "{names:?}");
        for name in names {
            assert!(tests.contains(&format!("Cause::{name}")), "no test finds {name}");
        }
    }

    #[test]
    fn outsiders_are_told_nothing_of_other_apps_and_connections() {
        let app = || "7".to_owned();
        for cause in [
            Cause::OtherSocket { socket_id: SocketId::new(1, 2), is_open: false },
            Cause::OtherSecretOfApp { key: app() },
            Cause::SecretOfOtherApp { app: app() },
            Cause::CredentialsOfOtherApp { app: app() },
            Cause::KeyOfOtherApp { app: app(), is_signed_here: true },
            Cause::IdAsKey { app: app() },
            Cause::AlmostKey { key: app() },
            Cause::SecretTold { app: app() },
        ] {
            assert_eq!(Diagnosis::Found(cause).for_outsiders(), None);
        }
        assert_eq!(Diagnosis::Unknown.for_outsiders(), None);
        assert_eq!(Diagnosis::NotExamined.for_outsiders(), None);
        let told = Diagnosis::Found(Cause::KeyTwice).for_outsiders();
        assert_eq!(told.unwrap(), "the key stands before the signature twice: expected key:signature");
    }
}
