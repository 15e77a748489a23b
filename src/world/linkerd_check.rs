//! Somebody runs `linkerd check` all the time: what it would say of anchors, issuer and clocks.
//!
//! It looks at the bundle and at the secret as they are written, by a clock that is right; again whenever one of them is
//! changed, and when a certificate gets too old.
//!
//! Source: `model::linkerd::check`; linkerd2 pkg/issuercerts/issuercerts.go (it reads the secret), pkg/healthcheck/healthcheck.go
//! (categories `linkerd-identity` and `pre-kubernetes-setup`, whose clock skew is a warning).
//! Left out: certificates of webhooks, which are not simulated; `--proxy`, which compares the anchors of each pod.

use super::World;
use super::control::{CA, INJECTOR, POLICY};
use super::event::Event;
use crate::kernel::time::{Duration, Time};
use crate::model::identity::chain::{Validity, Wall};
use crate::model::linkerd::check::{Finding, certificate, clock_passes};
use crate::observe::series::Readings;
use crate::plan::universe::NodeId;
use crate::vocabulary::fact::FactKind;
use crate::vocabulary::metric::Gauge;
use std::collections::BTreeSet;

/// What it has said already.
#[derive(Default)]
pub(crate) struct Told {
    /// Of certificates.
    said: BTreeSet<(u32, Finding)>,
    /// Nodes whose clocks are off.
    clocks: BTreeSet<NodeId>,
    /// It looks again at this time.
    at: Option<Time>,
}

/// A certificate that is looked at.
struct Looked {
    what: &'static str,
    certificate: u32,
    validity: Validity,
    found: Finding,
}

impl World<'_> {
    /// The certificates of the bundle and the secret.
    fn looked_at(&self) -> Vec<Looked> {
        let (Some(linkerd), Some(anchors)) =
            (self.plan.linkerd.as_deref(), &self.authorities.anchors)
        else {
            return Vec::new();
        };
        let (rules, clock) = (&linkerd.linkerd_identity, Wall::of(self.now, 0));
        let chains = &self.authorities.chains;
        let look = |what, certificate_index: u32| {
            let validity = chains.0[certificate_index as usize].validity;
            let found = certificate(rules, validity, clock);
            Looked { what, certificate: certificate_index, validity, found }
        };
        let given = anchors.given();
        let mut all: Vec<Looked> = given.iter().map(|one| look("trust anchor", *one)).collect();
        let issuer = self.authorities.newest_of(self.issuer_in_force(0, true).0);
        let mut issuer = look("issuer", issuer);
        let key = |one: u32| chains.0[one as usize].key;
        let root = key(chains.root(issuer.certificate));
        if !issuer.found.fails() && given.iter().all(|one| key(*one) != root) {
            issuer.found = Finding::OfNoAnchor;
        }
        all.push(issuer);
        all
    }

    /// Nodes whose clocks differ by too much.
    fn odd_clocks(&self) -> BTreeSet<NodeId> {
        let Some(linkerd) = self.plan.linkerd.as_deref() else { return BTreeSet::new() };
        let clocks = self.control.clocks.nodes.iter();
        let is_odd = |ahead: i64| !clock_passes(&linkerd.linkerd_identity, ahead);
        clocks.filter(|(_, (ahead, _))| is_odd(*ahead)).map(|(node, _)| *node).collect()
    }

    /// The worst of all that it says now: 0 for nothing, 1 for a warning, 2 for an error.
    pub(super) fn check_level(&self) -> u8 {
        let certificates = self.looked_at().into_iter().map(|one| one.found.level());
        let clocks = u8::from(!self.odd_clocks().is_empty());
        certificates.max().unwrap_or(0).max(clocks)
    }

    /// What gauges show of it, and of controllers other than destination.
    pub(super) fn read_linkerd(&self, readings: &mut Readings) {
        let count = |part: usize| {
            (0..self.control.replicas.len()).filter(|one| self.control.serves(*one, part)).count()
        };
        readings[Gauge::LinkerdCheck as usize] = f64::from(self.check_level());
        readings[Gauge::IdentityReady as usize] = count(CA) as f64;
        readings[Gauge::PolicyReady as usize] = count(POLICY) as f64;
        readings[Gauge::InjectorReady as usize] = count(INJECTOR) as f64;
    }

    /// The time has come to look again.
    pub(super) fn check_again(&mut self) {
        self.authorities.checked.at = None;
        self.check();
    }

    /// Somebody runs `linkerd check`.
    pub(super) fn check(&mut self) {
        let Some(linkerd) = self.plan.linkerd.as_deref() else { return };
        let warning = linkerd.linkerd_identity.check_warning;
        let clock = Wall::of(self.now, 0);
        let mut next = Time::MAX;
        for Looked { what, certificate, validity, found } in self.looked_at() {
            let until = match found {
                Finding::Good => validity.not_after.minus(warning),
                Finding::NotYetValid => validity.not_before,
                _ => validity.not_after,
            };
            let at = until.plus(Duration::from_ns(1)).time();
            if self.now < at {
                next = next.min(at);
            }
            if found == Finding::Good || !self.authorities.checked.said.insert((certificate, found))
            {
                continue;
            }
            let left = validity.not_after.since(clock);
            self.fact(FactKind::CheckFound, || {
                let text = match found {
                    Finding::EndsSoon => format!("ends in {left}: a warning, the exit status is 0"),
                    Finding::NotYetValid => "is not valid yet: the exit status is 1".to_owned(),
                    Finding::OfNoAnchor => {
                        "is not issued by a trust anchor: the exit status is 1".to_owned()
                    }
                    _ => "is past its end: the exit status is 1".to_owned(),
                };
                ("linkerd check".to_owned(), format!("the {what} {text}"))
            });
        }
        self.check_clocks();
        let is_new = self.authorities.checked.at.is_none_or(|at| next < at);
        if next < self.end && is_new {
            self.authorities.checked.at = Some(next);
            self.queue.at(next, Event::Check(0).pack());
        }
    }

    fn check_clocks(&mut self) {
        let odd = self.odd_clocks();
        let known = std::mem::replace(&mut self.authorities.checked.clocks, odd.clone());
        for node in odd.difference(&known) {
            let name = self.plan.universe.nodes[node.index()].name.clone();
            self.fact(FactKind::CheckFound, || {
                let what = format!("clock skew of node {name}: a warning, the exit status is 0");
                ("linkerd check --pre".to_owned(), what)
            });
        }
    }
}
