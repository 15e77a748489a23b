//! Patterns that requests are matched with: regular expressions and path templates.
//!
//! Both are matched against a whole value, in linear time.
//!
//! Source: Envoy's `safe_regex` (RE2, whole value); templates are those of [`super::template`].
//! Left out: what RE2 has and `regex` has not.

use super::template;
use regex::{Captures, Regex, RegexBuilder};
use std::fmt;

/// Bytes that a compiled pattern may have: more is an accident, or meant to hurt.
const SIZE_MAX: usize = 1 << 20;

/// A pattern, with the text that it was made from.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// From a regular expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or that it is too large.
    pub fn regex(text: &str) -> Result<Self, String> {
        Self::compile(text, text)
    }

    /// From a path template.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn template(text: &str) -> Result<Self, String> {
        Self::compile(text, &template::regex_of(text)?)
    }

    fn compile(text: &str, regex: &str) -> Result<Self, String> {
        let regex = build(&format!(r"\A(?:{regex})\z"))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// Whether it has a variable of this name.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.regex.capture_names().flatten().any(|one| one == name)
    }

    /// The variables in a value, if it matches.
    pub(super) fn captures<'v>(&self, value: &'v str) -> Option<Captures<'v>> {
        self.regex.captures(value)
    }

    /// Whether a whole value matches.
    pub fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

fn build(regex: &str) -> Result<Regex, String> {
    RegexBuilder::new(regex).size_limit(SIZE_MAX).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "it is too large when it is compiled".to_owned(),
        // The last line says why, those before point into the text.
        error => {
            let said = error.to_string();
            let last = said.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    })
}

/// What a regular expression finds, anywhere and each time, gives way to something else.
#[derive(Clone, Debug)]
pub struct Substitution {
    regex: Regex,
    by: String,
}

impl Substitution {
    /// Of `regex` by a text in which `\1` is its first group and `\0` all that was found, as RE2 has it.
    ///
    /// # Errors
    ///
    /// What is wrong with either.
    pub fn new(regex: &str, text: &str) -> Result<Self, String> {
        let regex = build(regex)?;
        let (mut by, mut letters) = (String::new(), text.chars());
        while let Some(letter) = letters.next() {
            match letter {
                '$' => by.push_str("$$"),
                '\\' => match letters.next() {
                    Some('\\') => by.push('\\'),
                    Some(digit) if digit.is_ascii_digit() => {
                        let group = digit.to_digit(10).expect("a digit") as usize;
                        if regex.captures_len() <= group {
                            return Err(format!("there is no group {group} in the expression"));
                        }
                        by.push_str("${");
                        by.push(digit);
                        by.push('}');
                    }
                    _ => return Err("after `\\` comes a digit or another `\\`".to_owned()),
                },
                other => by.push(other),
            }
        }
        Ok(Self { regex, by })
    }

    /// A value with all of them replaced.
    #[must_use]
    pub fn apply(&self, value: &str) -> String {
        self.regex.replace_all(value, &self.by).into_owned()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Pattern {}

/// Its text: the digest of a plan knows nothing of how a pattern is compiled.
impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_expression_matches_the_whole_value() {
        let pattern = Pattern::regex("/v[12]|/beta").expect("a pattern");
        assert!(pattern.matches("/v1") && pattern.matches("/beta"));
        assert!(!pattern.matches("/v1/cart") && !pattern.matches("x/v1"));
        assert_eq!(format!("{pattern:?}"), "Pattern(\"/v[12]|/beta\")");
    }

    #[test]
    fn what_does_not_compile_or_blows_up_is_refused() {
        let of = |text: &str| Pattern::regex(text).expect_err("no pattern");
        assert_eq!(of("/v("), "unclosed group");
        assert_eq!(of("((a{100}){100}){100}"), "it is too large when it is compiled");
        // What RE2 does not have either.
        assert!(of(r"(a)\1").contains("backreferences"));
    }

    #[test]
    fn a_substitution_replaces_all_that_is_found_and_knows_groups() {
        let of = |regex, by, value| Substitution::new(regex, by).map(|one| one.apply(value));
        // The examples of Envoy's docs of `regex_rewrite`.
        let swap = of("^/service/([^/]+)(/.*)$", r"\2/instance/\1", "/service/foo/v1/api");
        assert_eq!(swap.as_deref(), Ok("/v1/api/instance/foo"));
        let all = of("one", "two", "/xxx/one/yyy/one/zzz");
        assert_eq!(all.as_deref(), Ok("/xxx/two/yyy/two/zzz"));
        let first = of("^(.*?)one(.*)$", r"\1two\2", "/xxx/one/yyy/one/zzz");
        assert_eq!(first.as_deref(), Ok("/xxx/two/yyy/one/zzz"));
        assert_eq!(of("a", r"$1\\\0", "a").as_deref(), Ok(r"$1\a"));
        assert!(of("a", r"\1", "a").is_err() && of("a", r"\x", "a").is_err());
        assert!(of("(", "", "a").is_err());
    }
}
