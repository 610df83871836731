//! Live pictures for browsers.

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::StreamExt as _;
use pegasus_base::{Clock as _, SystemClock, Time};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{Node, PATIENCE, Publisher, arg, clip, name_of, run, units};

#[tokio::test(flavor = "multi_thread")]
async fn fragments_arrive_over_a_web_socket() {
    let node = Node::open();
    let (tracks, units) = units(&clip("car-detection.mp4"), SystemClock.now());
    let switch = &node.services.switch;
    let source = switch.publish(&name_of("/cam/door"), "a test", Arc::clone(&tracks)).unwrap();
    let publisher = Publisher::start(source, units);
    let address = node.serve().await;
    let url = format!("ws://{address}/api/v1/streams/cam/door/live");
    let (mut socket, _) = connect_async(&url).await.unwrap();

    let mut file = Vec::new();
    let mut hello = None;
    let gather = async {
        while file.len() < 200_000 {
            match socket.next().await.expect("the socket stays open").unwrap() {
                Message::Text(text) if hello.is_none() => {
                    hello = Some(serde_json::from_str::<serde_json::Value>(&text).unwrap());
                }
                Message::Binary(bytes) => file.extend_from_slice(&bytes),
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, gather).await.expect("fragments arrive");
    let sinks = node.services.switch.status(&name_of("/cam/door")).unwrap().sinks;
    assert!(sinks[0].label.starts_with("http 127.0.0.1:"), "{sinks:?}");
    let hello = hello.expect("a description comes first");
    assert!(hello["mime"].as_str().unwrap().starts_with("video/mp4; codecs=\"avc1."), "{hello}");
    let epoch_ms = hello["epoch_ms"].as_f64().unwrap();
    assert!((epoch_ms - SystemClock.now().as_secs_f64() * 1e3).abs() < 60_000.0);

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.mp4");
    std::fs::write(&out, &file).unwrap();
    run("ffmpeg", &["-nostdin", "-v", "error", "-i", arg(&out), "-f", "null", "-"]).await;

    // The publisher leaves: the viewer is told, and stays.
    drop(publisher);
    let told = async {
        while let Some(message) = socket.next().await {
            if message.unwrap() == Message::Text("{\"idle\":true}".into()) {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(PATIENCE, told).await.expect("the viewer is told"));
    // The node stops: the socket is closed.
    node.services.stop.cancel();
    let closed = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(closed, Message::Close(_)), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_is_refused_with_a_reason() {
    let node = Node::open();
    let address = node.serve().await;
    let url = format!("ws://{address}/api/v1/streams/cam/door/live");
    let refused = |result: Result<_, Error>| match result {
        Err(Error::Http(response)) => response.status(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was let in"),
    };
    assert_eq!(refused(connect_async(&url).await), StatusCode::NOT_FOUND);
    let mut strange = url.into_client_request().unwrap();
    strange.headers_mut().insert("origin", "http://evil.example".parse().unwrap());
    assert_eq!(refused(connect_async(strange).await), StatusCode::FORBIDDEN);
    assert_eq!(node.get("/api/v1/streams/cam/door/live").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_replace_one_another() {
    let node = Node::open();
    let track = Track {
        id: TrackId(0),
        codec: Codec::Mjpeg,
        clock_rate: 90_000,
        shape: Shape::Video { width: 16, height: 16 },
        config: Bytes::new(),
    };
    let tracks: TrackSet = [track].into();
    let name = name_of("/test/card");
    let source = node.services.switch.publish(&name, "a test", tracks).unwrap();
    let send = move |n: i64| {
        source.send(Unit {
            track: TrackId(0),
            pts: n,
            dts: n,
            time: Time::from_ms(n),
            duration: 0,
            key: true,
            data: Bytes::from(format!("picture {n}")),
        });
    };
    send(1);
    let request = axum::http::Request::get("/api/v1/streams/test/card/live.mjpeg");
    let request = request.body(axum::body::Body::empty()).unwrap();
    let router = node.router.clone();
    let answer = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(
        answer.headers()["content-type"],
        "multipart/x-mixed-replace; boundary=pegasus-picture"
    );
    let mut body = answer.into_body().into_data_stream();
    let mut seen = String::new();
    for n in 2..5 {
        while !seen.contains(&format!("picture {}\r\n", n - 1)) {
            let bytes = tokio::time::timeout(PATIENCE, body.next()).await.unwrap().unwrap();
            seen.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        }
        send(n);
    }
    let part = "--pegasus-picture\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\n";
    assert!(seen.starts_with(&format!("{part}picture 1\r\n{part}picture 2\r\n")), "{seen}");
}
