//! Floor 4: a `Run` in, texts out. One file a format; nothing here simulates or judges.

pub mod csv;
pub mod events;
pub mod hgrm;
pub mod hlog;
pub mod json;
pub mod number;
pub mod plot;
pub mod sampled;
pub mod side_by_side;
pub mod summary;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod words;
pub mod write;
