//! `meshsim schema`: the JSON Schema of scenario files.
//!
//! Source: docs/results.md; made from the table that the parser uses.
//! Left out: how editors are told of it; the README says it.

use super::ExitStatus;
use super::output::{Output, Trouble};

/// Runs the command.
pub(super) fn run(output: Output) -> Result<ExitStatus, Trouble> {
    let schema = crate::scenario::schema();
    output.data(format!("{schema:#}\n").as_bytes())?;
    Ok(ExitStatus::Success)
}
