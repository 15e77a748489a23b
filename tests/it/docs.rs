//! Pages that are made: outputs of commands in the README and the docs, the page of parameters.
//!
//! A block between `<!-- output: meshsim … -->` and `<!-- end -->` holds what that command prints.
//! `MESHSIM_BLESS=1 cargo test --release --test it docs` writes blocks and pages anew.

use crate::tree::{files_of, is_made, none, read, root};
use meshsim::plan::linkerd;
use meshsim::plan::parameter::{Parameter, TABLE};
use meshsim::plan::profile::PROFILES;
use meshsim::vocabulary::metric::Gauge;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

const BEGIN: &str = "<!-- output: ";
const BEGIN_END: &str = " -->";
const END: &str = "<!-- end -->";

#[test]
#[cfg_attr(debug_assertions, ignore = "the commands take minutes without optimisation")]
fn outputs_in_the_docs_are_what_the_commands_print() {
    let mut pages = files_of("docs", ".md");
    pages.push("README.md".to_owned());
    for page in pages {
        is_made(&page, &with_outputs(&page, &read(&page)));
    }
}

/// The page with each block as its command prints it now.
fn with_outputs(path: &str, page: &str) -> String {
    let mut made = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        made += line;
        made.push('\n');
        let command = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(BEGIN_END));
        if let Some(command) = command {
            let _ = write!(made, "```console\n$ {command}\n{}```\n{END}\n", output(command));
            let end = lines.by_ref().find(|line| *line == END);
            assert!(end.is_some(), "{path}: no `{END}` after `{line}`");
        }
    }
    made
}

/// What `meshsim …` prints to stdout, at the root; `| head -n N` is understood.
fn output(command: &str) -> String {
    let (words, lines) = match command.split_once(" | head -n ") {
        Some((words, count)) => (words, count.parse().expect("a number of lines")),
        None => (command, usize::MAX),
    };
    let words = words.strip_prefix("meshsim ").expect("a command of ours");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut process = Command::new(env!("CARGO_BIN_EXE_meshsim"));
    process.args(words.split_whitespace()).current_dir(root());
    if words.starts_with("run ") {
        process.arg("--out").arg(folder.path());
    }
    let done = process.output().expect("meshsim starts");
    let talk = String::from_utf8_lossy(&done.stderr);
    assert!(matches!(done.status.code(), Some(0 | 1)), "{command}: {talk}");
    let text = String::from_utf8(done.stdout).expect("UTF-8");
    text.lines().take(lines).fold(String::new(), |all, line| all + line.trim_end() + "\n")
}

#[test]
fn the_page_of_parameters_is_what_the_table_says() {
    is_made("docs/parameters.md", &parameters());
}

fn parameters() -> String {
    let mut page = "# Parameters\n\n\
        Made from the table in `src/plan/parameter.rs` and the profiles in `src/plan/profile.rs`; a \
        test keeps it so. Each is a key of `[mesh]`, as in `cert.ttl = \"24h\"`, or of `--set`, as \
        in `--set mesh.cert.ttl=24h`. Defaults are those of `istio-sidecar@1.30`.\n\n\
        A source that begins with **UNCONFIRMED** means that no published value backs the default: \
        it is a setting of ours. Change it if your mesh differs.\n"
        .to_owned();
    rows(&mut page, TABLE);
    page += "\n## Profiles\n\nWhat each profile changes.\n";
    for profile in PROFILES {
        let releases: Vec<_> =
            profile.releases.iter().filter(|release| !release.is_empty()).collect();
        let _ = write!(page, "\n### `{}`\n\n", profile.mesh);
        if !releases.is_empty() {
            let names: Vec<_> =
                releases.iter().map(|release| format!("`{}@{release}`", profile.mesh)).collect();
            let _ = write!(page, "Releases: {}.\n\n", names.join(", "));
        }
        page += "| releases | parameter | value | source |\n|---|---|---|---|\n";
        changes(&mut page, profile.changes);
    }
    page
}

#[test]
fn the_page_of_linkerds_parameters_is_what_its_table_says() {
    is_made("docs/linkerd-parameters.md", &linkerd_parameters());
}

