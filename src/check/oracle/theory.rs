//! Closed forms of queueing theory.
//!
//! Times are in units of the mean service time of one server; `load` is the share of time that a
//! server is busy.
//!
//! Source: Kleinrock, Queueing Systems I (1975): M/M/1, M/M/c, G/M/1, Pollaczek-Khinchine;
//! Gross and Harris, Fundamentals of Queueing Theory: M/M/c/K; Jackson (1957); per function.
//! Left out: distributions of times but the exponential one of M/M/1.

/// M/M/1: mean sojourn.
pub(super) fn mm1_sojourn(load: f64) -> f64 {
    1.0 / (1.0 - load)
}

/// M/M/1: quantile `q` of the sojourn, which is exponential.
pub(super) fn mm1_quantile(load: f64, q: f64) -> f64 {
    -libm::log1p(-q) * mm1_sojourn(load)
}

/// M/M/c: mean wait, by the recursion of Erlang B and from it Erlang C.
pub(super) fn mmc_wait(servers: u32, load: f64) -> f64 {
    let c = f64::from(servers);
    let erlang_b = loss(servers, load * c);
    let erlang_c = erlang_b / (1.0 - load * (1.0 - erlang_b));
    erlang_c / (c * (1.0 - load))
}

/// Erlang B: share of arrivals that find all servers busy, where nobody waits.
pub(super) fn loss(servers: u32, offered: f64) -> f64 {
    (1..=servers).fold(1.0, |b, k| offered * b / (f64::from(k) + offered * b))
}

/// M/M/c/K with `room` places, those of the servers included: the share that is turned away, and
/// the mean sojourn of those who are not.
pub(super) fn mmck(servers: u32, room: u32, arrivals: f64) -> (f64, f64) {
    let (mut weight, mut sum, mut present) = (1.0, 1.0, 0.0);
    for n in 1..=room {
        weight *= arrivals / f64::from(n.min(servers));
        sum += weight;
        present += f64::from(n) * weight;
    }
    let blocked = weight / sum;
    (blocked, present / sum / (arrivals * (1.0 - blocked)))
}

/// Pollaczek-Khinchine: the mean wait of M/G/1; `scv` is the squared coefficient of variation of
/// the service time.
pub(super) fn mg1_wait(load: f64, scv: f64) -> f64 {
    load * (1.0 + scv) / (2.0 * (1.0 - load))
}

/// M/G/1 with a shared server: the mean sojourn does not depend on the law of the service time.
pub(super) fn shared_sojourn(load: f64) -> f64 {
    1.0 / (1.0 - load)
}

/// G/M/1: the mean wait, sigma / (1 − sigma), where sigma is the root below 1 of
/// x = A*(1 − x) and A* the Laplace transform of the gap between arrivals.
pub(super) fn gm1_wait(transform: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0 - 1e-9);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        // Below the root the convex transform lies above the diagonal.
        if middle < transform(1.0 - middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low / (1.0 - low)
}

/// D/M/1: equal gaps.
pub(super) fn dm1_wait(load: f64) -> f64 {
    gm1_wait(|s| libm::exp(-s / load))
}

/// Mean sojourn where a Poisson stream is dealt to `servers` in turn: each sees Erlang gaps of as
/// many stages, `E_n/M/1`.
pub(super) fn round_robin_sojourn(servers: u32, load: f64) -> f64 {
    let n = f64::from(servers);
    1.0 + gm1_wait(|s| libm::pow(n * load / (n * load + s), n))
}

/// Mean total sojourn of M/M/1 stations in a row, each (arrivals, services) per unit of time:
/// the output of each is Poisson again (Burke 1956).
pub(super) fn tandem_sojourn(arrivals: f64, services: &[f64]) -> f64 {
    services.iter().map(|service| 1.0 / (service - arrivals)).sum()
}

/// M/M/1 where a share of the visits is repeated at once: the mean total sojourn (Jackson 1957).
pub(super) fn feedback_sojourn(arrivals: f64, again: f64) -> f64 {
    1.0 / (1.0 - again - arrivals)
}

/// Attempts per request with up to `retries`, if each attempt fails by itself with `failure`.
pub(super) fn amplification(failure: f64, retries: u32) -> f64 {
    (0..=retries).map(|k| libm::pow(failure, f64::from(k))).sum()
}

/// Share of those requests that succeed.
pub(super) fn success(failure: f64, retries: u32) -> f64 {
    1.0 - libm::pow(failure, f64::from(retries + 1))
}

/// Attempts at the bottom of `layers` that each make up to `attempts`, if the bottom always fails.
pub(super) fn stacked_attempts(layers: u32, attempts: u32) -> f64 {
    f64::from(attempts.pow(layers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (what, computed, published or computed to that many digits elsewhere).
    fn known() -> Vec<(&'static str, f64, f64)> {
        let (mmck_blocked, mmck_sojourn) = mmck(2, 10, 1.8);
        vec![
            ("M/M/1 p99 at 0.8", mm1_quantile(0.8, 0.99), 23.025_851),
            ("Erlang C of 5 at 0.8", mmc_wait(5, 0.8), 0.554_112_554_1),
            ("Erlang C of 10 at 0.9", mmc_wait(10, 0.9), 0.668_731_524_1),
            ("Erlang B of 4 offered 3", loss(4, 3.0), 0.206_106_870_2),
            ("M/M/2/10 blocked", mmck_blocked, 0.054_807_332_2),
            ("M/M/2/10 sojourn", mmck_sojourn, 2.516_483_192_9),
            ("M/M/1/10 blocked", mmck(1, 10, 0.9).0, 0.050_813_731_3),
            ("M/D/1 at 0.8", mg1_wait(0.8, 0.0), 2.0),
            ("M/G/1 lognormal at 0.8", mg1_wait(0.8, 0.284_025), 2.568_05),
            ("D/M/1 at 0.8", dm1_wait(0.8), 1.692_730_839_9),
            ("round robin over 10 at 0.9", round_robin_sojourn(10, 0.9), 5.660_276_39),
            ("round robin over 10 at 0.7", round_robin_sojourn(10, 0.7), 2.019_804_35),
            ("tandem", tandem_sojourn(50.0, &[80.0, 100.0, 60.0]), 0.153_333_333_3),
            ("feedback", feedback_sojourn(0.5, 0.25), 4.0),
            ("retry load", amplification(0.3, 3), 1.417),
            ("retry success", success(0.3, 3), 0.9919),
            ("a stack of five", stacked_attempts(5, 3), 243.0),
        ]
    }

    #[test]
    fn closed_forms_give_the_tabulated_values() {
        for (what, computed, expected) in known() {
            assert!((computed / expected - 1.0).abs() < 1e-7, "{what}: {computed} {expected}");
        }
    }
}
