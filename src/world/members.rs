//! The pods of a workload that are neither ended nor ending, in the order in which a deployment
//! deletes them: those that are not ready first, then the oldest.
//!
//! Source: Kubernetes' `ActivePods` ranking, as far as the model goes.
//! Left out: ranking by node, by deletion cost and by restarts.

use crate::kernel::bytes::Bytes as _;
use crate::model::cluster::deployment::Counts;
use std::collections::BTreeSet;

/// Pods by (ready, index), of the newest revision and of older ones.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Members {
    old: Revision,
    new: Revision,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Revision {
    pods: BTreeSet<(bool, u32)>,
    ready: u32,
}

impl Members {
    /// A pod was `before` (absent, or ready or not) and is `after`.
    pub(crate) fn change(
        &mut self,
        index: u32,
        is_new: bool,
        before: Option<bool>,
        after: Option<bool>,
    ) {
        let revision = if is_new { &mut self.new } else { &mut self.old };
        if before == after {
            return;
        }
        if let Some(ready) = before {
            let was_there = revision.pods.remove(&(ready, index));
            debug_assert!(was_there, "a pod that its workload does not know");
            revision.ready -= u32::from(ready);
        }
        if let Some(ready) = after {
            revision.pods.insert((ready, index));
            revision.ready += u32::from(ready);
        }
    }

    /// A new revision begins: all pods are old.
    pub(crate) fn begin_revision(&mut self) {
        self.old.pods.append(&mut self.new.pods);
        self.old.ready += std::mem::take(&mut self.new.ready);
    }

    /// Bytes held beside the members themselves.
    pub(crate) fn bytes(&self) -> usize {
        self.old.pods.bytes() + self.new.pods.bytes()
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> Counts {
        let count = |revision: &Revision| u32::try_from(revision.pods.len()).unwrap_or(u32::MAX);
        Counts {
            old: count(&self.old),
            old_ready: self.old.ready,
            new: count(&self.new),
            new_ready: self.new.ready,
        }
    }

    /// The first to be deleted, of the newest revision or of older ones.
    pub(crate) fn first(&self, is_new: bool, count: u32) -> Vec<u32> {
        let revision = if is_new { &self.new } else { &self.old };
        revision.pods.iter().take(count as usize).map(|(_, index)| *index).collect()
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<u32> {
        let pods = self.old.pods.iter().chain(&self.new.pods);
        let mut all: Vec<u32> = pods.map(|(_, index)| *index).collect();
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_ready_goes_first_then_the_oldest() {
        let mut members = Members::default();
        for index in [4, 7, 9] {
            members.change(index, true, None, Some(false));
        }
        members.change(4, true, Some(false), Some(true));
        members.change(7, true, Some(false), Some(true));
        assert_eq!(members.first(true, 2), [9, 4]);
        members.begin_revision();
        members.change(12, true, None, Some(false));
        members.change(7, false, Some(true), None);
        assert_eq!(members.counts(), Counts { old: 2, old_ready: 1, new: 1, new_ready: 0 });
        assert_eq!((members.first(false, 9), members.all()), (vec![9, 4], vec![4, 9, 12]));
    }
}
