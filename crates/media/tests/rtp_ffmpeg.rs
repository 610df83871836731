//! RTP against ffmpeg: what it sends arrives bit for bit, and what is sent to it does too.

#[path = "support/mod.rs"]
mod support;

use std::fs::File;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pegasus_media::codec::{mjpeg, nal};
use pegasus_media::mp4::{Item, Mp4File};
use pegasus_media::rtp::{self, Depacketizer, Event, Frame, Packet, Packetizer};
use pegasus_media::{Codec, Kind, Track, Unit, sdp};

/// A short film of one track, made by ffmpeg with these options behind its test sources.
fn film(folder: &Path, name: &str, options: &[&str]) -> (Track, Vec<Unit>) {
    let picture = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2"];
    let sound = ["-f", "lavfi", "-i", "sine=r=48000:d=2"];
    let path = support::make(&folder.join(name), &[&picture[..], &sound, options].concat());
    read(&path, 0)
}

/// One track of a file.
fn read(path: &Path, track: u8) -> (Track, Vec<Unit>) {
    let mut file = Mp4File::open(File::open(path).unwrap()).unwrap();
    let found = file.tracks()[usize::from(track)].clone();
    let mut units = Vec::new();
    while let Some(item) = file.next(support::START).unwrap() {
        if let Item::Unit(unit) = item
            && unit.track == found.id
        {
            units.push(unit);
        }
    }
    (found, units)
}

/// Two neighbouring ports, for RTP and RTCP.
fn port_pair() -> (UdpSocket, UdpSocket) {
    loop {
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = rtp.local_addr().unwrap().port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port + 1))
        {
            return (rtp, rtcp);
        }
    }
}

/// ffmpeg, ended when the test ends.
struct Tool(Child);

impl Tool {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error"]).args(arguments).stdout(Stdio::null());
        let child = command.spawn();
        Self(child.unwrap_or_else(|e| panic!("this test needs ffmpeg (apt install ffmpeg): {e}")))
    }

    fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// UDP may lose packets when the machine is busy, which is not what is tested: three tries.
fn without_loss<T>(attempt: impl Fn() -> Option<T>) -> T {
    let mut attempts = (0..3).filter_map(|_| attempt());
    attempts.next().expect("packets were lost on the loopback three times: the machine is too busy")
}

/// What ffmpeg sends of a file's track: the track as its description has it, and the frames.
fn sent_by_ffmpeg(file: &Path, options: &[&str]) -> (Track, Vec<Frame>) {
    without_loss(|| try_sent_by_ffmpeg(file, options))
}

/// `None` if packets were lost on the way.
fn try_sent_by_ffmpeg(file: &Path, options: &[&str]) -> Option<(Track, Vec<Frame>)> {
    let (socket, _rtcp) = {
        let _not_while_another_receives = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        port_pair()
    };
    let folder = tempfile::tempdir().unwrap();
    let sdp_file = folder.path().join("film.sdp");
    let url = format!("rtp://127.0.0.1:{}?pkt_size=1200", socket.local_addr().unwrap().port());
    let input = ["-readrate", "4", "-i", file.to_str().unwrap(), "-t", "4", "-c", "copy"];
    let output =
        ["-strict", "-2", "-f", "rtp", "-sdp_file", sdp_file.to_str().unwrap(), "-y", &url];
    let mut ffmpeg = Tool::start(&[&input[..], options, &output].concat());
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut packets = Vec::new();
    let mut buffer = [0; 2_048];
    loop {
        match socket.recv(&mut buffer) {
            Ok(len) => packets.push(Packet::parse(Bytes::copy_from_slice(&buffer[..len])).unwrap()),
            Err(_) if ffmpeg.ended() => break,
            Err(_) => {}
        }
    }
    let description = sdp::parse(&std::fs::read(&sdp_file).unwrap()).unwrap();
    assert_eq!(description.refused, []);
    let media = &description.media[0];
    assert!(packets.iter().all(|packet| packet.payload_type == media.payload_type));
    let mut track = media.track.clone();
    let mut depacketizer = Depacketizer::with_format(&track, media.format);
    let mut frames = Vec::new();
    for packet in &packets {
        depacketizer.push(packet).unwrap();
        while let Some(event) = depacketizer.poll() {
            match event {
                Event::Frame(frame) => frames.push(frame),
                Event::Track(changed) => track = changed,
                Event::Lost(loss) if loss.packets > 0 => return None,
                Event::Lost(loss) => panic!("{loss:?} without a gap"),
            }
        }
    }
    Some((track, frames))
}

