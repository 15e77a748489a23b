//! Goal: whoever changes one default of a profile is told which, by `meshsim test`.
//! Method: change each parameter in turn, and compare the results as `test` does.

use meshsim::check::compare::compare;
use meshsim::plan::parameter::{TABLE, ValueKind};
use meshsim::report::summary::summary;
use meshsim::scenario::{self, Files};
use meshsim::world::options::{Go, Options};

/// A mesh with no traffic worth mentioning: most parameters change nothing here but themselves.
const SCENARIO: &str = r#"
[scenario]
duration = "1s"
[mesh]
profile = "istio-sidecar@1.28"
[[service]]
name = "web"
[[service.workload]]
time = "1ms"
[[traffic]]
id = "users"
from = "ingress"
to = "web"
arrivals = { constant = "10rps" }
[[assert]]
name = "all is well"
expect = "success_rate == 100%"
"#;

struct OneFile;

impl Files for OneFile {
    fn read(&self, _path: &str) -> Result<String, String> {
        Ok(SCENARIO.to_owned())
    }
}

fn summary_with(sets: &[String]) -> serde_json::Value {
    let loaded = scenario::load(&OneFile, "defaults.toml", sets, None)
        .unwrap_or_else(|problems| panic!("{sets:?}: {problems:?}"));
    let run = meshsim::world::simulate(&loaded.plan, 1, Options::default(), &mut |_| Go::On);
    summary(&run, &[])
}

/// Another value of the same kind.
fn other(kind: ValueKind, value: &str) -> String {
    match kind {
        ValueKind::Duration => format!("\"{}\"", if value == "77s" { "78s" } else { "77s" }),
        ValueKind::Share => "0.123".to_owned(),
        ValueKind::Count => "7".to_owned(),
        ValueKind::Number => "1.77".to_owned(),
        ValueKind::Bool => (value != "true").to_string(),
        ValueKind::Rate => "\"7/h\"".to_owned(),
        ValueKind::Word(words) => {
            let other = words.iter().find(|word| **word != value).expect("two words");
            format!("\"{other}\"")
        }
        ValueKind::RetryOn => "[\"reset\"]".to_owned(),
        ValueKind::Bytes => "\"512MiB\"".to_owned(),
        ValueKind::Statuses => "[418]".to_owned(),
    }
}

#[test]
fn a_changed_default_is_named() {
    let baseline = summary_with(&[]);
    assert!(compare(&baseline, &summary_with(&[])).is_same(), "the same twice");
    for row in TABLE {
        let value = baseline["parameters"][row.name].as_str().expect("every parameter is told");
        let set = format!("mesh.{}={}", row.name, other(row.kind, value));
        let comparison = compare(&baseline, &summary_with(std::slice::from_ref(&set)));
        let named = comparison.differences.first().map(|one| one.path.clone()).unwrap_or_default();
        assert!(named.contains(row.name), "{set}: the first difference told is `{named}`");
        let digest = comparison.differences.iter().any(|one| one.path == "plan_digest");
        assert!(digest, "{set}: the plan's digest is the same");
    }
}
