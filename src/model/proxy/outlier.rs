//! Outlier detection: endpoints that fail are left out for a while.
//!
//! Attempts are counted, not requests. The n-th failure in a row ejects at once; at the end of each
//! interval endpoints may be compared by their share of good answers:
//!
//! ```text
//! success rate:        rate < mean − 1.9 × standard deviation, over endpoints with enough answers
//! failure percentage:  1 − rate >= threshold
//! ```
//!
//! Whoever is detected is ejected if the share of ejected endpoints allows it (with 10 % and fewer
//! than 10 endpoints nobody ever is), in the enforced share of cases. An ejection lasts base × k, at
//! most its maximum, plus a jitter; k = ejections so far, one less for each interval spent healthy.
//! It ends on the interval grid.
//!
//! With failures of this side split from answers, a connection that came up is a success of this side
//! at once: timeouts and resets on open connections then never make two failures in a row.
//!
//! Source: Envoy outlier docs, `outlier_detection.proto` and `DetectorImpl`; measured on Envoy 1.40 (family e05).
//! Left out: when balancers hear of it (`merge_window`).

use crate::kernel::stream::{below, uniform};
use crate::kernel::time::{Duration, Time};
use crate::plan::outlier::OutlierForms;
use crate::plan::policy::OutlierDetection;
use crate::vocabulary::outcome::{Details, Outcome};

/// What one proxy thinks of one endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Health {
    failures: u32,
    gateway_failures: u32,
    local_failures: u32,
    /// Answers in this interval, and the good ones among them.
    answers: Answers,
    /// The same of this side's part of attempts, if that is counted apart.
    local: Answers,
    /// Set while ejected: since when.
    ejected_at: Option<Time>,
    /// What the ejection lasts longer.
    jitter: Duration,
    /// Ejections so far, less one for each healthy interval.
    multiplier: u32,
}

/// What a share is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answers {
    /// All.
    pub all: u32,
    /// The good ones among them.
    pub good: u32,
}

impl Answers {
    const fn add(&mut self, good: bool) {
        self.all += 1;
        self.good += good as u32;
    }
}

/// Whose failures a share is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The endpoint's; also this side's, if they are not counted apart.
    External,
    /// This side's: no connection, a reset, a timeout.
    Local,
}

/// Failures in a row reached their number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Detected {
    /// Of 5xx answers.
    pub five_xx: bool,
    /// Of 502, 503 and 504.
    pub gateway: bool,
    /// Of failures of this side.
    pub local_origin: bool,
}

impl Detected {
    /// Whether anything was detected.
    pub const fn any(self) -> bool {
        self.five_xx || self.gateway || self.local_origin
    }

    /// The share of cases in which each detection is enforced, in Envoy's order.
    pub fn enforcing(self, forms: &OutlierForms) -> impl Iterator<Item = f64> + use<> {
        let all = [
            (self.gateway, forms.enforcing_consecutive_gateway),
            (self.five_xx, forms.enforcing_consecutive_5xx),
            (self.local_origin, forms.enforcing_consecutive_local_origin),
        ];
        all.into_iter().filter(|(is_detected, _)| *is_detected).map(|(_, share)| share)
    }
}

/// Whether a share is all, or a draw falls into it.
pub fn takes(share: f64, mut draw: impl FnMut() -> u64) -> bool {
    1.0 <= share || uniform(draw()) < share
}

impl Health {
    /// Whether the endpoint is left out.
    pub const fn is_ejected(&self) -> bool {
        self.ejected_at.is_some()
    }

    /// Whether [`Health::tick`] could change anything.
    pub const fn needs_ticks(&self) -> bool {
        self.ejected_at.is_some()
            || self.multiplier != 0
            || self.answers.all != 0
            || self.local.all != 0
    }

