//! `POST /apps/{id}/users/{user_id}/terminate_connections`.

use actix_web::HttpResponse;
use serde_json::{Map, Value};

use crate::event::BackendCall;
use crate::hub::BusAway;

use super::ApiError;
use super::answer::json_response;
use super::authentication::Authenticated;

/// Ends every connection that is signed in as the user, on all nodes. It is no error if there is none.
pub(crate) async fn terminate(request: &Authenticated<'_>, user_id: &str) -> Result<HttpResponse, ApiError> {
    let terminated = request.hub().terminate_user_everywhere(&request.app, user_id).await;
    terminated.map_err(|BusAway| ApiError::OtherNodesAway)?;
    if request.app.hears_calls() {
        request.app.hand_on(&BackendCall::TerminateUser(user_id), request.is_relayed);
    }
    Ok(json_response(&Value::Object(Map::new())))
}
