//! CORS and buffers: small filters that look at one request alone.
//!
//! Source: Envoy's `CorsPolicy` (`allow_origin_string_match`) and `Buffer`, whose limit must be above 0.
//! Left out: what `model::proxy::filter::cors` and `buffer` leave out.

use super::super::super::document::Node;
use super::super::Lower;
use crate::plan::filter::{Buffer, Cors, Filter};
use crate::plan::matching::ValueMatch;

impl Lower<'_, '_, '_> {
    pub(super) fn cors(&mut self, node: &Node) -> Option<Filter> {
        let mut allow_origin = Vec::new();
        for table in node.list("allow_origin").iter().filter(|table| table.is_table()) {
            match self.value_match(table, "two origins, of which one is enough")? {
                ValueMatch::Present => {
                    let hint = "{ exact = \"https://shop.example\" }; \"*\" allows all";
                    self.report(table.at, "this allows no origin", hint);
                    return None;
                }
                origin => allow_origin.push(origin),
            }
        }
        Some(Filter::Cors(Cors {
            allow_origin,
            forward_not_matching_preflights: node
                .flag("forward_not_matching_preflights")
                .unwrap_or(true),
        }))
    }

    pub(super) fn buffer(node: &Node) -> Option<Filter> {
        let max_request_bytes = node.count("max_request_bytes")?;
        Some(Filter::Buffer(Buffer { max_request_bytes }))
    }
}
