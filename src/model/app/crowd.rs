//! Work that takes longer the more requests are in service: coordination and coherence cost.
//!
//! Source: `mbrooker/simulator_example`, `simple_collapse_sim`: latency at arrival = 1 + 0.01 · n seconds, n
//! being the requests in service, the new one included; the linear term of Gunther's universal
//! scalability law.
//! Left out: work that slows down when others come later (that is processor sharing); the quadratic
//! term.

use crate::kernel::time::Duration;

/// How long `work` takes when it begins among `in_service` requests, itself included, each of which
/// adds `per_request`.
#[must_use]
pub fn slowed(work: Duration, per_request: Duration, in_service: u32) -> Duration {
    work + per_request * u64::from(in_service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_in_service_adds_as_much() {
        let ms = Duration::from_ms;
        assert_eq!(slowed(ms(1_000), ms(10), 1), ms(1_010));
        assert_eq!(slowed(ms(1_000), ms(10), 67), ms(1_670));
        assert_eq!(slowed(ms(1_000), ms(0), 67), ms(1_000));
    }
}
