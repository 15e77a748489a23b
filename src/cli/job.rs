//! What was typed, as what it means: which plans are run with which seeds, into which folders.
//!
//! Source: ripgrep's two stages of arguments; docs/results.md.
//! Left out: how jobs are run (`simulate`).

use super::find::Disk;
use super::label::label;
use crate::plan::Plan;
use crate::plan::problem::Problem;
use crate::scenario::{self, FromManifests, Loaded};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One plan to run with one seed.
#[derive(Debug)]
pub(super) struct Job {
    /// The scenario's file as the user named it.
    pub(super) file: String,
    /// What to simulate; one for all seeds.
    pub(super) plan: Arc<Plan>,
    /// With which seed.
    pub(super) seed: u64,
    /// What runs it again, but for the seed: for reports of bugs.
    pub(super) again: String,
    /// Its folder below the one for all results; also its name for people: `outage+seed=7/quiet`.
    pub(super) folder: String,
    /// What changes the scenario from as it is written, as part of the folder's name; empty without any.
    pub(super) label: String,
    /// Warnings of the scenario's file; one list for all of its jobs.
    pub(super) warnings: Arc<[Problem]>,
    /// What came from manifests, if there are any.
    pub(super) manifests: Option<Arc<FromManifests>>,
}

impl Job {
    /// The scenario's name with the label of what changes it: the name of its baseline.
    pub(super) fn name(&self) -> String {
        format!("{}{}", self.plan.name, self.label)
    }
}

/// What changes scenarios from as they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// `key=value`.
    pub(super) sets: Vec<String>,
    /// Paths of manifests.
    pub(super) manifests: Vec<String>,
    /// Instead of the scenario's own seed.
    pub(super) seed: Option<u64>,
    /// So many seeds, counted up.
    pub(super) seeds: Option<u32>,
    /// Only these variants.
    pub(super) variants: Option<Vec<String>>,
}

/// The jobs of all files: each scenario as written, then its variants, seed by seed.
pub(super) fn jobs(files: &[String], settings: &Settings) -> Result<Vec<Job>, Vec<Problem>> {
    let mut jobs = Vec::new();
    let mut all = load(files, settings)?;
    if let Some(names) = &settings.variants {
        choose(&mut all, names)?;
    }
    for (file, loaded) in all {
        let first = settings.seed.unwrap_or(loaded.plan.seed);
        let count = u64::from(settings.seeds.unwrap_or(1));
        let Some(end) = first.checked_add(count) else {
            return Err(vec![Problem::new(format!(
                "--seeds {count}: there is no seed after {}",
                u64::MAX
            ))]);
        };
        let warnings: Arc<[Problem]> = loaded.warnings.into();
        let plans = std::iter::once(loaded.plan).chain(loaded.variants);
        let plans: Vec<Arc<Plan>> = plans.map(Arc::new).collect();
        for seed in first..end {
            let named = settings.seed.or(settings.seeds.map(u64::from)).map(|_| seed);
            let label = label(&settings.sets, &settings.manifests, named);
            jobs.extend(plans.iter().map(|plan| Job {
                file: file.clone(),
                again: again(file.as_str(), settings),
                plan: Arc::clone(plan),
                seed,
                folder: folder(plan, &label),
                label: label.clone(),
                warnings: Arc::clone(&warnings),
                manifests: loaded.manifests.get(&plan.variant).cloned(),
            }));
        }
    }
    let problems = clashes(&jobs);
    if problems.is_empty() { Ok(jobs) } else { Err(problems) }
}

/// Keeps the variants of these names; each must be one of some file.
fn choose(all: &mut [(String, Loaded)], names: &[String]) -> Result<(), Vec<Problem>> {
    let known: BTreeSet<String> = all
        .iter()
        .flat_map(|(_, loaded)| &loaded.variants)
        .filter_map(|plan| plan.variant.clone())
        .collect();
    let hint = match known.iter().map(String::as_str).collect::<Vec<_>>().join(", ") {
        list if list.is_empty() => "there are no variants".to_owned(),
        list => format!("there are {list}"),
    };
    let unknown = names.iter().filter(|name| !known.contains(*name));
    let problems: Vec<_> = unknown
        .map(|name| Problem::new(format!("--variants: there is no `{name}`")).hint(hint.as_str()))
        .collect();
    for (_, loaded) in all {
        loaded.variants.retain(|plan| plan.variant.as_ref().is_some_and(|one| names.contains(one)));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The warnings of all jobs: each once, also where files share a base.
pub(super) fn warnings(jobs: &[Job]) -> Vec<Problem> {
    let mut all: Vec<Problem> = Vec::new();
    for warning in jobs.iter().flat_map(|job| job.warnings.iter()) {
        if !all.contains(warning) {
            all.push(warning.clone());
        }
    }
    all
}

/// Reads all files, so that all problems of all of them are told at once.
pub(super) fn load(
    files: &[String],
    settings: &Settings,
) -> Result<Vec<(String, Loaded)>, Vec<Problem>> {
    let (mut all, mut problems) = (Vec::new(), Vec::<Problem>::new());
    let Settings { sets, manifests, seed, .. } = settings;
    let settings = scenario::Settings { sets, manifests, seed: *seed };
    let disk = Disk::default();
    for file in files {
        match scenario::load_with(&disk, file, settings) {
            Ok(loaded) => all.push((file.clone(), loaded)),
            Err(found) => {
                // A wrong --set is wrong for each file alike.
                let new = found.into_iter().filter(|problem| !problems.contains(problem));
                let new: Vec<_> = new.collect();
                problems.extend(new);
            }
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

fn again(file: &str, settings: &Settings) -> String {
    let sets = settings.sets.iter().map(|set| format!(" --set '{set}'"));
    let paths = settings.manifests.iter().map(|path| format!(" --manifests '{path}'"));
    format!("meshsim run {file}{}", sets.chain(paths).collect::<String>())
}

/// What the jobs do not simulate of their manifests, each once.
pub(super) fn ignored(jobs: &[Job]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in jobs.iter().filter_map(|job| job.manifests.as_ref()).flat_map(|one| &one.lines) {
        if !all.contains(line) {
            all.push(line.clone());
        }
    }
    all
}

fn folder(plan: &Plan, label: &str) -> String {
    match &plan.variant {
        None => format!("{}{label}", plan.name),
        Some(variant) => format!("{}{label}/{variant}", plan.name),
    }
}

/// Names that are no folders, and folders that two jobs would write to.
fn clashes(jobs: &[Job]) -> Vec<Problem> {
    let mut claims = BTreeMap::<&str, &str>::new();
    let mut told = BTreeSet::<(&str, &str)>::new();
    let mut problems = Vec::new();
    for Job { file, folder, .. } in jobs {
        if folder.split('/').any(is_no_folder) {
            problems
                .push(Problem::new(format!("{file}: `{folder}` cannot be the name of a folder")));
        }
        // A scenario that clashes does so with each of its variants: once is enough.
        let other = claims.insert(folder, file);
        if let Some(other) = other.filter(|other| told.insert((*other, file))) {
            let what = format!("{other} and {file} would both write to `{folder}`");
            problems.push(Problem::new(what).hint(
                "a scenario's name is its path below the nearest folder called scenarios, else \
                 its file name: rename one, or run them apart",
            ));
        }
    }
    problems
}

fn is_no_folder(part: &str) -> bool {
    matches!(part, "" | "." | "..")
        || part.contains(|letter: char| letter.is_control() || letter == '\\')
}
