//! The only place that prints: results to stdout, talk and errors to stderr.
//!
//! Names come from files, and a file may hold anything: control characters are replaced by their
//! pictures before they reach a terminal, one character for one, so that columns stay right.
//!
//! Source: style.md 5.1; uv and ripgrep for what goes where.
//! Left out: progress, which is `cli::progress`.

use super::ExitStatus;
use super::diagnostic::{self, Severity};
use crate::plan::problem::Problem;
use comfy_table::{ContentArrangement, Table, presets};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// Why a command could not go on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The input is wrong.
    Input(Vec<Problem>),
    /// Files, folders, memory or the terminal.
    Environment(String),
    /// Nobody reads what we print any more.
    ReaderGone,
}

impl Trouble {
    /// A failed operation on a file or folder.
    pub(super) fn io(what: impl std::fmt::Display, error: &io::Error) -> Self {
        Self::Environment(format!("{what}: {}", reason(error)))
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Input(vec![problem])
    }
}

impl From<Vec<Problem>> for Trouble {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Input(problems)
    }
}

/// Stdout and stderr, with what the user wants of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    quiet: bool,
    no_color: bool,
}

impl Output {
    pub(super) fn new(quiet: bool, no_color: bool) -> Self {
        let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { quiet, no_color: no_color || asked_not_to || dumb }
    }

    /// Whether stdout is a terminal that wants colour.
    pub(super) fn has_color(self) -> bool {
        !self.no_color && io::stdout().is_terminal()
    }

    /// A result for people.
    pub(super) fn print(self, text: &str) -> Result<(), Trouble> {
        self.data(clean(text).as_bytes())
    }

    /// A result for programs, as it is.
    #[expect(clippy::unused_self, reason = "printing needs an Output")]
    pub(super) fn data(self, bytes: &[u8]) -> Result<(), Trouble> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                Trouble::ReaderGone
            } else {
                Trouble::io("cannot print", &error)
            }
        })
    }

    /// One line of JSON.
    pub(super) fn json(self, value: &serde_json::Value) -> Result<(), Trouble> {
        self.data(crate::report::json::line(value).as_bytes())
    }

    /// A table, without borders, as wide as the terminal allows.
    pub(super) fn table<const N: usize>(
        self,
        head: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> Result<(), Trouble> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        table.set_header(head);
        table.add_rows(rows.into_iter().map(|row| row.map(|cell| clean(&cell).into_owned())));
        let mut text = String::new();
        for line in table.lines() {
            text += line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end());
            text.push('\n');
        }
        self.print(&text)
    }

    /// Talk: what is going on. Nobody depends on it.
    pub(super) fn talk(self, text: &str) {
        if !self.quiet {
            to_stderr(&clean(text));
        }
    }

    /// Warnings: what a mesh takes, but hardly anybody means.
    pub(super) fn warn(self, warnings: &[Problem]) {
        if !self.quiet && !warnings.is_empty() {
            let colors = !self.no_color && io::stderr().is_terminal();
            to_stderr(&diagnostic::render(warnings, Severity::Warning, colors));
        }
    }

    /// Whether progress may be drawn.
    pub(super) fn shows_progress(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Tells the trouble, if there is any, and what the command ends with.
    pub(super) fn end(self, result: Result<ExitStatus, Trouble>) -> ExitStatus {
        match result {
            Ok(status) => status,
            Err(Trouble::ReaderGone) => ExitStatus::Success,
            Err(Trouble::Input(problems)) => {
                let colors = !self.no_color && io::stderr().is_terminal();
                to_stderr(&diagnostic::render(&problems, Severity::Error, colors));
                ExitStatus::Usage
            }
            Err(Trouble::Environment(what)) => {
                to_stderr(&format!("error: {}\n", clean(&what)));
                ExitStatus::Environment
            }
        }
    }
}

/// Stderr may be closed; then nobody wants to know.
fn to_stderr(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// The text with control characters, and those that turn the direction of text, as pictures.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let picture = |letter: char| match u32::from(letter) {
        _ if !is_unprintable(letter) => letter,
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or('\u{fffd}'),
        0x7f => '\u{2421}',
        _ => '\u{fffd}',
    };
    Cow::Owned(text.chars().map(picture).collect())
}

fn is_unprintable(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || letter.is_control() && letter != '\n' && letter != '\t'
}

/// An input or output error in words, without the number of the system.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read or written".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::NotADirectory => "a part of the path is a file, not a folder".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(clean("a\u{1b}[31mb\rc\n\td"), "a␛[31mb␍c\n\td");
        assert_eq!(clean("a\u{9b}b\u{202e}c\u{7f}"), "a\u{fffd}b\u{fffd}c␡");
        assert!(matches!(clean("señor"), Cow::Borrowed(_)));
    }
}
