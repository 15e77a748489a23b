//! Whether a simulation agrees with what was measured: the rules of the files, one function each.
//! `exact` is asked of every run, everything else of all runs together.
//!
//! Source: the schema `envoy-lab/2`, its section on comparison.
//! Left out: dividing the random part of a tolerance by the number of runs.

use super::facts::{Facts, Metric, Spread};
use super::schema::compare::{Compare, CountRule, GapTolerance, HitsRule, HopRule, TimesTolerance};
use super::schema::observed::Counts;
use super::times;

/// Differences below this are those of decimal numbers.
pub(super) const NOISE: f64 = 1e-9;
/// Shares in the files have so many digits.
const SHARE_NOISE: f64 = 6e-5;

/// A fact of counts: of each repetition.
type Of = fn(&Facts) -> &Counts;

/// All facts that do not agree, in words; empty if they all do.
pub fn compare(rules: &Compare, measured: &[Facts], simulated: &[Facts]) -> Vec<String> {
    let (Some(first), Some(run)) = (measured.first(), simulated.first()) else {
        return vec!["nothing to compare".to_owned()];
    };
    if first.accepted != run.accepted {
        let word = |accepted| if accepted { "accepted" } else { "rejected" };
        return vec![format!(
            "accepted: the configuration is {} instead of {}",
            word(run.accepted),
            word(first.accepted)
        )];
    }
    if !first.accepted {
        return Vec::new();
    }
    let mut differences = Differences { measured, simulated, found: Vec::new() };
    differences.counts(rules);
    differences.numbers(rules);
    for (proxy, rule) in &rules.hops {
        differences.hop(proxy, rule);
    }
    if let Some(tolerance) = rules.tolerance.gap_ms_between_attempts
        && rules.gap_ms_between_attempts.is_some()
    {
        differences.gaps(tolerance);
    }
    if let Some(rule) = &rules.times_s {
        let TimesTolerance { timelines, first_ejected_at, ejection_duration } = rule.tolerance;
        let found = &mut differences.found;
        if let Some(tolerance) = timelines {
            times::timelines(measured, simulated, tolerance, found);
        }
        if let Some(tolerance) = first_ejected_at {
            times::first_ejected(measured, simulated, tolerance, found);
        }
        if let Some(tolerance) = ejection_duration {
            times::ejections(measured, simulated, tolerance, found);
        }
    }
    differences.found
}

struct Differences<'f> {
    measured: &'f [Facts],
    simulated: &'f [Facts],
    found: Vec<String>,
}

