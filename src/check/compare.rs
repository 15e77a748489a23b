//! Compares two `summary.json` exactly, and tells what moved in the order in which people ask.
//!
//! Parameters come first (a changed default names itself), then headline numbers, phases,
//! outcomes by their key, services by name and version; the rest follows. Rows are matched by
//! what they are about, never by their index. The digest ladder tells when the two runs part, and
//! in which kinds of events.
//!
//! Source: FoundationDB's unseed; the ladder of `kernel::digest`.
//! Left out: tolerance. The version of meshsim is no result and is not compared.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// Sections in the order of the telling; others follow in name order.
const ORDER: [&str; 12] = [
    "parameters",
    "requests",
    "latency_ms",
    "latency_ok_ms",
    "estimates",
    "attempts",
    "control_plane",
    "phases",
    "outcomes",
    "services",
    "asserts",
    "events",
];

/// Sections that are no results, or are told by [`Parting`].
const SKIPPED: [&str; 3] = ["meshsim", "digest", "digest_ladder"];

/// How two results differ.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Comparison {
    /// Every value that differs, in the order of the telling.
    pub differences: Vec<Difference>,
    /// Where the streams of events part; none if their digests are equal.
    pub parting: Option<Parting>,
}

/// One value that differs.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    /// `phases[during istiod-down].requests.total`.
    pub path: String,
    /// What the baseline says; none if it has no such value.
    pub old: Option<Value>,
    /// What is the case now; none if there is no such value any more.
    pub new: Option<Value>,
}

/// Where two streams of events part.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Parting {
    /// The slice of time, in seconds; none if the ladders cannot be compared.
    pub slice_s: Option<(f64, f64)>,
    /// Kinds whose counts differ within it, with the events more (or fewer).
    pub kinds: Vec<(String, i64)>,
}

/// Compares a result with its baseline.
pub fn compare(baseline: &Value, now: &Value) -> Comparison {
    let mut differences = Vec::new();
    let empty = Map::new();
    let (old, new) = (baseline.as_object().unwrap_or(&empty), now.as_object().unwrap_or(&empty));
    for section in sections(old, new) {
        walk(section, section, old.get(section), new.get(section), &mut differences);
    }
    Comparison { differences, parting: parting(old, new) }
}

impl Comparison {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.parting.is_none()
    }
}

