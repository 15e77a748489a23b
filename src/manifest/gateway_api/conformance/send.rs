//! The request of a case as the case means it, and how its backend behaves.
//!
//! Source: upstream `conformance/utils/http` (`MakeRequest`: GET, the gateway's address as the host),
//! `utils/echo` (the mesh's client), `utils/tls` (the hello's server name, beside the case);
//! `conformance/tests/httproute-retry.go` (`retrySimulationConfig`).
//! Left out: bodies and protocols of requests.

use crate::manifest::gateway_api::conformance::setup::{Entrance, Setup};
use crate::manifest::gateway_api::conformance::values;
use crate::manifest::gateway_api::outcome::Behaviour;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Origin, Query};
use serde_json::Value;

/// A server name that no listener has.
const NO_NAME: &str = "no-listener-has-this.invalid";

/// Whether the hello's server name was not given, and is not the request's.
pub fn is_guess(query: &Query) -> bool {
    matches!(&query.from, Origin::Gateway { sni: Some(sni), .. } if sni == NO_NAME)
}

/// The ways to send a case's request, the likeliest first; the error says what is wrong with it.
pub fn queries(setup: &Setup<'_>, case: &Value, repeated: bool) -> Vec<Result<Query, String>> {
    if !setup.is_mesh() {
        let entrances = setup.entrances();
        let server_name = values::text(case, "ServerName");
        let query = |entrance: Entrance, server_name: Option<&str>| {
            let request = request(case, "gateway", entrance.scheme, Some(entrance.port))?;
            let mut from = entrance.origin;
            if let Origin::Gateway { sni, .. } = &mut from {
                *sni = server_name.map(str::to_owned);
            }
            Ok(Query { from, request })
        };
        let mut queries: Vec<_> =
            entrances.iter().map(|entrance| query(entrance.clone(), server_name)).collect();
        // Upstream says the hello's name beside the case: where it is not given, an answer without
        // a backend may be to a name that is the request's, or to one that no listener has.
        if server_name.is_none() && values::text(case, "Backend").is_none() {
            let tls = entrances.iter().filter(|entrance| entrance.scheme == "https");
            queries.extend(tls.map(|entrance| query(entrance.clone(), Some(NO_NAME))));
        }
        return queries;
    }
    let mut namespaces = setup.client_namespaces();
    let name = values::text(case, "TestCaseName").unwrap_or("");
    if repeated || name.contains("not from") {
        let other = usize::from(namespaces.len() > 1);
        namespaces.rotate_left(other);
    }
    // The first fitting client is not searched for: which one sends is part of the case.
    namespaces.truncate(1);
    let host = setup.default_host();
    let query = |namespace: String| {
        let request = request(case, &host, "http", None)?;
        Ok(setup.mesh_query(&namespace, request))
    };
    namespaces.into_iter().map(query).collect()
}

fn request(case: &Value, host: &str, scheme: &str, port: Option<u16>) -> Result<Request, String> {
    let empty = Value::Null;
    let sent = case.get("Request").unwrap_or(&empty);
    let args = case.get("args").unwrap_or(&empty);
    let host = values::text(sent, "Host").unwrap_or(host);
    let path = values::text(sent, "Path").or_else(|| values::text(args, "path")).unwrap_or("/");
    let is_grpc = values::text(sent, "Protocol").is_some_and(|word| word.contains("grpc"));
    let method = values::text(sent, "Method").unwrap_or(if is_grpc { "POST" } else { "GET" });
    let headers: Vec<(String, String)> = values::fields(sent, "Headers")
        .into_iter()
        .map(|(name, values)| (name, values.join(",")))
        .collect();
    let mut request = Request::to(method, &format!("{scheme}://{host}{path}"), &headers)
        .or_else(|_| Request::to(method, &format!("http://{host}{path}"), &headers))?;
    scheme.clone_into(&mut request.scheme);
    if let Some(port) = port {
        request.port = port;
    }
    Ok(request)
}

/// `retrySimulationConfig`: how the echo backend fails its first tries.
pub fn behaviour(args: &Value) -> Behaviour {
    let empty = Value::Null;
    let config = args.get("retrySimulationConfig").unwrap_or(&empty);
    let first = |key: &str| values::texts(config, key).into_iter().next();
    let number = |key: &str| first(key).and_then(|text| values::number(&text));
    let delay = first("delayRetry").or_else(|| first("delay"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
    let whole = |number: f64| number as u32;
    Behaviour {
        failing_tries: number("succeedAfter").map_or(0, whole),
        failing_status: number("responseCode").and_then(|code| u16::try_from(whole(code)).ok()),
        failing_delay_ns: delay.and_then(|text| values::duration_ns(&text)).unwrap_or(0),
        delay_ns: 0,
    }
}
