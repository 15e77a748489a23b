//! What it means: whether all assertions held, and of each that did not, by how much and when.
//!
//! Source: docs/results.md: value, margin, worst window, first violation.
//! Left out: assertions that held; `summary.json` has them.

use super::{Paint, wrap};
use crate::check::judgement::{Judgement, Verdict};
use crate::observe::run::Run;
use crate::report::number::{clock, length_of_s, percent, plain};
use crate::report::words::{harmless, plural, span};

/// Failed assertions that are told one by one.
const FAILED_MAX: usize = 4;

/// One line if all is well.
pub(super) fn lines(run: &Run, judgements: &[Judgement], paint: Paint) -> Vec<String> {
    if let Some(partial) = run.partial {
        let at = clock(partial.at);
        let text = format!("Ended early at {at} ({}): assertions are not judged.", partial.why);
        return vec![paint.bad(&text)];
    }
    let failed: Vec<_> = judgements.iter().filter(|one| !one.passes).collect();
    let all = judgements.len() as u64;
    match (all, failed.len() as u64) {
        (0, _) => vec!["The scenario asserts nothing.".to_owned()],
        (1, 0) => vec![paint.good("Its assertion held.")],
        (_, 0) => vec![paint.good(&format!(
            "All {} held{}.",
            plural(all, "assertion"),
            without_data(judgements)
        ))],
        (_, bad) => {
            let head = format!("{bad} of {} failed.", plural(all, "assertion"));
            let mut lines = vec![paint.bad(&head)];
            lines.extend(failed.iter().take(FAILED_MAX).flat_map(|one| failure(one, paint)));
            if let Some(more @ 1..) = failed.len().checked_sub(FAILED_MAX) {
                lines.push(format!("  … and {more} more"));
            }
            lines
        }
    }
}

fn without_data(judgements: &[Judgement]) -> String {
    match judgements.iter().filter(|one| one.verdict == Verdict::NoData).count() {
        0 => String::new(),
        count => format!(", {count} of them without data"),
    }
}

fn failure(one: &Judgement, paint: Paint) -> Vec<String> {
    let word = match one.verdict {
        Verdict::Pass | Verdict::Fail => "FAIL",
        Verdict::NoData => "NO DATA",
    };
    let head = format!("  {word}  ");
    let mut lines = wrap(&harmless(&one.name), &head, "        ");
    lines[0] = lines[0].replacen(&head, &format!("  {}  ", paint.bad(word)), 1);
    lines.extend(wrap(&numbers(one), "        ", "        "));
    lines
}

fn numbers(one: &Judgement) -> String {
    let expect = harmless(&one.expect);
    let Some(measured) = one.measured else {
        return format!("{expect}: there was nothing to measure");
    };
    let unit = Unit::of(&one.expect);
    let off = unit.difference((measured - one.threshold).abs());
    let direction = if measured < one.threshold {
        format!(", {off} too low")
    } else if one.threshold < measured {
        format!(", {off} too high")
    } else {
        String::new()
    };
    let worst = one.worst.map(|(from, to)| format!("; worst in {}", span(from, to)));
    let first = one.first_violation.map(|at| format!("; first at {}", clock(at)));
    let (worst, first) = (worst.unwrap_or_default(), first.unwrap_or_default());
    format!("{expect}: it was {}{direction}{worst}{first}", unit.value(measured))
}

/// How the file writes the threshold, and so how the measured number is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    Percent,
    Time,
    Plain,
}

impl Unit {
    fn of(expect: &str) -> Self {
        let threshold = expect.rsplit(['<', '>', '=', ' ']).next().unwrap_or("");
        // The first unit of `1m30s`.
        let letters = threshold.trim_start_matches(|letter: char| !letter.is_alphabetic());
        match letters.split(|letter: char| !letter.is_alphabetic()).next().unwrap_or("") {
            _ if threshold.ends_with('%') => Self::Percent,
            "ns" | "us" | "µs" | "ms" | "s" | "m" | "h" | "d" => Self::Time,
            _ => Self::Plain,
        }
    }

    fn value(self, number: f64) -> String {
        match self {
            Self::Percent => percent(number),
            Self::Time => length_of_s(number),
            Self::Plain => plain(number),
        }
    }

    fn difference(self, number: f64) -> String {
        match self {
            Self::Percent => percent(number).replace(" %", " points"),
            Self::Time | Self::Plain => self.value(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::run::Partial;
    use crate::report::testing::{hours, sample_judgements, sample_run};

    #[test]
    fn numbers_are_written_as_the_file_writes_them() {
        for (expect, unit) in [
            ("success_rate >= 99.9%", Unit::Percent),
            ("success_rate>=0.999", Unit::Plain),
            ("p99 < 250ms", Unit::Time),
            ("recovery_time(success_rate >= 99.9%) <= 1m30s", Unit::Time),
            ("count(flags=UH) == 0", Unit::Plain),
            ("rate > 100rps", Unit::Plain),
        ] {
            assert_eq!(Unit::of(expect), unit, "{expect}");
        }
    }

    #[test]
    fn a_run_that_ended_early_is_not_judged() {
        let mut run = sample_run();
        run.partial = Some(Partial { why: "max-events", at: hours(5) });
        let text = lines(&run, &sample_judgements(), Paint(false)).join("\n");
        assert_eq!(text, "Ended early at 5h (max-events): assertions are not judged.");
    }

    #[test]
    fn what_held_is_one_line() {
        let held = vec![sample_judgements()[0].clone(); 3];
        assert_eq!(lines(&sample_run(), &held, Paint(false)), ["All 3 assertions held."]);
    }
}
