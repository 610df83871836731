//! Dialogues with the session machine.

use std::time::Duration;

use pegasus_base::Time;
use proptest::prelude::*;

use super::super::dialogue::Started;
use super::super::range::{Npt, Range};
use super::super::rate::Rate;
use super::*;

const URL: &str = "rtsp://h:8554/cam/door";

fn session() -> Session {
    Session::new(fastrand::Rng::with_seed(1))
}

fn request(method: Method, url: &str) -> Request {
    Request::new(method, url).with("CSeq", "7")
}

fn ask(session: &mut Session, request: Request) -> Ask {
    match session.request(request, Time::from_secs(1_000)) {
        Step::Ask(ask) => ask,
        Step::Reply(response) => panic!("answered at once: {response:?}"),
    }
}

fn reply(step: Step) -> Response {
    match step {
        Step::Reply(response) => response,
        Step::Ask(ask) => panic!("asks {ask:?}"),
    }
}

fn send(session: &mut Session, request: Request) -> Response {
    reply(session.request(request, Time::from_secs(1_000)))
}

fn description(tracks: usize) -> Answer {
    Answer::Described(Ok(Description { sdp: "v=0\r\n".to_owned(), tracks }))
}

fn started() -> Answer {
    let range = Range::Npt { start: Npt::At(Duration::from_secs(3)), end: None };
    let rtp_info = vec![(0, 5, 90_000), (1, 6, 48_000)];
    Answer::Playing(Ok(Started { range, rate: Rate::NORMAL, rtp_info }))
}

/// A session with two tracks set up for playing, the second over UDP.
fn player() -> Session {
    let mut session = session();
    ask(&mut session, request(Method::Describe, URL));
    reply(session.answer(description(2)));
    let tcp = request(Method::Setup, &format!("{URL}/trackID=0"))
        .with("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1");
    assert_eq!(send(&mut session, tcp).status, Status::OK);
    let udp = request(Method::Setup, &format!("{URL}/trackID=1"))
        .with("Transport", "RTP/AVP;unicast;client_port=5000-5001");
    assert_eq!(ask(&mut session, udp), Ask::Bind { track: 1, client: (5000, 5001) });
    let response = reply(session.answer(Answer::Bound(Ok((40_000, 40_001)))));
    assert!(response.headers.get("Transport").unwrap().contains("server_port=40000-40001"));
    session
}

fn publisher(tracks: &[(&str, Option<&str>)]) -> (Session, Response) {
    let mut session = session();
    let announce = request(Method::Announce, URL).with_body("application/sdp", &b"v=0\r\n"[..]);
    ask(&mut session, announce);
    let tracks = tracks
        .iter()
        .map(|(control, refused)| AnnouncedTrack {
            control: (*control).to_owned(),
            refused: refused.map(str::to_owned),
        })
        .collect();
    let response = reply(session.answer(Answer::Announced(Ok(tracks))));
    (session, response)
}

#[test]
fn a_player_from_describe_to_teardown() {
    let mut session = player();
    let id = session.id.clone();
    let play = request(Method::Play, URL)
        .with("Session", format!("{id};timeout=60"))
        .with("Range", "npt=3-")
        .with("Scale", "2.0");
    let Ask::Play { range, target, rate } = ask(&mut session, play) else { panic!("not a play") };
    assert_eq!(rate.or(Rate::NORMAL).to_string(), "scale 2.0, speed 1.0");
    assert_eq!(target.name.as_str(), "/cam/door");
    assert_eq!(range, Some(Range::Npt { start: Npt::At(Duration::from_secs(3)), end: None }));
    let response = reply(session.answer(started()));
    assert_eq!(response.headers.get("Scale"), Some("1.0"));
    assert_eq!(
        response.headers.get("RTP-Info"),
        Some(
            "url=rtsp://h:8554/cam/door/trackID=0;seq=5;rtptime=90000,\
             url=rtsp://h:8554/cam/door/trackID=1;seq=6;rtptime=48000"
        )
    );
    assert!(response.headers.get("Session").unwrap().starts_with(&id));
    assert_eq!(session.phase(), Phase::Playing);

    assert_eq!(ask(&mut session, request(Method::Pause, URL)), Ask::Pause);
    reply(session.answer(Answer::Paused));
    assert_eq!(session.phase(), Phase::Paused);
    let Ask::Play { range: None, .. } = ask(&mut session, request(Method::Play, URL)) else {
        panic!("not a resume")
    };
    reply(session.answer(started()));

    assert_eq!(send(&mut session, request(Method::GetParameter, URL)).status, Status::OK);
    assert_eq!(send(&mut session, request(Method::Teardown, URL)).status, Status::OK);
    assert!(session.channels().is_empty());
}

