//! Oracles: cases whose exact answer is known, simulated and set beside it.
//!
//! Each case is simulated with the seeds 1 to [`SEEDS`]; the mean over the seeds is compared, and
//! their spread gives its standard error. A row holds if the mean is no further off than Student's
//! t allows where the whole table fails by chance once in a hundred such tables (each row gets
//! an equal part of that, after Bonferroni), and if the standard error is small enough to mean
//! something. The seeds are fixed, so a table never changes by itself.
//!
//! Source: queueing theory, per row.
//! Left out: what has no exact answer: meshes with proxies, timeouts, faults.

mod cases;
mod chains;
mod meanfield;
mod theory;

use crate::observe::run::Run;
use crate::plan::Plan;
use crate::scenario::{Files, load};
use crate::world::options::{Go, Options};
use crate::world::simulate;
use cases::{Case, Measure};
use rayon::prelude::*;

/// Replications of each case.
pub const SEEDS: u32 = 30;
/// The chance that a right simulator fails any row of the table.
const FAMILY_ERROR: f64 = 0.01;
/// Units of time from the last arrival to the end of a run: at load 0.9 a sojourn in M/M/1 is
/// longer with probability e^−200.
const DRAIN: f64 = 2_000.0;
/// Where theory says that every replication gives the same number.
const ROUNDING: f64 = 1e-9;

/// A row of the table.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// What is compared, with its setting: `M/M/1, load 0.8: mean sojourn`.
    pub name: String,
    /// Where the exact value comes from.
    pub source: &'static str,
    /// The exact value; times in mean service times.
    pub theory: f64,
    /// The simulated value.
    pub simulated: f64,
    /// The simulated value's standard error, from independent replications.
    pub standard_error: f64,
    /// (simulated − theory) / theory.
    pub error_share: f64,
    /// So many standard errors may it be off.
    pub allowed: f64,
    /// The greatest standard error for this case, as a share of the value.
    pub standard_error_max: f64,
    /// Whether the difference is within the allowed number of standard errors.
    pub holds: bool,
}

/// The table; `progress` is told (done, of) before each case and at the end.
pub fn table(progress: &mut dyn FnMut(usize, usize)) -> Vec<Row> {
    let cases = cases::all();
    let of = cases.iter().map(|case| case.measures.len()).sum();
    let allowed = crate::kernel::student::two_sided(FAMILY_ERROR / of as f64, SEEDS - 1);
    let mut rows = Vec::with_capacity(of);
    for case in &cases {
        progress(rows.len(), of);
        let runs = replications(case);
        for (index, measure) in case.measures.iter().enumerate() {
            let values: Vec<f64> = runs.iter().map(|values| values[index]).collect();
            rows.push(row(case, measure, &values, allowed));
        }
    }
    progress(of, of);
    rows
}

fn row(case: &Case, measure: &Measure, values: &[f64], allowed: f64) -> Row {
    let count = values.len() as f64;
    let simulated = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - simulated) * (value - simulated)).sum();
    let standard_error = libm::sqrt(squares / (count - 1.0) / count);
    let Measure { name, source, theory, .. } = *measure;
    let room = (allowed * standard_error).max(ROUNDING * theory);
    let is_sharp = standard_error <= case.standard_error_max * theory;
    Row {
        name: name.to_owned(),
        source,
        theory,
        simulated,
        standard_error,
        error_share: (simulated - theory) / theory,
        allowed,
        standard_error_max: case.standard_error_max,
        holds: is_sharp && (simulated - theory).abs() <= room,
    }
}

/// What is measured, by seed.
fn replications(case: &Case) -> Vec<Vec<f64>> {
    let plan = plan(case);
    let run = |seed: u32| -> Vec<f64> {
        let run: Run = simulate(&plan, u64::from(seed), Options::default(), &mut |_| Go::On);
        case.measures.iter().map(|measure| (measure.of)(&run)).collect()
    };
    (1..=SEEDS).into_par_iter().map(run).collect()
}

/// The scenario of a case is text like any other, so that an oracle tests its reading too.
///
/// The arrivals end before the run does: all that was counted comes to its end. Requests that a
/// run cuts off are the long ones, and their loss was seen: −0.4 % of the mean among 1000 pods.
fn plan(case: &Case) -> Plan {
    let counted = case.requests / f64::from(SEEDS) / case.arrivals;
    let warmup = case.warmup * cases::UNIT_S;
    let last = warmup + counted * cases::UNIT_S;
    let end = last + DRAIN * cases::UNIT_S;
    let Case { process, services, .. } = case;
    let per_s = case.arrivals / cases::UNIT_S;
    let text = format!(
        "# An oracle.\n[scenario]\nduration = \"{end:.6}s\"\nwarmup = \"{warmup:.6}s\"\n\
         start = \"cold\"\n[mesh]\nprofile = \"none\"\nnetwork.same_node = \"0s\"\n{services}\n\
         [[traffic]]\nid = \"arrivals\"\nfrom = \"ingress\"\nto = \"server\"\n\
         arrivals.{process}.steps = [[\"0s\", \"{per_s}rps\"], [\"{last:.6}s\", \"0rps\"]]\n"
    );
    match load(&Text(&text), "oracle.toml", &[], None) {
        Ok(loaded) => loaded.plan,
        Err(problems) => panic!("an oracle does not load: {problems:?}\n{text}"),
    }
}

/// The one file of a case.
struct Text<'t>(&'t str);

impl Files for Text<'_> {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_a_scenario() {
        for case in cases::all() {
            assert_eq!(plan(&case).profile, "none");
        }
    }
}
