//! `ServiceProfile`: Linkerd's older way to route, still the one that wins.
//!
//! A profile is named by the full DNS name of its service. One in the client's namespace wins over one
//! in the service's; in other namespaces it is never read. With routes or `dstOverrides` it switches
//! `HTTPRoutes` and the policies of annotations off for that service. The first route that matches
//! counts; a request that matches none goes on without retries and timeout.
//! Source: linkerd2 `controller/api/destination/profile_translator.go` (a route that does not
//! convert drops the whole profile; a timeout that does not parse is left out), `pkg/profiles`;
//! linkerd2-proxy `linkerd/service-profiles/src/proto.rs` (regexes are anchored; weight 0 is dropped).
//! Left out: `opaquePorts` (removed), metrics labels.

use crate::manifest::linkerd::settings::Settings;
use crate::manifest::object::Object;
use crate::manifest::reader::Reader;
use crate::manifest::source::At;
use crate::manifest::units::{self, DurationForm};
use regex::Regex;

/// Conditions in conditions deeper than this are refused.
const DEPTH_MAX: usize = 16;

/// A profile.
#[derive(Clone, PartialEq, Debug)]
pub struct Profile {
    /// Its namespace.
    pub namespace: String,
    /// Its name: the service's full DNS name.
    pub name: String,
    /// Its routes, in order.
    pub routes: Vec<ProfileRoute>,
    /// How much may be retried.
    pub budget: Budget,
    /// Where requests go instead of to the service.
    pub overrides: Vec<Override>,
    /// Why the destination controller sends nothing of it, and where.
    pub broken: Option<(At, String)>,
    /// Where its name is.
    pub at: At,
}

/// A route of a profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProfileRoute {
    /// Its name.
    pub name: String,
    /// Which requests it is for.
    pub condition: Condition,
    /// Which answers are failures; by default those of 500 and above.
    pub classes: Vec<ResponseClass>,
    /// Whether failures are retried.
    pub is_retryable: bool,
    /// How long a request may take, retries included, in nanoseconds.
    pub timeout_ns: Option<u64>,
    /// Where it is.
    pub at: At,
}

/// A condition on a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// All must hold.
    All(Vec<Self>),
    /// One must hold.
    Any(Vec<Self>),
    /// It must not hold.
    Not(Box<Self>),
    /// The method.
    Method(String),
    /// The whole path, without the query.
    Path(PathRegex),
}

/// A regular expression of whole paths. Unlike [`crate::manifest::pattern::Pattern`] it takes `a|b` for
/// `^a` or `b$`: the proxy puts the anchors at the ends of the text and no parentheses around it.
#[derive(Clone, Debug)]
pub struct PathRegex(Regex);

impl PartialEq for PathRegex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for PathRegex {}

/// Answers that are failures, or are none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResponseClass {
    /// Which answers.
    pub condition: ResponseCondition,
    /// Whether they are failures.
    pub is_failure: bool,
}

/// A condition on an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResponseCondition {
    /// All must hold.
    All(Vec<Self>),
    /// One must hold.
    Any(Vec<Self>),
    /// It must not hold.
    Not(Box<Self>),
    /// The status code is in this range.
    Status(u16, u16),
}

/// How much may be retried.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Budget {
    /// Retries as a share of requests; 0.2 if not told.
    pub ratio: f64,
    /// Retries a second that are always allowed; 10 if not told.
    pub min_per_second: u32,
    /// The window in nanoseconds; 10 s if not told.
    pub ttl_ns: u64,
    /// Where it is; none if the default holds.
    pub at: Option<At>,
    /// Whether the proxy takes it; with a budget that it does not take, nothing is retried.
    pub is_valid: bool,
}

/// A destination of `dstOverrides`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// The service's DNS name, with a port or without.
    pub authority: String,
    /// Its weight in thousandths.
    pub weight_milli: u64,
    /// Where it is.
    pub at: At,
}

impl Default for Budget {
    /// The destination controller's own.
    fn default() -> Self {
        let ttl_ns = 10_000_000_000;
        Self { ratio: 0.2, min_per_second: 10, ttl_ns, at: None, is_valid: true }
    }
}

impl Profile {
    /// Whether it wins over routes: it has routes of its own, or destinations.
    pub fn wins(&self) -> bool {
        self.broken.is_none()
            && (!self.routes.is_empty() || self.overrides.iter().any(|to| to.weight_milli > 0))
    }

    /// The first route for a request.
    pub fn route(&self, method: &str, path: &str) -> Option<&ProfileRoute> {
        self.routes.iter().find(|route| route.condition.holds(method, path))
    }

