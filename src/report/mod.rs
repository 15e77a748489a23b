//! Reports: what a person or a program reads of a run.

#[cfg(feature = "native")]
pub mod plot;
