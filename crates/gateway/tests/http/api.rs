//! The JSON API, and who is let in.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use base64::Engine as _;
use pegasus_base::Time;
use pegasus_circuit::Damage;
use pegasus_gateway::{Access, Level};
use serde_json::{Value, json};

use crate::support::{Answer, Node, clip, name_of, units};

const START: Time = Time::from_secs(1_763_600_000);

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri);
    let request =
        headers.iter().fold(request, |request, (key, value)| request.header(*key, *value));
    request.body(Body::empty()).unwrap()
}

async fn post(node: &Node, uri: &str, body: Value) -> Answer {
    let request = Request::post(uri).header("content-type", "application/json");
    node.ask(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_has_what_tools_rely_on() {
    let node = Node::open();
    let status = node.get("/api/v1/status").await.json();
    assert_eq!(status["version"], "1.2.3");
    assert_eq!(status["streams"], 0);
    assert_eq!(status["ingest_bps"], 0);
    assert!(status["uptime_s"].is_u64());
    let store = &status["store"];
    assert_eq!(store["health"], "ok");
    assert!(store["capacity_bytes"].as_u64() > store["used_bytes"].as_u64());
    assert_eq!(store["disks"].as_array().unwrap().len(), 3);
    assert_eq!(store["disks"][0]["state"], "ok");
    assert_eq!(store["disks"][0]["errors"], 0);
    assert_eq!(node.get("/healthz").await.json(), json!({ "ok": true, "reason": null }));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_those_live_and_those_recorded() {
    let node = Node::open();
    let (tracks, units) = units(&clip("car-detection.mp4"), START);
    node.record("/cam/door", &tracks, &units);
    let name = name_of("/cam/yard");
    let source = node.services.switch.publish(&name, "a test", Arc::clone(&tracks)).unwrap();
    source.send_many(units[..10].to_vec());
    source.damaged(Damage { lost_packets: 5, damaged_units: 2, doubtful_units: 3 });

    let streams = node.get("/api/v1/streams").await.json();
    let [door, yard] = &streams.as_array().unwrap()[..] else { panic!("{streams}") };
    assert_eq!((&door["name"], &door["state"]), (&json!("/cam/door"), &json!("idle")));
    assert_eq!((&yard["name"], &yard["state"]), (&json!("/cam/yard"), &json!("live")));
    assert_eq!(door["recorded"]["units"], units.len());
    assert_eq!(yard["publisher"], "a test");
    assert_eq!(yard["recording"], false);
    let damage = ["lost_packets", "damaged_units", "doubtful_units"];
    assert_eq!(damage.map(|figure| yard[figure].as_u64().unwrap()), [5, 2, 3]);
    assert_eq!(damage.map(|figure| door[figure].as_u64().unwrap()), [0, 0, 0]);
    for stream in [door, yard] {
        let video = &stream["tracks"][0];
        assert_eq!((&video["kind"], &video["codec"]), (&json!("video"), &json!("h264")));
        assert_eq!((&video["width"], &video["height"]), (&json!(768), &json!(432)));
        assert!(video["clock_rate"].as_u64().unwrap() > 0);
        let audio = &stream["tracks"][1];
        assert_eq!(
            (&audio["kind"], &audio["codec_string"]),
            (&json!("audio"), &json!("mp4a.40.2"))
        );
    }
    assert_eq!(node.get("/api/v1/streams/cam/door").await.json()["name"], "/cam/door");
    assert_eq!(node.get("/api/v1/streams/cam%2Fyard").await.json()["name"], "/cam/yard");
    let gone = node.get("/api/v1/streams/cam/roof").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(gone.error(), "/cam/roof is not live and nothing is recorded of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_spans_in_a_range() {
    let node = Node::open();
    let (tracks, early) = units(&clip("car-detection.mp4"), START);
    node.record("/cam/door", &tracks, &early);
    let (_, late) = units(&clip("car-detection.mp4"), START.offset_ns(60_000_000_000));
    node.record("/cam/door", &tracks, &late);

    let all = node.get("/api/v1/streams/cam/door/recordings").await.json();
    let spans = all.as_array().unwrap();
    assert_eq!(spans.len(), 2, "{all}");
    assert_eq!(spans[0]["start"], early[0].time.to_string());
    assert_eq!(spans[0]["units"], early.len());
    let bytes: usize = early.iter().map(|unit| unit.data.len()).sum();
    assert_eq!(spans[0]["bytes"], bytes);
    let end: Time = spans[0]["end"].as_str().unwrap().parse().unwrap();
    assert!(end > early.iter().map(|unit| unit.time).max().unwrap());

    let second = format!("?from={}&to=+10s", START.offset_ns(60_000_000_000));
    let second = node.get(&format!("/api/v1/streams/cam/door/recordings{second}")).await.json();
    assert_eq!(second, json!([spans[1]]));
    let coarse = node.get("/api/v1/streams/cam/door/recordings?resolution_ms=3600000").await.json();
    assert_eq!(coarse.as_array().unwrap().len(), 1);
    assert_eq!(coarse[0]["units"], early.len() + late.len());

    let missing = node.get("/api/v1/streams/cam/roof/recordings").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.error(), "nothing is recorded of /cam/roof");
    let bad = node.get("/api/v1/streams/cam/door/recordings?from=yesterday").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert!(bad.error().contains("'yesterday' is not a time"), "{}", bad.error());

    let delete = format!("/api/v1/streams/cam/door/recordings?from={START}&to=+40s");
    let deleted = node.ask(request("DELETE", &delete, &[])).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    let left = node.get("/api/v1/streams/cam/door/recordings").await.json();
    assert_eq!(left, json!([spans[1]]));
    let deleted = node.ask(request("DELETE", "/api/v1/streams/cam/door/recordings", &[])).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    let gone = node.get("/api/v1/streams/cam/door/recordings").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_added_and_removed() {
    let node = Node::open();
    let new = json!({ "name": "/cam/yard", "url": "rtsp://me:secret@127.0.0.1:1/stream" });
    let added = post(&node, "/api/v1/sources", new.clone()).await;
    assert_eq!(added.status, StatusCode::CREATED);
    assert_eq!(added.json()["name"], "/cam/yard");
    let again = post(&node, "/api/v1/sources", new).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(again.error(), "there is already a source /cam/yard; remove it first");
    let list = node.get("/api/v1/sources").await;
    assert_eq!(list.json().as_array().unwrap().len(), 1);
    assert!(!list.text().contains("secret"), "{}", list.text());

    let cases = [
        json!({ "name": "cam yard", "url": "rtsp://x/" }),
        json!({ "name": "/cam/roof", "url": "gopher://x/" }),
        json!({ "name": "/cam/roof" }),
        json!({ "name": "/cam/roof", "url": "rtsp://x/", "colour": "red" }),
    ];
    for wrong in cases {
        let refused = post(&node, "/api/v1/sources", wrong.clone()).await;
        assert!(refused.status.is_client_error(), "{wrong}");
        assert!(refused.error().len() > 10, "{wrong}");
    }

    let removed = node.ask(request("DELETE", "/api/v1/sources/cam/yard", &[])).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    let gone = node.ask(request("DELETE", "/api/v1/sources/cam/yard", &[])).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_from_a_number_on() {
    let node = Node::open();
    node.services.events.report(Level::Warning, "/cam/door", "refused");
    node.services.events.report(Level::Error, "disk0", "failed");
    let events = node.get("/api/v1/events?after=1").await.json();
    assert_eq!(events.as_array().unwrap().len(), 1);
    assert_eq!(events[0]["level"], "error");
    assert_eq!(events[0]["subject"], "disk0");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_asked_for() {
    let node = Node::open_with(Access::credentials("admin", "secret").unwrap());
    let basic =
        |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    for uri in ["/", "/api/v1/status", "/metrics", "/hls/cam/door/index.m3u8", "/nowhere"] {
        let refused = node.get(uri).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{uri}");
        assert!(refused.header("www-authenticate").starts_with("Basic "), "{uri}");
        let wrong = node.ask(request("GET", uri, &[("authorization", &basic("admin:no"))])).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{uri}");
    }
    let right = [("authorization", &*basic("admin:secret")), ("host", "any.example")];
    let answer = node.ask(request("GET", "/api/v1/status", &right)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(node.get("/healthz").await.status, StatusCode::OK, "probes have none");
    let events = node.services.events.after(0, 10);
    assert_eq!(events.len(), 1, "told once, and counted: {events:?}");
    assert_eq!((events[0].text.as_str(), events[0].count), ("wrong credentials", 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_strangers_drive_nothing() {
    let node = Node::open();
    let uri = "/api/v1/sources/cam/yard";
    let host = ("host", "127.0.0.1:7070");
    for origin in ["http://evil.example", "null", "http://127.0.0.1:8000"] {
        let refused = node.ask(request("DELETE", uri, &[host, ("origin", origin)])).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{origin}");
        let upgrade = [host, ("origin", origin), ("upgrade", "websocket")];
        let refused = node.ask(request("GET", "/api/v1/streams/cam/live", &upgrade)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{origin}");
    }
    let own = [host, ("origin", "http://127.0.0.1:7070")];
    let answer = node.ask(request("DELETE", uri, &own)).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "let through: there is no such source");
    let rebound = node.ask(request("GET", "/api/v1/status", &[("host", "evil.example")])).await;
    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST);
    let plain = node.get("/api/v1/status").await;
    assert_eq!(plain.header("x-content-type-options"), "nosniff");
    assert_eq!(plain.header("access-control-allow-origin"), "", "other origins may not read");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_what_is_there() {
    let node = Node::open();
    let document = node.get("/api/v1/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 10, "{paths:?}");
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            if method == "parameters" || path == "/api/v1/events/live" {
                continue;
            }
            let uri = path.replace("{name}", "cam/nobody");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = node.ask(request(method.as_str(), &uri, &[])).await;
            let known = answer.status != StatusCode::METHOD_NOT_ALLOWED
                && (answer.status.is_success() || !answer.error().contains("nothing at"));
            assert!(known, "{method} {uri}: {}", answer.status);
        }
    }
    let refs = document.to_string();
    for part in refs.split("#/components/schemas/").skip(1) {
        let name = &part[..part.find('"').unwrap()];
        assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_open_metrics() {
    let node = Node::open();
    let (tracks, units) = units(&clip("car-detection.mp4"), START);
    node.record("/cam/door", &tracks, &units);
    let source = node.services.switch.publish(&name_of("/cam/door"), "a test", tracks).unwrap();
    source.send_many(units[..10].to_vec());
    source.damaged(Damage { lost_packets: 5, damaged_units: 2, doubtful_units: 3 });
    node.get("/api/v1/streams/cam/door").await;
    let metrics = node.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    let text = metrics.text();
    for line in [
        "pegasus_stream_live{stream=\"/cam/door\"} 1",
        "pegasus_stream_units_total{stream=\"/cam/door\"} 10",
        "pegasus_stream_lost_packets_total{stream=\"/cam/door\"} 5",
        "pegasus_stream_damaged_units_total{stream=\"/cam/door\"} 2",
        "pegasus_stream_doubtful_units_total{stream=\"/cam/door\"} 3",
        &format!("pegasus_ingest_units_total {}", units.len()),
        "pegasus_store_writable 1",
        "pegasus_http_requests_total{method=\"GET\",route=\"/api/v1/streams/{name}\",status=\"200\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
    }
    assert!(text.contains("pegasus_disk_ok{disk=") && text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_answers_its_own_addresses_only() {
    let node = Node::open();
    for uri in ["/", "/streams/cam/door", "/store"] {
        let page = node.get(uri).await;
        assert!(page.header("content-type").starts_with("text/html"), "{uri}");
        assert!(page.header("content-security-policy").contains("default-src 'self'"), "{uri}");
        assert!(page.text().to_lowercase().starts_with("<!doctype html>"), "{uri}");
    }
    for uri in ["/api/v2/status", "/assets/none.js", "/hls/door"] {
        let missing = node.get(uri).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND, "{uri}");
        assert!(!missing.error().is_empty());
    }
    let post = node.ask(request("POST", "/", &[])).await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
}
