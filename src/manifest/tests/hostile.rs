//! Hostile texts: each ends in a clear error, at once (the limits are what makes them quick).

use crate::manifest::object::Manifests;
use crate::manifest::source::{DOCUMENTS_MAX, FILE_BYTES_MAX, LINES_MAX};

fn first_problem(bytes: &[u8]) -> String {
    let manifests = Manifests::read([("h.yaml", bytes)]);
    manifests.findings.problems.first().map_or_else(String::new, ToString::to_string)
}

#[test]
fn limits_say_themselves() {
    let cases: [(Vec<u8>, &str); 7] = [
        (vec![b'a'; FILE_BYTES_MAX + 1], "the limit is 64 MiB"),
        (vec![b'\n'; LINES_MAX + 2], "more than 8000000 lines"),
        ("---\na\n".repeat(DOCUMENTS_MAX + 1).into_bytes(), "documents in one file"),
        ("[".repeat(1 << 20).into_bytes(), "nested deeper than 100 levels"),
        ("- ".repeat(1 << 16).into_bytes(), "nested deeper than 100 levels"),
        ("{\"a\":".repeat(1 << 16).into_bytes(), "nested deeper than 100 levels"),
        (b"\x1F\x8B\x08\x00".to_vec(), "gzip"),
    ];
    for (bytes, expected) in cases {
        let manifests = Manifests::read([("h.yaml", bytes.as_slice())]);
        let all = manifests.findings.problems.iter().map(ToString::to_string);
        let told: Vec<String> = all.take(3).collect();
        assert!(told.iter().any(|line| line.contains(expected)), "{expected}: {told:?}");
    }
}

#[test]
fn a_quadratic_blow_up_by_aliases_is_refused() {
    let many = "x, ".repeat(5_000);
    let aliases = "*a, ".repeat(5_000);
    let text = format!("a: &a [{many}]\nb: [{aliases}]\n");
    assert!(first_problem(text.as_bytes()).contains("aliases expand"));
}

#[test]
fn a_file_of_equal_keys_is_told_only_so_often() {
    let text = "a: 1\n".repeat(50_000);
    let manifests = Manifests::read([("h.yaml", text.as_bytes())]);
    assert!(manifests.findings.problems.len() < 200);
}

#[test]
fn chains_of_aliases_get_no_deeper_than_the_limit() {
    let chain = |inner: &str| "[".repeat(60) + inner + &"]".repeat(60);
    let text = format!("a: &a {}\nb: &b {}\n", chain("x"), chain("*a"));
    assert!(first_problem(text.as_bytes()).contains("nested deeper"));
}

#[test]
fn anchors_in_anchors_are_not_copied_without_end() {
    let open: String = (0..60).map(|level| ["&a", &level.to_string(), " ["].concat()).collect();
    let text = format!("{open}{}{}", "x, ".repeat(30_000), "]".repeat(60));
    assert!(first_problem(text.as_bytes()).contains("anchors hold more than"));
}
