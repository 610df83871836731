//! `pegasus simulate --export`: a simulated disk as a file, until stopped.

use std::path::Path;
use std::time::Duration;

use pegasus_base::ByteSize;
use pegasus_fuse::RotatingDisk;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::plan::profile;
use crate::cli::plan::Simulate;
use crate::{Failure, output};

/// How often is looked whether somebody else took the file away.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn run(args: &Simulate, path: &Path, as_json: bool) -> Result<(), Failure> {
    let [file] = &args.plan.profile[..] else {
        return Err(Failure::new("one disk is exported: give one --profile"));
    };
    let mut like = profile(file)?;
    if let Some(size) = args.size {
        like = like.with_capacity(size.bytes())?;
    }
    let size = ByteSize(like.capacity_bytes());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let others = rustix::process::geteuid().is_root();
        let disk = RotatingDisk::new(path, like, args.seed, others)?;
        if as_json {
            output::json(&json!({ "path": path, "size_bytes": size.bytes() }))?;
        } else {
            let name = path.display();
            output::line(&format!(
                "{name} is a disk of {size} now; stop with Ctrl-C. With a file system:"
            ))?;
            output::line(&format!("  losetup --direct-io=on --show -f {name}"))?;
        }
        let mut look = tokio::time::interval(LOOK);
        while disk.is_there() {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = look.tick() => {}
            }
        }
        drop(disk);
        Ok(())
    })
}
