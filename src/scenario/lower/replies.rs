//! Headers of answers, of which the plan has a table.
//!
//! Source: `plan::reply`.
//! Left out: nothing.

use super::super::document::{At, Node};
use super::{Lower, headers_of, id};
use crate::plan::reply::{ErrorStatus, GRPC_STATUS_MAX, ReplyHeaders, ReplyHeadersId};

/// The key of headers of answers.
const KEY: &str = "response_headers";

impl Lower<'_, '_, '_> {
    /// Reports what is no name of a header (RFC 9110, a token).
    pub(super) fn header_name(&mut self, name: &str, at: At) {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            let what = format!("`{name}` is no name of a header");
            self.report(at, what, "letters, digits and `-`, such as retry-after");
        }
    }

    /// The headers of answers that a table gives, if it gives some.
    pub(super) fn reply_headers(&mut self, table: &Node) -> Option<ReplyHeadersId> {
        let node = table.get(KEY)?;
        for entry in node.entries() {
            self.header_name(&entry.key, entry.at);
        }
        let headers = ReplyHeaders(headers_of(table, KEY));
        if let Some(value) = headers.get("grpc-status")
            && headers.grpc_status().is_none()
        {
            let what = format!("`{value}` is no gRPC status");
            let hint = format!("a number from 0 to {GRPC_STATUS_MAX}; 14 is unavailable");
            self.report(node.at, what, hint);
        }
        if headers.0.is_empty() {
            return None;
        }
        let known = self.replies.iter().position(|one| *one == headers);
        let place = known.unwrap_or_else(|| {
            self.replies.push(headers);
            self.replies.len() - 1
        });
        Some(ReplyHeadersId(id(place)))
    }

    /// The status and headers of errors.
    pub(super) fn error_status(&mut self, table: &Node) -> ErrorStatus {
        let headers = self.reply_headers(table);
        let code = table.count("status").and_then(|status| u16::try_from(status).ok());
        let code = code.unwrap_or(500);
        if code < 400 && headers.is_none() {
            let at = table.get("status").map_or(table.at, |node| node.at);
            let hint = "response_headers = { grpc-status = \"14\" } would tell it from others";
            self.report(at, format!("an answer with {code} and nothing else is no error"), hint);
        }
        ErrorStatus { code, headers }
    }
}
