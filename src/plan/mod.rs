//! Floor 1: what is simulated, as data. Inert and validated; scenario files compile to it.
//!
//! A plan holds the whole universe: every object that the scenario and its timeline can ever
//! bring, with dense ids in name order. What changes at run time is presence and revision, so a
//! run needs no names and cannot fail.

pub mod assertion;
pub mod balancing;
pub mod health_check;
pub mod outlier;
pub mod parameter;
pub mod policy;
pub mod problem;
pub mod profile;
pub mod sampling;
pub mod timeline;
pub mod traffic;
pub mod universe;

use crate::kernel::time::Duration;
use assertion::Assertion;
use balancing::EndpointSettings;
use parameter::Parameters;
use sampling::Sampling;
use std::collections::BTreeMap;
use timeline::TimelineEvent;
use traffic::Traffic;
use universe::{ServiceId, Universe, WorkloadId};

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
    /// Places, services, workloads, clusters, routes.
    pub universe: Universe,
    /// What the proxies of a workload may call, in id order; everything if it is not here.
    pub scopes: BTreeMap<WorkloadId, Vec<ServiceId>>,
    /// What the control plane says of the endpoints of workloads; nothing of those not here.
    pub endpoints: BTreeMap<WorkloadId, EndpointSettings>,
    /// Sources of requests, in the order of their ids.
    pub traffic: Vec<Traffic>,
    /// What changes and breaks, in the order of the file.
    pub timeline: Vec<TimelineEvent>,
    /// What must hold, in the order of the file.
    pub assertions: Vec<Assertion>,
    /// How requests are sampled; none if all of them are simulated.
    pub sampling: Option<Sampling>,
    /// Digest over every parameter of the profile and everything above that has an effect.
    pub digest: u128,
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
}
