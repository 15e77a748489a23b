//! The story of a run for the terminal: what was asked, what happened when, why, what it means.
//!
//! Each part gives whole lines of at most 100 columns; names from files are made harmless
//! before they are laid out.
//!
//! Source: style.md 6: a person should want to read it.
//! Left out: everything that the files hold in full.

mod explain;
mod failures;
mod paint;
mod phases;
mod state;
mod status;
mod verdict;

use super::number::{clock, length, percent, quantile_ns};
use super::sampled;
use super::words::{harmless, plural, short, span};
use crate::check::judgement::Judgement;
use crate::kernel::time::Time;
use crate::observe::run::{Occurrence, Run};
pub use explain::{FailureClass, classes, ended_early, explanation};
use paint::Paint;
pub use status::mesh_status;

/// Columns, as the narrowest terminal that people use for this.
const WIDTH: usize = 100;
/// Timeline events that are told one by one.
const OCCURRENCES_MAX: usize = 3;

/// The story, with a newline after each line.
pub fn story(run: &Run, judgements: &[Judgement], color: bool) -> String {
    let paint = Paint(color);
    let parts = [
        asked(run, paint),
        phases::lines(run, paint),
        why(run, paint),
        verdict::lines(run, judgements, paint),
    ];
    let told: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let mut text = told.iter().map(|part| part.join("\n")).collect::<Vec<_>>().join("\n\n");
    text.push('\n');
    text
}

fn asked(run: &Run, paint: Paint) -> Vec<String> {
    let variant = run.variant.iter().map(|variant| format!(", variant {}", harmless(variant)));
    let title = harmless(&run.scenario) + &variant.collect::<String>();
    let mut lines: Vec<_> = wrap(&title, "", "  ").iter().map(|line| paint.strong(line)).collect();
    if !run.claim.is_empty() {
        lines.extend(wrap(&harmless(&run.claim), "  ", "  "));
    }
    lines.extend(wrap(&numbers(run), "  ", "  "));
    let about = [sampled::sentence(run), sampled::note(run)];
    lines.extend(about.iter().flatten().flat_map(|text| wrap(text, "  ", "  ")));
    lines.extend(run.occurrences.iter().take(OCCURRENCES_MAX).flat_map(occurrence));
    if let Some(more @ 1..) = run.occurrences.len().checked_sub(OCCURRENCES_MAX) {
        lines.push(format!("  … and {}", plural(more as u64, "more event")));
    }
    lines
}

fn numbers(run: &Run) -> String {
    let mesh = match run.profile.as_str() {
        "none" => "no mesh".to_owned(),
        profile => harmless(profile),
    };
    let simulated = clock(Time::ZERO + run.duration);
    let events = plural(run.events, "event");
    if let Some(all) = run.sampled.as_ref().and_then(|sampled| sampled.estimates) {
        let requests = sampled::about_plural(all.requests.value, "request");
        let (rate, p99) = (sampled::share(all.success_rate), sampled::latency(all.latency_ns[2]));
        return format!(
            "{mesh}, seed {}, {simulated}: {requests}, {rate} ok, p99 {p99} ({events}).",
            run.seed
        );
    }
    let requests = plural(run.requests.total, "request");
    let rate = run.requests.success_rate().map(|rate| format!(", {} ok", percent(rate)));
    let p99 = quantile_ns(&run.latency, 0.99).map(|ns| format!(", p99 {}", length(ns)));
    let (rate, p99) = (rate.unwrap_or_default(), p99.unwrap_or_default());
    format!("{mesh}, seed {}, {simulated}: {requests}{rate}{p99} ({events}).", run.seed)
}

fn occurrence(one: &Occurrence) -> Vec<String> {
    let when = match one.to {
        None => format!("from {}", clock(one.from)),
        Some(to) if to == one.from => format!("at {}", clock(one.from)),
        Some(to) => span(one.from, to),
    };
    wrap(&format!("{when}  {} ({})", harmless(&one.label), harmless(&one.id)), "  ", "    ")
}

fn why(run: &Run, paint: Paint) -> Vec<String> {
    let mut lines = state::lines(run);
    lines.extend(failures::lines(run, paint));
    lines
}

/// The words of `text` on lines of at most 100 columns; a word that is longer is cut.
fn wrap(text: &str, first: &str, rest: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut columns, mut empty) = (first.to_owned(), first.chars().count(), true);
    let room = WIDTH - columns.max(rest.chars().count());
    for word in text.split(' ') {
        let word = short(word, room);
        let length = word.chars().count();
        if !empty && WIDTH < columns + 1 + length {
            lines.push(line.trim_end().to_owned());
            rest.clone_into(&mut line);
            (columns, empty) = (rest.chars().count(), true);
        }
        if !empty {
            line.push(' ');
            columns += 1;
        }
        line += &word;
        columns += length;
        empty = false;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::histogram::Histogram;
    use crate::observe::run::Tally;
    use crate::report::testing::{same_as_file, sample_judgements, sample_run};

    #[test]
    fn the_sample_run_has_this_story() {
        same_as_file("story.txt", &story(&sample_run(), &sample_judgements(), false));
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let (run, judgements) = (sample_run(), sample_judgements());
        let mut text = story(&run, &judgements, true);
        assert!(text.contains("\u{1b}[31m"));
        for code in ["0", "1", "2", "31", "32"] {
            text = text.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(text, story(&run, &judgements, false));
    }

    #[test]
    fn every_line_fits_and_obeys_no_name() {
        let mut run = sample_run();
        let long = "\u{1b}[2J".to_owned() + &"long name ".repeat(30);
        let one_word = "x".repeat(400);
        run.scenario.clone_from(&one_word);
        run.claim.clone_from(&long);
        run.variant = Some(long.clone());
        run.profile.clone_from(&one_word);
        run.occurrences[0].label.clone_from(&long);
        run.phases[1].name.clone_from(&long);
        run.outcomes[1].destination.clone_from(&long);
        run.outcomes[1].source.clone_from(&one_word);
        let mut judgements = sample_judgements();
        judgements[1].name = long;
        judgements[2].name = one_word;
        let text = story(&run, &judgements, false);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_run_without_anything_is_still_a_story() {
        let mut run = sample_run();
        run.requests = Tally::default();
        run.latency = Histogram::new();
        run.outcomes.clear();
        run.phases.clear();
        run.series.clear();
        run.occurrences.clear();
        let text = story(&run, &[], false);
        assert!(text.contains("0 requests"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("0 %"), "{text}");
    }

    #[test]
    fn words_wrap_and_monsters_are_cut() {
        let lines = wrap(&"word ".repeat(50), "- ", "  ");
        assert!(lines.len() == 3 && lines[1].starts_with("  word"), "{lines:?}");
        assert!(
            wrap(&"x".repeat(300), "  ", "    ").iter().all(|line| line.chars().count() <= 100)
        );
    }
}
