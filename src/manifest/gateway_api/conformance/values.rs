//! Values in `expectations.json`: some are numbers, some are what Go's source calls them.
//!
//! Source: the upstream tests, from which the cases were taken mechanically: symbols that were not
//! resolved are left as names (`AppBackendNamespace`, `codes.OK`, `new(int32,20)`, `tc.host`).
//! Left out: any other expression of Go.

use crate::manifest::units::{self, DurationForm};
use serde_json::Value;

/// A string at a key, empty ones left out.
pub fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty() && *text != "nil")
}

/// A list of strings at a key, or one string alone.
pub fn texts(value: &Value, key: &str) -> Vec<String> {
    match value.get(key) {
        Some(Value::Array(list)) => list.iter().map(plain).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(Value::String(text)) if text == "nil" => Vec::new(),
        Some(other) => vec![plain(other)],
    }
}

/// The members of an object at a key, each with its values (one, or a list).
pub fn fields(value: &Value, key: &str) -> Vec<(String, Vec<String>)> {
    let Some(Value::Object(map)) = value.get(key) else { return Vec::new() };
    let pairs = map.keys().map(|name| (name.clone(), texts(&value[key], name)));
    pairs.collect()
}

/// A scalar as text.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The statuses that a case takes: `StatusCodes`, else `StatusCode`, else 200.
pub fn statuses(response: Option<&Value>) -> Vec<u16> {
    let Some(response) = response else { return vec![200] };
    let mut found = texts(response, "StatusCodes");
    found.extend(texts(response, "StatusCode"));
    let mut statuses: Vec<u16> = found.iter().filter_map(|text| status(text)).collect();
    if statuses.is_empty() {
        statuses.push(200);
    }
    statuses
}

fn status(text: &str) -> Option<u16> {
    let known = [
        ("OK", 200),
        ("NoContent", 204),
        ("MovedPermanently", 301),
        ("Found", 302),
        ("SeeOther", 303),
        ("TemporaryRedirect", 307),
        ("PermanentRedirect", 308),
        ("BadRequest", 400),
        ("Forbidden", 403),
        ("NotFound", 404),
        ("MisdirectedRequest", 421),
        ("InternalServerError", 500),
        ("BadGateway", 502),
        ("ServiceUnavailable", 503),
        ("GatewayTimeout", 504),
    ];
    let name = text.rsplit_once("Status").map_or(text, |(_, name)| name);
    let by_name = known.iter().find(|(known, _)| *known == name).map(|(_, status)| *status);
    text.parse().ok().or(by_name)
}

/// The last number in an expression such as `new(int32,20)` or `20`.
pub fn number(text: &str) -> Option<f64> {
    let digits = |c: char| !(c.is_ascii_digit() || c == '.');
    text.split(digits).rfind(|part| !part.is_empty())?.parse().ok()
}

/// A duration such as `300ms`, or Go's `300*time.Millisecond`.
pub fn duration_ns(text: &str) -> Option<u64> {
    if let Ok(duration) = units::duration_ns(text, DurationForm::Go) {
        return Some(duration);
    }
    let count = text.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
    let count: u64 = count.unwrap_or("1").parse().ok()?;
    let unit = [("Millisecond", 1_000_000), ("Second", 1_000_000_000)];
    let unit = unit.iter().find(|(name, _)| text.contains(&format!("time.{name}")))?;
    Some(count * unit.1)
}

/// The namespace that a symbol such as `AppBackendNamespace` stands for.
pub fn namespace(text: &str) -> String {
    let text = text.rsplit('.').next().unwrap_or(text);
    let Some(stem) = text.strip_suffix("Namespace").filter(|stem| !stem.is_empty()) else {
        return text.to_owned();
    };
    if stem == "Infrastructure" {
        return "gateway-conformance-infra".to_owned();
    }
    let mut name = String::from("gateway-conformance");
    for character in stem.chars() {
        if character.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

/// A variable of the test's source in the case, which tells nothing: `tc.host`, `serverStr`.
pub fn symbol(case: &Value) -> Option<String> {
    match case {
        Value::String(text) => {
            let member = text.strip_prefix("tc.").or_else(|| text.strip_prefix("testCase."))?;
            let is_name = !member.is_empty() && member.bytes().all(|b| b.is_ascii_alphanumeric());
            is_name.then(|| text.clone())
        }
        Value::Array(list) => list.iter().find_map(symbol),
        Value::Object(map) => map.iter().find_map(|(key, value)| member_symbol(key, value)),
        _ => None,
    }
}

fn member_symbol(key: &str, value: &Value) -> Option<String> {
    let texts: Vec<String> = match value {
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::String(text) if !text.is_empty() => vec![text.clone()],
        _ => Vec::new(),
    };
    let is_symbol = |text: &&String| match key {
        "Path" | "path" => !text.starts_with('/'),
        "Host" | "Hostname" => text.bytes().any(|byte| byte.is_ascii_uppercase()),
        "StatusCode" | "StatusCodes" => status(text).is_none(),
        "succeedAfter" | "responseCode" => number(text).is_none(),
        _ => false,
    };
    texts.iter().find(is_symbol).cloned().or_else(|| symbol(value))
}

/// Whether a case is a gRPC call.
pub fn is_grpc(case: &Value) -> bool {
    grpc_method(case).is_some()
}

/// The method of a gRPC case: `Echo` of `EchoRequest`.
pub fn grpc_method(case: &Value) -> Option<String> {
    let keys = case.as_object()?.keys();
    let mut methods = keys.filter(|key| key.starts_with("Echo") && key.ends_with("Request"));
    methods.next()?.strip_suffix("Request").map(str::to_owned)
}

/// Whether both cases send the same and want something else.
pub fn is_repeated(earlier: &Value, case: &Value) -> bool {
    let same = |key: &str| earlier.get(key) == case.get(key);
    same("Request") && case.get("Request").is_some() && !(same("Response") && same("Backend"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn go_s_words_are_understood() {
        assert_eq!(
            statuses(Some(&json!({"StatusCodes": [200, "http.StatusNotFound"]}))),
            [200, 404]
        );
        assert_eq!(statuses(None), [200]);
        assert_eq!(number("new(int32,20)"), Some(20.0));
        assert_eq!(duration_ns("300ms"), Some(300_000_000));
        assert_eq!(duration_ns("2*time.Second"), Some(2_000_000_000));
        assert_eq!(namespace("AppBackendNamespace"), "gateway-conformance-app-backend");
        assert_eq!(namespace("suite.InfraNamespace"), "gateway-conformance-infra");
        assert_eq!(namespace("plain"), "plain");
        assert_eq!(symbol(&json!({"Request": {"Host": "tc.host"}})).as_deref(), Some("tc.host"));
        assert_eq!(symbol(&json!({"Request": {"Host": "tc.example.com", "Path": "/"}})), None);
    }
}