/// The frames are the units, at their times and with their keys.
fn assert_same(frames: &[Frame], track: &Track, units: &[Unit]) {
    assert!(frames.len() >= 20, "{} frames", frames.len());
    let rate = i64::from(rtp::clock_rate(track));
    let ticks = |unit: &Unit| (unit.pts - units[0].pts) * rate / i64::from(track.clock_rate);
    for (frame, unit) in frames.iter().zip(units) {
        assert_eq!(frame.data, unit.data, "{frame:?}");
        assert_eq!(frame.key, unit.key, "{frame:?}");
        let apart = frame.pts - frames[0].pts - ticks(unit);
        assert!(apart.abs() <= rate / 1_000, "{frame:?} is {apart} ticks off");
    }
}

/// Makes a film, lets ffmpeg send it, and compares. ffmpeg gathers sound into packets and keeps the
/// last one for itself, so a few units may be missing at the end.
fn ffmpeg_to_us(name: &str, options: &[&str], size: Option<(u32, u32)>) {
    let folder = tempfile::tempdir().unwrap();
    let (truth, units) = film(folder.path(), name, options);
    let (track, frames) = sent_by_ffmpeg(&folder.path().join(name), &[]);
    assert_eq!(track.codec, truth.codec);
    assert_eq!(track.size(), size);
    assert_eq!(track.config.is_empty(), truth.config.is_empty());
    let missing = units.len() - frames.len();
    assert!(missing == 0 || truth.kind() == Kind::Audio && missing < 12, "{missing} missing");
    assert_same(&frames, &truth, &units);
}

const SIZE: Option<(u32, u32)> = Some((320, 240));

#[test]
fn h264_from_ffmpeg() {
    let options = ["-map", "0:v", "-c:v", "libx264", "-bf", "3", "-g", "20"];
    ffmpeg_to_us("film.mp4", &options, SIZE);
}

#[test]
fn h264_slices_from_ffmpeg() {
    let slices = "slices=4:aud=1:repeat-headers=1";
    let options = ["-map", "0:v", "-c:v", "libx264", "-x264-params", slices];
    ffmpeg_to_us("film.mp4", &options, SIZE);
}

#[test]
fn h265_from_ffmpeg() {
    let options = ["-map", "0:v", "-c:v", "libx265", "-g", "20", "-x265-params", "log-level=none"];
    ffmpeg_to_us("film.mp4", &options, SIZE);
}

#[test]
fn vp9_from_ffmpeg() {
    let options = ["-map", "0:v", "-c:v", "libvpx-vp9", "-g", "20", "-cpu-used", "8"];
    ffmpeg_to_us("film.mp4", &options, SIZE);
}

#[test]
fn aac_from_ffmpeg() {
    ffmpeg_to_us("film.mp4", &["-map", "1:a", "-c:a", "aac"], None);
}

#[test]
fn opus_from_ffmpeg() {
    ffmpeg_to_us("film.mp4", &["-map", "1:a", "-c:a", "libopus"], None);
}

#[test]
fn jpeg_from_ffmpeg() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["-map", "0:v", "-c:v", "mjpeg", "-huffman", "default", "-pix_fmt", "yuvj420p"];
    let (_, units) = film(folder.path(), "film.mov", &options);
    let (track, frames) = sent_by_ffmpeg(&folder.path().join("film.mov"), &[]);
    assert_eq!((track.size(), frames.len()), (SIZE, units.len()));
    for (frame, unit) in frames.iter().zip(&units) {
        // Headers are made anew; what they say and what they stand before is the same.
        assert_eq!(mjpeg::Picture::parse(&frame.data), mjpeg::Picture::parse(&unit.data));
    }
}

