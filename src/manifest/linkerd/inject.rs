//! Which pods get a proxy, and what their annotations tell it.
//!
//! A pod's annotation wins over its namespace's. Only annotations of the pod template count; those of
//! the Deployment itself are read by nobody.
//! Source: linkerd2 `pkg/inject/report.go` (`disabledByAnnotation`: an invalid word on the namespace or
//! the pod disables injection; host networking is not injected), `pkg/inject/values.go`;
//! docs `2-edge/features/proxy-injection`.
//! Left out: `linkerd inject` on the command line (its output carries the proxy container, which is
//! recognised); the injector's own outage ([`crate::manifest::lint`] names that risk).

use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::linkerd::annotation::{self, Annotations};
use crate::manifest::linkerd::ports::Ports;
use crate::manifest::linkerd::settings::{DefaultPolicy, Settings};
use crate::manifest::source::At;
use crate::manifest::units::{self, DurationForm};

/// The proxy of a workload's pods.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proxy {
    /// Whether the pods have one.
    pub is_injected: bool,
    /// Why, in a few words.
    pub why: &'static str,
    /// Where that is told; none if nowhere.
    pub at: Option<At>,
    /// Whether it routes by Host instead of by address (`linkerd.io/inject: ingress`).
    pub is_ingress: bool,
    /// Ports of other services that are called past the proxy.
    pub skip_outbound: (Ports, At),
    /// Ports of the pod that are served past the proxy.
    pub skip_inbound: (Ports, At),
    /// Ports of the pod that are taken for opaque bytes; none if the cluster's default holds.
    pub opaque_ports: Option<(Ports, At)>,
    /// What ports without a Server do; none if the cluster's default holds.
    pub default_policy: Option<(DefaultPolicy, At)>,
    /// Ports where clients need an identity whatever the default policy says.
    pub identity_ports: (Ports, At),
    /// What else is told.
    pub resources: Resources,
}

/// What a proxy may use and how long it waits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resources {
    /// CPU that is asked for, in thousandths of a core.
    pub cpu_request_milli: Option<u128>,
    /// CPU that is not exceeded, in thousandths of a core; its worker threads are this, rounded up.
    pub cpu_limit_milli: Option<u128>,
    /// Memory that is asked for, in thousandths of a byte.
    pub memory_request_milli: Option<u128>,
    /// Memory that is not exceeded, in thousandths of a byte.
    pub memory_limit_milli: Option<u128>,
    /// Time for a connection to another pod, in nanoseconds; 1 s if not told.
    pub outbound_connect_ns: Option<u64>,
    /// Time for a connection to its own app, in nanoseconds; 100 ms if not told.
    pub inbound_connect_ns: Option<u64>,
    /// Idle time after which an outbound destination is forgotten, in nanoseconds; 5 s if not told.
    pub outbound_cache_ns: Option<u64>,
    /// Idle time after which an inbound policy is forgotten, in nanoseconds; 90 s if not told.
    pub inbound_cache_ns: Option<u64>,
    /// Seconds that it stays after the pod is told to go.
    pub wait_before_exit_s: Option<u32>,
    /// Time for open requests at the end, in nanoseconds; 2 min if not told.
    pub shutdown_grace_ns: Option<u64>,
}

/// The annotations that count for a pod: its own before its namespace's.
struct Layers<'a, 'n> {
    pod: &'a Annotations<'n>,
    namespace: &'a Annotations<'n>,
}

impl Layers<'_, '_> {
    fn ports(&self, key: &str) -> Option<(Ports, At)> {
        annotation::ports(self.pod, key).or_else(|| annotation::ports(self.namespace, key))
    }

    /// The first layer that has a value that parses; one that does not parse keeps the default.
    fn parsed<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        parse(self.pod.value(key).or_else(|| self.namespace.value(key))?)
    }

    fn quantity(&self, name: &str) -> Option<u128> {
        self.parsed(&format!("config.linkerd.io/{name}"), units::quantity_milli)
    }

    fn duration(&self, name: &str) -> Option<u64> {
        self.parsed(&format!("config.linkerd.io/{name}"), |text| {
            units::duration_ns(text, DurationForm::Go).ok()
        })
    }
}

