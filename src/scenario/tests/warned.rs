//! Policies that a mesh takes and that do nothing, or not what they look like, with all that is said.
//!
//! `warned.txt` holds the cases, in the form of `broken.txt`. Each stands beside one in which the
//! policy does something, of which nothing is said. `UPDATE=1` writes what is said now.

use super::{broken, good, print, read_with};

#[test]
fn each_warning_is_said_where_it_is() {
    broken::check("warned.txt", include_str!("warned.txt"), 40, |loaded| match loaded {
        Ok(loaded) => loaded.warnings,
        Err(problems) => panic!("{}", print(&problems)),
    });
}

#[test]
fn what_is_wrong_is_told_without_warnings_and_no_warning_is_an_error() {
    let text = super::NORMATIVE
        .replace("name = \"ratings\"", "name = \"ratings\"\ncircuit_breaker = { max_pending = 0 }");
    assert_eq!(good(&text).warnings.len(), 1);
    let problems = read_with(&text, &["service.ratings.workers=0"]).expect_err("no workers");
    assert_eq!(problems.len(), 1, "{}", print(&problems));
}

#[test]
fn members_of_a_counted_service_share_a_warning() {
    let text = super::NORMATIVE.replace(
        "[[service]]\nname = \"ratings\"",
        "[[service]]\nname = \"leaf\"\ncount = 50\noutlier_detection = true\n\
         [[service.workload]]\ntime = \"1ms\"\n[[service]]\nname = \"ratings\"",
    );
    let warnings = good(&text).warnings;
    assert_eq!(warnings.len(), 1, "{}", print(&warnings));
}
