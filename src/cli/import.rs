//! `meshsim import`: a scenario from real manifests, with every assumed number marked.
//!
//! Source: design/contract.md; docs/your-mesh.md.
//! Left out: deciding what becomes of an object (`manifest::draft`) and who calls whom (`manifest::graph`).

use super::graphs::Told;
use super::manifests;
use super::new;
use super::output::{Output, Trouble};
use super::route::Choice;
use super::{ExitStatus, Format};
use crate::manifest::draft::assumptions::Assumptions;
use crate::manifest::draft::objects::State;
use crate::manifest::draft::{self, Draft, toml};
use crate::manifest::findings::Findings;
use crate::manifest::graph::apply;
use crate::manifest::istio::security;
use crate::manifest::meshes::Mesh;
use crate::plan::problem::Problem;
use crate::plan::profile;
use crate::scenario::{self, Files};
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// So many objects are named where there are many.
const NAMES_TOLD: usize = 8;

/// What was typed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  kubectl get -A -o yaml ns,svc,deploy,vs,dr | meshsim import --manifests - -o mine.toml\n  \
                  meshsim import --manifests k8s/ --traces jaeger.json --hints hints.yaml -o mine.toml"
)]
pub(super) struct Typed {
    /// Files of manifests, folders of them (.yaml, .yml, .json), patterns, or - for stdin
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present = "isotope")]
    manifests: Vec<String>,
    #[command(flatten)]
    told: Told,
    /// By whose rules; without it, what the manifests hold decides
    #[arg(long, value_enum)]
    mesh: Option<Choice>,
    /// How long the scenario lasts
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    duration: String,
    /// Write it to this new file; without it, to stdout
    #[arg(short, long, value_name = "FILE.toml", required_if_eq("format", "json"))]
    output: Option<PathBuf>,
    /// Tell people, or print a line of JSON: what became of each object
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let mut loaded = manifests::load(&typed.manifests)?;
    let graphs = typed.told.graphs(&mut loaded)?;
    let mesh = typed.mesh.map_or_else(|| loaded.mesh_for_all(), Choice::mesh);
    let mut draft = draft::draft(&loaded, mesh, &Assumptions::default());
    let mut notes = apply::apply(&graphs, &mut draft);
    draft.without_gateway();
    notes.extend(assumed(&draft));
    let text = toml::text(&draft, &loaded.manifests.sources, &typed.head()) + TAIL;
    match &typed.output {
        None => output.data(text.as_bytes())?,
        Some(file) => new::write(file, &text)?,
    }
    let mut findings = loaded.manifests.findings.clone();
    findings.add(draft.findings.clone());
    findings.warnings.extend(notes);
    // What is wrong with the scenario is told with what was wrong before; it is written to be mended.
    let file = typed.output.as_ref().map_or("-".into(), |file| file.display().to_string());
    let is_empty = draft.traffic.is_empty();
    if is_empty {
        // Rules alone are no mistake, and no mesh either.
        findings.warnings.push(nothing_runs());
    } else {
        findings.problems.extend(mistakes(&file, &text));
    }
    let status = manifests::tell(&findings, false, output);
    match typed.format {
        Format::Human => output.talk(&closing(&draft)),
        Format::Json => output.json(&line(&draft, &findings))?,
    }
    if let Some(file) = &typed.output {
        let next = if is_empty { "" } else { &format!("; try: meshsim run {}", file.display()) };
        output.talk(&format!("wrote {}{next}\n", file.display()));
    }
    Ok(status)
}

impl Typed {
    /// How the file begins.
    fn head(&self) -> String {
        let from = self.manifests.iter().chain(&self.told.isotope).map(String::as_str);
        let from: Vec<&str> = from.map(|name| if name == "-" { "stdin" } else { name }).collect();
        format!(
            "# Nothing fails yet: a mesh as its manifests describe it, from {}.\n\
             # What is `# assumed` no manifest says: measure it, and write what is true.\n\
             \n[scenario]\nduration = {:?}\n",
            printable(&from.join(", ")),
            self.duration,
        )
    }
}

