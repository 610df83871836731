//! The rules one by one.

use crate::everest::{
    Everest, EverestError, FileId, FileSections, OMEGA_MAX, PAGES_MAX, RestoreError, Section,
    Snapshot,
};

fn section(height: u8, first: u64) -> Section {
    Section { height, first }
}

/// A region that is full of files of one page, named by their pages.
fn full(pages: u64, omega: u32) -> Everest {
    let files = (0..pages).map(|page| told(page, 1, &[section(0, page)])).collect();
    Everest::restore(&Snapshot { pages, omega, files }).unwrap()
}

fn told(file: u64, pages: u64, sections: &[Section]) -> FileSections {
    FileSections { file: FileId(file), pages, sections: sections.to_vec() }
}

/// Does all there is to do; says how many pages that copied.
fn settle(region: &mut Everest) -> u64 {
    let mut copied = 0;
    while let Some(step) = region.next_move() {
        copied += step.pages;
        region.moved(step);
    }
    region.check().unwrap();
    copied
}

#[test]
fn sections_are_the_digits_of_the_length() {
    for omega in [2, 3, 7, 64] {
        let mut region = Everest::new(3_000, omega).unwrap();
        for pages in [0, 1, 5, 63, 64, 65, 1_000, 1_722] {
            let mut digits = vec![0; 12];
            let mut left = pages;
            for digit in &mut digits {
                (*digit, left) = (left % u64::from(omega), left / u64::from(omega));
            }
            let sections = region.create(FileId(pages), pages).unwrap();
            let of = |height| sections.iter().filter(|s| usize::from(s.height) == height).count();
            assert!((0..12).all(|height| of(height) as u64 == digits[height]), "{sections:?}");
            assert!(sections.is_sorted_by_key(|section| std::cmp::Reverse(section.height)));
            region.check().unwrap();
            region.delete(FileId(pages)).unwrap();
            assert_eq!(region.next_move(), None, "nobody else is there");
        }
    }
}

#[test]
fn what_is_out_of_range_is_refused() {
    assert_eq!(Everest::new(10, 1).err(), Some(EverestError::Omega(1)));
    assert_eq!(Everest::new(10, OMEGA_MAX + 1).err(), Some(EverestError::Omega(65)));
    assert_eq!(Everest::new(0, 2).err(), Some(EverestError::Pages(0)));
    assert!(Everest::new(PAGES_MAX + 1, 2).is_err() && Everest::new(PAGES_MAX, 2).is_ok());
    let mut region = Everest::new(10, 2).unwrap();
    let missing = EverestError::NoSuchFile(FileId(1));
    assert_eq!(region.grow(FileId(1), 1).err(), Some(missing.clone()));
    assert_eq!(region.finish(FileId(1)).err(), Some(missing.clone()));
    assert_eq!(region.delete(FileId(1)), Err(missing));
    region.create(FileId(1), 9).unwrap();
    assert_eq!(region.create(FileId(1), 1).err(), Some(EverestError::Exists(FileId(1))));
    let none = EverestError::NoRoom { asked: 2, free: 1, promised: 0 };
    assert_eq!(region.create(FileId(2), 2).err(), Some(none.clone()));
    assert!(region.grow(FileId(1), u64::MAX).is_err());
    assert_eq!(none.to_string(), "2 pages of 1 free ones; 0 more are being copied to");
}

#[test]
fn the_parent_with_least_to_copy_becomes_free() {
    let mut region = full(9, 3);
    for page in [0, 4, 5] {
        region.delete(FileId(page)).unwrap();
    }
    let step = region.next_move().unwrap();
    assert_eq!((step.file, step.from, step.to, step.pages), (FileId(3), 3, 0, 1));
    assert!(region.moved(step));
    assert_eq!(
        (region.next_move(), region.sections(FileId(3))),
        (None, Some(&[section(0, 0)][..]))
    );
    assert_eq!(region.create(FileId(9), 3), Ok(&[section(1, 3)][..]));
}

#[test]
fn a_child_takes_along_what_is_free_in_it() {
    let mut region = full(16, 2);
    for page in [0, 1, 2, 3, 5, 12, 13, 14, 15] {
        region.delete(FileId(page)).unwrap();
    }
    assert_eq!(settle(&mut region), 3, "4, 6 and 7 go where 12, 14 and 15 were");
    assert_eq!(region.create(FileId(20), 8), Ok(&[section(3, 0)][..]));
    assert_eq!(region.create(FileId(21), 1), Ok(&[section(0, 13)][..]));
}

