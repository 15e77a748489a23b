//! Verdicts on scenarios as text, as JSON, as JUnit.
//!
//! Source: docs/results.md: a failure shows the value, the margin, the worst window and the first
//! violation.
//! Left out: colours; words carry the verdict.

use super::ExitStatus;
use crate::check::compare::{Comparison, Difference};
use crate::check::judgement::{Judgement, Verdict};
use crate::check::junit::{Case, Suite};
use crate::kernel::time::Time;
use crate::plan::problem::Problem;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// More differences than this are counted, not listed.
const LISTED_MAX: usize = 20;

/// A scenario or variant, judged.
#[derive(Debug)]
pub(super) struct Tested {
    /// Scenario and variant.
    pub(super) title: String,
    /// The scenario's file.
    pub(super) file: String,
    /// Warnings of that file.
    pub(super) warnings: Arc<[Problem]>,
    /// How its run was sampled, if it was.
    pub(super) sampled: Option<String>,
    /// The verdicts on its assertions.
    pub(super) asserts: Vec<Judgement>,
    /// What its baseline says.
    pub(super) against: Against,
}

/// A result beside its baseline.
#[derive(Debug)]
pub(super) enum Against {
    /// The run did not reach its end.
    NotRun,
    /// There is no baseline.
    Missing,
    /// There is something else in its place.
    Unreadable(String),
    /// There is one.
    Compared(Comparison),
}

impl Tested {
    /// What this means for the exit status.
    pub(super) fn status(&self) -> ExitStatus {
        if matches!(self.against, Against::NotRun) {
            ExitStatus::Environment
        } else if self.is_expected() && self.is_as_before() {
            ExitStatus::Success
        } else {
            ExitStatus::Failed
        }
    }

    /// Whether its assertions hold.
    pub(super) fn is_expected(&self) -> bool {
        self.asserts.iter().all(|one| one.passes)
    }

    fn is_as_before(&self) -> bool {
        matches!(&self.against, Against::Compared(comparison) if comparison.is_same())
    }
}

/// For people: a line each, more under what failed, and a sum.
pub(super) fn text(tested: &[Tested]) -> String {
    let mut text = String::new();
    for one in tested {
        let word = match one.status() {
            ExitStatus::Success => "ok  ",
            ExitStatus::Environment => "left",
            ExitStatus::Failed | ExitStatus::Usage => "FAIL",
        };
        let sampled = one.sampled.as_ref().map_or(String::new(), |how| format!(", {how}"));
        let asserts = count(one.asserts.len(), "assertion");
        let line = format!("{word}  {}  {asserts}{sampled}\n", one.title);
        text += &line;
        text += &failures(&one.asserts);
        text += &against(one);
    }
    let with = |status| tested.iter().filter(|one| one.status() == status).count();
    let (passed, failed) = (with(ExitStatus::Success), with(ExitStatus::Failed));
    let _ = write!(text, "\n{passed} passed, {failed} failed");
    match with(ExitStatus::Environment) {
        0 => text.push('\n'),
        left => {
            let _ = writeln!(text, ", {left} left unfinished");
        }
    }
    text
}

/// What did not hold, each with its numbers.
pub(super) fn failures(asserts: &[Judgement]) -> String {
    let failed = asserts.iter().filter(|one| !one.passes);
    failed.fold(String::new(), |text, one| text + &format!("      {}\n", failure(one)))
}

/// What moved, at most [`LISTED_MAX`] of it.
pub(super) fn moved(comparison: &Comparison) -> String {
    let mut text = String::new();
    for difference in comparison.differences.iter().take(LISTED_MAX) {
        let _ = writeln!(text, "        {difference}");
    }
    if let Some(more) = comparison.differences.len().checked_sub(LISTED_MAX + 1) {
        let _ = writeln!(text, "        and {} more; --format json lists all", more + 1);
    }
    if let Some(parting) = &comparison.parting {
        let _ = writeln!(text, "        {parting}");
    }
    text
}

/// For programs.
pub(super) fn json(one: &Tested) -> Value {
    let (status, why) = match &one.against {
        Against::NotRun => ("not-run", None),
        Against::Missing => ("missing", None),
        Against::Unreadable(why) => ("unreadable", Some(why)),
        Against::Compared(comparison) if comparison.is_same() => ("same", None),
        Against::Compared(_) => ("differs", None),
    };
    let mut out = json!({
        "scenario": one.title, "file": one.file, "passed": one.status() == ExitStatus::Success,
        "baseline": status, "why": why, "sampling": one.sampled,
        "warnings": one.warnings.iter().map(warning_json).collect::<Vec<_>>(),
        "asserts": one.asserts.iter().map(assert_json).collect::<Vec<_>>(),
    });
    if let Against::Compared(comparison) = &one.against {
        out["differences"] = comparison.differences.iter().map(difference_json).collect();
        out["parting"] = comparison.parting.as_ref().map_or(Value::Null, |parting| {
            json!({
                "from_s": parting.slice_s.map(|slice| slice.0),
                "to_s": parting.slice_s.map(|slice| slice.1),
                "kinds": parting.kinds.iter().cloned().collect::<BTreeMap<_, _>>(),
            })
        });
    }
    out
}

fn warning_json(warning: &Problem) -> Value {
    let place = warning.place.as_ref();
    json!({
        "file": place.map(|place| &place.file), "line": place.map(|place| place.line),
        "column": place.map(|place| place.column), "what": warning.what, "hint": warning.hint,
    })
}

