//! What there is of a video channel, for whoever looks: its tracks, read under the channel's entry, and its viewers, whom their
//! workers look at, in several turns where they are many.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::protocol::ChannelName;
use crate::video::{TrackFigures, ViewersSeen};

use super::mailbox::WorkerCommand;
use super::viewers_question::ViewersQuestion;
use super::{AppState, Hub};

/// How long the workers may take. What has been found by then is shown.
const LOOKING_TIME: Duration = Duration::from_secs(1);

impl Hub {
    /// The tracks of a channel of this node.
    pub(crate) fn track_figures(&self, app: &AppState, channel: &ChannelName) -> Vec<TrackFigures> {
        let now = app.clock().now();
        let Some(entry) = app.channels.get(channel) else { return Vec::new() };
        entry.tracks().map(|tracks| tracks.figures(now)).unwrap_or_default()
    }

    /// The viewers of a channel on this node, and whether all of them have been looked at in time.
    pub(crate) async fn look_at_viewers(&self, app: &AppState, channel: &ChannelName) -> (ViewersSeen, bool) {
        let (asked, mut done) = mpsc::channel(1);
        let (question, seen) = ViewersQuestion::new(asked);
        if let Some(entry) = app.channels.get(channel) {
            for worker in entry.subscribers().workers() {
                let (app, channel, question) = (app.index(), channel.clone(), question.clone());
                self.mailbox(worker).post(WorkerCommand::Viewers { app, channel, question });
            }
        }
        drop(question);
        // Nothing is ever sent; it ends when the last worker is done.
        let is_whole = timeout(LOOKING_TIME, done.recv()).await.is_ok();
        let seen = seen.lock().clone();
        (seen, is_whole)
    }
}
