//! Warnings of filters that a mesh accepts and that do nothing, or not what they look like.
//!
//! Source: with each rule.
//! Left out: filters to which no traffic comes; what routes change of requests before.

use super::super::super::document::Node;
use super::super::Lower;
use crate::plan::universe::RequestClass;

impl Lower<'_, '_, '_> {
    /// Looks at all of them.
    pub(in super::super) fn warnings_of_filters(&mut self) {
        let root = self.root;
        for table in root.list("filter").iter().filter(|table| table.is_table()) {
            if let Some(node) = table.get("global_rate_limit") {
                self.limits_of_nobody(node);
            }
            if let Some(node) = table.get("cors") {
                self.origins_of_nobody(node);
            }
            if let Some(node) = table.get("buffer")
                && !self.has_header("content-length")
            {
                let what = "no request has a body, by its `content-length`";
                self.warn(node.at, what, "`headers = { content-length = \"70000\" }`");
            }
            if let Some(threshold) = table.get("overload").and_then(|node| node.entry("threshold"))
                && table.get("overload").and_then(|node| node.share("threshold")) == Some(0.0)
            {
                let action = table.get("overload").and_then(|node| node.text("action"));
                let refuses = action.is_none_or(|action| action == "stop_accepting_requests");
                let always = "the action is in force all the time";
                let what = if refuses { "every request is refused" } else { always };
                self.warn(threshold.node.at, what, "a share above 0");
            }
            if let Some(node) = table.get("admission_control") {
                self.admission_of_all(node);
            }
        }
    }

    /// Source: Envoy's `request_headers` action: without the header there is no descriptor, and without
    /// a descriptor the service is not asked.
    fn limits_of_nobody(&mut self, node: &Node) {
        for limit in node.list("limit") {
            let Some((name, at)) =
                limit.get("header").and_then(|node| Some((node.as_text()?, node.at)))
            else {
                continue;
            };
            if !self.has_header(name) {
                let what = format!("no request has the header `{name}`: nothing is limited");
                self.warn(at, what, "`headers` of traffic or of a call");
            }
        }
    }

    /// Source: Envoy's `CorsFilter::isOriginAllowed`, `forwardNotMatchingPreflights` and its conditions for
    /// a preflight.
    fn origins_of_nobody(&mut self, node: &Node) {
        let answers_all = node.flag("forward_not_matching_preflights") == Some(false);
        if node.list("allow_origin").is_empty() && !answers_all {
            let hint = "allow_origin = [{ exact = \"https://shop.example\" }]";
            self.warn(node.at, "no origin is allowed: all preflights go on", hint);
            return;
        }
        let is_preflight = |class: &RequestClass| {
            let has = |name| class.headers.iter().any(|(header, _)| header == name);
            class.method == "OPTIONS" && has("origin") && has("access-control-request-method")
        };
        if !self.universe.classes.iter().any(is_preflight) {
            let hint = "method = \"OPTIONS\", with origin and access-control-request-method";
            self.warn(node.at, "no request is a preflight", hint);
        }
    }

    /// Source: Envoy's `AdmissionControlFilterConfig::aggression` and `maxRejectionProbability`.
    fn admission_of_all(&mut self, node: &Node) {
        if let Some(aggression) = node.get("aggression")
            && aggression.number().is_some_and(|number| number < 1.0)
        {
            self.warn(aggression.at, "an aggression below 1 is taken for 1", "from 1 on, in Envoy");
        }
        if let Some(most) = node.get("max_rejection_probability")
            && node.share("max_rejection_probability").is_some_and(|share| share <= 0.0)
        {
            self.warn(most.at, "no request is ever refused", "a share above 0");
        }
    }

    /// Whether some request has a header.
    fn has_header(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let mut headers = self.universe.classes.iter().flat_map(|class| &class.headers);
        headers.any(|(header, _)| *header == name)
    }
}
