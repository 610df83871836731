//! Names of recordings as names of files. Pure.

use std::collections::{BTreeSet, HashMap};

use pegasus_base::StreamName;
use pegasus_export::{Day, Hour};

use super::Place;

const FILE_END: &str = ".mp4";
/// What the name of a file that still grows ends with.
const GROWING_END: &str = ".so-far.mp4";

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) place: Place,
}

impl Entry {
    pub(crate) fn new(name: &str, place: Place) -> Self {
        Self { name: name.to_owned(), place }
    }
}

/// Numbers of directories, by the part of the streams' names above them. They are never forgotten: there
/// are no more than names of streams were seen.
#[derive(Debug)]
pub(crate) struct Dirs {
    paths: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Default for Dirs {
    fn default() -> Self {
        Self { paths: vec![String::new()], numbers: HashMap::from([(String::new(), 0)]) }
    }
}

impl Dirs {
    pub(crate) fn path(&self, dir: u32) -> Option<String> {
        self.paths.get(dir as usize).cloned()
    }

    /// The number of what is called `name` in `path`.
    pub(crate) fn number(&mut self, path: &str, name: &str) -> u32 {
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let next = self.paths.len() as u32;
        *self.numbers.entry(path).or_insert_with_key(|path| {
            self.paths.push(path.clone());
            next
        })
    }
}

/// The names right below a part of streams' names, and whether it is itself a stream's.
pub(crate) fn below(streams: &[StreamName], path: &str) -> (BTreeSet<String>, bool) {
    let (mut names, mut is_stream) = (BTreeSet::new(), false);
    for stream in streams {
        let stream = stream.as_str().trim_start_matches('/');
        is_stream |= stream == path;
        let rest = match path {
            "" => Some(stream),
            path => stream.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')),
        };
        names.extend(rest.and_then(|rest| rest.split('/').next()).map(str::to_owned));
    }
    (names, is_stream)
}

pub(crate) fn file_name(hour: Hour, grows: bool) -> String {
    format!("{hour}{}", if grows { GROWING_END } else { FILE_END })
}

/// The hour of a day that a file is of, and whether its name says that it grows.
pub(crate) fn parse_file_name(day: Day, name: &str) -> Option<(Hour, bool)> {
    let (hour, grows) = match name.strip_suffix(GROWING_END) {
        Some(hour) => (hour, true),
        None => (name.strip_suffix(FILE_END)?, false),
    };
    Some((Hour::parse(day, hour)?, grows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_names_are_directories() {
        let streams: Vec<StreamName> = ["/cam/door", "/cam/door/inside", "/cam2", "/camera/x"]
            .map(|n| n.parse().unwrap())
            .into();
        let names = |path| {
            let (names, is_stream) = below(&streams, path);
            (names.into_iter().collect::<Vec<_>>().join(" "), is_stream)
        };
        assert_eq!(names(""), ("cam cam2 camera".to_owned(), false));
        assert_eq!(names("cam"), ("door".to_owned(), false));
        assert_eq!(names("cam/door"), ("inside".to_owned(), true));
        assert_eq!(names("cam2"), (String::new(), true));
        assert_eq!(names("ca"), (String::new(), false));
    }

    #[test]
    fn directories_keep_their_numbers() {
        let mut dirs = Dirs::default();
        let cam = dirs.number("", "cam");
        let door = dirs.number("cam", "door");
        assert_eq!((dirs.number("", "cam"), dirs.number("cam", "door")), (cam, door));
        assert_eq!(dirs.path(door).as_deref(), Some("cam/door"));
        assert_eq!(dirs.path(0).as_deref(), Some(""));
        assert_eq!(dirs.path(9), None);
    }

    #[test]
    fn names_of_files_come_back() {
        let day = Day::parse("2026-11-21").unwrap();
        for hour in day.hours().start().0..=day.hours().end().0 {
            for grows in [false, true] {
                let name = file_name(Hour(hour), grows);
                assert_eq!(parse_file_name(day, &name), Some((Hour(hour), grows)), "{name}");
            }
        }
        for name in ["9.mp4", "24.mp4", "09", "09.so-far", "09.mp4.mp4", ".mp4"] {
            assert_eq!(parse_file_name(day, name), None, "{name}");
        }
    }
}
