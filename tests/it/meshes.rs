//! Goal: one scenario under several meshes, side by side: which fails first, when, and with what.
//! Method: the same text with another profile; the command line in a folder of its own; the page's tables made by runs.
//!
//! Source: docs/results.md; docs/linkerd-traffic.md.

use crate::support::{plan_with, play, run, run_with, try_plan};
use crate::tree::{Tree, is_made, read};
use meshsim::check::assert::judge;
use meshsim::kernel::time::Duration;
use meshsim::observe::run::{Run, TrafficRow};
use meshsim::plan::Plan;
use meshsim::report::side_by_side::{Beside, table};
use meshsim::scenario;
use meshsim::world::options::Options;
use std::process::Command;

/// `front` calls `back` once a minute on a new connection; the control plane of whatever mesh fails for an hour.
fn outage(target: &str) -> String {
    format!(
        "[scenario]\nduration = \"3h\"\nwarmup = \"10m\"\n[mesh]\nprofile = \"linkerd@2.14\"\n\
         [[service]]\nname = \"front\"\n[[service.workload]]\ntime = \"1ms\"\n\
         [[service]]\nname = \"back\"\n[[service.workload]]\nreplicas = 3\nworkers = 8\ntime = \"5ms\"\n\
         [[traffic]]\nid = \"rare\"\nfrom = \"front\"\nto = \"back\"\narrivals = {{ constant = \"60/h\" }}\n\
         app_connection = \"per-request\"\nclient = {{ timeout = \"30s\" }}\n\
         [[traffic]]\nid = \"kept\"\nfrom = \"front\"\nto = \"back\"\narrivals = {{ constant = \"20/h\" }}\n\
         [[event]]\nid = \"down\"\nat = \"1h\"\nfor = \"1h\"\ndo = \"fail\"\ntarget = \"{target}\"\n"
    )
}

fn row<'r>(run: &'r Run, id: &str) -> &'r TrafficRow {
    run.traffic.iter().find(|row| row.id == id).expect("its traffic")
}

#[test]
fn the_control_plane_is_that_of_whatever_mesh_it_is() {
    let own = [
        ("linkerd@2.14", "linkerd"),
        ("istio-sidecar@1.28", "istiod"),
        ("istio-ambient@1.28", "istiod"),
    ];
    for (profile, name) in own {
        let set = format!("mesh.profile={profile}");
        let any = plan_with(&outage("control_plane"), &[&set]).digest();
        assert_eq!(any, plan_with(&outage(name), &[&set]).digest(), "{profile}");
    }
    // Without a mesh there is none, and nothing fails; one that is named must be there.
    let none = run_with(&outage("control_plane"), &["mesh.profile=none"]);
    assert_eq!(none.requests.failed(), 0);
    assert_eq!(none.occurrences[0].label, "there is no control plane that could fail");
    let problem = try_plan(&outage("istiod"), &["mesh.profile=none"]).expect_err("none");
    assert!(problem.contains("the profile `none` has no istiod"), "{problem}");
    let more = outage("control_plane") + "share = 0\n";
    let problem = try_plan(&more, &["mesh.profile=none"]).expect_err("a share of nothing");
    assert!(problem.contains("a share of 0 is nothing"), "{problem}");
}

/// One traffic's connections are not the other's: who keeps one holds the destination for both.
#[test]
fn a_kept_connection_holds_its_destination_whoever_else_dials() {
    let held = run(&outage("control_plane"));
    let failed = |run: &Run, id: &str| row(run, id).requests.failed();
    assert_eq!((failed(&held, "kept"), failed(&held, "rare")), (0, 0));
    let alone = outage("control_plane").replace("constant = \"20/h\"", "constant = \"1/h\"");
    let alone = alone.replace("[[event]]", "app_connection = \"per-request\"\n[[event]]");
    assert!(58 <= failed(&run(&alone), "rare"), "forgotten between two calls");
}

#[test]
fn the_first_failure_of_each_traffic_has_its_time_and_its_answer() {
    let text = outage("control_plane").replace("constant = \"20/h\"", "constant = \"1/h\"");
    let text = text.replace("[[event]]", "app_connection = \"per-request\"\n[[event]]");
    let run = run(&text);
    let rare = row(&run, "rare");
    let (at, how) = rare.first_failure.expect("it hangs");
    // The first call of the outage begins within its first minute, and its client leaves 30 s later.
    let since = at.since(run.occurrences[0].from);
    assert!(Duration::from_s(30) <= since && since <= Duration::from_s(91), "{since}");
    assert_eq!((how.status, how.flags.to_string()), (0, "DC".to_owned()));
    let all = run.traffic.iter().map(|row| row.requests.total).sum::<u64>();
    assert_eq!(all, run.requests.total);
    let failed = run.traffic.iter().map(|row| row.requests.failed()).sum::<u64>();
    assert_eq!(failed, run.requests.failed());
}

