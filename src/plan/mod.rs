//! Floor 1: what is simulated, as data. Inert and validated; scenario files compile to it.
//!
//! A plan holds the whole universe: every object that the scenario and its timeline can ever
//! bring, with dense ids in name order. What changes at run time is presence and revision, so a
//! run needs no names and cannot fail.

pub mod asked;
pub mod assertion;
pub mod balancing;
pub mod behaviour;
pub mod client;
pub mod discovery;
pub mod filter;
pub mod health_check;
pub mod identity;
pub mod linkerd;
pub mod matching;
pub mod outlier;
pub mod parameter;
pub mod pattern;
pub mod pods;
pub mod policy;
pub mod problem;
pub mod profile;
pub mod reply;
pub mod route;
pub mod sampling;
pub(crate) mod table;
pub mod template;
pub mod timeline;
pub mod tls;
pub mod traffic;
pub mod universe;

use crate::kernel::digest::Digest;
use crate::kernel::time::{Duration, Time};
use assertion::Assertion;
use balancing::{ClusterEndpoint, EndpointSettings};
use client::{CallClients, Client};
use discovery::Discovery;
use filter::FilterMask;
use identity::Identity;
use linkerd::Linkerd;
use linkerd::rules::Rules;
use parameter::Parameters;
use pods::PodRules;
use reply::ReplyHeaders;
use sampling::Sampling;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use timeline::TimelineEvent;
use tls::Tls;
use traffic::Traffic;
use universe::{ClusterId, ServiceId, Universe, WorkloadId};

/// Everything there is to know before a run, but the seed.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The scenario's name: its path below the nearest folder called `scenarios`, without `.toml`.
    pub name: String,
    /// The variant's name, if this is one.
    pub variant: Option<String>,
    /// The claim: the first comment line of the scenario file.
    pub claim: String,
    /// The seed that the scenario asks for; 1 if it does not.
    pub seed: u64,
    /// How long the mesh is simulated.
    pub duration: Duration,
    /// How long nothing is recorded at the beginning.
    pub warmup: Duration,
    /// The length of a row of `series.csv`.
    pub interval: Duration,
    /// The state of the mesh at time zero.
    pub start: Start,
    /// The mesh and release, such as `istio-sidecar@1.28`.
    pub profile: String,
    /// Every parameter of the profile, with the scenario's overrides.
    pub parameters: Parameters,
    /// The parameters that only Linkerd has; none in another mesh.
    pub linkerd: Option<Box<Linkerd>>,
    /// What is said of Linkerd beside them.
    pub linkerd_rules: Rules,
    /// Places, services, workloads, clusters, routes.
    pub universe: Universe,
    /// What the proxies of a workload may call, in id order; everything if it is not here.
    pub scopes: BTreeMap<WorkloadId, Vec<ServiceId>>,
    /// What the control plane says of the endpoints of workloads; nothing of those not here.
    pub endpoints: BTreeMap<WorkloadId, EndpointSettings>,
    /// The same in one cluster only.
    pub cluster_endpoints: BTreeMap<(ClusterId, WorkloadId), ClusterEndpoint>,
    /// Clusters that the control plane tells nobody of at time zero; an event brings them.
    pub absent: BTreeSet<ClusterId>,
    /// Which of their filters the proxies of workloads have at time zero; all of them where not here.
    pub first_filters: BTreeMap<WorkloadId, FilterMask>,
    /// TLS where it is not what the mesh arranges by itself.
    pub tls: Tls,
    /// Authorities, what is trusted, and certificates that istiod did not sign.
    pub identity: Identity,
    /// By how much each request in service, the new one included, lengthens a request's first piece
    /// of local work; not at all at workloads not here.
    pub crowding: BTreeMap<WorkloadId, Duration>,
    /// Worker threads of the proxies of workloads where they are not `proxy.workers`, at least 1
    /// (Envoy's `--concurrency`, Istio's `proxyConfig.concurrency`).
    pub proxy_workers: BTreeMap<WorkloadId, u32>,
    /// Workloads whose apps give up the calls that they have in flight when their own client leaves.
    pub cancelling: BTreeSet<WorkloadId>,
    /// How the control plane sends configuration.
    pub discovery: Discovery,
    /// Workloads whose apps give their calls no more time than their own request has.
    pub deadlines: BTreeSet<WorkloadId>,
    /// What Kubernetes does for the pods of workloads; nothing for those not here.
    pub pods: BTreeMap<WorkloadId, PodRules>,
    /// Sources of requests, in the order of their ids.
    pub traffic: Vec<Traffic>,
    /// What the clients of sources do by themselves, by place in `traffic`; those not here wait for
    /// ever and send once.
    pub clients: BTreeMap<u32, Client>,
    /// The same of the calls that apps make, by workload.
    pub call_clients: BTreeMap<WorkloadId, CallClients>,
    /// Headers of answers, which behaviours and errors name by their place.
    pub replies: Vec<ReplyHeaders>,
    /// What changes and breaks, in the order of the file.
    pub timeline: Vec<TimelineEvent>,
    /// What must hold, in the order of the file.
    pub assertions: Vec<Assertion>,
    /// How requests are sampled; none if all of them are simulated.
    pub sampling: Option<Sampling>,
}

