//! Broken files: one mistake each, with all that is said about it.
//!
//! `broken.txt` holds the cases: `=== what`, then `- old` and `+ new` text of the normative
//! example (`+` alone adds to its end, `$` is a `--set`), then `> ` what is said.
//! `UPDATE=1` writes what is said now.

use super::manifests::{CANARY, SHOP};
use super::{Loaded, NORMATIVE, Problem, files, load};
use std::fmt::Write as _;

/// What is said of a file.
pub(super) type Tell = fn(Result<Loaded, Vec<Problem>>) -> Vec<Problem>;

/// Replicas that Kubernetes takes and no scenario does.
const HUGE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: many, namespace: shop}
spec: {selector: {app: many}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: many, namespace: shop}
spec:
  replicas: 2000000
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec: {containers: [{name: many}]}
";

const CASES: &str = include_str!("broken.txt");

/// One case: its lines but what is said, and what is said.
fn run(case: &str, tell: Tell) -> (String, String) {
    let mut text = NORMATIVE.to_owned();
    let mut sets = Vec::new();
    let (mut old, mut new): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut kept = String::new();
    for line in case.lines().filter(|line| !line.starts_with('>')) {
        writeln!(kept, "{line}").expect("a string takes all");
        let (mark, rest) = line.split_at(line.len().min(2));
        match mark.trim() {
            "-" => {
                replace(&mut text, &mut old, &mut new);
                old.push(rest);
            }
            "+" => new.push(rest),
            "$" => sets.push(rest.to_owned()),
            _ => {}
        }
    }
    replace(&mut text, &mut old, &mut new);
    let files = files(&[
        ("s.toml", text.as_str()),
        ("loop.toml", "[scenario]\nbase = \"s.toml\"\n"),
        ("bad.toml", "[mesh]\nprofil = \"none\"\n"),
        ("bad.csv", "ms\n1\nfast\n"),
        ("empty.csv", "ms\n"),
        ("shop.yaml", SHOP),
        ("canary.yaml", CANARY),
        ("twins.yaml", include_str!("twins.yaml")),
        ("huge.yaml", HUGE),
        ("binary.yaml", "a\u{0}:\u{0}"),
        ("bad/broken.yaml", "kind: Service\nmetadata: {name: web\nspec: {}\n"),
        (
            "bad/wrong.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999}]}\n",
        ),
        ("bases/shop.toml", "[[manifests]]\npath = \"nowhere.yaml\"\n"),
    ]);
    let said: String = tell(load(&files, "s.toml", &sets, None)).iter().map(show).collect();
    (kept, if said.is_empty() { "> nothing\n".to_owned() } else { said })
}

fn replace<'c>(text: &mut String, old: &mut Vec<&'c str>, new: &mut Vec<&'c str>) {
    let new_text = std::mem::take(new).join("\n");
    match std::mem::take(old)[..] {
        [] if new_text.is_empty() => {}
        [] => *text = format!("{text}{new_text}\n"),
        ["everything"] => *text = new_text,
        [old] => {
            assert!(text.contains(old), "the example holds no `{old}`");
            *text = text.replacen(old, &new_text, 1);
        }
        _ => panic!("one `-` at a time"),
    }
}

/// `line:col: message`, the stretch that is meant, and the hint.
fn show(problem: &Problem) -> String {
    let mut shown = String::from("> ");
    if let Some(place) = &problem.place {
        if place.file != "s.toml" {
            write!(shown, "{}:", place.file).expect("a string takes all");
        }
        let (column, width) = (place.column as usize, place.width as usize);
        let meant: String = place.text.chars().skip(column - 1).take(width).collect();
        write!(shown, "{}:{}: [{meant}] ", place.line, place.column).expect("a string takes all");
    }
    writeln!(shown, "{}", problem.what).expect("a string takes all");
    if let Some(hint) = &problem.hint {
        writeln!(shown, ">   hint: {hint}").expect("a string takes all");
    }
    shown
}

/// Every case of a file says what stands there.
pub(super) fn check(name: &str, cases: &str, least: usize, tell: Tell) {
    let mut now = String::new();
    let mut count = 0;
    for case in cases.split("=== ").filter(|case| !case.trim().is_empty()) {
        let (kept, said) = run(case, tell);
        write!(now, "=== {}\n{said}\n", kept.trim_end()).expect("a string takes all");
        count += 1;
    }
    assert!(least <= count, "{count} cases");
    if std::env::var_os("UPDATE").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/scenario/tests/");
        std::fs::write(format!("{folder}{name}"), &now).expect("the cases are written");
    } else {
        for (now, then) in now.lines().zip(cases.lines()) {
            assert_eq!(now, then);
        }
        assert_eq!(now.trim_end(), cases.trim_end());
    }
}

#[test]
fn each_mistake_is_said_where_it_is() {
    check("broken.txt", CASES, 40, |loaded| loaded.err().unwrap_or_default());
}
