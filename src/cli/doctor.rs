//! `doctor`: examines a server of the Pusher Channels protocol and the way to it, by its URL and the credentials of an app.
//!
//! Each check is a file: a part that asks, and a pure part that judges what came. What is needed to ask is in `visit`; the order,
//! and what is tried when, in `order`.

mod body_size;
mod capacity;
mod check;
mod client_events;
mod clock;
mod connect;
mod conversation;
mod cors;
mod fallback_frames;
mod fallback_transport;
mod fallbacks;
mod finding;
mod forwarding;
mod greeting;
mod idle;
mod live_answer;
mod names;
mod order;
mod origin;
mod place;
mod refusal;
mod report;
mod round_trip;
mod signature;
mod speech;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod tried_session;
mod trust;
mod upgrade;
mod visit;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use url::Url;

use self::idle::LONGEST_SECONDS;
use self::order::{ORDER, WHOLE, examine};
use self::place::CheckedPlace;
use self::report::{Report, ReportForm};
use self::visit::Visit;
use super::remote::{
    AdminPlace, AppArguments, GivenApp, Remote, RemoteFailure, broker_url, is_colourful, no_address,
};
use crate::outbound::{TrustedFile, shown};

/// What is to be examined.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct DoctorArguments {
    /// The address where clients connect, with its path prefix if it has one [default: that of PUSHER_HOST, PUSHER_PORT and
    /// PUSHER_SCHEME, or http://127.0.0.1:6001].
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// The address of the HTTP API, where backends publish, if it is another one.
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    #[command(flatten)]
    app: AppArguments,
    /// A file of certificates to trust besides the public ones, in PEM form.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The origin of the page that clients are on, with its scheme: whether it may connect and use the fallbacks.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Have clients say nothing for so long, to see whether something on the way cuts them before the server speaks.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=LONGEST_SECONDS))]
    idle: u64,
    #[command(flatten)]
    admin: AdminPlace,
    /// Show each finding as a line of JSON.
    #[arg(long)]
    json: bool,
}

/// Examines, and prints each finding as it comes. Returns whether all is well.
pub(super) fn run_doctor(arguments: &DoctorArguments) -> Result<bool, RemoteFailure> {
    let (url, named_by) = broker_url(arguments.url.as_deref(), "URL");
    let sockets = read_place(&url, named_by)?;
    let api = arguments.api.as_deref().map_or_else(|| Ok(sockets.clone()), |url| read_place(url, "--api"))?;
    let app = arguments.app.app()?;
    let trusted = arguments.ca_file.as_deref().map(|path| TrustedFile { path, named_by: "--ca-file" });
    let mut visit = Visit::new(sockets, api, app, trusted).map_err(RemoteFailure::usage)?;
    visit.origin = arguments.origin.as_deref().map(read_origin).transpose()?;
    visit.idle = Duration::from_secs(arguments.idle);
    let is_named = arguments.admin.is_named();
    visit.admin = is_named.then(|| Remote::admin(&arguments.admin)).transpose()?;
    let for_people = if is_colourful() { ReportForm::Colourful } else { ReportForm::Plain };
    let form = if arguments.json { ReportForm::Json } else { for_people };
    let mut report = Report::new(form, &visit.app, visit.admin.as_ref().and_then(Remote::token));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(RemoteFailure::not_done)?;
    let mut out = std::io::stdout().lock();
    // A reader that has gone wants no more.
    let mut print = |text: &str| match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let beginning = report.beginning(visit.sockets.shown(), &visit.app);
    if print(&beginning).is_break() {
        return Ok(false);
    }
    let examined = examine(&ORDER, &mut visit, WHOLE, |check, finding| print(&report.lines(check, finding)));
    let is_well = runtime.block_on(examined);
    let _ = print(&report.end());
    // A name that is still being looked up is waited for no longer.
    runtime.shutdown_background();
    Ok(is_well)
}

fn read_place(text: &str, named_by: &str) -> Result<CheckedPlace, RemoteFailure> {
    CheckedPlace::read(text).ok_or_else(|| {
        // Where the address was forgotten, a secret may stand in its place.
        let got = if !text.contains("://") && GivenApp::parse(text, named_by).is_ok() {
            "what may be an app: give that by --app".to_owned()
        } else {
            no_address(text)
        };
        let told = format!("{named_by}: expected an address such as https://example.com, got {got}");
        RemoteFailure::usage(told)
    })
}

/// The origin as browsers write it, of an address of the page; `null` is that of pages that have none.
fn read_origin(text: &str) -> Result<String, RemoteFailure> {
    let page = Url::parse(text).ok().filter(Url::has_host);
    match page {
        _ if text == "null" => Ok(text.to_owned()),
        Some(page) if page.origin().is_tuple() => Ok(page.origin().ascii_serialization()),
        // Apps have schemes of their own, such as capacitor://localhost.
        Some(page) => Ok(page[..url::Position::AfterPort].to_owned()),
        None => Err(RemoteFailure::usage(format!(
            "--origin: expected the origin of a page, such as https://example.com, got {:?}",
            shown(text)
        ))),
    }
}
