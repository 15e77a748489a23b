//! Who may call a port in Linkerd: default policies, `Server`, `AuthorizationPolicy`.
//!
//! Source: linkerd2 policy-controller/k8s/index/src/defaults.rs and inbound/index.rs (`client_authzs`,
//! `default_inbound_server`); linkerd2-proxy linkerd/app/inbound/src/policy.rs.
//! Left out: networks other than "all" and "of the cluster", exceptions from them; `ExternalWorkload`;
//! namespaces of policies: the caller gives those of the server's.

/// Who may call a port that no `Server` selects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultPolicy {
    /// All.
    AllUnauthenticated,
    /// All with an identity of the mesh.
    AllAuthenticated,
    /// All in the cluster's networks.
    ClusterUnauthenticated,
    /// All with an identity, in the cluster's networks.
    ClusterAuthenticated,
    /// Nobody.
    Deny,
    /// All, and it is logged.
    Audit,
}

impl DefaultPolicy {
    /// What a port that requires identity makes of it: allowed are only clients with one. `deny` and
    /// `audit` stay as they are.
    #[must_use]
    pub const fn with_identity(self) -> Self {
        match self {
            Self::AllUnauthenticated | Self::AllAuthenticated => Self::AllAuthenticated,
            Self::ClusterUnauthenticated | Self::ClusterAuthenticated => Self::ClusterAuthenticated,
            Self::Deny => Self::Deny,
            Self::Audit => Self::Audit,
        }
    }
}

/// An identity that a rule asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IdentityMatch {
    /// This one.
    Exact(String),
    /// All that end so at a dot; the empty one is all.
    Suffix(String),
}

/// What a client must show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Authentication {
    /// Nothing.
    Unauthenticated,
    /// TLS, with or without an identity.
    TlsUnauthenticated,
    /// One of these identities.
    Identities(Vec<IdentityMatch>),
}

/// Where a client must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Networks {
    /// Anywhere.
    All,
    /// In the cluster's networks.
    Cluster,
}

/// What allows a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authorization {
    /// Its name.
    pub name: String,
    /// Where a client must be.
    pub networks: Networks,
    /// What it must show.
    pub authentication: Authentication,
    /// Whether what it allows is logged (`audit`).
    pub is_audit: bool,
}

/// What an `AuthorizationPolicy` is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Every `Server` of its namespace.
    Namespace,
    /// A `Server`, by name.
    Server(String),
    /// An `HTTPRoute`, by name.
    Route(String),
}

/// An `AuthorizationPolicy`, or a `ServerAuthorization` as one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizationPolicy {
    /// What it is about.
    pub target: Target,
    /// What it allows; none where it names an authentication that does not exist, and so does nothing.
    pub allows: Option<Authorization>,
}

/// A `Server`: it takes a port of some pods away from the default policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Who may call besides those whom policies allow (`accessPolicy`); `deny` where nothing is said.
    pub access_policy: DefaultPolicy,
    /// What the port speaks.
    pub protocol: PortProtocol,
}

/// What a port speaks (`proxyProtocol`, opaque ports).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortProtocol {
    /// It is to be found out.
    Unknown,
    /// HTTP or gRPC.
    Http,
    /// Bytes.
    Opaque,
    /// TLS of the app.
    Tls,
}
