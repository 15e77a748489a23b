//! `TrafficSplit`: shares of a service's requests for other services.
//!
//! Shares are weights over their sum, for each client by itself. Backends live in the split's
//! namespace. Weights are quantities in v1alpha1 (`500m`) and whole numbers later.
//! With the label `failover.linkerd.io/controlled-by`, linkerd-failover owns the weights: all on the
//! primary while it is ready, else equal ones on the ready secondaries.
//! Source: smi-spec `apis/traffic-split/v1alpha1` to `v1alpha4`; linkerd-smi adaptor; linkerd-failover
//! `README.md`.
//! Left out: `matches` (from v1alpha3 on), which Linkerd's adaptor ignores; they are listed.

use crate::manifest::object::Object;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// A split.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrafficSplit {
    /// Its namespace, which is that of all its services.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The service that clients call, as written: a name or a DNS name.
    pub service: Word,
    /// Where requests go.
    pub backends: Vec<Backend>,
    /// Names of `HTTPRouteGroups` that limit it.
    pub matches: Vec<Word>,
    /// Whether linkerd-failover owns its weights, and the primary service if told.
    pub failover: Option<Failover>,
    /// Where its name is.
    pub at: At,
}

/// One backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backend {
    /// The service's name.
    pub service: String,
    /// Its weight in thousandths.
    pub weight_milli: u64,
    /// Where it is.
    pub at: At,
}

/// What linkerd-failover is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failover {
    /// The service that gets all while it is ready: the annotation's, else the first backend.
    pub primary: String,
}

const CONTROLLED_BY: &str = "failover.linkerd.io/controlled-by";
const PRIMARY: &str = "failover.linkerd.io/primary-service";

impl TrafficSplit {
    /// The service's name, without the rest of its DNS name.
    pub fn service_name(&self) -> &str {
        self.service.text.split('.').next().unwrap_or("")
    }

    /// The weights as linkerd-failover would set them, given which services have ready endpoints;
    /// where nobody is ready it leaves them as they are.
    pub fn failover_weights(&self, is_ready: impl Fn(&str) -> bool) -> Vec<u64> {
        let written = || self.backends.iter().map(|backend| backend.weight_milli).collect();
        let Some(Failover { primary }) = &self.failover else { return written() };
        let ready = |backend: &Backend| is_ready(&backend.service);
        let has_primary =
            self.backends.iter().any(|backend| backend.service == *primary && ready(backend));
        let weight = |backend: &Backend| {
            let is_primary = backend.service == *primary;
            u64::from(if has_primary { is_primary } else { !is_primary && ready(backend) }) * 1_000
        };
        let weights: Vec<u64> = self.backends.iter().map(weight).collect();
        if weights.iter().all(|weight| *weight == 0) { written() } else { weights }
    }
}

/// Reads a split; none if it has no service.
pub fn read(object: &Object, reader: &mut Reader<'_, '_>) -> Option<TrafficSplit> {
    let version = object.version.as_str();
    if !matches!(version, "v1alpha1" | "v1alpha2" | "v1alpha3" | "v1alpha4") {
        let what = format!("TrafficSplit has no version {version}");
        reader.warning(object.at, what, "v1alpha1 to v1alpha4");
    }
    if !reader.has("spec") {
        reader.missing("spec");
    }
    let spec = reader.map("spec", |spec| {
        let service = spec.word("service");
        if !spec.has("service") {
            spec.missing("service");
        }
        if !spec.has("backends") {
            spec.missing("backends");
        }
        let backends = spec.list("backends", |backend| read_backend(version, backend));
        // Older versions have no such field.
        let matches = if matches!(version, "v1alpha1" | "v1alpha2") {
            Vec::new()
        } else {
            let why = "Linkerd's adaptor splits all requests";
            spec.ignore(&["matches"], why);
            spec.list("matches", |group| {
                group.one_of("kind", &[("HTTPRouteGroup", ())]);
                group.pass(&["apiGroup"]);
                group.word("name")
            })
        };
        let backends: Vec<Backend> = backends.into_iter().flatten().collect();
        Some((service?, backends, matches.into_iter().flatten().collect()))
    });
    let (service, backends, matches): (Word, Vec<Backend>, Vec<Word>) = spec.flatten()?;
    let failover = object.labels.contains_key(CONTROLLED_BY).then(|| {
        let told = object.annotations.get(PRIMARY).cloned();
        let first = || backends.first().map_or_else(String::new, |backend| backend.service.clone());
        Failover { primary: told.unwrap_or_else(first) }
    });
    let (namespace, name) = (object.id.namespace.clone(), object.id.name.clone());
    Some(TrafficSplit { namespace, name, service, backends, matches, failover, at: object.name_at })
}

