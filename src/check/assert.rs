//! Judges assertions: the numbers that a run's probes hold against what was expected of them.
//!
//! A probe has one window, or several (`every`, or an event that happens more than once); each
//! window with samples must hold, and the worst one is reported. With `seeds = N, share` the
//! expectation becomes one about runs: it must hold in that share of N of them.
//!
//! Source: docs/results.md; Litmus and k6 for "no data is not a pass".
//! Left out: runs that were ended early, which are not judged at all.

use crate::check::judgement::{Judgement, Verdict};
use crate::kernel::time::Time;
use crate::observe::run::{ProbeWindow, Run};
use crate::plan::Plan;
use crate::plan::assertion::{Assertion, Comparison, Expectation, Metric};

/// The verdicts on a run, in the plan's order; none on a run that was ended early.
pub fn judge(plan: &Plan, run: &Run) -> Vec<Judgement> {
    if run.partial.is_some() {
        return Vec::new();
    }
    assert_eq!(plan.assertions.len(), run.probes.len(), "each assertion has its probe");
    let pairs = plan.assertions.iter().zip(&run.probes);
    let judged = pairs.map(|(assertion, probe)| match counted(assertion, run) {
        Some(window) => judge_one(assertion, &[window]),
        None => judge_one(assertion, &probe.windows),
    });
    judged.collect()
}

/// What a counter of Linkerd's shows at the end of a run.
fn counted(assertion: &Assertion, run: &Run) -> Option<ProbeWindow> {
    let Metric::Counter(counter) = assertion.expect.metric else { return None };
    let value = run.linkerd.map(|own| own.counted(run, counter) as f64);
    Some(ProbeWindow {
        from: Time::ZERO + run.warmup,
        to: Time::ZERO + run.duration,
        samples: u64::from(value.is_some()),
        value,
        first_violation: None,
    })
}

/// How many runs the plan's assertions need, seeds counted up from the first; at least 1.
pub fn seeds_needed(plan: &Plan) -> u32 {
    let wanted = plan.assertions.iter().filter_map(|assertion| assertion.seeds);
    wanted.map(|(seeds, _)| seeds).max().unwrap_or(1).max(1)
}

/// The verdicts on a plan from those on several runs of it, the scenario's own seed first.
///
/// An assertion without `seeds` keeps the verdict on the first run.
pub fn over_seeds(plan: &Plan, by_seed: &[Vec<Judgement>]) -> Vec<Judgement> {
    let Some(first) = by_seed.first() else { return Vec::new() };
    let mut verdicts = Vec::with_capacity(first.len());
    for (index, (assertion, own)) in plan.assertions.iter().zip(first).enumerate() {
        verdicts.push(match assertion.seeds {
            None => own.clone(),
            Some((seeds, share)) => {
                let runs = by_seed.iter().take(seeds as usize);
                share_of_runs(assertion, &runs.map(|all| &all[index]).collect::<Vec<_>>(), share)
            }
        });
    }
    verdicts
}

fn judge_one(assertion: &Assertion, windows: &[ProbeWindow]) -> Judgement {
    let Expectation { comparison, threshold, .. } = assertion.expect;
    let sampled = || windows.iter().filter(|window| window.samples != 0);
    let holds =
        |window: &ProbeWindow| window.value.is_some_and(|value| comparison.holds(value, threshold));
    let worst = sampled().reduce(|worst, window| {
        let (old, new) =
            (badness(worst, comparison, threshold), badness(window, comparison, threshold));
        if old < new { window } else { worst }
    });
    let first_failed = sampled().find(|window| !holds(window));
    let verdict = match (worst, first_failed) {
        (None, _) => Verdict::NoData,
        (Some(_), None) => Verdict::Pass,
        (Some(_), Some(_)) => Verdict::Fail,
    };
    Judgement {
        name: assertion.name.clone(),
        verdict,
        passes: passes(verdict, assertion),
        expect: assertion.text.clone(),
        measured: worst.and_then(|window| window.value),
        threshold,
        worst: worst.filter(|_| 1 < windows.len()).map(|window| (window.from, window.to)),
        // One window as a whole has no first moment but the one that the recorder saw.
        first_violation: first_failed.and_then(|window| {
            window.first_violation.or((1 < windows.len()).then_some(window.from))
        }),
    }
}

/// How far a window is on the wrong side of the threshold, in the metric's unit; below zero on
/// the right side. Samples without a value (it never recovered) are as bad as can be.
fn badness(window: &ProbeWindow, comparison: Comparison, threshold: f64) -> f64 {
    let Some(value) = window.value.filter(|value| !value.is_nan()) else { return f64::INFINITY };
    match comparison {
        Comparison::Less | Comparison::AtMost => value - threshold,
        Comparison::AtLeast | Comparison::Greater => threshold - value,
        Comparison::Equal => (value - threshold).abs(),
        Comparison::NotEqual => -(value - threshold).abs(),
    }
}

