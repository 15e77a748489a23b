//! Scenario files: TOML in, plans out; every mistake with its place and what would help.
//!
//! In reading order: `document` (the file as a tree with places), `keys` and `schema` (the one
//! table of keys), `check` (structure), `merge` (base files), `overrides` (`--set`, variants), `manifests`
//! and `drafted` (a real mesh's YAML, over which the file is laid), `states` (what it is at a time), `expand` (counted services), `lower`
//! (names to ids, meanings), `origin` (where each value comes from).
//!
//! Source: docs/scenarios.md.
//! Left out: `[sweep]`, `[lesson]`.

mod check;
mod context;
mod document;
mod drafted;
mod expand;
mod expression;
mod json;
mod keys;
mod laid;
pub mod large;
mod lower;
mod manifests;
mod merge;
mod origin;
mod overrides;
mod schema;
mod states;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod units;
mod values;

use crate::plan::Plan;
use crate::plan::problem::Problem;
use context::{Context, Fault, Foreign};
use document::Node;
use lower::Heading;
pub use manifests::FromManifests;
use manifests::Read;
use overrides::Part;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Templates for `meshsim new`: name and what each shows, in the order in which they are listed.
pub const TEMPLATES: &[(&str, &str)] = template::TEMPLATES;

/// More variants than this are a sweep.
const VARIANTS_MAX: usize = 1_000;

/// Manifests: names, and bytes, which may be no text.
pub type ManifestFiles = Vec<(String, Vec<u8>)>;

/// Where files come from, so that the engine has no access of its own.
pub trait Files {
    /// The text of the file at `path`, or in words why there is none.
    fn read(&self, path: &str) -> Result<String, String>;

    /// The manifests that `path` means, in the order of their names: those of a folder, those that a
    /// pattern fits, else one file. What has no folders knows files only.
    fn manifests(&self, path: &str) -> Result<ManifestFiles, String> {
        self.read(path).map(|text| vec![(path.to_owned(), text.into_bytes())])
    }
}

/// What changes a scenario from as it is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'s> {
    /// `key=value`.
    pub sets: &'s [String],
    /// Paths of manifests besides those that the file names.
    pub manifests: &'s [String],
    /// In place of the scenario's own seed.
    pub seed: Option<u64>,
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
    /// What came from manifests, by variant, where there are any.
    pub manifests: BTreeMap<Option<String>, Arc<FromManifests>>,
}

/// One value of the resolved scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// As in `--set`: `mesh.cert.ttl`, `service.reviews.v2.replicas`.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// `file:line`, `--set …`, `assumed`, `profile istio-sidecar@1.28`, `mesh.…` where a service takes the
    /// mesh's value, or `default`.
    pub from: String,
    /// The source of a default: a file of Istio's, a document, or ours; why a value is assumed.
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
    load_with(files, path, Settings { sets, seed, ..Settings::default() })
}

/// Reads the scenario at `path` with settings over it, and over manifests. All problems at once.
pub fn load_with(
    files: &dyn Files,
    path: &str,
    settings: Settings<'_>,
) -> Result<Loaded, Vec<Problem>> {
    let text = files
        .read(path)
        .map_err(|why| vec![Problem::new(format!("`{path}` cannot be read: {why}"))])?;
    let mut context = Context::new(files);
    let Some(mut written) = merge::read(&mut context, path, &text) else {
        return Err(context.problems());
    };
    manifests::add(&mut context, &mut written, settings.manifests);
    overrides::apply_sets(&mut context, &mut written, settings.sets, Part::Manifests);
    let kept = manifests::are_asked_for(&written).then(|| written.clone());
    let Some((mut document, mut from)) = manifests::lay(&mut context, written, path) else {
        return Err(context.problems());
    };
    let name = scenario_name(path);
    let claim = claim(&text).unwrap_or(&name).to_owned();
    let heading = Heading { claim, name, variant: None, seed: settings.seed };
    let settle = |context: &mut Context<'_>, document: &mut Node| {
        overrides::apply_sets(context, document, settings.sets, Part::Others);
    };
    let Some(plan) = plan(&mut context, &mut document, (from.as_mut(), path), &settle, &heading)
    else {
        return Err(context.problems());
    };
    let mut all = from.iter().map(|from| (None, from.counted(&document))).collect();
    // Without manifests, settings that are applied twice do no harm.
    let written = kept.as_ref().unwrap_or(&document);
    let mut whole = Whole { written, document: &document, from, path, settings, heading: &heading };
    let variants = whole.variants(&mut context, &mut all);
    if !context.is_clean() {
        return Err(context.problems());
    }
    let warnings = context.warnings();
    let origins = origin::origins(&context, &document, &plan);
    let files = context.sources.iter().filter(|source| source.is_file());
    let mut sources: Vec<(String, String)> =
        files.map(|source| (source.name.clone(), source.text.clone())).collect();
    sources.extend(context.data_files().map(|(path, text)| (path.clone(), text.clone())));
    Ok(Loaded { plan, variants, warnings, origins, sources, manifests: all })
}

