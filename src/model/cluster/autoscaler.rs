//! How many pods a `HorizontalPodAutoscaler` wants.
//!
//! Every 15 s: wanted = ⌈pods · load / target⌉, unless that is within 10 % of what there is. Up at
//! once, by 4 pods or to twice as many; down to the greatest wish of the last five minutes. Pods
//! that are not ready have no load when it would go up, and the target's when it would go down.
//!
//! Source: kubernetes `pkg/controller/podautoscaler/replica_calculator.go` and `horizontal.go`;
//! `pkg/apis/autoscaling/v2/defaults.go` (4 pods or 100 % a 15 s up, 100 % a 15 s down, 300 s of
//! stabilisation); `kube-controller-manager` (sync 15 s, tolerance 0.1).
//! Left out: the age of metrics (up to 60 s), the CPU initialization period apart from readiness.

use crate::kernel::time::{Duration, Time};
use crate::plan::pods::Autoscaler;
use std::collections::VecDeque;

/// Between two looks.
pub const SYNC: Duration = Duration::from_s(15);
/// A load this close to the target, as a share of it, changes nothing; and a little, since 1.1 − 1 is
/// more than 0.1 in binary.
const TOLERANCE: f64 = 0.1 + 1e-9;
/// The greatest wish of this long holds against going down.
const STABLE: Duration = Duration::from_s(300);
/// Pods that may always be added at once.
const STEP: u32 = 4;

/// Wishes of the last five minutes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wishes {
    wishes: VecDeque<(Time, u32)>,
}

impl Wishes {
    /// A look: the pods wanted until now, those that are ready with the sum of their loads (shares
    /// of busy workers), and how many are wanted from now on.
    pub fn look(
        &mut self,
        now: Time,
        rules: &Autoscaler,
        (wanted, ready): (u32, u32),
        load: f64,
    ) -> u32 {
        if wanted == 0 {
            return 0;
        }
        let wish = wish(rules, (wanted, ready), load);
        self.wishes.push_back((now, wish));
        while self.wishes.front().is_some_and(|(at, _)| STABLE < now.saturating_since(*at)) {
            self.wishes.pop_front();
        }
        let greatest = self.wishes.iter().map(|(_, wish)| *wish).max().unwrap_or(wish);
        let stable = if wish < wanted { greatest.min(wanted) } else { wish };
        let most = (wanted + STEP).max(2 * wanted);
        stable.min(most).clamp(rules.min, rules.max)
    }
}

/// What the load alone asks for.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of pods")]
fn wish(rules: &Autoscaler, (wanted, ready): (u32, u32), load: f64) -> u32 {
    if ready == 0 {
        return wanted;
    }
    let ratio = load / f64::from(ready) / rules.utilization;
    let unready = wanted.saturating_sub(ready);
    if (ratio - 1.0).abs() <= TOLERANCE {
        return wanted;
    }
    // Those that are not ready: idle if it would go up, at the target if it would go down.
    let (pods, load) = match (unready, 1.0 < ratio) {
        (0, _) => (ready, load),
        (_, true) => (ready + unready, load),
        (_, false) => (ready + unready, load + f64::from(unready) * rules.utilization),
    };
    let again = load / f64::from(pods) / rules.utilization;
    let turned = (ratio < 1.0) != (again < 1.0);
    if (again - 1.0).abs() <= TOLERANCE || turned {
        return wanted;
    }
    (again * f64::from(pods) - 1e-9).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Autoscaler = Autoscaler { min: 2, max: 200, utilization: 0.5 };

    fn at(s: u64) -> Time {
        Time::ZERO + Duration::from_s(s)
    }

    #[test]
    fn a_ramp_adds_four_or_doubles() {
        let (mut wishes, mut pods, mut ramp) = (Wishes::default(), 2, vec![2]);
        for look in 0..7 {
            // Everyone is as busy as can be, and the load needs 300 pods.
            pods = wishes.look(at(15 * look), &RULES, (pods, pods), 100.0 * f64::from(pods));
            ramp.push(pods);
        }
        assert_eq!(ramp, [2, 6, 12, 24, 48, 96, 192, 200]);
    }

    #[test]
    fn within_a_tenth_nothing_moves() {
        for load in [4.5, 5.0, 5.5] {
            assert_eq!(Wishes::default().look(at(0), &RULES, (10, 10), load), 10);
        }
        assert_eq!(Wishes::default().look(at(0), &RULES, (10, 10), 5.51), 12);
    }

    #[test]
    fn it_goes_down_after_five_minutes_of_calm() {
        let mut wishes = Wishes::default();
        assert_eq!(wishes.look(at(0), &RULES, (10, 10), 10.0), 20);
        let looks: Vec<u32> =
            (1..=21).map(|look| wishes.look(at(15 * look), &RULES, (20, 20), 2.0)).collect();
        assert_eq!((looks[19], looks[20]), (20, 4), "{looks:?}");
    }

    #[test]
    fn pods_that_are_not_ready_hold_a_ramp_back() {
        // Eight wanted, four ready and full: those that come are believed to be idle.
        assert_eq!(Wishes::default().look(at(0), &RULES, (8, 4), 4.0), 8);
        assert_eq!(Wishes::default().look(at(0), &RULES, (8, 0), 0.0), 8);
    }
}
