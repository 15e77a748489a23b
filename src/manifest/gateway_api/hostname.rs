//! Host names of listeners and routes: matching, intersection, and which one is more specific.
//!
//! Source: Gateway API `Listener.hostname`, `HTTPRoute.spec.hostnames`: `*.example.com` stands for one or
//! more labels before the suffix, never for the bare domain; names have no case.
//! Left out: internationalised names (they come in their ASCII form).

/// Whether a host fits a name, which may start with `*.` or be `*`.
pub fn matches(name: &str, host: &str) -> bool {
    if name.is_empty() || name == "*" {
        return true;
    }
    let (name, host) = (name.to_ascii_lowercase(), host.trim_end_matches('.').to_ascii_lowercase());
    match name.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => name == host,
    }
}

/// The hosts that both names mean: the more specific one if one holds the other.
pub fn intersection(one: &str, other: &str) -> Option<String> {
    let holds = |wide: &str, narrow: &str| match narrow.strip_prefix("*.") {
        Some(suffix) => {
            let wide_suffix = wide.strip_prefix("*.");
            wide.is_empty()
                || wide == "*"
                || wide_suffix
                    .is_some_and(|wide| suffix == wide || suffix.ends_with(&format!(".{wide}")))
        }
        None if narrow.is_empty() || narrow == "*" => wide.is_empty() || wide == "*",
        None => matches(wide, narrow),
    };
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    if holds(&one, &other) {
        Some(other)
    } else if holds(&other, &one) {
        Some(one)
    } else {
        None
    }
}

/// How specific a name is: characters without a wildcard, then all characters.
pub fn rank(name: &str) -> (usize, usize) {
    let exact = if name.is_empty() || name.starts_with('*') { 0 } else { name.len() };
    (exact, name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_or_more_labels() {
        assert!(matches("*.bar.com", "foo.bar.com") && matches("*.bar.com", "a.b.bar.com"));
        assert!(!matches("*.bar.com", "bar.com") && !matches("*.bar.com", "foobar.com"));
        assert!(matches("", "x") && matches("Bar.com", "bar.COM") && !matches("a.com", "b.com"));
    }

    #[test]
    fn the_narrower_name_remains() {
        let cases = [
            ("", "a.com", Some("a.com")),
            ("*.com", "a.com", Some("a.com")),
            ("*.a.com", "*.com", Some("*.a.com")),
            ("*.a.com", "*.b.a.com", Some("*.b.a.com")),
            ("*.a.com", "a.com", None),
            ("a.com", "b.com", None),
            ("*.ba.com", "*.a.com", None),
            ("", "", Some("")),
        ];
        for (one, other, expected) in cases {
            assert_eq!(intersection(one, other).as_deref(), expected, "{one} {other}");
            assert_eq!(intersection(other, one).as_deref(), expected, "{other} {one}");
        }
        assert!(rank("a.com") > rank("*.very.long.com") && rank("*.b.com") > rank("*.com"));
    }
}
