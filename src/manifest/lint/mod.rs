//! What is wrong or risky in manifests: findings with a place, why it matters, and what helps.
//!
//! One file a family; each rule has the name of the analyzer whose findings it gives, and its code.
//! Source: istio/istio `pkg/config/analysis/analyzers` and `msg/messages.yaml` (codes `IST….`); codes
//! `MSH….` are the project's own, for what only shows when something fails.
//! Left out: `IST0126` and `IST0170` (several clusters), `IST0136` (alpha annotations),
//! certificates' dates in `IST0161`, versions of CRDs (`IST0156`), what needs a running cluster.

pub mod annotation;
pub mod calls;
pub mod certificate;
pub mod codes;
pub mod control_plane;
pub mod destination;
pub mod envoy_filter;
pub mod gateway;
pub mod hop;
pub mod injection;
pub mod linkerd;
pub mod match_order;
pub mod outage;
pub mod rollout;
pub mod selector;
pub mod service;
pub mod virtual_service;

use crate::manifest::istio::Istio;
use crate::manifest::istio::meta::Head;
use crate::manifest::istio::registry::Registry;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::lint::calls::Calls;
use crate::manifest::loaded::Loaded;
use crate::manifest::object::Object;
use crate::manifest::source::{At, Sources};
use crate::plan::problem::Place;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Hardly meant.
    Warning,
    /// Does not work.
    Error,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The code, such as `IST0101`.
    pub code: &'static str,
    /// The code's name, such as `ReferencedResourceNotFound`.
    pub name: &'static str,
    /// The rule that found it, named as the analyzer.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Kind, namespace and name of the object.
    pub object: String,
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// Why it matters when something fails.
    pub why: &'static str,
    /// What helps.
    pub fix: &'static str,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Finding", 10)?;
        fields.serialize_field("code", self.code)?;
        fields.serialize_field("name", self.name)?;
        fields.serialize_field("severity", &self.severity)?;
        fields.serialize_field("object", &self.object)?;
        fields.serialize_field("file", &self.place.file)?;
        fields.serialize_field("line", &self.place.line)?;
        fields.serialize_field("column", &self.place.column)?;
        fields.serialize_field("what", &self.what)?;
        fields.serialize_field("why", self.why)?;
        fields.serialize_field("fix", self.fix)?;
        fields.end()
    }
}

/// All that rules look at, and what they found.
#[derive(Debug)]
pub struct Lint<'a> {
    /// The objects as they were read.
    pub objects: &'a [Object],
    /// The cluster's own objects.
    pub cluster: &'a Cluster,
    /// Istio's objects.
    pub istio: &'a Istio,
    /// The hosts.
    pub registry: Registry,
    sources: &'a Sources,
    findings: Vec<Finding>,
}

/// Everything that Istio's analyzers find, and what only shows in an outage, by place.
pub fn istio(
    objects: &[Object],
    cluster: &Cluster,
    istio: &Istio,
    sources: &Sources,
) -> Vec<Finding> {
    let registry = Registry::of(cluster, istio);
    let findings = Vec::new();
    let mut lint = Lint { objects, cluster, istio, registry, sources, findings };
    virtual_service::check(&mut lint);
    match_order::check(&mut lint);
    destination::check(&mut lint);
    gateway::check(&mut lint);
    selector::check(&mut lint);
    injection::check(&mut lint);
    service::check(&mut lint);
    envoy_filter::check(&mut lint);
    control_plane::check(&mut lint);
    annotation::check(&mut lint);
    outage::check(&mut lint);
    rollout::check(&mut lint);
    calls::gateways(&mut lint);
    let mut findings = lint.findings;
    findings.sort_by(|a, b| {
        (&a.place.file, a.place.line, a.code).cmp(&(&b.place.file, b.place.line, b.code))
    });
    findings
}

/// What needs to know more than the manifests say: who calls whom, and how long the control plane may be
/// away (in nanoseconds); in the order of finding.
pub fn asked(loaded: &Loaded, calls: &Calls, outage_ns: Option<u64>) -> Vec<Finding> {
    let Loaded { manifests, cluster, istio, .. } = loaded;
    let registry = Registry::of(cluster, istio);
    let (objects, sources) = (&manifests.objects, &manifests.sources);
    let mut lint = Lint { objects, cluster, istio, registry, sources, findings: Vec::new() };
    rollout::stops(&mut lint, &loaded.linkerd);
    rollout::linkerd_budgets(&mut lint, &loaded.linkerd);
    calls::check(&mut lint, loaded, calls);
    certificate::check(&mut lint, loaded, outage_ns);
    lint.findings
}

impl Lint<'_> {
    /// Notes a finding.
    pub fn report(
        &mut self,
        code: &'static str,
        rule: &'static str,
        object: String,
        at: At,
        what: String,
    ) {
        let codes::Code { name, severity, why, fix, .. } = codes::of(code);
        let place = self.sources.place(at);
        let finding = Finding { code, name, rule, severity, object, place, what, why, fix };
        self.findings.push(finding);
    }

    /// `file:line` of a place.
    pub fn place(&self, at: At) -> String {
        self.sources.short(at)
    }
}

/// `Kind namespace/name`.
pub fn named(kind: &str, head: &Head) -> String {
    format!("{kind} {}", head.full())
}

#[cfg(test)]
mod tests;
