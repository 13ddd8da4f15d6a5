//! What there is of each app: its connections, and what they are subscribed to.

use std::borrow::Cow;
use std::sync::Arc;

use crate::hub::{AppFigures, AppState, Hub};

use super::catalogue::{CHANNELS, CONNECTIONS, MEMBERS, SUBSCRIPTIONS};
use super::snapshot::Snapshot;

/// Apps that are told one by one. Test mode makes as many as it is asked to; where there are more than this, every metric
/// has one series for all of them, whose `app_id` is empty.
pub(super) const MOST_APPS: usize = 1000;

/// Tells what the apps have that there are now. Those that were removed and have not gone yet are not among them.
pub(super) fn collect(hub: &Hub, snapshot: &mut Snapshot) {
    let apps = hub.apps();
    let mut apps: Vec<&Arc<AppState>> = apps.iter().collect();
    apps.sort_by_key(|app| app.id());
    let figures = apps.iter().map(|app| (app.id(), hub.figures_of(app)));
    if apps.len() <= MOST_APPS {
        figures.for_each(|(id, figures)| tell(Cow::Owned(id.to_owned()), &figures, snapshot));
        return;
    }
    let mut all = AppFigures::default();
    figures.for_each(|(_, figures)| all.add(&figures));
    tell(Cow::Borrowed(""), &all, snapshot);
}

fn tell(id: Cow<'static, str>, figures: &AppFigures, snapshot: &mut Snapshot) {
    snapshot.tell_of(CONNECTIONS, [id.clone()], figures.connections);
    snapshot.tell_of(SUBSCRIPTIONS, [id.clone()], figures.subscriptions);
    snapshot.tell_of(MEMBERS, [id.clone()], figures.members);
    for (channel_type, count) in figures.channels() {
        snapshot.tell_of(CHANNELS, [id.clone(), channel_type.name().into()], count);
    }
}
