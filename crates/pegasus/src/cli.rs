//! The command line: every subcommand, its help and an example of it.

pub(crate) mod plan;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use pegasus_base::{ByteSize, StreamName, When};

/// Record cameras and microphones, keep them through faults, play any moment back.
#[derive(Debug, Parser)]
#[command(name = "pegasus", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Example:\n  pegasus up\n  ffmpeg -re -i film.mp4 -c copy -f rtsp \
    rtsp://127.0.0.1:8554/cam/door\n  pegasus export /cam/door --from -1m --to now -o clip.mp4")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The node to talk to; may hold user:password@
    #[arg(
        long,
        global = true,
        env = "PEGASUS_NODE",
        value_name = "URL",
        default_value = "http://127.0.0.1:7070",
        hide_env_values = true
    )]
    pub(crate) node: String,
    /// Print JSON for other programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a node and run until stopped
    #[command(
        after_help = "Example:\n  pegasus up --data /var/lib/pegasus --mount /mnt/pegasus\n  pegasus up --config \
        /etc/pegasus.toml"
    )]
    Up(Up),
    /// Show the node's health: store, disks, streams
    #[command(after_help = "Example:\n  pegasus status --json")]
    Status,
    /// Streams: live now, or recorded
    #[command(subcommand)]
    Stream(Stream),
    /// What is recorded of a stream
    #[command(subcommand)]
    Recording(Recording),
    /// Streams the node pulls from cameras and files
    #[command(subcommand)]
    Source(Source),
    /// Save part of a recording as an MP4 file
    #[command(
        after_help = "Times: 2026-11-20T03:12:07.5Z, now, -10m, and for --to also +30s after \
        --from.\n\nExample:\n  pegasus export /cam/door --from 2026-11-20T03:12:00Z --to +30s -o \
        clip.mp4"
    )]
    Export(Export),
    /// Playbacks that are promised, and what else would fit
    #[command(subcommand)]
    Playback(Playback),
    /// Mount the files of a running node on a directory of this machine
    #[command(after_help = "Example:\n  pegasus mount /mnt/pegasus")]
    Mount {
        /// The directory, empty; made if it is not there
        dir: PathBuf,
    },
    /// Take a mount of a running node's files away
    #[command(after_help = "Example:\n  pegasus unmount /mnt/pegasus")]
    Unmount {
        /// The directory
        dir: PathBuf,
    },
    /// Snapshots of the files: all of them, as they were
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Quotas: what a directory of the files may hold with all that is in it
    #[command(subcommand)]
    Quota(Quota),
    /// The disks of a running node; and what a disk can do
    #[command(subcommand)]
    Disk(Disk),
    /// The tier: recordings that are out, in a folder or an S3 store
    #[command(subcommand)]
    Tier(Tier),
    /// The disk array, offline
    #[command(subcommand)]
    Store(Store),
    /// Plan how many playbacks disks can keep their rate for, and how disks and time are to be cut for it
    #[command(
        after_help = "Examples:\n  pegasus plan --profile disk.toml --disks 6 --media camera=4M studio=50M,share=0.1\n  \
        pegasus plan --profile disk.toml --disks 12 --media camera=4M --startup 2s --degraded keep --json"
    )]
    Plan(plan::Plan),
    /// Run a plan's schedule on simulated disks, in virtual time; or on your own, by reading them
    #[command(
        after_help = "Examples:\n  pegasus simulate --profile disk.toml --disks 6 --media camera=4M --fail 2 --degraded keep\n  \
        pegasus simulate --profile disk.toml --disks 6 --media camera=4M --work-ahead --merge --objects 200\n  \
        pegasus simulate --profile disk.toml --media camera=4M --startup 2s --on /dev/sdb /dev/sdc\n  \
        pegasus simulate --profile disk.toml --export slow-disk --size 20GiB"
    )]
    Simulate(plan::Simulate),
    /// Print or check configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  pegasus completion bash > \
        /etc/bash_completion.d/pegasus")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Configuration file; without one, the defaults hold
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder; overrides the configuration
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address of the console and API; overrides the configuration
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) http: Option<std::net::SocketAddr>,
    /// Address of the RTSP server; overrides the configuration
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) rtsp: Option<std::net::SocketAddr>,
    /// Directory to mount the store's files on; overrides the configuration
    #[arg(long, value_name = "DIR")]
    pub(crate) mount: Option<PathBuf>,
    /// Run without the built-in test cameras
    #[arg(long)]
    pub(crate) no_test_cameras: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Stream {
    /// List streams with their tracks and rates
    #[command(after_help = "Example:\n  pegasus stream list")]
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Recording {
    /// List the spans of a stream's recording
    #[command(after_help = "Example:\n  pegasus recording list /cam/door --from -1h")]
    List {
        /// The stream
        name: StreamName,
        /// Only what overlaps the time after this
        #[arg(long, allow_hyphen_values = true)]
        from: Option<When>,
        /// Only what overlaps the time before this
        #[arg(long, allow_hyphen_values = true)]
        to: Option<When>,
    },
    /// Delete a recording, or the part of it before a time
    #[command(after_help = "Example:\n  pegasus recording delete /cam/door --to -30d")]
    Delete {
        /// The stream
        name: StreamName,
        /// Delete only what is older than this; whole segments go
        #[arg(long, allow_hyphen_values = true)]
        to: Option<When>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Source {
    /// List sources and how they fare
    #[command(after_help = "Example:\n  pegasus source list")]
    List,
    /// Pull a stream and publish it here
    #[command(after_help = "Example:\n  pegasus source add /cam/yard \
        rtsp://user:pass@camera.local/stream1\n  pegasus source add /film \
        file:///home/me/film.mp4")]
    Add {
        /// Its name here
        name: StreamName,
        /// Where it comes from: rtsp://, rtsps:// or file://
        url: String,
    },
    /// Stop pulling a stream; what is recorded stays
    #[command(after_help = "Example:\n  pegasus source remove /cam/yard")]
    Remove {
        /// The stream
        name: StreamName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The stream
    pub(crate) name: StreamName,
    /// Start; the file begins at the key unit before it. Default: the whole recording
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) from: Option<When>,
    /// End, or how long after the start. Default: all there is
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) to: Option<When>,
    /// The file to write; - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Keep all files as they are now
    #[command(after_help = "Example:\n  pegasus snapshot create before-the-upgrade")]
    Create {
        /// Its name. Default: the time
        name: Option<String>,
    },
    /// List snapshots, oldest first
    #[command(after_help = "Example:\n  pegasus snapshot list --json")]
    List,
    /// Remove a snapshot, and give back the room it alone took
    #[command(after_help = "Example:\n  pegasus snapshot remove before-the-upgrade")]
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Playback {
    /// List who plays with a promise, and how it is kept
    #[command(after_help = "Example:\n  pegasus playback list --json")]
    List,
    /// Ask whether recordings could be played together now, without playing them
    #[command(
        after_help = "Example:\n  pegasus playback check /cam/door /cam/yard --from -10m --scale 2"
    )]
    Check {
        /// The streams
        #[arg(required = true)]
        streams: Vec<StreamName>,
        /// From when on; left out: from the beginning
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        from: Option<When>,
        /// How fast: 1 is as recorded, negative is backwards
        #[arg(long, default_value_t = 1.0, allow_hyphen_values = true)]
        scale: f64,
        /// Wait in line for room, up to 1m; without, the answer is that of the moment
        #[arg(long, value_name = "DURATION", value_parser = plan::duration)]
        wait: Option<std::time::Duration>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quota {
    /// Set what a directory may hold, or change it; a limit that is left out is none
    #[command(
        group = clap::ArgGroup::new("limit").args(["bytes", "files"]).required(true).multiple(true),
        after_help = "Example:\n  pegasus quota set /projects --bytes 10GiB --files 100000\n  pegasus quota \
        set /mnt/pegasus/projects --bytes 10GiB"
    )]
    Set {
        /// The directory: its path from the root of the files on, or below where they are mounted
        dir: PathBuf,
        /// Most bytes of files
        #[arg(long, value_name = "BYTES")]
        bytes: Option<ByteSize>,
        /// Most files and directories, itself among them
        #[arg(long, value_name = "NUMBER")]
        files: Option<u64>,
    },
    /// List quotas with what is used of them
    #[command(after_help = "Example:\n  pegasus quota list --json")]
    List,
    /// Take the quota of a directory away; what is in it stays
    #[command(after_help = "Example:\n  pegasus quota remove /projects")]
    Remove {
        /// The directory
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Disk {
    /// List the disks, their states, and what is done for them
    #[command(after_help = "Example:\n  pegasus disk list --json")]
    List,
    /// Add a disk: more room, nothing is moved. Or a spare, which takes a failed disk's place by itself
    #[command(
        after_help = "Example:\n  pegasus disk add /dev/disk/by-id/ata-NEW\n  pegasus disk add disk5 \
        --size 100GiB\n  pegasus disk add --spare /dev/disk/by-id/ata-SPARE"
    )]
    Add {
        /// The device or file; a file is made. Relative paths start in the node's data folder
        path: String,
        /// Keep it as a spare
        #[arg(long)]
        spare: bool,
        /// Size of the file that is made. Default: that of the largest disk
        #[arg(long, value_name = "BYTES")]
        size: Option<ByteSize>,
        /// Overwrite what is on it
        #[arg(long)]
        overwrite: bool,
    },
    /// Put a blank disk in the place of a failed or missing one, and rebuild it
    #[command(
        after_help = "Example:\n  pegasus disk replace /var/lib/pegasus/disk2 --wait\n  pegasus \
        disk replace 2 --with /dev/disk/by-id/ata-NEW --rate 50MiB"
    )]
    Replace {
        /// The disk that failed or is missing: its path, or its number in the list, from 0
        disk: String,
        /// The device or file to take its place; its own path if left out. A file is made
        #[arg(long, value_name = "PATH")]
        with: Option<String>,
        /// Overwrite what is on the new disk
        #[arg(long)]
        overwrite: bool,
        /// Most bytes to move in a second. Default: half of the time is left to others
        #[arg(long, value_name = "BYTES")]
        rate: Option<ByteSize>,
        /// Wait until it is rebuilt
        #[arg(long)]
        wait: bool,
    },
    /// Remove a disk: what is on it is moved to the others, then it is blank and the store goes on without it
    #[command(
        after_help = "Example:\n  pegasus disk remove /var/lib/pegasus/disk5 --wait\n  pegasus disk \
        remove 5 --cancel"
    )]
    Remove {
        /// The disk: its path, or its number in the list, from 0
        disk: String,
        /// Most bytes to move in a second. Default: half of the time is left to others
        #[arg(long, value_name = "BYTES")]
        rate: Option<ByteSize>,
        /// Wait until it is removed
        #[arg(long)]
        wait: bool,
        /// Keep it after all. What was moved stays where it is now
        #[arg(long, conflicts_with_all = ["rate", "wait"])]
        cancel: bool,
    },
    /// Verify everything that is stored, parity too, and repair what is bad
    #[command(after_help = "Example:\n  pegasus disk scrub --rate 20MiB --wait")]
    Scrub {
        /// Most bytes to read in a second. Default: half of the time is left to others
        #[arg(long, value_name = "BYTES")]
        rate: Option<ByteSize>,
        /// Wait until all was gone over
        #[arg(long)]
        wait: bool,
        /// Stop the scrub that is under way
        #[arg(long, conflicts_with_all = ["rate", "wait"])]
        stop: bool,
    },
    /// Measure what a disk can do - zones, seek, turn, times - by reading it. No node is asked, nothing is destroyed
    #[command(
        after_help = "Examples:\n  pegasus disk profile /dev/disk/by-id/ata-A -o ata-A.toml --plot ata-A.svg\n  pegasus disk \
        profile /var/lib/pegasus --quick"
    )]
    Profile(DiskProfile),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tier {
    /// Show what is out and what is being moved; of a stream, what of it is out and how long it takes to come back
    #[command(
        after_help = "Example:\n  pegasus tier status\n  pegasus tier status /cam/door --json"
    )]
    Status {
        /// The stream
        name: Option<StreamName>,
    },
    /// Move a recording out, or the segments of it that lie within a range
    #[command(after_help = "Example:\n  pegasus tier out /cam/door --to -7d --wait")]
    Out(TierRange),
    /// Bring a recording back, or the segments of it that have something in a range
    #[command(
        after_help = "Example:\n  pegasus tier in /cam/door --from 2026-11-20T03:12:00Z --to +1h"
    )]
    In(TierRange),
}

