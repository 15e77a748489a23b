//! The mesh's own settings: `meshConfig`, as it stands in the `ConfigMap` `istio`.
//!
//! Source: Istio API `mesh/v1alpha1/config.proto`; istio/istio `pkg/config/mesh/mesh.go`
//! (`DefaultMeshConfig`: `ALLOW_ANY`, autoMTLS, locality balancing on, connect timeout 10 s).
//! Left out: addresses, certificates, discovery selectors, and providers beyond their names.

use crate::manifest::findings::Findings;
use crate::manifest::istio::balancer::LocalityBalancing;
use crate::manifest::istio::check;
use crate::manifest::istio::resilience::Retries;
use crate::manifest::node::Node;
use crate::manifest::reader::Reader;
use crate::manifest::source::{At, Sources};

/// Settings of the whole mesh.
#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct MeshConfig {
    /// Where it stands; none if there is no `ConfigMap`.
    pub at: Option<At>,
    /// The namespace whose objects count for the whole mesh.
    pub root_namespace: String,
    /// Whether unknown hosts are reached (`ALLOW_ANY`).
    pub allow_any: bool,
    /// Where that is set.
    pub allow_any_at: Option<At>,
    /// Whether sidecars use mutual TLS with those who can.
    pub auto_mtls: bool,
    /// How requests are tried again where no rule says so.
    pub retries: Option<Retries>,
    /// How long a connection may take to open.
    pub connect_timeout_ns: u64,
    /// Whether HTTP/1.1 is upgraded to HTTP/2 between proxies.
    pub h2_upgrade: bool,
    /// How localities count.
    pub locality: LocalityBalancing,
    /// Where accesses are logged; empty: nowhere.
    pub access_log_file: String,
    /// The trust domain.
    pub trust_domain: String,
    /// `exportTo` of virtual services that have none.
    pub default_virtual_service_export: Vec<String>,
    /// `exportTo` of destination rules that have none.
    pub default_destination_rule_export: Vec<String>,
    /// `exportTo` of services that have none.
    pub default_service_export: Vec<String>,
    /// Names of extension providers.
    pub providers: Vec<String>,
    /// Those of them that are Lightstep's, which is no longer supported.
    pub lightstep: Vec<String>,
    /// Whether service entries get addresses by themselves (`ISTIO_META_DNS_AUTO_ALLOCATE`).
    pub dns_auto_allocate: bool,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            at: None,
            root_namespace: "istio-system".to_owned(),
            allow_any: true,
            allow_any_at: None,
            auto_mtls: true,
            retries: None,
            connect_timeout_ns: 10_000_000_000,
            h2_upgrade: false,
            locality: LocalityBalancing::default(),
            access_log_file: String::new(),
            trust_domain: "cluster.local".to_owned(),
            default_virtual_service_export: Vec::new(),
            default_destination_rule_export: Vec::new(),
            default_service_export: Vec::new(),
            providers: Vec::new(),
            lightstep: Vec::new(),
            dns_auto_allocate: false,
        }
    }
}

impl MeshConfig {
    /// Reads the tree of `data.mesh`.
    pub fn of(node: &Node, sources: &Sources, findings: &mut Findings) -> Self {
        let mut reader = Reader::new(node, "meshConfig".to_owned(), sources, findings);
        let config = Self::read(&mut reader);
        // New releases add fields; none of the others changes what is simulated.
        reader.pass_all();
        reader.finish();
        config
    }

    fn read(reader: &mut Reader<'_, '_>) -> Self {
        let default = Self::default();
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let policy = reader.map("outboundTrafficPolicy", |policy| {
            let modes = [("ALLOW_ANY", true), ("REGISTRY_ONLY", false)];
            (policy.one_of("mode", &modes), policy.at_field("mode"))
        });
        let upgrade = [("DO_NOT_UPGRADE", false), ("UPGRADE", true), ("DEFAULT", false)];
        let mut lightstep = Vec::new();
        let providers = reader.list("extensionProviders", |provider| {
            provider.pass_all();
            let name = provider.text("name");
            if provider.has("lightstep") {
                lightstep.extend(name.clone());
            }
            name
        });
        let dns = reader.map("defaultConfig", |config| {
            config.pass_all();
            config.map("proxyMetadata", |metadata| {
                metadata.pass_all();
                let node = metadata.raw("ISTIO_META_DNS_AUTO_ALLOCATE")?;
                Some(
                    node.text() == Some("true")
                        || matches!(node.value, crate::manifest::node::Value::Bool(true)),
                )
            })
        });
        Self {
            at: Some(reader.at()),
            root_namespace: filled(reader.text("rootNamespace")).unwrap_or(default.root_namespace),
            allow_any: policy.and_then(|(mode, _)| mode).unwrap_or(true),
            allow_any_at: policy.map(|(_, at)| at),
            auto_mtls: reader.bool("enableAutoMtls").unwrap_or(true),
            retries: reader.map("defaultHttpRetryPolicy", Retries::read),
            connect_timeout_ns: check::some_duration(reader, "connectTimeout")
                .unwrap_or(default.connect_timeout_ns),
            h2_upgrade: reader.one_of("h2UpgradePolicy", &upgrade).unwrap_or(false),
            locality: reader.map("localityLbSetting", LocalityBalancing::read).unwrap_or_default(),
            access_log_file: reader.text("accessLogFile").unwrap_or_default(),
            trust_domain: filled(reader.text("trustDomain")).unwrap_or(default.trust_domain),
            default_virtual_service_export: reader.texts("defaultVirtualServiceExportTo"),
            default_destination_rule_export: reader.texts("defaultDestinationRuleExportTo"),
            default_service_export: reader.texts("defaultServiceExportTo"),
            providers: providers.into_iter().flatten().collect(),
            lightstep,
            dns_auto_allocate: dns.flatten().flatten().unwrap_or(false),
        }
    }
}
