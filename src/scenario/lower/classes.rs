//! Classes of requests: what traffic and calls ask for, and what rules make of that.
//!
//! Source: ours.
//! Left out: nothing.

use super::super::document::Node;
use super::super::merge::BEGIN;
use super::{Lower, changes};
use crate::plan::universe::ClassId;

/// Rules are looked up once for each service and class of requests.
const CLASSES_TIMES_SERVICES_MAX: usize = 50_000_000;

impl Lower<'_, '_, '_> {
    /// The class of a request that a table describes.
    pub(super) fn class(&self, node: &Node) -> ClassId {
        let class = self.request_class(node);
        let index = self.universe.classes.binary_search(&class).unwrap_or(0);
        ClassId(u32::try_from(index).expect("few classes"))
    }

    /// All classes of requests that traffic and calls make.
    pub(super) fn classes(&mut self) {
        let calls = self.drafts.iter().flatten().flat_map(|(_, node)| node.list("calls"));
        let makers: Vec<&Node> = self.root.list("traffic").iter().chain(calls).collect();
        for maker in &makers {
            if let Some(path) = maker.get("path")
                && path.as_text().is_some_and(|text| !text.starts_with('/'))
            {
                self.report(path.at, "a path begins with `/`", "such as \"/cart\"");
            }
        }
        let mut classes: Vec<_> = makers.into_iter().map(|one| self.request_class(one)).collect();
        classes.sort();
        classes.dedup();
        let others = self.states.iter().flat_map(|root| root.list("service"));
        let nodes = self.service_nodes.iter().copied().chain(others);
        let made: Vec<_> = nodes.flat_map(|node| changes::made_of(node, &classes)).collect();
        classes.extend(made);
        self.universe.classes = classes;
        self.universe.classes.sort();
        self.universe.classes.dedup();
        let (classes, services) = (self.universe.classes.len(), self.services.len());
        if CLASSES_TIMES_SERVICES_MAX < classes * services {
            let what = format!("{classes} different requests to {services} services are too many");
            self.report(BEGIN, what, "fewer different paths, methods and headers");
            self.universe.classes.truncate(1);
        }
    }
}

/// Headers in name order, names in lower case.
pub(super) fn headers(node: &Node) -> Vec<(String, String)> {
    headers_of(node, "headers")
}

/// The same of another key.
pub(super) fn headers_of(node: &Node, key: &str) -> Vec<(String, String)> {
    let mut headers: Vec<_> =
        node.labels(key).map(|(name, value)| (name.to_lowercase(), value)).collect();
    headers.sort();
    headers
}
