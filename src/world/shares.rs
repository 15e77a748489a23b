//! Shares of istiod: which replicas an event means.
//!
//! Source: `plan::timeline`; a share is rounded up.
//! Left out: replicas by name.

use super::control::ControlPlane;
use crate::plan::timeline::ControlPart;

/// What events took from a share of the replicas.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// A part of them.
    Part(ControlPart, u64),
    /// Their view of the API server.
    View(u64),
}

impl ControlPlane {
    /// Replicas that there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.replicas.iter().filter(|one| one.is_wanted).count()).unwrap_or(u32::MAX)
    }

    /// The same for an event that begins or ends: its end is about those of its begin, whatever an
    /// autoscaler did meanwhile.
    pub(super) fn affected_by(&mut self, what: Taken, begins: bool) -> usize {
        if begins {
            let (Taken::Part(_, share) | Taken::View(share)) = what;
            let affected = self.affected(f64::from_bits(share));
            self.taken.push((what, affected));
            return affected;
        }
        let place = self.taken.iter().position(|(one, _)| *one == what);
        place.map_or(0, |place| self.taken.remove(place).1)
    }

    /// How many replicas a share means: of those that there are, the first ones.
    pub(super) fn affected(&self, share: f64) -> usize {
        let count = self.count() as usize;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
        let affected = (count as f64 * share).ceil() as usize;
        affected.min(count)
    }
}
