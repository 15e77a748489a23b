//! What Istio's analyzers find in their own test data, read in place.

use crate::manifest::istio::Istio;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::lint::{Finding, istio};
use crate::manifest::object::Manifests;
use crate::manifest::source::Piece;
use crate::manifest::tests::inputs;
use crate::manifest::yaml;
use std::path::Path;

const FOLDER: &str = "istio-conformance/pkg/config/analysis/analyzers/testdata";

/// Files (`mesh:` before a mesh configuration), the rule, and what it must find: `code object`, where an
/// object without a namespace is in `default`.
type Case = (&'static [&'static str], &'static str, &'static [&'static str]);

fn findings(folder: &Path, files: &[&str]) -> Vec<Finding> {
    let (configs, plain): (Vec<&str>, Vec<&str>) =
        files.iter().partition(|file| file.starts_with("mesh:"));
    let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
    let texts: Vec<(String, Vec<u8>)> =
        plain.iter().map(|file| ((*file).to_owned(), read(&format!("{file}.yaml")))).collect();
    let files = texts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let mut manifests = Manifests::read(files);
    let mut cluster = Cluster::of(&mut manifests);
    if let Some(file) = configs.first() {
        let bytes = read(&format!("{}.yaml", &file[5..]));
        let text = String::from_utf8(bytes).unwrap();
        let parsed = yaml::parse(0, Piece { text: &text, lines_before: 0 });
        cluster.mesh_config = parsed.documents.into_iter().next();
    }
    let read = Istio::of(&mut manifests, &cluster);
    istio(&manifests.objects, &cluster, &read, &manifests.sources)
}

fn told(folder: &Path, files: &[&str], rule: &str) -> Vec<String> {
    let found = findings(folder, files);
    let own = found.iter().filter(|finding| finding.rule == rule);
    let mut lines: Vec<String> = own
        .map(|finding| {
            assert!(!finding.name.is_empty() && !finding.fix.is_empty(), "{finding:?}");
            assert!(finding.place.line > 0 && !finding.place.file.is_empty(), "{finding:?}");
            let object = finding.object.replace(" default/", " ");
            format!("{} {object}", finding.code)
        })
        .collect();
    lines.sort();
    if rule == "envoyfilter.EnvoyPatchAnalyzer" {
        // These messages have no words of their own, and the same message is told once.
        lines.dedup();
    }
    lines
}

const CASES: &[Case] = &[
    (
        &["blocked-cidrs-missing"],
        "authn.BlockedCIDRsAnalyzer",
        &["IST0175 Deployment istio-system/istiod"],
    ),
    (&["blocked-cidrs-configured"], "authn.BlockedCIDRsAnalyzer", &[]),
    (&["blocked-cidrs-no-ra"], "authn.BlockedCIDRsAnalyzer", &[]),
    (
        &["misannotated"],
        "annotations.K8sAnalyzer",
        &[
            "IST0108 Service httpbin",
            "IST0125 Pod invalid-annotations",
            "IST0107 Pod grafana-test",
            "IST0107 Deployment fortio-deploy",
            "IST0107 Namespace staging",
            "IST0135 Deployment fortio-deploy",
        ],
    ),
    (
        &["deprecation"],
        "deprecation.DeprecationAnalyzer",
        &["IST0002 VirtualService foo/productpage", "IST0002 Sidecar no-selector"],
    ),
    (
        &["externalcontrolplane-missing-urls"],
        "externalcontrolplane.ExternalControlPlaneAnalyzer",
        &[
            "IST0163 MutatingWebhookConfiguration istio-sidecar-injector-external-istiod",
            "IST0163 ValidatingWebhookConfiguration istio-validator-external-istiod",
        ],
    ),
    (
        &["externalcontrolplane-missing-urls-custom-ns"],
        "externalcontrolplane.ExternalControlPlaneAnalyzer",
        &[
            "IST0163 MutatingWebhookConfiguration istio-sidecar-injector-custom-ns",
            "IST0163 ValidatingWebhookConfiguration istio-validator-custom-ns",
        ],
    ),
    (
        &["externalcontrolplane-using-ip-addr"],
        "externalcontrolplane.ExternalControlPlaneAnalyzer",
        &["IST0164 MutatingWebhookConfiguration istio-sidecar-injector-external-istiod"],
    ),
    (
        &["externalcontrolplane-valid-urls"],
        "externalcontrolplane.ExternalControlPlaneAnalyzer",
        &[],
    ),
    (
        &["externalcontrolplane-valid-urls-custom-ns"],
        "externalcontrolplane.ExternalControlPlaneAnalyzer",
        &[],
    ),
    (
        &["gateway-no-workload"],
        "gateway.IngressGatewayPortAnalyzer",
        &["IST0101 Gateway httpbin-gateway"],
    ),
    (
        &["gateway-no-port"],
        "gateway.IngressGatewayPortAnalyzer",
        &["IST0162 Gateway httpbin-gateway"],
    ),
    (&["gateway-correct-port"], "gateway.IngressGatewayPortAnalyzer", &[]),
    (&["gateway-custom-ingressgateway"], "gateway.IngressGatewayPortAnalyzer", &[]),
    (
        &["gateway-custom-ingressgateway-badport"],
        "gateway.IngressGatewayPortAnalyzer",
        &["IST0162 Gateway httpbin-gateway"],
    ),
    (
        &["gateway-custom-ingressgateway-badport-notarget"],
        "gateway.IngressGatewayPortAnalyzer",
        &["IST0162 Gateway httpbin-gateway"],
    ),
    (&["gateway-custom-ingressgateway-translation"], "gateway.IngressGatewayPortAnalyzer", &[]),
    (
        &["gateway-custom-ingressgateway-svcselector"],
        "gateway.IngressGatewayPortAnalyzer",
        &["IST0162 Gateway httpbin8002-gateway"],
    ),
    (
        &["gateway-secrets"],
        "gateway.SecretAnalyzer",
        &[
            "IST0101 Gateway defaultgateway-bogusCredentialName",
            "IST0101 Gateway customgateway-wrongnamespace",
            "IST0101 Gateway bogusgateway",
        ],
    ),
    // Its fourth finding is a certificate that is too old: dates are not read.
    (
        &["gateway-secrets-validation"],
        "gateway.SecretAnalyzer",
        &[
            "IST0161 Gateway defaultgateway-invalid-keys",
            "IST0161 Gateway defaultgateway-missing-keys",
            "IST0161 Gateway defaultgateway-invalid-cert",
        ],
    ),
    (
        &["conflicting-gateways"],
        "gateway.ConflictingGatewayAnalyzer",
        &["IST0145 Gateway alpha", "IST0145 Gateway beta"],
    ),
    (&["gateway-different-port"], "gateway.ConflictingGatewayAnalyzer", &[]),
    (
        &["conflicting-gateways-multiple-ports"],
        "gateway.ConflictingGatewayAnalyzer",
        &["IST0145 Gateway alpha", "IST0145 Gateway beta"],
    ),
    (
        &["conflicting-gateways-subSelector"],
        "gateway.ConflictingGatewayAnalyzer",
        &["IST0145 Gateway alpha", "IST0145 Gateway beta"],
    ),
    (&["conflicting-gateways-invalid-port"], "gateway.ConflictingGatewayAnalyzer", &[]),
    (
        &["analyze-list-type"],
        "gateway.ConflictingGatewayAnalyzer",
        &["IST0145 Gateway alpha", "IST0145 Gateway alpha-l", "IST0145 Gateway beta-l"],
    ),
    (
        &["gateway-duplicate-certificate"],
        "gateway.CertificateAnalyzer",
        &[
            "IST0138 Gateway istio-system/gateway-01-test-01",
            "IST0138 Gateway istio-system/gateway-02-test-01",
            "IST0138 Gateway istio-system/gateway-01-test-02",
            "IST0138 Gateway gateway-01-test-03",
        ],
    ),
    (
        &["injection"],
        "injection.Analyzer",
        &[
            "IST0102 Namespace bar",
            "IST0103 Pod noninjectedpod",
            "IST0123 Namespace busted",
            "IST0123 Namespace multi-ns-1",
            "IST0123 Namespace multi-ns-2",
            "IST0123 Namespace multi-ns-3",
        ],
    ),
    (
        &["injection", "common/sidecar-injector-enabled-nsbydefault"],
        "injection.Analyzer",
        &[
            "IST0148 Namespace bar",
            "IST0103 Pod noninjectedpod",
            "IST0123 Namespace busted",
            "IST0123 Namespace multi-ns-1",
            "IST0123 Namespace multi-ns-2",
            "IST0123 Namespace multi-ns-3",
        ],
    ),
    (
        &["injection-with-mismatched-sidecar", "common/sidecar-injector-configmap"],
        "injection.ImageAnalyzer",
        &["IST0158 Namespace enabled-namespace", "IST0158 Namespace enabled-namespace-native"],
    ),
    (
        &[
            "injection-image-distroless",
            "common/sidecar-injector-configmap",
            "mesh:common/meshconfig",
        ],
        "injection.ImageAnalyzer",
        &["IST0158 Namespace enabled-namespace"],
    ),
    (
        &["injection-image-distroless-no-meshconfig", "common/sidecar-injector-configmap"],
        "injection.ImageAnalyzer",
        &[],
    ),
    (
        &["injection-with-mismatched-sidecar", "sidecar-injector-configmap-absolute-override"],
        "injection.ImageAnalyzer",
        &["IST0158 Namespace enabled-namespace", "IST0158 Namespace enabled-namespace-native"],
    ),
    (
        &[
            "injection-with-mismatched-sidecar",
            "sidecar-injector-configmap-absolute-override",
            "sidecar-injector-configmap-with-revision-canary",
        ],
        "injection.ImageAnalyzer",
        &[
            "IST0158 Namespace enabled-namespace",
            "IST0158 Namespace enabled-namespace-native",
            "IST0158 Namespace revision-namespace",
        ],
    ),
    (
        &["image-auto"],
        "injection.ImageAutoAnalyzer",
        &[
            "IST0146 Deployment not-injected/non-injected-gateway-deployment",
            "IST0147 Pod injected-pod",
        ],
    ),
    (
        &["service-no-port-name"],
        "service.PortNameAnalyzer",
        &[
            "IST0118 Service my-namespace1/my-service1",
            "IST0118 Service my-namespace1/my-service1",
            "IST0118 Service my-namespace2/my-service2",
        ],
    ),
    (&["service-port-name"], "service.PortNameAnalyzer", &[]),
    (&["service-no-port-name-system-namespace"], "service.PortNameAnalyzer", &[]),
    (
        &["incorrect-port-name-external-name-service-type"],
        "service.PortNameAnalyzer",
        &[
            "IST0150 Service nginx-ns/nginx",
            "IST0150 Service nginx-ns2/nginx-svc2",
            "IST0150 Service nginx-ns3/nginx-svc3",
        ],
    ),
    (&["correct-port-name-external-name-service-type"], "service.PortNameAnalyzer", &[]),
    (
        &["sidecar-default-selector"],
        "sidecar.SelectorAnalyzer",
        &[
            "IST0111 Sidecar ns2/has-conflict-2",
            "IST0111 Sidecar ns2/has-conflict-1",
            "IST0167 Sidecar ns-ambient/namespace-scoped",
            "IST0167 Sidecar ns-ambient/pod-scoped",
        ],
    ),
    (
        &["sidecar-selector"],
        "sidecar.SelectorAnalyzer",
        &[
            "IST0101 Sidecar maps-to-nonexistent",
            "IST0101 Sidecar other/maps-to-different-ns",
            "IST0110 Sidecar dupe-1",
            "IST0110 Sidecar dupe-2",
            "IST0110 Sidecar overlap-1",
            "IST0110 Sidecar overlap-2",
        ],
    ),
    (
        &["virtualservice_conflictingmeshgatewayhosts"],
        "virtualservice.ConflictingMeshGatewayHostsAnalyzer",
        &[
            "IST0109 VirtualService team3/ratings",
            "IST0109 VirtualService team4/ratings",
            "IST0109 VirtualService foo/ratings",
            "IST0109 VirtualService bar/ratings",
            "IST0109 VirtualService foo/productpage",
            "IST0109 VirtualService foo/bogus-productpage",
            "IST0109 VirtualService team2/ratings",
        ],
    ),
    (
        &["virtualservice_conflictingmeshgatewayhosts_with_exportto"],
        "virtualservice.ConflictingMeshGatewayHostsAnalyzer",
        &[
            "IST0109 VirtualService foo/productpage",
            "IST0109 VirtualService bar/productpage",
            "IST0109 VirtualService foo/productpage-c",
            "IST0109 VirtualService bar/productpage-c",
            "IST0109 VirtualService foo/productpage-d",
            "IST0109 VirtualService bar/productpage-d",
        ],
    ),
    (
        &["virtualservice_destinationhosts"],
        "virtualservice.DestinationHostAnalyzer",
        &[
            "IST0101 VirtualService reviews-bogushost",
            "IST0101 VirtualService reviews-bogushost",
            "IST0101 VirtualService reviews-bookinfo-other",
            "IST0101 VirtualService reviews-mirror-bogushost",
            "IST0101 VirtualService reviews-bogusport",
            "IST0112 VirtualService reviews-2port-missing",
            "IST0101 VirtualService istio-system/cross-namespace-details",
            "IST0101 VirtualService hello/hello-export-to-bogus",
        ],
    ),
    (
        &["virtualservice_route_rule_no_effects_ingress"],
        "virtualservice.DestinationHostAnalyzer",
        &["IST0140 VirtualService testing-service-01-test-01"],
    ),
    (
        &["virtualservice_destinationrules"],
        "virtualservice.DestinationRuleAnalyzer",
        &[
            "IST0101 VirtualService reviews-bogussubset",
            "IST0101 VirtualService reviews-mirror-bogussubset",
        ],
    ),
    (
        &["virtualservice_gateways"],
        "virtualservice.GatewayAnalyzer",
        &[
            "IST0101 VirtualService httpbin-bogus",
            "IST0132 VirtualService cross-test",
            "IST0132 VirtualService httpbin-bogus",
            "IST0132 VirtualService httpbin",
        ],
    ),
    (
        &["virtualservice_internal_gateway_ref"],
        "virtualservice.GatewayAnalyzer",
        &["IST0165 VirtualService httpbin"],
    ),
    (
        &["virtualservice_host_not_found_gateway"],
        "virtualservice.GatewayAnalyzer",
        &[
            "IST0132 VirtualService testing-service-02-test-01",
            "IST0132 VirtualService testing-service-02-test-02",
            "IST0132 VirtualService testing-service-02-test-03",
            "IST0132 VirtualService testing-service-03-test-04",
        ],
    ),
    (
        &["virtualservice_host_not_found_gateway_beta"],
        "virtualservice.GatewayAnalyzer",
        &[
            "IST0132 VirtualService testing-service-02-test-01",
            "IST0132 VirtualService testing-service-02-test-02",
            "IST0132 VirtualService testing-service-02-test-03",
            "IST0132 VirtualService testing-service-03-test-04",
        ],
    ),
    (
        &["virtualservice_host_not_found_gateway_with_ns_prefix"],
        "virtualservice.GatewayAnalyzer",
        &["IST0132 VirtualService testing-service-01-test-01"],
    ),
    (
        &["virtualservice_host_not_found_gateway_with_ns_prefix_beta"],
        "virtualservice.GatewayAnalyzer",
        &["IST0132 VirtualService testing-service-01-test-01"],
    ),
    (
        &["virtualservice_kubernetes_gateways"],
        "virtualservice.GatewayAnalyzer",
        &["IST0132 VirtualService my-vs-host-mismatch"],
    ),
    (
        &["virtualservice_jwtclaimroute"],
        "virtualservice.JWTClaimRouteAnalyzer",
        &["IST0149 VirtualService foo"],
    ),
    (
        &["deployment-multi-service"],
        "deployment.MultiServiceAnalyzer",
        &[
            "IST0116 Deployment bookinfo/multiple-svc-multiple-prot",
            "IST0116 Deployment bookinfo/multiple-without-port",
            "IST0137 Deployment bookinfo/conflicting-ports",
        ],
    ),
    (&["deployment-multi-service-different-ns"], "deployment.MultiServiceAnalyzer", &[]),
    (&["deployment-service-no-selector"], "deployment.MultiServiceAnalyzer", &[]),
    (
        &["authorizationpolicies"],
        "auth.AuthorizationPoliciesAnalyzer",
        &[
            "IST0127 AuthorizationPolicy istio-system/meshwide-httpbin-v1",
            "IST0127 AuthorizationPolicy httpbin-empty/httpbin-empty-namespace-wide",
            "IST0127 AuthorizationPolicy httpbin/httpbin-nopods",
            "IST0101 AuthorizationPolicy httpbin/httpbin-bogus-ns",
            "IST0101 AuthorizationPolicy httpbin/httpbin-bogus-ns",
            "IST0101 AuthorizationPolicy httpbin/httpbin-bogus-not-ns",
            "IST0101 AuthorizationPolicy httpbin/httpbin-bogus-not-ns",
            "IST0127 AuthorizationPolicy test-ambient/no-workload",
        ],
    ),
    (
        &["destinationrule-simple-destination"],
        "destinationrule.CaCertificateAnalyzer",
        &["IST0128 DestinationRule db-tls"],
    ),
    (
        &["destinationrule-mutual-destination"],
        "destinationrule.CaCertificateAnalyzer",
        &["IST0128 DestinationRule db-mtls"],
    ),
    (
        &["destinationrule-simple-port"],
        "destinationrule.CaCertificateAnalyzer",
        &["IST0129 DestinationRule db-tls"],
    ),
    (
        &["destinationrule-simple-destination-credentialname"],
        "destinationrule.CaCertificateAnalyzer",
        &["IST0128 DestinationRule db-tls"],
    ),
    (
        &["destinationrule-simple-destination-credentialname-selector"],
        "destinationrule.CaCertificateAnalyzer",
        &[],
    ),
    (
        &["destinationrule-simple-port-credentialname"],
        "destinationrule.CaCertificateAnalyzer",
        &["IST0129 DestinationRule db-tls"],
    ),
    (
        &["destinationrule-simple-port-credentialname-selector"],
        "destinationrule.CaCertificateAnalyzer",
        &[],
    ),
    (
        &["destinationrule-mutual-port"],
        "destinationrule.CaCertificateAnalyzer",
        &["IST0129 DestinationRule db-mtls"],
    ),
    (
        &["destinationrule-compound-simple-mutual"],
        "destinationrule.CaCertificateAnalyzer",
        &["IST0128 DestinationRule db-mtls", "IST0129 DestinationRule db-mtls"],
    ),
    (
        &["destinationrule-compound-mutual-simple"],
        "destinationrule.CaCertificateAnalyzer",
        &["IST0128 DestinationRule db-mtls", "IST0129 DestinationRule db-mtls"],
    ),
    (&["destinationrule-with-ca"], "destinationrule.CaCertificateAnalyzer", &[]),
    (
        &["virtualservice_dupmatches", "virtualservice_overlappingmatches"],
        "schema.ValidationAnalyzer.VirtualService",
        &[
            "IST0130 VirtualService duplicate-match",
            "IST0130 VirtualService foo/sample-foo-cluster01",
            "IST0131 VirtualService almost-duplicate-match",
            "IST0131 VirtualService duplicate-match",
            "IST0130 VirtualService duplicate-tcp-match",
            "IST0130 VirtualService duplicate-empty-tcp",
            "IST0131 VirtualService almost-duplicate-tcp-match",
            "IST0131 VirtualService duplicate-tcp-match",
            "IST0130 VirtualService none/tls-routing",
            "IST0131 VirtualService none/tls-routing-almostmatch",
            "IST0131 VirtualService none/tls-routing",
            "IST0131 VirtualService non-method-get",
            "IST0131 VirtualService overlapping-in-single-match",
            "IST0131 VirtualService overlapping-in-two-matches",
            "IST0131 VirtualService overlapping-mathes-with-different-methods",
        ],
    ),
    (
        &["serviceentry-missing-addresses-protocol"],
        "serviceentry.ProtocolAddressesAnalyzer",
        &[
            "IST0134 ServiceEntry service-entry-test-03",
            "IST0134 ServiceEntry service-entry-test-04",
            "IST0134 ServiceEntry service-entry-test-07",
        ],
    ),
    (
        &[
            "serviceentry-missing-addresses-protocol",
            "mesh:serviceentry-missing-addresses-protocol-mesh-cfg",
        ],
        "serviceentry.ProtocolAddressesAnalyzer",
        &[],
    ),
    (
        &["serviceentry-address-required-lowercase"],
        "serviceentry.ProtocolAddressesAnalyzer",
        &["IST0134 ServiceEntry address-missing-lowercase"],
    ),
    (
        &["serviceentry-address-required-uppercase"],
        "serviceentry.ProtocolAddressesAnalyzer",
        &["IST0134 ServiceEntry address-missing-uppercase"],
    ),
    (
        &["serviceentry-address-allocated", "mesh:serviceentry-address-allocated-mesh-cfg"],
        "serviceentry.ProtocolAddressesAnalyzer",
        &[],
    ),
    (
        &["serviceentry-conflicting-protocol"],
        "serviceentry.ConflictingServiceEntriesAnalyzer",
        &["IST0177 ServiceEntry se-http", "IST0177 ServiceEntry se-https"],
    ),
    (&["serviceentry-no-conflict-protocol"], "serviceentry.ConflictingServiceEntriesAnalyzer", &[]),
    (&["serviceentry-conflicting-exportto"], "serviceentry.ConflictingServiceEntriesAnalyzer", &[]),
    (
        &["webhook"],
        "webhook.Analyzer",
        &[
            "IST0139 MutatingWebhookConfiguration istio-sidecar-injector-missing-overlap",
            "IST0139 MutatingWebhookConfiguration istio-sidecar-injector-missing-overlap",
            "IST0139 MutatingWebhookConfiguration istio-sidecar-injector-overlap",
        ],
    ),
    (&["pod-sec-uid"], "applicationUID.Analyzer", &["IST0144 Pod pod-sec-uid"]),
    (&["pod-con-sec-uid"], "applicationUID.Analyzer", &["IST0144 Pod con-sec-uid"]),
    (
        &["deployment-pod-sec-uid"],
        "applicationUID.Analyzer",
        &["IST0144 Deployment deploy-pod-sec-uid"],
    ),
    (
        &["deployment-con-sec-uid"],
        "applicationUID.Analyzer",
        &["IST0144 Deployment deploy-con-sec-uid"],
    ),
    (
        &["relative-envoy-filter-operation"],
        "envoyfilter.EnvoyPatchAnalyzer",
        &[
            "IST0151 EnvoyFilter bookinfo/test-relative-1",
            "IST0151 EnvoyFilter bookinfo/test-relative-2",
            "IST0151 EnvoyFilter bookinfo/test-relative-3",
            "IST0155 EnvoyFilter bookinfo/test-relative-3",
        ],
    ),
    (&["envoy-filter-filterchain"], "envoyfilter.EnvoyPatchAnalyzer", &[]),
    (&["absolute-envoy-filter-operation"], "envoyfilter.EnvoyPatchAnalyzer", &[]),
    (
        &["envoy-filter-replace-operation"],
        "envoyfilter.EnvoyPatchAnalyzer",
        &[
            "IST0152 EnvoyFilter bookinfo/test-replace-1",
            "IST0155 EnvoyFilter bookinfo/test-replace-3",
            "IST0151 EnvoyFilter bookinfo/test-replace-3",
        ],
    ),
    (
        &["envoy-filter-add-operation"],
        "envoyfilter.EnvoyPatchAnalyzer",
        &["IST0153 EnvoyFilter bookinfo/test-auth-2", "IST0153 EnvoyFilter bookinfo/test-auth-3"],
    ),
    (
        &["envoy-filter-remove-operation"],
        "envoyfilter.EnvoyPatchAnalyzer",
        &[
            "IST0151 EnvoyFilter bookinfo/test-remove-1",
            "IST0154 EnvoyFilter bookinfo/test-remove-2",
            "IST0154 EnvoyFilter bookinfo/test-remove-3",
            "IST0151 EnvoyFilter bookinfo/test-remove-5",
        ],
    ),
    (
        &["telemetry-invalid-provider"],
        "telemetry.ProviderAnalyzer",
        &["IST0157 Telemetry istio-system/mesh-default"],
    ),
    (&["telemetry-disable-provider"], "telemetry.ProviderAnalyzer", &[]),
    (
        &["telemetry-selector"],
        "telemetry.SelectorAnalyzer",
        &[
            "IST0101 Telemetry maps-to-nonexistent",
            "IST0101 Telemetry other/maps-to-different-ns",
            "IST0159 Telemetry dupe-1",
            "IST0159 Telemetry dupe-2",
            "IST0159 Telemetry overlap-1",
            "IST0159 Telemetry overlap-2",
        ],
    ),
    (
        &["telemetry-default-selector"],
        "telemetry.DefaultSelectorAnalyzer",
        &["IST0160 Telemetry ns2/has-conflict-2", "IST0160 Telemetry ns2/has-conflict-1"],
    ),
    (
        &["telemetry-lightstep", "mesh:telemetry-lightstep-meshconfig"],
        "telemetry.LightstepAnalyzer",
        &["IST0002 Telemetry istio-system/mesh-default"],
    ),
    (
        &["k8sgateway-selector"],
        "k8sgateway.SelectorAnalyzer",
        &[
            "IST0166 RequestAuthentication ra-ineffective",
            "IST0166 AuthorizationPolicy ap-ineffective",
            "IST0166 WasmPlugin wasmplugin-ineffective",
            "IST0166 Telemetry telemetry-ineffective",
        ],
    ),
    (
        &["condition-analyzer"],
        "conditions.ConditionAnalyzer",
        &[
            "IST0171 Service negative-condition-svc",
            "IST0171 ServiceEntry negative-condition-svcEntry",
            "IST0171 AuthorizationPolicy negative-condition-authz",
            "IST0171 Gateway negative-condition-gateway",
            "IST0171 HTTPRoute negative-condition-httproute",
            "IST0171 GRPCRoute negative-condition-grpcroute",
            "IST0171 AuthorizationPolicy negative-condition-authz-partially-invalid",
        ],
    ),
    (
        &["destinationrule-with-fake-host"],
        "destinationrule.PodNotSelectedAnalyzer",
        &["IST0174 DestinationRule fake-host"],
    ),
    (
        &["destinationrule-subsets-not-select-pods"],
        "destinationrule.PodNotSelectedAnalyzer",
        &["IST0173 DestinationRule subsets-not-select-pods"],
    ),
    (
        &["destinationrule-subsets-with-topology-labels"],
        "destinationrule.PodNotSelectedAnalyzer",
        &[],
    ),
    (
        &["destinationrule-empty-topology-labels"],
        "destinationrule.PodNotSelectedAnalyzer",
        &["IST0173 DestinationRule empty-topology-labels"],
    ),
];

#[test]
fn istios_own_data_gives_istios_findings() {
    let Some(folder) = inputs(FOLDER) else { return };
    let mut wrong = Vec::new();
    for (files, rule, expected) in CASES {
        let mut expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        expected.sort();
        let found = told(&folder, files, rule);
        if found != expected {
            let missing: Vec<_> = expected.iter().filter(|line| !found.contains(line)).collect();
            let extra: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
            wrong.push(format!(
                "{files:?} {rule}: missing {missing:?}, extra {extra:?}, {} of {}",
                found.len(),
                expected.len()
            ));
        }
    }
    assert_eq!(wrong, [""; 0], "{} of {} cases differ", wrong.len(), CASES.len());
}
