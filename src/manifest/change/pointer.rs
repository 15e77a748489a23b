//! JSON patches: operations at paths.
//!
//! Source: RFC 6902 (operations), RFC 6901 (paths).
//! Left out: nothing.

use super::Trouble;
use crate::manifest::node::{Entry, Node, Value};
use crate::manifest::object::nearest;

const OPERATIONS: [&str; 6] = ["add", "remove", "replace", "move", "copy", "test"];

/// Does the operations of a patch, one after the other.
pub fn patch(target: &mut Node, patch: &Node) -> Result<(), Trouble> {
    let Value::List(operations) = &patch.value else {
        let what = format!("a JSON patch is a list of operations, this is {}", patch.kind());
        let hint = "[{op: replace, path: /spec/replicas, value: 3}], or type = \"merge\"";
        return Err(Trouble::new(what, hint).at(patch.at));
    };
    operations.iter().try_for_each(|operation| operate(target, operation))
}

fn operate(target: &mut Node, operation: &Node) -> Result<(), Trouble> {
    let (op, op_node) = text(operation, "op")?;
    let (path, path_node) = path(operation, "path")?;
    let lost = |why: String| Trouble::new(why, "").at(path_node.at);
    match op {
        "add" => add(target, &path, value(operation)?.clone()).map_err(lost),
        "remove" => remove(target, &path).map(drop).map_err(lost),
        "replace" => {
            let new = value(operation)?.clone();
            let old = find(target, &path).map_err(lost)?;
            *old = new;
            Ok(())
        }
        "move" | "copy" => {
            let (from, from_node) = self::path(operation, "from")?;
            let lost_from = |why: String| Trouble::new(why, "").at(from_node.at);
            if op == "move" && path.starts_with(&from) && path != from {
                return Err(lost("a value cannot be moved into itself".to_owned()));
            }
            let moved = match op {
                "move" => remove(target, &from).map_err(lost_from)?,
                _ => find(target, &from).map_err(lost_from)?.clone(),
            };
            add(target, &path, moved).map_err(lost)
        }
        "test" => {
            let wanted = value(operation)?;
            let found = find(target, &path).map_err(lost)?;
            if found.says(wanted) {
                return Ok(());
            }
            let what = format!("the test fails: `{}` says something else", written(&path));
            let hint = "all operations of the patch are refused then";
            Err(Trouble::new(what, hint).at(wanted.at))
        }
        other => {
            let hint = match nearest(other, &OPERATIONS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => OPERATIONS.join(", "),
            };
            Err(Trouble::new(format!("there is no operation `{other}`"), hint).at(op_node.at))
        }
    }
}

fn text<'n>(operation: &'n Node, key: &str) -> Result<(&'n str, &'n Node), Trouble> {
    let node = operation.get(key);
    node.and_then(|node| Some((node.text()?, node))).ok_or_else(|| {
        let what = format!("an operation without `{key}`");
        Trouble::new(what, "{op: replace, path: /spec/replicas, value: 3}").at(operation.at)
    })
}

/// The value, which may be null.
fn value(operation: &Node) -> Result<&Node, Trouble> {
    let entry = operation.entry("value").map(|entry| &entry.value);
    entry.ok_or_else(|| Trouble::new("an operation without `value`", "").at(operation.at))
}

/// The steps of a path.
fn path<'n>(operation: &'n Node, key: &str) -> Result<(Vec<String>, &'n Node), Trouble> {
    let (text, node) = text(operation, key)?;
    if text.is_empty() {
        return Ok((Vec::new(), node));
    }
    let Some(rest) = text.strip_prefix('/') else {
        let what = format!("the path `{text}` begins with no `/`");
        return Err(Trouble::new(what, format!("`/{}`", text.replace('.', "/"))).at(node.at));
    };
    let steps = rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    Ok((steps.collect(), node))
}

fn written(path: &[String]) -> String {
    let steps = path.iter().map(|step| step.replace('~', "~0").replace('/', "~1"));
    steps.fold(String::new(), |text, step| text + "/" + &step)
}

/// The value at a path, or why there is none.
fn find<'n>(target: &'n mut Node, path: &[String]) -> Result<&'n mut Node, String> {
    let mut node = target;
    for (depth, step) in path.iter().enumerate() {
        let so_far = written(&path[..=depth]);
        node = match &mut node.value {
            Value::Map(entries) => entries
                .iter_mut()
                .find(|entry| entry.key == *step)
                .map(|entry| &mut entry.value)
                .ok_or_else(|| format!("there is no `{so_far}`"))?,
            Value::List(items) => {
                let (place, count) = (place(step), items.len());
                let item = place.and_then(|place| items.get_mut(place));
                item.ok_or_else(|| format!("there is no `{so_far}`: the list has {count}"))?
            }
            _ => return Err(format!("there is no `{so_far}`: nothing is below")),
        };
    }
    Ok(node)
}

fn place(step: &str) -> Option<usize> {
    let is_plain =
        step == "0" || !step.starts_with('0') && step.bytes().all(|b| b.is_ascii_digit());
    if is_plain { step.parse().ok() } else { None }
}

