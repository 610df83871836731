//! Any bytes on an RTSP connection: items or an error, never a panic; what was read as a request is
//! answered by a session, and survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_base::Time;
use pegasus_gateway::rtsp::decode::{Decoder, Item};
use pegasus_gateway::rtsp::dialogue::{Answer, Ask, Description, Refusal, Step};
use pegasus_gateway::rtsp::message::Request;
use pegasus_gateway::rtsp::range::Range;
use pegasus_gateway::rtsp::session::Session;
use pegasus_gateway::rtsp::target::Target;
use pegasus_gateway::rtsp::transport::Transport;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says in what pieces the rest arrives.
    let Some((&piece_len, bytes)) = bytes.split_first() else { return };
    let mut decoder = Decoder::default();
    let mut session = Session::new(fastrand::Rng::with_seed(1));
    for piece in bytes.chunks(usize::from(piece_len).max(1)) {
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.next() {
                Ok(Some(Item::Request(request))) => take(&mut session, request),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});

fn take(session: &mut Session, request: Request) {
    let _ = Target::parse(&request.url, Time::from_secs(1_000));
    for (_, value) in request.headers.iter() {
        let _ = (Range::parse(value), Range::parse_back(value), Transport::choose(value));
    }
    let mut written = Vec::new();
    request.emit(&mut written);
    let mut again = Decoder::default();
    again.buffer().extend_from_slice(&written);
    if let Ok(Some(Item::Request(read))) = again.next() {
        assert_eq!((read.method, read.url), (request.method.clone(), request.url.clone()));
    }
    let mut step = session.request(request, Time::from_secs(1_000));
    while let Step::Ask(ask) = step {
        step = session.answer(answer(&ask));
    }
}

/// What a world in which nothing but descriptions succeeds answers.
fn answer(ask: &Ask) -> Answer {
    let no = || Refusal::new(pegasus_gateway::rtsp::message::Status::INTERNAL, "no");
    match ask {
        Ask::Describe(_) => {
            Answer::Described(Ok(Description { sdp: "v=0\r\n".to_owned(), tracks: 2 }))
        }
        Ask::Announce { .. } => Answer::Announced(Err(no())),
        Ask::Bind { .. } => Answer::Bound(Ok((5_000, 5_001))),
        Ask::Record { .. } => Answer::Recording(Err(no())),
        Ask::Play { .. } => Answer::Playing(Err(no())),
        Ask::Pause => Answer::Paused,
    }
}
