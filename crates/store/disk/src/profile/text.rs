//! A profile as TOML: what `pegasus disk profile` writes, people write by hand, and `docs/ref/profile.md` describes.

use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::{NS_PER_MS, Profile, ProfileError, QueueDepth, Seek, ServiceTimes, Zone};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Text {
    capacity_bytes: u64,
    rotation_ms: f64,
    #[serde(default)]
    overhead_ms: f64,
    seek: Vec<(u32, f64)>,
    zones: Vec<ZoneText>,
    #[serde(default)]
    queue: Vec<QueueDepth>,
    #[serde(default)]
    service: Vec<ServiceTimes>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ZoneText {
    cylinders: u32,
    rate_bps: u64,
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let wrong = |error: toml::de::Error| ProfileError::new("profile", error.to_string());
        let text: Text = toml::from_str(text).map_err(wrong)?;
        let zone = |zone: &ZoneText| Zone { cylinders: zone.cylinders, rate_bps: zone.rate_bps };
        let zones = text.zones.iter().map(zone).collect();
        let profile =
            Self::new(text.capacity_bytes, text.rotation_ms, Seek::new(&text.seek)?, zones)?;
        let profile = profile.with_overhead(text.overhead_ms)?;
        Ok(Self { queue: text.queue, service: text.service, ..profile })
    }
}

impl From<&Profile> for Text {
    fn from(profile: &Profile) -> Self {
        let ms = |ns: u64| ns as f64 / NS_PER_MS;
        let zone = |zone: &Zone| ZoneText { cylinders: zone.cylinders, rate_bps: zone.rate_bps };
        Self {
            capacity_bytes: profile.capacity_bytes,
            rotation_ms: ms(profile.rotation_ns),
            overhead_ms: ms(profile.overhead_ns),
            seek: profile.seek.points().iter().map(|(far, ns)| (*far, ms(*ns))).collect(),
            zones: profile.zones.iter().map(zone).collect(),
            queue: profile.queue.clone(),
            service: profile.service.clone(),
        }
    }
}

/// With the names and numbers of the TOML.
impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Text::from(self).serialize(serializer)
    }
}

impl Profile {
    /// The profile as TOML, such that reading it gives the same profile.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let Text { capacity_bytes, rotation_ms, overhead_ms, seek, .. } = self.into();
        let points = seek.iter().map(|(far, ms)| format!("[{far}, {ms:?}]"));
        let points = points.collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "capacity_bytes = {capacity_bytes}\nrotation_ms = {rotation_ms:?}\noverhead_ms = {overhead_ms:?}\n\
             seek = [ {points} ]  # cylinders, ms; linear between\nzones = [  # outermost first\n",
        );
        let put = "a text can be written to";
        for zone in &self.zones {
            writeln!(text, "  {{ cylinders = {}, rate_bps = {} }},", zone.cylinders, zone.rate_bps)
                .expect(put);
        }
        text.push_str("]\n");
        if !self.queue.is_empty() {
            text.push_str("queue = [  # short reads at random places\n");
            for QueueDepth { depth, reads_per_s } in &self.queue {
                writeln!(text, "  {{ depth = {depth}, reads_per_s = {reads_per_s:?} }},")
                    .expect(put);
            }
            text.push_str("]\n");
        }
        if !self.service.is_empty() {
            text.push_str("service = [  # reads at random places, one at a time\n");
            for ServiceTimes { block_bytes, p50_ms, p99_ms, p999_ms } in &self.service {
                let times =
                    format!("p50_ms = {p50_ms:?}, p99_ms = {p99_ms:?}, p999_ms = {p999_ms:?}");
                writeln!(text, "  {{ block_bytes = {block_bytes}, {times} }},").expect(put);
            }
            text.push_str("]\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_as_the_same() {
        let seek = Seek::new(&[(1, 0.75), (400, 5.123_456), (2_697, 21.1)]).unwrap();
        let zones = vec![
            Zone { cylinders: 117, rate_bps: 34_700_000 },
            Zone { cylinders: 2_580, rate_bps: 18_000_001 },
        ];
        let mut profile =
            Profile::new(1_050_000_000, 11.11, seek, zones).unwrap().with_overhead(0.3).unwrap();
        assert_eq!(profile.to_toml().parse::<Profile>().unwrap(), profile);
        profile.queue.push(QueueDepth { depth: 32, reads_per_s: 312.25 });
        profile.service.push(ServiceTimes {
            block_bytes: 4_096,
            p50_ms: 8.0,
            p99_ms: 17.5,
            p999_ms: 30.0,
        });
        assert_eq!(profile.to_toml().parse::<Profile>().unwrap(), profile);
        // Any other format has the same names.
        let again = toml::to_string(&profile).unwrap().parse::<Profile>().unwrap();
        assert_eq!(again, profile);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| text.parse::<Profile>().unwrap_err().to_string();
        let rest = "rotation_ms = 8.3\nseek = [[1, 2.0]]\n";
        assert!(error("capacity_bytes = 1").contains("rotation_ms"));
        let none = format!("capacity_bytes = 1000\n{rest}zones = []");
        assert!(error(&none).starts_with("zones: there is none"), "{}", error(&none));
        let speed = format!("capacity_bytes = 1000\n{rest}zones = [{{ cylinders = 1, rate = 3 }}]");
        assert!(error(&speed).contains("rate"), "{}", error(&speed));
        let falls = "capacity_bytes = 1000\nrotation_ms = 0.0\nseek = [[1, 2.0], [2, 1.0]]\nzones = [{ cylinders = 1, rate_bps = 3 }]";
        assert!(error(falls).starts_with("seek: [2, 1]"), "{}", error(falls));
    }
}
