//! What became of each object: in the draft, in part, or without effect there.
//!
//! Source: none; the rule that nothing is dropped in silence.
//! Left out: kinds that are not read at all, which the findings name with how many there are.

use crate::manifest::draft::Draft;
use crate::manifest::findings::Findings;
use crate::manifest::node::{Node, Value};
use crate::manifest::object::{Id, Object};
use crate::manifest::source::At;
use std::collections::BTreeMap;

/// Steps of a path below an object that are followed.
const STEPS_MAX: usize = 32;

/// What became of an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// What it says is in the draft.
    Modelled,
    /// It is, but for fields that the ignored list names.
    Partly,
    /// Nothing of it is: it says nothing that counts for these services, or nothing that is simulated.
    Unused,
}

impl State {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Modelled => "modelled",
            Self::Partly => "partly modelled",
            Self::Unused => "no effect",
        }
    }

    /// Why an object of a kind is not in the draft as a whole; none if it is.
    pub fn why(self, kind: &str) -> Option<&'static str> {
        match self {
            Self::Modelled => None,
            Self::Partly => Some("the ignored list names the fields"),
            Self::Unused => Some(why_unused(kind)),
        }
    }
}

/// Why an object of a kind may leave nothing; what it says besides is on the ignored list.
fn why_unused(kind: &str) -> &'static str {
    match kind {
        "EnvoyFilter" | "WasmPlugin" => "what it patches is Envoy's own configuration",
        "Telemetry" | "ConfigMap" | "Secret" => "no part of a run depends on what it says",
        "Namespace" => "none of its labels and annotations changes what these workloads do",
        "ServiceAccount" => "no pod of these manifests has it",
        "GatewayClass" | "Gateway" => "no rule of these manifests that is simulated is bound to it",
        "Service" | "Endpoints" | "EndpointSlice" | "ServiceEntry" => {
            "no client of these manifests can reach a workload by it"
        }
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Pod" | "WorkloadEntry"
        | "WorkloadGroup" => "it runs no pod, or its pods are those of another object",
        "VirtualService" | "DestinationRule" | "ServiceProfile" | "TrafficSplit" | "HTTPRoute"
        | "GRPCRoute" | "TCPRoute" | "TLSRoute" | "HTTPRouteGroup" => {
            "no request to a service of these manifests goes by it in a scenario"
        }
        _ => "no workload of these manifests is under it, or what it asks for holds anyway",
    }
}

/// A place in the texts: source, line, column.
type Spot = (u32, u32, u32);

fn spot(at: At) -> Spot {
    (at.source, at.line, at.column)
}

impl Draft<'_> {
    /// Each object that was read, in the order of reading, with its place and what became of it.
    pub fn objects(&self) -> Vec<(&Id, At, State)> {
        let objects = &self.loaded.manifests.objects;
        let told = Told::of(&self.loaded.manifests.findings, &self.ignored_at);
        let mut starts: Vec<Spot> = objects.iter().map(|object| spot(object.at)).collect();
        starts.sort_unstable();
        let state = |object: &Object| {
            let start = spot(object.at);
            let next = starts.partition_point(|other| *other <= start);
            let end = starts.get(next).copied().unwrap_or((u32::MAX, 0, 0));
            let end = end.min((start.0, u32::MAX, 0));
            match self.used.contains(&object.id) {
                false => State::Unused,
                true if told.is_about(object, start, end) => State::Partly,
                true => State::Modelled,
            }
        };
        objects.iter().map(|object| (&object.id, object.name_at, state(object))).collect()
    }
}

/// What was told as ignored, for questions about an object.
struct Told<'f> {
    /// Fields that reading told, by kind: each is told once, with its first place.
    fields: BTreeMap<&'f str, Vec<&'f str>>,
    /// Places that the draft told.
    spots: Vec<Spot>,
}

impl<'f> Told<'f> {
    fn of(findings: &'f Findings, places: &[At]) -> Self {
        let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (kind, path) in findings.ignored.keys().filter_map(|field| field.split_once('.')) {
            fields.entry(kind).or_default().push(path);
        }
        let mut spots: Vec<Spot> = places.iter().map(|at| spot(*at)).collect();
        spots.sort_unstable();
        Self { fields, spots }
    }

    /// Whether something is told of an object that stands from `start` to before `end`.
    fn is_about(&self, object: &Object, start: Spot, end: Spot) -> bool {
        let from = self.spots.partition_point(|spot| *spot < start);
        let paths = self.fields.get(object.id.kind.as_str()).into_iter().flatten();
        self.spots.get(from).is_some_and(|spot| *spot < end)
            || paths.into_iter().any(|path| has(&object.node, path))
    }
}

/// Whether a tree has something at a path; lists are looked through.
fn has(node: &Node, path: &str) -> bool {
    let mut here = vec![(node, path)];
    for _ in 0..STEPS_MAX {
        let mut next = Vec::new();
        for (node, path) in here {
            if path.is_empty() {
                return true;
            }
            match &node.value {
                Value::List(items) => next.extend(items.iter().map(|item| (item, path))),
                // Keys may hold dots themselves.
                Value::Map(entries) => next.extend(entries.iter().filter_map(|entry| {
                    let rest = path.strip_prefix(entry.key.as_str())?;
                    let rest = rest.strip_prefix('.').or(rest.is_empty().then_some(""))?;
                    (!entry.value.is_null()).then_some((&entry.value, rest))
                })),
                _ => {}
            }
        }
        if next.is_empty() {
            return false;
        }
        here = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::draft::{assumptions::Assumptions, draft};
    use crate::manifest::loaded::Loaded;
    use crate::manifest::meshes::Mesh;

    #[test]
    fn each_object_says_what_became_of_it() {
        let text = "\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}], sessionAffinity: ClientIP}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: raw}
spec: {selector: {app: raw}, ports: [{name: tcp, port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
";
        let loaded = Loaded::read([("a.yaml", text.as_bytes())]);
        let draft = draft(&loaded, Mesh::Istio, &Assumptions::default());
        let states: Vec<State> = draft.objects().iter().map(|(.., state)| *state).collect();
        let states: [State; 4] = states.try_into().unwrap();
        assert_eq!(states, [State::Partly, State::Modelled, State::Partly, State::Unused]);
        let has_why = states.map(|state| state.why("ConfigMap").is_some());
        assert_eq!(has_why, [true, false, true, true]);
    }
}
