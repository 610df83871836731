//! What a nearly full disk costs, by omega: pages copied for each page deleted, and sections of files.
//!
//! `cargo test -p pegasus-mitra figures -- --nocapture` prints the table.
#![expect(clippy::print_stdout, reason = "the figures are for reading, too")]

use crate::everest::{Everest, FileId};

/// What happened to a disk.
#[derive(Debug, Default)]
struct Cost {
    deleted: u64,
    copied: u64,
    /// Of them, to make fewer sections of a file.
    mended: u64,
    /// Pages copied for the worst delete, in pages of the file that was deleted.
    worst: f64,
    sections: f64,
    seams: f64,
    sections_most: usize,
}

const PAGES: u64 = 100_000;
const DELETES: u64 = 3_000;

/// Pages copied for carries, and for mending.
fn copy_all(region: &mut Everest) -> (u64, u64) {
    let (mut carried, mut mended) = (0, 0);
    while let Some(step) = region.next_move() {
        *if region.mending().is_some() { &mut mended } else { &mut carried } += step.pages;
        region.moved(step);
    }
    (carried, mended)
}

/// Files of up to a twentieth of the disk come until there is no room for one, then one goes. `step` is how many pages they
/// grow by; 0 if they are made at once.
fn simulate(omega: u32, step: u64) -> Cost {
    let (mut region, mut rng) =
        (Everest::new(PAGES, omega).unwrap(), fastrand::Rng::with_seed(1996));
    let (mut files, mut next, mut cost) = (Vec::new(), 0, Cost::default());
    let mut looked_at = 0_u32;
    for _ in 0..DELETES {
        loop {
            let pages = rng.u64(1..=PAGES / 20);
            if pages > region.free() {
                break;
            }
            next += 1;
            make(&mut region, FileId(next), pages, step);
            files.push((FileId(next), pages));
        }
        let (file, pages) = files.swap_remove(rng.usize(0..files.len()));
        region.delete(file).unwrap();
        let (carried, mended) = copy_all(&mut region);
        let copied = carried + mended;
        cost.mended += mended;
        cost.deleted += pages;
        cost.copied += copied;
        cost.worst = cost.worst.max(copied as f64 / pages as f64);
        for (file, _) in &files {
            let sections = region.sections(*file).unwrap().len();
            cost.sections += sections as f64;
            cost.seams += region.seams(*file).unwrap() as f64;
            cost.sections_most = cost.sections_most.max(sections);
            looked_at += 1;
        }
    }
    region.check().unwrap();
    cost.sections /= f64::from(looked_at);
    cost.seams /= f64::from(looked_at);
    cost
}

fn make(region: &mut Everest, file: FileId, pages: u64, step: u64) {
    if step == 0 {
        region.create(file, pages).unwrap();
        return;
    }
    region.create(file, 0).unwrap();
    let mut left = pages;
    while left > 0 {
        region.grow(file, step.min(left)).unwrap();
        left -= step.min(left);
    }
    region.finish(file).unwrap();
}

#[test]
fn a_small_omega_copies_more_and_a_large_one_makes_more_sections() {
    println!("omega  grown by  copied/deleted  mended  worst  sections  seams  most");
    for step in [0, 7] {
        let mut last = Cost { copied: u64::MAX, ..Cost::default() };
        for omega in [2, 3, 4, 8, 16] {
            let cost = simulate(omega, step);
            let each = cost.copied as f64 / cost.deleted as f64;
            let mended = cost.mended as f64 / cost.deleted as f64;
            let Cost { worst, sections, seams, sections_most, .. } = cost;
            println!(
                "{omega:5}  {step:8}  {each:14.3}  {mended:6.3}  {worst:5.1}  {sections:8.1}  {seams:5.1}  {sections_most:4}"
            );
            assert!(each < 1.5 && sections > last.sections, "{cost:?} after {last:?}");
            last = cost;
        }
    }
}
