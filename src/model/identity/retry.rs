//! The loops in which agents, proxies and controllers try again, without an event for each try.
//!
//! A loop is one instant, two counters and a law; each wait is a function of the counters and of
//! one numbered draw. So whoever is known to fail until some time is *parked*, and
//! [`RetryLoop::skip_to`] catches up with what nobody simulated.
//!
//! What is exact: stretches of fewer than 512 cycles (two hours of stream or certificate retries),
//! the growth of the intervals, and all of a loop without chance. Those come to the very instant
//! and count that stepping would, however often they were looked at in between. What holds in law:
//! a longer stretch is leapt over by the [residual law](super::residual), in constant time. Where
//! it comes to is fixed by the loop, `until` and the draws; another look in between uses other
//! draws, and is another sample of the same law.
//!
//! ```text
//! Csr     ×··×···×······×············×           five tries, waits 100, 200, 400, 800 ms ± 10 %,
//!         └──────── one stream ──────┘ U[0, i)   then a new stream after U[0, i), i = 0.5 s … 30 s
//! Stream  ×   U[0, i)   ×
//! Warmup  ×  i ± 50 %   ×                        i = 0.5 s · 1.5^n, at most 60 s
//! Create  ×      i      ×                        i = 5 ms · 2^n, at most 1000 s; no chance in it
//! Linkerd ×   i + 10 %  ×                        i = 100 ms · 2^n; never more than 60 s
//! ```
//!
//! Source: istio pkg/security/retry.go:31-44 and security/pkg/nodeagent/sds/sdsservice.go:88-140;
//! envoy `source/common/common/backoff_strategy.cc`, which starts over on the first *message*, so
//! never while the other side is away; kubernetes `replica_set.go`, client-go's default limiter.
//! Left out: client-go's bucket of 10 a second over all; Envoy's whole milliseconds.

use super::residual::{Cycle, Gap, Residual};
use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::model::linkerd::backoff::wait;
use crate::plan::linkerd::policy::Backoff;
use crate::plan::parameter::{CsrInnerRetry, Kubernetes, StreamBackoff, WarmupBackoff, Ztunnel};

/// No interval is shorter: a loop without waits would never come to `until`. Envoy's unit.
const INTERVAL_MIN: Duration = Duration::from_ms(1);

/// Full jitter: uniform on [0, interval), the interval doubling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamBackoffLaw {
    /// The first interval.
    pub base: Duration,
    /// The longest.
    pub max: Duration,
}

/// How long a loop waits after a failed try.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Law {
    /// A certificate request: a burst of tries inside the agent, then the stream ends and the
    /// proxy opens another.
    Csr {
        /// Tries of a burst, at least 1. One, where the answer is not worth a try inside the agent
        /// (`Unauthenticated`).
        tries: u32,
        /// The wait after the first; doubles.
        base: Duration,
        /// Each is drawn within this share of its length, 0 to 1.
        jitter: f64,
        /// Between bursts.
        outer: StreamBackoffLaw,
    },
    /// A stream to the control plane.
    Stream(StreamBackoffLaw),
    /// The agent's first certificate.
    Warmup {
        /// The first interval.
        base: Duration,
        /// Growth per try, at least 1.
        factor: f64,
        /// Each wait is drawn within this share of its interval, 0 to 1.
        jitter: f64,
        /// The longest interval.
        max: Duration,
    },
    /// A `ReplicaSet`'s creation of a pod.
    Create {
        /// The first wait; doubles.
        base: Duration,
        /// The longest.
        max: Duration,
    },
    /// Linkerd's: a wait doubles, and up to a share of it comes on top, but none is longer than the longest.
    Linkerd(Backoff),
}

/// Where a loop stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryLoop {
    next_try: Time,
    /// Failed tries of the present burst.
    burst: u32,
    /// How often the interval has grown.
    growth: u32,
    /// Draws used.
    draws: u32,
}

impl StreamBackoffLaw {
    /// As configured.
    pub fn new(backoff: &StreamBackoff) -> Self {
        Self { base: backoff.base, max: backoff.max }
    }

