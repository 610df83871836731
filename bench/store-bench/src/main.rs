//! Measures the store by itself, without a network: what `bench/store.py` runs. Each subcommand prints
//! one JSON object of figures.
//!
//! - [`disk`]: how fast real disk files take what recorders push, and how many bytes that costs.
//! - [`timeline`]: how long a query for spans takes over a month of many streams.
//! - [`listing`]: how long it takes to list hours of a stream, which is what an export waits for.
//! - [`reopen`]: how long opening takes after a kill, for stores of several sizes.
//! - [`clean`]: whether cleaning costs more in larger stores.
//! - [`amplify`]: what cleaning costs in stores that are full to different degrees.
//! - [`scale`]: what stores of up to 100 TB take in memory, and what their checkpoints, openings and allocations cost.
//! - [`filled`]: a store full of recordings for others to play from.
//! - [`schedule`]: how many playbacks disks of a kind keep their rate for, against what they could move; what admission costs.
//! - [`table`]: what each knob of a schedule is worth, planned and simulated.
//! - [`flow`]: what working ahead and merging are worth.
//!
//! [`camera`] makes the units, [`mod@array`] the store, [`fill`] a past nobody recorded; [`sparse`] is a disk for it.

mod amplify;
mod array;
mod camera;
mod clean;
mod disk;
mod figures;
mod fill;
mod filled;
mod flow;
mod heap;
mod listing;
mod reopen;
mod scale;
mod schedule;
mod sparse;
mod table;
mod timeline;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: heap::Counted = heap::Counted;

/// Why a measurement could not be made.
type Failure = Box<dyn std::error::Error>;

/// Measures the store by itself and prints figures as JSON.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Feed a store on real files as fast as it takes.
    Disk {
        /// Folder for the five disk files; they are removed at the end.
        #[arg(long)]
        dir: PathBuf,
        /// Streams recorded.
        #[arg(long, default_value_t = 50)]
        streams: usize,
        /// Rate of each stream's media, in Mb per second of media time.
        #[arg(long, default_value_t = 4.0)]
        rate_mbps: f64,
        /// How long to feed it, in seconds.
        #[arg(long, default_value_t = 20.0)]
        seconds: f64,
        /// Size of each disk file in MiB.
        #[arg(long, default_value_t = 2048)]
        disk_mib: u64,
    },
    /// Make a store on these disks and fill it with recordings: what is on them is lost.
    Filled {
        /// Files or devices.
        #[arg(long, required = true)]
        disk: Vec<PathBuf>,
        /// Parity columns.
        #[arg(long, default_value_t = 0)]
        parity: u8,
        /// Stripe unit in MiB; measured unless given.
        #[arg(long)]
        unit_mib: Option<u32>,
        /// Streams recorded.
        #[arg(long, default_value_t = 100)]
        streams: usize,
        /// Rate of each, in Mb per second.
        #[arg(long, default_value_t = 4.0)]
        rate_mbps: f64,
        /// Length of each, in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Ask for the spans of many streams over many days.
    Timeline {
        /// Days recorded.
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// Streams recorded.
        #[arg(long, default_value_t = 50)]
        streams: usize,
    },
    /// List a long recording, and read it.
    List {
        /// Folder for the five disk files.
        #[arg(long)]
        dir: PathBuf,
        /// How long the recording is.
        #[arg(long, default_value_t = 6.0)]
        hours: f64,
        /// Rate of the stream's media, in Mb per second.
        #[arg(long, default_value_t = 4.0)]
        rate_mbps: f64,
        /// Leave the files, for a node to serve.
        #[arg(long)]
        keep: bool,
    },
    /// Write over what is in a store and count what cleaning costs.
    Amplify {
        /// How full it is, from 0 to 1.
        #[arg(long)]
        full: f64,
        /// What is written over.
        #[arg(long, value_enum)]
        pattern: amplify::Pattern,
        /// How often its capacity is written.
        #[arg(long, default_value_t = 2.0)]
        rounds: f64,
    },
    /// Clean the same garbage in a store of some size.
    Clean {
        /// What is stored beside it, in GB (10^9 bytes, parity apart).
        #[arg(long)]
        gigabytes: f64,
        /// How much garbage there is.
        #[arg(long, default_value_t = 256)]
        garbage_mib: u64,
        /// Folder for what the simulated disks keep.
        #[arg(long, default_value = "/var/tmp")]
        dir: PathBuf,
    },
    /// Make a store of some size and measure what depends on it.
    Scale {
        /// Recordings in it, in TB (10^12 bytes, parity apart).
        #[arg(long)]
        terabytes: f64,
        /// Streams recorded.
        #[arg(long, default_value_t = 50)]
        streams: usize,
        /// Folder for what the simulated disks keep: 30 GB at 100 TB.
        #[arg(long, default_value = "/var/tmp")]
        dir: PathBuf,
    },
    /// Plan playbacks for simulated disks, run them, and time the scheduler.
    Schedule,
    /// Plan playbacks and run them, with one knob turned at a time.
    Table,
    /// Run schedules with and without working ahead and merging.
    Flow,
    /// Open a killed store.
    Reopen {
        /// Recordings in it, in TB (10^12 bytes, parity apart).
        #[arg(long)]
        terabytes: f64,
        /// Streams recorded.
        #[arg(long, default_value_t = 50)]
        streams: usize,
        /// Rate of each stream's media, in Mb per second.
        #[arg(long, default_value_t = 4.0)]
        rate_mbps: f64,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse().what) {
        Ok(figures) => {
            print(&figures);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(what: &What) -> Result<Value, Failure> {
    match what {
        What::Disk { dir, streams, rate_mbps, seconds, disk_mib } => disk::run(&disk::Load {
            dir,
            streams: *streams,
            rate_bps: rate_mbps * 1e6,
            seconds: *seconds,
            disk_bytes: disk_mib << 20,
        }),
        What::Amplify { full, pattern, rounds } => amplify::run(*full, *pattern, *rounds),
        What::Clean { gigabytes, garbage_mib, dir } => clean::run(*gigabytes, *garbage_mib, dir),
        What::Scale { terabytes, streams, dir } => scale::run(terabytes * 1e12, *streams, dir),
        What::Schedule => schedule::run(),
        What::Table => table::run(),
        What::Flow => flow::run(),
        What::Filled { disk, parity, unit_mib, streams, rate_mbps, seconds } => {
            filled::run(&filled::Load {
                disks: disk,
                parity: *parity,
                unit_bytes: unit_mib.map(|mib| mib << 20),
                streams: *streams,
                rate_bps: rate_mbps * 1e6,
                seconds: *seconds,
            })
        }
        What::Timeline { days, streams } => timeline::run(*days, *streams),
        What::List { dir, hours, rate_mbps, keep } => listing::run(&listing::Load {
            dir,
            hours: *hours,
            rate_bps: rate_mbps * 1e6,
            keep: *keep,
        }),
        What::Reopen { terabytes, streams, rate_mbps } => reopen::run(&reopen::Store {
            bytes: terabytes * 1e12,
            streams: *streams,
            rate_bps: rate_mbps * 1e6,
        }),
    }
}

#[allow(clippy::print_stdout)] // it is what the program is for
fn print(figures: &Value) {
    println!("{figures}");
}

#[allow(clippy::print_stderr)]
fn complain(sentence: &str) {
    eprintln!("{sentence}");
}
