//! The texts that manifests come from, and places in them.
//!
//! A node of the tree carries an [`At`]: sixteen bytes that say where it is. Only when a problem is
//! reported does [`Sources`] turn it into a [`Place`] with the file's name and the line's text.
//! Bytes come in, since a file may have the wrong encoding; that is a problem with a place, too.
//! Source: YAML 1.2.2 section 5.2 (encodings); RFC 3629 (UTF-8).
//! Left out: UTF-16 and UTF-32 texts (named as such and refused, as `kubectl` does).

use crate::plan::problem::{Place, Problem};

/// A longer file is refused: real dumps of 5,000 objects have about 20 MB.
pub const FILE_BYTES_MAX: usize = 64 << 20;

/// More lines are refused: real dumps of 5,000 objects have less than a million.
pub const LINES_MAX: usize = 8_000_000;

/// More documents are refused.
pub const DOCUMENTS_MAX: usize = 100_000;

/// A longer line is shown cut: a JSON dump may be one line of megabytes.
const LINE_CHARACTERS_MAX: usize = 400;

/// Where something is: which text, line and column from 1, and how many characters are meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct At {
    /// Index of the text in its [`Sources`].
    pub source: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters are meant; at least 1.
    pub width: u32,
}

/// One text with its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// The file as the user named it.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Byte offset of the start of each line.
    line_starts: Vec<u32>,
}

/// All texts that were read, in the order in which they came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// The texts.
    pub list: Vec<Source>,
}

/// One document of a text: the piece between two `---` lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece<'a> {
    /// The piece.
    pub text: &'a str,
    /// How many lines of the text come before it.
    pub lines_before: u32,
}

impl Source {
    fn new(name: String, text: String) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = ends.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX));
        let line_starts = std::iter::once(0).chain(starts).collect();
        Self { name, text, line_starts }
    }

    /// The text of a line (from 1), without its end, cut if it is very long.
    pub fn line(&self, line: u32) -> String {
        let index = line.max(1) as usize - 1;
        if index >= self.line_starts.len() {
            return String::new();
        }
        let (start, end) = (self.line_start(index), self.line_start(index + 1));
        let whole = self.text[start..end].trim_end_matches(['\n', '\r']);
        whole.chars().take(LINE_CHARACTERS_MAX).collect()
    }

    /// The documents of the text, cut at `---` and `...` lines before anything is parsed, so that
    /// one that is broken (say, by an open quote) does not hide the others. Those that hold only
    /// comments are left out.
    pub fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        let (mut start, mut start_line, mut directives_only) = (0, 0, true);
        for index in 0..self.line_starts.len() {
            let (at, next) = (self.line_start(index), self.line_start(index + 1));
            let line = self.text[at..next].trim_end_matches(['\n', '\r']);
            // JSON objects may follow each other without marks.
            let is_json =
                line.starts_with('{') && self.text[start..at].trim_start().starts_with('{');
            let begins = is_marker(line, "---") || is_json;
            if begins && !directives_only {
                pieces.push(self.piece(start, at, start_line));
                (start, start_line) = (at, index);
            }
            if is_marker(line, "...") {
                pieces.push(self.piece(start, next, start_line));
                (start, start_line, directives_only) = (next, index + 1, true);
            } else if begins || !(line.is_empty() || line.starts_with(['%', '#'])) {
                directives_only = false;
            }
        }
        if start < self.text.len() {
            pieces.push(self.piece(start, self.text.len(), start_line));
        }
        pieces.retain(|piece| !is_empty(piece.text));
        pieces
    }

    /// Where a line (from 0) starts; the end of the text for the line after the last.
    fn line_start(&self, index: usize) -> usize {
        self.line_starts.get(index).map_or(self.text.len(), |start| *start as usize)
    }

    fn piece(&self, start: usize, end: usize, line: usize) -> Piece<'_> {
        let lines_before = u32::try_from(line).unwrap_or(u32::MAX);
        Piece { text: &self.text[start..end], lines_before }
    }
}

/// Whether a piece has only its mark, comments and blank lines.
fn is_empty(text: &str) -> bool {
    text.lines().enumerate().all(|(index, line)| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || (index == 0 && line == "---") || line == "..."
    })
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

impl Sources {
    /// Takes the bytes of a file; a problem if they are no UTF-8 text of reasonable size.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<u32, Problem> {
        let text = decode(name, bytes)?;
        self.list.push(Source::new(name.to_owned(), text));
        Ok(u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX))
    }

    /// The text with this index.
    pub fn get(&self, source: u32) -> Option<&Source> {
        self.list.get(source as usize)
    }

    /// What a person needs to find a place.
    pub fn place(&self, at: At) -> Place {
        let source = self.get(at.source);
        Place {
            file: source.map_or_else(String::new, |source| source.name.clone()),
            line: at.line,
            column: at.column,
            width: at.width.max(1),
            text: source.map_or_else(String::new, |source| source.line(at.line)),
        }
    }

    /// The characters at a place, as they are written.
    pub fn written(&self, at: At) -> String {
        let Some(source) = self.get(at.source) else { return String::new() };
        let line = source.line(at.line);
        line.chars().skip(at.column.max(1) as usize - 1).take(at.width as usize).collect()
    }

    /// `file:line`, as `meshsim route` names a rule.
    pub fn short(&self, at: At) -> String {
        let name = self.get(at.source).map_or("", |source| source.name.as_str());
        format!("{name}:{}", at.line)
    }
}