/// The state of the mesh at time zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// As after a long time of normal work: ages of certificates spread over their life.
    Stationary,
    /// Everything begins at age zero, as after a mass restart.
    Cold,
}

impl Plan {
    /// Whether requests pass proxies (every profile but `none`).
    pub fn has_mesh(&self) -> bool {
        self.profile != "none"
    }

    /// The value of a parameter of either table, as text; none if this mesh has no such parameter.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters.get(name).or_else(|| self.linkerd.as_ref()?.get(name))
    }

    /// When the authority that signs at the start signs no more; none if it renews itself.
    pub fn signer_end(&self) -> Option<Duration> {
        let (cert, root) = (&self.parameters.cert, &self.parameters.root);
        let named = self.identity.signer.map(|id| &self.identity.authorities[id.index()]);
        let renews_itself = named.is_none_or(|one| !one.plugged_in) && !root.check.is_zero();
        let remaining = named.map_or(cert.signer_remaining, |one| one.remaining);
        // The first look comes an interval and a part of one after the start.
        let first = root.check + root.start_jitter;
        (!renews_itself || remaining < first).then_some(remaining)
    }

    /// Which of their filters the proxies of a workload have at time zero.
    pub fn first_filters(&self, workload: WorkloadId) -> FilterMask {
        self.first_filters.get(&workload).copied().unwrap_or(FilterMask::ALL)
    }

    /// Worker threads of the proxies of a workload.
    pub fn proxy_workers(&self, workload: WorkloadId) -> u32 {
        self.proxy_workers.get(&workload).copied().unwrap_or(self.parameters.proxy.workers)
    }

    /// The digest over everything that has an effect on a run; not the name, the claim and the
    /// seed. Made when it is asked for: of a large mesh it takes a second.
    pub fn digest(&self) -> u128 {
        let mut digest = Digest::new();
        self.parameters.fold(&mut digest);
        let clock = (self.duration, self.warmup, self.interval, self.start, &self.profile);
        fold(&mut digest, &clock);
        fold(&mut digest, &self.universe);
        if !self.scopes.is_empty() {
            fold(&mut digest, &self.scopes);
        }
        if !self.endpoints.is_empty() {
            fold(&mut digest, &self.endpoints);
        }
        if !self.cluster_endpoints.is_empty() {
            fold(&mut digest, &self.cluster_endpoints);
        }
        if !self.absent.is_empty() {
            fold(&mut digest, &("absent", &self.absent));
        }
        if !self.first_filters.is_empty() {
            fold(&mut digest, &("filters", &self.first_filters));
        }
        if !self.tls.is_empty() {
            fold(&mut digest, &self.tls);
        }
        if !self.identity.is_empty() {
            fold(&mut digest, &self.identity);
        }
        if !self.crowding.is_empty() {
            fold(&mut digest, &self.crowding);
        }
        if !self.proxy_workers.is_empty() {
            fold(&mut digest, &self.proxy_workers);
        }
        if !self.cancelling.is_empty() {
            fold(&mut digest, &self.cancelling);
        }
        if !self.discovery.is_plain() {
            fold(&mut digest, &self.discovery);
        }
        if !self.deadlines.is_empty() {
            fold(&mut digest, &("deadlines", &self.deadlines));
        }
        if !self.pods.is_empty() {
            fold(&mut digest, &("pods", &self.pods));
        }
        if !self.clients.is_empty() {
            fold(&mut digest, &self.clients);
        }
        if !self.call_clients.is_empty() {
            fold(&mut digest, &self.call_clients);
        }
        if !self.replies.is_empty() {
            fold(&mut digest, &self.replies);
        }
        if let Some(linkerd) = &self.linkerd {
            fold(&mut digest, linkerd);
        }
        if !self.linkerd_rules.is_empty() {
            fold(&mut digest, &("linkerd rules", &self.linkerd_rules));
        }
        fold(&mut digest, &self.traffic);
        fold(&mut digest, &self.timeline);
        fold(&mut digest, &self.assertions);
        if let Some(sampling) = &self.sampling {
            fold(&mut digest, sampling);
        }
        digest.value()
    }
}

