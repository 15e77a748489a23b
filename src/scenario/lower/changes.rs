//! What rules change of requests before they go up: another path or host, other headers.
//!
//! A change leads from one class of requests to another, and all classes are known beforehand: those that
//! clients make, and what rules make of them.
//!
//! Source: Istio's `HTTPRewrite` and `Headers`; Envoy's `HeaderParser::evaluateHeaders` removes before it
//! adds, and refuses to change `host` so.
//! Left out: rewrites by the variables of templates; headers of answers; values that are made from the request.

use super::super::document::{Entry, Node};
use super::{Lower, id};
use crate::plan::matching::{PathMatch, RouteMatch, fits};
use crate::plan::pattern::Substitution;
use crate::plan::route::RouteTable;
use crate::plan::universe::{ClassId, RequestClass};

/// What a rule changes.
#[derive(Default)]
pub(super) struct Change {
    path: Option<Path>,
    authority: Option<String>,
    remove: Vec<String>,
    set: Vec<(String, String)>,
    add: Vec<(String, String)>,
}

enum Path {
    /// All of it, but for the query.
    Whole(String),
    /// The prefix that was matched.
    Prefix(String),
    /// What an expression finds.
    Found(Substitution),
}

impl Change {
    /// What a rule's table asks for, if it asks for anything.
    pub(super) fn of(route: &Node) -> Option<Self> {
        let (rewrite, headers) = (route.get("rewrite"), route.get("headers"));
        if rewrite.is_none() && headers.is_none() {
            return None;
        }
        let text = |key: &str| rewrite.and_then(|one| one.text(key)).map(str::to_owned);
        let labels = |key: &str| -> Vec<(String, String)> {
            let all = headers.into_iter().flat_map(|one| one.labels(key));
            all.map(|(name, value)| (name.to_lowercase(), value)).collect()
        };
        let names = headers.map(|one| one.list("remove")).unwrap_or_default();
        Some(Self {
            path: (text("path").map(Path::Whole))
                .or_else(|| text("prefix").map(Path::Prefix))
                .or_else(|| {
                    let by = text("substitution").unwrap_or_default();
                    Substitution::new(&text("regex")?, &by).ok().map(Path::Found)
                }),
            authority: text("authority"),
            remove: names.iter().filter_map(Node::as_text).map(str::to_lowercase).collect(),
            set: labels("set"),
            add: labels("add"),
        })
    }

    /// A request as it goes up, of which that prefix was matched.
    fn apply(&self, class: &RequestClass, prefix: &str) -> RequestClass {
        let mut changed = class.clone();
        let (path, query) = match class.path.find('?') {
            Some(at) => class.path.split_at(at),
            None => (class.path.as_str(), ""),
        };
        match &self.path {
            Some(Path::Whole(new)) => changed.path = format!("{new}{query}"),
            Some(Path::Found(found)) => changed.path = format!("{}{query}", found.apply(path)),
            Some(Path::Prefix(new)) => {
                if let Some(rest) = path.strip_prefix(prefix) {
                    changed.path = format!("{new}{rest}{query}");
                }
            }
            None => {}
        }
        let headers = &mut changed.headers;
        headers.retain(|(name, _)| !self.remove.contains(name));
        let host = self.authority.iter().map(|value| ("host".to_owned(), value.clone()));
        for (name, value) in host.chain(self.set.iter().cloned()) {
            headers.retain(|(one, _)| *one != name);
            headers.push((name, value));
        }
        for (name, value) in &self.add {
            match headers.iter_mut().find(|(one, _)| one == name) {
                // As several headers of one name are compared.
                Some((_, old)) => *old = format!("{old},{value}"),
                None => headers.push((name.clone(), value.clone())),
            }
        }
        headers.sort();
        changed
    }
}

/// The prefix of a path that every request has.
const EVERY: &str = "/";

/// Every class that the rules of a service may make of `classes`.
pub(super) fn made_of(service: &Node, classes: &[RequestClass]) -> Vec<RequestClass> {
    let mut made = Vec::new();
    for route in service.list("route").iter().filter(|route| route.is_table()) {
        let Some(change) = Change::of(route) else { continue };
        let prefixes = match route.get("match") {
            None => vec![EVERY],
            Some(node) => {
                let tables =
                    if node.is_table() { std::slice::from_ref(node) } else { node.items() };
                tables.iter().map(|table| table.text("prefix").unwrap_or(EVERY)).collect()
            }
        };
        for prefix in prefixes {
            made.extend(classes.iter().map(|class| change.apply(class, prefix)));
        }
    }
    made
}