/// A scenario as it was written and as it is without its variants.
struct Whole<'w> {
    /// Without what manifests say.
    written: &'w Node,
    document: &'w Node,
    /// What came from its manifests.
    from: Option<Read>,
    path: &'w str,
    settings: Settings<'w>,
    heading: &'w Heading,
}

/// The plan of a document on which settings are still to be made; none where so much is wrong with the manifests
/// of its events that names would be missing.
fn plan(
    context: &mut Context<'_>,
    document: &mut Node,
    (from, path): (Option<&mut Read>, &str),
    settle: &dyn Fn(&mut Context<'_>, &mut Node),
    heading: &Heading,
) -> Option<Plan> {
    let begun = context.faults.len();
    settle(context, document);
    let Some(from) = from.filter(|_| states::has_events(document)) else {
        check::table(context, document, keys::ROOT, merge::BEGIN, true);
        return Some(lower::lower(context, document, heading.clone()));
    };
    // Settings may be of what only comes with an event.
    let mut held = context.faults.split_off(begun);
    let Some(mut states) = from.states(context, document, path) else {
        context.faults.append(&mut held);
        check::table(context, document, keys::ROOT, merge::BEGIN, true);
        return None;
    };
    for state in &mut states.list {
        settle(context, &mut state.root);
        check::table(context, &state.root, keys::ROOT, merge::BEGIN, true);
    }
    document.clone_from(&states.list[0].root);
    Some(lower::lower_states(context, &states, heading))
}

impl Whole<'_> {
    /// The plans of the variants; of their faults those that the scenario itself does not have.
    fn variants(
        &mut self,
        context: &mut Context<'_>,
        manifests: &mut BTreeMap<Option<String>, Arc<FromManifests>>,
    ) -> Vec<Plan> {
        let mut plans = Vec::new();
        let list = self.document.list("variant");
        if VARIANTS_MAX < list.len() {
            let what = format!("{} variants are too many", list.len());
            context.report(Fault::new(list[VARIANTS_MAX].at, what).hint("at most 1000"));
        }
        let own = manifests.get(&None).cloned();
        // A scenario with many faults says enough about its variants.
        let worth_it = if context.is_flooded() { 0 } else { VARIANTS_MAX };
        for variant in list.iter().take(worth_it) {
            let (Some(name), Some(settings)) = (variant.text("name"), variant.get("set")) else {
                continue;
            };
            let (known, warned) = (context.faults.clone(), context.warnings.len());
            let foreign = context.foreign.clone();
            let variant = Some(name.to_owned());
            let heading = Heading { variant: variant.clone(), ..self.heading.clone() };
            if let Some((plan, from)) = self.variant(context, settings, &heading) {
                plans.push(plan);
                manifests.extend(from.or_else(|| own.clone()).map(|from| (variant, from)));
            }
            for (list, old) in [(&mut context.faults, known.len()), (&mut context.warnings, warned)]
            {
                name_variant(list, old, name, settings);
            }
            let Foreign { problems, warnings } = &mut context.foreign;
            for (list, old) in [(problems, foreign.problems), (warnings, foreign.warnings)] {
                name_foreign(list, old.len(), name);
            }
        }
        plans
    }

    /// The plan of a variant, and what came from its manifests if it has others; none if it is not worth it.
    fn variant(
        &mut self,
        context: &mut Context<'_>,
        settings: &Node,
        heading: &Heading,
    ) -> Option<(Plan, Option<Arc<FromManifests>>)> {
        let sets = self.settings.sets;
        let has_others = overrides::changes_manifests(settings);
        let (mut document, mut own) = if has_others {
            let mut written = self.written.clone();
            overrides::apply_variant(context, &mut written, settings, Part::Manifests);
            manifests::lay(context, written, self.path)?
        } else {
            (self.document.clone(), None)
        };
        let (faults, problems) = (context.faults.len(), context.foreign.problems.len());
        let settle = |context: &mut Context<'_>, document: &mut Node| {
            overrides::apply_sets(context, document, sets, Part::Others);
            overrides::apply_variant(context, document, settings, Part::Others);
        };
        let from = if has_others { own.as_mut() } else { self.from.as_mut() };
        let plan = plan(context, &mut document, (from, self.path), &settle, heading)?;
        let is_sound = faults == context.faults.len() && problems == context.foreign.problems.len();
        let own = own.filter(|_| is_sound).map(|own| own.counted(&document));
        Some((plan, own))
    }
}

/// What manifests say after the `old` ones says that it is a variant's.
fn name_foreign(list: &mut Vec<Problem>, old: usize, name: &str) {
    let mut new = list.split_off(old.min(list.len()));
    new.retain(|problem| !list.contains(problem));
    for mut problem in new {
        problem.what = format!("in the variant `{name}`: {}", problem.what);
        list.push(problem);
    }
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
