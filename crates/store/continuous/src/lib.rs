//! Continuous media on the core layer: recorder, index by time, spans, retention, reader.
