//! Oracles: cases whose exact answer is known, simulated and set beside it.
//!
//! STUB of branch `cli`: the cases come from another branch, with this signature.
//!
//! Source: queueing theory, per row.
//! Left out: everything, until the branches meet.

/// A row of the table.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// What is compared, with its setting: `M/M/1 mean sojourn, rho 0.8`.
    pub name: String,
    /// The exact value.
    pub theory: f64,
    /// The simulated value.
    pub simulated: f64,
    /// The simulated value's standard error, from batch means.
    pub standard_error: f64,
    /// (simulated − theory) / theory.
    pub error_share: f64,
    /// Whether the difference is within the allowed number of standard errors.
    pub holds: bool,
}

/// The table; `progress` is told (done, of) before each row.
pub fn table(progress: &mut dyn FnMut(usize, usize)) -> Vec<Row> {
    progress(0, 0);
    Vec::new()
}
