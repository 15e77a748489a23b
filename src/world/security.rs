//! TLS as proxies have it now: what the two ends of a connection bring to its handshake.
//!
//! Most meshes say nothing of TLS: then proxies speak mutual TLS with each other, and everything else
//! is in the clear. What is said stands in the plan, and events change it. A change of what a context is
//! made of is a new context, which knows no old sessions; the connections that are open keep theirs.
//!
//! Source: `model::identity::handshake`; Istio's automatic mTLS looks at the endpoint's sidecar and at its
//! `PeerAuthentication` (reference: istio `pilot/pkg/networking/core/cluster_tls.go:406`); Envoy's in-place
//! filter chain update drains the connections of chains that are gone.
//! Left out: the push of a changed `PeerAuthentication`, which counts at once; the end of the drain (45 s),
//! since a connection that hears no request is then closed without anybody's noticing.

use super::World;
use super::state::{Connection, Link};
use crate::kernel::slab::Id;
use crate::kernel::time::{Duration, Time};
use crate::model::identity::certificate::Leaf;
use crate::model::identity::handshake::{Client, Meeting, Plaintext, Server};
use crate::model::identity::ticket::{Parties, Ticket};
use crate::model::identity::verification::{Flaw, flaw, version};
use crate::plan::Plan;
use crate::plan::behaviour::Reply;
use crate::plan::policy::Protocol;
use crate::plan::timeline::Action;
use crate::plan::tls::ClientCertificate::{self, Required, Unasked};
use crate::plan::tls::{ClientContext, ClientTls, KeyType, ServerContext, ServerTls};
use crate::plan::tls::{TlsContext, TlsVersion};
use crate::plan::universe::{ClusterId, WorkloadId};
use crate::vocabulary::cause::CauseId;
use crate::vocabulary::transport::TransportFailure;
use std::collections::BTreeMap;

/// What is said of TLS, and counts now.
pub(super) struct Security {
    /// Nothing is said.
    is_automatic: bool,
    /// With the number of their contexts.
    clients: BTreeMap<ClusterId, (ClientTls, u32)>,
    servers: BTreeMap<WorkloadId, (ServerTls, u32)>,
    /// What made a workload accept what it does.
    causes: BTreeMap<WorkloadId, CauseId>,
}

impl Security {
    pub(super) fn new(plan: &Plan) -> Self {
        let (clients, servers) = (&plan.tls.clients, &plan.tls.servers);
        Self {
            is_automatic: plan.tls.is_empty(),
            clients: clients.iter().map(|(id, one)| (*id, (one.clone(), 0))).collect(),
            servers: servers.iter().map(|(id, one)| (*id, (one.clone(), 0))).collect(),
            causes: BTreeMap::new(),
        }
    }

    fn client(&self, cluster: ClusterId) -> (&ClientTls, u32) {
        self.clients
            .get(&cluster)
            .map_or((&ClientTls::Automatic, 0), |(tls, generation)| (tls, *generation))
    }

    /// What the proxies of a workload take.
    pub(super) fn server_mode(&self, workload: WorkloadId) -> &ServerTls {
        self.server(workload).0
    }

    fn server(&self, workload: WorkloadId) -> (&ServerTls, u32) {
        self.servers
            .get(&workload)
            .map_or((&ServerTls::Permissive, 0), |(tls, generation)| (tls, *generation))
    }

