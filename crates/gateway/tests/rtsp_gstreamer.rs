//! GStreamer at both ends: its server is pulled, its client plays.

mod rtsp_support;

use std::process::Stdio;
use std::time::Duration;

use pegasus_circuit::Switch;
use pegasus_gateway::sources::SourceState;
use pegasus_media::Codec;
use rtsp_support::{Door, PATIENCE, clip, ffmpeg, name_of, until};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// GStreamer's server, as the end-to-end tests start it too.
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/e2e/gst_server.py");

async fn serve(port: u16) -> Child {
    // The system's Python, which has GStreamer's bindings.
    let mut server = Command::new("/usr/bin/python3")
        .args([SERVER, &port.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 is installed");
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let ready = tokio::time::timeout(PATIENCE, lines.next_line()).await;
    assert_eq!(ready.unwrap().unwrap().as_deref(), Some("ready"), "GStreamer's RTSP server starts");
    server
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn units(switch: &Switch, name: &str) -> u64 {
    switch.status(&name_of(name)).map_or(0, |status| status.units)
}

#[tokio::test(flavor = "multi_thread")]
async fn its_server_is_pulled_and_again_after_a_restart() {
    let door = Door::open().await;
    let (switch, sources) = (&door.services.switch, &door.services.sources);
    let port = free_port();
    let mut server = serve(port).await;
    let url = format!("rtsp://127.0.0.1:{port}/live");
    for (name, tail) in [("/tcp", ""), ("/udp", "#transport=udp")] {
        sources.add(&name_of(name), &format!("{url}{tail}")).unwrap();
    }
    for name in ["/tcp", "/udp"] {
        until("pictures and sound come", || units(switch, name) > 100).await;
        let tracks = switch.status(&name_of(name)).unwrap().tracks;
        let codecs: Vec<Codec> = tracks.iter().map(|track| track.codec).collect();
        assert_eq!(codecs, [Codec::H264, Codec::Pcmu], "{name}");
        assert_eq!(tracks[0].size(), Some((320, 240)), "{name}");
    }
    let state = |name: &str| {
        let list = sources.list();
        list.into_iter().find(|status| status.name.as_str() == name).unwrap().state
    };
    server.kill().await.unwrap();
    until("the loss is noticed", || state("/tcp") != SourceState::Live).await;
    let _server = serve(port).await;
    until("it is live again", || state("/tcp") == SourceState::Live).await;
}

/// Plays `url` with GStreamer until so many pictures have come.
async fn play(url: &str, protocols: &str, pictures: u32) {
    let client = Command::new("gst-launch-1.0")
        .args(["-q", "rtspsrc", &format!("location={url}"), &format!("protocols={protocols}")])
        .args(["!", "rtph264depay", "!", "h264parse", "!", "video/x-h264,alignment=au"])
        .args(["!", "identity", &format!("eos-after={pictures}"), "!", "fakesink", "sync=false"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("gst-launch-1.0 is installed");
    let ended = tokio::time::timeout(PATIENCE, client.wait_with_output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{pictures} pictures of {url} by {protocols}"));
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{url} by {protocols}: {errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_client_plays_live_and_recorded() {
    let door = Door::open().await;
    let (store, name) = (&door.services.store, name_of("/cam/door"));
    let url = door.url("/cam/door");
    let path = clip("car-detection.mp4");
    let _publisher = ffmpeg::publish(&path, &url);
    until("ffmpeg publishes", || units(&door.services.switch, "/cam/door") > 20).await;
    let mut sink = door.services.switch.subscribe(&name, pegasus_circuit::Start::Held);
    let recorder = store.recorder(&name, sink.status().tracks).unwrap();
    let recording = tokio::spawn(async move {
        loop {
            match sink.next().await {
                pegasus_circuit::Event::Unit(unit) => drop(recorder.push(unit)),
                pegasus_circuit::Event::Live(tracks) => recorder.set_tracks(tracks).unwrap(),
                _ => return,
            }
        }
    });
    let from = door.services.clock.now();
    for protocols in ["tcp", "udp"] {
        play(&url, protocols, 30).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for protocols in ["tcp", "udp"] {
        play(&format!("{url}?from={from}"), protocols, 20).await;
    }
    recording.abort();
}
