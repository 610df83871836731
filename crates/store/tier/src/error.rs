//! What can go wrong with objects.

/// Why nothing came of a call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such object.
    #[error("{place} has no object {name}")]
    Missing {
        /// Where it was looked for.
        place: String,
        /// Its name.
        name: String,
    },
    /// The store does not answer, not in time, or not as it should. It may later.
    #[error("{place} failed at {what}: {why}")]
    Failed {
        /// Which store.
        place: String,
        /// What was asked for.
        what: String,
        /// What it said.
        why: String,
    },
    /// It can't be used as it is set up.
    #[error("{place} can't be used: {why}")]
    Settings {
        /// Which store.
        place: String,
        /// What is wrong.
        why: String,
    },
}
