//! Makes stores for tests to read for ever, when there is a new format version: `cargo run -p pegasus-sim --example golden -- FOLDER`.
//! Beside each the lines say what is in it, according to this very version.
#![allow(dead_code)] // the test uses the rest

#[path = "../tests/golden/image.rs"]
mod image;
#[path = "../tests/golden/inventory.rs"]
mod inventory;
#[path = "../tests/golden/make.rs"]
mod make;
#[path = "../tests/golden/store.rs"]
mod store;

use std::path::PathBuf;

use store::Store;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).expect("a folder to write them to"));
    std::fs::create_dir_all(&folder)?;
    for name in make::STORES {
        let disks = make::make(name);
        let bytes = image::save(&disks);
        let text = inventory::of(&Store::open(&disks, None));
        std::fs::write(folder.join(format!("{name}.img.gz")), bytes)?;
        std::fs::write(folder.join(format!("{name}.txt")), text)?;
    }
    Ok(())
}
