//! What requests ask of proxies by headers of their own, and whose headers are believed.
//!
//! A proxy strips such headers from requests that do not come from inside before it looks for a route, so
//! that a class of requests that nobody believes is one without them.
//!
//! Source: `plan::asked`; Envoy's `ConnectionManagerUtility::mutateRequestHeaders`: internal is a request
//! whose `x-forwarded-for` is one address within `internal_address_config`. Since 1.33 no address is internal
//! unless it is listed (`explicit_internal_address_config`), and Istio lists some only with
//! `ENABLE_HCM_INTERNAL_NETWORKS`, which is off.
//! Left out: addresses themselves: who is inside is said once for the mesh; headers that routes add, which
//! come too late for their own proxy and are stripped by the next.

use super::super::document::{Entry, Node};
use super::super::keys::traffic::INTERNAL;
use super::{Lower, headers};
use crate::plan::asked;
use crate::plan::universe::{Defect, RequestClass};

impl<'d> Lower<'_, '_, 'd> {
    /// Whether the headers of the requests of a source or call are believed.
    pub(super) fn is_internal(&self, maker: &Node) -> bool {
        let is_outside = maker.text("from") == Some("ingress");
        match self.root.get("mesh").and_then(|mesh| mesh.text(INTERNAL.name)) {
            Some("all") => true,
            Some("pods") => !is_outside,
            _ => false,
        }
    }

    /// What a source or call asks for; without headers that its proxy strips.
    pub(super) fn request_class(&self, maker: &Node) -> RequestClass {
        let mut headers = headers(maker);
        if !self.is_internal(maker) {
            headers.retain(|(name, _)| !asked::HEADERS.contains(&name.as_str()));
        }
        RequestClass {
            method: maker.text("method").unwrap_or("GET").to_uppercase(),
            path: maker.text("path").unwrap_or("/").to_owned(),
            headers,
            defect: match maker.text("malformed") {
                Some("missing_host") => Some(Defect::MissingHost),
                Some("headers_too_large") => Some(Defect::HeadersTooLarge),
                Some("codec_error") => Some(Defect::CodecError),
                _ => None,
            },
        }
    }

    /// The classes of requests that ask for something follow rules of their own.
    pub(super) fn asked(&mut self) {
        let mesh = self.root.get("mesh");
        if let Some(given) = mesh.and_then(|mesh| mesh.get(INTERNAL.name))
            && self.profile == "none"
        {
            let what = format!("`{}` means nothing without a mesh", INTERNAL.name);
            self.report(given.at, what, "the profile `none` has no proxies");
        }
        if self.linkerd.is_some() {
            // These headers are Envoy's.
            return;
        }
        self.bodies();
        for table in &mut self.universe.routes {
            asked::add_rules(table, &self.universe.classes);
        }
    }

    /// A limit that only some requests of a class are above would need a draw for each.
    fn bodies(&mut self) {
        let classes = &self.universe.classes;
        let mut crossed = Vec::new();
        for (index, node) in self.service_nodes.iter().enumerate() {
            let table = &self.universe.routes[index];
            for (class, place) in classes.iter().zip(&table.rule_of_class) {
                let (Some(place), Some((shortest, longest))) = (place, asked::bodies(class)) else {
                    continue;
                };
                let rule = &table.rules[usize::from(*place)];
                let is_asked = rule.retry.retries != 0 || !rule.mirrors.is_empty();
                let limit = rule.buffer_limit;
                if is_asked && (shortest..longest).contains(&limit) {
                    let routes = node.list("route").get(usize::from(*place));
                    let given = routes.and_then(|route| route.get("per_request_buffer_limit"));
                    let given = given.or(node.get("per_request_buffer_limit"));
                    let at = given.map_or(node.at, |node| node.at);
                    crossed.push((at, limit, shortest, longest));
                }
            }
        }
        for (at, limit, shortest, longest) in crossed {
            let what =
                format!("bodies of {shortest} to {longest} bytes are kept for retries or not");
            let hint = format!("two sources: bodies of up to {limit} bytes, and longer ones");
            self.report(at, what, hint);
        }
    }

    // === warnings ===

    /// Headers that ask for something, and that no proxy looks at.
    pub(super) fn headers_in_vain(&mut self) {
        let root: &'d Node = self.root;
        let calls = self.drafts.iter().flatten().flat_map(|(_, node)| node.list("calls"));
        let makers: Vec<&Node> = root.list("traffic").iter().chain(calls).collect();
        for maker in makers {
            let is_internal = self.is_internal(maker);
            for Entry { key, at, node } in
                maker.get("headers").map(Node::entries).unwrap_or_default()
            {
                let name = key.to_lowercase();
                if !asked::HEADERS.contains(&name.as_str()) {
                    continue;
                }
                let value = node.as_text().unwrap_or_default();
                if !is_internal {
                    let hint = format!(
                        "a proxy strips it from requests that are not internal: `mesh.{}`",
                        INTERNAL.name
                    );
                    self.warn(*at, format!("`{name}` is not looked at"), hint);
                } else if !asked::is_understood(&name, value) {
                    self.warn(
                        *at,
                        format!("`{value}` says nothing in `{name}`"),
                        "a number, or what this header takes",
                    );
                }
            }
        }
    }
}
