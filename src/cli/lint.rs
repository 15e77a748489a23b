//! `meshsim lint`: what is wrong, risky or not simulated in real manifests.
//!
//! Source: design of `istioctl analyze` and `linkerd check`; docs/manifests.md.
//! Left out: finding anything; `manifest::lint` does.

use super::diagnostic;
use super::graphs::Told;
use super::manifests::{self, Paths};
use super::output::{Output, Trouble};
use super::{ExitStatus, sarif};
use crate::kernel::time::Duration;
use crate::manifest::draft;
use crate::manifest::findings::Findings;
use crate::manifest::graph::calls;
use crate::manifest::lint::calls::Calls;
use crate::manifest::lint::{Finding, Severity};
use crate::manifest::loaded::Loaded;
use crate::plan::profile;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

/// What was typed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  meshsim lint --manifests k8s/\n  kubectl get -A -o yaml deploy,svc,vs,dr | meshsim lint \
                  --manifests -\n  meshsim lint --manifests k8s/ --outage 12h --hints calls.yaml"
)]
pub(super) struct Typed {
    #[command(flatten)]
    paths: Paths,
    /// How long the control plane may be away: what runs out in that time?
    #[arg(long, value_name = "TIME", value_parser = nanoseconds)]
    outage: Option<u64>,
    #[command(flatten)]
    told: Told,
    /// Tell people, or print a line of JSON, or a log that code scanners read
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How findings are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Human,
    /// For programs
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let mut loaded = typed.paths.load()?;
    let calls = typed.calls(&mut loaded)?;
    let found = loaded.lint_with(&calls, typed.outage);
    let read = &loaded.manifests.findings;
    let status = manifests::tell(read, true, output);
    let objects = loaded.manifests.objects.len();
    match typed.format {
        Format::Human => {
            let text = diagnostic::findings(&found, output.has_color());
            output.data(text.as_bytes())?;
            output.print(&closing(&found, objects))?;
        }
        Format::Json => {
            let [error, warning, info] = counts(&found);
            let mut line = json!({
                "objects": objects, "found": { "error": error, "warning": warning, "info": info },
                "findings": found,
            });
            if let Value::Object(line) = &mut line {
                line.extend(manifests::fields(read).map(|(name, value)| (name.to_owned(), value)));
            }
            output.json(&line)?;
        }
        Format::Sarif => output.json(&sarif::log(&found, read))?,
    }
    let failed = found.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if status == ExitStatus::Success && failed { ExitStatus::Failed } else { status })
}

impl Typed {
    /// Who calls whom, if that is told; mistakes in it are told with those in the manifests.
    fn calls(&self, loaded: &mut Loaded) -> Result<Calls, Trouble> {
        let graphs = self.told.graphs(loaded)?;
        if graphs.is_empty() {
            return Ok(Calls::new());
        }
        let mut draft = draft::services(loaded, loaded.mesh_for_all());
        // What the draft itself finds is no finding of the manifests.
        draft.findings = Findings::default();
        let calls = calls::calls(&graphs, &mut draft);
        let findings = draft.findings;
        loaded.manifests.findings.add(findings);
        Ok(calls)
    }
}

/// A duration as scenarios have it, in nanoseconds.
fn nanoseconds(text: &str) -> Result<u64, String> {
    profile::read_duration(text).map(Duration::ns)
}

fn counts(found: &[Finding]) -> [usize; 3] {
    [Severity::Error, Severity::Warning, Severity::Info]
        .map(|severity| found.iter().filter(|one| one.severity == severity).count())
}

/// One line on all of it.
fn closing(found: &[Finding], objects: usize) -> String {
    let counts = counts(found);
    let mut words = Vec::new();
    for (count, word) in counts.into_iter().zip(["error", "warning", "note"]) {
        if 0 < count {
            words.push(format!("{count} {word}{}", if count == 1 { "" } else { "s" }));
        }
    }
    let told = if words.is_empty() { "nothing found".to_owned() } else { words.join(", ") };
    format!("{told} in {objects} object{}\n", if objects == 1 { "" } else { "s" })
}
