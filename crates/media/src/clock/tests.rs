//! Cameras with known capture times, simulated: clocks that drift, jitter, step, lie and jump.

use bytes::Bytes;
use pegasus_base::Time;
use proptest::prelude::*;

use super::MediaClock;
use crate::rtp::NtpTime;
use crate::{Codec, Shape, Track, TrackId};

const MS: i64 = 1_000_000;
const S: i64 = 1_000 * MS;
/// Start of every simulation.
const START_NS: i64 = 1_800_000_000 * S;

/// A camera and the way to it. Times in nanoseconds since the start of the simulation.
#[derive(Clone)]
struct Camera {
    seed: u64,
    /// Rate error of its media clock.
    skew_ppm: i64,
    /// Delay of the least delayed unit, and how much more the others may have.
    latency_ns: i64,
    jitter_ns: i64,
    /// Its wall clock less the true time, at a true time.
    wall_error_ns: fn(i64) -> i64,
    /// When reports begin; `None`: never.
    reports_from_s: Option<i64>,
    /// What is added to its ticks from a true time on.
    tick_jump: Option<(i64, i64)>,
    /// No unit arrives between these; they all arrive at the end.
    stall: Option<(i64, i64)>,
}

impl Camera {
    fn plain(seed: u64) -> Self {
        Self {
            seed,
            skew_ppm: 0,
            latency_ns: 30 * MS,
            jitter_ns: 0,
            wall_error_ns: |_| 0,
            reports_from_s: None,
            tick_jump: None,
            stall: None,
        }
    }
}

/// What became of a unit.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    track: usize,
    /// When it was captured.
    true_ns: i64,
    /// When the clock says it was.
    time_ns: i64,
    ticks: i64,
}

impl Outcome {
    fn error_ns(&self) -> i64 {
        self.time_ns - self.true_ns
    }
}

const RATES: [u32; 2] = [90_000, 48_000];
const PERIODS_NS: [i64; 2] = [40 * MS, 1_024 * S / 48_000];

fn tracks() -> Vec<Track> {
    let video = Track {
        id: TrackId(0),
        codec: Codec::H264,
        clock_rate: RATES[0],
        shape: Shape::Video { width: 0, height: 0 },
        config: Bytes::new(),
    };
    let shape = Shape::Audio { channels: 2, sample_rate: RATES[1] };
    let audio = Track {
        id: TrackId(1),
        codec: Codec::Aac,
        clock_rate: RATES[1],
        shape,
        config: Bytes::new(),
    };
    vec![video, audio]
}

/// Runs the camera for so long, both tracks, and gives all units in order of arrival.
fn run(camera: &Camera, seconds: i64) -> Vec<Outcome> {
    let mut rng = fastrand::Rng::with_seed(camera.seed);
    let bases = [i64::from(rng.u32(..)), i64::from(rng.u32(..))];
    let ticks = |track: usize, true_ns: i64| {
        let jump = camera.tick_jump.filter(|(at, _)| true_ns >= *at).map_or(0, |(_, jump)| jump);
        let media_ns = i128::from(true_ns + true_ns / 1_000_000 * camera.skew_ppm + jump);
        bases[track] + (media_ns * i128::from(RATES[track]) / i128::from(S)) as i64
    };
    let mut arrivals: Vec<(i64, usize, i64)> = Vec::new();
    for (track, period_ns) in PERIODS_NS.into_iter().enumerate() {
        let mut last_ns = 0;
        for i in 0..seconds * S / period_ns {
            let true_ns = i * period_ns;
            // Mostly little, seldom much; a connection keeps order.
            let jitter_ns = (rng.f64().powi(4) * camera.jitter_ns as f64) as i64;
            let mut at_ns = true_ns + camera.latency_ns + jitter_ns;
            if let Some((from, to)) =
                camera.stall.filter(|(from, to)| (*from..*to).contains(&at_ns))
            {
                assert!(from < to);
                at_ns = to;
            }
            last_ns = at_ns.max(last_ns);
            arrivals.push((last_ns, track, true_ns));
        }
    }
    arrivals.sort_by_key(|(at_ns, track, _)| (*at_ns, *track));
    let mut clock = MediaClock::new(&tracks());
    let mut next_report_s = [camera.reports_from_s, camera.reports_from_s.map(|s| s + 2)];
    let mut outcomes = Vec::new();
    for (at_ns, track, true_ns) in arrivals {
        let id = TrackId(track as u8);
        let arrival = Time::from_ns(START_NS + at_ns);
        if let Some(due_s) = next_report_s[track].filter(|s| *s * S <= true_ns) {
            next_report_s[track] = Some(due_s + 5);
            let wall_ns = START_NS + true_ns + (camera.wall_error_ns)(true_ns);
            let ntp = NtpTime::from_time(Time::from_ns(wall_ns));
            clock.sender_report(id, ntp, ticks(track, true_ns), arrival);
        }
        let ticks = ticks(track, true_ns);
        let time_ns = clock.time(id, ticks, arrival).as_ns() - START_NS;
        outcomes.push(Outcome { track, true_ns, time_ns, ticks });
    }
    outcomes
}

