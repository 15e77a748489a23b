//! The files of measured cases, as serde types: closed key sets, closed words. A key that is not
//! known here is an error that names the file and the case.
//!
//! Source: the schema `envoy-lab/2`, which the files name.
//! Left out: what no rule compares is read past.

pub mod compare;
pub mod config;
pub mod observed;
pub mod step;
pub mod words;

use compare::Compare;
use config::Config;
use observed::Observed;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

/// A file of cases.
#[derive(Debug)]
pub struct File {
    /// The family: `e01_weights`.
    pub name: String,
    /// In the order of the file.
    pub cases: Vec<Case>,
}

/// A configuration, what was observed with it, and how a simulation is compared with that.
#[derive(Debug)]
pub struct Case {
    /// Its name in the family.
    pub name: String,
    /// What is set up.
    pub configs: Configs,
    /// One a repetition, or one a variant.
    pub observed: Vec<Observed>,
    /// None: measured, but not a truth to compare with.
    pub compare: Option<Compare>,
}

/// One configuration, or several that are compared each with its own observation.
#[derive(Debug)]
pub enum Configs {
    /// One.
    One(Box<Config>),
    /// By name.
    Variants(Vec<(String, Config)>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    name: String,
    #[serde(rename = "about")]
    _about: IgnoredAny,
    schema: SchemaName,
    #[serde(rename = "tool")]
    _tool: IgnoredAny,
    #[serde(rename = "made")]
    _made: IgnoredAny,
    cases: Vec<Value>,
}

#[derive(Deserialize)]
enum SchemaName {
    #[serde(rename = "envoy-lab/2")]
    EnvoyLab2,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    case: String,
    config: Value,
    repetitions: usize,
    observed: Vec<Value>,
    #[serde(rename = "summary")]
    _summary: IgnoredAny,
    // With a function of its own, a missing key is an error and null is none.
    #[serde(deserialize_with = "Option::deserialize")]
    compare: Option<Compare>,
    why: Option<String>,
    #[serde(default, rename = "note")]
    _note: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariants {
    #[serde(rename = "defaults")]
    _defaults: words::Defaults,
    variants: Vec<RawVariant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariant {
    variant: String,
    config: Value,
}

/// Reads a file's text. The error names the file, the case and the key.
pub fn read(file: &str, text: &str) -> Result<File, String> {
    let raw: RawFile = serde_json::from_str(text).map_err(|error| format!("{file}: {error}"))?;
    let SchemaName::EnvoyLab2 = raw.schema;
    let mut cases: Vec<Case> = Vec::new();
    for (number, value) in raw.cases.into_iter().enumerate() {
        let name = value.get("case").and_then(Value::as_str).map(str::to_owned);
        let name = name.unwrap_or_else(|| format!("case {}", number + 1));
        let case = read_case(value).map_err(|error| format!("{file}: {name}: {error}"))?;
        if cases.iter().any(|one| one.name == case.name) {
            return Err(format!("{file}: {name}: two cases have this name"));
        }
        cases.push(case);
    }
    Ok(File { name: raw.name, cases })
}

fn read_case(value: Value) -> Result<Case, String> {
    let raw: RawCase = part("", value)?;
    let configs = read_configs(raw.config)?;
    let observed = raw.observed.into_iter().enumerate();
    let observed = observed.map(|(number, one)| part(&format!("observed[{number}]"), one));
    let observed: Vec<Observed> = observed.collect::<Result<_, _>>()?;
    if observed.len() != raw.repetitions || observed.is_empty() {
        return Err(format!("{} repetitions, {} observed", raw.repetitions, observed.len()));
    }
    if let Configs::Variants(variants) = &configs {
        let names = variants.iter().map(|(name, _)| Some(name.as_str()));
        if !names.eq(observed.iter().map(|one| one.variant.as_deref())) {
            return Err("variants and observations differ".to_owned());
        }
    }
    match &raw.compare {
        None if raw.why.is_none() => return Err("compare is null without why".to_owned()),
        None => {}
        Some(compare) => {
            compare.check(matches!(configs, Configs::Variants(_)))?;
            observed.iter().try_for_each(Observed::check)?;
        }
    }
    Ok(Case { name: raw.case, configs, observed, compare: raw.compare })
}

fn read_configs(value: Value) -> Result<Configs, String> {
    if value.get("variants").is_none() {
        return Ok(Configs::One(Box::new(read_config("config", value)?)));
    }
    let raw: RawVariants = part("config", value)?;
    let one = |one: RawVariant| {
        let config = read_config(&format!("config of {}", one.variant), one.config)?;
        Ok((one.variant, config))
    };
    raw.variants.into_iter().map(one).collect::<Result<_, String>>().map(Configs::Variants)
}

fn read_config(place: &str, value: Value) -> Result<Config, String> {
    let config: Config = part(place, value)?;
    config.check().map_err(|error| format!("{place}: {error}"))?;
    Ok(config)
}

/// Reads a part of a case; the error says which, and names the key.
fn part<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, String> {
    let name = if place.is_empty() { String::new() } else { format!("{place}: ") };
    serde_json::from_value(value).map_err(|error| format!("{name}{error}"))
}
