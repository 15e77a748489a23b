//! The rules of times: a simulated time agrees if it is near that of at least one repetition.
//! Of several runs the median counts.
//!
//! Source: the schema `envoy-lab/2`, its section on comparison.
//! Left out: timelines of gauges, which hold no requests.

use super::compare::NOISE;
use super::facts::{Facts, Span};
use super::schema::observed::TimelineWhat;
use std::collections::BTreeSet;

/// Names with fewer requests are not looked at.
const REQUESTS_MIN: f64 = 3.0;

/// For every name of a timeline, the first and the last row in which it occurs.
pub(super) fn timelines(
    measured: &[Facts],
    simulated: &[Facts],
    tolerance: f64,
    found: &mut Vec<String>,
) {
    // Only what was measured as a timeline.
    let kinds: BTreeSet<TimelineWhat> =
        measured.iter().flat_map(|facts| facts.spans.keys()).map(|(what, _)| *what).collect();
    let keys: BTreeSet<&(TimelineWhat, String)> = measured
        .iter()
        .chain(simulated)
        .flat_map(|facts| &facts.spans)
        .filter(|((what, _), span)| kinds.contains(what) && REQUESTS_MIN <= span.count)
        .map(|(key, _)| key)
        .collect();
    for key in keys {
        let spans = |all: &[Facts]| -> Vec<Span> {
            all.iter().filter_map(|facts| facts.spans.get(key).copied()).collect()
        };
        let (was, is) = (spans(measured), spans(simulated));
        let name = format!("times_s: {}", key.1);
        let total: f64 = is.iter().map(|span| span.count).sum();
        let frequent = REQUESTS_MIN <= total / simulated.len() as f64;
        let Some(step) = was.first().map(|span| span.step) else {
            if frequent {
                found.push(format!("{name} was never seen"));
            }
            continue;
        };
        if is.is_empty() {
            if was.iter().any(|span| REQUESTS_MIN <= span.count) {
                found.push(format!("{name} does not occur"));
            }
            continue;
        }
        let ends = |spans: &[Span], last: bool| -> Vec<f64> {
            spans.iter().map(|span| if last { span.last } else { span.first }).collect()
        };
        for (label, last) in [("first", false), ("last", true)] {
            let label = format!("{name}: {label} seen");
            near_one(&label, &ends(&is, last), &ends(&was, last), tolerance + step, found);
        }
    }
}

/// For every host, its first ejection.
pub(super) fn first_ejected(
    measured: &[Facts],
    simulated: &[Facts],
    tolerance: f64,
    found: &mut Vec<String>,
) {
    let hosts: BTreeSet<&String> =
        measured.iter().chain(simulated).flat_map(|facts| facts.first_ejected.keys()).collect();
    for host in hosts {
        let of = |all: &[Facts]| -> Vec<f64> {
            all.iter().filter_map(|facts| facts.first_ejected.get(host).copied()).collect()
        };
        let (was, is) = (of(measured), of(simulated));
        let label = format!("times_s: {host} first ejected");
        present(&label, &is, &was, (simulated.len(), measured.len()), tolerance, found);
    }
}

/// For every host, how long its k-th ejection lasted, as far as that was measured.
pub(super) fn ejections(
    measured: &[Facts],
    simulated: &[Facts],
    tolerance: f64,
    found: &mut Vec<String>,
) {
    let hosts: BTreeSet<&String> =
        measured.iter().flat_map(|facts| facts.ejections.keys()).collect();
    for host in hosts {
        let nth = |all: &[Facts], k: usize| -> Vec<f64> {
            let of = |facts: &Facts| facts.ejections.get(host)?.get(k).copied();
            all.iter().filter_map(of).collect()
        };
        let lengths = measured.iter().filter_map(|facts| facts.ejections.get(host));
        for k in 0..lengths.map(Vec::len).max().unwrap_or(0) {
            let (was, is) = (nth(measured, k), nth(simulated, k));
            let label = format!("times_s: {host}: length of ejection {}", k + 1);
            present(&label, &is, &was, (simulated.len(), measured.len()), tolerance, found);
        }
    }
}

