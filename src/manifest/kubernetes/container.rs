//! What a pod is made of: containers with ports, probes, resources and their way to stop.
//!
//! Source: core/v1 `PodSpec`, Container, Probe (defaults: period 10 s, timeout 1 s, 1 success, 3 failures),
//! Lifecycle; native sidecars are init containers with `restartPolicy: Always` (KEP-753).
//! Left out: what no mesh reads: images, environment, volumes, security contexts, scheduling.

use crate::manifest::reader::{IntOrText, Reader};
use crate::manifest::selector::Selector;
use crate::manifest::source::At;

/// A container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Name and number of each TCP port.
    pub ports: Vec<(String, u16)>,
    /// CPU that is asked for, in thousandths of a core.
    pub cpu_request_milli: Option<u128>,
    /// CPU that is not exceeded, in thousandths of a core.
    pub cpu_limit_milli: Option<u128>,
    /// Memory that is not exceeded, in bytes.
    pub memory_limit_bytes: Option<u128>,
    /// When it takes requests.
    pub readiness: Option<Probe>,
    /// When it is restarted.
    pub liveness: Option<Probe>,
    /// What comes before the other two.
    pub startup: Option<Probe>,
    /// Seconds that its `preStop` hook sleeps, where that is told.
    pub pre_stop_sleep_s: Option<u32>,
    /// Whether it is a native sidecar.
    pub is_sidecar: bool,
    /// Where it is.
    pub at: At,
}

/// A probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Seconds before the first; default 0.
    pub initial_delay_s: u32,
    /// Seconds between two; default 10.
    pub period_s: u32,
    /// Seconds that an answer may take; default 1.
    pub timeout_s: u32,
    /// Successes in a row that count; default 1.
    pub successes: u32,
    /// Failures in a row that count; default 3.
    pub failures: u32,
    /// The port that is asked, if it is HTTP, TCP or gRPC.
    pub port: Option<IntOrText>,
    /// The path, if it is HTTP.
    pub path: Option<String>,
    /// Where it is.
    pub at: At,
}

/// The part of a pod's spec that matters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PodSpec {
    /// Its containers, native sidecars among them.
    pub containers: Vec<Container>,
    /// Its service account; `default` if not told.
    pub service_account: Option<String>,
    /// Seconds between the order to stop and the kill; default 30.
    pub termination_grace_s: Option<u32>,
    /// How its pods are spread.
    pub spread: Vec<Spread>,
    /// Whether it uses the node's network, which keeps sidecars away.
    pub host_network: bool,
}

/// A topology spread constraint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spread {
    /// The node's label that names the domain.
    pub key: String,
    /// The largest difference between two domains.
    pub max_skew: u32,
    /// Whether pods that do not fit are left pending.
    pub is_strict: bool,
    /// Which pods are counted.
    pub selector: Selector,
    /// Where it is.
    pub at: At,
}

/// Fields of a pod's spec that no mesh reads for its decisions.
const POD_PASSED: &[&str] = &[
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "ephemeralContainers",
    "hostAliases",
    "hostIPC",
    "hostPID",
    "hostUsers",
    "hostname",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "securityContext",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "tolerations",
    "volumes",
];

/// Fields of a container that no mesh reads.
const CONTAINER_PASSED: &[&str] = &[
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "resizePolicy",
    "restartPolicyRules",
    "securityContext",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
];

/// Reads a pod's spec.
pub fn read_pod(spec: &mut Reader<'_, '_>) -> PodSpec {
    let mut containers = spec.list("containers", read);
    let sidecars = spec.list("initContainers", read);
    containers.extend(sidecars.into_iter().filter(|container| container.is_sidecar));
    let account = spec.text("serviceAccountName");
    let old_account = spec.text("serviceAccount");
    let pod = PodSpec {
        containers,
        service_account: account.or(old_account),
        termination_grace_s: spec.count("terminationGracePeriodSeconds"),
        spread: spec.list("topologySpreadConstraints", read_spread).into_iter().flatten().collect(),
        host_network: spec.bool("hostNetwork").unwrap_or(false),
    };
    spec.pass(POD_PASSED);
    pod
}

