//! `pegasus-sim`: runs seeds, and tells of the first thing that should not be.

#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use clap::{Args, Parser, Subcommand};
use pegasus_sim::{Coverage, Exhausted, Finding, Operation, Settings, exhaust, run};
use serde_json::json;

/// Runs whole stores on simulated disks, with clients, faults and power cuts decided by a seed, and looks for
/// anything that is lost or wrong.
///
/// Exits with 1 and the seed when it finds something.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  pegasus-sim --seeds 1000          a thousand stores\n  pegasus-sim --seed 42 --verbose   one of them again, step by step\n  pegasus-sim exhaustive --length 2  every pair of operations, cut everywhere"
)]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    /// The seed to run, or the first of several.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Steps of each.
    #[arg(long, default_value_t = Settings::default().steps)]
    steps: u32,
    /// Runs at a time. Default: one for each processor.
    #[arg(long, global = true)]
    jobs: Option<usize>,
    /// Tell each step.
    #[arg(long)]
    verbose: bool,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tries short sequences of operations with every cut, and every subset of what was not flushed.
    Exhaustive(Exhaustive),
}

#[derive(Debug, Args)]
struct Exhaustive {
    /// Operations in a sequence: all sequences of 1 and 2, a sample of longer ones.
    #[arg(long, default_value_t = 1)]
    length: u32,
    /// How many longer sequences to try.
    #[arg(long, default_value_t = 100)]
    sample: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.what {
        None => seeds(&cli),
        Some(What::Exhaustive(wanted)) => sequences(&cli, wanted),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Finding(what)) => {
            let _ = writeln!(std::io::stderr(), "error: {what}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `count` jobs, several at a time, until one finds something.
fn in_parallel(
    cli: &Cli,
    count: u64,
    job: impl Fn(u64) -> Result<(), Finding> + Sync,
) -> Result<(), Finding> {
    let (next, done, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let found = Mutex::new(None);
    let progress = std::io::stderr().is_terminal() && count > 1;
    let work = || {
        while !stop.load(Relaxed) {
            let at = next.fetch_add(1, Relaxed);
            if at >= count {
                return;
            }
            if let Err(finding) = job(at) {
                stop.store(true, Relaxed);
                found.lock().expect("nobody panics with it").get_or_insert(finding);
            }
            let done = done.fetch_add(1, Relaxed) + 1;
            if progress {
                let _ = write!(std::io::stderr(), "\r{done} of {count}");
            }
        }
    };
    let jobs = cli.jobs.or_else(|| std::thread::available_parallelism().ok().map(usize::from));
    std::thread::scope(|scope| {
        (0..jobs.unwrap_or(1).max(1)).for_each(|_| {
            scope.spawn(work);
        });
    });
    if progress {
        let _ = writeln!(std::io::stderr());
    }
    found.into_inner().expect("nobody panics with it").map_or(Ok(()), Err)
}

fn seeds(cli: &Cli) -> Result<(), Finding> {
    let settings = Settings { steps: cli.steps, verbose: cli.verbose };
    let sum = Mutex::new((Coverage::default(), 0_u64, 0_u64));
    in_parallel(cli, cli.seeds, |at| {
        let report = run(cli.seed + at, &settings)?;
        let mut sum = sum.lock().expect("nobody panics with it");
        sum.0.merge(&report.coverage);
        sum.1 += report.requests;
        sum.2 += report.virtual_s;
        Ok(())
    })?;
    let (coverage, requests, virtual_s) = sum.into_inner().expect("nobody panics with it");
    if cli.json {
        say(&json!({
            "seed": cli.seed, "seeds": cli.seeds, "requests": requests, "virtual_s": virtual_s,
            "coverage": coverage, "missing": coverage.missing(),
        })
        .to_string());
        return Ok(());
    }
    say(&format!(
        "{} seeds from {} on are clean: {requests} requests to disks",
        cli.seeds, cli.seed
    ));
    coverage.iter().for_each(|(what, times)| say(&format!("{times:>12}  {what}")));
    for what in coverage.missing() {
        say(&format!("{:>12}  {what}", "never"));
    }
    Ok(())
}

/// All sequences of one and two operations, and a sample of longer ones.
fn sequences(cli: &Cli, wanted: &Exhaustive) -> Result<(), Finding> {
    let mut all: Vec<Vec<Operation>> = Operation::ALL.iter().map(|one| vec![*one]).collect();
    if wanted.length >= 2 {
        let pairs = Operation::ALL.iter().flat_map(|one| Operation::ALL.map(|two| vec![*one, two]));
        all.extend(pairs);
    }
    let mut rng = fastrand::Rng::with_seed(cli.seed);
    for length in 3..=wanted.length {
        for _ in 0..wanted.sample {
            let any = |_| Operation::ALL[rng.usize(..Operation::ALL.len())];
            all.push((0..length).map(any).collect());
        }
    }
    let shapes = [(4, 1), (1, 1), (2, 2)];
    let sum = Mutex::new(Exhausted::default());
    in_parallel(cli, (all.len() * shapes.len()) as u64, |at| {
        let at = at as usize;
        let (data, parity) = shapes[at % shapes.len()];
        let done = exhaust(data, parity, &all[at / shapes.len()])?;
        let mut sum = sum.lock().expect("nobody panics with it");
        sum.sequences += done.sequences;
        sum.cuts += done.cuts;
        sum.states += done.states;
        Ok(())
    })?;
    let sum = sum.into_inner().expect("nobody panics with it");
    if cli.json {
        say(&json!(sum).to_string());
    } else {
        let Exhausted { sequences, cuts, states } = sum;
        say(&format!(
            "{sequences} sequences, {cuts} cuts, {states} states of the disks: all clean"
        ));
    }
    Ok(())
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
