//! `meshsim completions`: what a shell needs to complete our words.
//!
//! Source: `clap_complete`.
//! Left out: installing them.

use super::output::{Output, Trouble};
use super::{Cli, ExitStatus};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// What was typed.
#[derive(Args)]
#[command(
    after_help = "Example:\n  meshsim completions bash > ~/.local/share/bash-completion/completions/meshsim"
)]
pub(super) struct Typed {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    // Into memory first: the generator panics where a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(typed.shell, &mut Cli::command(), "meshsim", &mut script);
    output.data(&script)?;
    Ok(ExitStatus::Success)
}
