//! TLS: certificates, what proxies' clusters and listeners show and want, and secrets that change.
//!
//! Source: the schema `envoy-lab/2`; Envoy 1.40's defaults, where a key is absent.
//! Left out: what the entry's listener with TLS counts of clients that speak in the clear (`load`).

use super::super::schema::config::{Config, Tls as Given};
use super::super::schema::step::{Secret as Replaced, Step, Verb};
use super::super::schema::words::{KeyKind, TlsVersion as Word};
use super::{Ids, at, discovery, number};
use crate::kernel::time::Time;
use crate::plan::timeline::Action;
use crate::plan::tls::{Certificate, CertificateId, ClientContext, ClientTls, KeyType, Secret};
use crate::plan::tls::{ServerContext, ServerTls, Tls, TlsContext, TlsVersion};
use std::collections::{BTreeMap, BTreeSet};

/// Certificates by name, those among them that are named and not described.
struct Names(BTreeMap<String, CertificateId>);

impl Names {
    fn new(config: &Config) -> Self {
        let told = config.steps.iter().filter_map(|step| match &step.verb {
            Verb::CdsAdd(cluster) | Verb::CdsModify { set: cluster, .. } => cluster.tls.as_ref(),
            _ => None,
        });
        let contexts = config.proxies.iter().flat_map(|proxy| {
            let clusters = proxy.clusters.iter().filter_map(|cluster| cluster.tls.as_ref());
            proxy.listener.tls.iter().chain(clusters)
        });
        let named =
            contexts.chain(told).flat_map(|tls| tls.certificate.iter().chain(&tls.trusted_ca));
        let described = config.certificates.iter();
        let described = described.flat_map(|one| [Some(&one.name), one.issuer.as_ref()]);
        let rotated = config.steps.iter().flat_map(|step| match &step.verb {
            Verb::CertRotate { certificates, .. } => &certificates[..],
            _ => &[],
        });
        let all: BTreeSet<&String> = named.chain(described.flatten()).chain(rotated).collect();
        let number = |(index, name): (usize, &String)| (name.clone(), CertificateId(number(index)));
        Self(all.into_iter().enumerate().map(number).collect())
    }

    fn id(&self, name: &str) -> Option<CertificateId> {
        self.0.get(name).copied()
    }

    fn all(&self, names: &[String]) -> Vec<CertificateId> {
        names.iter().filter_map(|name| self.id(name)).collect()
    }

    fn context(&self, given: &Given) -> TlsContext {
        TlsContext {
            certificate: given.certificate.as_ref().and_then(|name| self.id(name)),
            trusted: self.all(&given.trusted_ca),
            san: given.match_uri_san.clone(),
            version: given.version.map(|word| match word {
                Word::Tls12 => TlsVersion::Tls12,
                Word::Tls13 => TlsVersion::Tls13,
            }),
            rotates: given.sds == Some(true),
        }
    }
}

/// All that a case says of TLS.
pub(super) fn tls(config: &Config, ids: &Ids) -> Tls {
    let names = Names::new(config);
    let mut tls = Tls {
        certificates: names.0.keys().map(|name| certificate(config, &names, name)).collect(),
        ..Tls::default()
    };
    for definition in discovery::definitions(config, ids) {
        let Some(given) = &definition.cluster.tls else { continue };
        let (context, resumes) = (names.context(given), given.max_session_keys != Some(0));
        let own = ClientTls::Own(Box::new(ClientContext { context, resumes }));
        tls.clients.insert(definition.id, own);
    }
    for proxy in &config.proxies {
        if let Some(given) = &proxy.listener.tls {
            let own = ServerContext {
                context: names.context(given),
                requires_client: given.require_client_certificate == Some(true),
                stateless: given.disable_stateless_session_resumption != Some(true),
                stateful: given.disable_stateful_session_resumption != Some(true),
            };
            tls.servers.insert(ids.workload(&proxy.name), ServerTls::Own(Box::new(own)));
        }
    }
    tls
}

/// One of which nothing is known but its name is a root that is always valid.
fn certificate(config: &Config, names: &Names, name: &str) -> Certificate {
    let known = config.certificates.iter().find(|one| one.name == name);
    Certificate {
        name: name.to_owned(),
        issuer: known.and_then(|one| names.id(one.issuer.as_ref()?)),
        san: known.and_then(|one| one.uri_san.clone()),
        key: match known.map(|one| one.key) {
            Some(KeyKind::Rsa2048) => KeyType::Rsa2048,
            _ => KeyType::EcP256,
        },
        not_before: known.map_or(Time::ZERO, |one| at(one.not_before_s.max(0.0))),
        not_after: known.map_or(Time::MAX, |one| at(one.not_after_s.max(0.0))),
    }
}

/// What a rotation does: every context of the proxy that has its secrets by SDS gets the new one.
pub(super) fn rotation(config: &Config, ids: &Ids, step: &Step) -> Option<Action> {
    let Verb::CertRotate { secret, certificates } = &step.verb else { return None };
    let names = Names::new(config);
    let new = names.all(certificates);
    let definitions = discovery::definitions(config, ids);
    let clusters = definitions.iter().filter(|one| one.proxy.name == step.target);
    Some(Action::RotateSecret {
        clusters: clusters.map(|one| one.id).collect(),
        workloads: vec![ids.workload(&step.target)],
        secret: match secret {
            Replaced::Certificate => Secret::Certificate(new.first().copied()),
            Replaced::TrustedCa => Secret::Trusted(new),
        },
    })
}
