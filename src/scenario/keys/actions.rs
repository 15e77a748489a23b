//! The words of `do`.
//!
//! Source: docs/scenarios.md (the table of events).
//! Left out: nothing.

/// What events do.
pub(crate) const ACTIONS: &[&str] = &[
    "fail",
    "restart",
    "freeze",
    "slow",
    "errors",
    "cut",
    "degrade",
    "rollout",
    "scale",
    "route",
    "split",
    "endpoints",
    "traffic",
    "behave",
    "peer_authentication",
    "server",
    "ca",
    "trust",
    "clock",
    "suspend",
    "secret",
    "cluster",
    "listener",
    "drain",
    "fail_health_check",
    "push",
    "crash_loop",
    "webhook",
    "apply",
    "delete",
    "patch",
    "note",
];
