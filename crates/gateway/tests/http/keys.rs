//! Groups of pictures, page by page.

use std::time::Duration;

use axum::http::StatusCode;
use pegasus_base::Time;
use pegasus_media::{TrackId, Unit};
use serde_json::Value;

use crate::support::{Node, clip, units};

const START: Time = Time::from_secs(1_763_600_000);

fn time(value: &Value) -> Time {
    value.as_str().expect("a time").parse().unwrap()
}

fn pictures(units: &[Unit]) -> Vec<&Unit> {
    units.iter().filter(|unit| unit.track == TrackId(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_listed_page_by_page() {
    let node = Node::open();
    let (tracks, early) = units(&clip("car-detection.mp4"), START);
    node.record("/cam/door", &tracks, &early);
    let (_, late) = units(&clip("car-detection.mp4"), START + Duration::from_secs(600));
    node.record("/cam/door", &tracks, &late);
    let keys: Vec<Time> = pictures(&early)
        .into_iter()
        .chain(pictures(&late))
        .filter(|unit| unit.key)
        .map(|unit| unit.time)
        .collect();

    let uri = "/api/v1/streams/cam/door/keys";
    let all = node.get(uri).await.json();
    let groups = all["keys"].as_array().unwrap();
    assert_eq!(groups.iter().map(|group| time(&group["time"])).collect::<Vec<_>>(), keys);
    assert!(all["next"].is_null());
    let counted: u64 = groups.iter().map(|group| group["units"].as_u64().unwrap()).sum();
    assert_eq!(counted as usize, pictures(&early).len() + pictures(&late).len());
    let spans = node.get("/api/v1/streams/cam/door/recordings").await.json();
    for (at, group) in groups.iter().enumerate() {
        let until = &group["until"];
        let last_of = spans.as_array().unwrap().iter().find(|span| span["end"] == *until);
        let next = groups.get(at + 1).is_some_and(|next| next["time"] == *until);
        assert!(next || last_of.is_some(), "{group} ends where another begins, or its span ends");
    }

    // Page by page it is the same.
    let mut paged = Vec::new();
    let mut from = START.to_string();
    loop {
        let page = node.get(&format!("{uri}?from={from}&limit=3")).await.json();
        paged.extend(page["keys"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut from),
            None => break,
        }
    }
    assert_eq!(&paged, groups);

    // A range begins with the group it is in, and ends before the first one behind it.
    let (from, to) = (keys[1] + Duration::from_millis(100), keys[3]);
    let some = node.get(&format!("{uri}?from={from}&to={to}")).await.json();
    assert_eq!(some["keys"].as_array().unwrap()[..], groups[1..3]);
    let sparse = node.get(&format!("{uri}?every_ms=8000")).await.json();
    let sparse: Vec<Time> =
        sparse["keys"].as_array().unwrap().iter().map(|k| time(&k["time"])).collect();
    assert!(sparse.len() > 2 && sparse.len() < keys.len(), "{sparse:?}");
    assert!(sparse.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_secs(8)));
    assert!(sparse.iter().all(|key| keys.contains(key)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listed_is_refused() {
    let node = Node::open();
    let (tracks, units) = units(&clip("car-detection.mp4"), START);
    node.record("/cam/door", &tracks, &units);
    let uri = "/api/v1/streams/cam/door/keys";
    for bad in ["limit=0", "limit=1001", "every_ms=-1", "every_ms=soon", "from=yesterday"] {
        let refused = node.get(&format!("{uri}?{bad}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(!refused.error().is_empty(), "{bad}");
    }
    let missing = node.get("/api/v1/streams/cam/roof/keys").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.error(), "nothing is recorded of /cam/roof");
    let behind = node.get(&format!("{uri}?from=2099-01-01T00:00:00Z")).await.json();
    assert_eq!(behind, serde_json::json!({ "keys": [], "next": null }));
    let far = node.get(&format!("{uri}?every_ms=18446744073709551615")).await.json();
    assert_eq!(far["keys"].as_array().unwrap().len(), 1);
}
