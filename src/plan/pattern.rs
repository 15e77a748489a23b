//! Patterns that requests are matched with: regular expressions and path templates.
//!
//! Both are matched against a whole value, in linear time. A path template is made of segments:
//!
//! ```text
//! /carts/*/items      one segment
//! /carts/**           whatever follows, also nothing; nothing may be variable after it
//! /carts/{id}/items   one segment with a name; {id=*} is the same
//! /{rest=**}          whatever follows, with a name
//! ```
//!
//! Source: Envoy's `safe_regex` (RE2, whole value) and its URI template matcher: at most five
//! variables, with different names of at most 16 letters, digits and underscores.
//! Left out: literal parts inside of a variable, as in `{id=v1/*}`; rewrites by the
//! variables of a template.

use regex::{Regex, RegexBuilder};
use std::fmt;

/// Bytes that a compiled pattern may have: more is an accident, or meant to hurt.
const SIZE_MAX: usize = 1 << 20;
/// Variables of a template, and letters of the name of one.
const VARIABLES_MAX: usize = 5;
const NAME_MAX: usize = 16;

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
        let Some(path) = text.strip_prefix('/') else {
            return Err("a path template begins with `/`".to_owned());
        };
        let (mut regex, mut names) = (String::new(), Vec::new());
        let mut ended = false;
        for segment in path.split('/') {
            regex.push('/');
            let operator = operator_of(segment, &mut names)?;
            if ended && operator.is_some() {
                return Err("nothing may be variable after `**`".to_owned());
            }
            match operator {
                Some("**") => {
                    ended = true;
                    regex.push_str(".*");
                }
                Some(_) => regex.push_str("[^/]+"),
                None => regex.push_str(&regex::escape(segment)),
            }
        }
        Self::compile(text, &regex)
    }

    fn compile(text: &str, regex: &str) -> Result<Self, String> {
        let regex = build(&format!(r"\A(?:{regex})\z"))?;
        Ok(Self { text: text.to_owned(), regex })
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

/// `*` or `**` if a segment is variable; its name is added to those of the others.
fn operator_of<'t>(segment: &'t str, names: &mut Vec<&'t str>) -> Result<Option<&'t str>, String> {
    if matches!(segment, "*" | "**") {
        return Ok(Some(segment));
    }
    let Some(inner) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return match segment.find(['{', '}', '*']) {
            Some(_) => Err(format!("`{segment}` is neither a text nor `*`, `**` or `{{name}}`")),
            None => Ok(None),
        };
    };
    let (name, operator) = inner.split_once('=').unwrap_or((inner, "*"));
    let is_named = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
        && name.len() <= NAME_MAX;
    if !is_named {
        return Err(format!("`{name}` is no name of a variable"));
    }
    if !matches!(operator, "*" | "**") {
        return Err(format!("`{operator}` in `{segment}` is neither `*` nor `**`"));
    }
    if names.contains(&name) {
        return Err(format!("the variable `{name}` is there twice"));
    }
    names.push(name);
    if VARIABLES_MAX < names.len() {
        return Err(format!("more than {VARIABLES_MAX} variables"));
    }
    Ok(Some(operator))
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

    fn template(text: &str, path: &str) -> bool {
        Pattern::template(text).expect("a template").matches(path)
    }

    #[test]
    fn a_template_matches_whole_paths_by_segments() {
        assert!(template("/carts/*/items", "/carts/17/items"));
        assert!(!template("/carts/*/items", "/carts/17/18/items"));
        assert!(!template("/carts/*/items", "/carts//items"));
        assert!(template("/carts/{id}", "/carts/17"));
        assert!(!template("/carts/{id}", "/carts/17/items"));
        assert!(template("/carts/**", "/carts/17/items"));
        assert!(template("/carts/**", "/carts/"));
        assert!(!template("/carts/**", "/cart"));
        assert!(template("/{rest=**}", "/"));
        assert!(template("/a.b/*", "/a.b/1") && !template("/a.b/*", "/aXb/1"));
        assert!(template("/files/**/end", "/files/a/b/end"));
    }

    #[test]
    fn bad_templates_are_told_apart() {
        let of = |text: &str| Pattern::template(text).expect_err("no template");
        assert_eq!(of("carts"), "a path template begins with `/`");
        assert_eq!(of("/**/{id}"), "nothing may be variable after `**`");
        assert_eq!(of("/v*"), "`v*` is neither a text nor `*`, `**` or `{name}`");
        assert_eq!(of("/{id"), "`{id` is neither a text nor `*`, `**` or `{name}`");
        assert_eq!(of("/{1}"), "`1` is no name of a variable");
        assert_eq!(of("/{id=v1}"), "`v1` in `{id=v1}` is neither `*` nor `**`");
        assert_eq!(of("/{id}/{id}"), "the variable `id` is there twice");
        assert_eq!(of("/{a}/{b}/{c}/{d}/{e}/{f}"), "more than 5 variables");
    }

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
