//! The tests of the whole, in one binary. What belongs where:

/// The command line: a command, its exit status and what it prints, a file a theme (`cli/*.trycmd`).
#[cfg(feature = "native")]
mod cli;

/// A changed default is named by the comparison with a baseline.
#[cfg(feature = "native")]
mod defaults;