    fn interval(self, growth: u32) -> Duration {
        doubled(self.base, growth, self.max)
    }
}

impl Law {
    /// A certificate request of a running proxy.
    pub fn csr(inner: &CsrInnerRetry, outer: &StreamBackoff) -> Self {
        let outer = StreamBackoffLaw::new(outer);
        Self::Csr { tries: inner.tries, base: inner.base, jitter: inner.jitter, outer }
    }

    /// The same, where the answer is not worth a second try inside the agent.
    #[must_use]
    pub fn once(self) -> Self {
        match self {
            Self::Csr { base, jitter, outer, .. } => Self::Csr { tries: 1, base, jitter, outer },
            law => law,
        }
    }

    /// A stream to the control plane.
    pub fn stream(backoff: &StreamBackoff) -> Self {
        Self::Stream(StreamBackoffLaw::new(backoff))
    }

    /// The same of Linkerd's proxies.
    pub fn linkerd_stream(backoff: &Backoff) -> Self {
        Self::Linkerd(*backoff)
    }

    /// The first certificate of a pod.
    pub fn warmup(backoff: &WarmupBackoff) -> Self {
        let WarmupBackoff { base, factor, jitter, max } = backoff;
        Self::Warmup { base: *base, factor: factor.0, jitter: *jitter, max: *max }
    }

    /// ztunnel's requests for a certificate.
    pub fn ztunnel_csr(rules: &Ztunnel) -> Self {
        Self::Warmup {
            base: rules.backoff_base,
            factor: rules.backoff_factor.0,
            jitter: rules.backoff_jitter,
            max: rules.backoff_max,
        }
    }

    /// ztunnel's stream to istiod: no chance in it.
    pub fn ztunnel_stream(rules: &Ztunnel) -> Self {
        Self::Create { base: rules.xds_backoff_base, max: rules.xds_backoff_max }
    }

    /// The creation of a pod.
    pub fn create(kubernetes: &Kubernetes) -> Self {
        Self::Create { base: kubernetes.create_backoff_base, max: kubernetes.create_backoff_max }
    }

    /// Whether the interval has grown as far as it will.
    fn is_grown(&self, growth: u32) -> bool {
        let is_doubled = |base, max| doubled(base, growth, max) == doubled(base, u32::MAX, max);
        match *self {
            Self::Csr { outer: StreamBackoffLaw { base, max }, .. }
            | Self::Stream(StreamBackoffLaw { base, max })
            | Self::Create { base, max } => is_doubled(base, max),
            Self::Warmup { base, factor, max, .. } => {
                grown(base, factor, growth, max) == grown(base, factor, u32::MAX, max)
            }
            Self::Linkerd(backoff) => linkerd(&backoff, growth, 0) == backoff.max.max(INTERVAL_MIN),
        }
    }

    /// The waits of a grown loop whose tries take `held`, from the begin of a burst on; none if a
    /// burst is so long that it is always replayed.
    fn cycle(&self, held: Duration) -> Option<Cycle> {
        let around = |wait: Duration, jitter: f64| Gap {
            low: held + wait.scale(1.0 - jitter),
            high: held + wait.scale(1.0 + jitter),
        };
        let full_jitter =
            |outer: &StreamBackoffLaw| Gap { low: held, high: held + outer.interval(u32::MAX) };
        match self {
            Self::Csr { tries, base, jitter, outer } => {
                let tries = tries.max(&1);
                let gap = |n| match n {
                    n if n + 1 < *tries => around(doubled(*base, n, Duration::MAX), *jitter),
                    _ => full_jitter(outer),
                };
                Cycle::new((0..*tries).map(gap))
            }
            Self::Stream(outer) => Cycle::new(std::iter::once(full_jitter(outer))),
            Self::Warmup { base, factor, jitter, max } => {
                let interval = grown(*base, *factor, u32::MAX, *max).max(INTERVAL_MIN);
                Cycle::new(std::iter::once(around(interval, *jitter)))
            }
            Self::Create { base, max } => {
                Cycle::new(std::iter::once(Gap::fixed(held + doubled(*base, u32::MAX, *max))))
            }
            // Its jitter has no room when it is grown.
            Self::Linkerd(backoff) => {
                let wait = held + backoff.max.max(INTERVAL_MIN);
                Cycle::new(std::iter::once(Gap::fixed(wait)))
            }
        }
    }
}