#[test]
fn a_play_without_a_range_changes_the_rate_or_keeps_alive() {
    let mut session = player();
    let play = |headers: &[(&str, &str)]| {
        let play = request(Method::Play, URL);
        headers.iter().fold(play, |play, (name, value)| play.with(name, *value))
    };
    ask(&mut session, play(&[("Range", "npt=3-")]));
    reply(session.answer(started()));
    for same in [&[][..], &[("Scale", "1")], &[("Scale", "1.00"), ("Speed", "1")]] {
        let response = send(&mut session, play(same));
        assert_eq!(response.status, Status::OK);
        assert_eq!(response.headers.get("Scale"), (!same.is_empty()).then_some("1.0"));
        assert_eq!(response.headers.get("RTP-Info"), None, "nothing begins anew");
    }
    let Ask::Play { range: None, rate, .. } = ask(&mut session, play(&[("Scale", "-4")])) else {
        panic!("not a change")
    };
    let rate = rate.or(Rate::NORMAL);
    let range = Range::Npt { start: Npt::At(Duration::from_secs(3)), end: None };
    let started = Started { range, rate, rtp_info: vec![] };
    let response = reply(session.answer(Answer::Playing(Ok(started))));
    assert_eq!(response.headers.get("Scale"), Some("-4.0"));
    assert_eq!(response.headers.get("Speed"), None);
    let kept = send(&mut session, play(&[]));
    assert_eq!(kept.headers.get("Scale"), Some("-4.0"), "told: it is not the usual one");

    for (header, value, status) in
        [("Scale", "0", 400), ("Scale", "nan", 400), ("Speed", "-1", 400)]
    {
        assert_eq!(send(&mut session, play(&[(header, value)])).status.0, status, "{value}");
    }
    let backward = [("Scale", "-1"), ("Range", "npt=10-20")];
    assert_eq!(send(&mut session, play(&backward)).status, Status::INVALID_RANGE);
    assert_eq!(session.phase(), Phase::Playing, "a refusal changes nothing");
}

#[test]
fn a_player_may_begin_with_setup() {
    let mut session = session();
    let setup =
        request(Method::Setup, &format!("{URL}/trackID=1")).with("Transport", "RTP/AVP/TCP");
    assert!(matches!(ask(&mut session, setup), Ask::Describe(_)));
    let response = reply(session.answer(description(2)));
    assert_eq!(response.status, Status::OK);
    assert_eq!(session.channels()[0].track, 1);
}

#[test]
fn a_publisher_hears_which_tracks_are_dropped() {
    let (mut session, response) =
        publisher(&[("streamid=0", None), ("streamid=1", Some("codec XYZ is unknown"))]);
    assert_eq!(
        response.headers.get("Warning"),
        Some("199 pegasus \"track 1 is not carried: codec XYZ is unknown\"")
    );
    for track in [1, 0] {
        let setup = request(Method::Setup, &format!("{URL}/streamid={track}"))
            .with("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record");
        let response = send(&mut session, setup);
        assert!(response.headers.get("Transport").unwrap().ends_with(";mode=record"));
    }
    let ways: Vec<_> = session.channels().iter().map(|channel| channel.way).collect();
    assert_eq!(ways, [Way::Interleaved(0, 1), Way::Interleaved(2, 3)]);
    assert!(matches!(ask(&mut session, request(Method::Record, URL)), Ask::Record { .. }));
    let taken = Refusal::new(Status::CONFLICT, "/cam/door is published by rtsp 127.0.0.1:5");
    let response = reply(session.answer(Answer::Recording(Err(taken))));
    assert_eq!(response.reason, "Conflict: /cam/door is published by rtsp 127.0.0.1:5");
    assert_eq!(session.phase(), Phase::Ready);
}

#[test]
fn a_query_stays_behind_the_path() {
    assert_eq!(content_base(URL), format!("{URL}/"));
    assert_eq!(content_base("rtsp://h/cam/?from=-1m"), "rtsp://h/cam/?from=-1m");
    assert_eq!(content_base("rtsp://h/cam?from=-1m"), "rtsp://h/cam/?from=-1m");
}

#[test]
fn controls_may_be_whole_urls_or_missing() {
    let whole = format!("{URL}/track1");
    let tracks = |controls: &[&str]| -> Vec<AnnouncedTrack> {
        let track = |c: &&str| AnnouncedTrack { control: (*c).to_owned(), refused: None };
        controls.iter().map(track).collect()
    };
    assert_eq!(announced_track(&whole, &tracks(&["track0", &whole])), Ok(1));
    assert_eq!(announced_track(&whole, &tracks(&["/track1/", "rack1"])), Ok(0));
    assert_eq!(announced_track(URL, &tracks(&[""])), Ok(0));
    assert!(announced_track(URL, &tracks(&["", "track1"])).is_err());
}

