//! Scenario files: TOML in, plans out; every mistake with its place and what would help.
//!
//! In reading order: `document` (the file as a tree with places), `keys` and `schema` (the one
//! table of keys), `check` (structure), `merge` (base files), `overrides` (`--set`, variants),
//! `expand` (counted services), `lower` (names to ids, meanings), `origin` (where each value comes from).
//!
//! Source: docs/scenarios.md.
//! Left out: `[[manifests]]`, `[sampling]`, `[sweep]`, `[lesson]`.

mod check;
mod context;
mod document;
mod expand;
mod expression;
mod json;
mod keys;
pub mod large;
mod lower;
mod merge;
mod origin;
mod overrides;
mod schema;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod units;
mod values;

use crate::plan::Plan;
use crate::plan::problem::Problem;
use context::{Context, Fault};
use document::Node;
use lower::Heading;

/// Templates for `meshsim new`: name and what each shows, in the order in which they are listed.
pub const TEMPLATES: &[(&str, &str)] = template::TEMPLATES;

/// More variants than this are a sweep.
const VARIANTS_MAX: usize = 1_000;

/// Where files come from, so that the engine has no access of its own.
pub trait Files {
    /// The text of the file at `path`, or in words why there is none.
    fn read(&self, path: &str) -> Result<String, String>;
}

/// A scenario, ready to run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The scenario as written, with `--set`.
    pub plan: Plan,
    /// Its variants, in the order of the file.
    pub variants: Vec<Plan>,
    /// Policies that a mesh takes and that do nothing, or not what they look like.
    pub warnings: Vec<Problem>,
    /// Every value with where it comes from.
    pub origins: Vec<Origin>,
    /// Every file that was read: path and text.
    pub sources: Vec<(String, String)>,
}

/// One value of the resolved scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// As in `--set`: `mesh.cert.ttl`, `service.reviews.v2.replicas`.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// `file:line`, `--set …`, `profile istio-sidecar@1.28`, `mesh.…` where a service takes the
    /// mesh's value, or `default`.
    pub from: String,
    /// The source of a default: a file of Istio's, a document, or ours.
    pub source: String,
}

/// The text of a template.
pub fn template(name: &str) -> Option<&'static str> {
    template::text(name)
}

/// The JSON Schema (draft 2020-12) of scenario files.
pub fn schema() -> serde_json::Value {
    json::schema()
}

/// Reads the scenario at `path` with `key=value` settings over it. All problems at once.
pub fn load(
    files: &dyn Files,
    path: &str,
    sets: &[String],
    seed: Option<u64>,
) -> Result<Loaded, Vec<Problem>> {
    let text = files
        .read(path)
        .map_err(|why| vec![Problem::new(format!("`{path}` cannot be read: {why}"))])?;
    let mut context = Context::new(files);
    let Some(mut document) = merge::read(&mut context, path, &text) else {
        return Err(context.problems());
    };
    overrides::apply_sets(&mut context, &mut document, sets);
    check::table(&mut context, &document, keys::ROOT, merge::BEGIN, true);
    let name = scenario_name(path);
    let heading =
        Heading { claim: claim(&text).unwrap_or(&name).to_owned(), name, variant: None, seed };
    let plan = lower::lower(&mut context, &document, heading.clone());
    let variants = variants(&mut context, &document, &heading);
    if !context.faults.is_empty() {
        return Err(context.problems());
    }
    let warnings = context.warnings();
    let origins = origin::origins(&context, &document, &plan);
    let files = context.sources.iter().filter(|source| source.name != "--set");
    let mut sources: Vec<(String, String)> =
        files.map(|source| (source.name.clone(), source.text.clone())).collect();
    sources.extend(context.data_files().map(|(path, text)| (path.clone(), text.clone())));
    Ok(Loaded { plan, variants, warnings, origins, sources })
}

/// The plans of the variants; of their faults those that the scenario itself does not have.
fn variants(context: &mut Context<'_>, document: &Node, heading: &Heading) -> Vec<Plan> {
    let mut plans = Vec::new();
    let list = document.list("variant");
    if VARIANTS_MAX < list.len() {
        let what = format!("{} variants are too many", list.len());
        context.report(Fault::new(list[VARIANTS_MAX].at, what).hint("at most 1000"));
    }
    // A scenario with many faults says enough about its variants.
    let worth_it = if context.is_flooded() { 0 } else { VARIANTS_MAX };
    for variant in list.iter().take(worth_it) {
        let (Some(name), Some(settings)) = (variant.text("name"), variant.get("set")) else {
            continue;
        };
        let (known, warned) = (context.faults.clone(), context.warnings.len());
        let mut changed = document.clone();
        overrides::apply_variant(context, &mut changed, settings);
        if context.faults.len() == known.len() {
            check::table(context, &changed, keys::ROOT, merge::BEGIN, true);
            let heading = Heading { variant: Some(name.to_owned()), ..heading.clone() };
            plans.push(lower::lower(context, &changed, heading));
        }
        for (list, old) in [(&mut context.faults, known.len()), (&mut context.warnings, warned)] {
            name_variant(list, old, name, settings);
        }
    }
    plans
}

/// Faults after the `old` ones that stand elsewhere than in a variant's own settings say that they
/// are its.
fn name_variant(faults: &mut [Fault], old: usize, name: &str, settings: &Node) {
    let (first, new) = faults.split_at_mut(old);
    for fault in new.iter_mut().filter(|fault| !first.contains(fault)) {
        let within = settings.at.source == fault.at.source
            && (settings.at.start..settings.at.end).contains(&fault.at.start);
        if !within {
            fault.what = format!("in the variant `{name}`: {}", fault.what);
        }
    }
}

/// The path below the nearest folder called `scenarios`, else the file's name, without `.toml`.
fn scenario_name(path: &str) -> String {
    let stem = path.strip_suffix(".toml").unwrap_or(path);
    let parts: Vec<&str> = stem.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
    let (last, folders) = parts.split_last().unwrap_or((&stem, &[]));
    match folders.iter().rposition(|folder| *folder == "scenarios") {
        Some(at) => parts[at + 1..].join("/"),
        None => (*last).to_owned(),
    }
}

/// The first comment line, if one comes before everything else.
fn claim(text: &str) -> Option<&str> {
    let first =
        text.trim_start_matches('\u{feff}').lines().map(str::trim).find(|l| !l.is_empty())?;
    let claim = first.strip_prefix('#')?.trim();
    (!claim.is_empty()).then_some(claim)
}
