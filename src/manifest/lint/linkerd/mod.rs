//! Linkerd and SMI: rules that never apply, shares that fail, doors that stay shut or open.
//!
//! [`routing`] (routes, profiles, splits), [`policy`] (Servers and authorizations), [`cluster`] (ports,
//! the control plane).
//! Source: [`crate::manifest::linkerd`], whose modules name the files of linkerd2 and linkerd2-proxy.
//! Left out: what needs call graphs ([`crate::manifest::lint::calls`]) and what needs a running cluster
//! (`linkerd check`).

use crate::manifest::kubernetes::Cluster;
use crate::manifest::linkerd::Linkerd;
use crate::manifest::lint::Finding;
use crate::manifest::source::{At, Sources};

pub mod cluster;
pub mod codes;
pub mod policy;
pub mod routing;

/// All that the rules look at, and what they found.
#[derive(Debug)]
pub struct Lint<'a> {
    /// The cluster's own objects.
    pub cluster: &'a Cluster,
    /// Linkerd's and SMI's objects.
    pub linkerd: &'a Linkerd,
    sources: &'a Sources,
    findings: Vec<Finding>,
}

/// Everything that is wrong or risky for Linkerd, by place. Nothing if Linkerd is not in use.
pub fn linkerd(cluster: &Cluster, linkerd: &Linkerd, sources: &Sources) -> Vec<Finding> {
    if !linkerd.is_used() {
        return Vec::new();
    }
    let mut lint = Lint { cluster, linkerd, sources, findings: Vec::new() };
    routing::check(&mut lint);
    policy::check(&mut lint);
    cluster::check(&mut lint);
    let mut findings = lint.findings;
    findings.sort_by(|a, b| (&a.place, a.code, &a.what).cmp(&(&b.place, b.code, &b.what)));
    findings.dedup();
    findings
}

impl Lint<'_> {
    /// Notes a finding.
    pub fn report(&mut self, code: &'static str, object: String, at: At, what: impl Into<String>) {
        let (name, severity, why, fix) = codes::of(code);
        let place = self.sources.place(at);
        let what = what.into();
        let rule = "linkerd";
        self.findings.push(Finding { code, name, rule, severity, object, place, what, why, fix });
    }
}

#[cfg(test)]
mod tests;
