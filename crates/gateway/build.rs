//! Has the console built in anew when it changes.

use std::path::Path;

fn main() {
    let dist = Path::new("../../console/dist");
    // A folder that is missing would make every build a new one. An empty one is as good: the program
    // then says how to build the console. If it can't be made, nothing is lost but time.
    let _ = std::fs::create_dir_all(dist);
    for path in ["build.rs", "../../console/dist"] {
        println!("cargo::rerun-if-changed={path}");
    }
}
