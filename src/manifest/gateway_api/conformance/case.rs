//! A case as upstream's structs have it, in whatever form it was written down.
//!
//! Tests keep their cases as the suite's own structs, as rows of a table of their own (`name`, `headers`,
//! `targetHost`), or as structs whose members are variables. Rows become structs, the suite's constants
//! their values, and a variable becomes what the manifests leave no doubt about. For any other variable
//! the case cannot be judged, and neither if it fails and has members that nobody understands.
//! Source: upstream `conformance/tests`, `conformance/utils/{http,grpc}` (structs), `utils/suite` and
//! `utils/echo` (constants).
//! Left out: any other expression of Go.

use crate::manifest::gateway_api::conformance::setup::Setup;
use crate::manifest::gateway_api::conformance::values;
use crate::manifest::gateway_api::filter::Action;
use crate::manifest::gateway_api::resolve;
use serde_json::{Map, Value, json};

/// A case that can be judged.
#[derive(Clone, PartialEq, Debug)]
pub struct Case {
    /// It, in upstream's form.
    pub value: Value,
    /// What was assumed or passed over.
    pub notes: Vec<String>,
    /// Members that are not understood.
    pub unknown: Vec<String>,
}

/// Members of a table's row, and where their values belong.
const ROW: &[(&[&str], &str)] = &[
    (&["name", "testName", "description", "desc"], "/TestCaseName"),
    (&["path", "requestPath"], "/Request/Path"),
    (&["host", "hostname", "requestHost"], "/Request/Host"),
    (&["method"], "/Request/Method"),
    (&["protocol"], "/Request/Protocol"),
    (&["headers", "requestHeaders"], "/Request/Headers"),
    (&["serverName", "sni"], "/ServerName"),
    (&["statusCode", "expectedStatusCode", "wantStatusCode"], "/Response/StatusCode"),
    (&["statusCodes", "expectedStatusCodes"], "/Response/StatusCodes"),
    (&["backend", "targetHost", "expectedBackend", "wantBackend"], "/Backend"),
    (&["namespace", "expectedNamespace"], "/Namespace"),
    (&["expectedPath"], "/ExpectedRequest/Request/Path"),
    (&["expectedHeaders", "wantHeaders"], "/ExpectedRequest/Request/Headers"),
    (&["absentHeaders"], "/ExpectedRequest/AbsentHeaders"),
];

/// Members of upstream's structs, by where they stand.
const MEMBERS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "TestCaseName",
            "Request",
            "ExpectedRequest",
            "RedirectRequest",
            "BackendSetResponseHeaders",
            "Response",
            "Backend",
            "Namespace",
            "MirroredTo",
            "ServerName",
            "RequestMetadata",
            "name",
            "args",
            "want",
        ],
    ),
    ("/Request", &["Host", "Method", "Path", "Headers", "UnfollowRedirect", "Protocol"]),
    ("/ExpectedRequest", &["Request", "AbsentHeaders"]),
    (
        "/ExpectedRequest/Request",
        &["Host", "Method", "Path", "Headers", "UnfollowRedirect", "Protocol"],
    ),
    ("/RedirectRequest", &["Scheme", "Host", "Port", "Path"]),
    (
        "/Response",
        &[
            "StatusCode",
            "StatusCodes",
            "Headers",
            "ValidHeaderValues",
            "AbsentHeaders",
            "IgnoreWhitespace",
            "Protocol",
            "Code",
            "Body",
        ],
    ),
    ("/RequestMetadata", &["Authority", "Metadata"]),
    ("/args", &["path", "retrySimulationConfig"]),
    ("/want", &["StatusCode", "StatusCodes"]),
];

/// Where a text stands for a struct, a map or a list that is not given.
const STRUCTS: &[&str] = &[
    "/Request",
    "/Request/Headers",
    "/ExpectedRequest",
    "/ExpectedRequest/Request",
    "/ExpectedRequest/Request/Headers",
    "/RedirectRequest",
    "/BackendSetResponseHeaders",
    "/Response",
    "/Response/ValidHeaderValues",
    "/RequestMetadata",
    "/RequestMetadata/Metadata",
    "/MirroredTo",
    "/args",
    "/args/retrySimulationConfig",
    "/want",
];

