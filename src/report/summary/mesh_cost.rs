//! What the proxies of a mesh cost, for the summary.
//!
//! Source: docs/mesh-overhead.md.
//! Left out: the control plane's CPU and memory, which are gauges.

use crate::observe::run;
use crate::report::number::round6;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct MeshCost {
    proxies: u64,
    memory_mib: f64,
    client_cpu_s: Option<f64>,
    server_cpu_s: Option<f64>,
    handshake_cpu_s: Option<f64>,
    cores: Option<f64>,
}

impl From<run::MeshCost> for MeshCost {
    fn from(cost: run::MeshCost) -> Self {
        let of = |part: fn(&run::ProxyCpu) -> f64| cost.cpu.as_ref().map(|cpu| round6(part(cpu)));
        Self {
            proxies: cost.proxies,
            memory_mib: round6(cost.memory as f64 / 1_048_576.0),
            client_cpu_s: of(|cpu| cpu.client_s),
            server_cpu_s: of(|cpu| cpu.server_s),
            handshake_cpu_s: of(|cpu| cpu.handshakes_s),
            cores: of(run::ProxyCpu::cores),
        }
    }
}
