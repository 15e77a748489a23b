//! HTTP cases: the request as the case means it, and its answer compared as upstream does.
//!
//! Source: upstream `conformance/utils/http/http.go` (`CompareRoundTrip`: status, redirect, backend, request
//! as it arrived, headers of the answer, mirrors), `utils/echo/pod.go` (the mesh's client compares status,
//! headers and pod, no paths), `utils/weight` (shares within 0.05).
//! Left out: protocols and bodies of answers.

use crate::manifest::gateway_api::conformance::setup::Setup;
use crate::manifest::gateway_api::conformance::{Judged, Verdict, send, values};
use crate::manifest::gateway_api::outcome::{self, Behaviour};
use crate::manifest::route::request::{Headers, Request};
use crate::manifest::route::{Destination, Location, Route};
use serde_json::Value;

/// How far a share may be from what is wanted (upstream sends 500 requests).
const SHARE_TOLERANCE: f64 = 0.05;

/// Judges a case through every entrance until one fits; `repeated` if its request was sent before with
/// another answer.
pub fn judge(setup: &Setup<'_>, case: &Value, repeated: bool) -> Judged {
    let without_grants = repeated && setup.has_grants();
    let mut first = None;
    for query in send::queries(setup, case, repeated) {
        let query = match query {
            Ok(query) => query,
            Err(why) => return (Verdict::Fail, why),
        };
        let route = setup.route(&query, without_grants);
        if let Some(judged) = beyond(setup, &query.request, &route) {
            return judged;
        }
        let judged = match compare(setup, case, &query.request, &route) {
            Ok(()) if without_grants => {
                (Verdict::Pass, format!("{}; the test's grants deleted", told(&route)))
            }
            Ok(()) if send::is_guess(&query) => {
                (Verdict::Pass, format!("{}; the TLS hello names no host", told(&route)))
            }
            Ok(()) => return (Verdict::Pass, told(&route)),
            Err(why) => (Verdict::Fail, format!("{why}; {}", told(&route))),
        };
        if judged.0 == Verdict::Pass {
            return judged;
        }
        first.get_or_insert(judged);
    }
    first.unwrap_or((Verdict::Fail, "no own route names a gateway or service".to_owned()))
}

/// `path` was a variable of the test's loop over routes to services whose endpoints it writes itself.
fn beyond(setup: &Setup<'_>, request: &Request, route: &Route) -> Option<Judged> {
    let unknown = request.path == "/path" && !setup.knows_path(request);
    (unknown && route.destinations.is_empty()).then(|| {
        let reason = "`path` is a variable of the test's source, and the test writes the \
                      EndpointSlices at run time";
        (Verdict::NotModelled, reason.to_owned())
    })
}

fn compare(setup: &Setup<'_>, case: &Value, sent: &Request, route: &Route) -> Result<(), String> {
    let wanted = match case.get("want") {
        Some(want) => values::statuses(Some(want)),
        None => values::statuses(case.get("Response")),
    };
    let behaviour = case.get("args").map(send::behaviour);
    for status in statuses_with(route, sent, behaviour) {
        if !wanted.contains(&status) && !is_older_404(setup, &wanted, status) {
            return Err(format!("{wanted:?} is wanted, the answer is {status}"));
        }
    }
    if let Some(location) = route_location(route) {
        let redirect = case.get("RedirectRequest");
        return redirect.map_or(Ok(()), |redirect| compare_redirect(redirect, sent, location));
    }
    compare_weights(setup, route)?;
    compare_backends(setup, case, route)?;
    for to in used(route) {
        compare_request(setup, case, sent, to)?;
    }
    compare_answer(case, route)?;
    compare_mirrors(case, route)
}

/// A misdirected request may be answered 404 as before GEP-3567, unless the test is about it.
fn is_older_404(setup: &Setup<'_>, wanted: &[u16], status: u16) -> bool {
    let feature = "SupportGatewayHTTPSListenerDetectMisdirectedRequests";
    status == 421 && wanted.contains(&404) && !setup.needs(feature)
}

fn used(route: &Route) -> impl Iterator<Item = &Destination> {
    route.destinations.iter().filter(|to| to.share > 0.0 && to.failure.is_none())
}

fn route_location(route: &Route) -> Option<&Location> {
    let own = route.direct.as_ref().and_then(|direct| direct.location.as_ref());
    let mut failures = route.destinations.iter().filter_map(|to| to.failure.as_ref());
    own.or_else(|| failures.find_map(|direct| direct.location.as_ref()))
}

/// All statuses that a client may see, one a destination.
pub fn statuses(route: &Route, sent: &Request) -> Vec<u16> {
    statuses_with(route, sent, None)
}

