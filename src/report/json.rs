//! What `--format json` prints: a summary a line.
//!
//! Source: JSON Lines. What a terminal would obey is escaped as JSON allows.
//! Left out: everything that `summary.json` leaves out.

use serde_json::Value;
use std::fmt::Write as _;

/// The value in one line.
pub fn line(value: &Value) -> String {
    let mut text = String::new();
    for letter in value.to_string().chars() {
        // JSON itself escapes what is below a space; these stay legal and still move a cursor.
        if matches!(letter, '\u{7f}'..='\u{9f}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            write!(text, "\\u{:04x}", u32::from(letter)).expect("a string takes all");
        } else {
            text.push(letter);
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::summary::summary;
    use crate::report::testing::{sample_judgements, sample_run};

    #[test]
    fn a_run_is_one_line_that_reads_back() {
        let value = summary(&sample_run(), &sample_judgements());
        let text = line(&value);
        assert_eq!(text.find('\n'), Some(text.len() - 1));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let name = "a\u{1b}b\u{9b}c\u{202e}";
        let text = line(&Value::from(name));
        assert_eq!(text, "\"a\\u001bb\\u009bc\\u202e\"\n");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
    }
}
