//! Seeds, every one a store with its clients, faults and cuts; and short sequences, cut everywhere.
//!
//! `PEGASUS_SEED=n` begins with another seed, `PEGASUS_SEEDS=n` runs so many.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pegasus_sim::{Coverage, Exhausted, Finding, Operation, Settings, exhaust, run};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs seeds on all processors; what happened in them.
fn runs(first: u64, count: u64) -> Coverage {
    let next = AtomicU64::new(first);
    let sum = Mutex::new((Coverage::default(), None::<Finding>));
    let work = || {
        while sum.lock().unwrap().1.is_none() {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= first + count {
                return;
            }
            match run(seed, &Settings::default()) {
                Ok(report) => sum.lock().unwrap().0.merge(&report.coverage),
                Err(finding) => sum.lock().unwrap().1 = Some(finding),
            }
        }
    };
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let (coverage, finding) = sum.into_inner().unwrap();
    if let Some(finding) = finding {
        panic!("{finding}");
    }
    coverage
}

#[test]
fn seeds_are_clean_and_have_seen_everything() {
    let coverage = runs(number("PEGASUS_SEED", 1), number("PEGASUS_SEEDS", 150));
    assert_eq!(coverage.missing(), [""; 0], "{coverage:#?}");
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in [3, 5, 16, 18] {
        let settings = Settings { steps: 120, ..Settings::default() };
        assert_eq!(run(seed, &settings), run(seed, &settings));
    }
}

/// All single operations on arrays with one and two parities and a mirror, and pairs of those that change most.
#[test]
fn short_sequences_are_clean_wherever_they_are_cut() {
    let mut sequences: Vec<Vec<Operation>> = Operation::ALL.iter().map(|one| vec![*one]).collect();
    let most = [Operation::Bulk, Operation::Rename, Operation::Record, Operation::Clean];
    sequences.extend(most.iter().flat_map(|one| most.map(|two| vec![*one, two])));
    let mut sum = Exhausted::default();
    for sequence in sequences {
        for (data, parity) in [(4, 1), (1, 1), (2, 2)] {
            let done =
                exhaust(data, parity, &sequence).unwrap_or_else(|finding| panic!("{finding}"));
            sum.cuts += done.cuts;
            sum.states += done.states;
        }
    }
    assert!(sum.cuts > 500 && sum.states > 2_000, "{sum:?}");
}
