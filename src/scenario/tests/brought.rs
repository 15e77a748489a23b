//! Manifests at a time: what is told of events that change them.
//!
//! `brought.txt` holds the cases, in the form of `broken.txt`. `UPDATE=1` writes what is said now.

use super::broken;

#[test]
fn each_mistake_is_said_where_it_is() {
    broken::check("brought.txt", include_str!("brought.txt"), 20, |loaded| match loaded {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    });
}
