//! `retries` of a rule.
//!
//! Only what is written becomes a key: the profile has Istio's defaults.
//! Source: docs/scenarios.md (`retries`); istio/istio `route/retry/retry.go` (`parseRetryOn`: statuses make
//! `retriable-status-codes` be added).
//! Left out: HTTP/3.

use super::Work;
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::istio::resilience::Retries;
use crate::manifest::istio::rules::RETRY_DEFAULT;
use crate::manifest::source::At;

/// Conditions of retries that a scenario does not know.
const NOT_SIMULATED: &str = "http3-post-connect-failure";

impl Work<'_, '_> {
    /// `retries`, with all that is its own if there is a default of the mesh's to stand over.
    pub(super) fn retries(&mut self, retries: &Retries, is_default: bool) -> Table {
        let field = |name: &str| self.places.field(retries.at, &[name]);
        let mut table = Table::new();
        let attempts = i64::from(retries.attempts);
        table.set("attempts", Value::integer(attempts).at(field("attempts")));
        if retries.attempts == 0 {
            return table;
        }
        if let Some(limit) = retries.per_try_ns {
            table.set("per_try_timeout", Value::duration(limit).at(field("perTryTimeout")));
        }
        let texts = |words: &[&str], at: Option<At>| {
            Value::list(words.iter().map(|word| Value::text(*word))).at_some(at)
        };
        let mut unsaid = None;
        match &retries.retry_on {
            None if is_default => {}
            None => {
                table.set("on", texts(&RETRY_DEFAULT, None));
            }
            Some(words) => {
                let at = field("retryOn");
                let status = |word: &&String| word.parse::<u16>().is_ok();
                let statuses: Vec<i64> = words
                    .iter()
                    .filter_map(|word| word.parse::<u16>().ok())
                    .map(i64::from)
                    .collect();
                let mut on: Vec<&str> =
                    words.iter().filter(|word| !status(word)).map(String::as_str).collect();
                if on.contains(&NOT_SIMULATED) {
                    unsaid = Some(at);
                    on.retain(|word| *word != NOT_SIMULATED);
                }
                if !statuses.is_empty() && !on.contains(&"retriable-status-codes") {
                    on.push("retriable-status-codes");
                }
                table.set("on", texts(&on, Some(at)));
                if !statuses.is_empty() {
                    let list = statuses.into_iter().map(Value::integer);
                    table.set("statuses", Value::list(list).at(at));
                }
            }
        }
        if let Some(base) = retries.backoff_ns {
            table.set("backoff_base", Value::duration(base).at(field("backoff")));
        }
        if retries.previous_hosts == Some(false) {
            let at = field("retryIgnorePreviousHosts");
            table.set("previous_hosts", Value::bool(false).at(at));
        }
        if retries.remote_localities == Some(true) {
            let at = field("retryRemoteLocalities");
            table.set("previous_priorities", Value::integer(2).at(at));
        }
        if let Some(at) = unsaid {
            let why = "there is no HTTP/3 here";
            self.draft.ignore("VirtualService.spec.http.retries.retryOn", at, why);
        }
        table
    }
}
