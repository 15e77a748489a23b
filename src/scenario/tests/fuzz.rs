//! Nonsense: nothing panics, and everything ends.

use super::good::RICH;
use super::{NORMATIVE, read, read_with};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::fmt::Write as _;

/// Pieces that a mutation puts in.
const PIECES: &[&str] = &[
    "\"",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    "\n",
    "-1",
    "0",
    "1e308",
    "nan",
    "inf",
    "é",
    "\"0s\"",
    "\"36h\"",
    "true",
    "99999999999999999999",
    "[[service]]\n",
    "name = \"x\"\n",
    "'''",
    "\u{0}",
    "\"100%\"",
    "1979-05-27",
    "[scenario]\n",
    "{ poisson = \"1rps\" }",
    "\"istiod\"",
];

/// The same nonsense each time: a failure stays a failure.
fn config() -> ProptestConfig {
    let rng_seed = RngSeed::Fixed(1);
    ProptestConfig { failure_persistence: None, rng_seed, ..ProptestConfig::with_cases(300) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_a_problem_or_a_plan(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _either = read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_change_of_a_good_file_is_a_problem_or_a_plan(
        rich in any::<bool>(),
        changes in proptest::collection::vec((any::<u32>(), 0..40_u32, 0..PIECES.len()), 1..6),
    ) {
        let mut text: Vec<char> = if rich { RICH } else { NORMATIVE }.chars().collect();
        for (at, length, piece) in changes {
            let at = at as usize % (text.len() + 1);
            let end = (at + length as usize).min(text.len());
            text.splice(at..end, PIECES[piece].chars());
        }
        let _either = read(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_swap_of_lines_is_a_problem_or_a_plan(swaps in proptest::collection::vec((any::<u16>(), any::<u16>()), 1..4)) {
        let mut lines: Vec<&str> = RICH.lines().collect();
        let count = lines.len();
        for (one, other) in swaps {
            lines.swap(one as usize % count, other as usize % count);
        }
        let _either = read(&lines.join("\n"));
    }

    #[test]
    fn any_setting_is_a_problem_or_a_plan(set in "[a-z.\\[\\]0-9=\"' {}-]{0,40}") {
        let _either = read_with(NORMATIVE, &[&set]);
    }

    #[test]
    fn any_value_of_a_real_key_is_a_problem_or_a_plan(
        key in prop::sample::select(vec![
            "service.reviews.v2.time", "service.reviews.v2.calls", "traffic.users.arrivals",
            "event[0].target", "assert[0].expect", "event.istiod-down.when", "scenario.interval",
            "service.reviews.retries", "mesh.cert", "node", "link", "variant[0].set",
        ]),
        value in "[ -~]{0,40}",
    ) {
        let _either = read_with(NORMATIVE, &[&format!("{key}={value}")]);
    }
}

#[test]
fn large_nonsense_ends_soon() {
    let _either = read(&"[[service]]\nname = \"a\"\n".repeat(3_000));
    let _either = read(&format!("x = {}", "[".repeat(10_000)));
    let _either = read(&format!("{} = 1", "a.".repeat(10_000)));
    let _either = read(&"=".repeat(100_000));
    let mut chain = String::from("[scenario]\nduration = \"1h\"\n");
    for index in 0..2_000 {
        let next = (index + 1) % 2_000;
        write!(
            chain,
            "[[service]]\nname = \"s{index}\"\nworkload = [{{ time = \"1ms\", calls = [{{ to = \"s{next}\" }}] }}]\n"
        )
        .expect("a string takes all");
    }
    let problems = read(&chain).expect_err("a ring of 2000");
    assert!(problems[0].what.contains("2000 services) never end"), "{}", problems[0]);
}

#[test]
fn large_scenarios_read_or_are_refused() {
    let services = |count: usize| {
        let mut text = String::from(
            "# Many.\n[scenario]\nduration = \"1m\"\n[[node]]\nname = \"n\"\ncount = 50\n",
        );
        for index in 0..count {
            let next = index + 1;
            write!(
                text,
                "[[service]]\nname = \"s{index}\"\nretries.attempts = 1\n[[service.workload]]\ntime = \"1ms\"\n\
                 calls = [{{ to = \"s{next}\", probability = 0.5 }}]\n"
            )
            .expect("a string takes all");
        }
        text
    };
    let last = "[[service]]\nname = \"s2000\"\n[[service.workload]]\ntime = \"1ms\"\n";
    let plan = super::good(&(services(2_000) + last)).plan;
    assert_eq!(plan.universe.services.len(), 2_001);
    let problems = read(&services(100_001)).expect_err("too many");
    assert!(problems.iter().any(|problem| problem.what.contains("100001 services")));
}
