//! What rules change of requests before they go up: another path or host, other headers.
//!
//! A change leads from one class of requests to another, and all classes are known beforehand: those that
//! clients make, and what rules make of them.
//!
//! Source: Istio's `HTTPRewrite` and `Headers`; Envoy's `HeaderParser::evaluateHeaders` removes before it
//! adds, and refuses to change `host` so.
//! Left out: headers of answers; values that are made from the request.

use super::super::document::{Entry, Node};
use super::{Lower, id};
use crate::plan::matching::{PathMatch, RouteMatch, fits};
use crate::plan::pattern::{Pattern, Substitution};
use crate::plan::route::RouteTable;
use crate::plan::template::TemplateRewrite;
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
    /// What is made of the variables of the template that was matched.
    Made(TemplateRewrite),
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
                .or_else(|| TemplateRewrite::new(&text("template")?).ok().map(Path::Made))
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

    /// A request as it goes up, of whose path that was matched.
    fn apply(&self, class: &RequestClass, matched: Option<&PathMatch>) -> RequestClass {
        let mut changed = class.clone();
        let (path, query) = match class.path.find('?') {
            Some(at) => class.path.split_at(at),
            None => (class.path.as_str(), ""),
        };
        match &self.path {
            Some(Path::Whole(new)) => changed.path = format!("{new}{query}"),
            Some(Path::Found(found)) => changed.path = format!("{}{query}", found.apply(path)),
            Some(Path::Prefix(new)) => {
                let prefix = prefix_of(matched).unwrap_or(EVERY);
                if let Some(rest) = path.strip_prefix(prefix) {
                    changed.path = format!("{new}{rest}{query}");
                }
            }
            Some(Path::Made(rewrite)) => {
                if let Some(PathMatch::Pattern(template)) = matched
                    && let Some(new) = rewrite.apply(template, path)
                {
                    changed.path = format!("{new}{query}");
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
        let matched = match route.get("match") {
            None => vec![None],
            Some(node) => node.one_or_many().iter().map(part_of_a_path).collect(),
        };
        for matched in &matched {
            made.extend(classes.iter().map(|class| change.apply(class, matched.as_ref())));
        }
    }
    made
}

/// What of a path a table matches, if a rewrite can be made of it.
fn part_of_a_path(table: &Node) -> Option<PathMatch> {
    let prefix = table.text("prefix").map(|prefix| PathMatch::Prefix(prefix.to_owned()));
    let template = || Pattern::template(table.text("template")?).ok().map(PathMatch::Pattern);
    prefix.or_else(template)
}

impl Lower<'_, '_, '_> {
    /// A rule's change, with what is wrong with it.
    pub(super) fn change(&mut self, route: &Node, matches: &[RouteMatch]) -> Option<Change> {
        let change = Change::of(route)?;
        if let Some(rewrite) = route.get("rewrite") {
            self.rewrite(rewrite, route, matches);
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

    fn rewrite(&mut self, rewrite: &Node, route: &Node, matches: &[RouteMatch]) {
        let hint = "a rewrite is of the whole path or of a part of it";
        if let Some(by) = rewrite.get("substitution").filter(|_| rewrite.get("regex").is_none()) {
            let hint = "regex = \"^/v1/(.*)$\" says what is replaced";
            self.report(by.at, "`substitution` without a `regex`", hint);
        }
        let kinds = ["path", "prefix", "template", "regex"];
        match self.one_of(rewrite, &kinds, hint).ok().flatten() {
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
            Some(("template", node, text)) => self.template_rewrite(node, text, route, matches),
            Some((_, node, text)) if !text.starts_with('/') => {
                self.report(node.at, "a path begins with `/`", "such as \"/cart\"");
            }
            Some(("prefix", node, _))
                if matches.iter().any(|one| prefix_of(one.path.as_ref()).is_none()) =>
            {
                let hint = "match = { prefix = … }, or rewrite the whole `path`";
                self.report(node.at, "a prefix is rewritten where none is matched", hint);
            }
            None if rewrite.entries().is_empty() => {
                let hint = "path, prefix, template, regex or authority";
                self.report(rewrite.at, "nothing is rewritten", hint);
            }
            _ => {}
        }
    }

    /// Each match of the rule must be a template that has the variables of the rewrite.
    fn template_rewrite(&mut self, node: &Node, text: &str, route: &Node, matches: &[RouteMatch]) {
        let rewrite = match TemplateRewrite::new(text) {
            Ok(rewrite) => rewrite,
            Err(why) => return self.report(node.at, why, "such as \"/items/{id}\""),
        };
        let tables = route.get("match").map_or(&[][..], Node::one_or_many);
        if tables.is_empty() || tables.iter().any(|table| table.get("template").is_none()) {
            let hint = "match = { template = \"/carts/{id}\" }, or rewrite the whole `path`";
            return self.report(node.at, "variables are rewritten where none are matched", hint);
        }
        for one in matches {
            if let Some(PathMatch::Pattern(template)) = &one.path
                && let Some(name) = rewrite.unknown(template)
            {
                let what = format!("the template that is matched has no variable `{name}`");
                return self.report(node.at, what, "Envoy refuses it, too");
            }
        }
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
            let matched = matched.and_then(|one| one.path.as_ref());
            // What a rule makes of what another one has made is nobody's request.
            if let Ok(place) = classes.binary_search(&change.apply(class, matched)) {
                rule.changes.insert(ClassId(number), ClassId(id(place)));
            }
        }
    }
}

fn prefix_of(path: Option<&PathMatch>) -> Option<&str> {
    match path {
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
        assert_eq!(whole.apply(&class("/cart?user=1", &[]), None).path, "/v2?user=1");
        let api = PathMatch::Prefix("/api/".into());
        let prefix = Change { path: Some(Path::Prefix("/".into())), ..Change::default() };
        assert_eq!(prefix.apply(&class("/api/cart?user=1", &[]), Some(&api)).path, "/cart?user=1");
        assert_eq!(prefix.apply(&class("/cart", &[]), Some(&api)).path, "/cart");
        let found = Substitution::new("user", "u").map(Path::Found).ok();
        let found = Change { path: found, ..Change::default() };
        assert_eq!(found.apply(&class("/user?user=1", &[]), None).path, "/u?user=1");
        let made = TemplateRewrite::new("/items/{id}").map(Path::Made).ok();
        let made = Change { path: made, ..Change::default() };
        let template = Pattern::template("/carts/{id}").map(PathMatch::Pattern).ok();
        let of = |path: &str| made.apply(&class(path, &[]), template.as_ref()).path;
        assert_eq!([of("/carts/7?user=1"), of("/x")], ["/items/7?user=1", "/x"]);
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
        let after = change.apply(&class("/", &before), None);
        let wanted = [("host", "shop"), ("x-again", "new"), ("x-user", "otto"), ("x-via", "a,b")];
        assert_eq!(after.headers, pairs(&wanted));
    }
}
