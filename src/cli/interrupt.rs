//! Ctrl-C: the first asks runs to end cleanly, the second leaves at once.
//!
//! Source: docs/results.md: what was written is marked partial.
//! Left out: commands that take no time; they end by the signal itself.

use super::ExitStatus;
use super::output::Trouble;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the user wants to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on. Once in a process.
    pub(super) fn listen() -> Result<Self, Trouble> {
        let interrupt = Self::default();
        let asked = Arc::clone(&interrupt.0);
        let handler = move || {
            if asked.swap(true, Ordering::Relaxed) {
                leave();
            }
        };
        ctrlc::set_handler(handler)
            .map_err(|error| Trouble::Environment(format!("cannot listen to Ctrl-C: {error}")))?;
        Ok(interrupt)
    }

    /// Whether the user wants to stop.
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[expect(clippy::exit, reason = "asked for twice: whatever still runs does not listen")]
fn leave() {
    std::process::exit(ExitStatus::Environment as i32);
}
