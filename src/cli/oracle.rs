//! `meshsim oracle`: theory beside simulation.
//!
//! Source: docs/results.md.
//! Left out: the cases, which are `check::oracle`.

use super::interrupt::Interrupt;
use super::output::{Output, Trouble};
use super::progress::Progress;
use super::{ExitStatus, Format};
use crate::check::oracle::{Row, table};
use clap::Args;
use serde_json::json;

/// What was typed.
#[derive(Args)]
#[command(after_help = "Example:\n  meshsim oracle")]
pub(super) struct Typed {
    /// Print a table, or a line of JSON for each case
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let progress = Progress::new(output, Interrupt::default(), 1);
    let rows = table(&mut |done, of| progress.reach(done, of));
    progress.end();
    match typed.format {
        Format::Human => output.table(
            ["case", "theory", "simulated", "error", "standard error", "off by", ""],
            rows.iter().map(text),
        )?,
        Format::Json => rows.iter().try_for_each(|row| {
            output.json(&json!({
                "case": row.name, "theory": row.theory, "simulated": row.simulated,
                "standard_error": row.standard_error, "error_share": row.error_share,
                "source": row.source, "holds": row.holds,
            }))
        })?,
    }
    let all_hold = rows.iter().all(|row| row.holds);
    Ok(if all_hold { ExitStatus::Success } else { ExitStatus::Failed })
}

fn text(row: &Row) -> [String; 7] {
    let off = (row.simulated - row.theory) / row.standard_error;
    [
        row.name.clone(),
        format!("{:.6}", row.theory),
        format!("{:.6}", row.simulated),
        format!("{:+.3}%", row.error_share * 100.0),
        format!("{:.3}%", row.standard_error / row.theory * 100.0),
        if off.is_finite() { format!("{off:+.1}") } else { String::new() },
        if row.holds { "ok" } else { "FAIL" }.to_owned(),
    ]
}
