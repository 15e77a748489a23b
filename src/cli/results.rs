//! The files of a run, all of them in one list, and the folder they go to.
//!
//! Source: docs/results.md.
//! Left out: what is in them (`report`).

use super::output::Trouble;
use super::simulate::Judged;
use crate::report::write::write_all;
use crate::report::{csv, events, hgrm, hlog, plot, sampled, summary};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Every file of a run.
fn files(judged: &Judged) -> Vec<(&'static str, Vec<u8>)> {
    let run = &judged.run;
    let (spectrum, timeline) = (plot::spectrum(run), plot::timeline(run));
    vec![
        ("summary.json", summary::render(&judged.summary()).into_bytes()),
        ("latency.hgrm", (hgrm::hgrm(&run.latency) + &sampled::comment(run)).into_bytes()),
        ("latency.hlog", hlog::hlog(run)),
        ("series.csv", csv::series(run).into_bytes()),
        (csv::istiod_name(run), csv::istiod(run).into_bytes()),
        ("outcomes.csv", csv::outcomes(run).into_bytes()),
        ("events.jsonl", events::events(run).into_bytes()),
        ("latency.svg", spectrum.svg.into_bytes()),
        ("latency.png", spectrum.png),
        ("timeline.svg", timeline.svg.into_bytes()),
        ("timeline.png", timeline.png),
        ("heatmap.png", plot::heatmap(run)),
        ("topology.svg", plot::topology(run).into_bytes()),
    ]
}

/// Writes them.
pub(super) fn write(folder: &Path, judged: &Judged) -> Result<(), Trouble> {
    write_all(folder, &files(judged))
        .map_err(|error| Trouble::io(format_args!("cannot write to {}", folder.display()), &error))
}

/// Writes the pictures that the docs show.
pub(super) fn write_pictures(folder: &Path, judged: &Judged) -> Result<(), Trouble> {
    let run = &judged.run;
    let files = [
        ("latency.svg", plot::spectrum(run).svg.into_bytes()),
        ("timeline.svg", plot::timeline(run).svg.into_bytes()),
        ("topology.svg", plot::topology(run).into_bytes()),
    ];
    write_all(folder, &files)
        .map_err(|error| Trouble::io(format_args!("cannot write to {}", folder.display()), &error))
}

/// Whether a run may write there: the committed results are those that `bless` wrote.
pub(super) fn is_committed(folder: &Path) -> bool {
    let plain: PathBuf = folder.components().filter(|part| *part != Component::CurDir).collect();
    plain.starts_with("results/baseline") || plain.starts_with("results/gallery")
}

/// Whether the folder takes files: told before a long run, not after it.
pub(super) fn check(folder: &Path) -> Result<(), Trouble> {
    let probe = folder.join(".meshsim.part");
    // As large as a few of the files, so that a full disk shows.
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&probe, vec![0; 1 << 16]))
        .and_then(|()| fs::remove_file(&probe))
        .inspect_err(|_| drop(fs::remove_file(&probe)))
        .map_err(|error| Trouble::io(format_args!("cannot write to {}", folder.display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_called_baseline_does_not_reach_the_committed_results() {
        assert!(is_committed(Path::new("./results/baseline")));
        assert!(is_committed(Path::new("results/gallery/outage")));
        assert!(!is_committed(Path::new("results/baseline+seed=7")));
        assert!(!is_committed(Path::new("elsewhere/baseline")));
    }
}