fn statuses_with(route: &Route, sent: &Request, behaviour: Option<Behaviour>) -> Vec<u16> {
    if let Some(direct) = &route.direct {
        return vec![direct.status];
    }
    let delay = sent.query_value("delay").and_then(|text| values::duration_ns(&text));
    let behaviour = behaviour
        .unwrap_or_else(|| Behaviour { delay_ns: delay.unwrap_or(0), ..Behaviour::default() });
    let sent_to = route.destinations.iter().filter(|to| to.share > 0.0);
    let mut statuses: Vec<u16> = sent_to
        .map(|to| match &to.failure {
            Some(failure) => failure.status,
            None => outcome::play(route, behaviour).status,
        })
        .collect();
    if statuses.is_empty() {
        statuses.push(500);
    }
    statuses
}

fn compare_redirect(wanted: &Value, sent: &Request, got: &Location) -> Result<(), String> {
    let path = got.path.split('?').next().unwrap_or("");
    let fields = [
        ("Scheme", sent.scheme.as_str(), got.scheme.as_str()),
        ("Host", sent.authority.as_str(), got.host.as_str()),
        ("Path", sent.path.as_str(), path),
    ];
    for (name, default, got) in fields {
        let wanted = values::text(wanted, name).unwrap_or(default);
        let wanted = if name == "Path" { wanted.split('?').next().unwrap_or("") } else { wanted };
        if wanted != got {
            return Err(format!("a redirect to {name} {wanted} is wanted, it is {got}"));
        }
    }
    let own = if got.scheme == "https" { 443 } else { 80 };
    let port = got.port.unwrap_or(own);
    let wanted: Option<u16> = values::text(wanted, "Port").and_then(|text| text.parse().ok());
    if port != wanted.unwrap_or(own) {
        let wanted = wanted.unwrap_or(own);
        return Err(format!("a redirect to port {wanted} is wanted, it is {port}"));
    }
    Ok(())
}

/// The test's own table of shares.
fn compare_weights(setup: &Setup<'_>, route: &Route) -> Result<(), String> {
    let Some(Value::Object(wanted)) = setup.test.get("expectedWeights") else { return Ok(()) };
    for (name, share) in wanted {
        let share = share.as_f64().unwrap_or(0.0);
        let own = used(route).filter(|to| to.service == *name);
        let got: f64 = own.map(|to| to.share).sum();
        if (got - share).abs() > SHARE_TOLERANCE || (share <= 0.0 && got > 0.0) {
            return Err(format!("{name} wants the share {share}, it gets {got}"));
        }
    }
    match used(route).find(|to| !wanted.contains_key(&to.service)) {
        Some(to) => Err(format!("{} is not wanted", to.service)),
        None => Ok(()),
    }
}

/// Each used destination must be the backend of the case: one of its workloads has that name.
pub fn compare_backends(setup: &Setup<'_>, case: &Value, route: &Route) -> Result<(), String> {
    let Some(wanted) = values::text(case, "Backend") else { return Ok(()) };
    let namespace = values::text(case, "Namespace").map(values::namespace);
    let is_known =
        |name: &String| setup.cluster.services.values().any(|service| service.namespace == *name);
    let namespace = namespace.filter(|name| !setup.is_mesh() && is_known(name));
    for to in used(route) {
        let by_pod = to.workloads.iter().all(|workload| workload.starts_with(wanted));
        let fits = if to.workloads.is_empty() { to.service.starts_with(wanted) } else { by_pod };
        if !fits {
            return Err(format!("{wanted} is wanted, it goes to {}", to.service));
        }
        if namespace.as_ref().is_some_and(|namespace| *namespace != to.namespace) {
            return Err(format!("{} is not in the namespace wanted", to.namespace));
        }
    }
    match used(route).next() {
        Some(_) => Ok(()),
        None => Err(format!("{wanted} is wanted, nobody is asked")),
    }
}

/// The request as the backend gets it. In the mesh upstream compares no paths and hosts; here they are
/// compared where a filter changed them.
fn compare_request(
    setup: &Setup<'_>,
    case: &Value,
    sent: &Request,
    to: &Destination,
) -> Result<(), String> {
    let Some(expected) = case.get("ExpectedRequest") else {
        let got = &to.request;
        let names_host =
            case.get("Request").is_some_and(|sent| values::text(sent, "Host").is_some());
        let same_host = !names_host || got.authority == sent.authority;
        let same = got.target() == sent.target() && same_host;
        return if same || setup.is_mesh() {
            Ok(())
        } else {
            Err(format!("the backend gets {got}"))
        };
    };
    let empty = Value::Null;
    let wanted = expected.get("Request").unwrap_or(&empty);
    let got = &to.request;
    let pairs = [
        ("Path", sent.target(), got.target()),
        ("Host", sent.authority.clone(), got.authority.clone()),
        ("Method", sent.method.clone(), got.method.clone()),
    ];
    for (name, before, after) in pairs {
        let is_changed = before != after;
        let Some(wanted) = values::text(wanted, name).filter(|_| is_changed || !setup.is_mesh())
        else {
            continue;
        };
        if wanted != after {
            return Err(format!("{name} {wanted} is wanted, the backend gets {after}"));
        }
    }
    compare_headers(&values::fields(wanted, "Headers"), &got.headers, false)?;
    compare_absent(&values::texts(expected, "AbsentHeaders"), &got.headers)
}

