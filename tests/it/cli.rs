//! Runs every `cli/*.trycmd`: commands with their exit status and what they print.
//!
//! A case `x.trycmd` runs in the folder `x.in`; in a copy of it if there is an `x.out`.

use std::process::{Command, Stdio};

#[test]
fn commands_print_and_end_as_written() {
    trycmd::TestCases::new().case("tests/it/cli/*.trycmd");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    for words in [&["schema"][..], &["man"], &["completions", "bash"], &["--help"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_meshsim"))
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("meshsim starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("meshsim ends");
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_the_environment() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let output = Command::new(env!("CARGO_BIN_EXE_meshsim"))
        .arg("schema")
        .stdout(full)
        .output()
        .expect("meshsim ends");
    assert_eq!(output.status.code(), Some(3));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "error: cannot print: the disk is full\n");
}

/// What `meshsim new` writes holds its own assertions.
#[test]
fn every_template_runs_and_holds() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut words: Vec<Vec<&str>> =
        meshsim::scenario::TEMPLATES.iter().map(|(name, _)| vec![*name]).collect();
    words.push("large --services 12 --pods 60 --depth 4 --rps 20".split(' ').collect());
    for words in words {
        let file = folder.path().join(format!("{}.toml", words[0]));
        let meshsim = || Command::new(env!("CARGO_BIN_EXE_meshsim"));
        let written = meshsim().args(["new", "--quiet"]).args(&words).arg("-o").arg(&file).status();
        assert!(written.expect("the command runs").success(), "{words:?}");
        let status = meshsim()
            .args(["run", "--quiet", "--format", "json", "--out"])
            .arg(folder.path())
            .arg(&file)
            .stdout(Stdio::null())
            .status()
            .expect("the command runs");
        assert!(status.success(), "{words:?}: {status}");
    }
}
