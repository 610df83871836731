//! What the node knows of its disks' speed, and whether it gives promises: told by the node, shown by the doors.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether promises are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PromiseState {
    /// The configuration asks for none.
    #[default]
    Disabled,
    /// Not yet: it is being found out what the disks can do.
    Measuring,
    /// They are.
    Guaranteed,
    /// They can't be: nobody knows what the disks can do, or they can do too little.
    Failed,
}

/// A measurement under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measurement {
    /// The disk.
    #[schema(example = "/dev/sdb")]
    pub disk: String,
    /// How much is done, in percent.
    pub done_percent: f64,
}

/// How things are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasuringStatus {
    /// Whether promises are given.
    pub state: PromiseState,
    /// Why not, if they can't be.
    pub reason: Option<String>,
    /// What is measured at present.
    pub measurement: Option<Measurement>,
    /// How often the disks were measured anew since the node started, as they were slower than their profile said.
    pub remeasured: u64,
}

/// Where the node says how things are. A handle: clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Measuring {
    status: Arc<Mutex<MeasuringStatus>>,
}

impl Measuring {
    /// How things are.
    #[must_use]
    pub fn status(&self) -> MeasuringStatus {
        self.status.lock().clone()
    }

    /// Says what has changed.
    pub fn tell(&self, change: impl FnOnce(&mut MeasuringStatus)) {
        change(&mut self.status.lock());
    }
}
