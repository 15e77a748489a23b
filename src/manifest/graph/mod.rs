//! Who calls whom, how often and for how long: what manifests do not hold.
//!
//! Three inputs say it. [`traces`] estimates it from spans (`jaeger`, `otlp`, `zipkin` into
//! [`span`]s, [`visits`] out of these, numbers by [`estimate`]); [`isotope`] is a made-up graph with
//! scripts; [`hints`] is what a person says. [`apply`] lays them over a draft, later ones over earlier
//! ones; [`names`] finds the services that are meant, [`cycle`] breaks what would never end, and
//! [`traffic`] makes the sources of requests.
//! Source: design/contract.md (`meshsim import --traces --isotope --hints`).
//! Left out: call graphs by version of a service (all versions get the one of the service, unless a name
//! in the input is that of one workload); sizes of messages.

pub mod apply;
pub mod calls;
pub mod cycle;
pub mod estimate;
pub mod hints;
pub mod isotope;
mod jaeger;
mod json;
pub mod names;
mod otlp;
pub mod span;
pub mod traces;
pub mod traffic;
pub mod visit;
pub mod visits;
mod zipkin;

#[cfg(test)]
mod tests;

use crate::manifest::draft::value::{Origin, Value};
use crate::manifest::source::At;
use crate::plan::problem::Problem;
use std::collections::BTreeMap;

/// Who calls whom, with the names of the input.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Graph {
    /// What it is called in messages: the file.
    pub name: String,
    /// Services.
    pub nodes: BTreeMap<String, Node>,
    /// Calls, those of one caller in their order.
    pub calls: Vec<Call>,
    /// Where requests come in.
    pub entries: Vec<Entry>,
    /// What a reader should know of it.
    pub notes: Vec<Problem>,
    /// Whether a person wrote the names, so that one that does not exist is a mistake.
    pub is_by_hand: bool,
}

/// A value with where it comes from.
#[derive(Clone, PartialEq, Debug)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// Who says it.
    pub origin: Origin,
}

/// What is known of a service.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Node {
    /// Where it is written.
    pub at: Option<At>,
    /// Its own work for a request, without the calls that it makes.
    pub work: Option<Said<Work>>,
    /// How it fails by itself.
    pub errors: Option<Said<Errors>>,
    /// Requests worked on at once by a pod, at least 1.
    pub workers: Option<Said<u32>>,
    /// Its pods; counts only where no manifest says it.
    pub replicas: Option<Said<u32>>,
    /// Whether it is a gateway: it is no service, what it calls is called from outside.
    pub is_gateway: bool,
    /// Whether only its callers were seen, so that its work includes the way.
    pub is_outside: bool,
    /// Whether its calls are all that are known, even if there are none.
    pub says_calls: bool,
}

/// How long work takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Always so many ns.
    Constant(u64),
    /// Lognormal, by its median and its 99 % quantile in ns, the first the smaller one.
    Lognormal(u64, u64),
}

/// Failures of a service's own.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Errors {
    /// Share of requests, 0 to 1.
    pub share: f64,
    /// The status, if it is known.
    pub status: Option<u16>,
}

/// Whether calls are made one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Alone.
    #[default]
    Sequential,
    /// With those beside it that are parallel too.
    Parallel,
}

/// A call that a service makes for its requests.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// The caller.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Who says it.
    pub origin: Origin,
    /// Share of the caller's requests that make it, 0 to 1.
    pub probability: f64,
    /// Alone or with others.
    pub mode: Mode,
    /// Whether its failure fails the caller.
    pub required: bool,
    /// Its path.
    pub path: Option<String>,
    /// Its method.
    pub method: Option<String>,
    /// Work after it in ns; none if the next call may join it.
    pub after_ns: Option<u64>,
}

/// Requests that come in.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Who gets them.
    pub to: String,
    /// Who sends them; none from outside.
    pub from: Option<String>,
    /// Who says it.
    pub origin: Origin,
    /// How many a second, above 0; none if nobody knows.
    pub rate_per_s: Option<f64>,
    /// Their path.
    pub path: Option<String>,
    /// Their method.
    pub method: Option<String>,
}

impl<T> Said<T> {
    /// Written at a place.
    pub fn at(value: T, at: At) -> Self {
        Self { value, origin: Origin::Written(at) }
    }

    /// Not written, but assumed for a reason.
    pub fn assumed(value: T, why: impl Into<String>) -> Self {
        Self { value, origin: Origin::Assumed(why.into().into()) }
    }
}

impl Call {
    /// A call made for each request.
    pub fn new(from: &str, to: &str, origin: Origin) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            origin,
            probability: 1.0,
            mode: Mode::Sequential,
            required: true,
            path: None,
            method: None,
            after_ns: None,
        }
    }
}

impl Graph {
    /// The node of a name, made if there is none.
    pub fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.entry(name.to_owned()).or_default()
    }

    /// Notes what a reader should know.
    pub fn note(&mut self, what: impl Into<String>, hint: &str) {
        self.notes.push(problem(what, hint));
    }
}

/// A problem with a hint, if there is one to give.
pub(crate) fn problem(what: impl Into<String>, hint: &str) -> Problem {
    let problem = Problem::new(what);
    if hint.is_empty() { problem } else { problem.hint(hint) }
}

/// A value with an origin.
pub(crate) fn value(value: Value, origin: &Origin) -> Value {
    Value { origin: origin.clone(), ..value }
}

/// A share as a text with as many digits as it needs: `12.5%`.
pub(crate) fn share_text(share: f64) -> String {
    format!("{}%", decimal(share * 100.0))
}

/// A rate as a text: `12.5rps`, or by the hour if it is small.
pub(crate) fn rate_text(per_s: f64) -> String {
    if per_s < 0.01 {
        format!("{}/h", decimal(per_s * 3600.0))
    } else {
        format!("{}rps", decimal(per_s))
    }
}

/// A number with at most four digits that count, without zeros at its end.
fn decimal(number: f64) -> String {
    let mut places = 0;
    let mut scaled = number.abs();
    while scaled < 1000.0 && places < 9 && scaled > 0.0 {
        scaled *= 10.0;
        places += 1;
    }
    let text = format!("{number:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