// === the command ===

const SMALL: &str = "# Two meshes and none.\n[scenario]\nduration = \"2m\"\n[mesh]\nprofile = \"linkerd@2.14\"\n\
    [[service]]\nname = \"front\"\n[[service.workload]]\ntime = \"1ms\"\n\
    [[service]]\nname = \"back\"\n[[service.workload]]\nreplicas = 3\nworkers = 8\ntime = \"5ms\"\n\
    [[traffic]]\nid = \"calls\"\nfrom = \"front\"\nto = \"back\"\narrivals = { constant = \"20rps\" }\n\
    [[event]]\nid = \"gone\"\nat = \"1m\"\nfor = \"20s\"\ndo = \"fail\"\ntarget = \"service:back\"\n\
    [[variant]]\nname = \"istio\"\nset = { \"mesh.profile\" = \"istio-sidecar@1.28\" }\n\
    [[variant]]\nname = \"none\"\nset = { \"mesh.profile\" = \"none\" }\n";

#[test]
fn one_command_writes_tables_and_pictures_of_all_variants() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let file = folder.path().join("small.toml");
    std::fs::write(&file, SMALL).expect("written");
    let meshsim = |out: &str, more: &[&str]| {
        let out = folder.path().join(out);
        Command::new(env!("CARGO_BIN_EXE_meshsim"))
            .args(["run", "--quiet", "--side-by-side", "--out"])
            .arg(&out)
            .args(more)
            .arg(&file)
            .output()
            .expect("the command runs")
    };
    let (first, second) = (meshsim("a", &[]), meshsim("b", &[]));
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let told = String::from_utf8_lossy(&first.stdout);
    assert_eq!(first.stdout, second.stdout);
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0] == "small, seed 1" && lines[2].starts_with("variant       mesh "), "{told}");
    for (line, begins) in lines[3..6].iter().zip(["(as written)", "istio ", "none "]) {
        assert!(line.starts_with(begins), "{told}");
    }
    let files = ["csv", "json", "svg", "png"].map(|end| format!("side-by-side.{end}"));
    let latency = ["svg", "png"].map(|end| format!("side-by-side-latency.{end}"));
    for name in files.iter().chain(&latency) {
        let [one, two] = ["a", "b"].map(|out| folder.path().join(out).join("small").join(name));
        let read = |path| std::fs::read(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (one, two) = (read(one), read(two));
        assert!(!one.is_empty() && one == two, "{name} has the same bytes");
    }
    let csv =
        std::fs::read_to_string(folder.path().join("a/small/side-by-side.csv")).expect("there");
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let chosen = meshsim("c", &["--variants", "none"]);
    assert_eq!(
        String::from_utf8_lossy(&chosen.stdout)
            .lines()
            .filter(|line| line.starts_with("istio "))
            .count(),
        0
    );
    let wrong = meshsim("d", &["--variants", "nobody"]);
    assert_eq!(wrong.status.code(), Some(2));
    let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        text.contains("there is no `nobody`") && text.contains("there are istio, none"),
        "{text}"
    );
    // Ended early, it says so in the row; a scenario alone has nothing beside it.
    let early = meshsim("e", &["--max-events", "500"]);
    assert!(String::from_utf8_lossy(&early.stdout).contains("ended early: max-events"));
    std::fs::write(&file, SMALL.split("[[variant]]").next().expect("a part")).expect("written");
    let alone = meshsim("f", &[]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&alone.stderr).contains("there is nothing to set side by side")
    );
}

// === the page ===

const PAGE: &str = "docs/linkerd-traffic.md";

#[test]
fn the_page_shows_outages_of_meshes_side_by_side() {
    let mut made = String::new();
    let page = read(PAGE);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        made += line;
        made.push('\n');
        let name =
            line.strip_prefix("<!-- side by side: ").and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(name) = name {
            for part in ["```text\n", &side_by_side(name), "```\n<!-- end -->\n"] {
                made += part;
            }
            let ends = lines.by_ref().any(|line| line == "<!-- end -->");
            assert!(ends, "{PAGE}: `{name}` has no end");
        }
    }
    is_made(PAGE, &made);
}

/// The table that `meshsim run --side-by-side` tells.
fn side_by_side(name: &str) -> String {
    let loaded = scenario::load(&Tree, &format!("scenarios/{name}.toml"), &[], None);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:?}"));
    let plans: Vec<Plan> = std::iter::once(loaded.plan).chain(loaded.variants).collect();
    let runs: Vec<Run> = plans.iter().map(|plan| play(plan, Options::default())).collect();
    let judged = plans.iter().zip(&runs).map(|(plan, run)| judge(plan, run));
    let judged: Vec<_> = judged.collect();
    let both = runs.iter().zip(&judged);
    let beside: Vec<_> = both.map(|(run, judgements)| Beside { run, judgements }).collect();
    table(&beside)
}