    /// An attempt ended; what that shows of its endpoint.
    #[must_use]
    #[inline]
    pub fn record(&mut self, policy: &OutlierDetection, outcome: Outcome) -> Detected {
        let is_local = !matches!(
            outcome.details,
            Details::ViaUpstream
                | Details::AppError
                | Details::AppGrpcError
                | Details::AppOverflow
                | Details::AppCallFailed
        );
        let forms = &policy.forms;
        if forms.split_local_origin {
            let detected = self.record_local(forms, outcome, is_local);
            if is_local {
                return detected;
            }
        }
        let failed = is_local || 500 <= outcome.status;
        let gateway = is_local || (502..=504).contains(&outcome.status);
        if forms.compares() {
            self.answers.add(!failed);
        }
        let reached = |count: &mut u32, counts: bool, limit: u32| {
            *count = if counts { *count + 1 } else { 0 };
            limit != 0 && limit <= *count
        };
        let detected = Detected {
            gateway: reached(&mut self.gateway_failures, gateway, policy.consecutive_gateway),
            five_xx: reached(&mut self.failures, failed, policy.consecutive_5xx),
            local_origin: false,
        };
        if self.is_ejected() { Detected::default() } else { detected }
    }

    /// Failures of this side, counted apart. A connection that comes up is a success; what then breaks on
    /// it is a failure as well (`DetectorHostMonitorImpl::putResultWithLocalExternalSplit`).
    #[cold]
    fn record_local(&mut self, forms: &OutlierForms, outcome: Outcome, is_local: bool) -> Detected {
        let connected = !outcome.details.is_connect_failure();
        if connected {
            self.local_failures = 0;
        }
        if forms.compares() {
            [(connected, true), (is_local, false)]
                .into_iter()
                .filter(|(counts, _)| *counts)
                .for_each(|(_, good)| self.local.add(good));
        }
        self.local_failures += u32::from(is_local);
        let limit = forms.consecutive_local_origin;
        let local_origin = limit != 0 && limit <= self.local_failures;
        Detected { local_origin: local_origin && !self.is_ejected(), ..Detected::default() }
    }

    /// What was detected starts to count anew, whether it ejected or not.
    pub fn start_over(&mut self, detected: Detected) {
        let counts = [
            (&mut self.failures, detected.five_xx),
            (&mut self.gateway_failures, detected.gateway),
            (&mut self.local_failures, detected.local_origin),
        ];
        counts.into_iter().filter(|(_, starts)| *starts).for_each(|(count, _)| *count = 0);
    }

    /// Leaves the endpoint out from now on; `draw` is for the jitter.
    pub fn eject(&mut self, policy: &OutlierDetection, now: Time, draw: impl FnOnce() -> u64) {
        self.ejected_at = Some(now);
        // It stops to grow soon after the ejections do.
        let grown = policy.base_ejection.ns().saturating_mul(u64::from(self.multiplier));
        if grown < policy.max_ejection.ns().saturating_add(policy.base_ejection.ns()) {
            self.multiplier += 1;
        }
        self.jitter = match usize::try_from(policy.forms.max_ejection_jitter.ns()) {
            Ok(0) | Err(_) => Duration::ZERO,
            Ok(most) => Duration::from_ns(below(draw(), most) as u64),
        };
    }

    /// The endpoint comes back: what its balancers, not told yet, let it fail is forgotten.
    pub fn come_back(&mut self) {
        self.ejected_at = None;
        self.failures = 0;
        self.gateway_failures = 0;
        self.local_failures = 0;
    }

    /// The interval's tick; whether the endpoint is to come back.
    #[must_use]
    pub fn tick(&mut self, policy: &OutlierDetection, now: Time) -> bool {
        let Some(since) = self.ejected_at else {
            self.multiplier = self.multiplier.saturating_sub(1);
            return false;
        };
        let limit = policy.max_ejection.max(policy.base_ejection);
        let length =
            (policy.base_ejection.ns().saturating_mul(u64::from(self.multiplier))).min(limit.ns());
        since + Duration::from_ns(length) + self.jitter <= now
    }

    /// What was counted of answers and of this side in the interval that ended; counting starts over.
    pub fn take_answers(&mut self) -> [Answers; 2] {
        [std::mem::take(&mut self.answers), std::mem::take(&mut self.local)]
    }
}