    /// What made a workload accept what it does, if an event did.
    pub(super) fn cause(&self, workload: WorkloadId) -> Option<CauseId> {
        self.causes.get(&workload).copied()
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    /// The client's pod.
    pub client: u32,
    pub cluster: ClusterId,
    /// The server's pod.
    pub server: u32,
}

/// What a client does with this endpoint.
enum Asks<'a> {
    Plaintext,
    Mesh(Option<&'a Leaf>),
    Anonymous,
    Own(&'a ClientContext, u32),
}

/// What a server takes.
enum Takes<'a> {
    Plaintext,
    Mesh(Option<&'a Leaf>, Plaintext, ClientCertificate),
    Own(&'a ServerContext, u32),
}

/// What a handshake takes.
pub(super) struct Cost {
    pub client: Duration,
    pub server: Duration,
    pub round_trips: u32,
}

impl World<'_> {
    pub(super) fn ends(&self, connection: &Connection) -> Ends {
        let upstream = &self.upstreams[connection.upstream as usize];
        Ends { client: upstream.pod, cluster: upstream.cluster, server: connection.pod }
    }

    fn asks(&self, ends: Ends) -> Asks<'_> {
        let (ours, theirs) = (&self.pods[ends.client as usize], &self.pods[ends.server as usize]);
        if self.security.is_automatic {
            let is_mutual = ours.is_meshed && theirs.is_meshed;
            return if is_mutual { Asks::Mesh(self.leaf_of(ends.client)) } else { Asks::Plaintext };
        }
        match self.security.client(ends.cluster) {
            (ClientTls::Own(context), generation) => Asks::Own(context, generation),
            (ClientTls::Mutual, _) if ours.is_meshed => Asks::Mesh(self.leaf_of(ends.client)),
            (ClientTls::Simple, _) if ours.is_meshed => Asks::Anonymous,
            (ClientTls::Automatic, _)
                if ours.is_meshed && matches!(self.takes(ends), Takes::Mesh(..)) =>
            {
                Asks::Mesh(self.leaf_of(ends.client))
            }
            _ => Asks::Plaintext,
        }
    }

    fn takes(&self, ends: Ends) -> Takes<'_> {
        let pod = &self.pods[ends.server as usize];
        let (mode, generation) = self.security.server(pod.workload);
        let of_mesh = |plaintext, asked| Takes::Mesh(self.leaf_of(ends.server), plaintext, asked);
        match mode {
            ServerTls::Own(context) => Takes::Own(context, generation),
            ServerTls::Permissive if pod.is_meshed => of_mesh(Plaintext::Taken, Required),
            ServerTls::Strict if pod.is_meshed => of_mesh(Plaintext::Unmatched, Required),
            ServerTls::Listener(asked) if pod.is_meshed => of_mesh(Plaintext::Misread, *asked),
            _ => Takes::Plaintext,
        }
    }

    /// Whether they speak the mesh's mutual TLS, so that each knows who the other is.
    pub(super) fn is_mutual(&self, ends: Ends) -> bool {
        matches!((self.asks(ends), self.takes(ends)), (Asks::Mesh(_), Takes::Mesh(..)))
    }

    /// The handshake of the two at an instant, by what they have now.
    pub(super) fn meeting(&self, ends: Ends, at: Time, resumed: bool) -> Meeting {
        let (asks, takes) = (self.asks(ends), self.takes(ends));
        let tls = &self.plan.tls;
        // What one side trusts of its own and the other has from the mesh do not go together.
        let look = |context: &TlsContext, by: Option<&TlsContext>| match (context.certificate, by) {
            (Some(certificate), Some(by)) => flaw(tls, at, certificate, by),
            _ => Some(Flaw::UnknownIssuer),
        };
        let client = match (&asks, &takes) {
            (Asks::Plaintext, _) => {
                let policy = &self.plan.universe.clusters[ends.cluster.index()].policy;
                Client::Plaintext { is_h2: policy.pool.protocol == Protocol::Http2 }
            }
            (Asks::Mesh(None), _) => Client::NoSecret,
            (Asks::Mesh(Some(_)), Takes::Own(..)) => Client::Certified(Some(Flaw::UnknownIssuer)),
            (Asks::Mesh(Some(_)), Takes::Mesh(_, _, Unasked)) => Client::Certified(None),
            (Asks::Mesh(Some(_)), _) => {
                Client::Certified(self.found(ends.client, ends.server, true, at))
            }
            (Asks::Anonymous, _) => Client::Anonymous,
            (Asks::Own(own, _), _) if own.context.certificate.is_none() => Client::Anonymous,
            (Asks::Own(own, _), Takes::Own(by, _)) => {
                let is_asked = by.requires_client || !by.context.trusted.is_empty();
                let found = look(&own.context, Some(&by.context));
                Client::Certified(found.filter(|_| is_asked))
            }
            (Asks::Own(..), _) => Client::Certified(Some(Flaw::UnknownIssuer)),
        };
        let server = match (&takes, &asks) {
            (Takes::Mesh(None, ..), _) => Server::NoSecret,
            // The filter chain for mutual TLS asks for Istio's ALPN, which this client has not: it comes to the one
            // for plaintext.
            (Takes::Plaintext, _)
            | (Takes::Mesh(Some(_), Plaintext::Taken, _), Asks::Anonymous) => Server::Plaintext,
            (Takes::Mesh(Some(_), plaintext, asked), asks) => Server::Tls {
                flaw: match asks {
                    Asks::Own(..) => Some(Flaw::UnknownIssuer),
                    _ => self.found(ends.server, ends.client, false, at),
                },
                requires_client: *asked == Required,
                plaintext: *plaintext,
            },
            (Takes::Own(own, _), asks) => Server::Tls {
                flaw: match asks {
                    Asks::Own(by, _) => look(&own.context, Some(&by.context)),
                    _ => look(&own.context, None),
                },
                requires_client: own.requires_client,
                plaintext: Plaintext::Misread,
            },
        };
        Meeting { client, server, version: self.version_of(ends, &asks, &takes), resumed }
    }

