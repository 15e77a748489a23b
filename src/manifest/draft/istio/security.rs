//! `PeerAuthentication` in the places where a scenario has it: the mesh, a service, a workload.
//!
//! What counts for a workload at its port is decided as Istio does, and written at the widest place that is right.
//! Source: `istio::security::server_mode`; docs/scenarios.md (`peer_authentication`).
//! Left out: modes of ports that are not the service's own.

use super::services::main_port;
use super::{Work, has_sidecar};
use crate::manifest::draft::value::Value;
use crate::manifest::istio::authentication::MtlsMode;
use crate::manifest::istio::security;
use crate::manifest::kubernetes::workload::Workload;
use crate::manifest::source::At;
use std::collections::BTreeSet;

type Mode = (MtlsMode, Option<At>);

fn word((mode, at): Mode) -> Value {
    let word = match mode {
        MtlsMode::Strict => "strict",
        MtlsMode::Disable => "disable",
        MtlsMode::Permissive | MtlsMode::Unset => "permissive",
    };
    Value::text(word).at_some(at)
}

impl Work<'_, '_> {
    /// The modes of all.
    pub(super) fn peer_authentication(&mut self) {
        let istio = self.mesh.istio;
        if istio.peer_authentications.is_empty() {
            return;
        }
        let root = &istio.mesh.root_namespace;
        let mut all = istio.peer_authentications.iter();
        let of_mesh = all.find(|one| one.head.namespace == *root && !one.is_for_pods());
        let of_mesh = of_mesh.filter(|one| one.mode != MtlsMode::Unset);
        let mesh =
            of_mesh.map_or((MtlsMode::Permissive, None), |one| (one.mode, Some(one.mode_at)));
        if mesh.1.is_some() {
            self.draft.settings.set("peer_authentication", word(mesh));
        }
        let mut ports: BTreeSet<u16> = BTreeSet::new();
        for index in 0..self.draft.services.len() {
            let modes = self.modes_of(index, &mut ports);
            let service = &mut self.draft.services[index];
            let Some(first) = modes.iter().flatten().next().copied() else { continue };
            let is_same = modes.iter().flatten().all(|(mode, _)| *mode == first.0);
            if is_same {
                if first.0 != mesh.0 {
                    service.table.set("peer_authentication", word(first));
                }
                continue;
            }
            for (workload, mode) in service.workloads.iter_mut().zip(&modes) {
                if let Some(mode) = mode.filter(|mode| mode.0 != mesh.0) {
                    workload.table.set("peer_authentication", word(mode));
                }
            }
        }
        for policy in &istio.peer_authentications {
            self.used("PeerAuthentication", &policy.head);
            for (number, _, at) in &policy.ports {
                if !ports.contains(number) {
                    let why = "a workload has one port, that of its service";
                    self.draft.ignore("PeerAuthentication.spec.portLevelMtls", *at, why);
                }
            }
        }
    }

    /// The mode of each workload of a service at its port; none of those without a sidecar.
    fn modes_of(&self, index: usize, ports: &mut BTreeSet<u16>) -> Vec<Option<Mode>> {
        let service = &self.draft.services[index];
        let known = self.known_of(index);
        let port = known.and_then(main_port);
        let key = service.key.as_ref();
        let kubernetes = key.and_then(|(ns, name)| self.mesh.cluster.service(ns, name));
        let target = kubernetes.zip(port).and_then(|(one, port)| one.port(port));
        let mode = |workload: &Workload| {
            let number = target.and_then(|port| workload.port_number(&port.target));
            let number = number.or(port).unwrap_or(0);
            ports.insert(number);
            security::server_mode(&self.mesh, &workload.namespace, &workload.labels, number)
        };
        let mut mode = mode;
        let all = service.workloads.iter().map(|one| {
            let workload = self.workload(&one.key)?;
            has_sidecar(service, one).then(|| mode(workload))
        });
        all.collect()
    }

    /// The workload of Kubernetes that one of a draft is.
    pub(super) fn workload(&self, key: &(String, String)) -> Option<&Workload> {
        self.mesh.cluster.workload(&key.0, &key.1)
    }
}
