//! How the control plane sends configuration: in which order its types go out, how far apart, and how long
//! a proxy waits for the endpoints of a new cluster.
//!
//! Source: Istio's `pushOrder` (`pilot/pkg/xds/ads.go`: CDS, EDS, LDS, RDS on one stream); Envoy's
//! `initial_fetch_timeout` (15 s by default; 0 in Istio, which means no limit: `envoy_bootstrap.json`,
//! `cluster_builder.go`).
//! Left out: SDS, ECDS; types that several proxies get in different orders.

use crate::kernel::time::Duration;

/// A type of configuration with a version of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum XdsType {
    /// Clusters.
    Cds,
    /// Their endpoints.
    Eds,
    /// Listeners.
    Lds,
    /// Routes.
    Rds,
}

impl XdsType {
    /// Each with its name, in Istio's order.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Cds, "cds"), (Self::Eds, "eds"), (Self::Lds, "lds"), (Self::Rds, "rds")];

    /// The type of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, one)| *one == name).map(|(kind, _)| *kind)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cds => "cds",
            Self::Eds => "eds",
            Self::Lds => "lds",
            Self::Rds => "rds",
        }
    }
}

/// How the control plane sends configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Discovery {
    /// The order of the types in a push, each once.
    pub order: [XdsType; 4],
    /// From one type of a push to the next, at its proxy; zero for all at once.
    pub gap: Duration,
    /// How long a new cluster waits for its endpoints before it is used without; zero for as long as it
    /// takes.
    pub initial_fetch_timeout: Duration,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            order: XdsType::ALL.map(|(kind, _)| kind),
            gap: Duration::ZERO,
            initial_fetch_timeout: Duration::ZERO,
        }
    }
}

impl Discovery {
    /// Whether nothing is said.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}
