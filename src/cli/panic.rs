//! What a bug of meshsim looks like: which law was broken, in which run, and how to report it.
//!
//! Source: the house rule that a panic is always our bug; the exit status is then 101.
//! Left out: catching bugs. A run that breaks a law has no result.

use super::output::clean;
use std::io::Write;

/// From now on a panic says that it is a bug.
pub(super) fn explain_bugs() {
    std::panic::set_hook(Box::new(|info| {
        let what = match info.payload().downcast_ref::<String>() {
            Some(text) => text.as_str(),
            None => info.payload().downcast_ref::<&str>().unwrap_or(&"no message"),
        };
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        say(&format!("bug: this is a bug of meshsim: {what}\n  at {place}"));
    }));
}

/// Adds which run it was.
pub(super) fn tell_run(title: &str, again: &str, seed: u64, events: u64) {
    say(&format!(
        "  in {title}, seed {seed}, after about {events} events\n  \
         please report it with the scenario file and this text; it happens again with\n  \
         {again} --seed {seed}    (meshsim {})",
        env!("CARGO_PKG_VERSION"),
    ));
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{}", clean(text)));
}
