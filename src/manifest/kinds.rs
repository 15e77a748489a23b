//! Which kinds of objects there are, and what meshsim does with them.
//!
//! A kind that is in no list is named as unknown, with the nearest known kind if one is near.
//! Source: Kubernetes 1.34 API; Istio 1.28, Linkerd 2.19, Gateway API 1.4 and SMI custom resources.
//! Left out: kinds of other operators; they are named as not modelled.

/// What meshsim does with objects of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Read and simulated.
    Modelled,
    /// A mesh reads it, but it is not simulated.
    MeshOnly(&'static str),
    /// No mesh reads it for its decisions.
    Unread,
    /// Not known here.
    Unknown,
}

/// The name of the Gateway API's group.
pub const GATEWAY_API: &str = "gateway.networking.k8s.io";
/// The name of Linkerd's policy group.
pub const LINKERD_POLICY: &str = "policy.linkerd.io";
/// The name of Istio's routing group.
pub const ISTIO_NETWORKING: &str = "networking.istio.io";
/// The name of Istio's security group.
pub const ISTIO_SECURITY: &str = "security.istio.io";
/// The name of Istio's telemetry group.
pub const ISTIO_TELEMETRY: &str = "telemetry.istio.io";

/// Kinds that are read and simulated: group, kind.
const MODELLED: &[(&str, &[&str])] = &[
    ("", &["Namespace", "Pod", "Service", "Endpoints", "ServiceAccount", "ConfigMap"]),
    ("apps", &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("policy", &["PodDisruptionBudget"]),
    (
        "admissionregistration.k8s.io",
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
    ),
    (
        GATEWAY_API,
        &[
            "GatewayClass",
            "Gateway",
            "HTTPRoute",
            "GRPCRoute",
            "TCPRoute",
            "TLSRoute",
            "ReferenceGrant",
            "BackendTLSPolicy",
        ],
    ),
    (
        ISTIO_NETWORKING,
        &[
            "VirtualService",
            "DestinationRule",
            "Gateway",
            "ServiceEntry",
            "WorkloadEntry",
            "WorkloadGroup",
            "Sidecar",
            "ProxyConfig",
        ],
    ),
    (ISTIO_SECURITY, &["PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication"]),
    (ISTIO_TELEMETRY, &["Telemetry"]),
    ("linkerd.io", &["ServiceProfile"]),
    (
        LINKERD_POLICY,
        &[
            "HTTPRoute",
            "Server",
            "AuthorizationPolicy",
            "MeshTLSAuthentication",
            "NetworkAuthentication",
            "ServerAuthorization",
            "HTTPLocalRateLimitPolicy",
            "EgressNetwork",
        ],
    ),
    ("split.smi-spec.io", &["TrafficSplit"]),
    ("specs.smi-spec.io", &["HTTPRouteGroup", "TCPRoute"]),
    ("access.smi-spec.io", &["TrafficTarget"]),
];

/// Kinds that a mesh reads but meshsim does not simulate: group, kind, why.
const MESH_ONLY: &[(&str, &str, &str)] = &[
    (ISTIO_NETWORKING, "EnvoyFilter", "patches Envoy's own configuration"),
    ("extensions.istio.io", "WasmPlugin", "runs foreign code in the proxy"),
    ("extensions.istio.io", "TrafficExtension", "runs foreign code in the proxy"),
    ("install.istio.io", "IstioOperator", "is turned into manifests by istioctl: generate them"),
    ("networking.k8s.io", "Ingress", "the older ingress API; use a Gateway"),
    ("networking.k8s.io", "IngressClass", "the older ingress API; use a Gateway"),
    ("networking.k8s.io", "NetworkPolicy", "drops packets outside of the mesh"),
    (GATEWAY_API, "UDPRoute", "UDP is not simulated"),
    (GATEWAY_API, "ListenerSet", "listeners outside of their Gateway are not simulated"),
    ("gateway.networking.x-k8s.io", "XListenerSet", "an experimental kind"),
    ("gateway.networking.x-k8s.io", "XBackendTrafficPolicy", "an experimental kind"),
    ("gateway.networking.x-k8s.io", "XMesh", "an experimental kind"),
    (LINKERD_POLICY, "HTTPLocalRateLimitPolicies", "a misspelt kind"),
    (
        LINKERD_POLICY,
        "HTTPLocalConcurrencyLimitPolicy",
        "limits of requests at once (new, edge only)",
    ),
    ("linkerd.io", "Link", "multi-cluster links are not simulated"),
    ("multicluster.linkerd.io", "Link", "multi-cluster links are not simulated"),
    ("workload.linkerd.io", "ExternalWorkload", "workloads outside of Kubernetes"),
    ("multicluster.x-k8s.io", "ServiceImport", "multi-cluster services are not simulated"),
    ("multicluster.x-k8s.io", "ServiceExport", "multi-cluster services are not simulated"),
    ("batch", "Job", "ends by itself; only services are simulated"),
    ("batch", "CronJob", "ends by itself; only services are simulated"),
];

/// Groups and kinds that no mesh reads for its decisions.
const UNREAD: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "Secret",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Event",
            "Node",
            "ResourceQuota",
            "LimitRange",
            "ReplicationController",
            "PodTemplate",
        ],
    ),
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("storage.k8s.io", &["StorageClass", "CSIDriver"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("cert-manager.io", &["Certificate", "Issuer", "ClusterIssuer"]),
    ("monitoring.coreos.com", &["ServiceMonitor", "PodMonitor", "PrometheusRule"]),
    ("kustomize.config.k8s.io", &["Kustomization"]),
    ("k8s.cni.cncf.io", &["NetworkAttachmentDefinition"]),
];

/// Kinds that are not simulated but looked at: a lint asks whether a secret is there, and an
/// `EnvoyFilter` is named with what it patches.
const LOOKED_AT: &[(&str, &str)] =
    &[(ISTIO_NETWORKING, "EnvoyFilter"), ("extensions.istio.io", "WasmPlugin"), ("", "Secret")];

/// Kinds that live in no namespace.
const CLUSTER_WIDE: &[&str] = &[
    "Namespace",
    "Node",
    "PersistentVolume",
    "GatewayClass",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "APIService",
    "StorageClass",
    "CSIDriver",
    "PriorityClass",
    "ClusterIssuer",
    "IngressClass",
];

/// What meshsim does with this kind of this group.
pub fn what(group: &str, kind: &str) -> Use {
    if has(MODELLED, group, kind) {
        return Use::Modelled;
    }
    if let Some((.., why)) = MESH_ONLY.iter().find(|(g, k, _)| *g == group && *k == kind) {
        return Use::MeshOnly(why);
    }
    if has(UNREAD, group, kind) { Use::Unread } else { Use::Unknown }
}

/// Whether objects of a kind that is not simulated are kept all the same.
pub fn is_looked_at(group: &str, kind: &str) -> bool {
    LOOKED_AT.contains(&(group, kind))
}

/// Whether each object of a kind that is not simulated is named with what it does.
pub fn is_named_alone(group: &str, kind: &str) -> bool {
    (group, kind) == (ISTIO_NETWORKING, "EnvoyFilter")
}

/// Whether objects of this kind live in no namespace.
pub fn is_cluster_wide(kind: &str) -> bool {
    CLUSTER_WIDE.contains(&kind)
}

/// Known kinds, with the group that each has, for hints.
pub fn groups_of(kind: &str) -> Vec<&'static str> {
    let of = |list: &'static [(&str, &[&str])]| {
        list.iter().filter(move |(_, kinds)| kinds.contains(&kind)).map(|(group, _)| *group)
    };
    of(MODELLED).chain(of(UNREAD)).collect()
}

/// The kinds that are modelled in a group, or in all if the group is not known.
pub fn kinds_near(group: &str) -> Vec<&'static str> {
    let own: Vec<_> = MODELLED.iter().filter(|(g, _)| *g == group).flat_map(|(_, k)| *k).collect();
    let all = MODELLED.iter().flat_map(|(_, kinds)| *kinds);
    if own.is_empty() { all.copied().collect() } else { own.into_iter().copied().collect() }
}

fn has(list: &[(&str, &[&str])], group: &str, kind: &str) -> bool {
    list.iter().any(|(g, kinds)| *g == group && kinds.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_use() {
        assert_eq!(what("", "Service"), Use::Modelled);
        assert_eq!(what(GATEWAY_API, "Gateway"), Use::Modelled);
        assert!(matches!(what(ISTIO_NETWORKING, "EnvoyFilter"), Use::MeshOnly(_)));
        assert_eq!(what("", "Secret"), Use::Unread);
        assert_eq!(what("apps", "Gateway"), Use::Unknown);
        assert_eq!(groups_of("Gateway"), [GATEWAY_API, ISTIO_NETWORKING]);
        assert!(kinds_near("nowhere").len() > 30 && is_cluster_wide("GatewayClass"));
    }
}
