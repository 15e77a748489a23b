//! `meshsim import`: real samples, traces and hints, and the text that comes out.
//!
//! The goal is that whatever people point it at ends in a scenario that loads, with every object of theirs
//! accounted for; that traces are found again in a run; and that nothing assumed looks like something known.
//! What a manifest becomes is tested in `manifest::draft`, who calls whom in `manifest::graph`.

use crate::support::{assert_share, play};
use meshsim::observe::run::Run;
use meshsim::scenario::{self, Files};
use meshsim::world::options::Options;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SHOP: &str = "scenarios/manifests/shop.yaml scenarios/manifests/shop-istio.yaml";

/// A command at the root of the repository.
fn meshsim(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshsim"));
    command.args(words.split_whitespace()).current_dir(crate::tree::root());
    command
}

fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one file that is there.
struct Text<'t>(&'t str);

impl Files for Text<'_> {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.to_owned())
    }
}

/// A run of a text that was imported, of so many minutes.
fn run(text: &str, duration: &str) -> Run {
    let sets = [format!("scenario.duration={duration}")];
    let loaded = scenario::load(&Text(text), "imported.toml", &sets, None);
    let plan = loaded.unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).plan;
    play(&plan, Options::default())
}

/// Requests from one service to another.
fn edge(run: &Run, source: &str, destination: &str) -> u64 {
    let rows = run.outcomes.iter();
    rows.filter(|row| row.source == source && row.destination == destination)
        .map(|row| row.count)
        .sum()
}