impl RetryLoop {
    /// The first try is made at `now`.
    pub fn start(now: Time) -> Self {
        Self { next_try: now, burst: 0, growth: 0, draws: 0 }
    }

    /// Draws used so far, for [`RetryLoop::restart`].
    pub const fn draws(&self) -> u32 {
        self.draws
    }

    /// A loop of the same owner that begins anew: it goes on with the owner's draws.
    pub fn restart(now: Time, draws: u32) -> Self {
        Self { draws, ..Self::start(now) }
    }

    /// The next try is made at `now`, however long its wait would have been.
    pub fn hasten(&mut self, now: Time) {
        self.next_try = self.next_try.min(now);
    }

    /// When the next try is made.
    pub fn next_try(&self) -> Time {
        self.next_try
    }

    /// The try at [`RetryLoop::next_try`] failed after `held`: on to the one after it. `draw`
    /// gives the n-th random number of this loop.
    pub fn fail(&mut self, law: &Law, held: Duration, draw: impl FnOnce(u32) -> u64) {
        let wait = match *law {
            Law::Csr { tries, base, jitter, outer } => {
                self.burst += 1;
                if self.burst < tries {
                    let wait = doubled(base, self.burst - 1, Duration::MAX);
                    wait.scale(around_one(jitter, self.drawn(draw)))
                } else {
                    self.burst = 0;
                    self.full_jitter(outer, draw)
                }
            }
            Law::Stream(backoff) => self.full_jitter(backoff, draw),
            Law::Warmup { base, factor, jitter, max } => {
                let interval = grown(base, factor, self.growth, max);
                self.grow();
                interval.max(INTERVAL_MIN).scale(around_one(jitter, self.drawn(draw)))
            }
            Law::Create { base, max } => {
                let wait = doubled(base, self.growth, max);
                self.grow();
                wait
            }
            Law::Linkerd(backoff) => {
                let wait = linkerd(&backoff, self.growth, self.drawn(draw));
                self.grow();
                wait
            }
        };
        self.next_try = self.next_try.saturating_add(held).saturating_add(wait);
    }

    /// Every try before `until` fails; how many those were. From then on `next_try() >= until`.
    pub fn skip_to(
        &mut self,
        until: Time,
        law: &Law,
        held: Duration,
        mut draw: impl FnMut(u32) -> u64,
    ) -> u64 {
        let cycle = law.cycle(held);
        let mut skipped = 0;
        while self.next_try < until {
            if let Some(cycle) = &cycle
                && self.burst == 0
            {
                let left = until.since(self.next_try);
                if let Some(wait) = cycle.fixed()
                    && law.is_grown(self.growth)
                {
                    return skipped + self.count_off(left, wait);
                }
                if cycle.is_far(left) && law.is_grown(self.growth) {
                    return skipped + self.leap(until, cycle, &mut draw);
                }
            }
            self.fail(law, held, &mut draw);
            skipped += 1;
        }
        skipped
    }

    /// Tries a fixed wait apart, the first of them `left` before the end; how many those were.
    fn count_off(&mut self, left: Duration, wait: Duration) -> u64 {
        let count = left.ns().div_ceil(wait.ns());
        self.next_try = self.next_try.saturating_add(wait * count);
        self.growth = self.growth.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        count
    }

    /// Over many cycles at once, by the residual law; how many tries those were.
    fn leap(&mut self, until: Time, cycle: &Cycle, mut draw: impl FnMut(u32) -> u64) -> u64 {
        let elapsed = until.since(self.next_try);
        let Residual { gap, left, cycles } = cycle.residual(elapsed, || self.drawn(&mut draw));
        self.next_try = until.saturating_add(left);
        let gaps = cycle.len();
        self.burst = u32::try_from((gap + 1) % gaps).expect("few gaps");
        // Each gap follows a try.
        cycles * gaps as u64 + gap as u64 + 1
    }

