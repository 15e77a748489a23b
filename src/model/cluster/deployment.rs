//! How many pods a deployment creates and deletes now: the arithmetic of a rolling update.
//!
//! Pods of the new revision are created as long as all pods together stay within `wanted +
//! max_surge`; old ones are deleted as long as `wanted − max_unavailable` ready ones are left,
//! those that are not ready first. Without old pods this is plain scaling.
//!
//! Source: kubernetes `pkg/controller/deployment/rolling.go` and `util/deployment_util.go`
//! (`NewRSNewReplicas`, `ResolveFenceposts`); defaults of 25 % each in `pkg/apis/apps/v1`.
//! Left out: several old revisions at once, proportional scaling during an update, the progress
//! deadline (it reports, and stops nothing), `Recreate`, pauses.

use crate::plan::universe::Rollout;

/// Shares are typed with a few digits: a product this close to a whole number is meant to be it.
const ROUNDING: f64 = 1e-6;

/// What is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deployment {
    /// Pods.
    pub wanted: u32,
    /// So many more may exist during an update.
    pub max_surge: u32,
    /// So many fewer may be ready during an update.
    pub max_unavailable: u32,
}

/// What there is. Pods that are being deleted do not count; those not ready yet do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Pods of the old revision.
    pub old: u32,
    /// Those of them that are ready.
    pub old_ready: u32,
    /// Pods of the new revision.
    pub new: u32,
    /// Those of them that are ready.
    pub new_ready: u32,
}

/// What to do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Change {
    /// Pods of the new revision to create.
    pub create: u32,
    /// Pods of the old revision to delete: those that are not ready first.
    pub delete_old: u32,
    /// Pods of the new revision to delete: those that are not ready first.
    pub delete_new: u32,
}

impl Deployment {
    /// The shares of a rollout as numbers of pods: surge rounded up, unavailable rounded down, and
    /// one unavailable where both would be zero, since nothing could move.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within u32")]
    pub fn new(wanted: u32, rollout: &Rollout) -> Self {
        let pods = |share: f64| f64::from(wanted) * share;
        let max_surge = (pods(rollout.max_surge) - ROUNDING).ceil() as u32;
        let unavailable = (pods(rollout.max_unavailable) + ROUNDING).floor() as u32;
        let max_unavailable = match (max_surge, unavailable) {
            (0, 0) => 1,
            _ => unavailable.min(wanted),
        };
        Self { wanted, max_surge, max_unavailable }
    }