    /// The service that it is for, as (namespace, service), by its name.
    pub fn service(&self, settings: &Settings) -> Option<(String, String)> {
        let name = self.name.strip_suffix(&format!(".svc.{}", settings.cluster_domain))?;
        let (service, namespace) = name.split_once('.')?;
        let is_plain = !service.is_empty() && !namespace.is_empty() && !namespace.contains('.');
        is_plain.then(|| (namespace.to_owned(), service.to_owned()))
    }
}

impl Condition {
    /// Whether it holds for a request; the path is without its query.
    pub fn holds(&self, method: &str, path: &str) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.holds(method, path)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(method, path)),
            Self::Not(not) => !not.holds(method, path),
            Self::Method(wanted) => wanted == method,
            Self::Path(regex) => regex.0.is_match(path),
        }
    }
}

impl ProfileRoute {
    /// Whether an answer with this status is a failure of the route.
    pub fn is_failure(&self, status: u16) -> bool {
        let class = self.classes.iter().find(|class| class.condition.holds(status));
        class.map_or(status >= 500, |class| class.is_failure)
    }
}

impl ResponseCondition {
    fn holds(&self, status: u16) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.holds(status)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(status)),
            Self::Not(not) => !not.holds(status),
            Self::Status(min, max) => (*min..=*max).contains(&status),
        }
    }
}

/// Reads a `ServiceProfile`.
pub fn read(object: &Object, reader: &mut Reader<'_, '_>) -> Profile {
    let mut profile = Profile {
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        routes: Vec::new(),
        budget: Budget::default(),
        overrides: Vec::new(),
        broken: None,
        at: object.name_at,
    };
    reader.map("spec", |spec| {
        let routes = spec.list("routes", read_route);
        let read = routes.into_iter().filter_map(|route| match route {
            Ok(route) => Some(route),
            Err(fault) => {
                profile.broken.get_or_insert(fault);
                None
            }
        });
        profile.routes = read.collect();
        profile.budget = spec.map("retryBudget", read_budget).unwrap_or_default();
        profile.overrides =
            spec.list("dstOverrides", read_override).into_iter().flatten().collect();
        spec.ignore(&["opaquePorts"], "Linkerd takes opaque ports from annotations only");
    });
    if let Some((at, why)) = &profile.broken {
        let what = format!("the whole ServiceProfile is dropped: {why}");
        reader.problem(*at, what, "the destination controller logs this and sends no profile");
    }
    profile
}

/// Where a profile breaks, and why.
type Fault = (At, String);

fn read_route(reader: &mut Reader<'_, '_>) -> Result<ProfileRoute, Fault> {
    let name = reader.needed_text("name").unwrap_or_default();
    let condition = reader.map("condition", |condition| read_condition(condition, 0));
    let classes = reader.list("responseClasses", |class| {
        let is_failure = class.bool("isFailure").unwrap_or(false);
        let condition = class.map("condition", |condition| read_response(condition, 0));
        let none = || (class.at(), "a response class without a condition".to_owned());
        Ok::<_, Fault>(ResponseClass { condition: condition.ok_or_else(none)??, is_failure })
    });
    let is_retryable = reader.bool("isRetryable").unwrap_or(false);
    let timeout_ns = reader.word("timeout").filter(|word| !word.text.is_empty()).and_then(|word| {
        let timeout = units::duration_ns(&word.text, DurationForm::Go);
        timeout
            .map_err(|hint| {
                let what = format!("the timeout `{}` of route {name} is no duration", word.text);
                reader.warning(word.at, what, &format!("{hint}; the route has no timeout then"));
            })
            .ok()
    });
    let condition = condition
        .ok_or_else(|| (reader.at(), format!("route `{name}` has no condition")))
        .flatten()?;
    let classes = classes.into_iter().collect::<Result<_, _>>()?;
    // Zero is "not told" to the destination controller.
    let timeout_ns = timeout_ns.filter(|timeout| *timeout != 0);
    Ok(ProfileRoute { name, condition, classes, is_retryable, timeout_ns, at: reader.at() })
}

/// What the kinds of conditions have in common: all fields count, and one must be there.
fn joined<T>(mut parts: Vec<T>, all: impl Fn(Vec<T>) -> T, at: At, what: &str) -> Result<T, Fault> {
    match parts.len() {
        0 => Err((at, format!("a {what} without a field"))),
        1 => Ok(parts.remove(0)),
        _ => Ok(all(parts)),
    }
}