#[derive(Debug, Args)]
pub(crate) struct TierRange {
    /// The stream
    pub(crate) name: StreamName,
    /// Start. Default: the beginning
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) from: Option<When>,
    /// End, or how long after the start. Default: all there is
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) to: Option<When>,
    /// Wait until it is done
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DiskProfile {
    /// A device, a file, or a folder, in which a scratch file is made
    pub(crate) path: PathBuf,
    /// The file to write the profile to. Default: standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Draw rates and positioning times, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Replace these files if they exist
    #[arg(long)]
    pub(crate) force: bool,
    /// Take five seconds instead of thirty
    #[arg(long)]
    pub(crate) quick: bool,
    /// How long to measure, about. Default: 30s
    #[arg(long, value_name = "TIME", conflicts_with = "quick", value_parser = time_to_measure)]
    pub(crate) time: Option<std::time::Duration>,
    /// Size of the scratch file in a folder; a tenth of what is free at most
    #[arg(long, value_name = "BYTES", default_value = "256MiB")]
    pub(crate) scratch: ByteSize,
}

/// Reads how long to measure: a second to an hour.
fn time_to_measure(text: &str) -> Result<std::time::Duration, String> {
    let allowed = std::time::Duration::from_secs(1)..=std::time::Duration::from_secs(3_600);
    pegasus_base::parse_duration(text)
        .filter(|time| allowed.contains(time))
        .ok_or_else(|| format!("'{text}' is no time from 1s to 1h"))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Verify every byte of a stopped node's store
    #[command(after_help = "Example:\n  pegasus store check --data ~/.local/share/pegasus")]
    Check {
        /// The node's data folder. Default: as for `up`
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Configuration file naming the disks, if they are not in the data folder
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// List recordings again whose lists are lost, and write anew what parity gives; shows what it would do
    #[command(
        after_help = "Examples:\n  pegasus store repair --data ~/.local/share/pegasus        what would be done\n  pegasus store repair --data ~/.local/share/pegasus --yes  do it"
    )]
    Repair {
        /// The node's data folder. Default: as for `up`
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Configuration file naming the disks, if they are not in the data folder
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Do it. Without, nothing is written
        #[arg(long)]
        yes: bool,
        /// Go on with an older state, where a newer one was damaged beyond what parity gives
        #[arg(long)]
        accept_loss: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a commented configuration with all defaults
    #[command(after_help = "Example:\n  pegasus config sample > pegasus.toml")]
    Sample,
    /// Check a configuration file
    #[command(after_help = "Example:\n  pegasus config check pegasus.toml")]
    Check {
        /// The file
        file: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_leaf_command_shows_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(
                    help.contains("Example:") || help.contains("Examples:"),
                    "{path} has no example"
                );
            }
            command.get_subcommands().for_each(|sub| walk(sub, &path));
        }
        walk(&super::Cli::command(), "");
    }
}