#[test]
fn samples_from_ffmpeg() {
    let codecs: [(Codec, &[&str]); 3] = [
        (Codec::Pcmu, &["pcm_mulaw", "-ar", "8000"]),
        (Codec::Pcma, &["pcm_alaw", "-ar", "8000"]),
        (Codec::L16, &["pcm_s16be", "-ar", "44100", "-ac", "2"]),
    ];
    for (codec, options) in codecs {
        let folder = tempfile::tempdir().unwrap();
        let options = [&["-map", "1:a", "-c:a"], options].concat();
        let (truth, units) = film(folder.path(), "film.mov", &options);
        let (track, frames) = sent_by_ffmpeg(&folder.path().join("film.mov"), &[]);
        assert_eq!((track.codec, track.shape), (codec, truth.shape));
        let sent: Vec<u8> = units.iter().flat_map(|unit| unit.data.to_vec()).collect();
        let came: Vec<u8> = frames.iter().flat_map(|frame| frame.data.to_vec()).collect();
        assert!(came.len() * 10 > sent.len() * 9, "{codec}: {} of {}", came.len(), sent.len());
        assert!(sent.starts_with(&came), "{codec}");
    }
}

#[test]
fn real_clips_from_ffmpeg() {
    for clip in ["car-detection.mp4", "bottle-detection.mp4", "one-by-one-person-detection.mp4"] {
        let (truth, units) = read(&support::clip(clip), 0);
        let (track, frames) = sent_by_ffmpeg(&support::clip(clip), &["-map", "0:v"]);
        assert_eq!((track.codec, track.size()), (truth.codec, truth.size()), "{clip}");
        assert_same(&frames, &truth, &units);
    }
}

/// Sends the units to ffmpeg, which writes them to a file, and gives the file's content. ffmpeg
/// learns that there is no more by the number of packets it is told to take.
fn send_to_ffmpeg(folder: &Path, track: &Track, units: &[Unit], format: &str) -> Vec<u8> {
    without_loss(|| try_send_to_ffmpeg(folder, track, units, format))
}

