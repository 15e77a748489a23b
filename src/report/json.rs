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

/// Levels that are spread over lines; deeper ones stay on theirs.
const LEVELS_SPREAD: usize = 2;

/// Writes a value with its outer levels spread over lines.
pub(super) fn write_value(text: &mut String, value: &Value, level: usize) {
    let spread = level < LEVELS_SPREAD;
    match value {
        Value::Object(fields) if spread && !fields.is_empty() => {
            let rows = fields.iter().map(|(name, value)| (Some(name.as_str()), value));
            write_rows(text, ['{', '}'], rows, level);
        }
        Value::Array(items) if spread && !items.is_empty() => {
            write_rows(text, ['[', ']'], items.iter().map(|value| (None, value)), level);
        }
        _ => write_line(text, value),
    }
}

fn write_rows<'a>(
    text: &mut String,
    [open, close]: [char; 2],
    rows: impl Iterator<Item = (Option<&'a str>, &'a Value)>,
    level: usize,
) {
    text.push(open);
    for (index, (name, value)) in rows.enumerate() {
        *text += if index == 0 { "\n" } else { ",\n" };
        *text += &"  ".repeat(level + 1);
        if let Some(name) = name {
            write!(text, "{}: ", Value::from(name)).expect("a string takes all");
        }
        write_value(text, value, level + 1);
    }
    text.push('\n');
    *text += &"  ".repeat(level);
    text.push(close);
}

/// Everything on one line, with a space after each comma and colon.
fn write_line(text: &mut String, value: &Value) {
    match value {
        Value::Object(fields) => {
            text.push('{');
            for (index, (name, value)) in fields.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(text, "{comma}{}: ", Value::from(name.as_str())).expect("it takes all");
                write_line(text, value);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, value) in items.iter().enumerate() {
                *text += if index == 0 { "" } else { ", " };
                write_line(text, value);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            write!(text, "{value}").expect("a string takes all");
        }
    }
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