impl Difference {
    /// (new − old) / |old|; none where that means nothing.
    pub fn relative(&self) -> Option<f64> {
        let (old, new) = (self.old.as_ref()?.as_f64()?, self.new.as_ref()?.as_f64()?);
        (old != 0.0).then(|| (new - old) / old.abs())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| match value {
            None => "nothing".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        write!(f, "{}: {} -> {}", self.path, text(&self.old), text(&self.new))?;
        match self.relative() {
            Some(share) if 0.000_05 <= share.abs() => write!(f, " ({:+.2}%)", share * 100.0),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::kernel::time::Duration;
        let Some((from, to)) = self.slice_s else {
            return f.write_str("their events differ; their ladders cannot be compared");
        };
        let (from, to) = (Duration::from_s_f64(from), Duration::from_s_f64(to));
        write!(f, "they part between {from} and {to}: ")?;
        if self.kinds.is_empty() {
            return f.write_str("as many events of each kind, but other times or owners");
        }
        for (index, (kind, more)) in self.kinds.iter().enumerate() {
            let word = if *more < 0 { "fewer" } else { "more" };
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {word} {kind}", more.unsigned_abs())?;
        }
        f.write_str(" events")
    }
}

fn sections<'a>(old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> Vec<&'a str> {
    let rank = |name: &str| ORDER.iter().position(|one| *one == name).unwrap_or(ORDER.len());
    let mut names: Vec<_> = union(old, new);
    names.retain(|name| !SKIPPED.contains(name));
    names.sort_by_key(|name| rank(name));
    names
}

/// The keys of the first in its order, then those that only the second has.
fn union<'a>(old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> Vec<&'a str> {
    let added = new.keys().filter(|key| !old.contains_key(*key));
    old.keys().chain(added).map(String::as_str).collect()
}

fn walk(
    section: &str,
    path: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for key in union(old, new) {
                walk(section, &format!("{path}.{key}"), old.get(key), new.get(key), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            let (old, new) = (keyed(section, old), keyed(section, new));
            for key in union(&old, &new) {
                walk(section, &format!("{path}[{key}]"), old.get(key), new.get(key), found);
            }
        }
        (old, new) if old != new => found.push(Difference {
            path: path.to_owned(),
            old: old.map(brief),
            new: new.map(brief),
        }),
        _ => {}
    }
}

/// A row that only one side has, as its count where it has one.
fn brief(value: &Value) -> Value {
    value.get("count").unwrap_or(value).clone()
}

/// Rows by what they are about; equal keys are numbered, so that none hides another.
fn keyed(section: &str, rows: &[Value]) -> Map<String, Value> {
    let mut seen = BTreeMap::<String, u32>::new();
    let mut out = Map::new();
    for (index, row) in rows.iter().enumerate() {
        let mut key = key(section, row).unwrap_or_else(|| index.to_string());
        let times = seen.entry(key.clone()).or_default();
        *times += 1;
        if 1 < *times {
            key = format!("{key} #{times}");
        }
        out.insert(key, row.clone());
    }
    out
}

fn key(section: &str, row: &Value) -> Option<String> {
    let word = |name: &str| match row.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => Some(String::new()),
        other => Some(other.to_string()),
    };
    match section {
        "outcomes" => {
            let fields = ["source", "destination", "version", "status", "flags", "details"];
            let words: Vec<_> =
                fields.iter().map(|field| word(field).unwrap_or_default()).collect();
            Some(words.join(" "))
        }
        "services" => Some(match word("version").filter(|version| !version.is_empty()) {
            Some(version) => format!("{}/{version}", word("name")?),
            None => word("name")?,
        }),
        _ => word("name").or_else(|| word("id")),
    }
}

/// Where the digests first differ.
fn parting(old: &Map<String, Value>, new: &Map<String, Value>) -> Option<Parting> {
    if old.get("digest") == new.get("digest") {
        return None;
    }
    let ladder = |of: &Map<String, Value>| -> Vec<Rung> {
        let rungs = of.get("digest_ladder").and_then(Value::as_array);
        rungs.into_iter().flatten().filter_map(Rung::read).collect()
    };
    let (old, new) = (ladder(old), ladder(new));
    let mut from = 0.0;
    for (old, new) in old.iter().zip(&new) {
        #[expect(clippy::float_cmp, reason = "both are the same quotient where they are equal")]
        if old.until_s != new.until_s {
            break;
        }
        if old.digest != new.digest {
            return Some(Parting {
                slice_s: Some((from, old.until_s)),
                kinds: more_or_fewer(&old.events, &new.events),
            });
        }
        from = old.until_s;
    }
    Some(Parting::default())
}

/// A rung as `summary.json` has it.
struct Rung {
    until_s: f64,
    digest: String,
    events: BTreeMap<String, i64>,
}

impl Rung {
    fn read(value: &Value) -> Option<Self> {
        let events = value.get("events")?.as_object()?;
        Some(Self {
            until_s: value.get("until_s")?.as_f64()?,
            digest: value.get("digest")?.as_str()?.to_owned(),
            events: events
                .iter()
                .filter_map(|(kind, n)| Some((kind.clone(), n.as_i64()?)))
                .collect(),
        })
    }
}

/// The greatest differences first.
fn more_or_fewer(old: &BTreeMap<String, i64>, new: &BTreeMap<String, i64>) -> Vec<(String, i64)> {
    let mut more = new.clone();
    for (kind, count) in old {
        *more.entry(kind.clone()).or_default() -= count;
    }
    let mut kinds: Vec<_> = more.into_iter().filter(|(_, more)| *more != 0).collect();
    kinds.sort_by_key(|(_, more)| std::cmp::Reverse(more.unsigned_abs()));
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(old: &Value, new: &Value) -> Vec<String> {
        compare(old, new).differences.iter().map(Difference::to_string).collect()
    }

    #[test]
    fn a_changed_default_is_told_before_the_numbers_that_it_moved() {
        let old = json!({
            "latency_ms": {"p99": 10.0}, "plan_digest": "a", "parameters": {"retry.attempts": "2"}
        });
        let new = json!({
            "latency_ms": {"p99": 12.5}, "plan_digest": "b", "parameters": {"retry.attempts": "3"}
        });
        assert_eq!(
            told(&old, &new),
            [
                "parameters.retry.attempts: 2 -> 3",
                "latency_ms.p99: 10.0 -> 12.5 (+25.00%)",
                "plan_digest: a -> b"
            ]
        );
        assert!(compare(&old, &old).is_same());
    }

    #[test]
    fn rows_are_matched_by_what_they_are_about() {
        let row = |status: u16, flags: &str, count: u64| {
            json!({
                "source": "productpage", "destination": "reviews", "version": "v2",
                "status": status, "flags": flags, "details": "via_upstream", "count": count
            })
        };
        let old = json!({"outcomes": [row(200, "-", 90), row(503, "UF", 10)]});
        let new = json!({"outcomes": [row(503, "URX,UF", 4), row(200, "-", 96)]});
        assert_eq!(
            told(&old, &new),
            [
                "outcomes[productpage reviews v2 200 - via_upstream].count: 90 -> 96 (+6.67%)",
                "outcomes[productpage reviews v2 503 UF via_upstream]: 10 -> nothing",
                "outcomes[productpage reviews v2 503 URX,UF via_upstream]: nothing -> 4",
            ]
        );
        let services =
            |p99: u64| json!({"services": [{"name": "reviews", "version": "v2", "p99": p99}]});
        assert_eq!(
            told(&services(1), &services(2)),
            ["services[reviews/v2].p99: 1 -> 2 (+100.00%)"]
        );
    }

    #[test]
    fn equal_keys_do_not_hide_each_other() {
        let of = |counts: [u64; 2]| json!({"phases": counts.map(|n| json!({"name": "x", "n": n}))});
        assert_eq!(told(&of([1, 2]), &of([1, 3])), ["phases[x #2].n: 2 -> 3 (+50.00%)"]);
    }

    #[test]
    fn the_version_of_the_program_is_no_result() {
        assert!(compare(&json!({"meshsim": "0.1.0"}), &json!({"meshsim": "0.2.0"})).is_same());
    }

    #[test]
    fn the_ladder_tells_when_two_runs_part_and_by_what() {
        let summary = |digests: [&str; 3], ready: u64| {
            json!({
                "digest": digests[2],
                "digest_ladder": [
                    {"until_s": 12600.0, "digest": digests[0], "events": {"arrive": 5}},
                    {"until_s": 13080.0, "digest": digests[1], "events": {"arrive": 9, "pod-ready": ready}},
                    {"until_s": 13560.0, "digest": digests[2], "events": {"arrive": 5}},
                ]
            })
        };
        let old = summary(["a", "b", "c"], 1);
        let parting = |new| compare(&old, &new).parting.map(|parting| parting.to_string());
        assert_eq!(parting(old.clone()), None);
        assert_eq!(
            parting(summary(["a", "x", "y"], 13)).as_deref(),
            Some("they part between 3h30m and 3h38m: 12 more pod-ready events")
        );
        assert_eq!(
            parting(summary(["x", "y", "z"], 1)).as_deref(),
            Some(
                "they part between 0s and 3h30m: as many events of each kind, but other times or owners"
            )
        );
        assert_eq!(
            parting(json!({"digest": "z"})).as_deref(),
            Some("their events differ; their ladders cannot be compared")
        );
    }
}