/// For build servers.
pub(super) fn suites(tested: &[Tested]) -> Vec<Suite> {
    let suite = |one: &Tested| {
        let mut cases: Vec<_> = one.asserts.iter().map(assert_case).collect();
        let failure = (!one.is_as_before()).then(|| {
            let text = against(one);
            let first = text.trim_start().lines().next().unwrap_or_default();
            (first.to_owned(), text.clone())
        });
        cases.push(Case { name: "baseline".to_owned(), failure });
        Suite { name: one.title.clone(), sampled: one.sampled.clone(), cases }
    };
    tested.iter().map(suite).collect()
}

fn against(one: &Tested) -> String {
    match &one.against {
        Against::NotRun => "      the run was ended before its end\n".to_owned(),
        Against::Missing => {
            format!("      there is no baseline; `meshsim bless {}` makes one\n", one.file)
        }
        Against::Unreadable(why) => {
            format!("      {why}; `meshsim bless {}` makes another\n", one.file)
        }
        Against::Compared(comparison) if comparison.is_same() => String::new(),
        Against::Compared(comparison) => {
            let values = count(comparison.differences.len(), "value");
            format!("      differs from its baseline in {values}\n{}", moved(comparison))
        }
    }
}

/// `"reviews survives": success_rate >= 99.9%, measured 0.93, off by 0.069, …`
fn failure(one: &Judgement) -> String {
    let mut text = format!("\"{}\": {}, ", one.name, one.expect);
    match (one.verdict, one.measured) {
        (Verdict::NoData, _) => text += "but there is no data",
        (_, None) => text += "but it never came to that",
        (_, Some(measured)) => {
            let margin = one.margin().unwrap_or_default();
            let _ = write!(text, "measured {}, off by {}", figures(measured), figures(margin));
        }
    }
    if let Some((from, to)) = one.worst {
        let _ = write!(text, ", worst from {from} to {to}");
    }
    if let Some(at) = one.first_violation {
        let _ = write!(text, ", first at {at}");
    }
    text
}

fn assert_case(one: &Judgement) -> Case {
    let failure = (!one.passes).then(|| {
        let text = failure(one);
        (format!("{}: {}", one.verdict.text(), one.expect), text)
    });
    Case { name: one.name.clone(), failure }
}

fn assert_json(one: &Judgement) -> Value {
    json!({
        "name": one.name, "verdict": one.verdict.text(), "passes": one.passes,
        "expect": one.expect, "measured": one.measured, "threshold": one.threshold,
        "margin": one.margin(),
        "worst_s": one.worst.map(|(from, to)| [from.as_s(), to.as_s()]),
        "first_violation_s": one.first_violation.map(Time::as_s),
    })
}

fn difference_json(one: &Difference) -> Value {
    json!({"path": one.path, "old": one.old, "new": one.new, "relative": one.relative()})
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Six figures are enough for people.
fn figures(number: f64) -> String {
    format!("{number:.5e}").parse::<f64>().unwrap_or(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Judgement {
        Judgement {
            name: "reviews survives".to_owned(),
            verdict: Verdict::Fail,
            passes: false,
            expect: "success_rate >= 99.9%".to_owned(),
            measured: Some(0.930_000_000_1),
            threshold: 0.999,
            worst: Some((Time::ZERO, Time::from_ns(10_000_000_000))),
            first_violation: Some(Time::from_ns(2_000_000_000)),
        }
    }

    #[test]
    fn a_failure_shows_value_margin_worst_window_and_first_violation() {
        assert_eq!(
            failure(&failed()),
            "\"reviews survives\": success_rate >= 99.9%, measured 0.93, off by 0.069, \
             worst from 0s to 10s, first at 2s"
        );
        let no_data = Judgement {
            verdict: Verdict::NoData,
            measured: None,
            worst: None,
            first_violation: None,
            ..failed()
        };
        assert!(failure(&no_data).ends_with("but there is no data"));
    }

    #[test]
    fn a_scenario_without_a_baseline_fails_and_says_bless() {
        let one = Tested {
            title: "outage".to_owned(),
            file: "scenarios/outage.toml".to_owned(),
            warnings: Arc::from([]),
            sampled: None,
            asserts: Vec::new(),
            against: Against::Missing,
        };
        assert_eq!(one.status(), ExitStatus::Failed);
        assert_eq!(
            text(&[one]),
            "FAIL  outage  0 assertions\n      there is no baseline; \
             `meshsim bless scenarios/outage.toml` makes one\n\n0 passed, 1 failed\n"
        );
    }

    #[test]
    fn a_result_as_before_passes() {
        let one = Tested {
            title: "outage".to_owned(),
            file: String::new(),
            warnings: [Problem::new("it does nothing").hint("leave it out")].into(),
            sampled: Some("sampled in 3 windows of 1s every 10s".to_owned()),
            asserts: Vec::new(),
            against: Against::Compared(Comparison::default()),
        };
        assert_eq!(one.status(), ExitStatus::Success);
        assert_eq!(json(&one)["baseline"], "same");
        // A warning is told, and changes nothing.
        let warning = &json(&one)["warnings"][0];
        assert_eq!((&warning["what"], &warning["line"]), (&json!("it does nothing"), &Value::Null));
        assert_eq!(warning["hint"], "leave it out");
        // That it was sampled is said in all three formats.
        let how = one.sampled.clone().unwrap_or_default();
        assert_eq!(json(&one)["sampling"], how);
        let xml = crate::check::junit::xml(&suites(std::slice::from_ref(&one)));
        assert!(xml.contains(&format!(r#"<property name="sampling" value="{how}"/>"#)), "{xml}");
        assert!(text(&[one]).starts_with(&format!("ok    outage  0 assertions, {how}\n")));
    }
}