fn linkerd_parameters() -> String {
    let mut page = "# Parameters of Linkerd\n\n\
        Made from the table in `src/plan/linkerd/mod.rs`; a test keeps it so. The parts in `model/linkerd` go by \
        them. Each is a key of `[mesh]` where the profile is `linkerd`. Defaults are those of `edge-26.8`, as read in \
        August 2026.\n"
        .to_owned();
    page += "\nNo part of a run goes by these yet, and to set one is a warning:\n\n";
    for name in linkerd::shared::UNPLAYED {
        assert!(linkerd::TABLE.iter().any(|row| row.name == *name), "{name} is no parameter");
        let _ = writeln!(page, "- `{name}`");
    }
    rows(&mut page, linkerd::TABLE);
    let names: Vec<_> = linkerd::RELEASES.iter().map(|one| format!("`linkerd@{one}`")).collect();
    let _ =
        write!(page, "\n## Releases\n\n{}. What older ones have otherwise:\n\n", names.join(", "));
    page += "| releases | parameter | value | source |\n|---|---|---|---|\n";
    changes(&mut page, linkerd::CHANGES);
    page += "\n## Parameters that all meshes have\n\nWhat Linkerd has otherwise than Istio.\n\n\
        | parameter | value | source |\n|---|---|---|\n";
    for (parameter, text, from) in linkerd::SHARED {
        let _ = writeln!(page, "| `{parameter}` | {} | {} |", value(text), source(from));
    }
    page
}

/// A table for each group.
fn rows(page: &mut String, table: &[Parameter]) {
    let mut group = "";
    for row in table {
        let own = row.name.split('.').next().unwrap_or("");
        if own != group {
            group = own;
            let _ = write!(
                page,
                "\n## `{group}`\n\n| parameter | default | meaning | source |\n|---|---|---|---|\n"
            );
        }
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            row.name,
            value(row.default),
            cell(row.meaning),
            source(row.source)
        );
    }
}

/// What some releases change.
fn changes(page: &mut String, changes: &[linkerd::Change]) {
    for (first, last, parameter, text, from) in changes {
        let span = match (*first, *last) {
            ("", _) => "all".to_owned(),
            (first, last) if first == last => first.to_owned(),
            (first, last) => format!("{first} to {last}"),
        };
        let _ = writeln!(page, "| {span} | `{parameter}` | {} | {} |", value(text), source(from));
    }
}

fn value(text: &str) -> String {
    match text {
        "" => "none".to_owned(),
        "4294967295" => "no limit".to_owned(),
        text => format!("`{text}`"),
    }
}

fn source(text: &str) -> String {
    cell(&text.replace("UNCONFIRMED", "**UNCONFIRMED**"))
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('*', "\\*").replace("\\*\\*", "**")
}

#[test]
fn every_key_action_and_gauge_of_a_scenario_is_documented() {
    let parameters = read("docs/parameters.md") + &read("docs/linkerd-parameters.md");
    let page = read("docs/scenarios.md") + &parameters;
    let mut words = BTreeSet::new();
    keys(&meshsim::scenario::schema(), &mut words);
    words.extend(Gauge::ALL.iter().map(|row| row.1.to_owned()));
    let is_there = |word: &str| {
        [format!("`{word}`"), format!(".{word}`"), format!("`{word} ="), format!("`{word}(")]
            .iter()
            .any(|form| page.contains(form.as_str()))
    };
    let missing = words.iter().filter(|word| !is_there(word));
    none(
        &missing
            .map(|word| format!("docs/scenarios.md does not explain `{word}`"))
            .collect::<Vec<_>>(),
    );
}

/// Every key of a schema, and the words that `do` takes.
fn keys(schema: &serde_json::Value, words: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::Object(properties)) = map.get("properties") {
                words.extend(properties.keys().cloned());
                let actions = properties.get("do").and_then(|does| does.get("enum")?.as_array());
                let actions = actions.into_iter().flatten();
                words.extend(actions.filter_map(|word| word.as_str().map(str::to_owned)));
            }
            map.values().for_each(|one| keys(one, words));
        }
        serde_json::Value::Array(list) => list.iter().for_each(|one| keys(one, words)),
        _ => {}
    }
}