/// What may be asked of it next.
const TAIL: &str = r#"
# What breaks? Take the marks away, or write your own: docs/scenarios.md, Events.
#
# [[event]]
# id = "control-plane-down"
# at = "10m"
# for = "30m"
# do = "fail"
# target = "control_plane"
#
# [[assert]]
# name = "nobody notices"
# during = "control-plane-down"
# expect = "success_rate >= 99.9%"
"#;

/// A duration as scenarios have it.
fn duration(text: &str) -> Result<String, String> {
    profile::read_duration(text).map(|_| text.to_owned())
}

/// A text that cannot end its line.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// The one file that is there.
struct Text<'t>(&'t str);

impl Files for Text<'_> {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }
}

/// What is wrong with the scenario that was made: it is there to be mended, and the command says so.
fn mistakes(file: &str, text: &str) -> Vec<Problem> {
    scenario::load(&Text(text), file, &[], None).err().unwrap_or_default()
}

/// What is assumed of the mesh as a whole.
fn assumed(draft: &Draft<'_>) -> Option<Problem> {
    let cluster = &draft.loaded.cluster;
    if draft.is_meshless() {
        let what = "nothing of a mesh is in the manifests: the scenario has none";
        return Some(Problem::new(what).hint("with proxies: --mesh istio, or --mesh linkerd"));
    }
    let is_open = draft.mesh == Mesh::Istio
        && !cluster.workloads.is_empty()
        && !cluster.namespaces.values().any(|one| security::asks(&one.labels));
    is_open.then(|| {
        let what = "no namespace asks for proxies: all pods are taken to have one";
        Problem::new(what).hint("label those that have: istio-injection=enabled")
    })
}

/// Manifests without a workload that anybody calls.
fn nothing_runs() -> Problem {
    Problem::new("these manifests hold no service with a workload: nothing can run yet")
        .hint("name those of the Services and Deployments too: --manifests takes several")
}

/// What was made of the manifests, for programs.
fn line(draft: &Draft<'_>, findings: &Findings) -> Value {
    let sources = &draft.loaded.manifests.sources;
    let objects = draft.objects().into_iter().map(|(id, at, state)| {
        let place = sources.place(at);
        json!({
            "kind": id.kind, "namespace": id.namespace, "name": id.name,
            "file": place.file, "line": place.line, "state": state.word(), "why": state.why(&id.kind),
        })
    });
    let mut line = json!({ "mesh": draft.mesh.word(), "objects": objects.collect::<Vec<_>>() });
    if let Value::Object(line) = &mut line {
        line.extend(manifests::fields(findings).map(|(name, value)| (name.to_owned(), value)));
    }
    line
}

/// A few lines on all of it: what came out, and which objects left nothing.
fn closing(draft: &Draft<'_>) -> String {
    let workloads: usize = draft.services.iter().map(|service| service.workloads.len()).sum();
    let sources = draft.traffic.len();
    let counted = |count: usize, one: &str, many: &str| {
        format!("{count} {}", if count == 1 { one } else { many })
    };
    let objects = draft.objects();
    let of = |wanted| objects.iter().filter(move |(_, _, state)| *state == wanted);
    let mut text = format!(
        "{} of {}: {}, {}, {}\n",
        counted(of(State::Modelled).count(), "object", "objects"),
        objects.len(),
        counted(draft.services.len(), "service", "services"),
        counted(workloads, "workload", "workloads"),
        counted(sources, "source of traffic", "sources of traffic"),
    );
    for (state, word) in [(State::Partly, "in part"), (State::Unused, "without effect")] {
        let all: Vec<String> = of(state).map(|(id, ..)| id.to_string()).collect();
        if !all.is_empty() {
            let shown = all[..all.len().min(NAMES_TOLD)].join(", ");
            let rest = all.len().saturating_sub(NAMES_TOLD);
            let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
            let _ = writeln!(text, "{} {word}: {shown}{more}", all.len());
        }
    }
    text
}
