//! A `ServiceProfile`: its routes with what they match, and how answers are classified.
//!
//! The first route whose condition holds takes a request; what none takes goes by a route without a timeout and without
//! retries. Regular expressions of paths are anchored at both ends by the proxy, without a group around them, so that
//! of `a|b` each half has one anchor.
//!
//! Source: linkerd2-proxy linkerd/service-profiles/src/{proto,http}.rs; `linkerd/app/core/src/classify.rs`: the first
//! class that matches an answer, else 5xx and gRPC's own statuses are failures.
//! Left out: classes of answers by more than one range of statuses (`all`, `any`, `not`).

use super::policy::RetryBudget;
use crate::kernel::time::Duration;
use crate::plan::pattern::Pattern;
use crate::plan::universe::RequestClass;
use std::fmt;
use std::ops::RangeInclusive;

/// What a `ServiceProfile` asks of the proxies of clients.
#[derive(Clone, PartialEq, Default)]
pub struct Profile {
    /// What retries may cost, of all retryable routes together; none if no route is retryable.
    pub budget: Option<RetryBudget>,
    /// Where there is one route for all requests: limit on a request with its retries; zero for none.
    pub timeout: Duration,
    /// Its routes, in the order of the rules of its table; none for one route that takes all requests and is
    /// retryable if there is a budget.
    pub routes: Vec<ProfileRoute>,
}

/// A route of a profile.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProfileRoute {
    /// Its name.
    pub name: String,
    /// Whether failed requests are tried again, within the budget.
    pub is_retryable: bool,
    /// Limit on a request with its retries; zero for none.
    pub timeout: Duration,
    /// The first of these that matches an answer says whether it failed.
    pub classes: Vec<ResponseClass>,
}

/// What answers with some statuses are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResponseClass {
    /// These.
    pub statuses: RangeInclusive<u16>,
    /// Failures, or not.
    pub is_failure: bool,
}

impl fmt::Debug for Profile {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Profile");
        fields.field("budget", &self.budget).field("timeout", &self.timeout);
        if !self.routes.is_empty() {
            fields.field("routes", &self.routes);
        }
        fields.finish()
    }
}

/// How one request is treated.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Treatment<'p> {
    /// What its retries may cost; none if it is not tried again.
    pub budget: Option<&'p RetryBudget>,
    /// Limit on it with its retries; zero for none.
    pub timeout: Duration,
    /// What its answers are.
    pub classes: &'p [ResponseClass],
}

impl Profile {
    /// Of a request that follows the rule of this number.
    pub fn treatment(&self, rule: u16) -> Treatment<'_> {
        if self.routes.is_empty() {
            let (budget, timeout) = (self.budget.as_ref(), self.timeout);
            return Treatment { budget, timeout, classes: &[] };
        }
        let Some(route) = self.routes.get(usize::from(rule)) else { return Treatment::default() };
        let budget = self.budget.as_ref().filter(|_| route.is_retryable);
        Treatment { budget, timeout: route.timeout, classes: &route.classes }
    }
}

impl Treatment<'_> {
    /// Whether an answer is a failure; `is_grpc_error` is what its gRPC status says.
    pub fn is_failure(&self, status: u16, is_grpc_error: bool) -> bool {
        let class = self.classes.iter().find(|class| class.statuses.contains(&status));
        class.map_or(is_grpc_error || 500 <= status, |class| class.is_failure)
    }
}

/// What a request must be like.
#[derive(Clone, PartialEq, Debug)]
pub enum Condition {
    /// Of this method, in capitals.
    Method(String),
    /// Of such a path.
    Path(Pattern),
    /// All of these.
    All(Vec<Condition>),
    /// Any of these.
    Any(Vec<Condition>),
    /// Not like that.
    Not(Box<Condition>),
}

impl Condition {
    /// Of a path's regular expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn path(regex: &str) -> Result<Self, String> {
        let regex = regex.trim();
        let head = if regex.starts_with('^') { "" } else { "^" };
        let tail = if regex.ends_with('$') { "" } else { "$" };
        // A search, as of a pattern that is matched against the whole.
        Pattern::regex(&format!("(?s:.*)(?:{head}{regex}{tail})(?s:.*)")).map(Self::Path)
    }

    /// Whether it holds for a request.
    pub fn holds(&self, class: &RequestClass) -> bool {
        match self {
            Self::Method(method) => class.method == *method,
            Self::Path(pattern) => {
                pattern.matches(class.path.split_once('?').map_or(&class.path, |(path, _)| path))
            }
            Self::All(all) => all.iter().all(|one| one.holds(class)),
            Self::Any(any) => any.iter().any(|one| one.holds(class)),
            Self::Not(one) => !one.holds(class),
        }
    }
}