/// What `import` writes to stdout.
fn imported(words: &str) -> String {
    let output = meshsim(&format!("import -q {words}")).output().expect("meshsim ends");
    assert_eq!(output.status.code(), Some(0), "{words}: {}", talk(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

// === real samples ===

fn yaml_below(folder: &Path, files: &mut Vec<PathBuf>, folders: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let before = files.len();
    for path in paths {
        if path.is_dir() {
            yaml_below(&path, files, folders);
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            files.push(path);
        }
    }
    if before < files.len() {
        folders.push(folder.to_owned());
    }
}

/// `kind: X` at the start of lines, with how often; none of a text whose documents are not all objects.
fn kinds(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("kind:")).map(str::trim).collect()
}

/// Imports a path: the line of JSON, the text, and whether the YAML is whole.
fn import(path: &Path, at: &Path) -> (Value, String, bool) {
    let file = at.join("made.toml");
    let _ = fs::remove_file(&file);
    let mut command = meshsim("import -q --format json --manifests");
    command.arg(path).arg("-o").arg(&file);
    let output = command.output().expect("meshsim ends");
    let told = talk(&output);
    let line: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {told}", path.display()));
    let is_whole = line["problems"].as_array().is_some_and(Vec::is_empty);
    let wanted = if is_whole { 0 } else { 2 };
    assert_eq!(output.status.code(), Some(wanted), "{}: {told}", path.display());
    (line, fs::read_to_string(&file).expect("it was written"), is_whole)
}

/// What is wrong with the account of the objects of a path.
fn unaccounted(path: &Path, line: &Value, found: &[&str], is_whole: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let objects = line["objects"].as_array().expect("objects");
    let ignored = line["ignored"].as_object().expect("a map");
    let named = line["not_modelled"].as_object().expect("a map");
    let mut told = BTreeSet::new();
    for one in objects {
        let (kind, name) = (one["kind"].as_str().unwrap_or(""), &one["name"]);
        told.insert(kind);
        let has_field = ignored.keys().any(|field| field.split('.').next() == Some(kind));
        let is_told = match one["state"].as_str() {
            Some("modelled") => one["why"].is_null(),
            Some("partly modelled") => has_field && one["why"].is_string(),
            Some("no effect") => one["why"].is_string(),
            _ => false,
        };
        if !is_told {
            wrong.push(format!("{}: {kind} {name}: {one}", path.display()));
        }
    }
    let mut others = 0;
    for (kind, one) in named {
        let word = kind.rsplit('/').next().unwrap_or(kind);
        if !told.contains(word) && kind.contains('/') && !kind.contains(' ') {
            others += one["count"].as_u64().unwrap_or(0);
        }
    }
    if is_whole && objects.len() as u64 + others != found.len() as u64 {
        let what = format!("{} objects and {others} not modelled of {found:?}", objects.len());
        wrong.push(format!("{}: {what}", path.display()));
    }
    wrong
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn every_sample_imports_loads_and_accounts_for_each_object() {
    let inputs = crate::tree::root().join("../shared/inputs");
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for name in ["istio-samples", "linkerd-samples"] {
        yaml_below(&inputs.join(name), &mut files, &mut folders);
    }
    if files.is_empty() {
        eprintln!("skipped: there are no samples in {}", inputs.display());
        return;
    }
    let at = tempfile::tempdir().expect("a folder for the test");
    let (mut wrong, mut whole, mut running) = (Vec::new(), 0, 0);
    for path in files.iter().chain(&folders) {
        let (line, text, is_whole) = import(path, at.path());
        let read = if path.is_file() { fs::read(path).unwrap_or_default() } else { Vec::new() };
        let read = String::from_utf8_lossy(&read).into_owned();
        wrong.extend(unaccounted(path, &line, &kinds(&read), is_whole && path.is_file()));
        whole += usize::from(is_whole);
        let loaded = scenario::load(&Text(&text), "made.toml", &[], None);
        let is_empty = !text.contains("[[traffic]]");
        match loaded {
            Ok(_) => running += 1,
            Err(problems) if is_empty && problems[0].what == "nothing happens in this scenario" => {
            }
            Err(problems) => wrong.push(format!("{}: {problems:?}", path.display())),
        }
    }
    assert_eq!(wrong, [""; 0]);
    // Some samples of Linkerd's documentation are no YAML as they stand; most files hold rules only.
    assert!(170 < whole, "{whole} of {} are whole", files.len());
    assert!(80 < running, "{running} run");
}

// === traces and hints ===

/// How the same traces are written.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Written {
    Jaeger,
    Otlp,
    Zipkin,
}

/// A span: trace, id, parent, service, whether it is a server's, begin and length in us, status.
type Span = (u64, u64, u64, &'static str, bool, u64, u64, u32);

/// A minute of the shop: 20 requests a second to web; all go on to cart, every fourth from there to stock,
/// and every tenth of those fails.
fn spans() -> Vec<Span> {
    let mut spans = Vec::new();
    for n in 0..1200_u64 {
        let at = 1_700_000_000_000_000 + n * 50_000;
        spans.push((n, 1, 0, "web", true, at, 12_000, 200));
        spans.push((n, 2, 1, "web", false, at + 2_000, 9_000, 200));
        spans.push((n, 3, 2, "cart", true, at + 2_500, 8_000, 200));
        if n % 4 == 0 {
            let status = if n % 40 == 0 { 503 } else { 200 };
            spans.push((n, 4, 3, "cart", false, at + 3_000, 4_000, status));
            spans.push((n, 5, 4, "stock", true, at + 3_500, 3_000, status));
        }
    }
    spans
}

fn hex(trace: u64, span: u64) -> (String, String) {
    (format!("{:032x}", trace + 1), format!("{:016x}", trace * 16 + span))
}

fn traces(written: Written) -> String {
    let spans = spans();
    let all: Vec<Value> = spans.iter().map(|span| one_span(written, span)).collect();
    let of = |name: &str| -> Vec<Value> {
        let pairs = spans.iter().zip(&all);
        pairs.filter(|(span, _)| span.3 == name).map(|(_, made)| made.clone()).collect()
    };
    match written {
        Written::Zipkin => Value::Array(all).to_string(),
        Written::Otlp => {
            let resources = ["web", "cart", "stock"].map(|name| {
                json!({
                    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]},
                    "scopeSpans": [{"spans": of(name)}],
                })
            });
            json!({ "resourceSpans": resources }).to_string()
        }
        Written::Jaeger => {
            let mut data: Vec<Value> = Vec::new();
            for (span, made) in spans.iter().zip(all) {
                let id = made["traceID"].clone();
                let is_same = data.last().is_some_and(|trace| trace["traceID"] == id);
                if !is_same {
                    let processes = json!({
                        "web": {"serviceName": "web"}, "cart": {"serviceName": "cart"},
                        "stock": {"serviceName": "stock"},
                    });
                    data.push(json!({"traceID": id, "spans": [], "processes": processes}));
                }
                let trace = data.last_mut().expect("a trace of it");
                let list = trace["spans"].as_array_mut().expect("a list");
                assert_eq!(made["processID"], span.3);
                list.push(made);
            }
            json!({ "data": data }).to_string()
        }
    }
}

fn one_span(written: Written, span: &Span) -> Value {
    let (trace, id, parent, service, is_server, at, us, status) = *span;
    let ((trace_id, span_id), parent_id) = (hex(trace, id), hex(trace, parent).1);
    let kind = if is_server { "server" } else { "client" };
    match written {
        Written::Zipkin => {
            let mut made = json!({
                "traceId": trace_id, "id": span_id, "kind": kind.to_uppercase(), "name": "get",
                "timestamp": at, "duration": us, "localEndpoint": {"serviceName": service},
                "tags": {"http.status_code": status.to_string(), "http.path": "/items"},
            });
            if parent != 0 {
                made["parentId"] = parent_id.into();
            }
            made
        }
        Written::Otlp => json!({
            "traceId": trace_id, "spanId": span_id,
            "parentSpanId": if parent == 0 { String::new() } else { parent_id },
            "name": "GET", "kind": if is_server { 2 } else { 3 },
            "startTimeUnixNano": (at * 1000).to_string(),
            "endTimeUnixNano": ((at + us) * 1000).to_string(),
            "attributes": [
                {"key": "http.response.status_code", "value": {"intValue": status.to_string()}},
                {"key": "url.path", "value": {"stringValue": "/items"}},
            ],
        }),
        Written::Jaeger => {
            let refers = json!({"refType": "CHILD_OF", "traceID": trace_id, "spanID": parent_id});
            json!({
                "traceID": trace_id, "spanID": span_id, "operationName": "GET", "processID": service,
                "references": if parent == 0 { json!([]) } else { json!([refers]) },
                "startTime": at, "duration": us,
                "tags": [
                    {"key": "span.kind", "type": "string", "value": kind},
                    {"key": "http.status_code", "type": "int64", "value": status},
                    {"key": "http.url", "type": "string", "value": "http://shop.example.com/items"},
                ],
            })
        }
    }
}

#[test]
fn calls_rates_and_errors_of_traces_are_found_again_in_a_run() {
    let at = tempfile::tempdir().expect("a folder for the test");
    for written in [Written::Jaeger, Written::Otlp, Written::Zipkin] {
        let file = at.path().join(format!("{written:?}.json"));
        fs::write(&file, traces(written)).expect("it is written");
        let text = imported(&format!("--manifests {SHOP} --traces {}", file.display()));
        let run = run(&text, "5m");
        let doors = ["web", "shop.example.com"].map(|to| {
            let rows = run.outcomes.iter().filter(|row| row.destination == to);
            rows.filter(|row| !matches!(row.source.as_str(), "cart" | "stock"))
                .map(|row| row.count)
                .sum::<u64>()
        });
        let web: u64 = doors.iter().sum();
        let rate = web as f64 / 300.0;
        // 20 a second for 300 s: four standard deviations of a Poisson count are 310.
        assert!((rate - 20.0).abs() < 1.1, "{written:?}: {doors:?}\n{text}");
        assert_eq!(edge(&run, "web", "cart"), web, "{written:?}: each goes on");
        let stock = edge(&run, "cart", "stock");
        assert_share(&format!("{written:?}: every fourth"), stock, web, 0.25, 4.0);
        let rows = run.outcomes.iter().filter(|row| row.destination == "stock");
        let failed: u64 = rows.filter(|row| row.outcome.status == 503).map(|row| row.count).sum();
        assert_share(&format!("{written:?}: errors"), failed, stock, 0.1, 4.0);
        // What comes of traces says of how many spans it is.
        let time_of = |name: &str| {
            let from = text.find(&format!("\nname = \"{name}\"")).expect("the service");
            let line = text[from..].lines().find(|line| line.starts_with("time = "));
            line.expect("its time").to_owned()
        };
        for name in ["web", "cart", "stock"] {
            let time = time_of(name);
            assert!(time.contains("spans in"), "{written:?} {name}: {time}");
        }
        assert!(time_of("stock").contains("3ms"), "{written:?}: {}", time_of("stock"));
    }
}

#[test]
fn hints_and_isotope_are_found_again_in_a_run() {
    let at = tempfile::tempdir().expect("a folder for the test");
    let hints = at.path().join("hints.yaml");
    let text = "services:\n  web: {time: 2ms, calls: [cart]}\n  cart: {time: {p50: 1ms, p99: 4ms}, workers: 16, \
                calls: [{to: stock, probability: 25%}]}\n  stock: {time: 1ms, errors: 10%}\n\
                traffic:\n- {to: web, rate: 50rps}\n";
    fs::write(&hints, text).expect("it is written");
    let text = imported(&format!("--manifests {SHOP} --hints {}", hints.display()));
    let ran = run(&text, "2m");
    let web = edge(&ran, "web", "cart");
    assert!((web as f64 / 120.0 - 50.0).abs() < 2.6, "{web}");
    assert_share("a quarter", edge(&ran, "cart", "stock"), web, 0.25, 4.0);
    assert!(text.contains("\nworkers = 16\n"), "what a person says is not assumed: {text}");
    assert!(text.contains("arrivals = { poisson = \"50rps\" }\n"), "{text}");

    let graph = at.path().join("graph.yaml");
    let text = "defaults: {numReplicas: 3}\nservices:\n- {name: a, isEntrypoint: true, script: [{call: b}, {call: c}]}\n\
                - {name: b, script: [{call: {service: c, probability: 30}}]}\n- {name: c}\n";
    fs::write(&graph, text).expect("it is written");
    let text = imported(&format!("--isotope {}", graph.display()));
    let ran = run(&text, "10m");
    let (b, c) = (edge(&ran, "a", "b"), edge(&ran, "a", "c"));
    assert!(1_000 < b && b == c, "{b} and {c}\n{text}");
    assert_share("of isotope", edge(&ran, "b", "c"), b, 0.3, 4.0);
}

// === the text ===

#[test]
fn every_assumed_number_is_marked_and_no_written_one_is() {
    for mesh in ["istio", "linkerd", "gateway-api"] {
        let text = imported(&format!(
            "--manifests scenarios/manifests/shop.yaml scenarios/manifests/shop-{mesh}.yaml"
        ));
        let assumed: [&str; 4] = ["time = ", "workers = ", "arrivals = ", "profile = "];
        let written = ["replicas = ", "timeout = ", "weights = "];
        let (mut marked, mut plain) = (0, 0);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let has_mark = line.contains(" # assumed: ");
            if assumed.iter().any(|key| line.starts_with(key)) {
                assert!(has_mark, "{mesh}: {line}");
                marked += 1;
            }
            if written.iter().any(|key| line.starts_with(key)) {
                assert!(!has_mark, "{mesh}: {line}");
                plain += 1;
            }
        }
        assert!(10 <= marked && 5 <= plain, "{mesh}: {marked} and {plain}\n{text}");
        // Whatever else is marked has its reason behind the mark.
        for line in text.lines().filter(|line| line.contains("# assumed")) {
            let why = line.split("# assumed: ").nth(1).unwrap_or(line);
            assert!(5 < why.len(), "{line}");
        }
        // The time that the file says takes the place of what was assumed.
        let said = text.replace("# assumed", "# measured");
        run(&said, "5s");
    }
}

