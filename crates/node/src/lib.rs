//! One machine's daemon: which parts run, wired how.