/// Whatever happens, each track's line goes forward, and never slower or faster than 5 % unless it
/// jumps forward.
fn assert_untorn(outcomes: &[Outcome]) {
    for (track, rate) in RATES.into_iter().enumerate() {
        let line: Vec<_> = outcomes.iter().filter(|outcome| outcome.track == track).collect();
        for pair in line.windows(2) {
            assert!(pair[1].time_ns > pair[0].time_ns, "{pair:?}");
            let ticks = pair[1].ticks - pair[0].ticks;
            let step_ns = pair[1].time_ns - pair[0].time_ns;
            let slow = i128::from(step_ns) * 1_000 * i128::from(rate)
                < i128::from(ticks) * i128::from(S) * 949;
            // Where ticks jump ahead, time does not follow them.
            assert!(!slow || ticks > 2 * i64::from(rate), "{pair:?}");
        }
    }
}

/// The largest error from a true time on, either way.
fn worst_ns(outcomes: &[Outcome], from_ns: i64) -> i64 {
    let late = outcomes.iter().filter(|outcome| outcome.true_ns >= from_ns);
    late.map(|outcome| outcome.error_ns().abs()).max().unwrap()
}

/// How far sound and pictures are apart from a true time on, second by second.
fn skew_ns(outcomes: &[Outcome], from_ns: i64) -> i64 {
    let end_s = outcomes.last().unwrap().true_ns / S;
    let mean_ns = |track: usize, second: i64| {
        let of_second = outcomes.iter().filter(|o| o.track == track && o.true_ns / S == second);
        let errors: Vec<i64> = of_second.map(Outcome::error_ns).collect();
        errors.iter().sum::<i64>() / errors.len() as i64
    };
    let apart = |second| (mean_ns(0, second) - mean_ns(1, second)).abs();
    (from_ns / S..end_s).map(apart).max().unwrap()
}

#[test]
fn without_reports_the_least_delayed_unit_counts() {
    let outcomes = run(&Camera { jitter_ns: 80 * MS, ..Camera::plain(1) }, 300);
    assert_untorn(&outcomes);
    let worst = worst_ns(&outcomes, 20 * S);
    assert!((25 * MS..40 * MS).contains(&worst), "latency and hardly more: {worst}");
}

#[test]
fn a_drifting_clock_is_followed_by_slewing() {
    for skew_ppm in [-100, 100] {
        let camera = Camera { skew_ppm, jitter_ns: 50 * MS, ..Camera::plain(2) };
        let outcomes = run(&camera, 3_600);
        assert_untorn(&outcomes);
        let worst = worst_ns(&outcomes, 30 * S);
        assert!(worst < 50 * MS, "{skew_ppm} ppm: {worst}");
    }
}

#[test]
fn in_normal_running_time_differs_from_ticks_by_500_ppm_at_most() {
    let camera = Camera { skew_ppm: 100, jitter_ns: 50 * MS, ..Camera::plain(3) };
    let outcomes = run(&Camera { reports_from_s: Some(1), ..camera }, 600);
    let line: Vec<_> = outcomes.iter().filter(|o| o.track == 0 && o.true_ns > 60 * S).collect();
    for pair in line.windows(2) {
        let step_ns = pair[1].time_ns - pair[0].time_ns;
        let tick_ns = (pair[1].ticks - pair[0].ticks) * S / i64::from(RATES[0]);
        assert!((step_ns - tick_ns).abs() <= tick_ns / 2_000 + 1, "{pair:?}");
    }
}

