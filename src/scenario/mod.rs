//! STUB of branch `cli`, replaced at the merge by branch `scenario`: reads only `[scenario]`,
//! `[[variant]]` names and the names of `[[assert]]`, enough to try the commands.

use crate::kernel::digest::Digest;
use crate::kernel::time::Duration;
use crate::plan::parameter::Parameters;
use crate::plan::problem::{Place, Problem};
use crate::plan::universe::Universe;
use crate::plan::{Plan, Start};

/// Where files come from.
pub trait Files {
    /// The text of the file at `path`, or why there is none.
    fn read(&self, path: &str) -> Result<String, String>;
}

/// A value of the resolved plan and where it comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its path.
    pub key: String,
    /// The value.
    pub value: String,
    /// `file:line`, `profile`, …
    pub from: String,
    /// The source of a default.
    pub source: String,
}

/// A scenario, read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// As written.
    pub plan: Plan,
    /// Its variants.
    pub variants: Vec<Plan>,
    /// Where each value comes from.
    pub origins: Vec<Origin>,
    /// The files that were read: (path, text).
    pub sources: Vec<(String, String)>,
}

/// Scenarios to start from: (name, what it shows).
pub const TEMPLATES: &[(&str, &str)] = &[("queue", "one server and one queue")];

/// The text of the template.
pub fn template(name: &str) -> Option<&'static str> {
    (name == "queue").then_some("# One service.\n[scenario]\nduration = \"1h\"\n")
}

/// The JSON Schema of scenario files.
pub fn schema() -> serde_json::Value {
    serde_json::json!({"$schema": "https://json-schema.org/draft/2020-12/schema"})
}

/// Reads a scenario.
pub fn load(
    files: &dyn Files,
    path: &str,
    sets: &[String],
    seed: Option<u64>,
) -> Result<Loaded, Vec<Problem>> {
    let text = files.read(path).map_err(|why| vec![Problem::new(format!("{path}: {why}"))])?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        vec![Problem::new(error.message()).at(place(path, &text, at, 1))]
    })?;
    let mut problems = Vec::new();
    for key in table.keys() {
        if !["scenario", "variant", "service", "traffic", "mesh"].contains(&key.as_str()) {
            let at = text.find(key.as_str()).unwrap_or(0);
            let width = u32::try_from(key.chars().count()).unwrap_or(1);
            problems.push(
                Problem::new(format!("unknown key `{key}`"))
                    .at(place(path, &text, at, width))
                    .hint("did you mean `scenario`?"),
            );
        }
    }
    for set in sets {
        if !set.contains('=') {
            problems.push(Problem::new(format!("--set {set}: expected key=value")));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let name = path.rsplit_once("scenarios/").map_or(path, |(_, name)| name);
    let name = name.trim_end_matches(".toml").trim_start_matches("./");
    let plan = Plan {
        name: if path.contains("scenarios/") {
            name
        } else {
            name.rsplit('/').next().unwrap_or(name)
        }
        .to_owned(),
        variant: None,
        claim: String::new(),
        seed: seed.unwrap_or(1),
        duration: Duration::from_s(3600),
        warmup: Duration::ZERO,
        interval: Duration::from_s(5),
        start: Start::Stationary,
        profile: "istio-sidecar@1.30".to_owned(),
        parameters: Parameters::default(),
        universe: Universe::default(),
        traffic: Vec::new(),
        timeline: Vec::new(),
        assertions: Vec::new(),
        digest: Digest::new().value(),
    };
    let names = table.get("variant").and_then(toml::Value::as_array).into_iter().flatten();
    let names = names.filter_map(|one| one.get("name")?.as_str());
    let variants = names.map(|name| Plan { variant: Some(name.to_owned()), ..plan.clone() });
    Ok(Loaded {
        variants: variants.collect(),
        plan,
        origins: vec![Origin {
            key: "scenario.duration".to_owned(),
            value: "1h".to_owned(),
            from: format!("{path}:2"),
            source: String::new(),
        }],
        sources: vec![(path.to_owned(), text)],
    })
}

#[expect(clippy::cast_possible_truncation, reason = "a stub")]
fn place(file: &str, text: &str, at: usize, width: u32) -> Place {
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        file: file.to_owned(),
        line: before.matches('\n').count() as u32 + 1,
        column: text[start..at].chars().count() as u32 + 1,
        width,
        text: text[start..].lines().next().unwrap_or("").to_owned(),
    }
}
