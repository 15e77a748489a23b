//! Floor 4: verdicts. Assertions over a run, and the comparison with a baseline.

pub mod assert;
#[cfg(feature = "native")]
pub mod baseline;
pub mod compare;
pub mod judgement;
#[cfg(feature = "native")]
pub mod junit;
#[cfg(feature = "native")]
pub mod oracle;
pub mod truth;
