//! `meshsim man`: the manual page of meshsim, or of one of its commands.
//!
//! Source: `clap_mangen`.
//! Left out: anything that `--help` does not say.

use super::output::{Output, Trouble};
use super::{Cli, ExitStatus};
use crate::plan::problem::Problem;
use clap::{Args, CommandFactory};

/// What was typed.
#[derive(Args)]
#[command(after_help = "Example:\n  meshsim man run > meshsim-run.1 && man ./meshsim-run.1")]
pub(super) struct Typed {
    /// Of this command only
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let mut all = Cli::command();
    all.build();
    let command = match &typed.command {
        None => all,
        Some(name) => {
            let one = all.find_subcommand(name).ok_or_else(|| {
                Problem::new(format!("there is no command `{name}`"))
                    .hint("`meshsim --help` lists them")
            })?;
            one.clone()
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Trouble::io("cannot make the manual page", &error))?;
    output.data(&page)?;
    Ok(ExitStatus::Success)
}