fn share_of_runs(assertion: &Assertion, runs: &[&Judgement], share: f64) -> Judgement {
    let held = runs.iter().filter(|one| one.passes).count();
    let measured = held as f64 / runs.len() as f64;
    let verdict = if runs.iter().all(|one| one.verdict == Verdict::NoData) {
        Verdict::NoData
    } else if share <= measured {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let failed = runs.iter().find(|one| !one.passes);
    // A share as people write it: 29 %, not 28.999999999999996 %.
    let percent = (share * 1e6).round() / 1e4;
    Judgement {
        name: assertion.name.clone(),
        verdict,
        passes: passes(verdict, assertion),
        expect: format!("{} in {percent}% of {} runs", assertion.text, runs.len()),
        measured: (verdict != Verdict::NoData).then_some(measured),
        threshold: share,
        worst: failed.and_then(|one| one.worst),
        first_violation: failed.and_then(|one| one.first_violation),
    }
}

fn passes(verdict: Verdict, assertion: &Assertion) -> bool {
    match verdict {
        Verdict::Pass => true,
        Verdict::Fail => false,
        Verdict::NoData => assertion.pass_without_data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::assertion::{Filter, Window, WindowBase};

    fn assertion(comparison: Comparison, threshold: f64) -> Assertion {
        Assertion {
            name: "enough succeed".to_owned(),
            window: Window { base: WindowBase::Run, from: None, to: None },
            filter: Filter::default(),
            expect: Expectation {
                metric: Metric::SuccessRate(Filter::default()),
                comparison,
                threshold,
            },
            text: "success_rate >= 99%".to_owned(),
            every: None,
            pass_without_data: false,
            seeds: None,
        }
    }

    fn window(from_s: u64, value: Option<f64>) -> ProbeWindow {
        let at = |s: u64| Time::from_ns(s * 1_000_000_000);
        ProbeWindow {
            from: at(from_s),
            to: at(from_s + 10),
            samples: u64::from(value.is_some()),
            value,
            first_violation: None,
        }
    }

    #[test]
    fn every_window_must_hold_and_the_worst_one_is_told() {
        let windows = [
            window(0, Some(1.0)),
            window(10, Some(0.98)),
            window(20, None),
            window(30, Some(0.5)),
            window(40, Some(0.5)),
        ];
        let judged = judge_one(&assertion(Comparison::AtLeast, 0.99), &windows);
        assert_eq!((judged.verdict, judged.passes), (Verdict::Fail, false));
        assert_eq!(judged.measured, Some(0.5));
        assert_eq!(judged.worst, Some((windows[3].from, windows[3].to)));
        assert_eq!(judged.first_violation, Some(windows[1].from));
    }

    #[test]
    fn one_window_tells_the_moment_that_the_recorder_saw() {
        let mut only = window(0, Some(0.98));
        let at_least = assertion(Comparison::AtLeast, 0.99);
        assert_eq!(judge_one(&at_least, std::slice::from_ref(&only)).first_violation, None);
        only.first_violation = Some(Time::from_ns(7));
        let judged = judge_one(&at_least, &[only]);
        assert_eq!((judged.first_violation, judged.worst), (Some(Time::from_ns(7)), None));
    }

    #[test]
    fn the_worst_window_is_the_nearest_to_failing_where_all_hold() {
        for (comparison, threshold, worst) in [
            (Comparison::Less, 10.0, 5.0),
            (Comparison::AtMost, 10.0, 5.0),
            (Comparison::AtLeast, 0.5, 1.0),
            (Comparison::Greater, 0.5, 1.0),
            (Comparison::NotEqual, 6.0, 5.0),
        ] {
            let windows = [window(0, Some(3.0)), window(10, Some(5.0)), window(20, Some(1.0))];
            let judged = judge_one(&assertion(comparison, threshold), &windows);
            assert_eq!((judged.verdict, judged.measured), (Verdict::Pass, Some(worst)));
        }
    }

    #[test]
    fn no_samples_are_a_verdict_of_their_own() {
        let mut one = assertion(Comparison::AtLeast, 0.99);
        for windows in [vec![], vec![window(0, None)]] {
            let judged = judge_one(&one, &windows);
            assert_eq!((judged.verdict, judged.passes), (Verdict::NoData, false));
            assert_eq!((judged.measured, judged.first_violation), (None, None));
        }
        one.pass_without_data = true;
        assert!(judge_one(&one, &[]).passes);
    }

    #[test]
    fn samples_without_a_value_fail() {
        let never = ProbeWindow { samples: 5, ..window(0, None) };
        let judged = judge_one(&assertion(Comparison::AtMost, 15.0), &[never]);
        assert_eq!((judged.verdict, judged.measured), (Verdict::Fail, None));
    }

    #[test]
    fn an_expectation_over_seeds_is_judged_by_the_share_of_runs() {
        let mut one = assertion(Comparison::AtLeast, 0.99);
        one.seeds = Some((4, 0.75));
        let run = |value| judge_one(&one, &[window(0, value)]);
        let of = |values: [Option<f64>; 4]| {
            let runs: Vec<_> = values.into_iter().map(run).collect();
            share_of_runs(&one, &runs.iter().collect::<Vec<_>>(), 0.75)
        };
        let (good, bad) = (Some(1.0), Some(0.9));
        let judged = of([good, bad, good, good]);
        assert_eq!((judged.verdict, judged.measured), (Verdict::Pass, Some(0.75)));
        assert_eq!(judged.expect, "success_rate >= 99% in 75% of 4 runs");
        assert_eq!(of([good, bad, None, good]).verdict, Verdict::Fail);
        assert_eq!(of([None; 4]).verdict, Verdict::NoData);
    }
}
