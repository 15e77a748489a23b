//! Broken manifests: one mistake each, with all that is said about it.
//!
//! `broken.txt` holds the cases: `=== what`, then `- old` and `+ new` text of the normative manifests
//! (`+` alone adds to their end, `- everything` replaces all), then `> ` what is said: `line:col: [the
//! stretch that is meant]`, the message, the hint; `~` marks warnings and what is ignored.
//! `UPDATE=1` writes what is said now.

use crate::manifest::gateway_api::GatewayApi;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::object::Manifests;
use crate::plan::problem::Problem;

const CASES: &str = include_str!("broken.txt");
const NORMATIVE: &str = include_str!("normative.yaml");

/// What is said of a text: problems, then warnings, then what is ignored.
fn tell(text: &str) -> String {
    let mut manifests = Manifests::read([("m.yaml", text.as_bytes())]);
    Cluster::of(&mut manifests);
    GatewayApi::of(&mut manifests);
    let findings = manifests.findings;
    let mut said: String = findings.problems.iter().map(|problem| show("> ", problem)).collect();
    said.extend(findings.warnings.iter().map(|problem| show("> ~ ", problem)));
    for line in findings.ignored_lines() {
        said.extend(["> ~ ", line.trim_start_matches("m.yaml:"), "\n"]);
    }
    if said.is_empty() { "> nothing\n".to_owned() } else { said }
}

fn show(mark: &str, problem: &Problem) -> String {
    let mut shown = mark.to_owned();
    if let Some(place) = &problem.place {
        let (column, width) = (place.column as usize, place.width as usize);
        let meant: String = place.text.chars().skip(column - 1).take(width).collect();
        shown += &[&place.line.to_string(), ":", &place.column.to_string(), ": [", &meant, "] "]
            .concat();
    }
    shown.extend([&problem.what, "\n"]);
    if let Some(hint) = &problem.hint {
        shown.extend([">   hint: ", hint, "\n"]);
    }
    shown
}

/// One case: its lines but what is said, and what is said.
fn run(case: &str) -> (String, String) {
    let mut text = NORMATIVE.to_owned();
    let (mut old, mut new): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut kept = String::new();
    for line in case.lines().filter(|line| !line.starts_with("> ")) {
        kept.extend([line, "\n"]);
        let (mark, rest) = line.split_at(line.len().min(2));
        match mark {
            "- " => {
                replace(&mut text, &mut old, &mut new);
                old.push(rest);
            }
            "+ " | "+" => new.push(rest),
            _ => {}
        }
    }
    replace(&mut text, &mut old, &mut new);
    (kept, tell(&text))
}

fn replace<'c>(text: &mut String, old: &mut Vec<&'c str>, new: &mut Vec<&'c str>) {
    let new_text = std::mem::take(new).join("\n").replace("\\t", "\t");
    match std::mem::take(old)[..] {
        [] if new_text.is_empty() => {}
        [] => *text = format!("{text}{new_text}\n"),
        ["everything"] => *text = new_text + "\n",
        [old] => {
            assert!(text.contains(old), "the manifests hold no `{old}`");
            *text = text.replacen(old, &new_text, 1);
        }
        _ => panic!("one `-` at a time"),
    }
}

#[test]
fn each_mistake_is_told_where_it_is() {
    let mut now = String::new();
    let mut count = 0;
    for case in CASES.split("=== ").filter(|case| !case.trim().is_empty()) {
        let (kept, said) = run(case);
        now.extend(["=== ", kept.trim_end(), "\n", &said, "\n"]);
        count += 1;
    }
    assert!(count >= 60, "{count} cases");
    if std::env::var_os("UPDATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manifest/tests/broken.txt");
        std::fs::write(file, &now).unwrap();
    } else {
        for (now, then) in now.lines().zip(CASES.lines()) {
            assert_eq!(now, then);
        }
        assert_eq!(now.trim_end(), CASES.trim_end());
    }
}