fn add(target: &mut Node, path: &[String], value: Node) -> Result<(), String> {
    let Some((last, above)) = path.split_last() else {
        *target = value;
        return Ok(());
    };
    match &mut find(target, above)?.value {
        Value::Map(entries) => {
            match entries.iter_mut().find(|entry| entry.key == *last) {
                Some(entry) => entry.value = value,
                None => entries.push(Entry { key: last.clone(), key_at: value.at, value }),
            }
            Ok(())
        }
        Value::List(items) => {
            let place = if last == "-" { Some(items.len()) } else { place(last) };
            match place.filter(|place| *place <= items.len()) {
                Some(place) => {
                    items.insert(place, value);
                    Ok(())
                }
                None => {
                    Err(format!("there is no `{}`: the list has {}", written(path), items.len()))
                }
            }
        }
        _ => Err(format!(
            "nothing can be added at `{}`: `{}` is no map and no list",
            written(path),
            written(above)
        )),
    }
}

fn remove(target: &mut Node, path: &[String]) -> Result<Node, String> {
    let Some((last, above)) = path.split_last() else {
        return Err("the whole object cannot be removed".to_owned());
    };
    let removed = match &mut find(target, above)?.value {
        Value::Map(entries) => {
            let place = entries.iter().position(|entry| entry.key == *last);
            place.map(|place| entries.remove(place).value)
        }
        Value::List(items) => {
            let place = place(last).filter(|place| *place < items.len());
            place.map(|place| items.remove(place))
        }
        _ => None,
    };
    removed.ok_or_else(|| format!("there is no `{}`", written(path)))
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
    fn the_examples_of_the_rfc_hold() {
        let cases = [
            ("{foo: bar}", "[{op: add, path: /baz, value: qux}]", "{baz: qux, foo: bar}"),
            (
                "{foo: [bar, baz]}",
                "[{op: add, path: /foo/1, value: qux}]",
                "{foo: [bar, qux, baz]}",
            ),
            ("{foo: [bar]}", "[{op: add, path: /foo/-, value: [a]}]", "{foo: [bar, [a]]}"),
            ("{baz: qux, foo: bar}", "[{op: remove, path: /baz}]", "{foo: bar}"),
            ("{foo: [bar, qux, baz]}", "[{op: remove, path: /foo/1}]", "{foo: [bar, baz]}"),
            ("{baz: qux}", "[{op: replace, path: /baz, value: boo}]", "{baz: boo}"),
            ("{a: {b: 1}, c: {}}", "[{op: move, from: /a/b, path: /c/d}]", "{a: {}, c: {d: 1}}"),
            ("{foo: [a, b, c]}", "[{op: move, from: /foo/0, path: /foo/2}]", "{foo: [b, c, a]}"),
            ("{a: [1]}", "[{op: copy, from: /a, path: /b}]", "{a: [1], b: [1]}"),
            (
                "{a/b: 1, m~n: 2}",
                "[{op: remove, path: /a~1b}, {op: test, path: /m~0n, value: 2}]",
                "{m~n: 2}",
            ),
            ("{foo: bar}", "[{op: add, path: /child, value: {x: 1}}]", "{foo: bar, child: {x: 1}}"),
            ("{a: 1}", "[]", "{a: 1}"),
        ];
        for (target, operations, wanted) in cases {
            let mut patched = tree(target);
            patch(&mut patched, &tree(operations)).expect(operations);
            assert!(patched.says(&tree(wanted)), "{operations} makes {patched:?}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_told_where_it_stands() {
        let cases = [
            ("[{op: test, path: /a, value: 2}]", "the test fails: `/a`", 30),
            ("[{op: remove, path: /b}]", "there is no `/b`", 21),
            ("[{op: replace, path: /l/7, value: 1}]", "there is no `/l/7`: the list has 1", 22),
            ("[{op: add, path: /l/2, value: 1}]", "there is no `/l/2`: the list has 1", 18),
            ("[{op: add, path: /l/01, value: 1}]", "there is no `/l/01`", 18),
            ("[{op: add, path: /x/y, value: 1}]", "there is no `/x`", 18),
            ("[{op: add, path: /a/y, value: 1}]", "nothing can be added", 18),
            ("[{op: ad, path: /a, value: 1}]", "no operation `ad`", 7),
            ("[{op: add, path: a.b, value: 1}]", "begins with no `/`", 18),
            ("[{op: add, path: /a}]", "without `value`", 0),
            ("[{path: /a}]", "without `op`", 0),
            ("[{op: remove, path: ''}]", "the whole object", 0),
            ("{op: remove}", "a list of operations", 0),
        ];
        for (operations, wanted, column) in cases {
            let said = patch(&mut tree("{a: 1, l: [1]}"), &tree(operations)).expect_err(operations);
            assert!(said.what.contains(wanted), "{operations}: {said:?}");
            let at = said.at.expect("a place");
            assert!(column == 0 || at.column == column, "{operations}: {at:?}");
        }
    }
}
