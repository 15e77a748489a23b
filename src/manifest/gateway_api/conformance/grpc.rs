//! gRPC cases: a call of the echo service, its code, and the backend that answered.
//!
//! Source: upstream `conformance/utils/grpc/grpc.go` (`compareResponse`: code, pod and namespace; header
//! expectations are written down but not compared, so a difference is only told); gRPC's mapping of HTTP
//! statuses to codes (`doc/http-grpc-status-mapping.md`).
//! Left out: messages and trailers.

use crate::manifest::gateway_api::conformance::setup::Setup;
use crate::manifest::gateway_api::conformance::{Judged, Verdict, http, values};
use crate::manifest::route::request::{Headers, Request};
use crate::manifest::route::{Query, Route};
use serde_json::Value;

/// The service that the suite's backends serve.
const SERVICE: &str = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho";

/// Judges a case through every entrance until one fits.
pub fn judge(setup: &Setup<'_>, case: &Value) -> Judged {
    let method = values::grpc_method(case).unwrap_or_default();
    let metadata = case.get("RequestMetadata");
    let authority = metadata.and_then(|metadata| values::text(metadata, "Authority"));
    let mut request = Request {
        method: "POST".to_owned(),
        scheme: "http".to_owned(),
        host: authority.unwrap_or("gateway").to_owned(),
        authority: authority.unwrap_or("gateway").to_owned(),
        path: format!("/{SERVICE}/{method}"),
        ..Request::default()
    };
    request.headers.set("content-type", "application/grpc");
    if let Some(metadata) = metadata {
        for (name, values) in values::fields(metadata, "Metadata") {
            request.headers.set(&name, values.join(","));
        }
    }
    let mut first = None;
    if setup.is_mesh() {
        let host = setup.default_host();
        let url = format!("http://{host}{}", request.path);
        let Ok(mut sent) = Request::to("POST", &url, &[]) else {
            return (Verdict::Fail, format!("`{host}` is no host"));
        };
        sent.headers = request.headers.clone();
        for namespace in setup.client_namespaces() {
            let route = setup.route(&setup.mesh_query(&namespace, sent.clone()), false);
            let judged = compare(setup, case, &route);
            if judged.0 == Verdict::Pass {
                return judged;
            }
            first.get_or_insert(judged);
        }
    }
    for entrance in setup.entrances() {
        entrance.scheme.clone_into(&mut request.scheme);
        request.port = entrance.port;
        let query = Query { from: entrance.origin, request: request.clone() };
        let judged = compare(setup, case, &setup.route(&query, false));
        if judged.0 == Verdict::Pass {
            return judged;
        }
        first.get_or_insert(judged);
    }
    first.unwrap_or((Verdict::Fail, "no own route names a gateway".to_owned()))
}

fn compare(setup: &Setup<'_>, case: &Value, route: &Route) -> Judged {
    let response = case.get("Response");
    let wanted = response.and_then(|response| values::text(response, "Code")).unwrap_or("OK");
    let wanted = wanted.trim_start_matches("codes.");
    for status in http::statuses(route, &Request::default()) {
        let codes = codes(status);
        if !codes.contains(&wanted) {
            return (Verdict::Fail, format!("{wanted} is wanted, the answer is {}", codes[0]));
        }
    }
    if wanted != "OK" {
        return (Verdict::Pass, http::told(route));
    }
    if let Err(why) = http::compare_backends(setup, case, route) {
        return (Verdict::Fail, why);
    }
    if let Err(why) = http::compare_mirrors(case, route) {
        return (Verdict::Fail, why);
    }
    match headers(case, route) {
        Some(note) => (Verdict::Pass, format!("{}; {note}", http::told(route))),
        None => (Verdict::Pass, http::told(route)),
    }
}

/// The codes that a client may see for an HTTP status; the first is the usual one.
fn codes(status: u16) -> &'static [&'static str] {
    match status {
        200 => &["OK"],
        400 => &["Internal"],
        401 => &["Unauthenticated"],
        403 => &["PermissionDenied"],
        404 => &["Unimplemented"],
        429 | 502 | 503 => &["Unavailable"],
        504 => &["Unavailable", "DeadlineExceeded"],
        500 => &["Unavailable", "Internal", "Unknown"],
        _ => &["Unknown"],
    }
}

/// The echo server answers with the headers that it got: what differs from the case, as a note.
fn headers(case: &Value, route: &Route) -> Option<String> {
    let to = route.destinations.iter().find(|to| to.share > 0.0)?;
    let got: &Headers = &to.request.headers;
    let wanted = values::fields(case.get("Response")?, "Headers");
    let differs =
        wanted.iter().find(|(name, values)| got.get(name).unwrap_or_default() != values.join(","));
    let (name, values) = differs?;
    Some(format!(
        "the case lists {name}: {} (upstream does not compare it), the backend got {}",
        values.join(","),
        got.get(name).unwrap_or_else(|| "none".to_owned()),
    ))
}
