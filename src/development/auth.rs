//! `/dev/auth` and `/dev/user-auth`: they sign any subscription and any user, as a permissive backend would.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use crate::app::{App, Key};
use crate::auth::request::Query;
use crate::auth::{self, EncryptionMasterKey};
use crate::http::{ApiError, channel_name};
use crate::protocol::{SocketId, WrittenSocketId};

/// Signs a subscription. The form has `socket_id` and `channel_name`; on presence channels `user_id` and `name`
/// say who joins, and a user is made up where they do not. On encrypted channels the answer has the channel's
/// `shared_secret`, which takes a master key that may be told.
pub(super) fn channel(
    app: &App,
    key: &Key,
    master_key: Option<&EncryptionMasterKey>,
    body: &[u8],
) -> Result<HttpResponse, ApiError> {
    let form = form(body)?;
    let socket_id = socket_id(&form)?;
    let name = form.get("channel_name").ok_or(ApiError::Missing("channel_name"))?;
    let channel = channel_name(name, &app.limits)?;
    let channel_data = channel.channel_type().is_presence().then(|| user(&form, "user_id").to_string());
    let signed = auth::channel::string_to_sign(socket_id, &channel, channel_data.as_deref());
    let mut answer = json!({ "auth": format!("{}:{}", key.key, auth::sign(&key.secret, &signed)) });
    if let Some(channel_data) = channel_data {
        answer["channel_data"] = channel_data.into();
    }
    if channel.channel_type().is_encrypted() {
        let master_key = master_key.ok_or(ApiError::KeptKey)?;
        answer["shared_secret"] = master_key.shared_secret(name).into();
    }
    Ok(json_response(&answer))
}

/// Signs a user in: the one of the form's `user_id` and `name`, or one that is made up.
pub(super) fn user_auth(key: &Key, body: &[u8]) -> Result<HttpResponse, ApiError> {
    let form = form(body)?;
    let socket_id = socket_id(&form)?;
    let user_data = user(&form, "id").to_string();
    let signed = auth::user::string_to_sign(socket_id, &user_data);
    let auth = format!("{}:{}", key.key, auth::sign(&key.secret, &signed));
    Ok(json_response(&json!({ "auth": auth, "user_data": user_data })))
}

fn user(form: &Query, id_member: &str) -> Value {
    let id = match form.get("user_id") {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => format!("guest-{}", rand::random::<u32>()),
    };
    let name = form.get("name").unwrap_or(&id).to_owned();
    json!({ id_member: id, "user_info": { "name": name } })
}

/// The body as form fields; clients can be told to send JSON instead.
fn form(body: &[u8]) -> Result<Query, ApiError> {
    let text = std::str::from_utf8(body).map_err(|_| ApiError::BodyNotUtf8)?;
    if !text.trim_start().starts_with('{') {
        return Ok(Query::parse(text));
    }
    let fields: serde_json::Map<String, Value> =
        serde_json::from_str(text).map_err(|error| ApiError::InvalidJson(error.to_string()))?;
    let fields = fields.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    Ok(Query::of_pairs(fields))
}

fn socket_id(form: &Query) -> Result<SocketId, ApiError> {
    let text = form.get("socket_id").ok_or(ApiError::Missing("socket_id"))?;
    let wrong = |error| ApiError::SocketId { error, got: text.to_owned() };
    let written = WrittenSocketId::parse(text).map_err(wrong)?;
    written.ours().ok_or(wrong(crate::protocol::InvalidSocketId))
}

fn json_response(answer: &Value) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(answer.to_string())
}
