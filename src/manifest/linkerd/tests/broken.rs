//! Broken manifests, one mistake each, and exactly what is said about them (`broken.txt`).
//!
//! The golden file holds both: after `### name` the manifest, after `--` the diagnostics. `UPDATE=1`
//! writes the diagnostics anew.

use super::Mesh;
use std::fmt::Write as _;
use std::path::PathBuf;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/manifest/linkerd/tests/broken.txt")
}

#[test]
fn each_mistake_is_told_at_its_place() {
    let text = std::fs::read_to_string(golden()).unwrap();
    let mut written = String::new();
    let mut count = 0;
    for case in text.split("### ").skip(1) {
        let (name, rest) = case.split_once('\n').unwrap();
        let manifest = rest.split("\n--\n").next().unwrap().trim_end();
        let mesh = Mesh::of(&[("a.yaml", manifest)]);
        let mut told = mesh.told();
        told.extend(mesh.manifests.findings.ignored_lines());
        assert!(!told.is_empty(), "{name}: nothing is told");
        let _ = writeln!(written, "### {name}\n{manifest}\n--\n{}\n", told.join("\n"));
        count += 1;
    }
    assert!(count >= 40, "{count}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(golden(), &written).unwrap();
        return;
    }
    for (known, now) in text.split("### ").zip(written.split("### ")) {
        assert_eq!(known.trim_end(), now.trim_end(), "UPDATE=1 writes it anew");
    }
}
