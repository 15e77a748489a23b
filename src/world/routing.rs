//! The rule that a call follows, and the destination that a draw falls on.
//!
//! Source: Envoy's weighted clusters: by relative weight, drawn once a request.
//! Left out: matching, which the plan did once for each class of requests.

use super::state::Call;
use crate::kernel::stream::below;
use crate::plan::Plan;
use crate::plan::route::{Destination, RouteRule};
use crate::vocabulary::outcome::{Details, Outcome};

/// The rule that a call follows.
pub(super) fn rule<'p>(plan: &'p Plan, call: &Call) -> &'p RouteRule {
    &plan.universe.routes[call.route.index()].rules[call.rule as usize]
}

/// The destination that a draw falls on, by relative weight.
pub(super) fn weighted(split: &[(Destination, u32)], sum: u64, draw: u64) -> &Destination {
    let mut point = below(draw, usize::try_from(sum).unwrap_or(usize::MAX)) as u64;
    for (destination, weight) in split {
        match point.checked_sub(u64::from(*weight)) {
            Some(rest) => point = rest,
            None => return destination,
        }
    }
    unreachable!("a point below the sum of the weights")
}

/// How a request ends whose cluster is not there.
#[cold]
pub(super) fn missing(rule: &RouteRule) -> Outcome {
    let outcome = Outcome::failure(Details::ClusterNotFound);
    Outcome { status: rule.missing_status.unwrap_or(outcome.status), ..outcome }
}
