//! Verdicts as JUnit XML: a suite per scenario or variant, a case per assertion, one for the baseline.
//!
//! Source: the format that quick-junit writes, which Jenkins and GitLab read.
//! Left out: timestamps, durations and ids: the file is the same whenever it is made.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// One suite.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suite {
    /// The scenario, with its variant.
    pub name: String,
    /// How its run was sampled, if it was: a property of the suite.
    pub sampled: Option<String>,
    /// Its cases, in the order of the file.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// The assertion's name, or `baseline`.
    pub name: String,
    /// Why it failed: one line, and then all of it.
    pub failure: Option<(String, String)>,
}

/// The whole file.
pub fn xml(suites: &[Suite]) -> String {
    let mut report = Report::new("meshsim");
    report.add_test_suites(suites.iter().map(|suite| {
        let mut out = TestSuite::new(suite.name.as_str());
        if let Some(how) = &suite.sampled {
            out.add_property(("sampling", how.as_str()));
        }
        out.add_test_cases(suite.cases.iter().map(|case| {
            let status = case.failure.as_ref().map_or_else(TestCaseStatus::success, |failure| {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(failure.0.as_str()).set_description(failure.1.as_str());
                status
            });
            let mut out = TestCase::new(case.name.as_str(), status);
            out.set_classname(suite.name.as_str());
            out
        }));
        out
    }));
    report.to_string().expect("a string takes all that is written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_nothing_tells_the_time() {
        let case = |name: &str, failure: Option<&str>| Case {
            name: name.to_owned(),
            failure: failure.map(|text| (text.to_owned(), format!("{text}\nmore"))),
        };
        let xml = xml(&[Suite {
            name: "outage".to_owned(),
            sampled: None,
            cases: vec![case("survives <1h>", None), case("baseline", Some("p99 moved"))],
        }]);
        assert!(
            xml.contains(
                r#"<testsuite name="outage" tests="2" skipped="0" errors="0" failures="1">"#
            ),
            "{xml}"
        );
        assert!(xml.contains(r#"<failure message="p99 moved">"#), "{xml}");
        assert!(xml.contains("survives &lt;1h&gt;"), "{xml}");
        for word in ["time", "uuid", "hostname"] {
            assert!(!xml.contains(&format!("{word}=")), "{word} in {xml}");
        }
    }
}
