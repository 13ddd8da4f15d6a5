//! `POST /apps/{id}/users/{user_id}/terminate_connections`.

use actix_web::HttpResponse;
use serde_json::{Map, Value};

use crate::event::BackendCall;

use super::answer::json_response;
use super::authentication::Authenticated;

/// Ends every connection that is signed in as the user. It is no error if there is none.
pub(crate) fn terminate(request: &Authenticated<'_>, user_id: &str) -> HttpResponse {
    request.hub().terminate_user(&request.app, user_id);
    if request.app.hears_calls() {
        request.app.hand_on(&BackendCall::TerminateUser(user_id), request.is_relayed);
    }
    json_response(&Value::Object(Map::new()))
}
