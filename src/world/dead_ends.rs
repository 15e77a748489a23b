//! Connections to pods that are gone: who is to blame that somebody still tries.
//!
//! ```text
//! caller ──> pod that is gone <── event that took it
//!    └── its proxy was not told <── istiod is away, slow, or looks at an old view
//! ```
//!
//! Source: ARCHITECTURE.md, "a failed request ends with a cause". Outside the digest.
//! Left out: pods that live and are out of reach, which are blamed on what ails them.

use super::World;
use super::control::XDS;
use super::state::{Life, NONE};
use super::streams::XdsStream;
use crate::kernel::queue::TimerId;
use crate::plan::timeline::Action;
use crate::vocabulary::cause::{CauseId, CauseKind};
use crate::vocabulary::outcome::Details;

impl World<'_> {
    /// The connection was not up in time.
    pub(super) fn connect_timeout(&mut self, slot: u32) {
        let id = self.connections.id_at(slot).expect("the timer of an opening connection");
        self.connections[id].timer = TimerId::NONE;
        let (upstream, server) = (self.connections[id].upstream, self.connections[id].pod);
        let client = self.upstreams[upstream as usize].pod;
        let cause = self.nodes.cause.or_else(|| self.dead_end_cause(client, server));
        self.fail_connection(id, Details::ConnectionTimeout, cause);
    }

    /// Why a connection leads nowhere: what took the pod down; but if the pod is gone, and the caller's
    /// proxy would have been told if istiod were well, it is what ails istiod.
    #[cold]
    pub(super) fn dead_end_cause(&mut self, client: u32, server: u32) -> Option<CauseId> {
        let has_control = client != NONE && server != NONE && !self.control.replicas.is_empty();
        if !has_control || self.pods[server as usize].life != Life::Gone {
            return self.pod_cause(server);
        }
        let owner = self.stream_owner(client);
        let known = self.pods[owner as usize].seen.eds;
        let is_behind = known != 0 && self.proxy_stale_since(owner, known).is_some();
        let ailing = match self.pods[owner as usize].stream {
            XdsStream::Connected(replica) => self.replica_ails(replica),
            _ => self.control.causes[XDS],
        };
        match ailing.filter(|_| is_behind) {
            Some(because) => {
                Some(self.caused(CauseKind::StaleConfiguration, Some(because), || {
                    "proxies still know pods that are gone".to_owned()
                }))
            }
            None => self.pod_cause(server),
        }
    }

    /// What keeps a replica that has a proxy's stream from telling it.
    fn replica_ails(&self, replica: u32) -> Option<CauseId> {
        let frozen = |(action, cause): (&Action, Option<CauseId>)| {
            matches!(action, Action::FreezeControlPlane { .. }).then_some(cause).flatten()
        };
        match self.control.replicas[replica as usize].frozen {
            0 => self.control.causes[XDS],
            _ => self.in_force().filter_map(frozen).next_back(),
        }
    }
}
