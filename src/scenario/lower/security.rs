//! What proxies accept (`peer_authentication`) and what their clients do (`tls`).
//!
//! Source: Istio's `PeerAuthentication`, of which the narrowest holds: workload, service, mesh; and `trafficPolicy.tls` of its
//! `DestinationRule`.
//! Left out: ports; `MUTUAL` with files.

use super::super::document::{At, Node};
use super::action::{Done, words};
use super::{Lower, id};
use crate::plan::timeline::Action;
use crate::plan::tls::{ClientCertificate, ClientTls, ServerTls, Tls};
use crate::plan::universe::{ClusterId, Role, WorkloadId};

const PEERS: &str = "peer_authentication";

impl<'d> Lower<'_, '_, 'd> {
    /// All that the file says of TLS.
    pub(super) fn security(&mut self) -> Tls {
        let root: &'d Node = self.root;
        let mesh = root.get("mesh").and_then(|mesh| mesh.get(PEERS));
        self.needs_a_mesh(mesh, PEERS);
        let mut tls = Tls::default();
        for (index, draft) in self.drafts.clone().into_iter().enumerate() {
            let Some((service, node)) = draft else { continue };
            let table = self.service_nodes[service.index()];
            let own = node.get(PEERS).or(table.get(PEERS));
            if !self.needs_a_mesh(own, PEERS) {
                self.needs_a_sidecar(own, &self.universe.workloads[index].app.clone(), index);
            }
            let listener = table.get("server_tls");
            let mode = match listener.and_then(Node::as_text) {
                Some(word) => Some(self.listener_tls(own, listener, word)),
                None => own.or(mesh).and_then(Node::as_text).map(server),
            };
            if let Some(mode) = mode.filter(|mode| *mode != ServerTls::Permissive) {
                tls.servers.insert(WorkloadId(id(index)), mode);
            }
        }
        for (index, cluster) in self.universe.clusters.clone().into_iter().enumerate() {
            let given = self.service_nodes[cluster.service.index()].get("tls");
            self.needs_a_mesh(given, "tls");
            let mode = match given.and_then(Node::as_text) {
                Some("disable") => ClientTls::Disabled,
                Some("istio_mutual") => ClientTls::Mutual,
                Some("simple") => ClientTls::Simple,
                _ => continue,
            };
            tls.clients.insert(ClusterId(id(index)), mode);
        }
        tls
    }

    /// What an event says of what proxies accept.
    pub(super) fn peer_authentication(&mut self, table: &Node, target: Option<(At, &str)>) -> Done {
        let node = table.get("mode")?;
        let text = node.as_text()?;
        self.needs_a_mesh(Some(node), PEERS);
        let workloads = if let Some((at, name)) = target {
            self.service_or_version(at, name)?.1
        } else {
            let all = self.universe.workloads.iter().zip(0..);
            let apps = all.filter(|(one, _)| one.role == Role::App);
            apps.map(|(_, index)| WorkloadId(index)).collect()
        };
        if let Some((at, name)) = target
            && !workloads.iter().any(|one| self.universe.workloads[one.index()].meshed)
        {
            let what = format!("`{name}` has no sidecars, which would ask for anything");
            self.report(at, what, "leave the event out, or `meshed = false`");
        }
        let whom = target.map_or("the mesh".to_owned(), |(_, name)| words(name));
        let label = match text {
            "strict" => format!("{whom} takes mutual TLS only"),
            "disable" => format!("{whom} takes plaintext only"),
            _ => format!("{whom} takes mutual TLS and plaintext"),
        };
        Some((Action::PeerAuthentication { workloads, mode: server(text) }, label))
    }

    /// A listener that speaks TLS only.
    fn listener_tls(
        &mut self,
        own: Option<&Node>,
        listener: Option<&Node>,
        word: &str,
    ) -> ServerTls {
        self.needs_a_mesh(listener, "server_tls");
        if let Some(own) = own {
            let what = "`peer_authentication` and `server_tls` exclude each other";
            self.report(own.at, what, "keep one of them");
        }
        ServerTls::Listener(match word {
            "optional_mutual" => ClientCertificate::Optional,
            "simple" => ClientCertificate::Unasked,
            _ => ClientCertificate::Required,
        })
    }

    /// Reports a key that needs proxies where there are none; whether it did.
    pub(super) fn needs_a_mesh(&mut self, node: Option<&Node>, key: &str) -> bool {
        let Some(node) = node.filter(|_| self.profile == "none") else { return false };
        let what = format!("`{key}` means nothing without a mesh");
        self.report(node.at, what, "the profile `none` has no proxies");
        true
    }

    fn needs_a_sidecar(&mut self, node: Option<&Node>, service: &str, index: usize) {
        let is_meshed = self.universe.workloads[index].meshed;
        let Some(node) = node.filter(|_| !is_meshed) else { return };
        let what = format!("`{service}` has no sidecars, which would ask for anything");
        self.report(node.at, what, "leave `peer_authentication` out, or `meshed = false`");
    }
}

fn server(word: &str) -> ServerTls {
    match word {
        "strict" => ServerTls::Strict,
        "disable" => ServerTls::Disabled,
        _ => ServerTls::Permissive,
    }
}
