//! `events.jsonl`: what the control plane and the pods did, a line each.
//!
//! Source: docs/results.md; the kinds are those of [`FactKind`].
//! Left out: requests, which are counted elsewhere.

use crate::observe::run::{LogLine, Run};
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

/// A JSON object a line, in time order.
pub fn events(run: &Run) -> String {
    run.log.iter().map(|line| json(line) + "\n").collect()
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
