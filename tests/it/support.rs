//! What the tests of the world share: scenarios as text, runs, counts.

use meshsim::observe::run::Run;
use meshsim::plan::Plan;
use meshsim::report::{csv, events, hgrm, hlog, summary};
use meshsim::scenario::{self, Files};
use meshsim::vocabulary::outcome::Outcome;
use meshsim::world::options::{Go, Options};
use meshsim::world::simulate;

/// A file system with one file: the scenario of a test.
struct Only<'t>(&'t str);

impl Files for Only<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        if path == "test.toml" { Ok(self.0.to_owned()) } else { Err("no such file".to_owned()) }
    }
}

/// The plan of a scenario with `--set` settings, or its problems as text.
pub(crate) fn try_plan(text: &str, sets: &[&str]) -> Result<Plan, String> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let loaded = scenario::load(&Only(text), "test.toml", &sets, None);
    loaded.map(|loaded| loaded.plan).map_err(|problems| {
        let lines = problems.iter().map(|one| format!("{one:?}"));
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// The plan of a scenario that is right.
pub(crate) fn plan_with(text: &str, sets: &[&str]) -> Plan {
    try_plan(text, sets).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// A run of a plan.
pub(crate) fn play(plan: &Plan, options: Options) -> Run {
    simulate(plan, plan.seed, options, &mut |_| Go::On)
}

/// A run of a scenario as it is written.
pub(crate) fn run(text: &str) -> Run {
    run_with(text, &[])
}

/// A run of a scenario with settings.
pub(crate) fn run_with(text: &str, sets: &[&str]) -> Run {
    play(&plan_with(text, sets), Options::default())
}

/// Every data file of a run, one after the other.
pub(crate) fn files(run: &Run) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("summary.json", summary::render(&summary::summary(run, &[])).into_bytes()),
        ("series.csv", csv::series(run).into_bytes()),
        (csv::istiod_name(run), csv::istiod(run).into_bytes()),
        ("outcomes.csv", csv::outcomes(run).into_bytes()),
        ("events.jsonl", events::events(run).into_bytes()),
        ("latency.hgrm", hgrm::hgrm(&run.latency).into_bytes()),
        ("latency.hlog", hlog::hlog(run)),
    ]
}

/// `503 URX,UF`: as an access log shows it.
pub(crate) fn words(outcome: Outcome) -> String {
    format!("{} {}", outcome.status, outcome.flags)
}

/// Requests of an edge that ended so; `source` is a service or the id of traffic from outside.
pub(crate) fn count(run: &Run, source: &str, destination: &str, ended: &str) -> u64 {
    let rows = run.outcomes.iter();
    rows.filter(|row| row.source == source && row.destination == destination)
        .filter(|row| words(row.outcome) == ended)
        .map(|row| row.count)
        .sum()
}

/// The whole ledger of an edge: `200 -: 97, 503 UF: 3`, in the order of the words.
pub(crate) fn ledger(run: &Run, source: &str, destination: &str) -> String {
    let mut sums = std::collections::BTreeMap::<String, u64>::new();
    for row in &run.outcomes {
        if row.source == source && row.destination == destination {
            *sums.entry(words(row.outcome)).or_default() += row.count;
        }
    }
    let cells = sums.iter().map(|(words, count)| format!("{words}: {count}"));
    cells.collect::<Vec<_>>().join(", ")
}

/// Fails unless `count` of `trials` is within `errors` standard errors of a binomial of mean
/// `share`.
pub(crate) fn assert_share(what: &str, count: u64, trials: u64, share: f64, errors: f64) {
    let trials_f = trials as f64;
    let measured = count as f64 / trials_f;
    let error = (share * (1.0 - share) / trials_f).sqrt();
    assert!(
        (measured - share).abs() <= errors * error,
        "{what}: {measured:.5} of {trials}, expected {share:.5} ± {errors} × {error:.5}"
    );
}
