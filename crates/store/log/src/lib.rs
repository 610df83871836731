//! The core layer: log segments, stripes and parity, pnodes, checkpoints, recovery, garbage file.