impl Differences<'_> {
    /// Facts that count keys.
    fn counts(&mut self, rules: &Compare) {
        let tolerance = &rules.tolerance;
        let all: [(&str, Of, Option<CountRule>, Option<f64>); 6] = [
            ("outcomes", |facts| &facts.outcomes, rules.outcomes, tolerance.outcomes),
            ("attempts", |facts| &facts.attempts, rules.attempts, tolerance.attempts),
            ("hosts", |facts| &facts.hosts, rules.hosts, tolerance.hosts),
            ("host_share", |facts| &facts.host_share, rules.host_share, tolerance.host_share),
            ("clusters", |facts| &facts.clusters, rules.clusters, tolerance.clusters),
            ("burst", |facts| &facts.burst, rules.burst, tolerance.burst),
        ];
        for (name, of, rule, tolerance) in all {
            match rule {
                // What is given as shares is compared as shares.
                Some(CountRule::Exact) if name == "host_share" => {
                    for run in self.simulated {
                        self.shares(name, of, std::slice::from_ref(run), SHARE_NOISE);
                    }
                }
                Some(rule) => self.count(name, of, rule, tolerance.unwrap_or(0.0)),
                None => {}
            }
        }
        if rules.transport_failure.is_some() {
            self.set("transport_failure", |facts| &facts.transport_failures);
        }
        if rules.server_transport_failure.is_some() {
            self.set("server_transport_failure", |facts| &facts.server_transport_failures);
        }
    }

    fn count(&mut self, name: &str, of: Of, rule: CountRule, tolerance: f64) {
        match rule {
            CountRule::Exact => self.exact(name, of),
            CountRule::Share => self.shares(name, of, self.simulated, tolerance),
            CountRule::Set => self.set(name, of),
        }
    }

    /// The counts of every run are those of the repetitions, which agree.
    fn exact(&mut self, name: &str, of: Of) {
        let wanted = of(&self.measured[0]);
        for (seed, run) in self.simulated.iter().enumerate() {
            let counts = of(run);
            let different = wanted
                .keys()
                .chain(counts.keys())
                .find(|key| NOISE < (count(counts, key) - count(wanted, key)).abs());
            if let Some(key) = different {
                let (is, was) = (count(counts, key), count(wanted, key));
                self.found.push(format!("{name}: {key}: {is} instead of {was} (run {seed})"));
                return;
            }
        }
    }

    /// For every key of either side, the shares agree.
    fn shares(&mut self, name: &str, of: Of, simulated: &[Facts], tolerance: f64) {
        let worst = worst_share(self.measured, simulated, of);
        if let Some((key, is, was)) = worst
            && tolerance + NOISE < (is - was).abs()
        {
            self.found.push(format!("{name}: {key}: {is:.4} instead of {was:.4} ± {tolerance}"));
        }
    }

    /// The keys are those that every repetition has, and none that no repetition has.
    fn set(&mut self, name: &str, of: Of) {
        let has = |facts: &Facts, key: &str| 0.0 < count(of(facts), key);
        let (measured, simulated) = (self.measured, self.simulated);
        let keys = measured.iter().chain(simulated).flat_map(|facts| of(facts).keys());
        for key in keys {
            let is_there = simulated.iter().any(|facts| has(facts, key));
            let problem = if is_there {
                (!measured.iter().any(|facts| has(facts, key))).then_some("was never seen")
            } else {
                measured.iter().all(|facts| has(facts, key)).then_some("is missing")
            };
            if let Some(problem) = problem {
                return self.found.push(format!("{name}: {key} {problem}"));
            }
        }
    }

    /// Facts that are numbers.
    fn numbers(&mut self, rules: &Compare) {
        let tolerance = &rules.tolerance;
        let total = |facts: &Facts| facts.hits.values().sum::<f64>();
        match rules.upstream_hits_total {
            Some(HitsRule::Exact) => {
                let wanted = total(&self.measured[0]);
                let different = self.simulated.iter().map(total).find(|one| differ(*one, wanted));
                if let Some(is) = different {
                    self.found.push(format!("upstream_hits_total: {is} instead of {wanted}"));
                }
            }
            Some(HitsRule::Relative) => {
                let relative = tolerance.upstream_hits_total.unwrap_or(0.0);
                let (is, was) = (mean(self.simulated, total), mean(self.measured, total));
                self.near("upstream_hits_total", is, was, relative * was);
            }
            None => {}
        }
        if rules.stats.is_some() {
            for (name, tolerance) in &tolerance.stats {
                let of = |facts: &Facts| count(&facts.stats, name);
                let (is, was) = (mean(self.simulated, of), mean(self.measured, of));
                self.near(&format!("stats: {name}"), is, was, *tolerance);
            }
        }
        if rules.metrics.is_some() {
            for (name, tolerance) in &tolerance.metrics {
                self.metric(name, *tolerance);
            }
        }
        if rules.durations_each_ms.is_some() {
            self.durations(tolerance.durations_each_ms.unwrap_or(0.0));
        }
        if rules.duration_ms_mean.is_some() {
            let pooled = |all: &[Facts]| {
                Spread::pooled(&all.iter().map(|facts| facts.duration).collect::<Vec<_>>()).mean
            };
            let (is, was) = (pooled(self.simulated), pooled(self.measured));
            self.near("duration_ms_mean", is, was, tolerance.duration_ms_mean.unwrap_or(0.0));
        }
        if rules.timeline_share.is_some() {
            self.timeline_share(tolerance.timeline_share.unwrap_or(0.0));
        }
    }

    fn near(&mut self, name: &str, is: f64, was: f64, tolerance: f64) {
        if tolerance + NOISE < (is - was).abs() {
            self.found.push(format!("{name}: {is:.4} instead of {was:.4} ± {tolerance:.4}"));
        }
    }

    /// A named number, by key if it is a table.
    fn metric(&mut self, name: &str, tolerance: f64) {
        let of = |all: &[Facts]| -> Vec<Metric> {
            let metric = |facts: &Facts| facts.metrics.get(name).cloned();
            all.iter().map(|facts| metric(facts).unwrap_or(Metric::Nothing)).collect()
        };
        let (was, is) = (of(self.measured), of(self.simulated));
        let keys = was.iter().chain(&is).flat_map(|metric| match metric {
            Metric::ByKey(table) => table.keys().cloned().collect(),
            _ => Vec::new(),
        });
        let mut keys: Vec<String> = keys.collect();
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            keys.push(String::new());
        }
        for key in keys {
            let label = format!("metrics: {name}{}{key}", if key.is_empty() { "" } else { ": " });
            // What was most at once in a run: many runs together have none, but a usual one.
            let of = if name.starts_with("max_") { median_metric } else { mean_metric };
            match (of(&is, &key), of(&was, &key)) {
                (Some(is), Some(was)) => self.near(&label, is, was, tolerance),
                (None, None) => {}
                (Some(is), None) => {
                    self.found.push(format!("{label}: {is:.4} where nothing was measured"));
                }
                (None, Some(was)) => self.found.push(format!("{label}: none instead of {was:.4}")),
            }
        }
    }

    /// The durations of each good answer, shortest first.
    fn durations(&mut self, tolerance: f64) {
        let lists = |all: &[Facts]| -> Vec<Vec<f64>> {
            let list = |facts: &Facts| match facts.metrics.get("duration_ms_of_each_ok") {
                Some(Metric::List(list)) => {
                    let mut list = list.clone();
                    list.sort_by(f64::total_cmp);
                    list
                }
                _ => Vec::new(),
            };
            all.iter().map(list).collect()
        };
        let (was, is) = (lists(self.measured), lists(self.simulated));
        let length = was[0].len();
        if let Some(other) = is.iter().find(|list| list.len() != length) {
            let found = format!("durations_each_ms: {} of them instead of {length}", other.len());
            return self.found.push(found);
        }
        let at = |lists: &[Vec<f64>], index: usize| {
            let all = lists.iter().filter_map(|list| list.get(index));
            all.clone().sum::<f64>() / all.count().max(1) as f64
        };
        for index in 0..length {
            let (is, was) = (at(&is, index), at(&was, index));
            self.near(&format!("durations_each_ms: {}", index + 1), is, was, tolerance);
        }
    }

    /// The share of a new host, row by row; where there are no requests it is 0.
    fn timeline_share(&mut self, tolerance: f64) {
        let at = |all: &[Facts], time: f64| {
            let share = |facts: &Facts| {
                let row = facts.share_of_new_host.iter().find(|(at, _)| !differ(*at, time));
                row.map_or(Metric::Nothing, |(_, share)| Metric::Number(*share))
            };
            mean_metric(&all.iter().map(share).collect::<Vec<_>>(), "")
        };
        let rows = self.measured.iter().flat_map(|facts| &facts.share_of_new_host);
        let mut times: Vec<f64> = rows.map(|(time, _)| *time).collect();
        times.sort_by(f64::total_cmp);
        times.dedup_by(|one, other| !differ(*one, *other));
        for time in times {
            let (is, was) = (at(self.simulated, time), at(self.measured, time));
            // The last row may hold a few late requests of the measured load.
            let (Some(is), Some(was)) = (is, was) else { continue };
            self.near(&format!("timeline_share: at {time} s"), is, was, tolerance);
        }
    }

    /// One proxy of a chain.
    fn hop(&mut self, proxy: &str, rule: &HopRule) {
        let hop = |facts: &Facts| Facts {
            outcomes: facts.hops.get(proxy).cloned().unwrap_or_default(),
            ..Facts::default()
        };
        let (measured, simulated): (Vec<_>, Vec<_>) =
            (self.measured.iter().map(hop).collect(), self.simulated.iter().map(hop).collect());
        let mut own = Differences { measured: &measured, simulated: &simulated, found: Vec::new() };
        own.count(
            "outcomes",
            |facts| &facts.outcomes,
            rule.outcomes,
            rule.share_tolerance.unwrap_or(0.0),
        );
        let requests = |facts: &Facts| facts.outcomes.values().sum::<f64>();
        let (is, was) = (mean(&simulated, requests), mean(&measured, requests));
        own.near("requests", is, was, rule.requests_relative * was);
        self.found.extend(own.found.into_iter().map(|found| format!("hops: {proxy}: {found}")));
    }

    /// The back-off before each retry.
    fn gaps(&mut self, tolerance: GapTolerance) {
        let of = |all: &[Facts], retry: &str| {
            let gaps: Vec<Spread> =
                all.iter().filter_map(|facts| facts.gaps.get(retry).copied()).collect();
            (!gaps.is_empty()).then(|| Spread::pooled(&gaps))
        };
        for retry in self.measured.iter().flat_map(|facts| facts.gaps.keys()) {
            let Some(was) = of(self.measured, retry) else { continue };
            let Some(is) = of(self.simulated, retry) else {
                self.found.push(format!("gap_ms_between_attempts: there is no {retry}"));
                continue;
            };
            let name = format!("gap_ms_between_attempts: {retry}");
            self.near(&name, is.mean, was.mean, tolerance.mean_relative * was.mean + 2.0);
            if was.max + tolerance.max_ms < is.max {
                let (is, was) = (is.max, was.max);
                self.found.push(format!("{name}: up to {is:.1} ms instead of {was:.1} ms"));
            }
        }
    }
}

