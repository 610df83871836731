//! The `pegasus` command: starts a node, and talks to one.
//!
//! `cli` says what can be typed, `client` speaks the node's API, `output` prints; one module of
//! `commands` for each noun does the work.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod commands;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command, Disk};
use crate::client::Client;

/// Why a command failed: one sentence for the user.
#[derive(Debug)]
pub(crate) struct Failure {
    sentence: String,
}

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into() }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure.sentence);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let json = cli.global.json;
    let client = || Client::new(&cli.global.node);
    match cli.command {
        Command::Up(up) => commands::up::run(&up)?,
        Command::Status => commands::status::run(&client()?, json)?,
        Command::Stream(stream) => commands::stream::run(&client()?, &stream, json)?,
        Command::Recording(recording) => commands::recording::run(&client()?, &recording, json)?,
        Command::Source(source) => commands::source::run(&client()?, &source, json)?,
        Command::Export(export) => commands::export::run(&client()?, &export, json)?,
        Command::Playback(playback) => commands::playback::run(&client()?, &playback, json)?,
        Command::Mount { dir } => commands::mount::mount(&client()?, &dir, json)?,
        Command::Unmount { dir } => commands::mount::unmount(&client()?, &dir, json)?,
        Command::Snapshot(snapshot) => commands::snapshot::run(&client()?, &snapshot, json)?,
        Command::Quota(quota) => commands::quota::run(&client()?, &quota, json)?,
        Command::Disk(Disk::Profile(profile)) => commands::profile::run(&profile, json)?,
        Command::Disk(disk) => commands::disk::run(&client()?, &disk, json)?,
        Command::Tier(tier) => commands::tier::run(&client()?, &tier, json)?,
        Command::Plan(args) => commands::plan::run(&args, json)?,
        Command::Simulate(args) => commands::simulate::run(&args, json)?,
        Command::Store(store) => return commands::store::run(&store, json),
        Command::Config(config) => commands::config::run(&config, json)?,
        Command::Completion { shell } => commands::completion(shell),
    }
    Ok(ExitCode::SUCCESS)
}
