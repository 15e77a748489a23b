//! What no manifest says and a run needs: times, workers, how many nodes there are.
//!
//! Each is written into the draft with `# assumed` and why; hints, traces and the author take its place.
//! Source: settings of ours, small enough that a mesh at rest answers: docs/scenarios.md (the example of a service).
//! Left out: who calls whom, and traffic from outside, which traces or hints tell.

use crate::manifest::draft::value::{Table, Value};

/// What is assumed.
#[derive(Clone, PartialEq, Debug)]
pub struct Assumptions {
    /// `time` of a workload: how long its app works on a request, without its calls.
    pub time: Value,
    /// `workers` of a workload for each core of its CPU limit, begun cores included; and in all without a limit.
    pub workers: u32,
    /// Nodes of the cluster, of which each has a pod of every `DaemonSet`.
    pub nodes: u32,
}

impl Default for Assumptions {
    fn default() -> Self {
        let mut quantiles = Table::new();
        quantiles.set("p50", Value::text("5ms")).set("p99", Value::text("20ms"));
        let mut time = Table::new();
        time.set("lognormal", quantiles);
        Self {
            time: Value::from(time).assumed("no manifest says how long work takes"),
            workers: 8,
            nodes: 3,
        }
    }
}

impl Assumptions {
    /// `workers` for a CPU limit in thousandths of a core; none for no limit.
    pub fn workers_of(&self, limit_milli: Option<u128>) -> Value {
        let Some(limit) = limit_milli.filter(|limit| 0 < *limit) else {
            let why = "no manifest says how many requests a pod works on at once";
            return Value::integer(self.workers).assumed(why);
        };
        let cores = u32::try_from(limit.div_ceil(1000)).unwrap_or(u32::MAX).min(1024);
        let (whole, rest) = (limit / 1000, limit % 1000);
        let told = if rest == 0 { whole.to_string() } else { format!("{limit}m") };
        let why = format!("{} for each core of its CPU limit, {told}", self.workers);
        Value::integer(self.workers.saturating_mul(cores)).assumed(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::draft::value::{Kind, Origin};

    #[test]
    fn workers_follow_the_limit_and_say_so() {
        let assumptions = Assumptions::default();
        let told = |limit| {
            let value = assumptions.workers_of(limit);
            let Origin::Assumed(why) = value.origin else { panic!("it is assumed") };
            (value.kind, why.into_owned())
        };
        assert_eq!(told(None).0, Kind::Integer(8));
        let (count, why) = told(Some(1500));
        assert_eq!(
            (count, why.as_str()),
            (Kind::Integer(16), "8 for each core of its CPU limit, 1500m")
        );
        assert_eq!(told(Some(2000)).1, "8 for each core of its CPU limit, 2");
        assert_eq!(told(Some(u128::MAX)).0, Kind::Integer(8192));
    }
}
