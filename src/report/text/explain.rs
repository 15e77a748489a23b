//! Every way in which requests failed or were refused, each with its causes back to the root.
//!
//! Source: Envoy's status and flags; the causes that the world kept.
//! Left out: ways of a single request; `outcomes.csv` counts all.

use super::{Paint, wrap};
use crate::observe::run::{OutcomeRow, Run};
use crate::report::number::clock;
use crate::report::sampled::about_plural;
use crate::report::words::{harmless, plural, reason, short};
use crate::vocabulary::cause::{CauseId, CauseKind};

/// A way in which calls ended otherwise than well, with why.
#[derive(Clone, Copy, Debug)]
pub struct FailureClass<'r> {
    /// The calls.
    pub row: &'r OutcomeRow,
    /// How many; in a sampled run, how many they stand for.
    pub size: f64,
}

/// The failed and refused classes of a run, failures first, the most frequent first.
pub fn classes(run: &Run) -> Vec<FailureClass<'_>> {
    let is_told = |row: &&OutcomeRow| !row.outcome.is_ok() || 400 <= row.outcome.status;
    let told = run.outcomes.iter().filter(is_told);
    let mut all: Vec<_> = told
        .map(|row| FailureClass { row, size: row.estimate.unwrap_or(row.count as f64) })
        .collect();
    all.sort_by(|a, b| {
        let are_ok = a.row.outcome.is_ok().cmp(&b.row.outcome.is_ok());
        are_ok.then(b.size.total_cmp(&a.size))
    });
    all
}

impl FailureClass<'_> {
    /// `503 UF,URX`.
    pub fn status(&self) -> String {
        let outcome = self.row.outcome;
        match outcome.status {
            0 => outcome.flags.to_string(),
            status if outcome.flags.is_empty() => status.to_string(),
            status => format!("{status} {}", outcome.flags),
        }
    }
}

/// The explanation of a run, with a newline after each line.
pub fn explanation(run: &Run, color: bool) -> String {
    let paint = Paint(color);
    let variant = run.variant.iter().map(|variant| format!(", variant {}", harmless(variant)));
    let title = harmless(&run.scenario) + &variant.collect::<String>();
    let mut lines: Vec<_> = wrap(&title, "", "  ").iter().map(|line| paint.strong(line)).collect();
    lines.extend(ended_early(run).iter().flat_map(|text| wrap(text, "  ", "  ")));
    let classes = classes(run);
    if classes.is_empty() {
        lines.extend(wrap("No request failed and none was refused.", "  ", "  "));
    }
    // One chain for all whom it explains, the largest group first.
    let mut groups: Vec<(Option<CauseId>, Vec<&FailureClass<'_>>)> = Vec::new();
    for class in &classes {
        match groups.iter_mut().find(|(cause, _)| *cause == class.row.cause) {
            Some((_, group)) => group.push(class),
            None => groups.push((class.row.cause, vec![class])),
        }
    }
    let size = |group: &[&FailureClass<'_>]| group.iter().map(|class| class.size).sum::<f64>();
    let is_failed = |group: &[&FailureClass<'_>]| !group[0].row.outcome.is_ok();
    groups.sort_by(|(_, a), (_, b)| {
        is_failed(b).cmp(&is_failed(a)).then(size(b).total_cmp(&size(a)))
    });
    for (cause, group) in groups {
        lines.push(String::new());
        lines.extend(group.iter().flat_map(|class| one(class, paint)));
        lines.extend(cause.iter().flat_map(|id| chain_lines(run, *id, paint)));
    }
    lines.join("\n") + "\n"
}

/// That a run was ended early, if it was.
pub fn ended_early(run: &Run) -> Option<String> {
    let partial = run.partial?;
    Some(format!(
        "Ended early, at {} ({}): what follows is of the time before.",
        clock(partial.at),
        partial.why
    ))
}

fn one(class: &FailureClass<'_>, paint: Paint) -> Vec<String> {
    let row = class.row;
    let status = class.status();
    let version = match row.version.as_str() {
        "" => String::new(),
        version => format!("/{}", short(version, 12)),
    };
    let size = match row.estimate {
        Some(all) => about_plural(all, "request"),
        None => plural(row.count, "request"),
    };
    let (source, destination) = (short(&row.source, 30), short(&row.destination, 30));
    let head = format!("  {status}  ");
    let text =
        format!("{source} -> {destination}{version}, {size}: {}", reason(row.outcome.details));
    let mut lines = wrap(&text, &head, "    ");
    lines[0] = lines[0].replacen(&head, &format!("  {}  ", paint.bad(&status)), 1);
    lines
}

/// A chain of causes, a link a line.
pub(super) fn chain_lines(run: &Run, id: CauseId, paint: Paint) -> Vec<String> {
    let chain = run.causes.chain(id);
    let mut lines = Vec::new();
    for link in &chain {
        let cause = run.causes.get(*link);
        let what = harmless(&cause.what);
        let text = match cause.kind {
            CauseKind::Configured => format!("{what}, by the scenario"),
            CauseKind::Injected => format!("event {what}, from {}", clock(cause.at)),
            _ => format!("{what}, since {}", clock(cause.at)),
        };
        let is_root = cause.because.is_none();
        let wrapped = wrap(&text, "      because ", "        ");
        lines.extend(wrapped.into_iter().map(
            |line| {
                if is_root { paint.strong(&line) } else { line }
            },
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{same_as_file, sample_run};

    #[test]
    fn the_sample_run_has_this_explanation() {
        same_as_file("explanation.txt", &explanation(&sample_run(), false));
    }

    #[test]
    fn every_line_fits_and_obeys_no_name() {
        let mut run = sample_run();
        run.scenario = "\u{1b}[2J".to_owned() + &"x".repeat(400);
        run.outcomes[1].destination = "long name ".repeat(30);
        let text = explanation(&run, false);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(!text.contains('\u{1b}'));
        run.outcomes.clear();
        assert!(explanation(&run, false).contains("No request failed"));
    }
}
