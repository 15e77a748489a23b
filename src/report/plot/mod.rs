//! Pictures of a run: percentile spectrum, timeline, heatmap and topology.
//!
//! Each picture is laid out once, in pixels of its default size, and drawn through a canvas
//! on plotters' backends: SVG with tenths of a pixel, PNG with two pixels for one. The topology is
//! SVG written by hand. All calls to plotters are in this folder, most of them in `canvas`.
//!
//! Source: the percentile axis of `HdrHistogram`; the colours of Okabe and Ito (2008), viridis.
//! Left out: interaction (the page has it), dark mode.

use crate::observe::run::Run;
use crate::report::sampled;
pub use comparison::{Comparison, Point, Quantity};

mod beside;
mod canvas;
mod comparison;
mod heatmap;
mod layers;
mod marks;
mod panel;
mod routes;
mod scale;
mod spectrum;
mod style;
mod timeline;
mod topology;

#[cfg(test)]
mod samples;

/// One picture in both of its forms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    /// An SVG document.
    pub svg: String,
    /// A PNG file with two pixels for one.
    pub png: Vec<u8>,
}

/// The latency of each phase by percentile (`latency.svg`, `latency.png`).
pub fn spectrum(run: &Run) -> Picture {
    picture(run, &spectrum::Spectrum::new(run))
}

/// Success, rate, latency and the state of the mesh over time (`timeline.svg`, `timeline.png`).
pub fn timeline(run: &Run) -> Picture {
    picture(run, &timeline::Timeline::new(run))
}

/// How many requests had which latency when: a PNG file (`heatmap.png`).
pub fn heatmap(run: &Run) -> Vec<u8> {
    canvas::png(&heatmap::Heatmap::new(run), sampled::how(run).as_deref())
}

/// Who called whom, how much and with what success: an SVG document (`topology.svg`).
pub fn topology(run: &Run) -> String {
    topology::draw(run)
}

/// Runs of one scenario by percentile, a curve each (`side-by-side-latency.svg`, `.png`).
pub fn beside_by_percentile(runs: &[&Run]) -> Picture {
    of_several(runs, &beside::spectrum(runs))
}

/// Runs of one scenario over time, a curve each (`side-by-side.svg`, `.png`).
pub fn beside_over_time(runs: &[&Run]) -> Picture {
    of_several(runs, &beside::OverTime::new(runs))
}

fn of_several(runs: &[&Run], drawing: &impl canvas::Drawing) -> Picture {
    let note = runs.iter().find_map(|run| sampled::how(run));
    let note = note.as_deref();
    Picture { svg: canvas::svg(drawing, note), png: canvas::png(drawing, note) }
}

/// What was published beside what is simulated: an SVG document.
pub fn comparison(comparison: &Comparison) -> String {
    canvas::svg(comparison, None)
}

