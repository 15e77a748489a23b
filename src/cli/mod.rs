//! Floor 5: the command line. One file a command; what was typed is parsed here, what it means is
//! worked out in `job`, and nothing but `output` prints.
//!
//! Source: ripgrep and uv for exit codes and messages.
//! Left out: the commands of later issues.

mod bless;
mod completions;
mod diagnostic;
mod explain;
mod find;
mod graphs;
mod import;
mod interrupt;
mod job;
mod label;
mod lint;
mod man;
mod manifests;
mod memory;
mod new;
mod oracle;
mod output;
mod panic;
mod plan;
mod progress;
mod results;
mod route;
mod run;
mod sarif;
mod schema;
mod side_by_side;
mod simulate;
mod test;
mod verdict;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use output::{Output, Trouble};
use std::process::ExitCode;

/// How a command ended, as programs see it. A panic ends with 101, which is always a bug.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ExitStatus {
    /// All is well.
    Success = 0,
    /// An assertion failed, or a result differs from its baseline.
    Failed = 1,
    /// Wrong usage or invalid input.
    Usage = 2,
    /// Input, output or environment: a full disk, a run that was ended early.
    Environment = 3,
}

/// Simulates a service mesh: what breaks, when, and why.
///
/// meshsim plays a scenario - services, traffic, and the things that fail - hour by hour in
/// seconds, with the same result every time.
#[derive(Parser)]
#[command(name = "meshsim", version, arg_required_else_help = true)]
#[command(after_help = "Example:\n  meshsim new outage -o first.toml\n  meshsim run first.toml")]
pub struct Cli {
    /// Say nothing on the way: only results and errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Use no colours (as does NO_COLOR in the environment)
    #[arg(long, global = true)]
    no_color: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run scenarios, write their results, and tell what happened
    Run(run::Typed),
    /// Check scenarios: what they expect, and whether results are as before
    Test(test::Typed),
    /// Make the results of scenarios the ones that `test` compares with
    Bless(bless::Typed),
    /// Tell why requests fail, back to the root; or the state of every proxy at a time
    Explain(explain::Typed),
    /// Show every value that a scenario uses, and where it comes from
    Plan(plan::Typed),
    /// Tell where a request goes by real manifests, and why
    Route(route::Typed),
    /// Find what is wrong, risky or not simulated in real manifests
    Lint(lint::Typed),
    /// Make a scenario from real manifests
    Import(import::Typed),
    /// Compare the simulator with cases whose exact answer is known
    Oracle(oracle::Typed),
    /// Print or write a scenario to start from
    New(new::Typed),
    /// Print the JSON Schema of scenario files, for editors
    Schema,
    /// Print the completions of a shell
    Completions(completions::Typed),
    /// Print the manual page
    Man(man::Typed),
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Human,
    /// For programs, a line for each
    Json,
}

/// The `meshsim` command: parses, runs, and ends with an exit status.
pub fn main() -> ExitCode {
    panic::explain_bugs();
    let no_color = std::env::args_os().any(|word| word == "--no-color");
    let choice = if no_color { ColorChoice::Never } else { ColorChoice::Auto };
    let matches = Cli::command().color(choice).try_get_matches();
    match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => {
            let output = Output::new(cli.quiet, cli.no_color);
            ExitCode::from(output.end(cli.command.run(output)) as u8)
        }
        Err(usage) => {
            // Whoever closed the pipe does not want the help.
            drop(usage.print());
            ExitCode::from(
                if usage.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success } as u8
            )
        }
    }
}

impl Command {
    fn run(&self, output: Output) -> Result<ExitStatus, Trouble> {
        match self {
            Self::Run(typed) => run::run(typed, output),
            Self::Test(typed) => test::run(typed, output),
            Self::Bless(typed) => bless::run(typed, output),
            Self::Explain(typed) => explain::run(typed, output),
            Self::Plan(typed) => plan::run(typed, output),
            Self::Route(typed) => route::run(typed, output),
            Self::Lint(typed) => lint::run(typed, output),
            Self::Import(typed) => import::run(typed, output),
            Self::Oracle(typed) => oracle::run(typed, output),
            Self::New(typed) => new::run(typed, output),
            Self::Schema => schema::run(output),
            Self::Completions(typed) => completions::run(typed, output),
            Self::Man(typed) => man::run(typed, output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_arguments_is_sound() {
        Cli::command().debug_assert();
    }
}
