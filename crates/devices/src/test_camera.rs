//! The driver of a test camera: a thread that publishes what the camera sees, on time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pegasus_base::{Clock, StreamName, Time};
use pegasus_circuit::{Command, Commands, Source, Switch};

use crate::DeviceError;
use crate::camera::{AudioCoding, Camera, VideoCoding, View};
use crate::card::Pattern;

/// A test camera that runs: publishes its stream until it is stopped or dropped.
///
/// Its time line is the clock's: unit times are exact, on whole fractions of a second. If the clock
/// steps, or the machine can't keep up, units are left out; if it steps back, the stream is
/// published anew.
pub struct TestCamera {
    name: StreamName,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How late the camera may be before it leaves units out.
const LATE_MAX: Duration = Duration::from_secs(1);
/// How far ahead of the clock a camera can be only because the clock stepped back.
const EARLY_MAX: Duration = Duration::from_secs(2);
/// Longest sleep, so that a step of the clock is noticed.
const NAP_MAX: Duration = Duration::from_millis(200);
/// Pause before a stream that can't be published is tried again.
const RETRY: Duration = Duration::from_secs(1);

impl View {
    /// The first default camera: colour bars, 640 by 360 at 25 Hz in H.264, sound in Opus.
    #[must_use]
    pub fn card(title: &str) -> Self {
        Self {
            pattern: Pattern::Card,
            title: title.to_owned(),
            width: 640,
            height: 360,
            rate_hz: 25,
            video: VideoCoding::H264,
            audio: AudioCoding::Opus,
        }
    }

    /// The second default camera: a clock, 384 by 216 at 10 Hz in JPEG, sound in G.711.
    #[must_use]
    pub fn clock(title: &str) -> Self {
        Self {
            pattern: Pattern::Clock,
            title: title.to_owned(),
            width: 384,
            height: 216,
            rate_hz: 10,
            video: VideoCoding::Mjpeg { quality: 75 },
            audio: AudioCoding::Pcmu,
        }
    }
}

impl TestCamera {
    /// Starts a camera that publishes `name`. If somebody else publishes it, it tries again each
    /// second.
    ///
    /// # Errors
    /// If its encoders or its thread can't be made.
    ///
    /// # Panics
    /// If a field of `view` is out of its range.
    pub fn start(
        name: &StreamName,
        view: View,
        switch: Switch,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DeviceError> {
        let camera = Camera::new(&view, next_second(clock.now()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let run = Run { name: name.clone(), view, switch, clock, stop: Arc::clone(&stop) };
        let thread = thread::Builder::new()
            .name("test-camera".to_owned())
            .spawn(move || run.until_stopped(camera))
            .map_err(|source| DeviceError::Thread { source })?;
        Ok(Self { name: name.clone(), stop, thread: Some(thread) })
    }

    /// Starts both default cameras, `/test/card` and `/test/clock`.
    ///
    /// # Errors
    /// As [`TestCamera::start`].
    ///
    /// # Panics
    /// Never: the defaults are within their ranges.
    pub fn start_defaults(
        switch: &Switch,
        clock: &Arc<dyn Clock>,
    ) -> Result<Vec<Self>, DeviceError> {
        [View::card("/test/card"), View::clock("/test/clock")]
            .into_iter()
            .map(|view| {
                let name = view.title.parse().expect("the titles are names");
                Self::start(&name, view, switch.clone(), Arc::clone(clock))
            })
            .collect()
    }

    /// The stream it publishes.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// Whether it still runs. It ends by itself when the switch is shut down or an encoder fails.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops it and waits until its stream is idle.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for TestCamera {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join(); // it has logged why, should it have failed
        }
    }
}

struct Run {
    name: StreamName,
    view: View,
    switch: Switch,
    clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
}

/// Why one run of a camera ended.
enum End {
    Stopped,
    ClockSteppedBack,
}

impl Run {
    fn until_stopped(self, mut camera: Camera) {
        loop {
            let Some(source) = self.publish(&camera) else { return };
            match self.run(&mut camera, &source) {
                Ok(End::Stopped) => return,
                Ok(End::ClockSteppedBack) => {
                    tracing::warn!(stream = %self.name, "the clock stepped back: publishing anew");
                    drop(source);
                    match Camera::new(&self.view, next_second(self.clock.now())) {
                        Ok(new) => camera = new,
                        Err(error) => return self.failed(&error),
                    }
                }
                Err(error) => return self.failed(&error),
            }
        }
    }

    fn failed(&self, error: &DeviceError) {
        tracing::error!(stream = %self.name, %error, "the test camera has stopped");
    }

    /// Publishes the stream, as soon as that is possible. `None` if it is to stop instead.
    fn publish(&self, camera: &Camera) -> Option<Source> {
        let mut told = false;
        while !self.stopped() {
            match self.switch.publish(&self.name, "test camera", camera.tracks().clone()) {
                Ok(source) => return Some(source),
                Err(pegasus_circuit::PublishError::Closed { .. }) => return None,
                Err(error) if !told => {
                    tracing::warn!(%error, "the test camera waits");
                    told = true;
                }
                Err(_) => {}
            }
            thread::park_timeout(RETRY);
        }
        None
    }

    fn run(&self, camera: &mut Camera, source: &Source) -> Result<End, DeviceError> {
        let mut commands = source.commands();
        let mut units = Vec::new();
        while !self.stopped() && !source.is_closed() {
            let (now, due) = (self.clock.now(), camera.due());
            if due > now + EARLY_MAX {
                return Ok(End::ClockSteppedBack);
            }
            if due > now {
                thread::park_timeout(due.since(now).min(NAP_MAX));
                continue;
            }
            if now.since(due) > LATE_MAX {
                let pictures = camera.skip(now);
                tracing::warn!(stream = %self.name, pictures, "too late, or the clock stepped");
            }
            obey(&mut commands, camera);
            camera.take(now, &mut units)?;
            source.send_many(units.drain(..));
        }
        Ok(End::Stopped)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

fn obey(commands: &mut Commands, camera: &mut Camera) {
    while let Some(command) = commands.try_next() {
        if command == Command::KeyUnit {
            camera.force_key();
        }
    }
}

/// The next whole second, so that pictures fall on whole fractions of seconds.
fn next_second(now: Time) -> Time {
    Time::from_secs(now.as_ns().div_euclid(1_000_000_000) + 1)
}
