//! The `pegasus` command.
fn main() {}