    /// What to do about `counts`. Asked again after each change, it comes to rest.
    pub fn reconcile(&self, counts: Counts) -> Change {
        let Counts { old, old_ready, new, new_ready } = counts;
        debug_assert!(old_ready <= old && new_ready <= new, "more are ready than there are");
        let room = (self.wanted + self.max_surge).saturating_sub(old + new);
        let create = self.wanted.saturating_sub(new).min(room);
        let delete_new = new.saturating_sub(self.wanted);

        // Deleted pods of the new revision are those that are not ready, as far as there are some.
        let new_ready = new_ready.min(new - delete_new);
        let ready_min = self.wanted.saturating_sub(self.max_unavailable);
        let deletable = (old + new_ready).saturating_sub(ready_min);
        let unready = (old - old_ready).min(deletable);
        let ready = (old_ready + new_ready).saturating_sub(ready_min).min(old_ready);
        Change { create, delete_old: unready + ready, delete_new }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: Rollout = Rollout { max_surge: 0.25, max_unavailable: 0.25 };

    fn counts(old: u32, old_ready: u32, new: u32, new_ready: u32) -> Counts {
        Counts { old, old_ready, new, new_ready }
    }

    fn change(create: u32, delete_old: u32, delete_new: u32) -> Change {
        Change { create, delete_old, delete_new }
    }

    #[test]
    fn surge_is_rounded_up_and_unavailable_down() {
        for (wanted, surge, unavailable) in [(1, 1, 0), (4, 1, 1), (10, 3, 2), (20, 5, 5)] {
            let deployment = Deployment::new(wanted, &QUARTER);
            assert_eq!((deployment.max_surge, deployment.max_unavailable), (surge, unavailable));
        }
        let tenth = Rollout { max_surge: 0.1, max_unavailable: 0.29 };
        let deployment = Deployment::new(30, &tenth);
        assert_eq!(deployment.max_surge, 3, "0.1 × 30 is 3.0000000000000004 in binary");
        assert_eq!(Deployment::new(100, &tenth).max_unavailable, 29, "and this is 28.999…");
    }

    #[test]
    fn an_update_that_allows_nothing_may_lose_one_pod() {
        let nothing = Rollout { max_surge: 0.0, max_unavailable: 0.0 };
        let deployment = Deployment::new(3, &nothing);
        assert_eq!((deployment.max_surge, deployment.max_unavailable), (0, 1));
        assert_eq!(deployment.reconcile(counts(3, 3, 0, 0)), change(0, 1, 0));
        assert_eq!(deployment.reconcile(counts(2, 2, 0, 0)), change(1, 0, 0));
    }

    #[test]
    fn an_update_begins_with_the_surge_and_what_may_be_unavailable() {
        let deployment = Deployment::new(10, &QUARTER);
        assert_eq!(deployment.reconcile(counts(10, 10, 0, 0)), change(3, 2, 0));
    }

    #[test]
    fn an_update_never_drops_below_the_ready_minimum_and_ends() {
        for wanted in 1..=40 {
            let deployment = Deployment::new(wanted, &QUARTER);
            let mut now = counts(wanted, wanted, 0, 0);
            let mut steps = 0;
            while now != counts(0, 0, wanted, wanted) {
                let Change { create, delete_old, delete_new } = deployment.reconcile(now);
                assert_eq!(delete_new, 0);
                // Deleted: the unready first; here every old pod is ready.
                now.old -= delete_old;
                now.old_ready -= delete_old;
                now.new += create;
                assert!(wanted - deployment.max_unavailable <= now.old_ready + now.new_ready);
                assert!(now.old + now.new <= wanted + deployment.max_surge);
                // Then one new pod becomes ready.
                if now.new_ready < now.new {
                    now.new_ready += 1;
                }
                steps += 1;
                assert!(steps <= 3 * wanted, "{now:?} does not move");
            }
            assert_eq!(deployment.reconcile(now), Change::default());
        }
    }

    #[test]
    fn without_new_pods_an_update_stands_still_at_the_ready_minimum() {
        // The injector is away: every creation is refused.
        let deployment = Deployment::new(10, &QUARTER);
        assert_eq!(deployment.reconcile(counts(10, 10, 0, 0)).delete_old, 2);
        assert_eq!(deployment.reconcile(counts(8, 8, 0, 0)), change(5, 0, 0));
        // Created, but never ready (no certificate): the same.
        assert_eq!(deployment.reconcile(counts(8, 8, 5, 0)), change(0, 0, 0));
    }

    #[test]
    fn old_pods_that_are_not_ready_go_first() {
        let deployment = Deployment::new(10, &QUARTER);
        // Two of ten are down already: deleting them costs nothing, deleting others is not allowed.
        assert_eq!(deployment.reconcile(counts(10, 8, 3, 0)), change(0, 2, 0));
        // All are down: two may go now, since new pods that start do not count as ready.
        assert_eq!(deployment.reconcile(counts(10, 0, 3, 0)), change(0, 2, 0));
    }

    #[test]
    fn without_old_pods_it_is_plain_scaling() {
        let deployment = Deployment::new(10, &QUARTER);
        assert_eq!(deployment.reconcile(counts(0, 0, 4, 4)), change(6, 0, 0));
        assert_eq!(deployment.reconcile(counts(0, 0, 12, 11)), change(0, 0, 2));
        let zero = Deployment::new(0, &QUARTER);
        assert_eq!(zero.reconcile(counts(0, 0, 3, 3)), change(0, 0, 3));
    }
}