/// Reads a range of statuses: `503`, `500-504`.
///
/// # Errors
///
/// That it is none.
pub fn read_statuses(text: &str) -> Result<RangeInclusive<u16>, String> {
    let help = || format!("`{text}` is no range of statuses: write 503 or 500-504");
    let status = |text: &str| match text.trim().parse::<u16>() {
        Ok(status @ 100..=599) => Ok(status),
        _ => Err(help()),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = status(first)?..=status(last)?;
    if range.is_empty() { Err(help()) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::linkerd::Linkerd;

    fn request(method: &str, path: &str) -> RequestClass {
        let (method, path) = (method.to_owned(), path.to_owned());
        RequestClass { method, path, headers: Vec::new(), defect: None }
    }

    fn takes(regex: &str, path: &str) -> bool {
        Condition::path(regex).expect("it reads").holds(&request("GET", path))
    }

    #[test]
    fn paths_are_anchored_at_both_ends_and_nothing_more() {
        assert!(takes("/books/\\d+", "/books/7?page=1"));
        assert!(!takes("/books/\\d+", "/books/7/edit") && !takes("/books", "/old/books"));
        assert!(takes("^/books$", "/books") && takes(" /books ", "/books"));
        // Each half has one anchor: `^/a` and `/b$`.
        assert!(takes("/a|/b", "/a/more") && takes("/a|/b", "/more/b"));
        assert!(!takes("/a|/b", "/more/a"));
        assert!(Condition::path("(").is_err());
    }

    #[test]
    fn conditions_are_joined() {
        let get = || Condition::Method("GET".to_owned());
        let books = || Condition::path("/books").expect("it reads");
        let all = Condition::All(vec![get(), books()]);
        let any = Condition::Any(vec![get(), books()]);
        let neither = Condition::Not(Box::new(any.clone()));
        let of = |one: &Condition| {
            let asked = [("GET", "/books"), ("GET", "/x"), ("PUT", "/books"), ("PUT", "/x")];
            asked.map(|(method, path)| one.holds(&request(method, path)))
        };
        assert_eq!(of(&all), [true, false, false, false]);
        assert_eq!(of(&any), [true, true, true, false]);
        assert_eq!(of(&neither), [false, false, false, true]);
    }

    #[test]
    fn the_first_class_that_matches_says_what_an_answer_is() {
        let class = |text: &str, is_failure| ResponseClass {
            statuses: read_statuses(text).expect("a range"),
            is_failure,
        };
        let classes = [class("503", false), class("404", true), class("500-599", true)];
        let own = Treatment { classes: &classes, ..Treatment::default() };
        let shown = [200, 404, 500, 503].map(|status| own.is_failure(status, false));
        assert_eq!(shown, [false, true, true, false]);
        let usual = Treatment::default();
        assert_eq!([404, 500].map(|status| usual.is_failure(status, false)), [false, true]);
        assert!(usual.is_failure(200, true) && !own.is_failure(503, true));
        for text in ["", "99", "600", "504-500", "5xx"] {
            assert!(read_statuses(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_no_route_takes_has_no_limit_and_no_retry() {
        let budget = Some(RetryBudget::new(&Linkerd::default().linkerd_budget));
        let timeout = Duration::from_ms(300);
        let plain = ProfileRoute { timeout, ..ProfileRoute::default() };
        let retryable = ProfileRoute { is_retryable: true, ..ProfileRoute::default() };
        let routes = vec![plain, retryable];
        let profile = Profile { budget, timeout: Duration::ZERO, routes };
        let shown = [0, 1, 2].map(|rule| {
            let own = profile.treatment(rule);
            (own.budget.is_some(), own.timeout)
        });
        let none = Duration::ZERO;
        assert_eq!(shown, [(false, timeout), (true, none), (false, none)]);
        let one = Profile { timeout, routes: Vec::new(), ..profile };
        assert!(one.treatment(0).budget.is_some() && one.treatment(0).timeout == timeout);
    }
}
