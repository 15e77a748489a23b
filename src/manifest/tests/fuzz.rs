//! Mutated manifests: whatever is broken, reading ends without a panic, and every place is in the text.

use super::super::loaded::Loaded;
use crate::manifest::gateway_api::resolve::Differences;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Origin, Query};
use crate::plan::problem::Problem;

const NORMATIVE: &str = include_str!("normative.yaml");
const ROUNDS: u64 = 400;

/// What is put in the place of a value or a line.
const PIECES: [&str; 24] = [
    "null",
    "[]",
    "{}",
    "-1",
    "1e400",
    "yes",
    "\"\"",
    "'*'",
    "&a x",
    "*a",
    "<<: {a: b}",
    "- - x",
    "|",
    "0x",
    "99999999999",
    "~",
    "!!str 5",
    "é☃",
    "a: b: c",
    "[{}, null, 1]",
    "{a: {b: [c]}}",
    "---",
    "...",
    "#",
];

/// A small generator (`SplitMix64`): the rounds are the same on every machine.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((word ^ (word >> 31)) % limit.max(1) as u64).unwrap_or(0)
    }
}

fn mutated(draw: &mut Draw) -> String {
    let mut lines: Vec<String> = NORMATIVE.lines().map(str::to_owned).collect();
    for _ in 0..=draw.below(3) {
        let at = draw.below(lines.len());
        let piece = PIECES[draw.below(PIECES.len())];
        match draw.below(5) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => lines[at] = piece.to_owned(),
            3 => lines[at] = lines[at].chars().skip(1).collect(),
            _ => {
                let key = lines[at].split(':').next().unwrap_or("").to_owned();
                lines[at] = format!("{key}: {piece}");
            }
        }
    }
    lines.join("\n")
}

fn check_place(problem: &Problem, text: &str) {
    let Some(place) = &problem.place else { return };
    let lines = text.split('\n').count();
    assert!(place.line >= 1 && place.line as usize <= lines.max(1), "{problem}\n{text}");
    assert!(place.column >= 1 && place.width >= 1, "{problem}\n{text}");
    let length = place.text.chars().count();
    assert!(place.column as usize <= length + 1, "{problem}\n{text}");
}

#[test]
fn no_mutation_panics_or_points_outside() {
    for round in 0..ROUNDS {
        let text = mutated(&mut Draw(round));
        let loaded = Loaded::read([("m.yaml", text.as_bytes())]);
        let findings = &loaded.manifests.findings;
        findings.problems.iter().chain(&findings.warnings).for_each(|p| check_place(p, &text));
        let from = Origin::Gateway { namespace: "shop".into(), name: "edge".into(), sni: None };
        let request = Request::to("GET", "http://shop.example.com/cart", &[]).unwrap();
        let route = loaded.route(&Query { from, request }, Differences::SPECIFIED);
        let sum: f64 = route.destinations.iter().map(|to| to.share).sum();
        assert!(route.direct.is_some() || (sum - 1.0).abs() < 1e-9, "{route}\n{text}");
    }
}