#[test]
fn odd_sections_at_the_end_are_used_and_have_no_parent() {
    let mut region = full(14, 4); // 3 of 4 pages, 2 of one
    for page in [2, 6, 12, 13] {
        region.delete(FileId(page)).unwrap();
    }
    settle(&mut region);
    assert_eq!(region.create(FileId(20), 4).unwrap().len(), 1);
    assert!(region.files().any(|file| region.locate(file, 0) == Some((13, 1))));
}

#[test]
fn pages_stay_the_files_until_the_copy_is_durable() {
    let mut region = full(4, 2);
    region.delete(FileId(0)).unwrap();
    region.delete(FileId(2)).unwrap();
    let step = region.next_move().unwrap();
    assert_eq!(region.next_move(), Some(step), "until it is carried out");
    assert_eq!(region.locate(step.file, 0), Some((step.from, 1)));
    assert_eq!((region.free(), region.promised()), (1, 1));
    let refused = EverestError::NoRoom { asked: 2, free: 1, promised: 1 };
    assert_eq!(region.create(FileId(9), 2).err(), Some(refused));
    // A crash: the copy is forgotten, and found to be necessary again.
    let mut after = Everest::restore(&region.snapshot()).unwrap();
    assert_eq!((after.free(), after.next_move()), (2, Some(step)));
    // Called off: there is room.
    region.cancel();
    assert_eq!(region.create(FileId(9), 2).unwrap().len(), 2, "in two places: moves were pending");
}

#[test]
fn the_copy_of_a_file_that_is_gone_is_free_once_nobody_writes_it() {
    let mut region = full(4, 2);
    region.delete(FileId(0)).unwrap();
    region.delete(FileId(2)).unwrap();
    let step = region.next_move().unwrap();
    region.delete(step.file).unwrap();
    region.create(step.file, 1).unwrap();
    assert_eq!((region.free(), region.promised()), (1, 1));
    region.check().unwrap();
    assert!(!region.moved(step));
    assert_eq!((region.free(), region.promised()), (2, 0));
}

#[test]
fn a_file_that_grows_has_few_sections_and_little_ahead() {
    for omega in [2_u32, 3, 4, 8] {
        let mut region = Everest::new(20_000, omega).unwrap();
        region.create(FileId(1), 0).unwrap();
        for pages in 1..=4_000_u64 {
            let sections = region.grow(FileId(1), 1).unwrap().len();
            let height = u64::from(pages.ilog(u64::from(omega)));
            let most = u64::from(omega - 1) * (height + 1);
            assert!(sections as u64 <= most, "{sections} > {most} for {pages}");
            assert!(region.ahead() < pages && region.free() == 20_000 - pages);
            let mut done = region.clone();
            let sections = done.finish(FileId(1)).unwrap().len();
            assert!(sections <= done.sections_max(pages), "{sections} for {pages}");
            assert_eq!(done.ahead(), 0);
            if pages % 64 == 0 {
                settle(&mut done);
            }
        }
    }
}

#[test]
fn pages_ahead_are_given_to_who_needs_them() {
    let mut region = Everest::new(64, 2).unwrap();
    region.create(FileId(1), 0).unwrap();
    region.grow(FileId(1), 17).unwrap();
    assert_eq!((region.ahead(), region.free()), (14, 47));
    assert_eq!(region.create(FileId(2), 40).unwrap().len(), 2);
    assert_eq!((region.ahead(), region.free()), (0, 7));
    region.grow(FileId(1), 7).unwrap();
    assert_eq!(region.free(), 0);
    region.check().unwrap();
}

#[test]
fn growing_into_pages_that_are_copied_makes_the_copy_stale() {
    let files = vec![told(1, 3, &[section(2, 0)]), told(2, 4, &[section(2, 8)])];
    let mut region = Everest::restore(&Snapshot { pages: 12, omega: 2, files }).unwrap();
    assert_eq!((region.ahead(), region.next_move()), (1, None));
    region.delete(FileId(2)).unwrap();
    let free = region.free();
    let step = region.next_move().expect("twice four pages are free, and eight nowhere");
    assert_eq!((step.file, step.pages), (FileId(1), 4));
    region.grow(FileId(1), 1).unwrap();
    region.check().unwrap();
    assert!(!region.moved(step) && region.locate(FileId(1), 3) == Some((step.from + 3, 1)));
    assert_eq!((region.free(), region.ahead()), (free - 1, 0));
    let again = region.next_move().unwrap();
    assert!(again == step && region.moved(step));
}

