//! `meshsim new`: a scenario to start from.
//!
//! Source: docs/results.md.
//! Left out: overwriting anything.

use super::ExitStatus;
use super::output::{Output, Trouble};
use crate::plan::problem::Problem;
use crate::scenario::{TEMPLATES, template};
use clap::Args;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What was typed.
#[derive(Args)]
#[command(after_help = "Example:\n  meshsim new outage -o first.toml")]
pub(super) struct Typed {
    /// Which one; without, all are listed
    #[arg(value_name = "TEMPLATE")]
    template: Option<String>,
    /// Write it to this new file
    #[arg(short, long, value_name = "FILE", requires = "template")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let Some(name) = &typed.template else {
        let rows = TEMPLATES.iter().map(|row| [row.0.to_owned(), row.1.to_owned()]);
        output.table(["template", "shows"], rows)?;
        return Ok(ExitStatus::Success);
    };
    let text = template(name).ok_or_else(|| unknown(name))?;
    match &typed.output {
        None => output.data(text.as_bytes())?,
        Some(file) => {
            write(file, text)?;
            output.talk(&format!("wrote {}; try: meshsim run {0}\n", file.display()));
        }
    }
    Ok(ExitStatus::Success)
}

fn write(file: &Path, text: &str) -> Result<(), Trouble> {
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let what = format!("{} exists already, and `new` overwrites nothing", file.display());
            Err(Problem::new(what).hint("give another name with -o").into())
        }
        Err(error) => Err(Trouble::io(format_args!("cannot write {}", file.display()), &error)),
    }
}

fn unknown(name: &str) -> Problem {
    let names: Vec<_> = TEMPLATES.iter().map(|row| row.0).collect();
    let nearest = names.iter().min_by_key(|one| strsim::damerau_levenshtein(one, name));
    let near = nearest.filter(|one| strsim::damerau_levenshtein(one, name) <= 3);
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names.join(", ")),
    };
    Problem::new(format!("there is no template `{name}`")).hint(hint)
}
