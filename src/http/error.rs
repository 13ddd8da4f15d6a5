//! The errors of the HTTP API, and their answers. Bodies are plain text that ends with a newline: libraries show it as
//! it is.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};

use super::Unauthenticated;
use crate::auth::request::RequestAuthError;
use crate::diagnosis::Diagnosis;
use crate::event::InvalidPublishId;
use crate::hub::RefusedTooOften;
use crate::protocol::event_name::InvalidEventName;
use crate::protocol::json::Unrelayable;
use crate::protocol::{BadRewind, CloseCode, CloseStatus, InvalidChannelName, InvalidSocketId};

/// Why a request was not carried out. Nothing has happened then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    /// The signature, or what goes with it.
    #[error(transparent)]
    Auth(#[from] Unauthenticated),
    /// The path names no endpoint.
    #[error("Not found: {0} is no endpoint of this broker")]
    NotFound(String),
    /// The endpoint exists, for another method.
    #[error("Method {method} not allowed, use {allowed}")]
    MethodNotAllowed {
        /// What came.
        method: String,
        /// What the endpoint takes, as the `Allow` header has it.
        allowed: &'static str,
    },
    /// A WebSocket endpoint was asked for without an upgrade.
    #[error("Upgrade required: this is a WebSocket endpoint, and it was asked for {came}")]
    UpgradeRequired {
        /// How the request came that should have been a handshake.
        came: String,
        /// Whether the path names an app: then the upgrade may have been lost on the way here.
        is_known: bool,
    },
    /// A convenience of development mode was asked for under a name that is not this machine's.
    #[error("Forbidden: development endpoints answer only to localhost and loopback addresses, not to {0}")]
    ForeignHost(String),
    /// A convenience of development mode was asked for under a name that anybody may own.
    #[error(
        "Forbidden: without TLS, development endpoints answer only to addresses, to names without a dot and to those \
         below .localhost, .local, .internal, .test and .home.arpa, not to {0}"
    )]
    PublicHost(String),
    /// A convenience of development mode was asked for by a page of another site.
    #[error(
        "Forbidden: development endpoints answer only pages of this machine and of this host, not those of {0}"
    )]
    ForeignOrigin(String),
    /// A convenience of development mode was asked for by way of a proxy; with the header that tells.
    #[error("Forbidden: development endpoints do not answer by way of a proxy, and there is a header {0}")]
    Proxied(String),
    /// An encrypted channel was to be opened by an endpoint that may not tell its key.
    #[error("Forbidden: the keys of encrypted channels are not told of an app with a secret of its own")]
    KeptKey,
    /// The app of the path is not the one that signed.
    #[error("App {0} not found: no app with this id belongs to the auth_key")]
    AppNotFound(String),
    /// The app of the path does not exist.
    #[error("App {0} not found")]
    NoSuchApp(String),
    /// The app is switched off.
    #[error("App disabled")]
    AppDisabled,
    /// This broker has relayed it, and it came back.
    #[error("This relay leads back to the broker that it begins at: its url must be that of another server")]
    RelayLeadsBack,
    /// Streams were asked for, and the app does not have them.
    #[error("Forbidden: HTTP streams of channels are off for this app (http_streams)")]
    HttpStreamsOff,
    /// A stream of a user's own channel was asked for.
    #[error("Forbidden: the events of one user cannot be streamed over HTTP")]
    StreamOfUser,
    /// A track was asked for where there can be none.
    #[error("WebM can only be streamed of video channels (delivery = \"video\" in [[apps.channels]])")]
    NoVideoChannel,
    /// A track was asked for of which no key frame has come.
    #[error(
        "No key frame of such a track came on this channel within {seconds} s: try again while somebody films"
    )]
    NoTrack {
        /// How long that was waited for.
        seconds: u64,
    },
    /// A track was asked for that the format does not carry.
    #[error("WebM carries no {0:?}: expected a track in vp8, vp9 or av01")]
    TrackCodec(String),
    /// The id of the last event that a reader has is none that it was given.
    #[error("Invalid last event id: expected the id of an event of this stream, such as 5f3a-1b2, got {0:?}")]
    LastEventId(String),
    /// What is wanted of the last events is not said as it should be.
    #[error(transparent)]
    Rewind(#[from] BadRewind),
    /// A stream is a connection, and was refused like any other.
    #[error("{reason}")]
    NotAdmitted {
        /// What a WebSocket would have been closed with.
        code: CloseStatus,
        /// Why.
        reason: String,
    },
    /// Nothing new is begun.
    #[error("The broker is shutting down")]
    ShuttingDown,
    /// Connections were to be ended on all nodes, and only those of this one have been: it may be asked again.
    #[error(
        "The other nodes of the cluster cannot be reached: only the connections of this node were ended, try again"
    )]
    OtherNodesAway,
    /// The address was refused too often, and nothing that comes of it is looked at.
    #[error(transparent)]
    RefusedTooOften(#[from] RefusedTooOften),
    /// The bodies that have not come whole hold as much as they may together.
    #[error("Too many requests at once: try again")]
    TooManyBodies,
    /// The body is not what it should be.
    #[error("Invalid JSON in the request body: {0}")]
    InvalidJson(String),
    /// The body is not text.
    #[error("The request body must be UTF-8")]
    BodyNotUtf8,
    /// Something required is not there.
    #[error("Missing required parameter: {0}")]
    Missing(&'static str),
    /// Something is of another type.
    #[error("Expected {parameter} parameter to be {expected}")]
    WrongType {
        /// Its name.
        parameter: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The event's name cannot be published.
    #[error(transparent)]
    EventName(#[from] InvalidEventName),
    /// The payload cannot be relayed.
    #[error("The data of this event cannot be delivered: {0}")]
    Unrelayable(#[from] Unrelayable),
    /// The payload is over the app's limit.
    #[error("The data content of this event exceeds the allowed maximum ({limit} bytes): it has {bytes}")]
    DataTooLarge {
        /// What is allowed.
        limit: usize,
        /// What came.
        bytes: usize,
    },
    /// The whole body is over the broker's limit.
    #[error("The request body exceeds the allowed maximum ({limit} bytes)")]
    BodyTooLarge {
        /// What is allowed.
        limit: usize,
    },
    /// The name cannot be a channel's.
    #[error("Invalid channel name: {name} ({reason})")]
    ChannelName {
        /// What came, shortened.
        name: String,
        /// What is wrong with it.
        reason: InvalidChannelName,
    },
    /// More channels than one event may go to.
    #[error("Too many channels ({got} > {limit})")]
    TooManyChannels {
        /// What came.
        got: usize,
        /// What is allowed.
        limit: usize,
    },
    /// More events than one batch may hold.
    #[error("Batch too large ({got} > {limit})")]
    BatchTooLarge {
        /// What came.
        got: usize,
        /// What is allowed.
        limit: usize,
    },
    /// More events at once than the app may publish in a second: it would never be the time for them.
    #[error(
        "Too many events at once ({got} > {limit}): the app may publish {limit} per second, each counted for each of its \
         channels"
    )]
    MoreEventsThanASecond {
        /// What came.
        got: usize,
        /// What is allowed.
        limit: u32,
    },
    /// The app has published as much as it may for now.
    #[error("Too many events: the app may publish {limit} per second; try again in {seconds} s")]
    TooManyEvents {
        /// What is allowed.
        limit: u32,
        /// Until these would fit.
        seconds: u64,
    },
    /// The app has asked as often as it may for now.
    #[error("Too many requests: the app may ask {limit} times per second; try again in {seconds} s")]
    TooManyReads {
        /// What is allowed.
        limit: u32,
        /// Until one more would fit.
        seconds: u64,
    },
    /// A batch without events.
    #[error("Batch is empty: send 1 event or more")]
    BatchEmpty,
    /// What should be an id of the publisher's own is none.
    #[error("Invalid {place}: {error}, got {got:?}")]
    PublishId {
        /// Where it stands.
        place: &'static str,
        error: InvalidPublishId,
        /// What came.
        got: String,
    },
    /// A request has two ids.
    #[error("Idempotency-Key and id differ: {one:?} and {other:?}")]
    PublishIdsDiffer {
        /// What the body says, or a header before.
        one: String,
        /// What a header says.
        other: String,
    },
    /// Two events of a batch have the same id.
    #[error("Two events of the batch have the id {0:?}")]
    PublishIdTwice(String),
    /// Something else was published under this id.
    #[error(
        "Another request was published under the id {0:?} within the last ten minutes: another request needs another id"
    )]
    PublishIdOfAnother(String),
    /// The same is being published under this id at this moment.
    #[error("The request with the id {0:?} is under way: try again in 1 s")]
    PublishUnderWay(String),
    /// The id of the connection to leave out is malformed.
    #[error("{error}: expected digits, a dot and digits, got {got:?}")]
    SocketId {
        /// The sentence that libraries know.
        error: InvalidSocketId,
        /// What came.
        got: String,
    },
    /// `info` asks for what does not exist.
    #[error("info should be a comma separated list of attributes, of which {got:?} is none here: {allowed}")]
    Info {
        /// What came.
        got: String,
        allowed: &'static str,
    },
    /// `info` asks for what the app has switched off.
    #[error("info attribute subscription_count is not available: subscription counting is off for this app")]
    SubscriptionCountOff,
    /// Members were asked for where there are none. The misspelling is the real service's.
    #[error(
        "user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-"
    )]
    UserCountWithoutPrefix,
    /// Members were asked for where there are none.
    #[error("Cannot retrieve the user count unless the channel is a presence channel")]
    UserCountNotPresence,
    /// Members were asked for where there are none.
    #[error("Users can only be retrieved for presence channels")]
    UsersNotPresence,
    /// The cached event was asked for where none is kept.
    #[error("Cannot retrieve the cache unless the channel is a cache channel")]
    NotACacheChannel,
    /// The history was asked for where none is kept.
    #[error("The history can only be retrieved of channels that keep one (history in [[apps.channels]])")]
    NoHistory,
    /// Parameters that the endpoint does not take.
    #[error("The following query string parameters are extraneous: {0}")]
    Extraneous(String),
    /// The body did not arrive in time.
    #[error("Request timeout: the body did not arrive within {seconds} s")]
    Timeout {
        /// What is allowed.
        seconds: String,
    },
}