fn compare_headers(
    wanted: &[(String, Vec<String>)],
    got: &Headers,
    ignore_space: bool,
) -> Result<(), String> {
    let plain = |text: &str| if ignore_space { text.replace(' ', "") } else { text.to_owned() };
    for (name, values) in wanted {
        let got = got.get(name);
        if got.as_deref().map(plain) != Some(plain(&values.join(","))) {
            let got = got.unwrap_or_else(|| "none".to_owned());
            return Err(format!("{name}: {} is wanted, it is {got}", values.join(",")));
        }
    }
    Ok(())
}

fn compare_absent(names: &[String], got: &Headers) -> Result<(), String> {
    match names.iter().find_map(|name| got.get(name).map(|value| (name, value))) {
        Some((name, value)) => Err(format!("{name} must not be there, it is {value}")),
        None => Ok(()),
    }
}

/// The headers of the answer: the backend's own, changed by the backend's filters, then the rule's.
fn compare_answer(case: &Value, route: &Route) -> Result<(), String> {
    let Some(response) = case.get("Response") else { return Ok(()) };
    let mut headers = Headers::default();
    for (name, values) in values::fields(case, "BackendSetResponseHeaders") {
        headers.set(&name, values.join(","));
    }
    if let Some(direct) = &route.direct {
        headers = direct.headers.clone();
    } else {
        if let Some(to) = used(route).next() {
            headers.change(&to.response_headers);
        }
        headers.change(&route.response_headers);
    }
    let ignore_space = values::text(response, "IgnoreWhitespace") == Some("true")
        || response.get("IgnoreWhitespace") == Some(&Value::Bool(true));
    compare_headers(&values::fields(response, "Headers"), &headers, ignore_space)?;
    for (name, valid) in values::fields(response, "ValidHeaderValues") {
        let fits = valid.iter().any(|value| {
            let one = [(name.clone(), vec![value.clone()])];
            compare_headers(&one, &headers, ignore_space).is_ok()
        });
        if !fits {
            let got = headers.get(&name).unwrap_or_else(|| "none".to_owned());
            return Err(format!("{name}: one of {valid:?} is wanted, it is {got}"));
        }
    }
    compare_absent(&values::texts(response, "AbsentHeaders"), &headers)
}

/// The mirrors of the case, which must be all that there are.
pub fn compare_mirrors(case: &Value, route: &Route) -> Result<(), String> {
    let Some(Value::Array(wanted)) = case.get("MirroredTo") else { return Ok(()) };
    if wanted.len() != route.mirrors.len() {
        let count = route.mirrors.len();
        return Err(format!("{} mirrors are wanted, there are {count}", wanted.len()));
    }
    for mirror in wanted {
        let Some(backend) = mirror.get("BackendRef") else { continue };
        let name = values::text(backend, "Name").unwrap_or("");
        let namespace = values::text(backend, "Namespace").map(values::namespace);
        let percent = values::texts(mirror, "Percent");
        let percent = percent.first().and_then(|text| values::number(text)).unwrap_or(100.0);
        let fits = route.mirrors.iter().any(|got| {
            got.service == name
                && namespace.as_ref().is_none_or(|namespace| *namespace == got.namespace)
                && (got.share * 100.0 - percent).abs() < SHARE_TOLERANCE * 100.0
        });
        if !fits {
            return Err(format!("a mirror of {percent}% to {name} is wanted"));
        }
    }
    Ok(())
}

/// An answer in a line.
pub fn told(route: &Route) -> String {
    let rule = route
        .rule
        .as_ref()
        .map(|rule| format!("{} {} ({}:{})", rule.object, rule.rule, rule.file, rule.line));
    let what = match &route.direct {
        Some(direct) => match &direct.location {
            Some(location) => format!("{} to {}", direct.status, location.url),
            None => format!("{}: {}", direct.status, direct.reason),
        },
        None => route
            .destinations
            .iter()
            .map(|to| match &to.failure {
                Some(failure) => format!("{} ({} {})", to.service, failure.status, failure.reason),
                None => {
                    format!("{} {}", to.service, crate::manifest::route::text::percent(to.share))
                }
            })
            .collect::<Vec<_>>()
            .join(", "),
    };
    match rule {
        Some(rule) => format!("{rule}: {what}"),
        None => what,
    }
}
