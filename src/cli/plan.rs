//! `meshsim plan`: every value of a scenario, with where it comes from.
//!
//! Source: docs/results.md.
//! Left out: working anything out; `scenario::load` says it all.

use super::job::{self, Settings};
use super::manifests;
use super::output::{Output, Trouble};
use super::{ExitStatus, Format};
use clap::Args;
use serde_json::json;

/// What was typed.
#[derive(Args)]
#[command(after_help = "Example:\n  meshsim plan scenarios/control-plane-outage.toml | grep cert")]
pub(super) struct Typed {
    /// A scenario file
    #[arg(value_name = "FILE")]
    file: String,
    /// Change a value of the scenario, such as service.reviews.v2.replicas=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Lay it over this YAML of a real mesh as well: a file, a folder, a pattern, or - for stdin
    #[arg(long, value_name = "PATH")]
    manifests: Vec<String>,
    /// Print a table, or a line of JSON for each value
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let (sets, manifests) = (typed.sets.clone(), typed.manifests.clone());
    let settings = Settings { sets, manifests, ..Settings::default() };
    let loaded = job::load(std::slice::from_ref(&typed.file), &settings)?;
    for (_, loaded) in &loaded {
        output.warn(&loaded.warnings);
    }
    let from = loaded.first().and_then(|(_, loaded)| loaded.manifests.get(&None)).cloned();
    if let Some(from) = &from {
        manifests::tell_ignored(&from.lines, usize::MAX, output);
    }
    let origins = loaded.into_iter().flat_map(|(_, loaded)| loaded.origins);
    let rows = origins.map(|one| [one.key, one.value, one.from, one.source]);
    match typed.format {
        Format::Human => output.table(["key", "value", "origin", "source"], rows)?,
        Format::Json => {
            for [key, value, origin, source] in rows {
                output.json(&json!({
                    "key": key, "value": value, "origin": origin, "source": source
                }))?;
            }
            if let Some(from) = from {
                output.json(&json!({ "manifests": *from }))?;
            }
        }
    }
    Ok(ExitStatus::Success)
}
