//! Service graphs of isotope, Istio's generator of topologies: services with scripts of sleeps and calls.
//!
//! A script runs for each request. Its first sleeps are the work, later ones come after a call; a list in it
//! is made at once. A service answers 500 with its error rate, or when a call fails. Sleeping takes no
//! worker of it, so that it has as many as it likes.
//! Source: istio/tools `isotope/README.md`, `isotope/convert/pkg/graph` (Service, Script, Defaults),
//! `isotope/service/pkg/srv` (how it runs); solo-io/isotope (`probability` in percent, `call-override`).
//! Left out: sizes, gRPC as the type (requests are HTTP's), policies, clusters; a sleep beside calls made
//! at once only counts if there is no call beside it.

use super::hints::{documents, fields_of, wrap};
use super::{Call, Entry, Errors, Graph, Mode, Said, Work};
use crate::manifest::draft::value::Origin;
use crate::manifest::findings::Findings;
use crate::manifest::node::{Node as Tree, Value};
use crate::manifest::reader::Reader;
use crate::manifest::source::{At, Sources};
use crate::manifest::units::DurationForm;

/// Workers of a service: its requests sleep beside each other.
const WORKERS: u32 = 1000;

/// What holds where a service says nothing.
#[derive(Clone, Default)]
struct Defaults {
    replicas: Option<Said<u32>>,
    errors: Option<Said<Errors>>,
    script: Option<Vec<Step>>,
}

/// A step of a script.
#[derive(Clone)]
enum Step {
    Sleep(u64, At),
    Calls(Vec<Asked>),
    Both(Vec<Step>),
}

#[derive(Clone)]
struct Asked {
    to: String,
    at: At,
    probability: f64,
}

/// Reads a service graph. Its text is added to the sources, so that places in it can be told.
pub fn read(name: &str, bytes: &[u8], sources: &mut Sources, findings: &mut Findings) -> Graph {
    let mut graph = Graph { name: name.to_owned(), is_by_hand: true, ..Graph::default() };
    let mut is_there = false;
    for mut node in documents(name, bytes, sources, findings) {
        is_there |= node.get("services").is_some();
        for field in fields_of(&mut node) {
            match (field.key.as_str(), &mut field.value.value) {
                ("default" | "defaults", _) => normal(&mut field.value),
                ("services", Value::List(services)) => services.iter_mut().for_each(normal),
                _ => {}
            }
        }
        let mut reader = Reader::new(&node, "isotope".to_owned(), sources, findings);
        reader.pass(&["apiVersion", "kind", "policies"]);
        let old = reader.map("default", defaults);
        let defaults = reader.map("defaults", defaults).or(old).unwrap_or_default();
        reader.list("services", |reader| service(reader, &defaults, &mut graph));
        reader.finish();
    }
    if !is_there && findings.problems.is_empty() {
        let what = format!("{name} is no service graph of isotope: it has no `services`");
        findings
            .problems
            .push(super::problem(what, "such as services: [{name: a, script: [{call: b}]}]"));
    }
    graph
}

/// Steps as maps with one key, and calls as maps.
fn normal(service: &mut Tree) {
    let script = fields_of(service).iter_mut().find(|field| field.key == "script");
    let Some(Value::List(steps)) = script.map(|field| &mut field.value.value) else { return };
    for step in steps {
        if let Value::List(inner) = &mut step.value {
            inner.iter_mut().for_each(normal_step);
            wrap(step, "concurrent");
        }
        normal_step(step);
    }
}

fn normal_step(step: &mut Tree) {
    for field in fields_of(step) {
        if field.key == "call" {
            wrap(&mut field.value, "service");
        }
    }
}

fn defaults(reader: &mut Reader<'_, '_>) -> Defaults {
    reader.pass(&["type", "requestSize", "responseSize", "numRbacPolicies"]);
    common(reader)
}

fn common(reader: &mut Reader<'_, '_>) -> Defaults {
    let at = reader.at_field("numReplicas");
    let replicas = reader.count("numReplicas").map(|count| Said::at(count, at));
    let at = reader.at_field("errorRate");
    let errors = super::hints::share(reader, "errorRate").filter(|share| 0.0 < *share);
    let errors = errors.map(|share| Said::at(Errors { share, status: Some(500) }, at));
    let script = reader.list_if("script", step).map(|steps| steps.into_iter().flatten().collect());
    Defaults { replicas, errors, script }
}

fn step(reader: &mut Reader<'_, '_>) -> Option<Step> {
    let at = reader.at();
    if let Some(sleep) = reader.has("sleep").then(|| sleep(reader)) {
        return sleep.map(|ns| Step::Sleep(ns, at));
    }
    if reader.has("concurrent") {
        let inner = reader.list("concurrent", |reader| {
            if reader.has("sleep") {
                sleep(reader).map(|ns| Step::Sleep(ns, at))
            } else {
                asked(reader)
            }
        });
        return Some(Step::Both(inner.into_iter().flatten().collect()));
    }
    asked(reader)
}

