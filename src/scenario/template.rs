//! Templates: starting scenarios for `meshsim new`.
//!
//! Source: ours; each runs as it is.
//! Left out: nothing.

/// Name and what it shows, in the order in which they are listed.
pub(crate) const TEMPLATES: &[(&str, &str)] = &[
    ("outage", "the control plane is away for long, and certificates run out"),
    ("canary", "a new version gets more traffic in steps, and goes back by itself when it fails"),
    ("queue", "one server and one queue, M/M/1: how waiting grows with load"),
];

/// The text of a template.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    match name {
        "outage" => Some(include_str!("templates/outage.toml")),
        "canary" => Some(include_str!("templates/canary.toml")),
        "queue" => Some(include_str!("templates/queue.toml")),
        _ => None,
    }
}
