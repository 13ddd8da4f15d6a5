//! The faults of an app under test: added, shown, and ended.

use crate::hub::Timed;
use crate::test_mode::faults::{Fault, Faults};

use super::{AppUnderTest, TestError};

impl AppUnderTest {
    /// Adds a fault; returns its number.
    ///
    /// # Errors
    /// If it is none, or there are too many.
    pub fn add_fault(&self, fault: Fault) -> Result<u64, TestError> {
        fault.check()?;
        let id = self.faults.add(fault, rand::random(), self.now())?;
        if let (Some(end), Ok((_, state))) = (self.faults.ends(id), self.place()) {
            self.faults.keep(id, state.clock().wait_until(end, Timed::FaultEnd).1);
        }
        Ok(id)
    }

    /// The faults at work.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The same as JSON, each with its number and how often it did its work.
    pub fn active_faults(&self) -> Vec<serde_json::Value> {
        self.faults.list(self.now())
    }

    /// Ends one fault, and lets go what waits for its end; `false` if there is no such one.
    pub fn clear_fault(&self, id: u64) -> bool {
        let cleared = self.faults.clear(id);
        self.log.touch();
        cleared
    }

    /// Ends all faults; returns how many there were.
    pub fn clear_faults(&self) -> usize {
        let cleared = self.faults.clear_all();
        self.log.touch();
        cleared
    }
}
