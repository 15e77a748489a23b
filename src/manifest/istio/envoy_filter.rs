//! `EnvoyFilter`: not simulated but for local rate limits, and named with what it patches.
//!
//! Source: Istio API `networking/v1alpha3/envoy_filter.proto` with the rules of its CRD.
//! Left out: the effect of every other patch.

use crate::manifest::istio::check;
use crate::manifest::istio::local_rate_limit::{Bucket, LOCAL_RATE_LIMIT};
use crate::manifest::istio::meta::Head;
use crate::manifest::object::Labels;
use crate::manifest::reader::Reader;
use crate::manifest::source::At;

/// Patches of Envoy's own configuration.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EnvoyFilter {
    /// Who it is.
    pub head: Head,
    /// Its priority.
    pub priority: i64,
    /// Labels of its pods; none: all of the namespace.
    pub workload_selector: Option<Labels>,
    /// Its patches.
    pub patches: Vec<Patch>,
}

/// One patch.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Patch {
    /// Where it stands.
    pub at: At,
    /// What is patched, such as `HTTP_FILTER`.
    pub apply_to: String,
    /// Where, such as `SIDECAR_INBOUND`; `ANY` unless set.
    pub context: String,
    /// How, such as `MERGE`; none if there is no patch.
    pub operation: Option<String>,
    /// The name of the patched or added part; may be empty.
    pub name: String,
    /// Whether it is for some versions of the proxy only.
    pub for_version: bool,
    /// The bucket of a local rate limit that it adds.
    pub limit: Option<Bucket>,
}

impl EnvoyFilter {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        reader.pass(&["targetRefs"]);
        Self {
            head,
            priority: reader.int("priority", i64::MIN..=i64::MAX).unwrap_or(0),
            workload_selector: check::selector_labels(reader, "workloadSelector", "labels"),
            patches: reader.list("configPatches", Patch::read),
        }
    }
}

impl Patch {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        let mut patch = Self {
            at: reader.at(),
            apply_to: reader.text("applyTo").unwrap_or_default(),
            context: "ANY".to_owned(),
            ..Self::default()
        };
        let mut matched = String::new();
        reader.map("match", |found| {
            found.pass_all();
            if let Some(context) = found.text("context") {
                patch.context = context;
            }
            let waypoint = patch.context == "WAYPOINT";
            let others = ["listener", "routeConfiguration", "cluster"];
            let at = found.at();
            if found.has("waypoint") != waypoint
                && (found.has("waypoint") || others.iter().any(|name| found.has(name)))
            {
                let what = "only support waypointMatch when context is WAYPOINT";
                found.problem(at, what, "waypoint and WAYPOINT go together");
            }
            found.map("waypoint", |waypoint| {
                waypoint.pass_all();
                if let Some(node) = waypoint.raw("portNumber")
                    && !matches!(node.value, crate::manifest::node::Value::Int(1..=65535))
                {
                    waypoint.problem(node.at, "port must be between 1-65535", "");
                }
            });
            matched = filter_name(found).unwrap_or_default();
            patch.for_version = found
                .node()
                .get("proxy")
                .and_then(|proxy| proxy.get("proxyVersion"))
                .and_then(crate::manifest::node::Node::text)
                .is_some_and(|text| !text.is_empty());
        });
        reader.map("patch", |body| {
            body.pass_all();
            patch.operation = Some(body.text("operation").unwrap_or_default());
            let name = body.node().get("value").and_then(|value| value.get("name"));
            patch.name = name
                .and_then(crate::manifest::node::Node::text)
                .map(str::to_owned)
                .unwrap_or_default();
            let adds = patch.apply_to == "HTTP_FILTER" && patch.name == LOCAL_RATE_LIMIT;
            patch.limit = body.node().get("value").filter(|_| adds).and_then(Bucket::of);
            if patch.name.is_empty() {
                patch.name.clone_from(&matched);
            }
        });
        patch
    }

    /// What it patches, in a few words.
    pub fn told(&self) -> String {
        let operation = self.operation.as_deref().unwrap_or("nothing");
        let name = if self.name.is_empty() { String::new() } else { format!(" ({})", self.name) };
        format!("{operation} {} in {}{name}", self.apply_to, self.context)
    }
}

fn filter_name(reader: &Reader<'_, '_>) -> Option<String> {
    let chain = reader.node().get("listener")?.get("filterChain")?;
    Some(chain.get("filter")?.get("name")?.text()?.to_owned())
}
