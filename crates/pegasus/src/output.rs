//! What the command prints. The only place in the workspace that writes to standard output.
#![allow(clippy::print_stdout)]

use std::io::Write as _;

use serde::Serialize;

use crate::Failure;

/// Prints `value` as JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("can't write JSON: {error}")))?;
    line(&text)
}

/// Prints one line. A reader that went away, as `head` does, is no error.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("can't print: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints rows under a head, columns aligned, numbers (by `right`) to the right.
pub(crate) fn table(head: &[&str], right: &[usize], rows: &[Vec<String>]) -> Result<(), Failure> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |row: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = row
            .enumerate()
            .map(|(i, cell)| {
                let width = widths[i];
                if right.contains(&i) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        line(cells.join("  ").trim_end())
    };
    print(&mut head.iter().copied())?;
    rows.iter().try_for_each(|row| print(&mut row.iter().map(String::as_str)))
}

/// Prints one sentence on standard error.
#[allow(clippy::print_stderr)]
pub(crate) fn complain(sentence: &str) {
    eprintln!("pegasus: {sentence}");
}

/// Whether somebody reads standard error as it comes: then progress is shown.
pub(crate) fn is_watched() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal()
}