fn sleep(reader: &mut Reader<'_, '_>) -> Option<u64> {
    reader.duration_ns("sleep", DurationForm::Go)
}

fn asked(reader: &mut Reader<'_, '_>) -> Option<Step> {
    let at = reader.at();
    let call = reader.map("call", |call| {
        call.pass(&["size", "payloadSize", "requestSize"]);
        let at = call.at_field("service");
        let host = call.text("call-override");
        let to = call.needed_text("service");
        let percent = call.float("probability", 0.0..=100.0).filter(|percent| 0.0 < *percent);
        let to = host.or(to)?;
        Some(Asked { to, at, probability: percent.unwrap_or(100.0) / 100.0 })
    });
    if let Some(call) = call {
        return call.map(|call| Step::Calls(vec![call]));
    }
    reader.problem(at, "a step is a `sleep`, a `call`, or a list of these", "such as call: b");
    None
}

fn service(reader: &mut Reader<'_, '_>, defaults: &Defaults, graph: &mut Graph) {
    reader.pass(&[
        "type",
        "requestSize",
        "responseSize",
        "numRbacPolicies",
        "cluster",
        "probability",
    ]);
    let at = reader.at();
    let name_at = reader.at_field("name");
    let own = common(reader);
    let is_entry = reader.bool("isEntrypoint").unwrap_or(false);
    let namespace = reader.text("namespace");
    let Some(name) = reader.needed_text("name") else { return };
    let name = namespace.map_or(name.clone(), |namespace| format!("{name}.{namespace}"));
    if graph.nodes.contains_key(&name) {
        reader.problem(name_at, format!("there are two services `{name}`"), "");
        return;
    }
    let script = own.script.or_else(|| defaults.script.clone()).unwrap_or_default();
    let work = lower(&name, &script, graph);
    let node = graph.node(&name);
    node.at = Some(at);
    node.says_calls = true;
    node.work = Some(match work {
        Some((ns, at)) => Said::at(Work::Constant(ns), at),
        None => Said::assumed(Work::Constant(100_000), "a service of isotope answers at once"),
    });
    let why = "requests of isotope sleep beside each other";
    node.workers = Some(Said::assumed(WORKERS, why));
    node.errors = own.errors.or_else(|| defaults.errors.clone());
    node.replicas = own.replicas.or_else(|| defaults.replicas.clone());
    if is_entry {
        let origin = Origin::Written(at);
        let entry =
            Entry { to: name, from: None, origin, rate_per_s: None, path: None, method: None };
        graph.entries.push(entry);
    }
}

/// The calls of a script; gives its first sleeps.
fn lower(name: &str, script: &[Step], graph: &mut Graph) -> Option<(u64, At)> {
    let first = graph.calls.len();
    let mut work: Option<(u64, At)> = None;
    let mut slept = |calls: &mut Vec<Call>, ns: u64, at: At| {
        if let Some(last) = calls[first..].last_mut() {
            last.after_ns = Some(last.after_ns.unwrap_or(0).saturating_add(ns));
        } else {
            let (before, at) = work.unwrap_or((0, at));
            work = Some((before.saturating_add(ns), at));
        }
    };
    for step in script {
        match step {
            Step::Sleep(ns, at) => slept(&mut graph.calls, *ns, *at),
            Step::Calls(calls) => add(name, calls, Mode::Sequential, &mut graph.calls),
            Step::Both(steps) => {
                let calls: Vec<Asked> = steps.iter().flat_map(calls_of).collect();
                let longest = steps.iter().filter_map(sleep_of).max();
                if calls.is_empty() {
                    if let Some((ns, at)) = longest {
                        slept(&mut graph.calls, ns, at);
                    }
                    continue;
                }
                // What ends a group keeps the next one from joining it.
                let last = graph.calls[first..].last_mut();
                if let Some(last) = last.filter(|last| last.mode == Mode::Parallel) {
                    last.after_ns.get_or_insert(0);
                }
                add(name, &calls, Mode::Parallel, &mut graph.calls);
                if let Some((ns, _)) = longest {
                    let what = format!("`{name}` sleeps {} beside calls", units_text(ns));
                    graph.notes.push(super::problem(what, "this sleep is left out"));
                }
            }
        }
    }
    work
}

fn units_text(ns: u64) -> String {
    format!("{} ms", ns / 1_000_000)
}

fn calls_of(step: &Step) -> Vec<Asked> {
    match step {
        Step::Calls(calls) => calls.clone(),
        _ => Vec::new(),
    }
}

fn sleep_of(step: &Step) -> Option<(u64, At)> {
    match step {
        Step::Sleep(ns, at) => Some((*ns, *at)),
        _ => None,
    }
}

fn add(name: &str, asked: &[Asked], mode: Mode, calls: &mut Vec<Call>) {
    for one in asked {
        let mut call = Call::new(name, &one.to, Origin::Written(one.at));
        (call.probability, call.mode) = (one.probability, mode);
        calls.push(call);
    }
}
