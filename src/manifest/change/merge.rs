//! Merge patches: RFC 7386, and Kubernetes' strategic kind of it.
//!
//! Source: RFC 7386; Kubernetes' `patchMergeKey` and `patchStrategy` of the kinds that are modelled
//! (`k8s.io/api`), directives of `k8s.io/apimachinery/pkg/util/strategicpatch`.
//! Left out: `$deleteFromPrimitiveList`, `$retainKeys` and lists of plain values that are merged (finalizers);
//! orders of elements (`$setElementOrder` is passed over).

use super::Trouble;
use crate::manifest::node::{Entry, Node, Value};

/// Lists whose elements are found by a key: the field, and the keys of which its elements have one.
const KEYS: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("env", &["name"]),
    ("ports", &["containerPort", "port"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("imagePullSecrets", &["name"]),
    ("secrets", &["name"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey"]),
    ("webhooks", &["name"]),
    ("conditions", &["type"]),
];

/// Groups whose kinds have merge keys: those of Kubernetes itself.
const GROUPS: [&str; 6] =
    ["", "apps", "autoscaling", "policy", "discovery.k8s.io", "admissionregistration.k8s.io"];

/// Whether Kubernetes takes a strategic patch of kinds of a group.
pub fn has_strategic(group: &str) -> bool {
    GROUPS.contains(&group)
}

/// RFC 7386: maps are merged, null takes away, everything else replaces.
pub fn merge(target: &mut Node, patch: &Node) {
    let Value::Map(changes) = &patch.value else {
        *target = patch.clone();
        return;
    };
    let entries = map_of(target, patch);
    for change in changes {
        if change.value.is_null() {
            entries.retain(|entry| entry.key != change.key);
        } else {
            merge(at_key(entries, change), &change.value);
        }
    }
}

/// Kubernetes' strategic patch: as [`merge`], but elements of some lists are found by their keys.
pub fn strategic(target: &mut Node, patch: &Node) -> Result<(), Trouble> {
    let Value::Map(changes) = &patch.value else {
        *target = patch.clone();
        return Ok(());
    };
    let replaces = directive(patch)? == Some("replace");
    let entries = map_of(target, patch);
    if replaces {
        entries.clear();
    }
    for change in changes {
        if let Some(rest) = change.key.strip_prefix('$') {
            if rest == "patch" || rest.starts_with("setElementOrder/") {
                continue;
            }
            let what = format!("`{}` is not simulated", change.key);
            return Err(Trouble::new(what, "write the whole list").at(change.key_at));
        }
        let keys = KEYS.iter().find(|(field, _)| *field == change.key);
        if change.value.is_null() {
            entries.retain(|entry| entry.key != change.key);
        } else if directive(&change.value)? == Some("delete") {
            entries.retain(|entry| entry.key != change.key);
        } else if let (Value::List(items), Some((_, keys))) = (&change.value.value, keys) {
            elements(at_key(entries, change), items, keys, change)?;
        } else {
            strategic(at_key(entries, change), &change.value)?;
        }
    }
    Ok(())
}

/// Elements of a list that has a merge key.
fn elements(
    target: &mut Node,
    items: &[Node],
    keys: &[&str],
    change: &Entry,
) -> Result<(), Trouble> {
    if !matches!(target.value, Value::List(_)) {
        target.value = Value::List(Vec::new());
    }
    let Value::List(list) = &mut target.value else { return Ok(()) };
    // Where the first element replaces, all before is gone.
    if items.iter().map(directive).collect::<Result<Vec<_>, _>>()?.contains(&Some("replace")) {
        list.clear();
    }
    for item in items {
        if directive(item)? == Some("replace") && item.entries().len() == 1 {
            continue;
        }
        let Some((key, value)) = keys.iter().find_map(|key| Some((*key, item.get(key)?))) else {
            let what = format!("an element of `{}` without its merge key", change.key);
            return Err(Trouble::new(what, format!("it is found by `{}`", keys[0])).at(item.at));
        };
        let is_it = |one: &Node| one.get(key).is_some_and(|own| own.says(value));
        if directive(item)? == Some("delete") {
            list.retain(|one| !is_it(one));
        } else if let Some(one) = list.iter_mut().find(|one| is_it(one)) {
            strategic(one, item)?;
        } else {
            let mut new = Node { at: item.at, value: Value::Map(Vec::new()) };
            strategic(&mut new, item)?;
            list.push(new);
        }
    }
    Ok(())
}

/// `$patch` of a map.
fn directive(node: &Node) -> Result<Option<&str>, Trouble> {
    let Some(directive) = node.get("$patch") else { return Ok(None) };
    if let Some(word @ ("replace" | "merge" | "delete")) = directive.text() {
        return Ok(Some(word));
    }
    Err(Trouble::new("an unknown `$patch`", "replace, merge or delete").at(directive.at))
}

/// The entries of a map; what is none becomes one.
fn map_of<'n>(target: &'n mut Node, patch: &Node) -> &'n mut Vec<Entry> {
    if !matches!(target.value, Value::Map(_)) {
        *target = Node { at: patch.at, value: Value::Map(Vec::new()) };
    }
    match &mut target.value {
        Value::Map(entries) => entries,
        _ => unreachable!("it was made a map"),
    }
}

/// The value of a key that a patch names, made if there is none. It stands where the patch says it.
fn at_key<'n>(entries: &'n mut Vec<Entry>, change: &Entry) -> &'n mut Node {
    let known = entries.iter().position(|entry| entry.key == change.key);
    let place = known.unwrap_or_else(|| {
        let value = Node { at: change.value.at, value: Value::Null };
        entries.push(Entry { key: change.key.clone(), key_at: change.key_at, value });
        entries.len() - 1
    });
    &mut entries[place].value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::source::Piece;
    use crate::manifest::yaml;

    fn tree(text: &str) -> Node {
        yaml::parse(0, Piece { text, lines_before: 0 }).documents.pop().expect("a document")
    }

    #[test]
    fn the_table_of_the_rfc_holds() {
        let cases = [
            ("{a: b}", "{a: c}", "{a: c}"),
            ("{a: b}", "{b: c}", "{a: b, b: c}"),
            ("{a: b}", "{a: null}", "{}"),
            ("{a: b, b: c}", "{a: null}", "{b: c}"),
            ("{a: [b]}", "{a: c}", "{a: c}"),
            ("{a: c}", "{a: [b]}", "{a: [b]}"),
            ("{a: {b: c}}", "{a: {b: d, c: null}}", "{a: {b: d}}"),
            ("{a: [{b: c}]}", "{a: [1]}", "{a: [1]}"),
            ("[a, b]", "[c, d]", "[c, d]"),
            ("{a: b}", "[c]", "[c]"),
            ("{a: foo}", "bar", "bar"),
            ("[1, 2]", "{a: b, c: null}", "{a: b}"),
            ("{}", "{a: {bb: {ccc: null}}}", "{a: {bb: {}}}"),
        ];
        for (target, patch, wanted) in cases {
            let mut merged = tree(target);
            merge(&mut merged, &tree(patch));
            assert!(merged.says(&tree(wanted)), "{target} with {patch} is {merged:?}");
        }
    }

    #[test]
    fn directives_replace_and_delete() {
        let cases = [
            ("{a: {b: 1}}", "{a: {$patch: replace, c: 2}}", "{a: {c: 2}}"),
            ("{a: {b: 1}, d: 1}", "{a: {$patch: delete}}", "{d: 1}"),
            ("{env: [{name: a}]}", "{env: [{$patch: replace}, {name: b}]}", "{env: [{name: b}]}"),
            ("{env: [{name: a}]}", "{env: null}", "{}"),
            ("{args: [a, b]}", "{args: [c]}", "{args: [c]}"),
            (
                "{env: [{name: a, value: '1'}]}",
                "{env: [{name: b}, {name: a, value: '2'}]}",
                "{env: [{name: a, value: '2'}, {name: b}]}",
            ),
        ];
        for (target, patch, wanted) in cases {
            let mut merged = tree(target);
            strategic(&mut merged, &tree(patch)).expect("a patch");
            assert!(merged.says(&tree(wanted)), "{target} with {patch} is {merged:?}");
        }
        for patch in ["{env: [{value: a}]}", "{a: {$patch: merg}}", "{$retainKeys: [a]}"] {
            strategic(&mut tree("{}"), &tree(patch)).expect_err(patch);
        }
    }
}