/// Which endpoints, by their answers in an interval, deserve ejection, with the share of cases in which it
/// is enforced.
pub fn outliers(forms: &OutlierForms, origin: Origin, answers: &[Answers]) -> Vec<(usize, f64)> {
    let rate = |one: Answers| f64::from(one.good) / f64::from(one.all.max(1));
    let enough = |volume: u32, hosts: u32| -> Vec<(usize, f64)> {
        let known = answers.iter().enumerate().filter(|(_, one)| volume.max(1) <= one.all);
        let known: Vec<_> = known.map(|(index, one)| (index, rate(*one))).collect();
        if known.len() < hosts as usize { Vec::new() } else { known }
    };
    let enforcing = |external: f64, local: f64| match origin {
        Origin::External => external,
        Origin::Local => local,
    };
    let mut outliers = Vec::new();
    if let Some(policy) = &forms.success_rate {
        let enforcing = enforcing(policy.enforcing, forms.enforcing_local_origin_success_rate);
        let known = enough(policy.request_volume, policy.minimum_hosts);
        let count = known.len() as f64;
        let mean = known.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let squares = known.iter().map(|(_, rate)| (rate - mean) * (rate - mean)).sum::<f64>();
        let threshold = mean - policy.stdev_factor * libm::sqrt(squares / count);
        let far = known.into_iter().filter(|(_, rate)| *rate < threshold);
        outliers.extend(far.map(|(index, _)| (index, enforcing)));
    }
    if let Some(policy) = &forms.failure_percentage {
        let local = forms.enforcing_failure_percentage_local_origin;
        let enforcing = enforcing(policy.enforcing, local);
        let known = enough(policy.request_volume, policy.minimum_hosts);
        let bad = known.into_iter().filter(|(_, rate)| policy.threshold <= 1.0 - rate);
        outliers.extend(bad.map(|(index, _)| (index, enforcing)));
    }
    outliers
}