/// The proxy of a workload, by the annotations of its pods and of its namespace.
pub fn proxy(workload: &Workload, pod: &Annotations<'_>, namespace: &Annotations<'_>) -> Proxy {
    let layers = Layers { pod, namespace };
    let (is_injected, why, at) = decide(workload, &layers);
    let inject = pod.value("linkerd.io/inject").or_else(|| namespace.value("linkerd.io/inject"));
    let policy = annotation::default_policy(pod);
    // A pod's word that is no policy hides its namespace's.
    let is_told = pod.get("config.linkerd.io/default-inbound-policy").is_some();
    Proxy {
        is_injected,
        why,
        at,
        is_ingress: is_injected && inject == Some("ingress"),
        skip_outbound: layers.ports("config.linkerd.io/skip-outbound-ports").unwrap_or_default(),
        skip_inbound: layers.ports("config.linkerd.io/skip-inbound-ports").unwrap_or_default(),
        opaque_ports: layers.ports("config.linkerd.io/opaque-ports"),
        default_policy: if is_told { policy } else { annotation::default_policy(namespace) },
        identity_ports: layers
            .ports("config.linkerd.io/proxy-require-identity-inbound-ports")
            .unwrap_or_default(),
        resources: Resources {
            cpu_request_milli: layers.quantity("proxy-cpu-request"),
            cpu_limit_milli: layers.quantity("proxy-cpu-limit"),
            memory_request_milli: layers.quantity("proxy-memory-request"),
            memory_limit_milli: layers.quantity("proxy-memory-limit"),
            outbound_connect_ns: layers.duration("proxy-outbound-connect-timeout"),
            inbound_connect_ns: layers.duration("proxy-inbound-connect-timeout"),
            outbound_cache_ns: layers.duration("proxy-outbound-discovery-cache-unused-timeout"),
            inbound_cache_ns: layers.duration("proxy-inbound-discovery-cache-unused-timeout"),
            wait_before_exit_s: layers
                .parsed("config.alpha.linkerd.io/proxy-wait-before-exit-seconds", |text| {
                    text.parse().ok()
                }),
            shutdown_grace_ns: layers.duration("shutdown-grace-period"),
        },
    }
}

fn decide(workload: &Workload, layers: &Layers<'_, '_>) -> (bool, &'static str, Option<At>) {
    let has_proxy = workload.containers.iter().any(|container| container.name == "linkerd-proxy");
    if has_proxy {
        return (true, "its pods carry the proxy already", Some(workload.at));
    }
    if workload.pod.host_network {
        return (false, "pods with the node's network are not injected", Some(workload.at));
    }
    let key = "linkerd.io/inject";
    let (pod, namespace) = (layers.pod.get(key), layers.namespace.get(key));
    let at = pod.or(namespace).map(|annotation| annotation.at);
    let word = |found: Option<&annotation::Annotation<'_>>| match found.map(|found| found.value) {
        None | Some("") => Some(None),
        Some("enabled" | "ingress") => Some(Some(true)),
        Some("disabled") => Some(Some(false)),
        Some(_) => None,
    };
    match (word(namespace), word(pod)) {
        (None, _) | (_, None) => (false, "the word of linkerd.io/inject is none that it knows", at),
        (_, Some(Some(false))) | (Some(Some(false)), Some(None)) => {
            (false, "linkerd.io/inject: disabled", at)
        }
        (_, Some(Some(true))) => (true, "linkerd.io/inject on the pod", at),
        (Some(Some(true)), Some(None)) => (true, "linkerd.io/inject on the namespace", at),
        (Some(None), Some(None)) => (false, "no linkerd.io/inject", None),
    }
}

impl Proxy {
    /// Whether a port of the pod is taken for opaque bytes where no Server says otherwise.
    pub fn is_opaque(&self, port: u16, settings: &Settings) -> bool {
        let ports = self.opaque_ports.as_ref().map(|(ports, _)| ports);
        ports.unwrap_or(&settings.opaque_ports).contains(port)
    }

