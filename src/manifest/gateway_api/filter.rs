//! Filters of a rule or of one of its backends.
//!
//! Source: Gateway API `HTTPRouteFilter`, `GRPCRouteFilter`; `HTTPCORSFilter` (GEP-1767).
//! Left out: `ExternalAuth` (listed; requests pass), and `ExtensionRef`, which is the implementation's own:
//! a reference that cannot be resolved answers 500, as the specification demands.

use crate::manifest::gateway_api::backend::{self, BackendRef};
use crate::manifest::reader::Reader;
use crate::manifest::route::apply::{PathChange, Redirect};
use crate::manifest::route::request::HeaderChanges;
use crate::manifest::source::At;

/// A filter and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// What it does.
    pub action: Action,
    /// Where it is.
    pub at: At,
}

/// What a filter does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Changes the request's headers.
    RequestHeaders(HeaderChanges),
    /// Changes the answer's headers.
    ResponseHeaders(HeaderChanges),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// Rewrites host and path.
    Rewrite {
        /// The new host.
        host: Option<String>,
        /// The new path.
        path: Option<PathChange>,
    },
    /// Copies requests.
    Mirror(Box<MirrorTo>),
    /// Answers browsers' questions about origins.
    Cors(Cors),
    /// The implementation's own, by kind and name: not resolved.
    Extension(String),
}

/// Where copies go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MirrorTo {
    /// The backend.
    pub backend: BackendRef,
    /// How many of so many requests are copied: numerator and denominator.
    pub part: (u32, u32),
}

/// Cross-origin rules.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cors {
    /// Origins that may ask; may hold `*`.
    pub origins: Vec<String>,
    /// Whether credentials may be sent.
    pub credentials: bool,
    /// Methods that may be used.
    pub methods: Vec<String>,
    /// Header names that may be sent.
    pub headers: Vec<String>,
    /// Header names that scripts may see.
    pub expose: Vec<String>,
    /// Seconds that an answer may be kept; default 5.
    pub max_age_s: u32,
}

/// Filters that stand in a rule or a backend.
pub fn read(reader: &mut Reader<'_, '_>, namespace: &str) -> Vec<Filter> {
    let filters = reader.list("filters", |filter| read_one(filter, namespace));
    let filters: Vec<Filter> = filters.into_iter().flatten().collect();
    let has = |wanted: fn(&Action) -> bool| filters.iter().find(|filter| wanted(&filter.action));
    let redirect = has(|action| matches!(action, Action::Redirect(_)));
    let rewrite = has(|action| matches!(action, Action::Rewrite { .. }));
    if let (Some(redirect), Some(_)) = (redirect, rewrite) {
        let what = "a redirect and a rewrite exclude each other";
        reader.problem(redirect.at, what, "the API server refuses this: keep one of them");
    }
    filters
}

/// The words of `type` with the field that holds each filter's settings.
const TYPES: [(&str, &str); 8] = [
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
    ("RequestMirror", "requestMirror"),
    ("CORS", "cors"),
    ("ExtensionRef", "extensionRef"),
    ("ExternalAuth", "externalAuth"),
];

/// Filters that a `GRPCRoute` can have.
const GRPC_TYPES: [(&str, &str); 4] = [TYPES[0], TYPES[1], TYPES[4], TYPES[6]];