#[test]
fn what_does_not_fit_the_state_is_refused() {
    let status = |session: &mut Session, request| send(session, request).status.0;
    let no_cseq = Request::new(Method::Options, "*");
    assert_eq!(status(&mut session(), no_cseq), 400);
    for (method, expected) in [
        (Method::Play, 455),
        (Method::Pause, 455),
        (Method::Record, 455),
        (Method::Teardown, 200),
        (Method::Other("DANCE".to_owned()), 501),
    ] {
        assert_eq!(status(&mut session(), request(method, URL)), expected);
    }
    let foreign = request(Method::Play, URL).with("Session", "other");
    assert_eq!(status(&mut player(), foreign), 454);
    let required = request(Method::Play, URL).with("Require", "onvif-replay");
    assert_eq!(status(&mut player(), required), 551);
    assert_eq!(status(&mut player(), request(Method::Describe, URL)), 455);
    assert_eq!(status(&mut player(), request(Method::Record, URL)), 455);
    let range = request(Method::Play, URL).with("Range", "smpte=0:10:20-");
    assert_eq!(status(&mut player(), range), 457);
    let again =
        request(Method::Setup, &format!("{URL}/trackID=0")).with("Transport", "RTP/AVP/TCP");
    assert_eq!(status(&mut player(), again), 455);
    let parameter = request(Method::GetParameter, URL).with_body("text/parameters", &b"jitter"[..]);
    assert_eq!(status(&mut player(), parameter), 451);
    let xml = request(Method::Announce, URL).with_body("text/xml", &b"<a/>"[..]);
    assert_eq!(status(&mut session(), xml), 415);

    let (mut publisher, _) = publisher(&[("streamid=0", None)]);
    let multicast =
        request(Method::Setup, &format!("{URL}/streamid=0")).with("Transport", "RTP/AVP;multicast");
    assert_eq!(status(&mut publisher, multicast), 461);
    assert_eq!(status(&mut publisher, request(Method::Record, URL)), 455);
}

fn any_request() -> impl Strategy<Value = Request> {
    let method = proptest::sample::select(vec![
        Method::Options,
        Method::Describe,
        Method::Announce,
        Method::Setup,
        Method::Play,
        Method::Pause,
        Method::Record,
        Method::Teardown,
        Method::GetParameter,
    ]);
    let url = proptest::sample::select(vec![
        URL,
        "*",
        "rtsp://h:8554/cam/door/trackID=0",
        "rtsp://h:8554/cam/door/trackID=1",
        "rtsp://h:8554/other/trackID=9",
        "rtsp://h:8554/cam/door?from=-1m/trackID=0",
    ]);
    let transport = proptest::sample::select(vec![
        "",
        "RTP/AVP/TCP;interleaved=0-1",
        "RTP/AVP/TCP",
        "RTP/AVP;unicast;client_port=5000-5001",
    ]);
    (method, url, transport)
        .prop_map(|(method, url, way)| request(method, url).with("Transport", way))
}

proptest! {
    /// Whatever a client sends and whatever comes of it, the machine answers each request once and
    /// its channels never collide.
    #[test]
    fn any_dialogue_is_answered(
        steps in proptest::collection::vec((any_request(), any::<bool>()), 0..30),
    ) {
        let mut session = session();
        for (request, succeeds) in steps {
            let mut step = session.request(request, Time::from_secs(1_000));
            let mut asked = 0;
            while let Step::Ask(ask) = step {
                asked += 1;
                prop_assert!(asked <= 2, "a request needs at most a description and ports");
                let no = Refusal::new(Status::INTERNAL, "no");
                step = session.answer(match (ask, succeeds) {
                    (Ask::Describe(_), true) => description(2),
                    (Ask::Describe(_), false) => Answer::Described(Err(no)),
                    (Ask::Announce { .. }, true) => Answer::Announced(Ok(
                        vec![AnnouncedTrack { control: "trackID=0".to_owned(), refused: None }],
                    )),
                    (Ask::Announce { .. }, false) => Answer::Announced(Err(no)),
                    (Ask::Bind { .. }, true) => Answer::Bound(Ok((40_000, 40_001))),
                    (Ask::Bind { .. }, false) => Answer::Bound(Err(no)),
                    (Ask::Record { .. }, true) => Answer::Recording(Ok(())),
                    (Ask::Record { .. }, false) => Answer::Recording(Err(no)),
                    (Ask::Play { .. }, true) => started(),
                    (Ask::Play { .. }, false) => Answer::Playing(Err(no)),
                    (Ask::Pause, _) => Answer::Paused,
                });
            }
            let response = reply(step);
            prop_assert_eq!(response.headers.get("CSeq"), Some("7"));
            let mut ids: Vec<u8> = session
                .channels()
                .iter()
                .filter_map(|channel| match channel.way {
                    Way::Interleaved(rtp, rtcp) => Some([rtp, rtcp]),
                    Way::Udp { .. } => None,
                })
                .flatten()
                .collect();
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), count);
        }
    }
}
