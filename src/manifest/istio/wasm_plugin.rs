//! `WasmPlugin`: not simulated, but refused where the API server refuses it.
//!
//! Source: Istio API `extensions/v1alpha1/wasm.proto` with the rules of its CRD; istio/istio
//! `pkg/config/validation/validation.go` (`validateWasmPlugin*`).
//! Left out: what the plug-in does; `targetRefs`.

use crate::manifest::istio::check;
use crate::manifest::istio::meta::Head;
use crate::manifest::node::Node;
use crate::manifest::reader::Reader;
use std::collections::BTreeSet;

/// Looks at `spec`.
pub fn check(reader: &mut Reader<'_, '_>, _: Head) {
    url(reader);
    check::selector_labels(reader, "selector", "matchLabels");
    for name in ["imagePullSecret", "pluginName"] {
        filled(reader, name);
    }
    if let Some(word) = reader.word("sha256").filter(|word| !word.text.is_empty()) {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if word.text.len() != 64 || !word.text.bytes().all(is_hex) {
            let what = "`spec.sha256` should match '(^$|^[a-f0-9]{64}$)'";
            reader.problem(word.at, what, "64 digits from 0 to f");
        }
    }
    reader.list("match", |found| {
        found.list("ports", |port| {
            if !port.has("number") {
                port.missing("number");
            }
            port.pass_all();
        });
        found.pass_all();
    });
    reader.map("vmConfig", |config| {
        let mut seen = BTreeSet::new();
        config.list("env", |variable| {
            filled(variable, "name");
            let name = variable.text("name").unwrap_or_default();
            if !seen.insert(name.clone()) {
                variable.problem(variable.at(), format!("`{name}` is given twice"), "");
            }
            let from_host = variable.text("valueFrom").is_some_and(|from| from == "HOST");
            if from_host && variable.has("value") {
                let what = "value may only be set when valueFrom is INLINE";
                variable.problem(variable.at_field("value"), what, "remove it");
            }
            variable.pass_all();
        });
        config.pass_all();
    });
    reader.pass_all();
}

fn url(reader: &mut Reader<'_, '_>) {
    let at = reader.at_field("url");
    if reader.node().entry("url").is_some_and(|entry| entry.value.is_null()) {
        reader.problem(at, "`spec.url` must be a string, not null", "");
        return;
    }
    filled(reader, "url");
    let Some(url) = reader.text("url").filter(|url| !url.is_empty()) else { return };
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let known = scheme.is_none_or(|scheme| ["file", "http", "https", "oci"].contains(&scheme));
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'#' | b'%' | b'^' | b'<' | b'>');
    if !known || !url.bytes().all(plain) {
        let what = "`spec.url`: url must have schema one of: [http, https, file, oci]";
        reader.problem(at, what, "");
    }
}

/// A string that must not be empty if it is given.
fn filled(reader: &mut Reader<'_, '_>, name: &'static str) {
    let empty = |node: &Node| node.text().is_some_and(str::is_empty);
    if reader.node().get(name).is_some_and(empty) {
        let what = format!("`{name}` must not be empty");
        reader.problem(reader.at_field(name), what, "leave it out, or fill it");
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::istio::Istio;
    use crate::manifest::kubernetes::Cluster;
    use crate::manifest::object::Manifests;

    fn told(spec: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: a}}\nspec: {spec}\n"
        );
        let mut manifests = Manifests::read([("a.yaml", text.as_bytes())]);
        let _ = Istio::of(&mut manifests, &Cluster::default());
        manifests.findings.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_api_server_refuses_is_refused() {
        assert_eq!(told("{url: 'oci://a/b:1', sha256: '', vmConfig: {env: [{name: a}]}}"), [""; 0]);
        assert!(told("{url: 'ftp://a'}")[0].starts_with("a.yaml:4:13: `spec.url`: url must"));
        assert!(told("{url: a, vmConfig: {env: [{name: a}, {name: a}]}}")[0].contains("twice"));
        assert!(told("{url: a, sha256: xyz}")[0].contains("should match"));
        assert!(told("")[0].contains("must be a map"));
    }
}