#[test]
fn a_right_wall_clock_gives_the_true_time() {
    let camera = Camera { latency_ns: 400 * MS, jitter_ns: 200 * MS, ..Camera::plain(4) };
    let outcomes = run(&Camera { reports_from_s: Some(0), ..camera }, 60);
    assert_untorn(&outcomes);
    assert!(worst_ns(&outcomes, 15 * S) < MS, "{}", worst_ns(&outcomes, 15 * S));
    assert!(skew_ns(&outcomes, 15 * S) < MS);
}

#[test]
fn late_reports_are_slewed_to() {
    let camera = Camera { latency_ns: 400 * MS, reports_from_s: Some(60), ..Camera::plain(5) };
    let outcomes = run(&camera, 120);
    assert_untorn(&outcomes);
    let before = outcomes.iter().filter(|o| (10 * S..59 * S).contains(&o.true_ns));
    assert!(before.map(Outcome::error_ns).all(|error| (error - 400 * MS).abs() < MS));
    assert!(worst_ns(&outcomes, 80 * S) < MS, "{}", worst_ns(&outcomes, 80 * S));
}

#[test]
fn a_wrong_wall_clock_still_aligns_sound_and_pictures() {
    for wall_error_ns in [|_| -3_600 * S, |_| 86_400 * 365 * S, |_| -20 * S, |_| 1_400 * MS] {
        let camera = Camera { wall_error_ns, jitter_ns: 60 * MS, ..Camera::plain(6) };
        let outcomes = run(&Camera { reports_from_s: Some(0), ..camera }, 120);
        assert_untorn(&outcomes);
        assert!(worst_ns(&outcomes, 20 * S) < 40 * MS, "arrival gives the time");
        assert!(skew_ns(&outcomes, 20 * S) < 5 * MS, "reports align the tracks");
    }
}

#[test]
fn a_stepping_wall_clock_does_not_tear_the_line() {
    let steps: [fn(i64) -> i64; 4] = [
        |at| if at < 60 * S { 0 } else { 3_600 * S },
        |at| if at < 60 * S { 0 } else { -3_600 * S },
        |at| if at < 60 * S { 3_600 * S } else { 0 },
        |at| (at / (30 * S)) * -700 * MS,
    ];
    for wall_error_ns in steps {
        let camera = Camera { wall_error_ns, jitter_ns: 20 * MS, ..Camera::plain(7) };
        let outcomes = run(&Camera { reports_from_s: Some(0), ..camera }, 240);
        assert_untorn(&outcomes);
        // No clock is trusted that is more than a second and a half off.
        assert!(worst_ns(&outcomes, 15 * S) < 1_550 * MS, "{}", worst_ns(&outcomes, 15 * S));
        assert!(skew_ns(&outcomes, 15 * S) < 5 * MS, "{}", skew_ns(&outcomes, 15 * S));
    }
}

#[test]
fn an_hour_off_is_no_more_than_the_latency() {
    let wall_error_ns = |at| if at < 60 * S { 0 } else { 3_600 * S };
    let camera = Camera { wall_error_ns, reports_from_s: Some(0), ..Camera::plain(8) };
    let outcomes = run(&camera, 240);
    assert!(worst_ns(&outcomes, 10 * S) < 40 * MS, "{}", worst_ns(&outcomes, 10 * S));
    assert!(skew_ns(&outcomes, 10 * S) < 5 * MS, "{}", skew_ns(&outcomes, 10 * S));
}

#[test]
fn jumping_ticks_do_not_tear_the_line() {
    for jump_ns in [3 * S, -3 * S, 3_600 * S, -3_600 * S, 40_000 * S] {
        for reports_from_s in [None, Some(0)] {
            let camera = Camera { tick_jump: Some((60 * S, jump_ns)), ..Camera::plain(9) };
            let camera = Camera { jitter_ns: 30 * MS, reports_from_s, ..camera };
            let outcomes = run(&camera, 120);
            assert_untorn(&outcomes);
            let worst = worst_ns(&outcomes, 15 * S);
            assert!(worst < 100 * MS, "jump {jump_ns}, reports {reports_from_s:?}: {worst}");
        }
    }
}

