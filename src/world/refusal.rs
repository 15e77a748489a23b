//! Runs that are refused before anything is built.
//!
//! Source: `world::estimate`.
//! Left out: limits that are met under way; see `World::limit`.

use super::World;
use super::options::Options;
use crate::kernel::time::Time;
use crate::observe::run::{Partial, Run};
use crate::plan::Plan;
use crate::plan::identity::Identity;
use crate::plan::tls::Tls;
use crate::plan::universe::Universe;
use std::collections::{BTreeMap, BTreeSet};

/// The run of a plan whose world would not fit: it ends before its begin, and shows nothing. Not
/// even the digest of the plan is made, which takes time.
pub(super) fn refused(plan: &Plan, seed: u64, options: Options) -> Run {
    let nowhere = Universe {
        zones: plan.universe.zones.clone(),
        nodes: plan.universe.nodes.iter().take(1).cloned().collect(),
        ..Universe::default()
    };
    let nothing = Plan {
        name: plan.name.clone(),
        variant: plan.variant.clone(),
        claim: plan.claim.clone(),
        profile: plan.profile.clone(),
        parameters: plan.parameters.clone(),
        linkerd: plan.linkerd.clone(),
        linkerd_rules: plan.linkerd_rules.clone(),
        universe: nowhere,
        scopes: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        cluster_endpoints: BTreeMap::new(),
        absent: BTreeSet::new(),
        first_filters: BTreeMap::new(),
        crowding: BTreeMap::new(),
        proxy_workers: BTreeMap::new(),
        replies: Vec::new(),
        cancelling: BTreeSet::new(),
        discovery: crate::plan::discovery::Discovery::default(),
        deadlines: BTreeSet::new(),
        pods: BTreeMap::new(),
        traffic: Vec::new(),
        clients: BTreeMap::new(),
        call_clients: BTreeMap::new(),
        timeline: Vec::new(),
        assertions: Vec::new(),
        tls: Tls::default(),
        identity: Identity::default(),
        sampling: None,
        ..*plan
    };
    let partial = Partial { why: "max-memory", at: Time::ZERO };
    let run = World::new(&nothing, seed, options).finish(Some(partial));
    Run { plan_digest: 0, ..run }
}
