//! The simulator against a real Envoy: the compact copy of the measured cases (`tests/truth/envoy`,
//! made by `scripts/compact-truth`), and the rules of comparison against the measurements themselves.

use crate::tree::{none, read, root};
use meshsim::check::truth::compare::compare;
use meshsim::check::truth::facts::{Facts, Metric};
use meshsim::check::truth::schema::{Case, Configs, File};
use meshsim::check::truth::{check, read_folder, schema};

/// Verdicts of all cases, as they are known to be. `MESHSIM_BLESS=1` writes them.
const VERDICTS: &str = "tests/truth/verdicts.txt";

fn files() -> Vec<File> {
    read_folder(&root().join("tests/truth/envoy")).expect("the copy is readable")
}

/// Each case's observations as they are compared: all repetitions, or those of one variant.
fn groups(case: &Case) -> Vec<Vec<Facts>> {
    let facts = case.observed.iter().map(Facts::from);
    match case.configs {
        Configs::One(_) => vec![facts.collect()],
        Configs::Variants(_) => facts.map(|one| vec![one]).collect(),
    }
}

#[test]
fn verdicts_are_the_known_ones() {
    let report = check(&files());
    let line =
        |line: &meshsim::check::truth::Line| format!("{}\t{}\n", line.verdict.text(), line.case);
    let verdicts: String = report.lines.iter().map(line).collect();
    if std::env::var_os("MESHSIM_BLESS").is_some() {
        std::fs::write(root().join(VERDICTS), &verdicts).expect("the file can be written");
    }
    let known = read(VERDICTS);
    let mut findings = Vec::new();
    for (line, was) in report.lines.iter().zip(known.lines()) {
        let is = format!("{}\t{}", line.verdict.text(), line.case);
        if is != was {
            findings.push(format!("{is} instead of {was}: {}", line.reason));
        }
    }
    if report.lines.len() != known.lines().count() {
        findings.push(format!("{} cases instead of {}", report.lines.len(), known.lines().count()));
    }
    none(&findings);
}

#[test]
fn what_was_measured_agrees_with_itself() {
    let mut findings = Vec::new();
    for file in files() {
        for case in &file.cases {
            let Some(rules) = &case.compare else { continue };
            for measured in groups(case) {
                let together = compare(rules, &measured, &measured);
                let each =
                    measured.iter().map(|one| compare(rules, &measured, std::slice::from_ref(one)));
                for differences in each.chain([together]).filter(|found| !found.is_empty()) {
                    let place = format!("{}/{}", file.name, case.name);
                    findings.push(format!("{place}: {}", differences.join("; ")));
                }
            }
        }
    }
    none(&findings);
}

