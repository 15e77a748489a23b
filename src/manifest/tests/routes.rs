//! Questions to the manifests of a small shop and the whole text of each answer.
//!
//! `routes.txt` holds the questions (`? FROM METHOD URL header=value …`) and what is answered.
//! `UPDATE=1` writes what is answered now.

use crate::manifest::gateway_api::resolve::Differences;
use crate::manifest::loaded::Loaded;
use crate::manifest::route::Query;
use crate::manifest::route::request::Request;

const CASES: &str = include_str!("routes.txt");
const SHOP: &str = include_str!("shop.yaml");

fn answer(loaded: &Loaded, question: &str) -> String {
    let mut words = question.split_whitespace();
    let (from, method, url) = (words.next(), words.next(), words.next());
    let headers: Vec<(String, String)> = words
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let from = match loaded.origin(from.unwrap_or("")) {
        Ok(from) => from,
        Err(problem) => return format!("{problem}\n"),
    };
    match Request::to(method.unwrap_or(""), url.unwrap_or(""), &headers) {
        Ok(request) => loaded.route(&Query { from, request }, Differences::SPECIFIED).to_string(),
        Err(why) => format!("{why}\n"),
    }
}

#[test]
fn each_question_has_its_answer() {
    let loaded = Loaded::read([("shop.yaml", SHOP.as_bytes())]);
    assert_eq!(loaded.manifests.findings.problems, []);
    let mut now = String::new();
    for question in CASES.lines().filter_map(|line| line.strip_prefix("? ")) {
        now.extend(["? ", question, "\n", &answer(&loaded, question), "\n"]);
    }
    if std::env::var_os("UPDATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manifest/tests/routes.txt");
        std::fs::write(file, &now).unwrap();
    } else {
        for (now, then) in now.lines().zip(CASES.lines()) {
            assert_eq!(now, then);
        }
        assert_eq!(now.trim_end(), CASES.trim_end());
    }
}
