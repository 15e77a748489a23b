//! Scenarios that ship warn of nothing, but for those that show what a warning is about.
//!
//! Source: house rule; the rules themselves are tested in `src/scenario/tests/warned.txt`.

use crate::tree::{Tree, files_of, none, read};
use meshsim::scenario::{self, Files};
use std::collections::BTreeMap;

/// Scenarios that show a policy which does nothing, and of what they warn.
const MEANT: &[(&str, &[&str])] = &[
    ("scenarios/five-oh-three/nc.toml", &["there is no version or subset `v2`"]),
    (
        "scenarios/identity/intermediate-expiry.toml",
        &[
            "certificates of 2d have an authority of 20h",
            "in the variant `clamped`: certificates of 2d have an authority of 20h",
        ],
    ),
    (
        "scenarios/linkerd/trust-anchor-expiry.toml",
        &["`issuer` outlives `anchor`, which signed it"],
    ),
    // The shop's own DestinationRule, of which `meshsim lint` warns in docs/manifests.md.
    ("scenarios/manifests/canary-applied.toml", &SHOP),
    ("scenarios/manifests/shop-outage.toml", &SHOP),
    (
        "scenarios/manifests/subset-without-pods.toml",
        &["no workload of the service has the labels of `stable`", SHOP[0], SHOP[1]],
    ),
    (
        "scenarios/outlier-that-never-ejects.toml",
        &["no endpoint is ever ejected: 10 % of 3 are none"],
    ),
];

const SHOP: [&str; 2] = [
    "no endpoint is ever ejected: 10 % of 1 of `cart/v2` are none",
    "no endpoint is ever ejected: 10 % of 3 of `cart/v1` are none",
];

#[test]
fn scenarios_that_ship_warn_of_nothing_that_they_do_not_show() {
    let meant: BTreeMap<&str, &[&str]> = MEANT.iter().copied().collect();
    let mut findings = Vec::new();
    for path in files_of("scenarios", ".toml") {
        if read(&path).starts_with("# base:") {
            continue;
        }
        let loaded = scenario::load(&Tree, &path, &[], None).expect("a shipped scenario");
        let said: Vec<&str> = loaded.warnings.iter().map(|one| one.what.as_str()).collect();
        let expected = meant.get(path.as_str()).copied().unwrap_or_default();
        if said != expected {
            let told = loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
            findings.push(format!("{path}: {}", told.join("\n")));
        }
    }
    none(&findings);
}

#[test]
fn templates_warn_of_nothing() {
    for (name, _) in scenario::TEMPLATES {
        let text = scenario::template(name).expect("a template that is listed");
        let loaded = scenario::load(&Only(text), "t.toml", &[], None).expect("a template");
        let told: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "{name}: {told:?}");
    }
}

/// A file by itself.
struct Only<'t>(&'t str);

impl Files for Only<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        if path == "t.toml" { Ok(self.0.to_owned()) } else { Err("no such file".to_owned()) }
    }
}
