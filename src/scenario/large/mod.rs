//! `meshsim new large`: a scenario of any size, in the shape that large meshes were found to have.
//!
//! `shape` lays the services out in levels and says who calls whom; `load` gives the calls their
//! probabilities, and sizes pods and workers for the traffic; `text` writes it down. The same
//! options give the same bytes on every machine.
//!
//! Source: the constants, each with its own.
//! Left out: versions, services outside the mesh, closed-loop users.

mod load;
mod shape;
mod text;

use super::keys::PODS_MAX;
use crate::plan::problem::Problem;

/// Its name among the templates, and what it shows.
pub const NAME: (&str, &str) =
    ("large", "a mesh of any size, in the shape that large ones were found to have");

/// Pods a service, if nobody says: arXiv 2504.13141, 1,866,091 instances of 67,760 services.
pub const PODS_PER_SERVICE: u32 = 28;
/// Services, if nobody says: a mesh whose file is still read by people.
pub const SERVICES: u32 = 100;
/// Services on the longest chain of calls, if nobody says. Ours: Bookinfo has 3, the call graphs
/// of Alibaba and Google are wider than deep.
pub const DEPTH: u32 = 6;
/// Root requests a second, if nobody says: the same for every size, so that size is tried by
/// itself.
pub const RPS: u32 = 100;
/// Deeper chains than this nobody has published.
pub const DEPTH_MAX: u32 = 64;

/// What is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Large {
    /// Services.
    pub services: u32,
    /// Pods of all of them; those of the gateway come on top.
    pub pods: u32,
    /// Services on the longest chain of calls.
    pub depth: u32,
    /// Root requests a second.
    pub rps: u32,
    /// Another seed is another mesh of the same shape.
    pub seed: u64,
}

impl Large {
    /// The text of the scenario, or why there is none.
    pub fn text(&self) -> Result<String, Problem> {
        self.check()?;
        let mut services = shape::services(self);
        let traffic = load::calls(self, &mut services);
        let sizes = load::sizes(self, &mut services, &traffic)?;
        Ok(text::scenario(self, &services, &traffic, &sizes))
    }

    fn check(&self) -> Result<(), Problem> {
        let Self { services, pods, depth, rps, .. } = *self;
        debug_assert!(services != 0 && depth != 0 && rps != 0, "the command line allows no 0");
        if services < depth {
            let what = format!("a chain of {depth} services needs more than {services}");
            return Err(Problem::new(what).hint("--depth is at most --services"));
        }
        if pods < services {
            let what = format!("{pods} pods are too few for {services} services");
            let enough = u64::from(services) * u64::from(PODS_PER_SERVICE);
            let hint = format!("each has at least one; --pods {enough} is {PODS_PER_SERVICE} each");
            return Err(Problem::new(what).hint(hint));
        }
        if PODS_MAX < i64::from(pods) {
            let what = format!("{pods} pods are too many");
            return Err(Problem::new(what).hint(format!("at most {PODS_MAX}")));
        }
        Ok(())
    }
}

/// What a service is in the graph of calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// Called from outside.
    Entry,
    /// Called, and calls.
    Middle,
    /// Calls nobody.
    Leaf,
}

/// A service with its one workload. They stand in the order of their levels, so that whoever is
/// called stands behind the caller.
#[derive(Clone, Debug)]
struct Service {
    role: Role,
    calls: Vec<Call>,
    /// Names it in random streams; names for people follow from the load.
    key: String,
    name: String,
    /// Its calls are made at once, not one after the other.
    is_parallel: bool,
    /// Calls to it for one root request, as is expected.
    visits: f64,
    /// Median of its own work, in microseconds.
    p50_us: u32,
    replicas: u32,
    workers: u32,
    /// The share of time that a worker is busy, waiting for answers included.
    utilization: f64,
}

/// A call to a service that stands behind.
#[derive(Clone, Copy, Debug)]
struct Call {
    to: usize,
    /// How much more likely than others it is.
    weight: f64,
    probability: f64,
}

/// Parts of `total` in proportion to the weights, each at least its `least`. The parts sum to
/// `total`, which must be enough for all that is least.
fn apportion(total: u32, weights: &[f64], least: &[u32]) -> Vec<u32> {
    let rest = f64::from(total - least.iter().sum::<u32>());
    let all: f64 = weights.iter().sum();
    let (mut sum, mut given) = (0.0, 0.0);
    let part = |(weight, least): (&f64, &u32)| {
        sum += weight;
        // Of the running sum, so that what is rounded away here is given there.
        let upto = if all <= 0.0 { rest } else { libm::round(rest * (sum / all)).min(rest) };
        let part = whole(upto - given);
        given += f64::from(part);
        least + part
    };
    let mut parts: Vec<u32> = weights.iter().zip(least).map(part).collect();
    *parts.last_mut().expect("somebody takes a part") += whole(rest - given);
    parts
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn whole(number: f64) -> u32 {
    libm::round(number) as u32
}

/// At least this whole number.
fn ceil(number: f64) -> u32 {
    whole(libm::ceil(number))
}

/// The shares of the first `count` in a Zipf distribution.
///
/// Its exponent gives Google's fleet within a few points: of 10,000 methods the first has 27 %
/// of all calls, the first ten 61 %, the first hundred 83 %; measured were 28 %, 58 % and 91 %
/// (Seemakhupt et al., SOSP 2023).
fn zipf(count: usize) -> Vec<f64> {
    const EXPONENT: f64 = 1.3;
    let weights: Vec<f64> = (1..=count).map(|rank| libm::pow(rank as f64, -EXPONENT)).collect();
    let all: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / all).collect()
}