/// Reads a case; the error says why it cannot be judged.
pub fn read(setup: &Setup<'_>, given: &Value) -> Result<Case, String> {
    let members = given.as_object().ok_or("the case is no struct")?;
    let mut case = Case { value: given.clone(), notes: Vec::new(), unknown: Vec::new() };
    if !is_struct(given) {
        match members.values().find(|member| is_struct(member)) {
            Some(inner) => case.value = inner.clone(),
            None => case.row(setup, members)?,
        }
    }
    case.host(setup);
    let variable = values::symbol(&case.value).or_else(|| not_given(&case.value));
    if let Some(symbol) = variable {
        return Err(format!(
            "`{symbol}` is a variable of the test's source, its value is not given"
        ));
    }
    let body = case.value.get("Response").and_then(|response| values::text(response, "Body"));
    if body.is_some() {
        return Err("`Response.Body`: bodies of answers are not simulated".to_owned());
    }
    constants(&mut case.value);
    case.origin(setup);
    case.members();
    Ok(case)
}

/// Whether it has upstream's own members.
fn is_struct(value: &Value) -> bool {
    let own = ["Request", "args", "RequestMetadata", "ExpectedRequest"];
    own.iter().any(|name| value.get(name).is_some()) || values::is_grpc(value)
}

impl Case {
    /// Turns a table's row into a struct.
    fn row(&mut self, setup: &Setup<'_>, members: &Map<String, Value>) -> Result<(), String> {
        self.value = json!({});
        for (name, value) in members {
            let place = ROW
                .iter()
                .find(|(names, _)| names.iter().any(|own| own.eq_ignore_ascii_case(name)));
            match place {
                Some((_, place)) => put(&mut self.value, place, value.clone()),
                None if name == "matchHeaderValue" => {}
                None if name == "client" => self.notes.push("the client is not told apart".into()),
                None => self.unknown.push(name.clone()),
            }
        }
        if let Some(value) = members.get("matchHeaderValue") {
            self.matched_header(setup, value);
        }
        if self.value.get("Request").is_none() {
            let names: Vec<&str> = members.keys().map(String::as_str).collect();
            return Err(format!("the case has no request, its members are {}", names.join(", ")));
        }
        Ok(())
    }

    /// A value alone stands for the header that a rule of the test compares with it.
    fn matched_header(&mut self, setup: &Setup<'_>, value: &Value) {
        let wanted = values::plain(value);
        let matches = setup.own_rules().flat_map(|rule| &rule.matches);
        let mut headers = matches.flat_map(|matching| &matching.headers);
        match headers.find(|header| header.value.matches(&wanted)) {
            Some(header) => {
                let mut all = match self.value.pointer("/Request/Headers") {
                    Some(Value::Object(map)) => map.clone(),
                    _ => Map::new(),
                };
                all.insert(header.name.clone(), Value::String(wanted));
                put(&mut self.value, "/Request/Headers", Value::Object(all));
            }
            None => self.unknown.push("matchHeaderValue".to_owned()),
        }
    }

