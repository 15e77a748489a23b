//! What the proxies of a mesh cost.
//!
//! Source: docs/mesh-overhead.md.
//! Left out: the control plane, whose CPU and memory are gauges; cost over time.

/// What the proxies of a mesh cost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MeshCost {
    /// Live proxies at the end: sidecars, ztunnels, gateways.
    pub proxies: u64,
    /// Memory of those, in bytes.
    pub memory: u64,
    /// CPU after the warm-up; none in a sampled run.
    pub cpu: Option<ProxyCpu>,
}

/// CPU time of proxies after the warm-up, in seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ProxyCpu {
    /// On the client's side of calls.
    pub client_s: f64,
    /// On the server's side.
    pub server_s: f64,
    /// Of TLS handshakes, on both.
    pub handshakes_s: f64,
    /// For how long that was counted.
    pub recorded_s: f64,
}

impl ProxyCpu {
    /// Cores that all proxies took in the mean.
    pub fn cores(&self) -> f64 {
        let sum = self.client_s + self.server_s + self.handshakes_s;
        if self.recorded_s <= 0.0 { 0.0 } else { sum / self.recorded_s }
    }
}
