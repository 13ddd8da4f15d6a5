//! What answers below a path of the admin listener that is not its own: it is given to it by whoever makes it.

use std::fmt::Debug;
use std::pin::Pin;

use actix_web::{HttpRequest, HttpResponse, web};

/// Answers requests that were let in.
pub(crate) trait ControlRoutes: Debug + Send + Sync {
    /// Answers a request; `path` is the rest of its path, in segments.
    fn answer<'r>(
        &'r self,
        request: &'r HttpRequest,
        path: &'r [&'r str],
        payload: &'r mut web::Payload,
    ) -> Pin<Box<dyn Future<Output = HttpResponse> + 'r>>;
}
