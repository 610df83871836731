//! Doors for strangers: RTSP, HLS, HTTP API, WebSocket, metrics and the console.