fn read(reader: &mut Reader<'_, '_>) -> Container {
    let mut container = Container {
        name: reader.text("name").unwrap_or_default(),
        is_sidecar: reader.text("restartPolicy").as_deref() == Some("Always"),
        readiness: reader.map("readinessProbe", read_probe),
        liveness: reader.map("livenessProbe", read_probe),
        startup: reader.map("startupProbe", read_probe),
        at: reader.at(),
        ..Container::default()
    };
    container.ports = reader.list("ports", read_port).into_iter().flatten().collect();
    container.pre_stop_sleep_s = reader.map("lifecycle", read_lifecycle).flatten();
    reader.map("resources", |resources| {
        resources.map("requests", |requests| {
            container.cpu_request_milli = requests.quantity_milli("cpu");
            requests.pass_all();
        });
        resources.map("limits", |limits| {
            container.cpu_limit_milli = limits.quantity_milli("cpu");
            container.memory_limit_bytes =
                limits.quantity_milli("memory").map(|milli| milli / 1000);
            limits.pass_all();
        });
        resources.pass(&["claims"]);
    });
    reader.pass(CONTAINER_PASSED);
    container
}

fn read_port(reader: &mut Reader<'_, '_>) -> Option<(String, u16)> {
    reader.pass(&["hostPort", "hostIP"]);
    let name = reader.text("name").unwrap_or_default();
    let transport = reader.text("protocol");
    let port = reader.port("containerPort")?;
    transport.is_none_or(|transport| transport == "TCP").then_some((name, port))
}

fn read_probe(reader: &mut Reader<'_, '_>) -> Probe {
    let mut probe = Probe {
        initial_delay_s: reader.count("initialDelaySeconds").unwrap_or(0),
        period_s: reader.count("periodSeconds").filter(|s| *s > 0).unwrap_or(10),
        timeout_s: reader.count("timeoutSeconds").filter(|s| *s > 0).unwrap_or(1),
        successes: reader.count("successThreshold").filter(|n| *n > 0).unwrap_or(1),
        failures: reader.count("failureThreshold").filter(|n| *n > 0).unwrap_or(3),
        port: None,
        path: None,
        at: reader.at(),
    };
    reader.pass(&["exec", "terminationGracePeriodSeconds"]);
    for form in ["httpGet", "tcpSocket", "grpc"] {
        reader.map(form, |target| {
            probe.port = target.int_or_text("port");
            probe.path = target.text("path");
            target.pass(&["host", "scheme", "httpHeaders", "service"]);
        });
    }
    probe
}

/// How long `preStop` sleeps: its own `sleep` action, or a plain `sleep N` command.
fn read_lifecycle(reader: &mut Reader<'_, '_>) -> Option<u32> {
    reader.pass(&["postStart", "stopSignal"]);
    let sleep = reader.map("preStop", |hook| {
        let own = hook.map("sleep", |sleep| sleep.count("seconds")).flatten();
        let command = hook.map("exec", |exec| exec.texts("command").join(" ")).unwrap_or_default();
        hook.pass(&["httpGet", "tcpSocket"]);
        own.or_else(|| sleep_of(&command))
    });
    sleep.flatten()
}

fn sleep_of(command: &str) -> Option<u32> {
    let mut words = command.split([' ', ';', '&', '"', '\'']).filter(|word| !word.is_empty());
    words.find(|word| *word == "sleep" || word.ends_with("/sleep"))?;
    words.next()?.trim_end_matches('s').parse().ok()
}

fn read_spread(reader: &mut Reader<'_, '_>) -> Option<Spread> {
    let strict = [("DoNotSchedule", true), ("ScheduleAnyway", false)];
    let is_strict = reader.one_of("whenUnsatisfiable", &strict).unwrap_or(true);
    let max_skew = reader.count("maxSkew").unwrap_or(1);
    let selector = reader.map("labelSelector", Selector::read).unwrap_or_default();
    reader.pass(&["minDomains", "matchLabelKeys", "nodeAffinityPolicy", "nodeTaintsPolicy"]);
    let key = reader.needed_text("topologyKey")?;
    Some(Spread { key, max_skew, is_strict, selector, at: reader.at() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_before_the_stop_is_found() {
        assert_eq!(sleep_of("/bin/sh -c sleep 15"), Some(15));
        assert_eq!(sleep_of("sh -c \"/bin/sleep 5s; kill 1\""), Some(5));
        assert_eq!(sleep_of("nginx -s quit"), None);
    }
}