fn read_condition(reader: &mut Reader<'_, '_>, depth: usize) -> Result<Condition, Fault> {
    if depth > DEPTH_MAX {
        return Err(too_deep(reader));
    }
    let mut parts = Vec::new();
    if let Some(all) = reader.list_if("all", |inner| read_condition(inner, depth + 1)) {
        parts.push(Condition::All(all.into_iter().collect::<Result<_, _>>()?));
    }
    if let Some(any) = reader.list_if("any", |inner| read_condition(inner, depth + 1)) {
        parts.push(Condition::Any(any.into_iter().collect::<Result<_, _>>()?));
    }
    if let Some(not) = reader.map("not", |inner| read_condition(inner, depth + 1)) {
        parts.push(Condition::Not(Box::new(not?)));
    }
    if let Some(method) = reader.text("method").filter(|method| !method.is_empty()) {
        parts.push(Condition::Method(method.to_ascii_uppercase()));
    }
    if let Some(path) = reader.word("pathRegex").filter(|path| !path.text.is_empty()) {
        let path_at = path.at;
        parts.push(Condition::Path(anchored(&path.text).map_err(|why| (path_at, why))?));
    }
    joined(parts, Condition::All, reader.at(), "condition")
}

fn too_deep(reader: &Reader<'_, '_>) -> Fault {
    (reader.at(), format!("conditions in conditions deeper than {DEPTH_MAX}"))
}

/// The whole path must match, whether or not the regex says so.
fn anchored(text: &str) -> Result<PathRegex, String> {
    let text = text.trim();
    let head = if text.starts_with('^') { "" } else { "^" };
    let tail = if text.ends_with('$') { "" } else { "$" };
    let regex = Regex::new(&format!("{head}{text}{tail}"));
    regex.map(PathRegex).map_err(|_| format!("`{text}` is no regex"))
}

fn read_response(reader: &mut Reader<'_, '_>, depth: usize) -> Result<ResponseCondition, Fault> {
    if depth > DEPTH_MAX {
        return Err(too_deep(reader));
    }
    let mut parts = Vec::new();
    if let Some(all) = reader.list_if("all", |inner| read_response(inner, depth + 1)) {
        parts.push(ResponseCondition::All(all.into_iter().collect::<Result<_, _>>()?));
    }
    if let Some(any) = reader.list_if("any", |inner| read_response(inner, depth + 1)) {
        parts.push(ResponseCondition::Any(any.into_iter().collect::<Result<_, _>>()?));
    }
    if let Some(not) = reader.map("not", |inner| read_response(inner, depth + 1)) {
        parts.push(ResponseCondition::Not(Box::new(not?)));
    }
    let read_range =
        |range: &mut Reader<'_, '_>| read_range(range).map_err(|why| (range.at(), why));
    if let Some(range) = reader.map("status", read_range) {
        parts.push(range?);
    }
    joined(parts, ResponseCondition::All, reader.at(), "response condition")
}

/// A range of which one end is left out is that one status.
fn read_range(reader: &mut Reader<'_, '_>) -> Result<ResponseCondition, String> {
    let mut end = |name| {
        let end = reader.int(name, 100..=599).and_then(|end| u16::try_from(end).ok());
        if end.is_none() && reader.has(name) { Err("a status is from 100 to 599") } else { Ok(end) }
    };
    let (min, max) = (end("min")?, end("max")?);
    match (min.or(max), max.or(min)) {
        (Some(min), Some(max)) if min <= max => Ok(ResponseCondition::Status(min, max)),
        (Some(min), Some(max)) => Err(format!("no status is from {min} to {max}")),
        _ => Err("a range of statuses without min and max".to_owned()),
    }
}

fn read_budget(reader: &mut Reader<'_, '_>) -> Budget {
    let default = Budget::default();
    let at = reader.at();
    for name in ["retryRatio", "minRetriesPerSecond", "ttl"] {
        if !reader.has(name) {
            reader.missing(name);
        }
    }
    let ratio = reader.float("retryRatio", 0.0..=1000.0);
    let min = reader.count("minRetriesPerSecond");
    let ttl = reader.duration_ns("ttl", DurationForm::Go);
    let is_in_range = ttl.is_none_or(|ttl| (1_000_000_000..=60_000_000_000).contains(&ttl));
    if !is_in_range {
        let what = "the ttl of a retry budget must be from 1s to 60s";
        reader.warning(reader.at_field("ttl"), what, "the proxy drops the budget: no retries");
    }
    Budget {
        ratio: ratio.unwrap_or(default.ratio),
        min_per_second: min.unwrap_or(default.min_per_second),
        ttl_ns: ttl.unwrap_or(default.ttl_ns),
        at: Some(at),
        is_valid: is_in_range && ratio.is_some() && min.is_some() && ttl.is_some(),
    }
}

