//! House rules as tests: floors, sizes, heads, words, scenarios and what belongs to them.
//!
//! Each finding says where it is and what to do instead. Source: TigerBeetle's `tidy.zig`.

use crate::tree::{files, files_of, none, read};
use std::collections::BTreeSet;

/// Modules and their floors, from the bottom.
const FLOORS: [(&str, u32); 13] = [
    ("kernel", 0),
    ("vocabulary", 1),
    ("plan", 1),
    ("scenario", 1),
    ("manifest", 1),
    ("model", 2),
    ("observe", 2),
    ("world", 3),
    ("report", 4),
    ("check", 4),
    ("sweep", 4),
    ("learn", 5),
    ("cli", 5),
];
/// Who may use whom on one floor. `vocabulary` is for all of floor 1.
const NEIGHBOURS: [(&str, &str); 7] = [
    ("plan", "vocabulary"),
    ("scenario", "vocabulary"),
    ("scenario", "plan"),
    ("scenario", "manifest"),
    ("manifest", "vocabulary"),
    ("manifest", "plan"),
    ("report", "check"),
];

/// Lines of a file without its tests.
const LINES_MAX: usize = 400;
/// Files that are longer, with the lines that they may have. A number may only go down.
const LONGER: [(&str, usize); 3] = [
    ("src/check/oracle/cases.rs", 423),
    ("src/plan/parameter.rs", 484),
    ("src/report/summary.rs", 410),
];
/// A number in `LONGER` is lowered when the file is so much shorter.
const SLACK: usize = 60;

/// Words that have no place in code, what to use instead, and where they may stand all the same.
const WORDS: [(&str, &str, &[&str]); 28] = [
    ("HashMap", "BTreeMap, or a dense Vec: its order is random", &[]),
    ("HashSet", "BTreeSet, or a dense Vec: its order is random", &[]),
    ("DefaultHasher", "kernel::stream::name_hash: std promises no algorithm", &[]),
    ("RandomState", "kernel::stream::name_hash", &[]),
    (
        "Instant",
        "kernel::time::Time: the engine reads no clock",
        &["src/cli/progress.rs", "benches/", "examples/"],
    ),
    ("SystemTime", "kernel::time::Time: the engine reads no clock", &[]),
    (
        "std::time::Duration",
        "kernel::time::Duration: integer nanoseconds",
        &["src/cli/", "src/report/hlog.rs", "benches/", "examples/", "tests/"],
    ),
    ("Rc", "an id into an arena: nothing is shared", &[]),
    ("RefCell", "an id into an arena: nothing is shared", &[]),
    ("thread_local", "a field of the World: there is no state outside of it", &[]),
    ("static mut", "a field of the World: there is no state outside of it", &[]),
    ("unsafe", "safe code", &["tests/alloc.rs"]),
    ("thread_rng", "kernel::stream: every draw has a name", &[]),
    ("getrandom", "kernel::stream: every draw has a name", &[]),
    (".ln(", "libm::log: the platform's differs by an ulp", &[]),
    (".log2(", "libm::log2: the platform's differs by an ulp", &[]),
    (".log10(", "libm::log10: the platform's differs by an ulp", &[]),
    (".exp(", "libm::exp: the platform's differs by an ulp", &[]),
    (".powf(", "libm::pow: the platform's differs by an ulp", &[]),
    (".powi(", "libm::pow, or a product", &[]),
    (".sin(", "libm::sin: the platform's differs by an ulp", &[]),
    (".cos(", "libm::cos: the platform's differs by an ulp", &[]),
    (".tan(", "libm::tan: the platform's differs by an ulp", &[]),
    (".mul_add(", "a * b + c: it is fused on some machines only", &[]),
    ("todo!", "the code, or a line under `Left out:`", &[]),
    ("unimplemented!", "the code, or a line under `Left out:`", &[]),
    ("dbg!", "nothing", &[]),
    (".partial_cmp(", "f64::total_cmp", &[]),
];

/// Paths and hosts of single machines.
const MACHINES: [&str; 8] =
    ["/work/", "/root/", "/home/", "/tmp/", "/Users/", "C:\\", "127.0.0.1", "artifactory"];

/// This file names what it bans.
const SELF: &str = "tests/it/tidy.rs";

/// Lines of a scenario.
const SCENARIO_LINES_MAX: usize = 130;