/// `None` if ffmpeg did not get all.
fn try_send_to_ffmpeg(
    folder: &Path,
    track: &Track,
    units: &[Unit],
    format: &str,
) -> Option<Vec<u8>> {
    let mut packetizer = Packetizer::new(track, rtp::payload_type(track), 1, 1_200);
    let mut packets = Vec::new();
    for unit in units {
        packetizer.packetize(unit, |packet| packets.push(packet)).unwrap();
    }
    // One more, so that the last unit is seen to have ended.
    let count = if samples(track.codec) { packets.len() } else { units.len() };
    packetizer.packetize(units.last().unwrap(), |packet| packets.push(packet)).unwrap();

    // ffmpeg is told which ports to take, so no other test may take them in between.
    let _one_at_a_time = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let port = port_pair().0.local_addr().unwrap().port();
    let session = sdp::Session { name: "film", id: 1, range: None };
    let text = sdp::emit(&session, std::slice::from_ref(track));
    let text =
        text.replace(" 0 RTP/AVP", &format!(" {port} RTP/AVP")).replace("0.0.0.0", "127.0.0.1");
    let sdp_file = support::write(&folder.join("sent.sdp"), text.as_bytes());
    let (path, count) = (folder.join("received"), count.to_string());
    let input = ["-protocol_whitelist", "file,udp,rtp", "-i", sdp_file.to_str().unwrap()];
    let frames = if track.kind() == Kind::Video { "-frames:v" } else { "-frames:a" };
    let output =
        ["-c", "copy", "-copyinkf", frames, &count, "-y", "-f", format, path.to_str().unwrap()];
    let mut ffmpeg = Tool::start(&[&input[..], &output].concat());
    wait_until_bound(port);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for packet in packets {
        sender.send_to(&packet, ("127.0.0.1", port)).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..100 {
        if ffmpeg.ended() {
            return Some(std::fs::read(path).unwrap());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

/// Each packet of samples is a unit to ffmpeg.
fn samples(codec: Codec) -> bool {
    matches!(codec, Codec::Pcmu | Codec::Pcma | Codec::L16)
}

/// Held while ffmpeg receives.
static PORTS: Mutex<()> = Mutex::new(());

/// Waits for ffmpeg to listen.
fn wait_until_bound(port: u16) {
    let bound = format!(":{port:04X} ");
    for _ in 0..500 {
        let table = std::fs::read_to_string("/proc/net/udp").unwrap();
        let local = table.lines().filter_map(|line| line.split_whitespace().nth(1));
        if local.map(|address| format!("{address} ")).any(|address| address.ends_with(&bound)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("ffmpeg does not listen on port {port}");
}

fn us_to_ffmpeg_as_nals(name: &str, options: &[&str], format: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (track, units) = film(folder.path(), name, options);
    let stream = send_to_ffmpeg(folder.path(), &track, &units, format);
    let came: Vec<&[u8]> = nal::annex_b(&stream).collect();
    let sent: Vec<Bytes> = units.iter().flat_map(|unit| nal::units(&unit.data)).collect();
    // ffmpeg puts the parameter sets of the description in front.
    let from = came.iter().position(|nal| *nal == sent[0]).expect("the first unit arrives");
    assert_eq!(came[from..].len(), sent.len());
    assert!(came[from..].iter().zip(&sent).all(|(came, sent)| came == sent));
}

#[test]
fn h264_to_ffmpeg() {
    let options = ["-map", "0:v", "-c:v", "libx264", "-bf", "0", "-x264-params", "slices=3"];
    us_to_ffmpeg_as_nals("film.mp4", &options, "h264");
}

#[test]
fn h265_to_ffmpeg() {
    let options = ["-map", "0:v", "-c:v", "libx265", "-x265-params", "bframes=0:log-level=none"];
    us_to_ffmpeg_as_nals("film.mp4", &options, "hevc");
}

#[test]
fn jpeg_to_ffmpeg() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["-map", "0:v", "-c:v", "mjpeg", "-huffman", "default", "-pix_fmt", "yuvj420p"];
    let (track, units) = film(folder.path(), "film.mov", &options);
    let stream = send_to_ffmpeg(folder.path(), &track, &units, "mjpeg");
    let starts: Vec<usize> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0xff, 0xd8, 0xff])
        .map(|(at, _)| at)
        .collect();
    assert_eq!(starts.len(), units.len());
    for (i, unit) in units.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(stream.len());
        let came = Bytes::copy_from_slice(&stream[starts[i]..end]);
        assert_eq!(mjpeg::Picture::parse(&came), mjpeg::Picture::parse(&unit.data));
    }
}

/// Through a container, compared by what ffmpeg reads back out of both.
fn us_to_ffmpeg_in(container: &str, name: &str, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (track, units) = film(folder.path(), name, options);
    let file = send_to_ffmpeg(folder.path(), &track, &units, container);
    let file = support::write(&folder.path().join("again"), &file);
    let hashes = |packets: Vec<support::Packet>| {
        packets.into_iter().map(|packet| (packet.len_bytes, packet.hash)).collect::<Vec<_>>()
    };
    let sent = hashes(support::all_packets(&folder.path().join(name), 0));
    assert_eq!(hashes(support::all_packets(&file, 0)), sent);
}

#[test]
fn vp9_to_ffmpeg() {
    let options = ["-map", "0:v", "-c:v", "libvpx-vp9", "-g", "20", "-cpu-used", "8"];
    us_to_ffmpeg_in("mp4", "film.mp4", &options);
}

#[test]
fn aac_to_ffmpeg() {
    us_to_ffmpeg_in("mp4", "film.mp4", &["-map", "1:a", "-c:a", "aac"]);
}

#[test]
fn opus_to_ffmpeg() {
    us_to_ffmpeg_in("mp4", "film.mp4", &["-map", "1:a", "-c:a", "libopus"]);
}

#[test]
fn samples_to_ffmpeg() {
    for (codec, format) in [("pcm_mulaw", "mulaw"), ("pcm_alaw", "alaw")] {
        let folder = tempfile::tempdir().unwrap();
        let (track, units) =
            film(folder.path(), "film.mov", &["-map", "1:a", "-c:a", codec, "-ar", "8000"]);
        let came = send_to_ffmpeg(folder.path(), &track, &units, format);
        let sent: Vec<u8> = units.iter().flat_map(|unit| unit.data.to_vec()).collect();
        assert!(came == sent, "{codec}: {} of {} bytes", came.len(), sent.len());
    }
}