    /// `Origin: origin` stands for an origin that the test's own route allows.
    fn origin(&mut self, setup: &Setup<'_>) {
        let Some(Value::Object(headers)) = self.value.pointer("/Request/Headers") else { return };
        let Some((_, name)) = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case("origin"))
        else {
            return;
        };
        let name = values::plain(name);
        if !is_variable(&name) || name == "null" {
            return;
        }
        let mut origins = setup.own_rules().flat_map(|rule| &rule.filters).filter_map(|filter| {
            let Action::Cors(cors) = &filter.action else { return None };
            cors.origins.iter().find(|origin| !origin.contains('*'))
        });
        if let Some(origin) = origins.next() {
            self.notes.push(format!("`{name}` is taken to be {origin}, which the route allows"));
            replace(&mut self.value, &name, origin, 8);
        }
    }

    /// `Host: host` stands for the service that the test's routes are bound to, or from outside for the
    /// host that they name.
    fn host(&mut self, setup: &Setup<'_>) {
        let Some(host) = self.value.pointer("/Request/Host").and_then(Value::as_str) else {
            return;
        };
        let is_service = |host: &str| {
            let mut namespaces = setup.client_namespaces().into_iter();
            namespaces.any(|from| resolve::find_service(&setup.cluster, &from, host).is_some())
        };
        let name = host.to_owned();
        if !is_variable(host) || setup.is_mesh() && is_service(host) {
            return;
        }
        let meant = if setup.is_mesh() { Some(setup.default_host()) } else { setup.own_host() };
        if let Some(meant) = meant {
            self.notes.push(format!("`{name}` is taken to be {meant}"));
            put(&mut self.value, "/Request/Host", Value::String(meant));
        }
    }

    /// Notes the members that upstream's structs do not have.
    fn members(&mut self) {
        for (place, known) in MEMBERS {
            let Some(Value::Object(found)) = self.value.pointer(place) else { continue };
            let is_known = |name: &str| {
                known.contains(&name)
                    || place.is_empty() && name.starts_with("Echo") && name.ends_with("Request")
            };
            let odd = found.keys().filter(|name| !is_known(name));
            let prefix = place.trim_start_matches('/').replace('/', ".");
            self.unknown.extend(odd.map(|name| match prefix.as_str() {
                "" => name.clone(),
                _ => format!("{prefix}.{name}"),
            }));
        }
        if !self.unknown.is_empty() {
            self.notes.push(format!("passed over: {}", self.unknown.join(", ")));
        }
    }

    /// Why a case that fails may be beyond what the files tell.
    pub fn excuse(&self, setup: &Setup<'_>) -> Option<String> {
        if !self.unknown.is_empty() {
            return Some(format!("{} is not understood", self.unknown.join(", ")));
        }
        let wanted = values::text(&self.value, "Backend")?;
        let services = setup.cluster.services.values().map(|service| &service.name);
        let mut names = services.chain(setup.cluster.workloads.iter().map(|pods| &pods.name));
        if !names.any(|name| name.starts_with(wanted)) {
            return Some(format!("`{wanted}` is in no manifest"));
        }
        let own = setup.own_rules();
        let mut backends = own.filter_map(|rule| rule.backends.as_ref()).flatten();
        let is_named = backends.any(|to| to.name.starts_with(wanted));
        (!setup.is_mesh() && !is_named).then(|| {
            format!(
                "no route of the manifests leads to {wanted}: the test makes its own at run time"
            )
        })
    }
}

fn is_variable(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A text where a struct belongs, such as `req`.
fn not_given(case: &Value) -> Option<String> {
    let mut texts = STRUCTS.iter().filter_map(|place| case.pointer(place)?.as_str());
    texts.find(|text| !text.is_empty() && *text != "nil").map(str::to_owned)
}

/// Puts a value at a place, with the structs on the way there.
fn put(target: &mut Value, place: &str, value: Value) {
    let mut at = target;
    for name in place.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[name];
    }
    *at = value;
}

fn replace(value: &mut Value, name: &str, by: &str, depth: usize) {
    match value {
        Value::String(text) if text == name => by.clone_into(text),
        Value::Array(list) if depth > 0 => {
            for value in list {
                replace(value, name, by, depth - 1);
            }
        }
        Value::Object(map) if depth > 0 => {
            for value in map.values_mut() {
                replace(value, name, by, depth - 1);
            }
        }
        _ => {}
    }
}

/// Gives the suite's constants for services their values.
fn constants(case: &mut Value) {
    if let Some(Value::String(name)) = case.get_mut("Backend") {
        *name = service(name);
    }
    let Some(Value::Array(mirrors)) = case.get_mut("MirroredTo") else { return };
    for mirror in mirrors {
        if let Some(Value::String(name)) = mirror.pointer_mut("/BackendRef/Name") {
            *name = service(name);
        }
    }
}

/// The service that a constant such as `InfraBackendServiceNameV2` or `echo.MeshAppEchoV1` stands for.
fn service(text: &str) -> String {
    let name = text.rsplit('.').next().unwrap_or(text);
    if !is_variable(name) || !name.starts_with(|first: char| first.is_ascii_uppercase()) {
        return text.to_owned();
    }
    let name = name.strip_prefix("MeshApp").unwrap_or(name).replace("ServiceName", "");
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(at + 1);
        let starts = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase() || after.is_some_and(char::is_ascii_lowercase)
            });
        if starts {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_s_constants_are_known() {
        assert_eq!(service("confsuite.InfraBackendServiceNameV2"), "infra-backend-v2");
        assert_eq!(service("GRPCInfraBackendServiceNameV1"), "grpc-infra-backend-v1");
        assert_eq!(service("echo.MeshAppEchoV1"), "echo-v1");
        assert_eq!(service("WebBackendServiceName"), "web-backend");
        assert_eq!(service("infra-backend-v3"), "infra-backend-v3");
        assert_eq!(service("plain"), "plain");
    }
}