#[test]
fn a_module_uses_only_floors_below_its_own() {
    let mut findings = Vec::new();
    for path in files_of("src", ".rs") {
        let Some(module) = module_of(&path) else { continue };
        let Some(floor) = floor_of(module) else {
            findings.push(format!("{path}: `{module}` has no floor: add it to FLOORS"));
            continue;
        };
        for (number, line) in code(&read(&path)) {
            for used in used_modules(&line) {
                let below = floor_of(&used).is_some_and(|other| other < floor);
                if !below && used != module && !NEIGHBOURS.contains(&(module, used.as_str())) {
                    findings.push(format!(
                        "{path}:{number}: `{module}` (floor {floor}) uses `crate::{used}`: move \
                         what both need to a floor below"
                    ));
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn files_are_short() {
    let mut findings = Vec::new();
    for path in files_of("src", ".rs") {
        let text = read(&path);
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        let longer = LONGER.iter().find(|(file, _)| *file == path);
        let max = longer.map_or(LINES_MAX, |(_, lines)| *lines);
        if max < lines && !is_test(&path) {
            findings.push(format!("{path}: {lines} lines, {max} allowed: split it by its ideas"));
        }
        if longer.is_some() && lines + SLACK < max {
            findings.push(format!("{path}: {lines} lines: lower its number in LONGER"));
        }
    }
    none(&findings);
}

#[test]
fn every_file_says_what_it_is_where_it_is_from_and_what_it_leaves_out() {
    let mut findings = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        for path in files_of(folder, ".rs") {
            let text = read(&path);
            let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
            if !head.first().is_some_and(|line| line.starts_with("//! ")) {
                findings.push(format!("{path}: begin with `//! ` and one sentence on what it is"));
            }
            let is_map = ["mod.rs", "lib.rs", "main.rs"].iter().any(|end| path.ends_with(end));
            if is_map || is_test(&path) || folder != "src" {
                continue;
            }
            for part in ["Source:", "Left out:"] {
                if !head.iter().any(|line| line.starts_with(&format!("//! {part}"))) {
                    findings.push(format!("{path}: the head has no line `//! {part} …`"));
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn banned_words_are_absent() {
    let mut findings = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        for path in files_of(folder, ".rs") {
            if path == SELF {
                continue;
            }
            for (number, line) in code(&read(&path)) {
                for (word, instead, places) in WORDS {
                    let may = places.iter().any(|place| path.starts_with(place));
                    if !may && has_word(&line, word) {
                        findings.push(format!("{path}:{number}: no `{word}`: use {instead}"));
                    }
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn no_file_knows_a_machine() {
    const TEXTS: [&str; 12] =
        ["rs", "md", "toml", "txt", "json", "svg", "csv", "jsonl", "trycmd", "yaml", "yml", "lock"];
    let mut findings = Vec::new();
    for path in files("") {
        let (name, end) = path.rsplit_once('.').unwrap_or((&path, ""));
        let is_script = path.starts_with("scripts/") || path.starts_with(".ci/");
        if path == SELF || !(is_script || name.is_empty() || TEXTS.contains(&end)) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(crate::tree::root().join(&path)) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            for machine in MACHINES.iter().filter(|machine| line.contains(**machine)) {
                findings.push(format!("{path}:{number}: `{machine}` is one machine's: write a path from the root, or make a temporary folder"));
            }
            if line.starts_with("source = ")
                && !line.contains("github.com/rust-lang/crates.io-index")
            {
                findings.push(format!("{path}:{number}: crates come from crates.io"));
            }
        }
    }
    none(&findings);
}

#[test]
fn scenarios_claim_expect_and_are_short() {
    let mut findings = Vec::new();
    for path in files_of("scenarios", ".toml") {
        let text = read(&path);
        let first = text.lines().next().unwrap_or("");
        if first.starts_with("# base:") {
            continue;
        }
        let is_claim = first.starts_with("# ") && first.ends_with('.') && 20 < first.len();
        if !is_claim {
            findings.push(format!("{path}:1: begin with the claim that it shows: `# … .`"));
        }
        if !text.lines().any(|line| line.trim() == "[[assert]]") {
            findings.push(format!("{path}: expects nothing: add an [[assert]]"));
        }
        let lines = text.lines().count();
        if SCENARIO_LINES_MAX < lines {
            findings.push(format!("{path}: {lines} lines: move what others share to a base file"));
        }
    }
    none(&findings);
}

#[test]
fn scenarios_and_baselines_are_pairs() {
    let wanted: BTreeSet<String> = scenarios().iter().flat_map(|name| baselines(name)).collect();
    let found: BTreeSet<String> = files_of("results/baseline", ".json").into_iter().collect();
    let missing = wanted.difference(&found).map(|path| format!("{path} is missing: meshsim bless"));
    let left = found.difference(&wanted).map(|path| format!("{path} has no scenario: remove it"));
    none(&missing.chain(left).collect::<Vec<_>>());
}

#[test]
fn every_scenario_has_a_section_in_the_docs() {
    // A family of its own has a page of its own.
    let pages: Vec<String> = files_of("docs", ".md").iter().map(|page| read(page)).collect();
    let heading = |name: &str| {
        pages.iter().flat_map(|page| page.lines()).any(|line| line == format!("### {name}"))
    };
    let missing = scenarios().into_iter().filter(|name| !heading(name));
    none(&missing.map(|name| format!("docs: no `### {name}`")).collect::<Vec<_>>());
}

/// The names of all scenarios: their paths below `scenarios`, without `.toml`.
fn scenarios() -> Vec<String> {
    let paths = files_of("scenarios", ".toml");
    let own = paths.iter().filter(|path| !read(path).starts_with("# base:"));
    let name = |path: &String| path["scenarios/".len()..path.len() - ".toml".len()].to_owned();
    own.map(name).collect()
}

/// The baselines of a scenario: its own and one a variant.
fn baselines(name: &str) -> Vec<String> {
    let text = read(&format!("scenarios/{name}.toml"));
    let document: toml::Table = toml::from_str(&text).expect("a scenario is TOML");
    let variants = document.get("variant").and_then(toml::Value::as_array);
    let variants = variants.into_iter().flatten().filter_map(|one| one.get("name")?.as_str());
    let own = format!("results/baseline/{name}.json");
    variants.map(|variant| format!("results/baseline/{name}/{variant}.json")).chain([own]).collect()
}

/// `world` for `src/world/journey.rs`; none for the files at the top.
fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    match inside.split_once('/') {
        Some((module, _)) => Some(module),
        None => inside.strip_suffix(".rs").filter(|name| !matches!(*name, "lib" | "main")),
    }
}

fn floor_of(module: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// The modules that a line names after `crate::`.
fn used_modules(line: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    };
    let mut used = Vec::new();
    for part in line.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            None => used.push(word(part)),
            // The names of `use crate::{a, b::c}`, on one line.
            Some(list) => used.extend(list.split(',').map(|one| word(one.trim()))),
        }
    }
    used
}

/// The lines of a file that are no comments, with their numbers from 1.
fn code(text: &str) -> Vec<(usize, String)> {
    let lines = (1..).zip(text.lines());
    let lines = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.map(|(number, line)| (number, without_comment(line).to_owned())).collect()
}

fn without_comment(line: &str) -> &str {
    line.split_once(" // ").map_or(line, |(code, _)| code)
}

/// Whether a word stands in a line by itself, not as a part of another.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |letter: Option<char>| letter.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let edge = |text: &str, first: bool| {
        if first { text.chars().next() } else { text.chars().next_back() }
    };
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let left = is_part(edge(word, true)) && is_part(edge(before, false));
        let right = is_part(edge(word, false)) && is_part(edge(after, true));
        !left && !right
    })
}

/// Tests inside `src`.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/testing.rs")
}

#[test]
fn the_rules_themselves_find_what_they_look_for() {
    assert_eq!(used_modules("use crate::{plan::Plan, world};"), ["plan", "world"]);
    assert_eq!(used_modules("    crate::cli::main()"), ["cli"]);
    assert!(has_word("let x: Rc<u8> = Rc::new(1);", "Rc"));
    assert!(!has_word("let x: Arc<u8>;", "Rc"));
    assert!(!has_word("Instantaneous", "Instant"));
    assert!(has_word("x.exp(1)", ".exp("));
    assert!(!has_word("x.expect(1)", ".exp("));
    assert_eq!(code("//! a\nlet a = 1; // b\n"), [(2, "let a = 1;".to_owned())]);
}
