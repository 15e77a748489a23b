//! `events.jsonl`: what the control plane and the pods did, a line each. In a sampled run the first
//! line says so.
//!
//! Source: docs/results.md; the kinds are those of [`FactKind`].
//! Left out: requests, which are counted elsewhere.

use crate::observe::run::{LogLine, Run};
use crate::report::sampled;
use crate::vocabulary::fact::FactKind;
use serde::Serialize;

/// Something that happened.
#[derive(Serialize)]
struct Happened<'a> {
    time_s: f64,
    kind: FactKind,
    subject: &'a str,
    detail: &'a str,
}

/// So many more happened in this interval.
#[derive(Serialize)]
struct Rest {
    time_s: f64,
    kind: FactKind,
    more: u64,
}

/// That requests were sampled; nothing that is told here was.
#[derive(Serialize)]
struct Note<'a> {
    time_s: f64,
    kind: &'static str,
    subject: &'static str,
    detail: &'a str,
}

/// A JSON object a line, in time order.
pub fn events(run: &Run) -> String {
    let lines = run.log.iter().map(|line| json(line) + "\n");
    note(run).into_iter().chain(lines).collect()
}

fn note(run: &Run) -> Option<String> {
    let detail = &sampled::how(run)?;
    let note = Note { time_s: 0.0, kind: "sampling", subject: "requests", detail };
    Some(serde_json::to_string(&note).expect("names and finite numbers are JSON") + "\n")
}

fn json(line: &LogLine) -> String {
    let LogLine { time, kind, subject, detail, more } = line;
    let (time_s, kind, more) = (time.as_s(), *kind, *more);
    let text = if more == 0 {
        serde_json::to_string(&Happened { time_s, kind, subject, detail })
    } else {
        serde_json::to_string(&Rest { time_s, kind, more })
    };
    text.expect("names and finite numbers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{same_as_file, sample_run};

    #[test]
    fn the_sample_run_has_these_events() {
        let text = events(&sample_run());
        same_as_file("events.jsonl", &text);
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