fn read_override(reader: &mut Reader<'_, '_>) -> Option<Override> {
    let at = reader.at();
    let authority = reader.needed_text("authority");
    let weight = reader.quantity_milli("weight");
    if !reader.has("weight") {
        reader.missing("weight");
    }
    let weight_milli = u64::try_from(weight?).unwrap_or(u64::MAX);
    Some(Override { authority: authority?, weight_milli, at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::object::Manifests;
    use crate::manifest::reader;

    fn profile(spec: &str) -> (Profile, Vec<String>) {
        let text = format!(
            "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\n\
             metadata: {{name: web.shop.svc.cluster.local, namespace: shop}}\nspec:\n{spec}"
        );
        let Manifests { sources, objects, mut findings } =
            Manifests::read([("a.yaml", text.as_bytes())]);
        let profile =
            reader::object(&objects[0], &sources, &mut findings, |r| read(&objects[0], r));
        let all = findings.problems.iter().chain(&findings.warnings);
        (profile, all.map(ToString::to_string).collect())
    }

    const ROUTES: &str = "
  routes:
  - name: books
    condition: {method: GET, pathRegex: '/books/[^/]*'}
    isRetryable: true
    timeout: 300ms
    responseClasses:
    - {condition: {status: {min: 400}}, isFailure: true}
    - {condition: {all: [{status: {min: 500, max: 599}}, {not: {status: {min: 503}}}]}}
  - name: rest
    condition: {any: [{method: POST}, {not: {pathRegex: '/admin.*'}}]}
  retryBudget: {retryRatio: 0.1, minRetriesPerSecond: 5, ttl: 20s}
  dstOverrides:
  - {authority: web-v1.shop.svc.cluster.local, weight: 900m}
  - {authority: web-v2.shop.svc.cluster.local, weight: '1'}
";

    #[test]
    fn the_first_route_that_matches_counts() {
        let (profile, told) = profile(ROUTES);
        assert_eq!(told, [""; 0]);
        assert_eq!(profile.service(&Settings::default()), Some(("shop".into(), "web".into())));
        let cases = [
            ("GET", "/books/1", Some("books")),
            ("GET", "/books/1/edit", Some("rest")),
            ("GET", "/x/books/1", Some("rest")),
            ("POST", "/admin", Some("rest")),
            ("GET", "/admin/x", None),
        ];
        for (method, path, expected) in cases {
            let route = profile.route(method, path).map(|route| route.name.as_str());
            assert_eq!(route, expected, "{method} {path}");
        }
        let books = &profile.routes[0];
        assert_eq!((books.timeout_ns, books.is_retryable), (Some(300_000_000), true));
        let failures: Vec<u16> =
            [200, 400, 401, 500, 503].into_iter().filter(|code| books.is_failure(*code)).collect();
        assert_eq!(failures, [400, 503]);
        assert!(profile.routes[1].is_failure(500) && !profile.routes[1].is_failure(404));
        let weights: Vec<u64> = profile.overrides.iter().map(|to| to.weight_milli).collect();
        assert_eq!(weights, [900, 1000]);
        assert!(profile.wins() && profile.budget.is_valid);
    }

    #[test]
    fn anchors_stand_outside_of_alternatives() {
        let (profile, _) = profile("  routes: [{name: a, condition: {pathRegex: '/a|/b'}}]\n");
        let names = ["/a", "/ax", "/x/b", "/bx"].map(|path| profile.route("GET", path).is_some());
        assert_eq!(names, [true, true, true, false]);
    }

    #[test]
    fn one_bad_route_drops_the_whole_profile() {
        let broken = |route: &str| {
            let (profile, told) = profile(&format!("  routes:\n  - {route}\n"));
            assert!(!profile.wins(), "{route}");
            told[0].lines().next().unwrap_or_default().to_owned()
        };
        let get = "{name: a, condition: {method: GET}, responseClasses: [";
        let cases = [
            ("{name: a}".to_owned(), 5, "route `a` has no condition"),
            ("{name: a, condition: {}}".to_owned(), 26, "a condition without a field"),
            ("{name: a, condition: {pathRegex: '/('}}".to_owned(), 38, "`/(` is no regex"),
            (
                format!("{get}{{condition: {{status: {{min: 500, max: 400}}}}}}]}}"),
                80,
                "no status is from 500 to 400",
            ),
            (format!("{get}{{isFailure: true}}]}}"), 59, "a response class without a condition"),
        ];
        for (route, column, expected) in cases {
            let expected =
                format!("a.yaml:6:{column}: the whole ServiceProfile is dropped: {expected}");
            assert_eq!(broken(&route), expected);
        }
    }

    #[test]
    fn a_bad_timeout_is_no_timeout_and_a_bad_budget_is_no_retry() {
        let (one, told) =
            profile("  routes:\n  - {name: a, condition: {method: GET}, timeout: 5}\n");
        assert_eq!((one.routes.len(), one.broken), (1, None));
        assert!(told[0].contains("must be a string"), "{told:?}");
        let (two, told) =
            profile("  retryBudget: {retryRatio: 0.2, minRetriesPerSecond: 1, ttl: 2m}\n");
        assert!(!two.budget.is_valid && told[0].contains("from 1s to 60s"), "{told:?}");
        let (three, told) = profile("  dstOverrides: [{authority: a.b, weight: 0}]\n");
        assert!(!three.wins() && told.is_empty(), "{told:?}");
    }
}