#[test]
fn nothing_is_overwritten_and_stdin_is_read() {
    let at = tempfile::tempdir().expect("a folder for the test");
    let file = at.path().join("mine.toml");
    let words = format!("import -q --manifests - -o {}", file.display());
    let import = || {
        let mut child = meshsim(&words)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("meshsim starts");
        let text = crate::tree::read("scenarios/manifests/shop.yaml");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
        child.wait_with_output().expect("meshsim ends")
    };
    let first = import();
    assert_eq!(first.status.code(), Some(0), "{}", talk(&first));
    let text = fs::read_to_string(&file).expect("it is there");
    assert!(text.starts_with("# Nothing fails yet: ") && text.contains("from stdin"), "{text}");
    fs::write(&file, "mine").expect("it is written");
    let second = import();
    assert_ne!(second.status.code(), Some(0));
    assert!(talk(&second).contains("mine.toml"), "{}", talk(&second));
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "mine");
}

#[test]
fn what_is_wrong_with_traces_and_hints_is_told_with_its_place() {
    let at = tempfile::tempdir().expect("a folder for the test");
    let write = |name: &str, text: &str| {
        let path = at.path().join(name);
        fs::write(&path, text).expect("it is written");
        path.display().to_string()
    };
    let told = |words: &str| {
        let output = meshsim(&format!("import --manifests {SHOP} {words}")).output();
        let output = output.expect("meshsim ends");
        assert_eq!(output.status.code(), Some(2), "{words}: {}", talk(&output));
        talk(&output)
    };
    let half = write("half.json", "{\"data\": [\n  {\"traceID\":\n");
    let text = told(&format!("--traces {half}"));
    assert!(text.contains("half.json:"), "{text}");
    let other = write("other.json", "{\"pods\": []}\n");
    let text = told(&format!("--traces {other}"));
    assert!(text.contains("other.json"), "{text}");
    let text = told("--traces nowhere.json");
    assert!(text.contains("nowhere.json"), "{text}");
    let hints = write(
        "hints.yaml",
        "services:\n  web: {calls: [crat]}\ntraffic:\n- {to: web, rate: 100}\n",
    );
    let text = told(&format!("--hints {hints}"));
    assert!(text.contains("hints.yaml:4:19") && text.contains("100rps"), "{text}");
    assert!(text.contains("hints.yaml:2:17") && text.contains("cart"), "{text}");
}

#[test]
fn rules_alone_are_told_to_be_no_mesh_yet() {
    let rules = "import --manifests scenarios/manifests/shop-linkerd.yaml";
    let output = meshsim(rules).output().expect("meshsim ends");
    assert_eq!(output.status.code(), Some(0));
    let told = talk(&output);
    assert!(told.contains("nothing can run yet") && !told.contains("try: "), "{told}");
}
