//! Who calls whom as rules about hops need it: by the Services of the manifests.
//!
//! What is in no manifest has no rules, and is left out. A service of several versions calls what any of them
//! does, as often as the one that does so most.
//! Source: docs/manifests.md (`meshsim lint`).
//! Left out: paths and methods of calls: a rule for some of them is taken as one for all.

use super::apply::{calls_of, found};
use super::names::Index;
use super::{Graph, problem};
use crate::manifest::draft::Draft;
use crate::manifest::kubernetes::Name;
use crate::manifest::lint::calls::Calls;
use std::collections::BTreeMap;

/// The calls of graphs, those of later ones in the place of earlier ones. Mistakes of a person go to the
/// draft's problems.
pub fn calls(graphs: &[Graph], draft: &mut Draft<'_>) -> Calls {
    let index = Index::of(draft);
    let keys = draft.services.iter().filter_map(|one| Some((one.name.clone(), one.key.clone()?)));
    let keys: BTreeMap<String, Name> = keys.collect();
    // By caller: the number of the graph, and how often it calls whom.
    let mut all: BTreeMap<Name, (usize, BTreeMap<Name, f64>)> = BTreeMap::new();
    for (number, graph) in graphs.iter().enumerate() {
        for (name, node) in &graph.nodes {
            let Some(target) = found(graph, &index, name, node, draft) else { continue };
            let list = calls_of(graph, name, &index, draft, &mut Vec::new());
            let Some(caller) = keys.get(&target.service).filter(|_| node.says_calls) else {
                continue;
            };
            let mut own: BTreeMap<Name, f64> = BTreeMap::new();
            for call in list {
                if let Some(callee) = keys.get(&call.to) {
                    *own.entry(callee.clone()).or_default() += call.probability;
                }
            }
            let known = all.entry(caller.clone()).or_default();
            if known.0 != number {
                *known = (number, BTreeMap::new());
            }
            for (callee, rate) in own {
                let most = known.1.entry(callee).or_default();
                *most = most.max(rate);
            }
        }
    }
    let is_told = draft.findings.problems.is_empty();
    if is_told && all.values().all(|(_, own)| own.is_empty()) {
        let names: Vec<&str> = graphs.iter().map(|graph| graph.name.as_str()).collect();
        let what = format!("{} tells of no call between two services", names.join(", "));
        let hint = "names are those of Services: `cart`, `cart.shop`";
        draft.findings.warnings.push(problem(what, hint));
    }
    all.into_iter().map(|(caller, (_, own))| (caller, own.into_iter().collect())).collect()
}
