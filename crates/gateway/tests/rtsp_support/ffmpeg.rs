//! ffmpeg as publisher and player.

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::PATIENCE;
use super::common::hashes_of;

/// Runs ffmpeg to its end, which must be a good one. Yields what it wrote to standard output.
pub async fn run(args: &[&str]) -> String {
    let output = spawn(args).wait_with_output();
    let output =
        tokio::time::timeout(PATIENCE, output).await.expect("ffmpeg ends in time").unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ffmpeg {args:?} failed: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs ffmpeg, which must fail. Yields what it complained about.
pub async fn fail(args: &[&str]) -> String {
    let output = spawn(args).wait_with_output();
    let output =
        tokio::time::timeout(PATIENCE, output).await.expect("ffmpeg ends in time").unwrap();
    assert!(!output.status.success(), "ffmpeg {args:?} was to fail");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts ffmpeg; it is killed when dropped.
pub fn spawn(args: &[&str]) -> Child {
    Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-v", "error"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("ffmpeg is installed")
}

/// Publishes a file in real time, again and again, in the connection.
pub fn publish(file: &Path, url: &str) -> Child {
    let input = ["-re", "-stream_loop", "-1", "-i", text(file), "-c", "copy"];
    spawn(&[&input[..], &["-f", "rtsp", "-rtsp_transport", "tcp", url]].concat())
}

/// The checksums of all packets that come out of `input`, by stream and in order.
pub async fn packet_hashes(input: &[&str]) -> Vec<Vec<String>> {
    let mut args = input.to_vec();
    args.extend(["-map", "0", "-c", "copy", "-f", "framehash", "-"]);
    hashes_of(&run(&args).await)
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}