/// Folds a part as its text, as `Digest::bytes` would: the text itself may have gigabytes.
fn fold(digest: &mut Digest, part: &dyn fmt::Debug) {
    let mut words = Words { digest, word: [0; 16], bytes: 0 };
    write!(words, "{part:?}").expect("a digest takes all that is written");
    words.end();
}

/// A text on its way into a digest.
struct Words<'d> {
    digest: &'d mut Digest,
    /// What is not folded yet: `bytes` modulo 16 of them.
    word: [u8; 16],
    bytes: usize,
}

impl Words<'_> {
    fn mix(&mut self, word: [u8; 16]) {
        let (low, high) = word.split_at(8);
        let half = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("eight bytes"));
        self.digest.fold(Time::from_ns(half(high)), 0, half(low));
    }

    fn end(&mut self) {
        let held = self.bytes % 16;
        if held != 0 {
            self.word[held..].fill(0);
            self.mix(self.word);
        }
        self.mix((self.bytes as u128).to_le_bytes());
    }
}

impl fmt::Write for Words<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut bytes = text.as_bytes();
        let held = self.bytes % 16;
        self.bytes += bytes.len();
        if held != 0 {
            let taken = bytes.len().min(16 - held);
            self.word[held..held + taken].copy_from_slice(&bytes[..taken]);
            if held + taken < 16 {
                return Ok(());
            }
            self.mix(self.word);
            bytes = &bytes[taken..];
        }
        let (words, rest) = bytes.as_chunks::<16>();
        for word in words {
            self.mix(*word);
        }
        self.word[..rest.len()].copy_from_slice(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints itself in pieces of these lengths.
    struct Pieces(Vec<usize>);

    impl fmt::Debug for Pieces {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let text = "the quick brown fox jumps over the lazy dog".repeat(3);
            self.0.iter().try_for_each(|length| f.write_str(&text[..*length]))
        }
    }

    #[test]
    fn a_text_in_pieces_is_folded_as_in_one() {
        for lengths in [vec![], vec![16], vec![1; 33], vec![3, 40, 0, 5, 16, 100, 12], vec![7, 9]] {
            let (mut whole, mut parts) = (Digest::new(), Digest::new());
            whole.bytes(format!("{:?}", Pieces(lengths.clone())).as_bytes());
            fold(&mut parts, &Pieces(lengths));
            assert_eq!(parts.value(), whole.value());
        }
    }
}