/// The rule that must notice, and a way to be wrong.
type Wrong = (&'static str, fn(&mut Facts));

const WRONG: &[Wrong] = &[
    ("outcomes", |facts| facts.outcomes = [("999/XX/nothing".to_owned(), 10.0)].into()),
    ("attempts", |facts| facts.attempts = [("99".to_owned(), 10.0)].into()),
    ("hosts", |facts| facts.hosts = [("nobody".to_owned(), 10.0)].into()),
    ("host_share", |facts| facts.host_share = [("nobody".to_owned(), 10.0)].into()),
    ("clusters", |facts| facts.clusters = [("nothing".to_owned(), 10.0)].into()),
    ("burst", |facts| facts.burst = [("999/XX/nothing".to_owned(), 10.0)].into()),
    ("upstream_hits_total", |facts| {
        facts.hits.insert("nobody".to_owned(), 1e6);
    }),
    ("stats", |facts| facts.stats.values_mut().for_each(|count| *count += 1e6)),
    ("hops", |facts| {
        let wrong = |outcomes: &mut std::collections::BTreeMap<String, f64>| {
            *outcomes = [("999/XX/nothing".to_owned(), 10.0)].into();
        };
        facts.hops.values_mut().for_each(wrong);
    }),
    ("transport_failure", |facts| {
        facts.transport_failures = [("none of these".to_owned(), 1.0)].into();
    }),
    ("server_transport_failure", |facts| {
        facts.server_transport_failures = [("none of these".to_owned(), 1.0)].into();
    }),
    ("metrics", |facts| facts.metrics.values_mut().for_each(far_off)),
    ("durations_each_ms", |facts| facts.metrics.values_mut().for_each(far_off)),
    ("gap_ms_between_attempts", |facts| facts.gaps.values_mut().for_each(|gap| gap.mean += 1e6)),
    ("gap_ms_between_attempts", |facts| facts.gaps.values_mut().for_each(|gap| gap.max += 1e6)),
    ("duration_ms_mean", |facts| facts.duration.mean += 1e6),
    ("timeline_share", |facts| {
        facts.share_of_new_host.iter_mut().for_each(|(_, share)| *share += 1.0);
    }),
    ("times_s", |facts| {
        facts.spans.values_mut().for_each(|span| span.last += 1e6);
        facts.first_ejected.values_mut().for_each(|at| *at += 1e6);
        facts.ejections.values_mut().flatten().for_each(|length| *length += 1e6);
    }),
];

fn far_off(metric: &mut Metric) {
    match metric {
        Metric::Nothing => *metric = Metric::Number(1e6),
        Metric::Number(number) => *number += 1e6,
        Metric::ByKey(table) => {
            table.insert("nobody".to_owned(), 1e6);
        }
        Metric::List(list) => list.iter_mut().for_each(|number| *number += 1e6),
    }
}

#[test]
fn whatever_is_wrong_is_noticed_by_its_rule() {
    let mut findings = Vec::new();
    let mut noticed = vec![0; WRONG.len()];
    for file in files() {
        for case in &file.cases {
            let Some(rules) = &case.compare else { continue };
            for measured in groups(case).iter().filter(|measured| measured[0].accepted) {
                for ((rule, spoil), noticed) in WRONG.iter().zip(&mut noticed) {
                    let mut wrong = measured.clone();
                    wrong.iter_mut().for_each(spoil);
                    let found = compare(rules, measured, &wrong);
                    let is_noticed =
                        found.iter().any(|found| found.starts_with(&format!("{rule}:")));
                    if is_noticed {
                        *noticed += 1;
                    } else if wrong != *measured && has_rule(rules, rule) {
                        findings.push(format!("{}/{}: {rule}", file.name, case.name));
                    }
                }
            }
        }
    }
    none(&findings);
    let never = WRONG.iter().zip(noticed).filter(|(_, noticed)| *noticed == 0);
    none(&never.map(|((rule, _), _)| format!("{rule} was never looked at")).collect::<Vec<_>>());
}

fn has_rule(rules: &schema::compare::Compare, rule: &str) -> bool {
    match rule {
        "outcomes" => rules.outcomes.is_some(),
        "attempts" => rules.attempts.is_some(),
        "hosts" => rules.hosts.is_some(),
        "host_share" => rules.host_share.is_some(),
        "clusters" => rules.clusters.is_some(),
        "burst" => rules.burst.is_some(),
        "upstream_hits_total" => rules.upstream_hits_total.is_some(),
        "stats" => rules.stats.is_some(),
        "hops" => !rules.hops.is_empty(),
        "transport_failure" => rules.transport_failure.is_some(),
        "server_transport_failure" => rules.server_transport_failure.is_some(),
        "metrics" => rules.metrics.is_some(),
        "durations_each_ms" => rules.durations_each_ms.is_some(),
        "gap_ms_between_attempts" => rules.gap_ms_between_attempts.is_some(),
        "duration_ms_mean" => rules.duration_ms_mean.is_some(),
        "timeline_share" => rules.timeline_share.is_some(),
        "times_s" => rules.times_s.is_some(),
        _ => false,
    }
}

#[test]
fn a_wrong_file_names_the_file_the_case_and_the_key() {
    let text = read("tests/truth/envoy/e01_weights.json");
    let error = |from: &str, to: &str| {
        let wrong = text.replacen(from, to, 1);
        assert_ne!(wrong, text, "nothing was changed");
        schema::read("e01.json", &wrong).expect_err("a mistake")
    };
    let unknown = error("\"weight\":", "\"wait\":");
    assert!(unknown.starts_with("e01.json: "), "{unknown}");
    assert!(unknown.contains(": config: ") && unknown.contains("`wait`"), "{unknown}");
    let missing = error("\"cluster\":\"a\",", "");
    assert!(missing.contains("missing field `cluster`"), "{missing}");
    let word = error("\"outcomes\":\"share\"", "\"outcomes\":\"roughly\"");
    assert!(word.contains("roughly"), "{word}");
    let entry = error("\"entry\":\"envoy\"", "\"entry\":\"nobody\"");
    assert!(entry.contains("there is no proxy `nobody`"), "{entry}");
}
