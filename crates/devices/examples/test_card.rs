//! Writes what the two default test cameras see into a folder, without waiting: pictures of the
//! clock as JPEG, the card as an H.264 byte stream, and the second's G.711 sound.
//!
//! ```text
//! cargo run --release -p pegasus-devices --example test_card -- /tmp/card 60
//! ffplay /tmp/card/card.h264
//! ```

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use pegasus_base::{Clock, SystemClock};
use pegasus_devices::{Camera, View};
use pegasus_media::TrackId;
use pegasus_media::codec::nal;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("give a folder to write to")?);
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    std::fs::create_dir_all(&folder)?;
    let start = SystemClock.now();
    let end = start + Duration::from_secs(seconds);

    let mut units = Vec::new();
    Camera::new(&View::card("/test/card"), start)?.take(end, &mut units)?;
    let mut stream = File::create(folder.join("card.h264"))?;
    for unit in units.iter().filter(|unit| unit.track == TrackId(0)) {
        for nal in nal::units(&unit.data) {
            stream.write_all(&[0, 0, 0, 1])?;
            stream.write_all(&nal)?;
        }
    }

    units.clear();
    Camera::new(&View::clock("/test/clock"), start)?.take(end, &mut units)?;
    let mut sound = File::create(folder.join("clock.ulaw"))?;
    for unit in &units {
        if unit.track == TrackId(0) {
            std::fs::write(folder.join(format!("clock-{:05}.jpg", unit.pts / 9_000)), &unit.data)?;
        } else {
            sound.write_all(&unit.data)?;
        }
    }
    Ok(())
}
