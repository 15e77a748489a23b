//! What Linkerd's proxy decides where it differs from Envoy, and its control plane from Istio's.
//!
//! In the order of a request: [`detect`] the protocol, [`lookup`] the destination and keep it in a
//! [`cache`], draw a backend by its [`distribution`], wait in the [`queue`], choose
//! an endpoint by [`p2c`] over [`peak_ewma`], leave out those that [`accrual`] shut; [`retry`] and
//! [`retry_budget`], [`timeouts`]; on the other side [`authorization`] and [`rate_limit`]. Each failure is
//! an [`answer`]. Besides: [`failover`] of a split, [`renewal`] of leaves, [`check`], [`control`] streams and their [`client`],
//! [`connection`] lives.

pub mod accrual;
pub mod answer;
pub mod authorization;
pub mod backoff;
pub mod cache;
pub mod check;
pub mod client;
pub mod connection;
pub mod control;
pub mod detect;
pub mod distribution;
pub mod failover;
pub mod lookup;
pub mod p2c;
pub mod peak_ewma;
pub mod queue;
pub mod rate_limit;
pub mod renewal;
pub mod retry;
pub mod retry_budget;
pub mod success_rate;
pub mod timeouts;

#[cfg(test)]
mod tests {
    //! Several parts together, as a request meets them.

    use super::accrual::{Breaker, Change, Class};
    use super::answer::Answer;
    use super::cache::Entry;
    use super::distribution::Distribution;
    use super::queue::{Arrival, Limits, Queue};
    use super::{p2c, peak_ewma::PeakEwma};
    use crate::kernel::stream::Key;
    use crate::kernel::time::{Duration, Time};
    use crate::plan::linkerd::Linkerd;
    use crate::plan::linkerd::policy::{Accrual, FailureAccrual};

    fn at_ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_ms(ms)
    }

    /// Requests every 10 ms for 8 s over backends that have endpoints or not: answers as
    /// (goes to a backend, 504, 503).
    fn spread(has_endpoints: [bool; 2]) -> [u32; 3] {
        let limits = Limits::outbound_http(&Linkerd::default());
        let distribution = Distribution::new(&[50, 50]);
        let (mut queues, mut timers) = ([Queue::default(); 2], [None; 2]);
        let mut counts = [0; 3];
        for ms in (0..8_000).step_by(10) {
            for (queue, timer) in queues.iter_mut().zip(&mut timers) {
                if let Some(until) = timer.take_if(|until| *until <= at_ms(ms)) {
                    counts[1] += queue.time_is_up(until).unwrap_or(0);
                }
            }
            let accepts = |backend: usize| !queues[backend].is_failing_fast();
            let Some(backend) = distribution.pick(Key(ms).draw(0, 0), accepts) else {
                counts[2] += 1;
                continue;
            };
            match queues[backend].arrive(&limits, at_ms(ms), has_endpoints[backend]) {
                Arrival::Go => counts[0] += 1,
                Arrival::Wait(timer) => timers[backend] = timer.or(timers[backend]),
                Arrival::Shed(_) => counts[2] += 1,
            }
        }
        counts
    }

    /// linkerd2#11493: the share of a backend without endpoints waits for three seconds, and then is the
    /// others'.
    #[test]
    fn a_backend_without_endpoints_costs_its_share_of_three_seconds() {
        let [good, late, shed] = spread([false, true]);
        assert!((130..=170).contains(&late), "half of 300: {late}");
        assert_eq!((good, shed), (800 - late, 0));
    }

    #[test]
    fn without_any_endpoint_three_seconds_of_504_are_followed_by_503() {
        let [good, late, shed] = spread([false, false]);
        assert_eq!((good, late + shed), (0, 800));
        assert!((300..=303).contains(&late), "{late}");
    }

    /// In an outage of the control plane whoever calls every 4 s keeps what it knows, every 6 s not.
    #[test]
    fn quiet_clients_lose_their_destination_and_busy_ones_do_not() {
        let idle = Linkerd::default().linkerd_outbound.discovery_idle;
        let lost_at = |every_ms: u64| {
            let mut entry = Entry::new();
            let _ = entry.leave(at_ms(0), idle);
            (1..100).map(|n| at_ms(n * every_ms)).find(|now| {
                let is_lost = entry.is_dropped(*now);
                if !is_lost {
                    entry.hold(*now);
                    let _ = entry.leave(*now, idle);
                }
                is_lost
            })
        };
        assert_eq!(lost_at(4_000), None);
        assert_eq!(lost_at(6_000), Some(at_ms(6_000)));
    }

    /// The last endpoint that is shut out is as none: its probation ends fail-fast.
    #[test]
    fn endpoints_that_are_all_shut_are_as_none() {
        let linkerd = Linkerd::default();
        let mut rules = linkerd.linkerd_accrual.clone();
        rules.mode = Accrual::Consecutive;
        rules.min_penalty = Duration::from_s(10);
        let policy = FailureAccrual::new(&rules).expect("it is on");
        let limits = Limits::outbound_http(&linkerd);
        let (mut breaker, mut queue) = (Breaker::new(&policy, at_ms(0)), Queue::default());
        let mut shut = Change::None;
        for _ in 0..7 {
            assert_eq!(queue.arrive(&limits, at_ms(0), breaker.is_ready()), Arrival::Go);
            shut = breaker.record(&policy, at_ms(0), Class::Failure, || 0);
        }
        let until = at_ms(10_000);
        assert_eq!(shut, Change::Shut(until));
        let is_ready = breaker.is_ready();
        let wait = queue.arrive(&limits, at_ms(100), is_ready);
        assert_eq!(wait, Arrival::Wait(Some(at_ms(3_100))));
        assert_eq!(queue.time_is_up(at_ms(3_100)), Some(1));
        let shed = Arrival::Shed(Answer::LoadShed);
        assert_eq!(queue.arrive(&limits, at_ms(3_200), is_ready), shed);
        assert!(breaker.time_is_up(until) && !queue.ready());
        assert_eq!(queue.arrive(&limits, at_ms(10_050), breaker.is_ready()), Arrival::Go);
        breaker.send();
        let second = queue.arrive(&limits, at_ms(10_060), breaker.is_ready());
        assert_eq!(second, Arrival::Wait(Some(at_ms(13_060))), "the probe is under way");
    }

    /// Two are always compared, so the slowest of three is picked only as long as it has not answered yet.
    #[test]
    fn a_slow_endpoint_is_left_alone_until_it_is_forgotten() {
        let rules = Linkerd::default().linkerd_balancer;
        let mut endpoints = [PeakEwma::new(at_ms(0), rules.default_rtt); 3];
        let mut counts = [0_u32; 3];
        for n in 0..30_000_u64 {
            let now = at_ms(n);
            let draws = [Key(n).draw(0, 0), Key(n).draw(0, 1)];
            let picked = p2c::pick(3, draws, |index| endpoints[index].cost(now, rules.decay, 0));
            let index = picked.expect("there are three");
            counts[index] += 1;
            let rtt = Duration::from_ms(if index == 2 { 1_000 } else { 10 });
            endpoints[index].observe(now, rtt, rules.decay);
        }
        // ln(1000 ms / 10 ms) decays of 10 s: 46 s, longer than the run.
        assert!(counts[2] < 5, "{counts:?}");
        assert!(counts[0].abs_diff(counts[1]) < 3_000, "{counts:?}");
    }
}
