//! What annotations of a Service or an `EgressNetwork` say of the requests that go there.
//!
//! Source: linkerd2 `policy-controller/k8s/index/src/outbound/index.rs`: each group that does not parse
//! is left out as a whole; a namespace's opaque ports are copied to its Services by the injector
//! (`controller/proxy-injector/webhook.go`).
//! Left out: `appProtocol`s are the ports' own ([`crate::manifest::linkerd::outbound`] reads them).

use crate::manifest::findings::Findings;
use crate::manifest::linkerd::annotation::{self, Annotations};
use crate::manifest::linkerd::ports::Ports;
use crate::manifest::linkerd::traffic::{self, Accrual, Fault, Penalty, Retry, Timeouts};
use crate::manifest::source::{At, Sources};

/// What annotations say.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TrafficPolicy {
    /// How long things may take, where a route says nothing.
    pub timeouts: Timeouts,
    /// What is retried, where a route says nothing.
    pub http_retry: Option<Retry>,
    /// The same for gRPC.
    pub grpc_retry: Option<Retry>,
    /// When an endpoint is taken out.
    pub accrual: Option<Accrual>,
    /// Whether failures make an endpoint look slow.
    pub penalty: Option<Penalty>,
    /// Ports that are opaque bytes; none if the cluster's default holds.
    pub opaque_ports: Option<(Ports, At)>,
}

impl TrafficPolicy {
    /// Reads the annotations of an object of a kind; what does not parse is a warning.
    pub fn read(
        annotations: &Annotations<'_>,
        kind: &str,
        sources: &Sources,
        findings: &mut Findings,
    ) -> Self {
        let mut told: Vec<At> = Vec::new();
        let mut dropped = |group: &str, (at, what): Fault| {
            if !told.contains(&at) {
                let hint =
                    format!("Linkerd logs this and goes without all `{group}` of the {kind}");
                findings.warning(sources, at, what, &hint);
                told.push(at);
            }
        };
        let timeouts = traffic::timeouts(annotations).unwrap_or_else(|fault| {
            dropped("timeout.linkerd.io", fault);
            None
        });
        let mut retry = |retry: Result<Option<Retry>, Fault>| {
            retry.unwrap_or_else(|fault| {
                dropped("retry.linkerd.io", fault);
                None
            })
        };
        let http_retry = retry(traffic::http_retry(annotations));
        let grpc_retry = retry(traffic::grpc_retry(annotations));
        let accrual = traffic::accrual(annotations).unwrap_or_else(|fault| {
            dropped("failure-accrual", fault);
            None
        });
        let penalty = traffic::penalty(annotations).unwrap_or_else(|fault| {
            dropped("load-biaser", fault);
            None
        });
        Self {
            timeouts: timeouts.unwrap_or_default(),
            http_retry,
            grpc_retry,
            accrual,
            penalty,
            opaque_ports: annotation::ports(annotations, "config.linkerd.io/opaque-ports"),
        }
    }
}