/// A time that need not be there: it is, where all repetitions have it; it is not, where none has.
fn present(
    label: &str,
    is: &[f64],
    was: &[f64],
    (runs, repetitions): (usize, usize),
    tolerance: f64,
    found: &mut Vec<String>,
) {
    // The majority of runs says whether it is there.
    if is.len() * 2 < runs.max(1) {
        if was.len() == repetitions {
            found.push(format!("{label}: never"));
        }
    } else if was.is_empty() {
        found.push(format!("{label}: at {:.2} s, was never seen", median(is)));
    } else {
        near_one(label, is, was, tolerance, found);
    }
}

fn near_one(label: &str, is: &[f64], was: &[f64], tolerance: f64, found: &mut Vec<String>) {
    let is = median(is);
    if !was.iter().any(|was| (is - was).abs() <= tolerance + NOISE) {
        let was: Vec<String> = was.iter().map(|was| format!("{was:.2}")).collect();
        found.push(format!("{label}: {is:.2} s instead of {} ± {tolerance}", was.join(" or ")));
    }
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::truth::facts::Row;

    /// A repetition whose requests of a name begin in these rows of 1 s, one each.
    fn rows(name: &str, rows: &[f64]) -> Facts {
        let mut facts = Facts::default();
        for at in rows {
            let (what, count, step) = (TimelineWhat::Outcomes, 1.0, 1.0);
            Span::add(&mut facts.spans, Row { what, name, at: *at, count, step });
        }
        facts
    }

    fn differences(measured: &[Facts], simulated: &[Facts]) -> usize {
        let mut found = Vec::new();
        timelines(measured, simulated, 0.5, &mut found);
        found.len()
    }

    #[test]
    fn a_name_begins_and_ends_within_the_tolerance_and_a_row() {
        let measured = [rows("503/UF", &[2.0, 3.0, 4.0])];
        assert_eq!(differences(&measured, &[rows("503/UF", &[3.0, 3.5, 5.0])]), 0);
        assert_eq!(differences(&measured, &[rows("503/UF", &[4.0, 4.5, 5.0])]), 1);
        assert_eq!(differences(&measured, &[rows("503/UF", &[4.0, 5.0, 6.0])]), 2);
        assert_eq!(differences(&measured, &[Facts::default()]), 1);
    }

    #[test]
    fn one_repetition_suffices_and_rare_names_do_not_count() {
        let measured = [rows("503/UF", &[2.0, 3.0, 4.0]), rows("503/UF", &[7.0, 8.0, 9.0])];
        assert_eq!(differences(&measured, &[rows("503/UF", &[7.0, 8.0, 8.5])]), 0);
        let other = |times: &[f64]| rows("503/UC", times);
        assert_eq!(differences(&[other(&[2.0, 3.0])], &[Facts::default()]), 0);
        // Such as were never seen must stay rare.
        assert_eq!(differences(&measured[..1], &[other(&[3.0, 3.0, 3.0])]), 2);
    }

    #[test]
    fn an_ejection_that_was_always_seen_must_be_there() {
        let at = |times: &[f64]| -> Vec<Facts> {
            let one = |at: &f64| Facts {
                first_ejected: [("bad".to_owned(), *at)].into(),
                ..Facts::default()
            };
            times.iter().map(one).collect()
        };
        let found = |measured: &[Facts], simulated: &[Facts]| {
            let mut found = Vec::new();
            first_ejected(measured, simulated, 0.35, &mut found);
            found.len()
        };
        assert_eq!(found(&at(&[1.0]), &at(&[1.3])), 0);
        assert_eq!(found(&at(&[1.0]), &at(&[1.4])), 1);
        assert_eq!(found(&at(&[1.0]), &[Facts::default()]), 1);
        assert_eq!(found(&[Facts::default()], &at(&[1.0])), 1);
    }
}
