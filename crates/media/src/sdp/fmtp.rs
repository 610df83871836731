//! The parameters of an `fmtp` line.
