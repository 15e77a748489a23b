//! One sampler for all places that draw from the same distribution.
//!
//! Source: derived from the plan alone.
//! Left out: drawing itself, which stands in `kernel/sampler`.

use crate::kernel::distribution::Distribution;
use crate::kernel::sampler::Sampler;
use std::collections::BTreeMap;

/// Samplers of distributions. Equal ones are shared: a table has 80 KiB.
#[derive(Default)]
pub(crate) struct Samplers(BTreeMap<String, Sampler>);

impl Samplers {
    /// The sampler of a distribution.
    pub(crate) fn of(&mut self, distribution: &Distribution) -> Sampler {
        let known = self.0.entry(format!("{distribution:?}"));
        known.or_insert_with(|| distribution.sampler()).clone()
    }

    /// Bytes of their tables.
    pub(crate) fn bytes(&self) -> usize {
        self.0.values().map(Sampler::bytes).sum()
    }
}