    fn full_jitter(
        &mut self,
        backoff: StreamBackoffLaw,
        draw: impl FnOnce(u32) -> u64,
    ) -> Duration {
        let interval = backoff.interval(self.growth);
        self.grow();
        share_of(interval, self.drawn(draw))
    }

    fn drawn(&mut self, draw: impl FnOnce(u32) -> u64) -> u64 {
        let bits = draw(self.draws);
        self.draws += 1;
        bits
    }

    fn grow(&mut self) {
        self.growth = self.growth.saturating_add(1);
    }
}

/// `base` · 2^`growth`, at most `max`, and never so short that a loop stands still.
fn doubled(base: Duration, growth: u32, max: Duration) -> Duration {
    // 2^60 ns is longer than every run.
    let factor = 1_u64 << growth.min(60);
    let ns = base.ns().saturating_mul(factor).min(max.ns());
    Duration::from_ns(ns.min(Duration::MAX.ns())).max(INTERVAL_MIN)
}

fn linkerd(backoff: &Backoff, growth: u32, draw: u64) -> Duration {
    wait(backoff, growth, draw).max(INTERVAL_MIN)
}

/// `base` · `factor`^`growth`, at most `max`.
fn grown(base: Duration, factor: f64, growth: u32, max: Duration) -> Duration {
    base.scale(libm::pow(factor, f64::from(growth))).min(max)
}

/// Uniform on [1 − jitter, 1 + jitter).
fn around_one(jitter: f64, draw: u64) -> f64 {
    1.0 + jitter * (2.0 * uniform(draw) - 1.0)
}

