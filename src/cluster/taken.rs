//! What whoever waits for the engine is told.

use crate::hub::BusAway;

use super::adapter::EngineError;
use super::counts::ClusterCounts;

/// What whoever waits is told when the engine has answered, or has not.
pub(super) fn taken_of(answer: Result<(), EngineError>, counts: &ClusterCounts) -> Result<(), BusAway> {
    match answer {
        Ok(()) => Ok(()),
        Err(EngineError::Refused(reason)) => {
            counts.refused(&reason);
            Err(BusAway)
        }
        Err(EngineError::Away) => Err(BusAway),
    }
}
