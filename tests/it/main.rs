//! The tests of the whole, in one binary. What belongs where:

/// The command line: a command, its exit status and what it prints, a file a theme (`cli/*.trycmd`).
#[cfg(feature = "native")]
mod cli;

/// Theory: the table of `meshsim oracle` holds (release only).
#[cfg(feature = "native")]
mod oracle;
