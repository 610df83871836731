//! HTTP Live Streaming: live with low latency, and any recorded range.

mod cut;
mod playlist;
mod segmenter;
mod window;
