//! Regular expressions of routing rules.
//!
//! Envoy, and so Istio, compiles them with RE2 and wants the whole text to match; Rust's `regex` takes
//! the same language. The size of the compiled program is limited, so that no pattern can hurt.
//! Source: Envoy `RegexMatcher` (RE2 full match); Gateway API leaves the dialect to the implementation.
//! Left out: PCRE's look-around and back-references, which RE2 does not have either.

use regex::{Regex, RegexBuilder};
use std::fmt;

/// Bytes that a compiled pattern may have; Envoy's default limit is of this order.
const PROGRAM_BYTES_MAX: usize = 1 << 20;

/// A compiled pattern that must match the whole text.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern; the error says in one line what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let whole = format!("^(?:{text})$");
        let mut builder = RegexBuilder::new(&whole);
        match builder.size_limit(PROGRAM_BYTES_MAX).dot_matches_new_line(true).build() {
            Ok(regex) => Ok(Self { text: text.to_owned(), regex }),
            Err(error) => {
                let told = error.to_string();
                let last = told.lines().last().unwrap_or("").trim();
                Err(last.strip_prefix("error: ").unwrap_or(last).to_owned())
            }
        }
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let pattern = Pattern::new("/v[12]|/x").unwrap();
        assert!(pattern.matches("/v1") && pattern.matches("/x"));
        assert!(!pattern.matches("/v1/a") && !pattern.matches("a/x"));
        assert!(Pattern::new("(").unwrap_err().contains("unclosed"));
        assert!(Pattern::new("(?=a)").is_err());
        assert!(Pattern::new("(a{1000}){1000}").is_err(), "too large");
    }
}
