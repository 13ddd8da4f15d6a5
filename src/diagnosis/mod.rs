//! Why a signature was refused: what can be proved of it, by trying what it may have been made of instead.
//!
//! A refusal says what was to be signed; this says what was signed. Each guess is put to the proof with the app's own
//! secrets, so a cause that is named is true, and where none can be proved none is named. Nothing that is told holds a
//! secret, or the signature that would have been right; and what it tells of other apps and other connections is for
//! those who run the broker alone ([`Cause::is_for_operators`]).
//!
//! It is looked for only when something was refused. At most [`MOST_SIGNATURES`] are computed for each, over texts of at
//! most [`MOST_BYTES`]; how many refusals are examined in a second its caller decides.

mod body;
mod cause;
mod client_auth;
mod examiner;
mod json_forms;
mod pasted;
mod request;
mod told;
mod written;

pub(crate) use body::cause_of_body;
pub(crate) use cause::{Cause, Diagnosis, HIDDEN};
pub(crate) use client_auth::{DisputedAuth, SignedFor, SigningContext, cause_of_auth, string_to_sign};
pub(crate) use examiner::MOST_SIGNATURES;
pub(crate) use pasted::{
    Explanation, Knowledge, PastedAddress, channel_name, explain, note_of_auth, note_of_request, socket_id,
};
pub(crate) use request::{DisputedRequest, cause_of_key, cause_of_request, says_enough};
pub(crate) use told::{told_in_auth, told_in_path, told_in_request};
