//! The simulator beside theory: every row of `meshsim oracle` holds.
//!
//! Source: `check::oracle`, per row.
//! Left out: nothing of the table.

use meshsim::check::oracle::{Row, table};
use std::fmt::Write as _;

/// Goal: a mean, a share or a quantile that theory knows is met within the noise of the
/// replications, and that noise is small. Method: the table, with its fixed seeds.
#[test]
#[cfg_attr(debug_assertions, ignore = "minutes in debug; scripts/test runs it in release")]
fn every_oracle_holds() {
    let rows = table(&mut |_, _| {});
    let text = rows.iter().fold(String::new(), |mut text, row| {
        writeln!(text, "{}", line(row)).expect("a string takes all");
        text
    });
    assert!(rows.iter().all(|row| row.holds), "some oracle fails:\n{text}");
}

fn line(row: &Row) -> String {
    format!(
        "{:4} {:75} {:12.6} {:12.6} {:+7.3}% se {:.3}% off {:+.2} of {:.2}",
        if row.holds { "ok" } else { "FAIL" },
        row.name,
        row.theory,
        row.simulated,
        row.error_share * 100.0,
        row.standard_error / row.theory * 100.0,
        (row.simulated - row.theory) / row.standard_error,
        row.allowed
    )
}