/// Whether one more of `endpoints` may be ejected when `ejected` are.
#[must_use]
pub fn may_eject(policy: &OutlierDetection, ejected: usize, endpoints: usize) -> bool {
    // 0.29 of 100 is less than 29 in floating point.
    const ROUNDING: f64 = 1e-9;
    let allowed = policy.max_ejection_share * endpoints as f64 + ROUNDING;
    (policy.always_eject_one && ejected == 0) || (ejected + 1) as f64 <= allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::outlier::{FailurePercentage, SuccessRate};

    const fn of(all: u32, good: u32) -> Answers {
        Answers { all, good }
    }

    fn policy() -> OutlierDetection {
        OutlierDetection {
            consecutive_5xx: 3,
            consecutive_gateway: 0,
            interval: Duration::from_s(1),
            base_ejection: Duration::from_s(2),
            max_ejection: Duration::from_s(300),
            max_ejection_share: 0.1,
            always_eject_one: false,
            forms: OutlierForms::default(),
        }
    }

    #[test]
    fn ten_percent_of_nine_endpoints_is_nobody() {
        assert!(!may_eject(&policy(), 0, 9));
        assert!(may_eject(&policy(), 0, 10));
        assert!(!may_eject(&policy(), 1, 19));
        for (percent, of) in [(29, 100), (57, 100), (58, 50), (70, 90)] {
            let share = percent as f64 / 100.0;
            let policy = OutlierDetection { max_ejection_share: share, ..policy() };
            let most = percent * of / 100;
            assert!(may_eject(&policy, most - 1, of) && !may_eject(&policy, most, of), "{percent}");
        }
        assert!(may_eject(&OutlierDetection { always_eject_one: true, ..policy() }, 0, 3));
    }

    #[test]
    fn the_third_failure_in_a_row_ejects_and_a_success_starts_over() {
        let mut health = Health::default();
        let (bad, good) = (Outcome::answer(503), Outcome::answer(200));
        let mut record = |outcome| health.record(&policy(), outcome).five_xx;
        assert_eq!(
            [bad, bad, good, bad, bad, bad].map(&mut record),
            [false, false, false, false, false, true]
        );
    }

    #[test]
    fn an_ejection_ends_on_the_grid_and_the_next_one_is_longer() {
        let (policy, at) = (policy(), |s: f64| Time::ZERO + Duration::from_s_f64(s));
        let mut health = Health::default();
        health.eject(&policy, at(0.3), || 0);
        assert_eq!([1.0, 2.0, 3.0].map(|s| health.tick(&policy, at(s))), [false, false, true]);
        health.come_back();
        health.eject(&policy, at(3.2), || 0);
        let ticks = [4.0, 5.0, 6.0, 7.0, 8.0].map(|s| health.tick(&policy, at(s)));
        assert_eq!(ticks, [false, false, false, false, true]);
        health.come_back();
        assert!(health.needs_ticks());
        // Two healthy intervals forget both ejections.
        let _ = [health.tick(&policy, at(9.0)), health.tick(&policy, at(10.0))];
        assert!(!health.needs_ticks());
    }

    fn with(forms: OutlierForms) -> OutlierDetection {
        OutlierDetection { consecutive_5xx: 5, forms, ..policy() }
    }

    /// Family e05, `one_503_gateway_failure_default_enforcing`: 80 failures are 26 detections of three.
    #[test]
    fn counting_starts_over_after_a_detection_that_is_not_enforced() {
        let policy = OutlierDetection { consecutive_5xx: 0, consecutive_gateway: 3, ..policy() };
        let mut health = Health::default();
        let detected = (0..80).filter(|_| {
            let detected = health.record(&policy, Outcome::answer(503));
            health.start_over(detected);
            detected.any()
        });
        assert_eq!(detected.count(), 26);
    }

    /// Family e05, `one_503_gateway_failure_default_enforcing` and `enforcing_50pct`.
    #[test]
    fn a_detection_ejects_in_its_enforced_share_of_cases() {
        let detected = Detected { gateway: true, five_xx: true, local_origin: false };
        let forms = |gateway, five_xx| OutlierForms {
            enforcing_consecutive_gateway: gateway,
            enforcing_consecutive_5xx: five_xx,
            ..OutlierForms::default()
        };
        let shares: Vec<f64> = detected.enforcing(&forms(0.0, 0.5)).collect();
        assert_eq!(shares, [0.0, 0.5]);
        assert!(takes(1.0, || u64::MAX) && !takes(0.0, || 0));
        assert!(takes(0.5, || u64::MAX / 4) && !takes(0.5, || u64::MAX / 4 * 3));
    }

    /// Family e05, `one_refusing_split_local_5` and its default.
    #[test]
    fn failures_of_this_side_are_counted_apart_if_asked() {
        let policy = with(OutlierForms { split_local_origin: true, ..OutlierForms::default() });
        let refused = Outcome::failure(Details::ConnectionRefused);
        let mut health = Health::default();
        let all = [(); 5].map(|()| health.record(&policy, refused));
        assert!(all[4].local_origin && !all.iter().any(|one| one.five_xx));
        assert!(!all[3].any());
        // Its connection came up, so a timeout is the first failure in a row each time.
        let late = Outcome::failure(Details::ResponseTimeout);
        assert!((0..20).all(|_| !health.record(&policy, late).any()));
        // Answers count as ever.
        let bad = [(); 5].map(|()| health.record(&policy, Outcome::answer(503)).five_xx);
        assert_eq!(bad, [false, false, false, false, true]);
    }

    /// Family e05, `max_ejection_time_3s`: 1.8, 2.9, 3.9, 3.9 s from ejections shortly after a tick.
    #[test]
    fn ejections_grow_to_their_maximum_and_a_jitter_comes_on_top() {
        let of = |max_s, jitter_s| OutlierDetection {
            base_ejection: Duration::from_s(1),
            max_ejection: Duration::from_s(max_s),
            ..with(OutlierForms {
                max_ejection_jitter: Duration::from_s(jitter_s),
                ..OutlierForms::default()
            })
        };
        let at = |s: f64| Time::ZERO + Duration::from_s_f64(s);
        let returns = |policy: &OutlierDetection, health: &mut Health, from: f64, draw: u64| {
            health.eject(policy, at(from), || draw);
            let mut ticks = (1..99).map(|n| libm::floor(from) + f64::from(n));
            let back = ticks.find(|s| health.tick(policy, at(*s))).expect("it comes back");
            health.come_back();
            back - from
        };
        let (policy, mut health) = (of(3, 0), Health::default());
        for (from, measured) in [(0.13, 1.842), (2.11, 2.861), (5.11, 3.862), (9.1, 3.872)] {
            let lasted = returns(&policy, &mut health, from, 0);
            assert!((lasted - measured).abs() < 0.05, "{lasted}, measured {measured}");
        }
        let jitter = of(1, 2);
        let shown = [0, u64::MAX].map(|draw| returns(&jitter, &mut Health::default(), 0.5, draw));
        assert!((shown[0] - 1.5).abs() < 1e-9 && (shown[1] - 3.5).abs() < 1e-9, "{shown:?}");
    }

    /// `DetectorImpl::ejectHost`: the multiplier grows while base × k < max + base.
    #[test]
    fn forgetting_takes_no_longer_than_the_longest_ejection_deserves() {
        let policy = OutlierDetection { max_ejection: Duration::from_s(4), ..policy() };
        let mut health = Health::default();
        for _ in 0..20 {
            health.eject(&policy, Time::ZERO, || 0);
            health.come_back();
        }
        let mut forgotten = 0;
        while health.needs_ticks() {
            let _ = health.tick(&policy, Time::ZERO);
            forgotten += 1;
        }
        assert_eq!(forgotten, 3);
    }

    /// Family e05, `success_rate_stdev1900`: mean 91, threshold 63, the weak one at 58.
    #[test]
    fn an_endpoint_far_below_the_mean_is_an_outlier() {
        let forms = OutlierForms {
            success_rate: Some(SuccessRate { request_volume: 50, ..SuccessRate::default() }),
            ..OutlierForms::default()
        };
        let outliers = |answers: &[Answers]| outliers(&forms, Origin::External, answers);
        let mut answers = vec![of(100, 98); 5];
        answers.push(of(100, 58));
        assert_eq!(outliers(&answers), [(5, 1.0)]);
        let close = [99, 96, 98, 97, 98, 96].map(|good| of(100, good));
        assert_eq!(outliers(&close), []);
        // One of six with too few answers leaves five; two leave four, which are too few.
        answers[5] = of(100, 58);
        answers[0] = of(49, 49);
        assert_eq!(outliers(&answers), [(5, 1.0)]);
        answers[1] = of(49, 49);
        assert_eq!(outliers(&answers), []);
    }

    /// Family e05, `failure_percentage_30`.
    #[test]
    fn an_endpoint_that_fails_too_often_is_an_outlier() {
        let policy =
            FailurePercentage { threshold: 0.3, enforcing: 0.5, ..FailurePercentage::default() };
        let forms = OutlierForms { failure_percentage: Some(policy), ..OutlierForms::default() };
        let outliers = |answers: &[Answers]| outliers(&forms, Origin::External, answers);
        let mut answers = vec![of(100, 98); 5];
        answers.push(of(100, 70));
        assert_eq!(outliers(&answers), [(5, 0.5)]);
        answers[5] = of(100, 71);
        assert_eq!(outliers(&answers), []);
    }

    /// `putResultWithLocalExternalSplit`: a refused connection is a failure of this side and no answer; one
    /// that comes up is a success, whatever the answer; a timeout on it is a success and a failure.
    #[test]
    fn shares_of_this_sides_failures_are_compared_apart() {
        let forms = OutlierForms {
            split_local_origin: true,
            success_rate: Some(SuccessRate { request_volume: 10, ..SuccessRate::default() }),
            enforcing_local_origin_success_rate: 0.75,
            ..OutlierForms::default()
        };
        let policy = OutlierDetection { consecutive_5xx: 0, ..with(forms) };
        let counted = |outcome: Outcome| {
            let mut health = Health::default();
            let _ = health.record(&policy, outcome);
            health.take_answers()
        };
        assert_eq!(counted(Outcome::answer(503)), [of(1, 0), of(1, 1)]);
        assert_eq!(counted(Outcome::failure(Details::ConnectionRefused)), [of(0, 0), of(1, 0)]);
        assert_eq!(counted(Outcome::failure(Details::ResponseTimeout)), [of(0, 0), of(2, 1)]);
        let mut answers = vec![of(20, 20); 5];
        answers.push(of(20, 0));
        assert_eq!(outliers(&forms, Origin::Local, &answers), [(5, 0.75)]);
    }
}