fn picture(run: &Run, drawing: &impl canvas::Drawing) -> Picture {
    let note = sampled::how(run);
    let note = note.as_deref();
    Picture { svg: canvas::svg(drawing, note), png: canvas::png(drawing, note) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tag is closed in order, every attribute quoted, no number is missing.
    fn check_svg(name: &str, svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = svg;
        while let Some(start) = rest.find('<') {
            assert!(!rest[..start].contains('>'), "{name}: a stray > in text");
            let end = rest[start..].find('>').expect("a tag ends") + start;
            let tag = &rest[start + 1..end];
            assert!(
                !tag.contains('<') && tag.matches('"').count().is_multiple_of(2),
                "{name}: <{tag}>"
            );
            let word = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or("");
            let known = [
                "svg", "title", "rect", "line", "polyline", "polygon", "circle", "text", "g",
                "path",
            ];
            assert!(known.contains(&word), "{name}: <{tag}>");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(word), "{name}");
            } else if !tag.ends_with('/') {
                open.push(word);
            }
            for value in tag.split('"').skip(1).step_by(2) {
                assert!(!value.contains("NaN") && !value.contains("inf"), "{name}: <{tag}>");
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "{name}: the document is whole");
        for part in svg.split('&').skip(1) {
            let entity = part.split(';').next().unwrap_or("");
            assert!(
                ["lt", "gt", "amp", "quot", "apos", "#39"].contains(&entity),
                "{name}: &{entity}"
            );
        }
        assert!(!svg.contains("<script") && !svg.contains(|c: char| c.is_control() && c != '\n'));
    }

    /// Writes all samples below the folder that `MESHSIM_PLOTS` names, to be looked at.
    #[test]
    fn every_sample_has_well_formed_pictures() {
        let folder = std::env::var_os("MESHSIM_PLOTS").map(std::path::PathBuf::from);
        for (name, run) in samples::all() {
            let (spectrum, timeline) = (spectrum(&run), timeline(&run));
            let (heatmap, topology) = (heatmap(&run), topology(&run));
            for svg in [&spectrum.svg, &timeline.svg, &topology] {
                check_svg(name, svg);
            }
            for png in [&spectrum.png, &timeline.png, &heatmap] {
                assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82"));
            }
            let Some(folder) = &folder else { continue };
            let write = |file: &str, bytes: &[u8]| {
                std::fs::write(folder.join(format!("{name}-{file}")), bytes).unwrap();
            };
            write("latency.svg", spectrum.svg.as_bytes());
            write("latency.png", &spectrum.png);
            write("timeline.svg", timeline.svg.as_bytes());
            write("timeline.png", &timeline.png);
            write("heatmap.png", &heatmap);
            write("topology.svg", topology.as_bytes());
        }
    }

    #[test]
    fn a_comparison_is_well_formed_whatever_is_compared() {
        let point =
            |x| Point { x, published: 2.0 * x, simulated: 2.1 * x, is_calibrated: x < 40.0 };
        let systems = vec![
            ("none".to_owned(), vec![point(32.0), point(64.0), point(128.0)]),
            ("a < b & \"c\"".to_owned(), vec![point(32.0)]),
            ("nothing".to_owned(), Vec::new()),
        ];
        let quantity = Quantity { name: "rate, rps".to_owned(), systems };
        let quantities = vec![quantity.clone(), quantity];
        let (title, note) = ("a & b".to_owned(), "markers < curves".to_owned());
        let svg = comparison(&Comparison { title, note, x: "users".to_owned(), quantities });
        check_svg("comparison", &svg);
        assert!(svg.contains("#0072B2"), "the first system has its colour");
    }

    /// Written below the folder that `MESHSIM_PLOTS` names, too.
    #[test]
    fn runs_side_by_side_are_well_formed_however_many_there_are() {
        let mut runs: Vec<Run> = samples::all().into_iter().map(|(_, run)| run).collect();
        for (index, run) in runs.iter_mut().enumerate().skip(1) {
            run.variant = Some(format!("a < b & \"{index}\""));
        }
        for count in [1, 2, runs.len(), 3 * runs.len()] {
            let some: Vec<&Run> = runs.iter().cycle().take(count).collect();
            let pictures = [beside_by_percentile(&some), beside_over_time(&some)];
            for (picture, name) in pictures.iter().zip(["side-by-side-latency", "side-by-side"]) {
                check_svg(name, &picture.svg);
                assert!(picture.png.starts_with(b"\x89PNG\r\n\x1a\n"));
                assert!(picture.svg.contains("#0072B2"), "the scenario as written has its colour");
                if let Some(folder) = std::env::var_os("MESHSIM_PLOTS") {
                    let file = std::path::Path::new(&folder).join(format!("{count}-{name}.png"));
                    std::fs::write(file, &picture.png).unwrap();
                }
            }
            assert!(pictures == [beside_by_percentile(&some), beside_over_time(&some)]);
        }
    }

    #[test]
    fn the_same_run_has_the_same_bytes() {
        let (one, two) = (samples::canary(), samples::canary());
        assert!(spectrum(&one) == spectrum(&two) && timeline(&one) == timeline(&two));
        assert!(heatmap(&one) == heatmap(&two) && topology(&one) == topology(&two));
    }
}