/// Uniform on [0, interval).
fn share_of(interval: Duration, draw: u64) -> Duration {
    Duration::from_ns(((u128::from(interval.ns()) * u128::from(draw)) >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stream::Key;
    use crate::plan::parameter::Parameters;

    const HOUR: Duration = Duration::from_s(3600);

    fn at_ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_ms(ms)
    }

    #[test]
    fn ztunnels_stream_waits_twice_as_long_each_time_and_draws_nothing() {
        let rules = Parameters::default().ztunnel;
        let (law, mut stream) = (Law::ztunnel_stream(&rules), RetryLoop::start(Time::ZERO));
        let mut last = Time::ZERO;
        for wait_ms in [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 15_000, 15_000]
        {
            stream.fail(&law, Duration::ZERO, |_| panic!("no chance in it"));
            assert_eq!(stream.next_try().since(last), Duration::from_ms(wait_ms));
            last = stream.next_try();
        }
        // A certificate: 1, 2, 4 … 128, 150 s, each within a fifth; but at once when there is a reason.
        let (law, mut csr) = (Law::ztunnel_csr(&rules), RetryLoop::start(Time::ZERO));
        for (n, wait_s) in [1_u64, 2, 4, 8, 16, 32, 64, 128, 150, 150].into_iter().enumerate() {
            let before = csr.next_try();
            csr.fail(&law, Duration::ZERO, |n| Key(7).draw(0, n));
            let wait = csr.next_try().since(before).as_s() / wait_s as f64;
            assert!((0.8..1.2).contains(&wait), "{n}: {wait}");
        }
        csr.hasten(at_ms(5));
        assert_eq!(csr.next_try(), at_ms(5));
    }

    /// The longest wait of Linkerd's streams has no jitter: it would be longer than the longest.
    #[test]
    fn linkerds_stream_never_waits_longer_than_a_minute() {
        let backoff =
            Backoff { min: Duration::from_ms(100), max: Duration::from_s(60), jitter: 0.1 };
        let (law, mut stream) = (Law::linkerd_stream(&backoff), RetryLoop::start(Time::ZERO));
        let mut last = Time::ZERO;
        for n in 0..20 {
            stream.fail(&law, Duration::ZERO, |n| Key(7).draw(0, n));
            let waited = stream.next_try().since(last);
            let base = Duration::from_ms(100 << n.min(20)).min(backoff.max);
            assert!(base <= waited && waited <= base.scale(1.1).min(backoff.max), "{waited}");
            last = stream.next_try();
        }
        let mut stepped = stream;
        let skipped = stream.skip_to(at_ms(40_000_000), &law, Duration::ZERO, |_| 0);
        for _ in 0..skipped {
            stepped.fail(&law, Duration::ZERO, |_| 0);
        }
        assert_eq!(stepped.next_try(), stream.next_try());
        assert!(skipped > 600 && at_ms(40_000_000) <= stream.next_try());
    }

    fn laws() -> [Law; 4] {
        let parameters = Parameters::default();
        [
            Law::csr(&parameters.csr_inner_retry, &parameters.envoy_stream_backoff),
            Law::stream(&parameters.envoy_stream_backoff),
            Law::warmup(&parameters.agent_warmup_backoff),
            Law::create(&parameters.kubernetes),
        ]
    }

    /// Times of the first tries after the one at 0, all draws in the middle.
    fn tries(law: &Law, count: usize) -> Vec<u64> {
        let mut retry = RetryLoop::start(Time::ZERO);
        let step = |_| {
            retry.fail(law, Duration::ZERO, |_| 1 << 63);
            retry.next_try().ns() / 1_000_000
        };
        (0..count).map(step).collect()
    }

    #[test]
    fn a_certificate_request_is_tried_in_bursts_of_five() {
        let [csr, ..] = laws();
        assert_eq!(tries(&csr, 10), [100, 300, 700, 1500, 1750, 1850, 2050, 2450, 3250, 3750]);
    }

    #[test]
    fn a_stream_is_opened_again_after_half_of_a_doubling_interval() {
        let [_, stream, ..] = laws();
        assert_eq!(tries(&stream, 9), [250, 750, 1750, 3750, 7750, 15_750, 30_750, 45_750, 60_750]);
    }

    #[test]
    fn a_warm_up_grows_by_half_and_a_creation_doubles_to_its_cap() {
        let [.., warmup, create] = laws();
        assert_eq!(tries(&warmup, 3), [500, 1250, 2375]);
        assert_eq!(tries(&warmup, 100)[99] - tries(&warmup, 100)[98], 60_000);
        assert_eq!(tries(&create, 4), [5, 15, 35, 75]);
        // As read in Kubernetes: the cap is reached after 18 failures, after about 22 minutes.
        let waits = tries(&create, 20);
        assert_eq!(waits[17] / 60_000, 21);
        assert_eq!(waits[19] - waits[18], 1_000_000);
    }

    #[test]
    fn a_try_that_hangs_puts_the_next_one_off() {
        let [.., create] = laws();
        let mut retry = RetryLoop::start(at_ms(7));
        retry.fail(&create, Duration::from_s(10), |_| unreachable!("no chance in it"));
        assert_eq!(retry.next_try(), at_ms(10_012));
    }

    #[test]
    fn skipping_a_short_stretch_is_the_same_as_stepping() {
        for law in laws() {
            for held in [Duration::ZERO, Duration::from_s(20)] {
                for owner in 0..20 {
                    let draw = |n| Key(owner).draw(n, 0);
                    let mut stepped = RetryLoop::start(at_ms(owner * 777));
                    let mut skipped = stepped;
                    // Parked and woken several times, as when an outage has gaps.
                    for hours in [1, 2, 2, 3] {
                        let until = Time::ZERO + HOUR * hours;
                        let mut count = 0;
                        while stepped.next_try() < until {
                            stepped.fail(&law, held, draw);
                            count += 1;
                        }
                        assert_eq!(skipped.skip_to(until, &law, held, draw), count);
                        assert_eq!(skipped, stepped);
                        assert!(until <= skipped.next_try());
                    }
                }
            }
        }
    }

    /// The try at or after `until`, and the number of those before it.
    fn step_to(until: Time, law: &Law, held: Duration, owner: u64) -> (RetryLoop, u64) {
        let mut retry = RetryLoop::start(Time::ZERO);
        let mut count = 0;
        while retry.next_try() < until {
            retry.fail(law, held, |n| Key(owner).draw(n, 0));
            count += 1;
        }
        (retry, count)
    }

    fn skip_to(until: &[Time], law: &Law, held: Duration, owner: u64) -> (RetryLoop, u64) {
        let mut retry = RetryLoop::start(Time::ZERO);
        let skip = |until| retry.skip_to(until, law, held, |n| Key(owner).draw(n, 0));
        let count = until.iter().copied().map(skip).sum();
        (retry, count)
    }

    /// The two-sample statistic of Kolmogorov and Smirnov, in units of its deviation: 1.95 is
    /// passed by one pair of samples of one law in a thousand.
    fn smirnov(mut a: Vec<f64>, mut b: Vec<f64>) -> f64 {
        a.sort_unstable_by(f64::total_cmp);
        b.sort_unstable_by(f64::total_cmp);
        let (n, m) = (a.len() as f64, b.len() as f64);
        let distance = |at: f64| {
            let below = |sample: &[f64]| sample.partition_point(|one| *one <= at) as f64;
            (below(&a) / n - below(&b) / m).abs()
        };
        let largest = a.iter().chain(&b).map(|at| distance(*at)).fold(0.0, f64::max);
        largest * libm::sqrt(n * m / (n + m))
    }

    /// Mean and variance, each with its standard error (that of a normal sample).
    fn moments(sample: &[f64]) -> [(f64, f64); 2] {
        let (mean, error) = estimate(sample);
        let count = sample.len() as f64;
        let variance = error * error * count;
        [(mean, error), (variance, variance * libm::sqrt(2.0 / count))]
    }

    #[test]
    fn parked_loops_recover_like_stepped_ones() {
        const OWNERS: u64 = 2_000;
        for (law, number) in laws().iter().zip(0_u64..) {
            for held in [Duration::ZERO, Duration::from_s(20)] {
                let cycle = law.cycle(held).expect("few gaps");
                // 600 cycles and more; for some also with a look at half of it, which is far, too.
                let length = Duration::from_ns_f64(cycle.mean_ns() * 1_300.0);
                let until = Time::ZERO + HOUR + length;
                let half = Time::ZERO + HOUR + length.scale(0.5);
                let (mut waits, mut counts) = ([vec![], vec![], vec![]], [vec![], vec![], vec![]]);
                for owner in 0..OWNERS {
                    let owner = (number * 8 + u64::from(held.is_zero())) * OWNERS * 4 + owner;
                    let ends = [
                        step_to(until, law, held, owner),
                        skip_to(&[until], law, held, owner + OWNERS),
                        skip_to(&[half, until], law, held, owner + OWNERS * 2),
                    ];
                    for (way, (retry, count)) in ends.iter().enumerate() {
                        assert!(until <= retry.next_try());
                        waits[way].push(retry.next_try().since(until).as_s());
                        counts[way].push(*count as f64);
                    }
                }
                if matches!(law, Law::Create { .. }) {
                    assert!(waits[0] == waits[1] && waits[0] == waits[2], "no chance in it");
                    assert!(counts[0] == counts[1] && counts[0] == counts[2]);
                    continue;
                }
                for way in [1, 2] {
                    for (what, samples) in [("waits", &waits), ("counts", &counts)] {
                        let distance = smirnov(samples[0].clone(), samples[way].clone());
                        assert!(distance < 1.95, "{law:?}, {what}: {distance}");
                        let pairs = moments(&samples[0]).into_iter().zip(moments(&samples[way]));
                        for ((stepped, error), (parked, other)) in pairs {
                            let error = libm::hypot(error, other);
                            assert!(
                                (stepped - parked).abs() < 3.5 * error,
                                "{law:?}, {what}: {stepped}, {parked} ± {error}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn ten_years_are_leapt_over_at_once() {
        // Tries per cycle over its mean; the deviation of the count is √(c·t/μ) cycles.
        let [csr, stream, ..] = laws();
        let until = Time::ZERO + HOUR * 24 * 3650;
        for (law, tries, cycle_s, variance) in
            [(csr, 5.0, 16.5, 75.0 + 0.85 * 0.01 / 3.0), (stream, 1.0, 15.0, 75.0)]
        {
            let cycles = 3650.0 * 86_400.0 / cycle_s;
            let deviation = libm::sqrt(variance / (cycle_s * cycle_s) * cycles);
            let mut sum = 0.0;
            for owner in 0..400 {
                let mut draws = 0;
                let mut retry = RetryLoop::start(Time::ZERO);
                let draw = |n| {
                    draws += 1;
                    Key(owner).draw(n, 0)
                };
                let count = retry.skip_to(until, &law, Duration::ZERO, draw);
                sum += (count as f64 / tries - cycles) / deviation;
                assert!(draws < 100, "{draws} draws");
            }
            assert!((sum / 400.0).abs() < 4.0 / 20.0, "{law:?}: {}", sum / 400.0);
        }
    }

    #[test]
    fn a_loop_without_waits_still_moves() {
        let none = StreamBackoffLaw { base: Duration::ZERO, max: Duration::ZERO };
        let csr = Law::Csr { tries: 0, base: Duration::ZERO, jitter: 0.0, outer: none };
        let mut retry = RetryLoop::start(Time::ZERO);
        let _ = retry.skip_to(at_ms(100), &csr, Duration::ZERO, |n| Key(1).draw(n, 0));
        assert!(at_ms(100) <= retry.next_try());
    }

    /// Mean and standard error.
    fn estimate(samples: &[f64]) -> (f64, f64) {
        let count = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / count;
        let squares: f64 = samples.iter().map(|sample| (sample - mean) * (sample - mean)).sum();
        (mean, libm::sqrt(squares / (count - 1.0) / count))
    }

    #[test]
    fn after_a_recovery_the_wait_is_that_of_renewal_theory() {
        // Inspection paradox: the mean wait from a random instant is Σ E[g²] / 2 Σ E[g] over the
        // gaps g of a cycle: four of 0.1, 0.2, 0.4, 0.8 s × U(0.9, 1.1), one of U(0, 30) s.
        let inner = [0.1, 0.2, 0.4, 0.8];
        let cycle = inner.iter().sum::<f64>() + 15.0;
        let jitter_square = 1.0 + 0.1 * 0.1 / 3.0;
        let squares = inner.iter().map(|gap| gap * gap * jitter_square).sum::<f64>() + 300.0;
        let wait_expected = squares / (2.0 * cycle);
        assert!((9.0..9.2).contains(&wait_expected), "about 9.1 s: {wait_expected}");
        let tries_expected = 5.0 * 3600.0 / cycle;

        let [csr, ..] = laws();
        let (mut waits, mut tries) = (Vec::new(), Vec::new());
        for owner in 0..4_000 {
            let draw = |n| Key(owner).draw(n, 0);
            let mut retry = RetryLoop::start(Time::ZERO);
            let _ = retry.skip_to(Time::ZERO + HOUR, &csr, Duration::ZERO, draw);
            // Half of them by replay, half by the residual law.
            let at = HOUR * if owner % 2 == 0 { 2 } else { 20 };
            let recovery = Time::ZERO + at + HOUR.scale(uniform(Key(owner).draw(0, 1)));
            let hours = recovery.since(Time::ZERO).as_s() / 3600.0 - 1.0;
            tries.push(retry.skip_to(recovery, &csr, Duration::ZERO, draw) as f64 / hours);
            waits.push(retry.next_try().since(recovery).as_s());
        }
        for (samples, expected) in [(waits, wait_expected), (tries, tries_expected)] {
            let (mean, error) = estimate(&samples);
            assert!((mean - expected).abs() < 4.0 * error, "{mean} ± {error}, not {expected}");
        }
    }
}
