//! Patches of Envoy's configuration that may be lost.
//!
//! Source: istio/istio `pkg/config/analysis/analyzers/envoyfilter/envoyfilter.go`.
//! Left out: `IST0170` and later codes on route caches.

use crate::manifest::lint::{Lint, named};

const RULE: &str = "envoyfilter.EnvoyPatchAnalyzer";

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>) {
    // Names of filters that were patched for some versions of the proxy only.
    let mut for_version: Vec<String> = Vec::new();
    for filter in &lint.istio.envoy_filters {
        for patch in &filter.patches {
            let Some(operation) = &patch.operation else { break };
            let object = || named("EnvoyFilter", &filter.head);
            let on_routes = matches!(patch.apply_to.as_str(), "ROUTE_CONFIGURATION" | "HTTP_ROUTE");
            let on_filters = matches!(
                patch.apply_to.as_str(),
                "NETWORK_FILTER" | "HTTP_FILTER" | "VIRTUAL_HOST"
            );
            let relative = match operation.as_str() {
                "ADD" if on_routes => Err("IST0153"),
                "REMOVE" if on_routes => Err("IST0154"),
                "REPLACE" if !on_filters => Err("IST0152"),
                "REMOVE" | "REPLACE" | "INSERT_BEFORE" | "INSERT_AFTER" => Ok(true),
                _ => Ok(false),
            };
            let code = match relative {
                Err(code) => Some(code),
                Ok(true) if filter.priority == 0 => {
                    let again = for_version.contains(&patch.name);
                    Some(if again { "IST0155" } else { "IST0151" })
                }
                Ok(_) => None,
            };
            if let Some(code) = code {
                let what = format!("{} without a priority", patch.told());
                lint.report(code, RULE, object(), patch.at, what);
            }
            if patch.for_version {
                for_version.push(patch.name.clone());
            }
        }
    }
}
