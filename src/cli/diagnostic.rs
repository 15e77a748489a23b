//! Input errors and warnings as people read them: file, line, column, the line itself, a caret, a hint.
//!
//! Source: annotate-snippets, the renderer of rustc.
//! Left out: finding the errors; a `Problem` comes complete.

use super::output::clean;
use crate::manifest::lint::{self, Finding};
use crate::plan::problem::{Place, Problem};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt::Write as _;
use std::ops::Range;

/// What problems mean.
#[derive(Clone, Copy, Debug)]
pub(super) enum Severity {
    /// Nothing is run.
    Error,
    /// It is run all the same.
    Warning,
}

/// All problems, and how many there are if they are more than a few.
pub(super) fn render(problems: &[Problem], severity: Severity, colors: bool) -> String {
    let renderer = if colors { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for problem in problems {
        text += &render_one(problem, severity, &renderer);
        text.push('\n');
    }
    if 3 < problems.len() {
        let what = match severity {
            Severity::Error => "errors",
            Severity::Warning => "warnings",
        };
        let _ = writeln!(text, "{} {what}", problems.len());
    }
    text
}

fn render_one(problem: &Problem, severity: Severity, renderer: &Renderer) -> String {
    let what = clean(&problem.what);
    let hint = problem.hint.as_deref().map(clean);
    let place = problem.place.as_ref();
    let (line, path) = place.map(|place| (clean(&place.text), clean(&place.file))).unzip();
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&*what));
    if let (Some(place), Some(line), Some(path)) = (place, &line, &path) {
        group = group.element(
            Snippet::source(&**line)
                .line_start(place.line as usize)
                .path(&**path)
                .annotation(AnnotationKind::Primary.span(span(place, line))),
        );
    }
    if let Some(hint) = &hint {
        group = group.element(Level::HELP.with_name("hint").message(&**hint));
    }
    renderer.render(&[group])
}

/// What was found in manifests: the object, the place, why it matters, what helps.
pub(super) fn findings(found: &[Finding], colors: bool) -> String {
    let renderer = if colors { Renderer::styled() } else { Renderer::plain() };
    found.iter().map(|finding| render_finding(finding, &renderer) + "\n\n").collect()
}

fn render_finding(finding: &Finding, renderer: &Renderer) -> String {
    let level = match finding.severity {
        lint::Severity::Error => Level::ERROR,
        lint::Severity::Warning => Level::WARNING,
        lint::Severity::Info => Level::INFO,
    };
    let what = format!("{}: {}", finding.object, finding.what);
    let (what, place) = (clean(&what), &finding.place);
    let (line, path) = (clean(&place.text), clean(&place.file));
    let snippet = Snippet::source(&*line)
        .line_start(place.line as usize)
        .path(&*path)
        .annotation(AnnotationKind::Primary.span(span(place, &line)));
    let group = Group::with_title(level.primary_title(&*what).id(finding.code))
        .element(snippet)
        .element(Level::NOTE.with_name("why").message(finding.why))
        .element(Level::HELP.with_name("fix").message(finding.fix));
    renderer.render(&[group])
}

/// The meant bytes of the line; at its end where the place lies beyond it.
fn span(place: &Place, line: &str) -> Range<usize> {
    let byte_at =
        |column: usize| line.char_indices().nth(column).map_or(line.len(), |(byte, _)| byte);
    let first = (place.column as usize).saturating_sub(1);
    byte_at(first)..byte_at(first.saturating_add(place.width as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: &str, column: u32, width: u32) -> Problem {
        let place =
            Place { file: "a.toml".to_owned(), line: 7, column, width, text: line.to_owned() };
        Problem::new("unknown key `duraton`").at(place).hint("did you mean `duration`?")
    }

    #[test]
    fn a_problem_shows_its_place_its_line_and_its_hint() {
        assert_eq!(
            render(&[problem("  duraton = \"1h\"", 3, 7)], Severity::Error, false),
            "\
error: unknown key `duraton`
 --> a.toml:7:3
  |
7 |   duraton = \"1h\"
  |   ^^^^^^^
  |
  = hint: did you mean `duration`?
"
        );
    }

    #[test]
    fn a_warning_looks_like_an_error_by_another_name() {
        let all: Vec<Problem> = (0..4).map(|_| problem("duraton = 1", 1, 7)).collect();
        let [errors, warnings] =
            [Severity::Error, Severity::Warning].map(|severity| render(&all, severity, false));
        assert!(warnings.starts_with("warning: unknown key") && warnings.ends_with("4 warnings\n"));
        assert_eq!(errors, warnings.replace("warning", "error"));
    }

    #[test]
    fn a_problem_without_a_place_is_a_line_and_a_hint() {
        let text =
            render(&[Problem::new("no such file").hint("look again")], Severity::Error, false);
        assert_eq!(text, "error: no such file\n |\n = hint: look again\n");
    }

    #[test]
    fn a_place_beyond_its_line_and_strange_letters_are_rendered_all_the_same() {
        for (line, column, width) in
            [("", 1, 1), ("x", 99, 3), ("é\u{1b}[31m = 1", 2, 400), ("x", 0, 0), ("日本", 2, 1)]
        {
            let text = render(&[problem(line, column, width)], Severity::Error, false);
            assert!(text.contains("a.toml:7"), "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
        }
    }
}
