//! Which track a SETUP means, and what responses say of tracks.

use std::collections::BTreeMap;

use pegasus_base::Time;

use super::dialogue::{AnnouncedTrack, Description, Refusal, Started};
use super::message::{Request, Response, Status};
use super::range::{Npt, Range};
use super::rate::{Asked, Rate};
use super::target::{Target, control_of};

pub(super) fn target_of(request: &Request, now: Time) -> Result<Target, Refusal> {
    Target::parse(&request.url, now).map_err(|error| Refusal::new(Status::BAD_REQUEST, error))
}

pub(super) fn described_track(asked: &Target, description: &Description) -> Result<usize, Refusal> {
    match asked.track {
        Some(track) if track < description.tracks => Ok(track),
        Some(track) => {
            let why = format!("{} has no track {track}", asked.name);
            Err(Refusal::new(Status::NOT_FOUND, why))
        }
        None if description.tracks == 1 => Ok(0),
        None => {
            let why = format!("set up each track by its own URL, ending in /{}", control_of(0));
            Err(Refusal::new(Status::BAD_REQUEST, why))
        }
    }
}

/// The announced track a SETUP's URL means: its control is a whole URL or the tail of one.
pub(super) fn announced_track(url: &str, tracks: &[AnnouncedTrack]) -> Result<usize, Refusal> {
    let url = url.trim_end_matches('/');
    let is_tail = |control: &str| {
        let control = control.trim_matches('/');
        let Some(stem) = url.strip_suffix(control) else { return false };
        !control.is_empty() && (stem.is_empty() || stem.ends_with('/'))
    };
    let found = tracks.iter().position(|track| is_tail(&track.control));
    let only = (tracks.len() == 1).then_some(0);
    found.or(only).ok_or_else(|| {
        let controls: Vec<_> = tracks.iter().map(|track| track.control.as_str()).collect();
        let why = format!("'{url}' is none of the tracks announced ({})", controls.join(", "));
        Refusal::new(Status::NOT_FOUND, why)
    })
}

/// Where relative controls start from (RFC 2326, C.1.1). Some clients append them to this text, others
/// resolve them as RFC 3986 has it, which drops a query: so the slash stands before it.
pub(super) fn content_base(url: &str) -> String {
    match url.split_once('?') {
        Some((path, query)) => format!("{}/?{query}", path.trim_end_matches('/')),
        None => format!("{}/", url.trim_end_matches('/')),
    }
}

/// Tells a publisher which of its tracks are thrown away (`Warning` as in HTTP, RFC 2616, 14.46).
pub(super) fn with_refused(mut response: Response, tracks: &[AnnouncedTrack]) -> Response {
    for (index, track) in tracks.iter().enumerate() {
        if let Some(why) = &track.refused {
            let text = format!("199 pegasus \"track {index} is not carried: {why}\"");
            response.headers.push("Warning", text);
        }
    }
    response
}

/// The answer to PLAY. `urls` are those by which the client set up each track: it knows them again.
pub(super) fn playing(
    request: &Request,
    started: &Started,
    urls: &BTreeMap<usize, String>,
) -> Response {
    let info = started.rtp_info.iter().filter_map(|(track, sequence, timestamp)| {
        let url = urls.get(track)?;
        Some(format!("url={url};seq={sequence};rtptime={timestamp}"))
    });
    let info: Vec<String> = info.collect();
    let mut response = Response::new(Status::OK)
        .with("Range", started.range.to_string())
        .with("RTP-Info", info.join(","));
    push_rate(request, started.rate, &mut response);
    response
}

/// What a session must know of how it plays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Playing {
    live: bool,
    pub(super) rate: Rate,
}

impl Playing {
    pub(super) fn of(started: &Started) -> Self {
        let live = matches!(started.range, Range::Npt { start: Npt::Now, .. });
        Self { live, rate: started.rate }
    }

    /// Whether it need not be begun anew to play as `asked`: it does already, or is live, which has one rate.
    pub(super) fn goes_on(self, asked: Asked) -> bool {
        self.live || asked.or(self.rate) == self.rate
    }
}

/// Says how fast it plays, to a client that asked, or that may not expect it.
pub(super) fn push_rate(request: &Request, rate: Rate, response: &mut Response) {
    let normal = Rate::NORMAL.headers();
    for ((name, value), normal) in rate.headers().into_iter().zip(normal) {
        if request.headers.get(name).is_some() || value != normal.1 {
            response.headers.push(name, value);
        }
    }
}
