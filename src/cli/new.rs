//! `meshsim new`: a scenario to start from.
//!
//! Source: docs/results.md.
//! Left out: overwriting anything.

use super::ExitStatus;
use super::output::{Output, Trouble};
use crate::plan::problem::Problem;
use crate::scenario::large::{self, Large};
use crate::scenario::{TEMPLATES, template};
use clap::Args;
use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What was typed.
#[derive(Args)]
#[command(after_help = "Examples:\n  meshsim new outage -o first.toml\n  \
                        meshsim new large --services 1000 --pods 28000 -o large.toml")]
pub(super) struct Typed {
    /// Which one; without, all are listed
    #[arg(value_name = "TEMPLATE")]
    template: Option<String>,
    /// Write it to this new file
    #[arg(short, long, value_name = "FILE", requires = "template")]
    output: Option<PathBuf>,
    #[command(flatten)]
    size: Size,
}

/// The size of `large`.
#[derive(Args)]
#[command(next_help_heading = "Options of large")]
struct Size {
    /// Services [default: 100]
    #[arg(long, value_name = "N", requires = "template", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    services: Option<u32>,
    /// Pods of all services [default: 28 a service]
    #[arg(long, value_name = "M", requires = "template", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pods: Option<u32>,
    /// Services on the longest chain of calls [default: 6, or all]
    #[arg(long, value_name = "D", requires = "template", value_parser = clap::value_parser!(u32).range(1..=i64::from(large::DEPTH_MAX)))]
    depth: Option<u32>,
    /// Requests a second from outside [default: 100]
    #[arg(long, value_name = "RATE", requires = "template", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rps: Option<u32>,
    /// Another seed is another mesh of the same shape [default: 1]
    #[arg(long, value_name = "SEED", requires = "template")]
    seed: Option<u64>,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let Some(name) = &typed.template else {
        let rows = all().map(|row| [row.0.to_owned(), row.1.to_owned()]);
        output.table(["template", "shows"], rows)?;
        return Ok(ExitStatus::Success);
    };
    let text = typed.text(name)?;
    match &typed.output {
        None => output.data(text.as_bytes())?,
        Some(file) => {
            write(file, &text)?;
            output.talk(&format!("wrote {}; try: meshsim run {0}\n", file.display()));
        }
    }
    Ok(ExitStatus::Success)
}

/// Name and what it shows.
fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEMPLATES.iter().copied().chain([large::NAME])
}

impl Typed {
    fn text(&self, name: &str) -> Result<Cow<'static, str>, Problem> {
        if name == large::NAME.0 {
            return self.size.large().text().map(Cow::Owned);
        }
        let text = template(name).ok_or_else(|| unknown(name))?;
        match self.size.first() {
            None => Ok(Cow::Borrowed(text)),
            Some(flag) => Err(Problem::new(format!("`{name}` has a size of its own"))
                .hint(format!("--{flag} belongs to `meshsim new large`"))),
        }
    }
}

impl Size {
    fn large(&self) -> Large {
        let services = self.services.unwrap_or(large::SERVICES);
        Large {
            services,
            pods: self.pods.unwrap_or(services * large::PODS_PER_SERVICE),
            depth: self.depth.unwrap_or(large::DEPTH.min(services)),
            rps: self.rps.unwrap_or(large::RPS),
            seed: self.seed.unwrap_or(1),
        }
    }

    /// A flag that was given.
    fn first(&self) -> Option<&'static str> {
        let flags = [
            ("services", self.services.is_some()),
            ("pods", self.pods.is_some()),
            ("depth", self.depth.is_some()),
            ("rps", self.rps.is_some()),
            ("seed", self.seed.is_some()),
        ];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }
}

/// Writes a file that is not there yet.
pub(super) fn write(file: &Path, text: &str) -> Result<(), Trouble> {
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let what = format!("{} exists already, and nothing is overwritten", file.display());
            Err(Problem::new(what).hint("give another name with -o").into())
        }
        Err(error) => Err(Trouble::io(format_args!("cannot write {}", file.display()), &error)),
    }
}

fn unknown(name: &str) -> Problem {
    let names: Vec<_> = all().map(|row| row.0).collect();
    let nearest = names.iter().min_by_key(|one| strsim::damerau_levenshtein(one, name));
    let near = nearest.filter(|one| strsim::damerau_levenshtein(one, name) <= 3);
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names.join(", ")),
    };
    Problem::new(format!("there is no template `{name}`")).hint(hint)
}