    /// What a port of the pod does that no Server selects, and where that is told.
    pub fn policy(&self, port: u16, settings: &Settings) -> (DefaultPolicy, Option<At>) {
        let (policy, at) = match self.default_policy {
            Some((policy, at)) => (policy, Some(at)),
            None => (settings.default_policy, None),
        };
        if self.identity_ports.0.contains(port) {
            return (policy.with_identity(), Some(self.identity_ports.1));
        }
        (policy, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::kubernetes::Cluster;
    use crate::manifest::object::Manifests;

    /// The proxy of a Deployment with these annotations on its namespace and its pods.
    fn read(namespace: &str, pod: &str) -> Proxy {
        let text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, annotations: {{{namespace}}}}}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: w, namespace: a}}\nspec:\n  \
             selector: {{matchLabels: {{a: b}}}}\n  template:\n    \
             metadata: {{labels: {{a: b}}, annotations: {{{pod}}}}}\n    spec: {{containers: [{{name: c}}]}}\n"
        );
        let mut manifests = Manifests::read([("a.yaml", text.as_bytes())]);
        let cluster = Cluster::of(&mut manifests);
        let metadata = |index: usize| manifests.objects[index].node.get("metadata");
        let template = manifests.objects[1].node.get("spec").and_then(|spec| spec.get("template"));
        let pod = Annotations::of(template.and_then(|template| template.get("metadata")));
        proxy(&cluster.workloads[0], &pod, &Annotations::of(metadata(0)))
    }

    #[test]
    fn the_pod_wins_over_the_namespace_and_unknown_words_disable() {
        let inject = |word: &str| {
            if word.is_empty() { String::new() } else { format!("linkerd.io/inject: {word}") }
        };
        let cases = [
            ("", "", false),
            ("enabled", "", true),
            ("enabled", "disabled", false),
            ("disabled", "enabled", true),
            ("disabled", "", false),
            ("", "ingress", true),
            ("enabled", "'true'", false),
            ("'true'", "enabled", false),
        ];
        for (namespace, pod, expected) in cases {
            let proxy = read(&inject(namespace), &inject(pod));
            assert_eq!(proxy.is_injected, expected, "{namespace} {pod}: {}", proxy.why);
        }
    }

    #[test]
    fn pods_with_the_nodes_network_have_no_proxy() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {linkerd.io/inject: enabled}}\n\
                    spec: {hostNetwork: true, containers: [{name: c}]}\n";
        let mut manifests = Manifests::read([("a.yaml", text.as_bytes())]);
        let workload = Cluster::of(&mut manifests).workloads;
        let pod = Annotations::of(manifests.objects[0].node.get("metadata"));
        let proxy = proxy(&workload[0], &pod, &Annotations::default());
        assert_eq!(
            (proxy.is_injected, proxy.why),
            (false, "pods with the node's network are not injected")
        );
    }

    #[test]
    fn values_that_do_not_parse_keep_the_default() {
        let settings = Settings::default();
        let proxy = read(
            "config.linkerd.io/default-inbound-policy: deny, config.linkerd.io/opaque-ports: '9'",
            "config.linkerd.io/proxy-cpu-limit: 1500m, config.linkerd.io/proxy-cpu-request: much",
        );
        assert_eq!(proxy.policy(80, &settings).0, DefaultPolicy::Deny);
        assert!(proxy.is_opaque(9, &settings) && !proxy.is_opaque(3306, &settings));
        assert_eq!(proxy.resources.cpu_limit_milli, Some(1500));
        assert_eq!(proxy.resources.cpu_request_milli, None);
        let misspelt = read(
            "config.linkerd.io/default-inbound-policy: deny",
            "config.linkerd.io/default-inbound-policy: dney",
        );
        assert_eq!(misspelt.policy(80, &settings).0, DefaultPolicy::AllUnauthenticated);
        let identity = read("", "config.linkerd.io/proxy-require-identity-inbound-ports: '80'");
        assert_eq!(identity.policy(80, &settings).0, DefaultPolicy::AllAuthenticated);
    }
}