fn read_one(reader: &mut Reader<'_, '_>, namespace: &str) -> Option<Filter> {
    let is_grpc = reader.path().starts_with("GRPCRoute.");
    let field = if reader.has("type") {
        reader.one_of("type", if is_grpc { &GRPC_TYPES[..] } else { &TYPES[..] })?
    } else {
        reader.missing("type");
        return None;
    };
    let kind = TYPES.iter().find(|(_, name)| *name == field).map_or("", |(kind, _)| kind);
    if field == "externalAuth" {
        reader.ignore(&["externalAuth"], "authorization by another service; requests pass");
        return None;
    }
    if !reader.has(field) {
        let what = format!("a filter of type {kind} needs `{field}`");
        reader.problem(reader.at(), what, "the API server refuses this");
    }
    let at = reader.at();
    let action = match field {
        "requestHeaderModifier" => reader.map(field, read_changes).map(Action::RequestHeaders),
        "responseHeaderModifier" => reader.map(field, read_changes).map(Action::ResponseHeaders),
        "requestRedirect" => reader.map(field, read_redirect).map(Action::Redirect),
        "urlRewrite" => reader.map(field, |rewrite| Action::Rewrite {
            host: rewrite.text("hostname"),
            path: rewrite.map("path", read_path).flatten(),
        }),
        "requestMirror" => reader.map(field, |mirror| read_mirror(mirror, namespace)).flatten(),
        "cors" => reader.map(field, read_cors).map(Action::Cors),
        _ => reader.map(field, |extension| {
            extension.pass(&["group"]);
            let kind = extension.text("kind").unwrap_or_default();
            Action::Extension(format!("{kind} {}", extension.text("name").unwrap_or_default()))
        }),
    };
    Some(Filter { action: action?, at })
}

fn read_changes(reader: &mut Reader<'_, '_>) -> HeaderChanges {
    let mut pairs = |name| {
        let pairs = reader.list(name, |pair| {
            let name = pair.needed_text("name")?;
            Some((name, pair.text("value").unwrap_or_default()))
        });
        let mut first: Vec<(String, String)> = Vec::new();
        for pair in pairs.into_iter().flatten() {
            if !first.iter().any(|known| known.0.eq_ignore_ascii_case(&pair.0)) {
                first.push(pair);
            }
        }
        first
    };
    let (set, add) = (pairs("set"), pairs("add"));
    HeaderChanges { set, add, remove: reader.texts("remove") }
}

fn read_redirect(reader: &mut Reader<'_, '_>) -> Redirect {
    let scheme = reader.one_of("scheme", &[("http", "http"), ("https", "https")]);
    let status = reader.int("statusCode", 301..=308).unwrap_or(302);
    let known = [301, 302, 303, 307, 308].contains(&status);
    if !known {
        let what = format!("{status} is no status of a redirect");
        reader.problem(reader.at_field("statusCode"), what, "301, 302, 303, 307 or 308");
    }
    Redirect {
        scheme: scheme.map(str::to_owned),
        host: reader.text("hostname"),
        port: reader.port("port"),
        path: reader.map("path", read_path).flatten(),
        status: u16::try_from(status).unwrap_or(302),
    }
}

fn read_path(reader: &mut Reader<'_, '_>) -> Option<PathChange> {
    let kinds =
        [("ReplaceFullPath", "replaceFullPath"), ("ReplacePrefixMatch", "replacePrefixMatch")];
    let field = reader.one_of("type", &kinds)?;
    let text = reader.needed_text(field)?;
    Some(if field == "replaceFullPath" { PathChange::Full(text) } else { PathChange::Prefix(text) })
}

fn read_mirror(reader: &mut Reader<'_, '_>, namespace: &str) -> Option<Action> {
    let backend = reader.map("backendRef", |r| backend::read_reference(r, namespace)).flatten();
    let percent = reader.int("percent", 0..=100).and_then(|part| u32::try_from(part).ok());
    let fraction = reader.map("fraction", |fraction| {
        let denominator = fraction.count("denominator").unwrap_or(100);
        (fraction.count("numerator").unwrap_or(0), denominator.max(1))
    });
    if percent.is_some() && fraction.is_some() {
        let at = reader.at_field("fraction");
        reader.problem(at, "percent and fraction exclude each other", "keep one of them");
    }
    let part = fraction.or(percent.map(|percent| (percent, 100))).unwrap_or((1, 1));
    Some(Action::Mirror(Box::new(MirrorTo { backend: backend?, part })))
}

fn read_cors(reader: &mut Reader<'_, '_>) -> Cors {
    Cors {
        origins: reader.texts("allowOrigins"),
        credentials: reader.bool("allowCredentials").unwrap_or(false),
        methods: reader.texts("allowMethods"),
        headers: reader.texts("allowHeaders"),
        expose: reader.texts("exposeHeaders"),
        max_age_s: reader.count("maxAge").unwrap_or(5),
    }
}