fn read_backend(version: &str, backend: &mut Reader<'_, '_>) -> Option<Backend> {
    let at = backend.at();
    let service = backend.needed_text("service");
    if !backend.has("weight") {
        backend.missing("weight");
    }
    let weight_milli = if version == "v1alpha1" {
        backend.quantity_milli("weight").and_then(|weight| u64::try_from(weight).ok())
    } else {
        backend
            .int("weight", 0..=1_000_000_000)
            .and_then(|weight| u64::try_from(weight * 1_000).ok())
    };
    Some(Backend { service: service?, weight_milli: weight_milli?, at })
}

#[cfg(test)]
mod tests {
    use crate::manifest::object::Manifests;
    use crate::manifest::smi::Smi;

    fn split(version: &str, head: &str, spec: &str) -> (Smi, Vec<String>) {
        let text = format!(
            "apiVersion: split.smi-spec.io/{version}\nkind: TrafficSplit\n\
             metadata: {{name: s, namespace: shop{head}}}\nspec:\n{spec}"
        );
        let Manifests { sources, objects, mut findings } =
            Manifests::read([("a.yaml", text.as_bytes())]);
        let smi = Smi::read(&objects, &sources, &mut findings);
        let all = findings.problems.iter().chain(&findings.warnings);
        let mut told: Vec<String> = all.map(|problem| problem.what.clone()).collect();
        told.extend(findings.ignored_lines());
        (smi, told)
    }

    fn weights(smi: &Smi) -> Vec<u64> {
        smi.splits.iter().flat_map(|s| &s.backends).map(|backend| backend.weight_milli).collect()
    }

    #[test]
    fn weights_are_quantities_in_the_first_version_only() {
        let spec = |weight: &str| {
            format!("  service: web.shop\n  backends:\n  - {{service: web-v1, weight: {weight}}}\n")
        };
        let cases = [
            ("v1alpha1", "500m", vec![500], 0),
            ("v1alpha1", "2", vec![2000], 0),
            ("v1alpha1", "\"1\"", vec![1000], 0),
            ("v1alpha2", "90", vec![90_000], 0),
            ("v1alpha4", "0", vec![0], 0),
            ("v1alpha2", "500m", vec![], 1),
            ("v1alpha2", "-1", vec![], 1),
            ("v1beta1", "1", vec![1000], 1),
        ];
        for (version, weight, expected, problems) in cases {
            let (smi, told) = split(version, "", &spec(weight));
            assert_eq!(weights(&smi), expected, "{version} {weight}");
            assert_eq!(told.len(), problems, "{told:?}");
            assert!(smi.split_of("shop", "web").is_some());
        }
    }

    #[test]
    fn matches_are_listed_and_the_last_split_wins() {
        let one = "  service: web\n  backends: [{service: a, weight: 1}]\n  \
                   matches: [{kind: HTTPRouteGroup, name: g}]\n";
        let (smi, told) = split("v1alpha4", "", one);
        assert_eq!(smi.splits[0].matches[0].text, "g");
        assert!(told[0].contains("ignored TrafficSplit.spec.matches"), "{told:?}");
        let (_, told) = split("v1alpha2", "", one);
        assert!(told[0].contains("has no field `matches`"), "{told:?}");
    }

    #[test]
    fn failover_moves_all_weight() {
        let head = ", labels: {failover.linkerd.io/controlled-by: linkerd-failover}, \
                    annotations: {failover.linkerd.io/primary-service: web}";
        let spec = "  service: web\n  backends:\n  - {service: west, weight: 0}\n  \
                    - {service: web, weight: 1}\n  - {service: east, weight: 0}\n";
        let (smi, _) = split("v1alpha2", head, spec);
        let split = &smi.splits[0];
        let weights = |ready: &[&str]| split.failover_weights(|service| ready.contains(&service));
        assert_eq!(weights(&["web", "east"]), [0, 1000, 0]);
        assert_eq!(weights(&["west", "east"]), [1000, 0, 1000]);
        assert_eq!(weights(&["east"]), [0, 0, 1000]);
        assert_eq!(weights(&[]), [0, 1000, 0], "nobody is ready: left as they are");
    }
}