    fn version_of(&self, ends: Ends, asks: &Asks<'_>, takes: &Takes<'_>) -> Option<TlsVersion> {
        match (asks, takes) {
            (Asks::Own(own, _), Takes::Own(by, _)) => version(&own.context, &by.context),
            (Asks::Plaintext, _) | (_, Takes::Plaintext) => Some(TlsVersion::Tls13),
            _ => self.versions_of(ends.client).common(self.versions_of(ends.server)),
        }
    }

    /// Whether a handshake is never answered: it is sent to an app that speaks in the clear, waits for a
    /// request, and answers none, so that nothing tells its client that it is no server of TLS.
    #[cold]
    pub(super) fn hears_no_handshake(&self, ends: Ends) -> bool {
        let pod = &self.pods[ends.server as usize];
        let reply = self.workloads[pod.workload.index()].behaviour.reply;
        matches!(reply, Reply::Never | Reply::Closes | Reply::Resets)
            && !matches!(self.asks(ends), Asks::Plaintext)
            && matches!(self.takes(ends), Takes::Plaintext)
            && !pod.is_meshed
    }

    /// Between whom a session of these two would hold; none if they keep none.
    pub(super) fn parties(&self, ends: Ends) -> Option<Parties> {
        let server = &self.pods[ends.server as usize];
        let endpoint = ends.server;
        match (self.asks(ends), self.takes(ends)) {
            (Asks::Mesh(ours), Takes::Mesh(Some(theirs), ..)) => {
                let is_on = self.plan.parameters.cert.session_resumption;
                let versions = self.versions_of(ends.client);
                let version = versions.common(self.versions_of(ends.server))?;
                let of_client = |leaf| self.context_of(ends.client, leaf);
                is_on.then_some(Parties {
                    version,
                    endpoint,
                    server_generation: self.context_of(ends.server, theirs),
                    client_generation: ours.map_or(0, of_client),
                })
            }
            (Asks::Own(own, client_generation), Takes::Own(by, generation)) => {
                let version = version(&own.context, &by.context)?;
                let server_keeps = by.stateless || (by.stateful && version == TlsVersion::Tls12);
                (own.resumes && server_keeps).then_some(Parties {
                    version,
                    endpoint,
                    // A process that starts again has new keys for its tickets.
                    server_generation: generation + (server.birth << 16),
                    client_generation,
                })
            }
            _ => None,
        }
    }

    /// A client keeps the session of its last handshake.
    pub(super) fn keep_ticket(&mut self, id: Id<Connection>) {
        let connection = self.connections[id];
        let Some(parties) = self.parties(self.ends(&connection)) else { return };
        let full = connection.resumed.unwrap_or(self.now);
        let session = &mut self.upstreams[connection.upstream as usize].session;
        Ticket::store(session, self.now, parties, full);
    }

