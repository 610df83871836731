//! Built-in devices: the test camera.
