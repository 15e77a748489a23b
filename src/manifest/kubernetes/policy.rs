//! Who decides how many pods there are, and who may keep a pod from starting.
//!
//! Source: autoscaling/v2 (and v1), policy/v1 `PodDisruptionBudget`, admissionregistration/v1 (default
//! failurePolicy `Fail`, default timeout 10 s).
//! Left out: autoscaling by other metrics than CPU (listed), and its behaviour's policies beyond the
//! stabilization windows.

use crate::manifest::kubernetes::Name;
use crate::manifest::object::Object;
use crate::manifest::reader::{IntOrText, Reader};
use crate::manifest::selector::Selector;
use crate::manifest::source::At;

/// A horizontal pod autoscaler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Autoscaler {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Kind and name of what it scales.
    pub target: (String, String),
    /// Fewest pods; default 1.
    pub min: u32,
    /// Most pods.
    pub max: u32,
    /// CPU in percent of the request that it aims at; none if it scales by something else.
    pub cpu_utilization_percent: Option<u32>,
    /// Seconds that it waits before it removes pods; default 300.
    pub scale_down_window_s: Option<u32>,
    /// Seconds that it waits before it adds pods; default 0.
    pub scale_up_window_s: Option<u32>,
    /// Where its name is.
    pub at: At,
}

/// A pod disruption budget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DisruptionBudget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which pods it protects.
    pub selector: Selector,
    /// Pods, or a share, that must stay.
    pub min_available: Option<IntOrText>,
    /// Pods, or a share, that may go.
    pub max_unavailable: Option<IntOrText>,
    /// Where its name is.
    pub at: At,
}

/// One admission webhook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// The configuration that it belongs to.
    pub configuration: String,
    /// Its name.
    pub name: String,
    /// Whether it changes objects or only judges them.
    pub is_mutating: bool,
    /// Whether objects are refused when it does not answer; default true.
    pub fails_closed: bool,
    /// Seconds that an answer may take; default 10.
    pub timeout_s: u32,
    /// The service that is asked.
    pub service: Option<Name>,
    /// Which namespaces it is for.
    pub namespaces: Selector,
    /// Which objects it is for.
    pub objects: Selector,
    /// Whether it is asked for new pods.
    pub for_pods: bool,
    /// Where it is.
    pub at: At,
}

/// Reads a `HorizontalPodAutoscaler` of version 1 or 2.
pub fn read_autoscaler(object: &Object, reader: &mut Reader<'_, '_>) -> Autoscaler {
    let mut scaler = Autoscaler {
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        target: (String::new(), String::new()),
        min: 1,
        max: 1,
        cpu_utilization_percent: None,
        scale_down_window_s: None,
        scale_up_window_s: None,
        at: object.name_at,
    };
    reader.map("spec", |spec| {
        spec.map("scaleTargetRef", |target| {
            target.pass(&["apiVersion"]);
            let kind = target.text("kind").unwrap_or_default();
            scaler.target = (kind, target.text("name").unwrap_or_default());
        });
        scaler.min = spec.count("minReplicas").unwrap_or(1);
        if !spec.has("maxReplicas") {
            spec.missing("maxReplicas");
        }
        scaler.max = spec.count("maxReplicas").unwrap_or(scaler.min);
        if scaler.max < scaler.min {
            let what = format!("maxReplicas {} is below minReplicas {}", scaler.max, scaler.min);
            spec.problem(spec.at_field("maxReplicas"), what, "");
        }
        scaler.cpu_utilization_percent = spec.count("targetCPUUtilizationPercentage");
        let metrics = spec.list("metrics", read_metric);
        scaler.cpu_utilization_percent =
            scaler.cpu_utilization_percent.or(metrics.into_iter().flatten().next());
        spec.map("behavior", |behavior| {
            scaler.scale_down_window_s = behavior.map("scaleDown", read_window).flatten();
            scaler.scale_up_window_s = behavior.map("scaleUp", read_window).flatten();
        });
    });
    scaler
}

fn read_window(reader: &mut Reader<'_, '_>) -> Option<u32> {
    reader.ignore(&["policies", "selectPolicy", "tolerance"], "how fast pods are added or removed");
    reader.count("stabilizationWindowSeconds")
}

fn read_metric(reader: &mut Reader<'_, '_>) -> Option<u32> {
    reader.pass(&["type"]);
    let others = ["containerResource", "pods", "object", "external"];
    reader.ignore(&others, "scaling by other metrics than CPU");
    let utilization = reader.map("resource", |resource| {
        let is_cpu = resource.text("name").as_deref() == Some("cpu");
        let target = resource.map("target", |target| {
            target.pass(&["type"]);
            target.ignore(&["averageValue", "value"], "scaling by absolute values");
            target.count("averageUtilization")
        });
        target.flatten().filter(|_| is_cpu)
    });
    utilization.flatten()
}

/// Reads a `PodDisruptionBudget`.
pub fn read_budget(object: &Object, reader: &mut Reader<'_, '_>) -> DisruptionBudget {
    let mut budget = DisruptionBudget {
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        selector: Selector::default(),
        min_available: None,
        max_unavailable: None,
        at: object.name_at,
    };
    reader.map("spec", |spec| {
        budget.selector = spec.map("selector", Selector::read).unwrap_or_default();
        budget.min_available = spec.int_or_text("minAvailable");
        budget.max_unavailable = spec.int_or_text("maxUnavailable");
        if budget.min_available.is_some() && budget.max_unavailable.is_some() {
            let at = spec.at_field("maxUnavailable");
            let what = "minAvailable and maxUnavailable exclude each other";
            spec.problem(at, what, "keep one of them");
        }
        spec.pass(&["unhealthyPodEvictionPolicy"]);
    });
    budget
}

/// Reads the webhooks of a configuration.
pub fn read_webhooks(object: &Object, reader: &mut Reader<'_, '_>) -> Vec<Webhook> {
    let is_mutating = object.id.kind.starts_with("Mutating");
    reader.list("webhooks", |hook| {
        let failure = hook.one_of("failurePolicy", &[("Fail", true), ("Ignore", false)]);
        let rules = hook.list("rules", |rule| {
            let resources = rule.texts("resources");
            let operations = rule.texts("operations");
            rule.pass(&["apiGroups", "apiVersions", "scope"]);
            let any = |list: &[String], words: [&str; 3]| {
                list.iter().any(|word| words.contains(&word.as_str()))
            };
            any(&resources, ["pods", "*", "*/*"]) && any(&operations, ["CREATE", "*", "*"])
        });
        let service = hook.map("clientConfig", |client| {
            client.pass(&["caBundle", "url"]);
            let service = client.map("service", |service| {
                service.pass(&["path", "port"]);
                Some((service.text("namespace")?, service.text("name")?))
            });
            service.flatten()
        });
        hook.pass(&["admissionReviewVersions", "sideEffects", "matchPolicy", "matchConditions"]);
        hook.pass(&["reinvocationPolicy"]);
        Webhook {
            configuration: object.id.name.clone(),
            name: hook.text("name").unwrap_or_default(),
            is_mutating,
            fails_closed: failure.unwrap_or(true),
            timeout_s: hook.count("timeoutSeconds").unwrap_or(10),
            service: service.flatten(),
            namespaces: hook.map("namespaceSelector", Selector::read).unwrap_or_default(),
            objects: hook.map("objectSelector", Selector::read).unwrap_or_default(),
            for_pods: rules.contains(&true),
            at: hook.at(),
        }
    })
}
