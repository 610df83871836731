//! Drawings of what was measured, as SVG, without a library; they look as those of the benchmarks do.

use std::fmt::Write as _;

use pegasus_disk::Survey;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const RIGHT: f64 = WIDTH - 30.0;
const INK: &str = "#24292f";
/// What was fitted.
const FIT: &str = "#1f6feb";
/// What was measured.
const DOT: &str = "#8b949e";
/// Marks along an axis.
const MARKS: u32 = 4;

/// What is drawn in one frame.
struct Chart<'a> {
    title: &'a str,
    x_label: &'a str,
    y_label: &'a str,
    dots: Vec<(f64, f64)>,
    line: Vec<(f64, f64)>,
}

/// Rate over offset and time to begin over distance: what was measured as dots, what it was taken for as a line.
pub(super) fn profile(title: &str, found: &Survey) -> String {
    let charts = [rates(title, found), begins(found)];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"sans-serif\">\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        HEIGHT * charts.len() as f64
    );
    for (at, chart) in charts.iter().enumerate() {
        let _ = writeln!(svg, "<g transform=\"translate(0 {})\">", HEIGHT * at as f64);
        chart.draw(&mut svg);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn rates<'a>(title: &'a str, found: &Survey) -> Chart<'a> {
    let profile = &found.profile;
    let gb = |bytes: u64| bytes as f64 / 1e9;
    let mb_per_s = |bps: u64| bps as f64 / 8e6;
    let dots = found.rates.iter().map(|rate| (gb(rate.offset), mb_per_s(rate.rate_bps)));
    let zones = profile.zones().iter().enumerate().flat_map(|(number, zone)| {
        let (range, rate) = (profile.zone_range(number), mb_per_s(zone.rate_bps));
        [(gb(range.start), rate), (gb(range.end), rate)]
    });
    let (dots, line) = (dots.collect(), zones.collect());
    Chart { title, x_label: "offset, GB", y_label: "MB/s", dots, line }
}

fn begins(found: &Survey) -> Chart<'static> {
    let profile = &found.profile;
    let cylinders = profile.cylinders();
    let dots =
        found.moves.iter().map(|made| (f64::from(made.cylinders), made.begin_ns as f64 / 1e6));
    // Over the longest distance once more, for curves that end before.
    let far = profile.seek().points().iter().map(|(far, _)| *far).chain([cylinders]);
    let least_ns = |far: u32| profile.overhead_ns() + profile.seek().ns(far);
    let line = far.map(|far| (f64::from(far), least_ns(far) as f64 / 1e6));
    let (mut dots, line): (Vec<_>, Vec<_>) = (dots.collect(), line.collect());
    // A few that took very long would press all others flat.
    dots.sort_unstable_by(|a: &(f64, f64), b| a.1.total_cmp(&b.1));
    dots.truncate((dots.len() * 99).div_ceil(100));
    let title = "time to begin after a move; line: without the turn";
    Chart { title, x_label: "distance, cylinders", y_label: "ms", dots, line }
}

impl Chart<'_> {
    fn draw(&self, svg: &mut String) {
        let all = || self.dots.iter().chain(&self.line);
        let x_most = all().map(|(x, _)| *x).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let y_most = (all().map(|(_, y)| *y).fold(0.0, f64::max) * 1.05).max(f64::MIN_POSITIVE);
        let bottom = HEIGHT - BOTTOM;
        let place = |(x, y): (f64, f64)| {
            (LEFT + x / x_most * (RIGHT - LEFT), bottom - y / y_most * (bottom - TOP))
        };
        text(svg, (WIDTH / 2.0, 20.0), "middle", 15, self.title);
        line(svg, &[(LEFT, TOP), (LEFT, bottom), (RIGHT, bottom)], INK, 1);
        for mark in 0..=MARKS {
            let share = f64::from(mark) / f64::from(MARKS);
            let (x, y) = place((x_most * share, y_most * share));
            text(svg, (LEFT - 8.0, y + 4.0), "end", 12, &short(y_most * share));
            text(svg, (x, bottom + 18.0), "middle", 12, &short(x_most * share));
        }
        text(svg, (f64::midpoint(LEFT, RIGHT), HEIGHT - 10.0), "middle", 12, self.x_label);
        text(svg, (LEFT - 50.0, TOP - 8.0), "start", 12, self.y_label);
        for (x, y) in self.dots.iter().map(|dot| place(*dot)) {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{DOT}\"/>");
        }
        let drawn: Vec<(f64, f64)> = self.line.iter().map(|point| place(*point)).collect();
        line(svg, &drawn, FIT, 2);
    }
}

fn line(svg: &mut String, points: &[(f64, f64)], colour: &str, width: u32) {
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let path = path.join(" ");
    let _ = writeln!(
        svg,
        "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, size: u32, text: &str) {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{INK}\">{escaped}</text>"
    );
}

/// A number in three digits or so.
fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ if value == 0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pegasus_disk::{Ground, Profile, SimDisk, SurveyOptions, survey};

    #[test]
    fn a_drawing_is_well_formed_and_holds_every_rate() {
        let truth: Profile = "capacity_bytes = 107374182400
             rotation_ms = 8.33
             seek = [ [1, 1.0], [2697, 16.1] ]
             zones = [ { cylinders = 1200, rate_bps = 347000000 }, { cylinders = 1497, rate_bps = 180000000 } ]"
            .parse()
            .unwrap();
        let size = truth.capacity_bytes();
        let disk = SimDisk::new("sim", size).with_profile(truth, 1);
        let ground = Ground::whole(size);
        let found = survey(&disk, &ground, &SurveyOptions::quick(), &mut |_| {}).unwrap();
        let svg = profile("<a & b>", &found);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("&lt;a &amp; b&gt;") && !svg.contains("NaN"));
        assert!(svg.matches("<circle").count() >= found.rates.len());
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    }
}