    /// What a handshake costs both sides; none if the client speaks in the clear.
    pub(super) fn handshake_cost(&self, ends: Ends, resumed: bool) -> Option<Cost> {
        let proxy = &self.plan.parameters.proxy;
        let full = self.plan.parameters.handshake();
        let of_mesh = if resumed { proxy.handshake_resumed } else { full };
        let of = |context: &TlsContext| {
            let certificate = context.certificate.map(|id| id.0 as usize);
            let key = certificate.map(|index| self.plan.tls.certificates[index].key);
            // No signature is made in a resumed one, whatever the key.
            if resumed {
                proxy.handshake_resumed
            } else {
                key.unwrap_or(KeyType::EcP256).handshake()
            }
        };
        let (asks, takes) = (self.asks(ends), self.takes(ends));
        let of_pod = |pod| match self.key_of(pod) {
            Some(key) if !resumed => key.handshake(),
            _ => of_mesh,
        };
        let client = match &asks {
            Asks::Plaintext => return None,
            Asks::Mesh(_) => of_pod(ends.client),
            Asks::Anonymous => of_mesh,
            Asks::Own(own, _) => of(&own.context),
        };
        let server = match &takes {
            Takes::Plaintext => {
                return Some(Cost {
                    client: Duration::ZERO,
                    server: Duration::ZERO,
                    round_trips: 1,
                });
            }
            Takes::Mesh(..) => of_pod(ends.server),
            Takes::Own(own, _) => of(&own.context),
        };
        let is_long = self.version_of(ends, &asks, &takes) == Some(TlsVersion::Tls12) && !resumed;
        Some(Cost { client, server, round_trips: if is_long { 2 } else { 1 } })
    }

    // === changes ===

    /// What is said of TLS has changed: the plan's word, and over it that of the events in force.
    pub(super) fn tell_security(&mut self) {
        let mut next = Security::new(self.plan);
        for (action, cause) in self.in_force() {
            match action {
                Action::PeerAuthentication { workloads, mode } => {
                    for workload in workloads {
                        next.servers.insert(*workload, (mode.clone(), 0));
                        cause.map(|cause| next.causes.insert(*workload, cause));
                    }
                }
                Action::RotateSecret { clusters, workloads, secret } => {
                    for cluster in clusters {
                        if let Some((ClientTls::Own(own), _)) = next.clients.get_mut(cluster) {
                            own.context.rotate(secret);
                        }
                    }
                    for workload in workloads {
                        if let Some((ServerTls::Own(own), _)) = next.servers.get_mut(workload) {
                            own.context.rotate(secret);
                        }
                    }
                }
                _ => {}
            }
        }
        next.is_automatic = next.clients.is_empty() && next.servers.is_empty();
        for (cluster, (tls, generation)) in &mut next.clients {
            let (before, number) = self.security.client(*cluster);
            *generation = number + u32::from(tls != before);
        }
        for (workload, (tls, generation)) in &mut next.servers {
            let (before, number) = self.security.server(*workload);
            *generation = number + u32::from(tls != before);
        }
        self.security = next;
    }

    /// Workloads accept something else: connections of a kind that is taken no more are drained.
    pub(super) fn tell_peer_authentication(&mut self, workloads: &[WorkloadId]) {
        self.tell_security();
        for workload in workloads {
            let drains_encrypted = match self.security.server(*workload).0 {
                ServerTls::Strict => false,
                ServerTls::Disabled => true,
                ServerTls::Permissive | ServerTls::Listener(_) | ServerTls::Own(_) => continue,
            };
            for pod in self.workloads[workload.index()].members.all() {
                for id in self.pods[pod as usize].serving.clone() {
                    let connection = &mut self.connections[id];
                    let is_open = connection.link == Link::Open;
                    if is_open && connection.is_encrypted == drains_encrypted {
                        self.drain_connection(id);
                    }
                }
            }
        }
    }

    /// The proxy of a pod logs why a handshake failed.
    pub(super) fn log_transport(&mut self, server: u32, failure: Option<TransportFailure>) {
        let workload = self.pods[server as usize].workload;
        if let (Some(log), Some(failure)) = (&mut self.access, failure) {
            *log.server_failures.entry((workload, failure)).or_default() += 1;
        }
    }
}