impl Lower<'_, '_, '_> {
    /// A rule's change, with what is wrong with it.
    pub(super) fn change(&mut self, route: &Node, matches: &[RouteMatch]) -> Option<Change> {
        let change = Change::of(route)?;
        if let Some(rewrite) = route.get("rewrite") {
            let hint = "a rewrite is of the whole path or of a part of it";
            if let Some(by) = rewrite.get("substitution").filter(|_| rewrite.get("regex").is_none())
            {
                let hint = "regex = \"^/v1/(.*)$\" says what is replaced";
                self.report(by.at, "`substitution` without a `regex`", hint);
            }
            let given = self.one_of(rewrite, &["path", "prefix", "regex"], hint).ok().flatten();
            match given {
                Some(("regex", node, text)) => match rewrite.text("substitution") {
                    None => {
                        let hint = "substitution = \"/\\\\1\" in place of what is found";
                        self.report(node.at, "`substitution` is missing", hint);
                    }
                    Some(by) => {
                        if let Err(why) = Substitution::new(text, by) {
                            self.report(node.at, why, "Envoy refuses it, too");
                        }
                    }
                },
                Some((_, node, text)) if !text.starts_with('/') => {
                    self.report(node.at, "a path begins with `/`", "such as \"/cart\"");
                }
                Some(("prefix", node, _)) if matches.iter().any(|one| prefix_of(one).is_none()) => {
                    let what = "a prefix is rewritten where none is matched";
                    self.report(
                        node.at,
                        what,
                        "match = { prefix = … }, or rewrite the whole `path`",
                    );
                }
                None if rewrite.entries().is_empty() => {
                    self.report(
                        rewrite.at,
                        "nothing is rewritten",
                        "path, prefix, regex or authority",
                    );
                }
                _ => {}
            }
        }
        for key in ["direct_response", "redirect"] {
            if route.get(key).is_some() {
                let at =
                    route.get("rewrite").or(route.get("headers")).map_or(route.at, |one| one.at);
                let hint = "what the proxy answers itself goes nowhere";
                self.report(at, "a change of requests where there is no upstream", hint);
            }
        }
        let headers = route.get("headers");
        let of = |key: &str| headers.and_then(|one| one.get(key));
        let entries = [of("set"), of("add")].into_iter().flatten().flat_map(Node::entries);
        let named = entries.map(|Entry { key, at, .. }| (key.as_str(), *at));
        let removed = of("remove").into_iter().flat_map(Node::items);
        let removed = removed.filter_map(|node| Some((node.as_text()?, node.at)));
        let all: Vec<_> = named.chain(removed).collect();
        for (name, at) in all {
            if name.eq_ignore_ascii_case("host") || name.starts_with(':') {
                let hint = "Envoy refuses it; rewrite = { authority = … } changes the host";
                self.report(at, format!("`{name}` is no header that a route may change"), hint);
            } else {
                self.header_name(name, at);
            }
        }
        Some(change)
    }

    /// Of the classes that follow a rule with a change: what it makes of them.
    pub(super) fn apply_changes(&self, table: &mut RouteTable, changes: &[Option<Change>]) {
        let authority = &self.universe.services[table.service.index()].name;
        let classes = &self.universe.classes;
        for (number, class) in (0..).zip(classes) {
            let Some(place) = table.rule_of_class[number as usize].map(usize::from) else {
                continue;
            };
            let Some(Some(change)) = changes.get(place) else { continue };
            let rule = &mut table.rules[place];
            let matched = rule.matches.iter().find(|one| fits(one, class, authority));
            let prefix = matched.and_then(prefix_of).unwrap_or(EVERY);
            // What a rule makes of what another one has made is nobody's request.
            if let Ok(place) = classes.binary_search(&change.apply(class, prefix)) {
                rule.changes.insert(ClassId(number), ClassId(id(place)));
            }
        }
    }
}

fn prefix_of(one: &RouteMatch) -> Option<&str> {
    match &one.path {
        Some(PathMatch::Prefix(prefix)) => Some(prefix),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(path: &str, headers: &[(&str, &str)]) -> RequestClass {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let (method, path) = ("GET".into(), path.into());
        RequestClass { method, path, headers: headers.collect(), defect: None }
    }

    #[test]
    fn a_path_keeps_its_query_and_what_follows_its_prefix() {
        let whole = Change { path: Some(Path::Whole("/v2".into())), ..Change::default() };
        assert_eq!(whole.apply(&class("/cart?user=1", &[]), "/").path, "/v2?user=1");
        let prefix = Change { path: Some(Path::Prefix("/".into())), ..Change::default() };
        assert_eq!(prefix.apply(&class("/api/cart?user=1", &[]), "/api/").path, "/cart?user=1");
        assert_eq!(prefix.apply(&class("/cart", &[]), "/api/").path, "/cart");
        let found = Substitution::new("user", "u").map(Path::Found).ok();
        let found = Change { path: found, ..Change::default() };
        assert_eq!(found.apply(&class("/user?user=1", &[]), "/").path, "/u?user=1");
    }

    #[test]
    fn headers_are_removed_then_set_then_added_to() {
        let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
            all.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let change = Change {
            authority: Some("shop".into()),
            remove: vec!["x-old".into(), "x-again".into()],
            set: pairs(&[("x-user", "otto")]),
            add: pairs(&[("x-via", "b"), ("x-again", "new")]),
            ..Change::default()
        };
        let before = [("x-again", "old"), ("x-old", "1"), ("x-user", "anna"), ("x-via", "a")];
        let after = change.apply(&class("/", &before), "/");
        let wanted = [("host", "shop"), ("x-again", "new"), ("x-user", "otto"), ("x-via", "a,b")];
        assert_eq!(after.headers, pairs(&wanted));
    }
}
