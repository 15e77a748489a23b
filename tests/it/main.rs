//! The tests of the whole, in one binary. What belongs where:

/// The command line: a command, its exit status and what it prints, a file a theme (`cli/*.trycmd`).
#[cfg(feature = "native")]
mod cli;

/// A changed default is named by the comparison with a baseline.
#[cfg(feature = "native")]
mod defaults;
/// Pages that are made: outputs in the docs, the page of parameters. `MESHSIM_BLESS=1` writes them.
#[cfg(feature = "native")]
mod docs;
/// House rules: floors, sizes, heads, words; scenarios with what belongs to them.
mod tidy;

/// The files of this repository.
mod tree;
