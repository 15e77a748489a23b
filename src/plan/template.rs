//! Path templates: what they match, and what their variables are rewritten to.
//!
//! ```text
//! /carts/*/items            one segment
//! /carts/**                 whatever follows, also nothing; nothing may be variable after it
//! /carts/{id}/items         one segment with a name; {id=*} is the same
//! /{rest=**}                whatever follows, with a name
//! /{item=carts/*}/price     several segments with one name
//! ```
//!
//! Source: Envoy's URI template matcher and rewriter (`extensions.path.{match,rewrite}.uri_template`): at most
//! five variables, with different names of at most 16 letters, digits and underscores.
//! Left out: nothing.

use super::pattern::Pattern;

/// Variables of a template, and letters of the name of one.
const VARIABLES_MAX: usize = 5;
const NAME_MAX: usize = 16;

/// A template as a regular expression, whose groups are its variables.
#[derive(Default)]
struct Reader<'t> {
    regex: String,
    names: Vec<&'t str>,
    /// `**` was there.
    has_ended: bool,
}

/// The regular expression of a template.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn regex_of(text: &str) -> Result<String, String> {
    let Some(mut rest) = text.strip_prefix('/') else {
        return Err("a path template begins with `/`".to_owned());
    };
    let mut reader = Reader::default();
    loop {
        let end = end_of_segment(rest);
        reader.regex.push('/');
        reader.segment(&rest[..end])?;
        match rest.get(end + 1..) {
            Some(more) => rest = more,
            None => return Ok(reader.regex),
        }
    }
}

/// Where a segment ends: at a `/` that is not between braces.
fn end_of_segment(rest: &str) -> usize {
    let inside = if rest.starts_with('{') { rest.find('}').unwrap_or(0) } else { 0 };
    rest[inside..].find('/').map_or(rest.len(), |at| inside + at)
}

impl<'t> Reader<'t> {
    fn segment(&mut self, segment: &'t str) -> Result<(), String> {
        let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let Some(inner) = inner else { return self.plain(segment) };
        let (name, parts) = inner.split_once('=').unwrap_or((inner, "*"));
        if !is_name(name) {
            return Err(format!("`{name}` is no name of a variable"));
        }
        if self.names.contains(&name) {
            return Err(format!("the variable `{name}` is there twice"));
        }
        self.names.push(name);
        if VARIABLES_MAX < self.names.len() {
            return Err(format!("more than {VARIABLES_MAX} variables"));
        }
        self.regex.push_str("(?P<");
        self.regex.push_str(name);
        self.regex.push('>');
        for (number, part) in parts.split('/').enumerate() {
            if number != 0 {
                self.regex.push('/');
            }
            self.plain(part)?;
        }
        self.regex.push(')');
        Ok(())
    }

    /// A segment without a name.
    fn plain(&mut self, segment: &str) -> Result<(), String> {
        let is_variable = matches!(segment, "*" | "**");
        if !is_variable && (segment.contains(['{', '}', '*'])) {
            let what = "neither a text nor `*`, `**` or `{name}`";
            return Err(format!("`{segment}` is {what}"));
        }
        if is_variable && self.has_ended {
            return Err("nothing may be variable after `**`".to_owned());
        }
        match segment {
            "**" => {
                self.has_ended = true;
                self.regex.push_str(".*");
            }
            "*" => self.regex.push_str("[^/]+"),
            text => self.regex.push_str(&regex::escape(text)),
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
        && name.len() <= NAME_MAX
}

/// A path that is made of the variables of a template: `/items/{id}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateRewrite(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    Variable(String),
}

impl TemplateRewrite {
    /// From its text.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err("a path begins with `/`".to_owned());
        }
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some(begin) = rest.find(['{', '}', '*']) {
            let (before, after) = rest.split_at(begin);
            let name = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((name, more)) = name.filter(|(name, _)| is_name(name)) else {
                return Err("a rewrite is made of texts and `{name}`s".to_owned());
            };
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Variable(name.to_owned()));
            rest = more;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// A variable that a template does not have.
    pub fn unknown(&self, template: &Pattern) -> Option<&str> {
        self.0.iter().find_map(|piece| match piece {
            Piece::Variable(name) if !template.has_variable(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// What becomes of a path that a template matches; none if it does not.
    pub fn apply(&self, template: &Pattern, path: &str) -> Option<String> {
        let found = template.captures(path)?;
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(name) => {
                found.name(name).map_or(String::new(), |one| one.as_str().to_owned())
            }
        };
        Some(self.0.iter().map(text).collect())
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
        assert!(template("/{item=carts/*}/price", "/carts/17/price"));
        assert!(!template("/{item=carts/*}/price", "/users/17/price"));
    }

    #[test]
    fn bad_templates_are_told_apart() {
        let of = |text: &str| Pattern::template(text).expect_err("no template");
        assert_eq!(of("carts"), "a path template begins with `/`");
        assert_eq!(of("/**/{id}"), "nothing may be variable after `**`");
        assert_eq!(of("/v*"), "`v*` is neither a text nor `*`, `**` or `{name}`");
        assert_eq!(of("/{id"), "`{id` is neither a text nor `*`, `**` or `{name}`");
        assert_eq!(of("/{id=carts/*"), "`{id=carts` is neither a text nor `*`, `**` or `{name}`");
        assert_eq!(of("/{1}"), "`1` is no name of a variable");
        assert_eq!(of("/{id=v*}"), "`v*` is neither a text nor `*`, `**` or `{name}`");
        assert_eq!(of("/{id}/{id}"), "the variable `id` is there twice");
        assert_eq!(of("/{a}/{b}/{c}/{d}/{e}/{f}"), "more than 5 variables");
    }

    /// The examples of Envoy's docs of `path_template_rewrite`.
    #[test]
    fn variables_are_put_where_the_rewrite_has_them() {
        let of = |template: &str, rewrite: &str, path: &str| {
            let template = Pattern::template(template).expect("a template");
            let rewrite = TemplateRewrite::new(rewrite).expect("a rewrite");
            assert_eq!(rewrite.unknown(&template), None);
            rewrite.apply(&template, path)
        };
        let (template, path) = ("/{country}/{format}/{rest=**}", "/de/hls/a/b.ts");
        assert_eq!(
            of(template, "/content/{format}/{country}/{rest}", path).as_deref(),
            Some("/content/hls/de/a/b.ts")
        );
        assert_eq!(
            of("/{item=carts/*}/price", "/p/{item}", "/carts/7/price").as_deref(),
            Some("/p/carts/7")
        );
        assert_eq!(of("/carts/{id}", "/x", "/users/7"), None);
        assert_eq!(of("/carts/{id}", "/x{id}y", "/carts/7").as_deref(), Some("/x7y"));
    }

    #[test]
    fn rewrites_of_what_is_not_there_are_told() {
        let template = Pattern::template("/carts/{id}").expect("a template");
        let rewrite = TemplateRewrite::new("/{id}/{user}").expect("a rewrite");
        assert_eq!(rewrite.unknown(&template), Some("user"));
        for (text, why) in [
            ("items", "a path begins with `/`"),
            ("/{id", "a rewrite is made of texts and `{name}`s"),
            ("/id}", "a rewrite is made of texts and `{name}`s"),
            ("/*", "a rewrite is made of texts and `{name}`s"),
        ] {
            assert_eq!(TemplateRewrite::new(text).err().as_deref(), Some(why), "{text}");
        }
    }
}
