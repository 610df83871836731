//! Pulled sources: from another RTSP server, from a file, through failures.

mod rtsp_support;

use pegasus_circuit::Start;
use pegasus_gateway::sources::SourceState;
use sha2::Digest as _;

use rtsp_support::{Door, clip, ffmpeg, name_of, until};

fn state(door: &Door, name: &str) -> Option<SourceState> {
    let list = door.services.sources.list();
    list.iter().find(|status| status.name.as_str() == name).map(|status| status.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_pulled_from_another_server_and_again_after_its_publisher_returns() {
    let (camera, node) = (Door::open().await, Door::open().await);
    let path = clip("car-detection.mp4");
    let camera_url = camera.url("/cam");
    let publish = || ffmpeg::publish(&path, &camera_url);
    let publisher = publish();
    for (name, tail) in [("/pulled/tcp", ""), ("/pulled/udp", "#transport=udp")] {
        node.services.sources.add(&name_of(name), &format!("{camera_url}{tail}")).unwrap();
    }
    let units =
        |name: &str| node.services.switch.status(&name_of(name)).map_or(0, |status| status.units);
    for name in ["/pulled/tcp", "/pulled/udp"] {
        until("both tracks come", || units(name) > 100).await;
        assert_eq!(state(&node, name), Some(SourceState::Live));
        let tracks = node.services.switch.status(&name_of(name)).unwrap().tracks;
        assert_eq!(tracks.len(), 2);
        assert_eq!(tracks[0].size(), Some((768, 432)));
    }
    // The same pictures at both ends, bit for bit.
    let mut here = node.services.switch.subscribe(&name_of("/pulled/tcp"), Start::Now);
    let mut there = camera.services.switch.subscribe(&name_of("/cam"), Start::Held);
    let mut sent = Vec::new();
    let mut same = 0;
    while same < 50 {
        while let Some(event) = there.try_next() {
            if let pegasus_circuit::Event::Unit(unit) = event {
                sent.push(unit);
            }
        }
        if let pegasus_circuit::Event::Unit(unit) = here.next().await {
            while let Some(event) = there.try_next() {
                if let pegasus_circuit::Event::Unit(unit) = event {
                    sent.push(unit);
                }
            }
            assert!(sent.iter().any(|sent| sent.data == unit.data), "a unit came out changed");
            same += 1;
        }
    }

    drop(publisher);
    until("the loss is noticed", || state(&node, "/pulled/tcp") != Some(SourceState::Live)).await;
    let list = node.services.sources.list();
    let status = list.iter().find(|status| status.name.as_str() == "/pulled/tcp").unwrap();
    assert!(status.error.is_some());
    let _publisher = publish();
    until("it is live again", || state(&node, "/pulled/tcp") == Some(SourceState::Live)).await;
    node.services.sources.remove(&name_of("/pulled/tcp")).unwrap();
    until("a removed source is idle", || {
        !node.services.switch.status(&name_of("/pulled/tcp")).is_some_and(|status| status.live)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_used_and_never_shown() {
    let access = pegasus_gateway::Access::credentials("user", "pa:ss@word").unwrap();
    let camera = Door::open_with(access, pegasus_gateway::rtsp::Limits::default()).await;
    let node = Door::open().await;
    let name = name_of("/film");
    let film = format!("file://{}", clip("bottle-detection.mp4").canonicalize().unwrap().display());
    camera.services.sources.add(&name, &film).unwrap();
    let address = camera.address;
    let sources = &node.services.sources;
    let wrong = format!("rtsp://user:nonsense@{address}/film");
    sources.add(&name_of("/wrong"), &wrong).unwrap();
    sources.add(&name_of("/right"), &format!("rtsp://user:pa%3Ass%40word@{address}/film")).unwrap();
    until("the right password opens", || state(&node, "/right") == Some(SourceState::Live)).await;
    let error = |name: &str| {
        let list = sources.list();
        list.into_iter().find(|status| status.name.as_str() == name).unwrap().error
    };
    until("the wrong one does not", || error("/wrong").is_some()).await;
    let text = format!("{:?}", sources.list());
    assert!(text.contains("401"), "{text}");
    assert!(!text.contains("nonsense") && !text.contains("word"), "{text}");
}

/// TLS with a certificate that signs itself, as a camera has it; and its SHA-256.
fn camera_tls() -> (tokio_rustls::TlsAcceptor, String) {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate =
        CertificateDer::from_pem_slice(include_bytes!("data/rtsps-certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("data/rtsps-key.pem")).unwrap();
    let digest = sha2::Sha256::digest(&certificate);
    let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (std::sync::Arc::new(config).into(), digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_source_is_pulled_if_it_is_the_one_it_should_be() {
    let (tls, digest) = camera_tls();
    let access = pegasus_gateway::Access::credentials("user", "secret").unwrap();
    let limits = pegasus_gateway::rtsp::Limits::default();
    let camera = Door::open_tls(access, limits, Some(tls)).await;
    let node = Door::open().await;
    let film = format!("file://{}", clip("bottle-detection.mp4").canonicalize().unwrap().display());
    camera.services.sources.add(&name_of("/film"), &film).unwrap();
    let url = format!("rtsps://user:secret@{}/film", camera.address);
    let other = "0".repeat(64);
    for (name, url) in [
        ("/right", format!("{url}#certificate=sha256:{digest}")),
        ("/wrong", format!("{url}#certificate=sha256:{other}")),
        ("/unknown", url),
    ] {
        node.services.sources.add(&name_of(name), &url).unwrap();
    }
    until("the right one is live", || state(&node, "/right") == Some(SourceState::Live)).await;
    for name in ["/wrong", "/unknown"] {
        let error = || {
            let list = node.services.sources.list();
            list.into_iter().find(|status| status.name.as_str() == name).unwrap().error
        };
        until("the others fail", || error().is_some()).await;
        let error = error().unwrap();
        assert!(error.contains("TLS failed: invalid peer certificate"), "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_plays_in_a_loop_in_real_time() {
    let door = Door::open().await;
    // A clip of one second, so that several passes fit into a test.
    let film = door.folder.path().join("second.mp4");
    let clip = clip("car-detection.mp4");
    ffmpeg::run(&["-i", ffmpeg::text(&clip), "-t", "1", "-c", "copy", ffmpeg::text(&film)]).await;
    let name = name_of("/film");
    let mut sink = door.services.switch.subscribe(&name, Start::Held);
    door.services.sources.add(&name, &format!("file://{}", film.display())).unwrap();
    let began = std::time::Instant::now();
    let mut pictures = Vec::new();
    while pictures.len() < 30 {
        if let pegasus_circuit::Event::Unit(unit) = sink.next().await
            && unit.track.0 == 0
        {
            pictures.push(unit);
        }
    }
    let took = began.elapsed().as_secs_f64();
    assert!((1.8..8.0).contains(&took), "30 pictures at 12.5 a second took {took} s");
    assert!(pictures.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    let first = &pictures[0].data;
    assert!(pictures.iter().filter(|picture| picture.data == *first).count() >= 2, "it repeats");
    let span = pictures[29].time.since(pictures[0].time).as_secs_f64();
    assert!((span - 29.0 / 12.5).abs() < 0.2, "30 pictures span {span} s");
}