#[test]
fn a_stalled_connection_keeps_its_times() {
    for seconds in [3, 8, 40] {
        let stall = Some((60 * S, (60 + seconds) * S));
        for reports_from_s in [None, Some(0)] {
            let outcomes = run(&Camera { stall, reports_from_s, ..Camera::plain(10) }, 180);
            assert_untorn(&outcomes);
            let worst = worst_ns(&outcomes, 10 * S);
            assert!(worst < 60 * MS, "{seconds} s, reports {reports_from_s:?}: {worst}");
        }
    }
}

#[test]
fn reordered_pictures_keep_their_order() {
    let mut clock = MediaClock::new(&tracks());
    let mut shown: Vec<(i64, Time)> = Vec::new();
    // I P B B P B B ...: presented 0 3 1 2 6 4 5 ...
    for i in 0..3_000i64 {
        let order = match i % 3 {
            _ if i == 0 => 0,
            1 => i + 2,
            _ => i - 1,
        };
        let arrival = Time::from_ns(START_NS + i * 40 * MS + (i % 7) * 5 * MS);
        let pts = order * 3_600;
        shown.push((pts, clock.time(TrackId(0), pts, arrival)));
    }
    shown.sort_by_key(|(pts, _)| *pts);
    assert!(shown.windows(2).all(|pair| pair[0].1 < pair[1].1));
}

/// Pictures at an even cadence while the machine's own clock is set by `step_ns` after a minute;
/// gives the line's steps less the cadence's.
fn own_clock_set(step_ns: i64) -> Vec<i64> {
    let mut clock = MediaClock::new(&tracks());
    let mut times = Vec::new();
    for i in 0..4_500i64 {
        let set_ns = if i < 1_500 { 0 } else { step_ns };
        let arrival = Time::from_ns(START_NS + i * 40 * MS + set_ns);
        times.push(clock.time(TrackId(0), i * 3_600, arrival).as_ns());
    }
    times.windows(2).map(|pair| pair[1] - pair[0] - 40 * MS).collect()
}

#[test]
fn our_own_clock_set_forward_makes_one_gap() {
    let steps = own_clock_set(3_600 * S);
    let gaps: Vec<&i64> = steps.iter().filter(|step| **step > 40 * MS).collect();
    assert_eq!(gaps, [&(3_600 * S)]);
}

#[test]
fn our_own_clock_set_back_slows_the_line() {
    let steps = own_clock_set(-3_600 * S);
    assert!(steps.iter().all(|step| (-40 * MS..=0).contains(step)), "never back, never ahead");
    assert!(steps[2_000..].iter().all(|step| *step == -2 * MS), "5 % slow");
}

#[test]
fn reports_that_say_nothing_are_ignored() {
    let mut clock = MediaClock::new(&tracks());
    let at = |ms: i64| Time::from_ns(START_NS + ms * MS);
    clock.sender_report(TrackId(0), NtpTime(0), 0, at(0));
    assert_eq!(clock.time(TrackId(0), 0, at(10)), at(10));
    // Ticks of another track, or of no track at all.
    clock.sender_report(TrackId(0), NtpTime::from_time(at(0)), 1 << 40, at(20));
    assert_eq!(clock.time(TrackId(0), 3_600, at(50)), at(50));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Any camera in any weather: the line is untorn.
    #[test]
    fn no_camera_tears_its_line(
        seed: u64, skew_ppm in -200i64..200, latency_ms in 0i64..3_000, jitter_ms in 0i64..2_000,
        reports in proptest::option::of(0i64..40), jump in proptest::option::of((0i64..60, -9_000i64..9_000)),
    ) {
        let outcomes = run(&Camera {
            seed, skew_ppm,
            latency_ns: latency_ms * MS,
            jitter_ns: jitter_ms * MS,
            wall_error_ns: |at| if at < 30 * S { 900 * MS } else { -900 * MS },
            reports_from_s: reports,
            tick_jump: jump.map(|(at, by)| (at * S, by * S)),
            stall: None,
        }, 60);
        assert_untorn(&outcomes);
    }

    /// Nonsense costs nothing but its own times.
    #[test]
    fn any_input_is_taken(
        calls in proptest::collection::vec((0u8..2, any::<i64>(), any::<i64>(), any::<bool>()), 0..60),
    ) {
        let mut clock = MediaClock::new(&tracks());
        for (track, pts, ns, report) in calls {
            if report {
                clock.sender_report(TrackId(track), NtpTime(ns as u64), pts, Time::from_ns(ns));
            }
            let _ = clock.time(TrackId(track), pts, Time::from_ns(ns));
        }
    }
}
