//! What `meshsim route` answers: where a request goes and why.
//!
//! One question ([`Query`]) and one answer ([`Route`]) for every kind of rule; Gateway API, Istio and
//! Linkerd each have a resolver that fills them. All names are plain strings, and deciding rules carry
//! `file:line`, so that an answer can be printed and serialised without anything else.
//! Source: `design/contract.md`, the command `route`; the words are Envoy's and the Gateway API's.
//! Left out: load balancing among a destination's endpoints, which is the simulator's work.

pub mod apply;
pub mod request;
pub mod text;

use serde::Serialize;

use request::{HeaderChanges, Headers, Request};

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Who sends.
    pub from: Origin,
    /// What is sent.
    pub request: Request,
}

/// Who sends a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A client in the mesh.
    Mesh {
        /// Its namespace.
        namespace: String,
        /// Its workload, if that is known.
        workload: Option<String>,
        /// The labels of its pods, if known.
        labels: crate::manifest::object::Labels,
    },
    /// Somebody outside, through an ingress gateway.
    Gateway {
        /// The gateway's namespace.
        namespace: String,
        /// The gateway's name.
        name: String,
        /// The server name of the TLS hello, if it differs from the URL's host.
        sni: Option<String>,
    },
}

/// The answer.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Route {
    /// The rule that decided, if one did.
    pub rule: Option<RuleName>,
    /// The listener that took the request, `namespace/gateway/listener`, from outside.
    pub listener: Option<String>,
    /// Where it goes, with shares that add up to 1; empty if it is answered by the proxy itself.
    pub destinations: Vec<Destination>,
    /// The proxy's own answer, where no destination is asked.
    pub direct: Option<Direct>,
    /// Copies that are sent elsewhere, their answers ignored.
    pub mirrors: Vec<Mirror>,
    /// Faults that the proxy injects.
    pub faults: Vec<Fault>,
    /// Limit for the whole request with its retries, in nanoseconds; none if there is no limit.
    pub timeout_ns: Option<u64>,
    /// Limit for each try, in nanoseconds.
    pub per_try_timeout_ns: Option<u64>,
    /// Retries, if any.
    pub retries: Option<Retries>,
    /// What limits retries instead of a number, in words (Linkerd's retry budget).
    pub retry_budget: Option<String>,
    /// What the rule changes in the answer.
    pub response_headers: HeaderChanges,
    /// How the answer was found, step by step, for people.
    pub why: Vec<String>,
    /// What is read but not simulated in the deciding rule.
    pub notes: Vec<String>,
}

/// A rule's name and place.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct RuleName {
    /// Kind, namespace and name of its object, such as `HTTPRoute shop/web`.
    pub object: String,
    /// Its own name, or its index as `rules[0]`.
    pub rule: String,
    /// What it matches, in words.
    pub matches: String,
    /// The file.
    pub file: String,
    /// The line in the file, from 1.
    pub line: u32,
}

/// One place where a request may go.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Destination {
    /// Its share of the requests, 0 to 1.
    pub share: f64,
    /// The weight as it was written.
    pub weight: u32,
    /// The service's namespace; empty for an external host.
    pub namespace: String,
    /// The service's name, or an external host.
    pub service: String,
    /// The service's port.
    pub port: u16,
    /// The subset, if only a part of the endpoints is meant.
    pub subset: Option<String>,
    /// The labels of that subset.
    pub labels: crate::manifest::object::Labels,
    /// The workloads behind it, by name.
    pub workloads: Vec<String>,
    /// What is spoken to it, such as `http1`, `http2`, `websocket`.
    pub protocol: String,
    /// The status that this share gets instead, where the destination is not usable.
    pub failure: Option<Direct>,
    /// The request as it goes upstream.
    pub request: Request,
    /// What this destination changes in the answer, after the rule's own changes.
    pub response_headers: HeaderChanges,
    /// `file:line` of the reference.
    pub place: String,
}

/// An answer that the proxy gives by itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Direct {
    /// The HTTP status; 0 if the connection fails, so that there is no answer.
    pub status: u16,
    /// Envoy's response flag, such as `NR`, `NC` or `UH`; empty for none.
    pub flag: String,
    /// Why.
    pub reason: String,
    /// Where a redirect leads.
    pub location: Option<Location>,
    /// Headers of the answer.
    pub headers: Headers,
}

/// Where a redirect leads.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Location {
    /// `http` or `https`.
    pub scheme: String,
    /// The host.
    pub host: String,
    /// The port, where it is not the scheme's own.
    pub port: Option<u16>,
    /// The path with its query.
    pub path: String,
    /// All of it, as the header has it.
    pub url: String,
}

/// Copies of requests.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Mirror {
    /// Share of the requests that are copied, 0 to 1.
    pub share: f64,
    /// The service's namespace.
    pub namespace: String,
    /// The service's name.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// Its subset.
    pub subset: Option<String>,
    /// `file:line` of the reference.
    pub place: String,
}

/// A fault that the proxy injects.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Fault {
    /// Share of the requests that are hit, 0 to 1.
    pub share: f64,
    /// How long they wait, in nanoseconds.
    pub delay_ns: Option<u64>,
    /// The status that they get.
    pub status: Option<u16>,
    /// `file:line`.
    pub place: String,
}

/// How a request is tried again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Retries {
    /// Retries after the first try.
    pub attempts: u32,
    /// Answers that are tried again.
    pub codes: Vec<u16>,
    /// Conditions that are tried again, in Envoy's words (`connect-failure`, `reset` …).
    pub on: Vec<String>,
    /// Shortest wait between two tries, in nanoseconds.
    pub backoff_ns: Option<u64>,
    /// `file:line`.
    pub place: String,
}

impl Route {
    /// An answer of the proxy itself.
    pub fn direct(status: u16, flag: &str, reason: impl Into<String>) -> Self {
        let direct = Direct::new(status, flag, reason);
        Self { direct: Some(direct), ..Self::default() }
    }

    /// Adds a step of the reasoning.
    #[must_use]
    pub fn because(mut self, step: impl Into<String>) -> Self {
        self.why.push(step.into());
        self
    }

    /// Sets each destination's share to its part of the sum of weights. A sum of 0 leaves shares 0.
    pub fn share_by_weight(&mut self) {
        let sum: u64 = self.destinations.iter().map(|to| u64::from(to.weight)).sum();
        for to in &mut self.destinations {
            to.share = if sum == 0 { 0.0 } else { f64::from(to.weight) / sum as f64 };
        }
    }
}

impl Direct {
    /// An answer without headers.
    pub fn new(status: u16, flag: &str, reason: impl Into<String>) -> Self {
        Self { status, flag: flag.to_owned(), reason: reason.into(), ..Self::default() }
    }
}
