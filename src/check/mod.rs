//! Floor 4: verdicts. Assertions over a run, and the comparison with a baseline.

pub mod judgement;
