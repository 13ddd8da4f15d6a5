//! What has come of an upgrade, where no engine has processes be nodes of one broker.

use crate::hub::{HandedKind, HandedLoss, Hub};

use super::catalogue as is;
use super::snapshot::Snapshot;

/// Tells of the link to another process, and of what came by it.
pub(super) fn collect(hub: &Hub, snapshot: &mut Snapshot) {
    let figures = hub.upgrades().read();
    snapshot.tell(is::UPGRADE_LINKED, u64::from(figures.is_linked));
    if let Some(took) = figures.took {
        snapshot.tell(is::UPGRADE_TOOK, took.as_secs_f64());
    }
    for kind in HandedKind::ALL {
        snapshot.tell_of(is::UPGRADE_TAKEN_OVER, [kind.name().into()], figures.of(kind));
    }
    for loss in HandedLoss::ALL {
        snapshot.tell_of(is::UPGRADE_LOST, [loss.name().into()], figures.lost(loss));
    }
}
