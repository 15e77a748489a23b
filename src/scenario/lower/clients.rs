//! Clients of traffic and of apps' calls: what they do by themselves, and whether that makes sense.
//!
//! Source: `plan::client`.
//! Left out: whether a timeout is longer than one of a route.

use super::super::document::Node;
use super::Lower;
use crate::kernel::time::Duration;
use crate::plan::client::{Backoff, CallClients, Client, Jitter, RetryBreaker, RetryBucket};
use crate::plan::traffic::Arrivals;
use crate::plan::universe::WorkloadId;
use std::collections::BTreeMap;

impl Lower<'_, '_, '_> {
    /// The `client` of a source of traffic, if it has one.
    pub(super) fn client(&mut self, traffic: &Node, arrivals: &Arrivals) -> Option<Client> {
        let table = traffic.get("client")?;
        let client = self.any_client(table, true);
        if let Some(clients) = table.get("clients") {
            if let Arrivals::ClosedLoop { users, .. } = arrivals {
                let hint = format!("each of its {users} users is one");
                self.report(clients.at, "`clients` of a closed loop", hint);
            } else if ["bucket", "breaker"].iter().all(|key| table.get(key).is_none()) {
                let hint = "add `bucket` or `breaker`: nothing else is a client's own";
                self.report(clients.at, "`clients` without anything that they do not share", hint);
            }
        }
        Some(client)
    }

    /// The clients of a workload's calls.
    pub(super) fn call_clients(&mut self, workload: WorkloadId, node: &Node) {
        let calls = node.list("calls");
        let table = node.get("client");
        if let Some(table) = table.filter(|_| calls.is_empty()) {
            let hint = "it is for workloads with `calls`; traffic to it has a `client` of its own";
            self.report(table.at, "a `client` where no call is made", hint);
        }
        let shared = table.map(|table| self.any_client(table, true));
        let mut own = BTreeMap::new();
        for (call, index) in calls.iter().zip(0..) {
            if let Some(table) = call.get("client") {
                // In place of that of all others it may be one that does nothing.
                own.insert(index, self.any_client(table, shared.is_none()));
            }
        }
        if shared.is_some() || !own.is_empty() {
            self.call_clients.insert(workload, CallClients { shared, own });
        }
    }

    /// What a `client` says, which has to do something unless it stands in place of another.
    fn any_client(&mut self, table: &Node, does_something: bool) -> Client {
        let attempts = table.count("attempts").unwrap_or(0);
        self.client_makes_sense(table, attempts, does_something);
        if self.root.get("sampling").is_some() {
            let hint = "leave `client` or [sampling] out: what is sent again would be cut off";
            self.report(table.at, "a `client` in a sampled run", hint);
        }
        let bucket = table.get("bucket").and_then(|bucket| self.retry_bucket(bucket));
        let breaker = table.get("breaker").map(|breaker| RetryBreaker {
            share: breaker.share("share").unwrap_or(1.0),
            window: breaker.duration("window").unwrap_or(Duration::ZERO),
        });
        Client {
            count: table.count("clients").unwrap_or(1),
            timeout: table.duration("timeout").unwrap_or(Duration::ZERO),
            attempts,
            backoff: self.client_backoff(table),
            bucket,
            breaker,
        }
    }

    fn client_makes_sense(&mut self, table: &Node, attempts: u32, does_something: bool) {
        let timeout = table.get("timeout");
        if let Some(timeout) = timeout.filter(|_| table.duration("timeout") == Some(Duration::ZERO))
        {
            let hint = "leave it out for a client that waits for ever";
            return self.report(timeout.at, "a timeout of zero: every client leaves at once", hint);
        }
        if attempts != 0 {
            return;
        }
        let keys = ["backoff_base", "backoff_max", "jitter", "bucket", "breaker"];
        if let Some((key, node)) = keys.iter().find_map(|key| Some((key, table.get(key)?))) {
            let hint = "add `attempts`: sends after the first";
            self.report(node.at, format!("`{key}` without `attempts`"), hint);
        } else if does_something && timeout.is_none() {
            let hint = "add `timeout` or `attempts`";
            self.report(table.at, "this client waits for ever and sends once, as any does", hint);
        }
    }

    fn client_backoff(&mut self, table: &Node) -> Backoff {
        let base = table.duration("backoff_base").unwrap_or(Duration::ZERO);
        let max = table.duration("backoff_max");
        if let (Some(node), Some(max)) = (table.get("backoff_max"), max)
            && max < base
        {
            let what = format!("the longest wait of {max} is shorter than the first, {base}");
            self.report(node.at, what, "backoff_max is 10 × backoff_base if not given");
        }
        for key in ["backoff_max", "jitter"] {
            if let Some(node) = table.get(key).filter(|_| base.is_zero()) {
                let hint = "add `backoff_base`: it is the limit of the first wait";
                self.report(node.at, format!("`{key}` without `backoff_base`"), hint);
            }
        }
        let jitter = match table.text("jitter") {
            Some("none") => Jitter::None,
            Some("equal") => Jitter::Equal,
            Some("decorrelated") => Jitter::Decorrelated,
            _ => Jitter::Full,
        };
        // Envoy's rule for `max_interval`, as that of `retries`.
        Backoff { jitter, base, max: max.unwrap_or_else(|| Duration::from_ns(10 * base.ns())) }
    }

    fn retry_bucket(&mut self, bucket: &Node) -> Option<RetryBucket> {
        let number = |key: &str| bucket.get(key).and_then(Node::number);
        // Reported by the check: it is required.
        let size = number("size")?;
        let (deposit, cost) = (number("deposit").unwrap_or(0.1), number("cost").unwrap_or(1.0));
        for (key, value) in [("size", size), ("cost", cost)] {
            if let Some(node) = bucket.get(key).filter(|_| value == 0.0) {
                let hint = "such as bucket = { size = 5, deposit = 0.1, cost = 1 }";
                self.report(node.at, format!("a `{key}` of no tokens"), hint);
                return None;
            }
        }
        if size < cost {
            let at = bucket.get("size").map_or(bucket.at, |node| node.at);
            let hint = "without `attempts` nothing is sent again either";
            self.report(at, format!("a bucket of {size} never holds the {cost} of a send"), hint);
        }
        Some(RetryBucket { size, deposit, cost })
    }

    /// How much longer a workload's first piece of work takes for each request in service.
    pub(super) fn time_per_request(&mut self, node: &Node) -> Option<Duration> {
        let per_request = node.duration("time_per_request")?;
        if node.text("discipline") == Some("ps") {
            let at = node.get("time_per_request").map_or(node.at, |node| node.at);
            let hint =
                "with \"ps\" requests slow each other down already: leave one of the two out";
            self.report(at, "`time_per_request` where workers are shared", hint);
        }
        (!per_request.is_zero()).then_some(per_request)
    }
}