#[test]
fn a_file_in_too_many_sections_is_copied_together() {
    let pages: Vec<Section> = (0..40).map(|nth| section(0, 2 * nth)).collect();
    let files = vec![told(1, 40, &pages)];
    let mut region = Everest::restore(&Snapshot { pages: 128, omega: 2, files }).unwrap();
    assert!(region.is_pending());
    settle(&mut region);
    assert!(region.sections(FileId(1)).unwrap().len() <= region.sections_max(40));
}

#[test]
fn mending_makes_way_for_files() {
    let pages: Vec<Section> = (0..40).map(|nth| section(0, nth * 7 % 64)).collect();
    let files = vec![told(1, 40, &pages)];
    let mut region = Everest::restore(&Snapshot { pages: 64, omega: 2, files }).unwrap();
    while region.mending().is_none() {
        let step = region.next_move().expect("there is room to mend");
        if region.mending().is_none() {
            region.moved(step);
        }
    }
    let step = region.next_move().unwrap();
    assert_eq!(region.free() + region.promised(), 24);
    assert!(region.promised() < 24, "only what is being written to is not to be had");
    region.check().unwrap();
    region.create(FileId(2), region.free()).unwrap();
    assert!(region.mending().is_none() && !region.moved(step));
    assert_eq!((region.free() > 0, region.promised()), (true, 0));
    settle(&mut region);
}

#[test]
fn a_snapshot_that_is_none_is_refused_by_name() {
    let refused = |files: &[FileSections]| {
        let snapshot = Snapshot { pages: 20, omega: 2, files: files.to_vec() };
        Everest::restore(&snapshot).err().map(|error| error.to_string())
    };
    let is = |text: &str| Some(text.to_owned());
    assert_eq!(refused(&[told(1, 3, &[section(1, 0), section(0, 9)]), told(2, 0, &[])]), None);
    assert_eq!(refused(&[told(1, 0, &[]), told(1, 0, &[])]), is("file 1 is there twice"));
    for bad in [section(1, 3), section(5, 0), section(2, 20), section(200, 0), section(0, u64::MAX)]
    {
        let text = format!("file 1 has {bad}, which the region does not have");
        assert_eq!(refused(&[told(1, 1, &[bad])]), Some(text));
    }
    let whose = "file 2 has the section of height 0 at page 6, part of which is file 1's";
    let two = [told(1, 4, &[section(2, 4)]), told(2, 1, &[section(0, 6)])];
    assert_eq!(refused(&two), is(whose));
    let larger = [told(1, 1, &[section(0, 6)]), told(2, 4, &[section(2, 4)])];
    assert!(refused(&larger).unwrap().ends_with("part of which is file 1's"));
    let own = [told(3, 2, &[section(0, 6), section(0, 6)])];
    assert!(refused(&own).unwrap().ends_with("part of which is file 3's"));
    let short = is("file 1 has 3 pages, and sections of 2");
    assert_eq!(refused(&[told(1, 3, &[section(1, 0)])]), short);
    let long = is("file 1 has 2 pages, and sections of 3");
    assert_eq!(refused(&[told(1, 2, &[section(1, 0), section(0, 2)])]), long);
    let region = Snapshot { pages: 20, omega: 0, files: Vec::new() };
    let omega = RestoreError::Region(EverestError::Omega(0));
    assert_eq!(Everest::restore(&region).err(), Some(omega));
}

#[test]
fn seams_are_where_the_next_page_is_elsewhere() {
    let sections = [section(1, 2), section(0, 4), section(0, 9), section(1, 10)];
    let files = vec![told(1, 5, &sections)];
    let region = Everest::restore(&Snapshot { pages: 20, omega: 2, files }).unwrap();
    assert_eq!((region.seams(FileId(1)), region.seams(FileId(2))), (Some(1), None));
    let runs: Vec<_> = (0..6).map(|page| region.locate(FileId(1), page)).collect();
    let first = [Some((2, 3)), Some((3, 2)), Some((4, 1))];
    assert_eq!(runs[..3], first);
    assert_eq!(runs[3..], [Some((9, 2)), Some((10, 1)), None]);
}
