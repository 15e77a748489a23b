//! Templates of configuration that Istio measures its control plane with: they must be read.
//!
//! Each loop is written out once, each number is 0.
//! Source: istio/istio `pilot/pkg/xds/testdata/benchmarks` (the form of its files).
//! Left out: what the control plane makes of them, which the data does not hold.

use crate::manifest::gateway_api::conformance::Verdict;
use crate::manifest::istio::conformance::{Case, case, stem};
use crate::manifest::loaded::Loaded;

/// Judges a template.
pub fn judge(file: &str, bytes: &[u8]) -> Case {
    let name = format!("benchmarks/{}", stem(file));
    let text = written(&String::from_utf8_lossy(bytes));
    let loaded = Loaded::read([(file, text.as_bytes())]);
    let findings = &loaded.manifests.findings;
    let objects = loaded.manifests.objects.len();
    match findings.problems.first() {
        Some(problem) => case(name, Verdict::Fail, format!("not read: {problem}")),
        None if objects == 0 => case(name, Verdict::Fail, "nothing was read"),
        None => case(name, Verdict::Pass, format!("{objects} objects read")),
    }
}

/// A template with each loop once and each number 0.
fn written(template: &str) -> String {
    let lines = template.lines().filter(|line| !line.trim_start().starts_with("{{-"));
    lines.map(|line| filled(line) + "\n").collect()
}

fn filled(line: &str) -> String {
    let mut rest = line;
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((_, after)) = after.split_once("}}") else { break };
        text.push_str(before);
        text.push('0');
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_with_zeros() {
        let template =
            "{{- range $i := until .Services }}\nhost: a-{{$i}}.{{div $i 255 }}\n{{- end }}\n";
        assert_eq!(written(template), "host: a-0.0\n");
        let wrong = "kind: Service\n{{- end }}\nmetadata: {name: a}\n";
        assert_eq!(judge("x/wrong.yaml", wrong.as_bytes()).verdict, Verdict::Fail);
    }
}