impl ApiError {
    /// The status, in one place for all refusals.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            // The real service answers 400 for this one and 401 for the rest.
            ApiError::Auth(Unauthenticated { error, .. }) => match error {
                RequestAuthError::UnknownKey => StatusCode::BAD_REQUEST,
                RequestAuthError::NoKey
                | RequestAuthError::NoVersion
                | RequestAuthError::UnsupportedVersion
                | RequestAuthError::NoTimestamp
                | RequestAuthError::TimestampExpired { .. }
                | RequestAuthError::TimestampAhead { .. }
                | RequestAuthError::WrongSignature { .. }
                | RequestAuthError::WrongBodyHash => StatusCode::UNAUTHORIZED,
            },
            ApiError::NotFound(_)
            | ApiError::AppNotFound(_)
            | ApiError::NoSuchApp(_)
            | ApiError::NoTrack { .. } => StatusCode::NOT_FOUND,
            ApiError::TrackCodec(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::UpgradeRequired { .. } => StatusCode::UPGRADE_REQUIRED,
            ApiError::RelayLeadsBack | ApiError::PublishUnderWay(_) => StatusCode::CONFLICT,
            ApiError::PublishIdOfAnother(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::AppDisabled
            | ApiError::ForeignHost(_)
            | ApiError::PublicHost(_)
            | ApiError::ForeignOrigin(_)
            | ApiError::Proxied(_)
            | ApiError::KeptKey
            | ApiError::HttpStreamsOff
            | ApiError::StreamOfUser => StatusCode::FORBIDDEN,
            ApiError::NotAdmitted { code, .. } => match code.code() {
                4100..=4299 => StatusCode::SERVICE_UNAVAILABLE,
                _ if *code == CloseCode::OverQuota => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::FORBIDDEN,
            },
            ApiError::ShuttingDown | ApiError::TooManyBodies | ApiError::OtherNodesAway => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ApiError::DataTooLarge { .. } | ApiError::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::Timeout { .. } => StatusCode::REQUEST_TIMEOUT,
            ApiError::TooManyEvents { .. } | ApiError::TooManyReads { .. } | ApiError::RefusedTooOften(_) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            ApiError::InvalidJson(_)
            | ApiError::BodyNotUtf8
            | ApiError::Missing(_)
            | ApiError::WrongType { .. }
            | ApiError::EventName(_)
            | ApiError::Unrelayable(_)
            | ApiError::ChannelName { .. }
            | ApiError::TooManyChannels { .. }
            | ApiError::BatchTooLarge { .. }
            | ApiError::MoreEventsThanASecond { .. }
            | ApiError::BatchEmpty
            | ApiError::PublishId { .. }
            | ApiError::PublishIdsDiffer { .. }
            | ApiError::PublishIdTwice(_)
            | ApiError::SocketId { .. }
            | ApiError::Info { .. }
            | ApiError::SubscriptionCountOff
            | ApiError::UserCountWithoutPrefix
            | ApiError::UserCountNotPresence
            | ApiError::UsersNotPresence
            | ApiError::NotACacheChannel
            | ApiError::NoHistory
            | ApiError::NoVideoChannel
            | ApiError::Extraneous(_)
            | ApiError::LastEventId(_)
            | ApiError::Rewind(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// After how many seconds it may be tried again, where waiting helps.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            ApiError::TooManyBodies
            | ApiError::ShuttingDown
            | ApiError::OtherNodesAway
            | ApiError::PublishUnderWay(_) => Some(1),
            ApiError::RefusedTooOften(RefusedTooOften { seconds })
            | ApiError::TooManyEvents { seconds, .. }
            | ApiError::TooManyReads { seconds, .. } => Some(*seconds),
            _ => None,
        }
    }

    /// The body of the answer. What a refused signature came from stands behind the sentence that libraries know, as far
    /// as whoever asked may be told.
    pub(crate) fn body(&self) -> String {
        match self.diagnosis().and_then(Diagnosis::for_outsiders) {
            Some(cause) => format!("{self} ({cause})\n"),
            None => format!("{self}\n"),
        }
    }

    /// What a refused signature came from, where that was looked for.
    pub(crate) fn diagnosis(&self) -> Option<&Diagnosis> {
        match self {
            ApiError::Auth(Unauthenticated { diagnosis, .. }) => diagnosis.as_deref(),
            _ => None,
        }
    }

    /// The answer.
    pub(crate) fn response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status());
        answer.content_type("text/plain; charset=utf-8");
        if let Some(seconds) = self.retry_after() {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        match self {
            ApiError::MethodNotAllowed { allowed, .. } => {
                answer.insert_header((header::ALLOW, *allowed));
            }
            ApiError::UpgradeRequired { .. } => {
                answer.insert_header((header::UPGRADE, "websocket"));
            }
            _ => {}
        }
        answer.body(self.body())
    }
}
