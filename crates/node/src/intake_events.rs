//! What is to be said of recordings and what the disks can take. Pure: it is told how they are.

use std::collections::BTreeSet;

use pegasus_base::{BitRate, StreamName};
use pegasus_continuous::IntakeStatus;
use pegasus_gateway::Level;

/// What was known when it was looked last.
#[derive(Debug, Default)]
pub(crate) struct IntakeEvents {
    overcommitted: bool,
    exceeding: BTreeSet<StreamName>,
}

impl IntakeEvents {
    /// What is to be said since the last time: how grave it is, of what, and what.
    pub(crate) fn note(&mut self, status: &IntakeStatus) -> Vec<(Level, String, String)> {
        let mut said = Vec::new();
        let before = std::mem::take(&mut self.exceeding);
        for one in &status.exceeding {
            if !before.contains(&one.stream) {
                let (says, writes) = (BitRate(one.said_bps), BitRate(one.writes_bps));
                let text = format!("the stream writes {writes}, and said {says}");
                said.push((Level::Warning, one.stream.to_string(), text));
            }
            self.exceeding.insert(one.stream.clone());
        }
        let trouble = status.trouble();
        if trouble.is_some() != self.overcommitted {
            self.overcommitted = trouble.is_some();
            let again = || "the disks have time for all that is recorded again".to_owned();
            let level = if self.overcommitted { Level::Error } else { Level::Info };
            said.push((level, "store".to_owned(), trouble.unwrap_or_else(again)));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use pegasus_continuous::Exceeding;

    use super::*;

    #[test]
    fn each_is_said_once_until_it_is_over() {
        let mut events = IntakeEvents::default();
        let mut status = IntakeStatus {
            takes_percent: Some(50.0),
            limit_percent: Some(80.0),
            ..IntakeStatus::default()
        };
        assert!(events.note(&status).is_empty());
        let stream: StreamName = "/cam/door".parse().unwrap();
        status.exceeding = vec![Exceeding { stream, said_bps: 4_000_000, writes_bps: 40_000_000 }];
        let said = events.note(&status);
        assert_eq!(said.len(), 1);
        assert_eq!((said[0].0, said[0].1.as_str()), (Level::Warning, "/cam/door"));
        assert!(said[0].2.contains("writes 40.0 Mb/s"), "{}", said[0].2);
        status.takes_percent = Some(90.0);
        let said = events.note(&status);
        assert_eq!((said.len(), said[0].0, said[0].1.as_str()), (1, Level::Error, "store"));
        assert!(events.note(&status).is_empty(), "it is known");
        status = IntakeStatus { takes_percent: Some(50.0), exceeding: Vec::new(), ..status };
        let said = events.note(&status);
        assert_eq!((said.len(), said[0].0), (1, Level::Info));
    }
}