fn decode(name: &str, bytes: &[u8]) -> Result<String, Problem> {
    let whole_file =
        || Place { file: name.to_owned(), line: 1, column: 1, width: 1, text: String::new() };
    if bytes.len() > FILE_BYTES_MAX {
        let limit = FILE_BYTES_MAX >> 20;
        return Err(Problem::new(format!("{name} is too long: the limit is {limit} MiB"))
            .at(whole_file())
            .hint("split it, or leave out what no mesh reads (secrets, events, CRDs)"));
    }
    if bytes.split(|byte| *byte == b'\n').nth(LINES_MAX).is_some() {
        return Err(Problem::new(format!("{name} has more than {LINES_MAX} lines"))
            .at(whole_file())
            .hint("is this a manifest? split it, or leave out what no mesh reads"));
    }
    if let Some(encoding) = foreign_encoding(bytes) {
        return Err(Problem::new(format!("{name} is not UTF-8 text but {encoding}"))
            .at(whole_file())
            .hint("write it as UTF-8: iconv -f UTF-16 -t UTF-8 (PowerShell: -Encoding utf8)"));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let valid = error.valid_up_to();
            let before = String::from_utf8_lossy(&bytes[..valid]).into_owned();
            let line = before.matches('\n').count() + 1;
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            let place = Place {
                file: name.to_owned(),
                line: u32::try_from(line).unwrap_or(u32::MAX),
                column: u32::try_from(before[start..].chars().count() + 1).unwrap_or(u32::MAX),
                width: 1,
                text: before[start..].chars().take(LINE_CHARACTERS_MAX).collect(),
            };
            let byte = bytes.get(valid).copied().unwrap_or(0);
            Err(Problem::new(format!("byte 0x{byte:02x} is not UTF-8"))
                .at(place)
                .hint("the file has another encoding or is binary (gzip?); write it as UTF-8"))
        }
    }
}

/// The encodings that are told from the first bytes: byte order marks, or every other byte zero.
fn foreign_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some("UTF-32"),
        [0xFF, 0xFE, ..]
        | [0xFE, 0xFF, ..]
        | [0, 1..=255, 0, 1..=255, ..]
        | [1..=255, 0, 1..=255, 0, ..] => Some("UTF-16"),
        [0x1F, 0x8B, ..] => Some("gzip"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<(String, u32)> {
        let source = Source::new("a.yaml".into(), text.into());
        source.pieces().iter().map(|piece| (piece.text.to_owned(), piece.lines_before)).collect()
    }

    #[test]
    fn documents_are_cut_at_their_marks() {
        let cut = pieces("a: 1\n---\nb: 2\n--- # third\nc: 3\n...\nd: 4\n");
        let texts: Vec<&str> = cut.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["a: 1\n", "---\nb: 2\n", "--- # third\nc: 3\n...\n", "d: 4\n"]);
        assert_eq!(cut.iter().map(|(_, line)| *line).collect::<Vec<_>>(), [0, 1, 3, 6]);
    }

    #[test]
    fn directives_and_comments_stay_with_their_document() {
        assert_eq!(pieces("# head\n%YAML 1.1\n---\na: 1\n").len(), 1);
        assert_eq!(pieces("---\n---\n# c\n--- 1\n").len(), 1, "empty ones are left out");
        assert_eq!(pieces("a: |\n  x\n  ---\n").len(), 1, "an indented mark is text");
        assert_eq!(pieces("{\n \"a\": 1\n}\n{\"b\": 2}\n").len(), 2, "JSON needs no marks");
        assert_eq!(pieces("[\n{},\n{}\n]\n").len(), 1);
    }

    #[test]
    fn wrong_encodings_are_named_with_their_place() {
        let mut sources = Sources::default();
        let utf16 = sources.add("w.yaml", b"\xFF\xFEa\0:\0").unwrap_err();
        assert!(utf16.what.contains("UTF-16"), "{utf16}");
        assert!(sources.add("w.yaml", b"a\0:\0 \0").unwrap_err().what.contains("UTF-16"));
        let latin = sources.add("w.yaml", b"a: 1\nname: caf\xE9\n").unwrap_err();
        let place = latin.place.unwrap();
        assert_eq!((place.line, place.column), (2, 10));
        assert!(sources.add("w.yaml", "\u{FEFF}a: 1".as_bytes()).is_ok(), "a mark is skipped");
        assert!(sources.add("w.yaml", &vec![b' '; FILE_BYTES_MAX + 1]).is_err());
    }
}