/// A count; a key that is absent has 0.
fn count(counts: &Counts, key: &str) -> f64 {
    counts.get(key).copied().unwrap_or(0.0)
}

fn differ(a: f64, b: f64) -> bool {
    NOISE < (a - b).abs()
}

fn mean(all: &[Facts], of: impl Fn(&Facts) -> f64) -> f64 {
    all.iter().map(of).sum::<f64>() / all.len().max(1) as f64
}

/// The mean over those that have the number; none if nobody has.
fn mean_metric(all: &[Metric], key: &str) -> Option<f64> {
    let numbers = numbers(all, key);
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

/// The lower median of those that have the number.
fn median_metric(all: &[Metric], key: &str) -> Option<f64> {
    let mut numbers = numbers(all, key);
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len().saturating_sub(1) / 2).copied()
}

fn numbers(all: &[Metric], key: &str) -> Vec<f64> {
    let number = |metric: &Metric| match metric {
        Metric::Number(number) => Some(*number),
        Metric::ByKey(table) => table.get(key).copied(),
        Metric::Nothing | Metric::List(_) => None,
    };
    all.iter().filter_map(number).collect()
}

/// The key whose pooled simulated share is farthest from the mean measured one, with both.
fn worst_share(measured: &[Facts], simulated: &[Facts], of: Of) -> Option<(String, f64, f64)> {
    let share = |facts: &Facts, key: &str| {
        let total: f64 = of(facts).values().sum();
        if 0.0 < total { count(of(facts), key) / total } else { 0.0 }
    };
    let total: f64 = simulated.iter().flat_map(|facts| of(facts).values()).sum();
    let keys = measured.iter().chain(simulated).flat_map(|facts| of(facts).keys());
    let both = keys.map(|key| {
        let pooled: f64 = simulated.iter().map(|facts| count(of(facts), key)).sum();
        let is = if 0.0 < total { pooled / total } else { 0.0 };
        (key.clone(), is, mean(measured, |facts| share(facts, key)))
    });
    both.max_by(|a, b| (a.1 - a.2).abs().total_cmp(&(b.1 - b.2).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(text: serde_json::Value) -> Compare {
        let mut text = text;
        text["ignore"] = json!([]);
        serde_json::from_value(text).expect("rules that read")
    }

    fn seen(outcomes: &[(&str, f64)]) -> Facts {
        let outcomes = outcomes.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect();
        Facts { accepted: true, outcomes, ..Facts::default() }
    }

    #[test]
    fn exact_is_asked_of_every_run_and_shares_of_all_together() {
        let measured = [seen(&[("200", 50.0), ("503", 50.0)])];
        let runs = [seen(&[("200", 48.0), ("503", 52.0)]), seen(&[("200", 52.0), ("503", 48.0)])];
        let exact = rules(json!({ "outcomes": "exact" }));
        assert_eq!(compare(&exact, &measured, &measured), Vec::<String>::new());
        assert_eq!(compare(&exact, &measured, &runs).len(), 1);
        let share = rules(json!({ "outcomes": "share", "tolerance": { "outcomes": 0.01 } }));
        assert_eq!(compare(&share, &measured, &runs), Vec::<String>::new());
        assert_eq!(compare(&share, &measured, &runs[..1]).len(), 1);
    }

    #[test]
    fn a_share_is_that_of_its_own_repetition_and_an_absent_key_has_none() {
        let measured = [seen(&[("200", 10.0)]), seen(&[("200", 100.0), ("503", 100.0)])];
        // The mean of 1 and 1/2, whatever the number of requests.
        let share = rules(json!({ "outcomes": "share", "tolerance": { "outcomes": 0.001 } }));
        let run = |ok| [seen(&[("200", ok), ("503", 100.0 - ok)])];
        assert!(compare(&share, &measured, &run(75.0)).is_empty());
        assert!(!compare(&share, &measured, &run(70.0)).is_empty());
        assert!(!compare(&share, &measured, &[seen(&[("200", 100.0)])]).is_empty());
    }

    #[test]
    fn a_set_has_what_every_repetition_has_and_nothing_that_none_has() {
        let measured = [seen(&[("a", 1.0), ("b", 1.0)]), seen(&[("a", 9.0), ("c", 0.0)])];
        let set = rules(json!({ "outcomes": "set" }));
        let agrees = |keys: &[(&str, f64)]| compare(&set, &measured, &[seen(keys)]).is_empty();
        assert!(agrees(&[("a", 5.0)]));
        assert!(agrees(&[("a", 5.0), ("b", 5.0)]));
        assert!(!agrees(&[("b", 5.0)]));
        assert!(!agrees(&[("a", 5.0), ("c", 1.0)]));
    }

    #[test]
    fn a_rejected_configuration_is_compared_by_that_alone() {
        let rejected = [Facts::default()];
        let accepted = [seen(&[("200", 1.0)])];
        let exact = rules(json!({ "accepted": "exact", "outcomes": "exact" }));
        assert!(compare(&exact, &rejected, &rejected).is_empty());
        assert_eq!(compare(&exact, &rejected, &accepted).len(), 1);
        assert_eq!(compare(&exact, &accepted, &rejected).len(), 1);
    }

    #[test]
    fn the_rows_of_every_repetition_are_compared() {
        let rule = rules(json!({
            "timeline_share": "absolute", "tolerance": { "timeline_share": 0.1 },
        }));
        let rows = |rows: &[(f64, f64)]| Facts {
            accepted: true,
            share_of_new_host: rows.to_vec(),
            ..Facts::default()
        };
        let measured = [rows(&[(0.0, 0.1)]), rows(&[(0.0, 0.1), (1.0, 0.5)])];
        assert!(compare(&rule, &measured, &[rows(&[(0.0, 0.2), (1.0, 0.45)])]).is_empty());
        assert_eq!(compare(&rule, &measured, &[rows(&[(0.0, 0.2), (1.0, 0.2)])]).len(), 1);
    }

    #[test]
    fn a_table_of_numbers_is_compared_by_key() {
        let rule = rules(json!({ "metrics": "absolute", "tolerance": { "metrics": { "m": 1 } } }));
        let table = |pairs: &[(&str, f64)]| {
            let table = pairs.iter().map(|(key, number)| ((*key).to_owned(), *number)).collect();
            let metrics = [("m".to_owned(), Metric::ByKey(table))].into();
            [Facts { accepted: true, metrics, ..Facts::default() }]
        };
        let measured = table(&[("a", 5.0)]);
        assert!(compare(&rule, &measured, &table(&[("a", 6.0)])).is_empty());
        assert!(!compare(&rule, &measured, &table(&[("a", 6.5)])).is_empty());
        assert!(!compare(&rule, &measured, &table(&[])).is_empty());
        assert!(!compare(&rule, &measured, &table(&[("a", 5.0), ("b", 5.0)])).is_empty());
    }
}
