//! `PeerAuthentication` and `RequestAuthentication`: who may speak at all.
//!
//! Source: Istio API `security/v1beta1/{peer_authentication,request_authentication}.proto` with the rules
//! of their CRDs; istio/istio `pilot/pkg/model/authentication.go` (a workload's policy over the
//! namespace's over the mesh's, the oldest of several; none: PERMISSIVE).
//! Left out: keys and signatures of tokens; a token in a simulated request is taken as it says.

use crate::manifest::istio::check;
use crate::manifest::istio::meta::Head;
use crate::manifest::object::Labels;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;
use crate::manifest::units::{self, DurationForm};

/// How a server treats plain text and mutual TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MtlsMode {
    /// As the policy above it.
    #[default]
    Unset,
    /// Plain text only.
    Disable,
    /// Both.
    Permissive,
    /// Mutual TLS only.
    Strict,
}

impl MtlsMode {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unset => "UNSET",
            Self::Disable => "DISABLE",
            Self::Permissive => "PERMISSIVE",
            Self::Strict => "STRICT",
        }
    }
}

/// Which connections a server accepts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerAuthentication {
    /// Who it is.
    pub head: Head,
    /// Labels of its pods; none or empty: the namespace, or in the root namespace the mesh.
    pub selector: Option<Labels>,
    /// The mode.
    pub mode: MtlsMode,
    /// Where the mode stands.
    pub mode_at: At,
    /// Modes of single ports of the pods.
    pub ports: Vec<(u16, MtlsMode, At)>,
}

impl PeerAuthentication {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let selector = check::selector_labels(reader, "selector", "matchLabels");
        let (mode_at, mode) = mode(reader, "mtls").unwrap_or((head.at, MtlsMode::Unset));
        let given = reader.has("portLevelMtls");
        if given && selector.is_none() {
            let what = "portLevelMtls requires selector";
            reader.problem(reader.at_field("portLevelMtls"), what, "select the pods by labels");
        }
        let mut ports = Vec::new();
        let list = reader.entries("portLevelMtls", |key, value| {
            let at = value.at();
            (key.to_owned(), at, mode_of(value))
        });
        if given && list.is_empty() {
            let what =
                format!("`{}.portLevelMtls` should have at least 1 properties", reader.path());
            reader.problem(reader.at_field("portLevelMtls"), what, "leave it out");
        }
        for (key, at, mode) in list {
            match key.parse::<u64>() {
                Err(_) => {
                    let what = format!("`{key}` is no number of a port (type conversion error)");
                    reader.problem(at, what, "the pod's port, as a string");
                }
                Ok(number) => match u16::try_from(number).ok().filter(|number| *number > 0) {
                    Some(number) => ports.push((number, mode, at)),
                    None => reader.problem(at, "port must be between 1-65535", ""),
                },
            }
        }
        Self { head, selector, mode, mode_at, ports }
    }

    /// Whether it is for some pods only.
    pub fn is_for_pods(&self) -> bool {
        self.selector.as_ref().is_some_and(|selector| !selector.is_empty())
    }
}

fn mode(reader: &mut Reader<'_, '_>, name: &'static str) -> Option<(At, MtlsMode)> {
    reader.map(name, |mtls| (mtls.at_field("mode"), mode_of(mtls)))
}

fn mode_of(reader: &mut Reader<'_, '_>) -> MtlsMode {
    let modes = [
        ("UNSET", MtlsMode::Unset),
        ("DISABLE", MtlsMode::Disable),
        ("PERMISSIVE", MtlsMode::Permissive),
        ("STRICT", MtlsMode::Strict),
    ];
    reader.one_of("mode", &modes).unwrap_or_default()
}

/// Which tokens are checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RequestAuthentication {
    /// Who it is.
    pub head: Head,
    /// Labels of its pods; none: all.
    pub selector: Option<Labels>,
    /// Services and gateways that it is attached to, as (kind, name).
    pub targets: Vec<(String, String)>,
    /// Its rules.
    pub rules: Vec<JwtRule>,
}

/// Tokens of one issuer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JwtRule {
    /// Where it stands.
    pub at: At,
    /// Who issues them.
    pub issuer: Option<Word>,
    /// For whom they may be.
    pub audiences: Vec<String>,
    /// Where its keys are fetched.
    pub jwks_uri: Option<String>,
}

/// Reads `targetRef` and `targetRefs`, which exclude each other and `selector`.
pub fn targets(reader: &mut Reader<'_, '_>) -> Vec<(String, String)> {
    let given = ["targetRef", "targetRefs", "selector"];
    if given.iter().filter(|name| reader.has(name)).count() > 1 {
        let what = "only one of targetRefs or selector can be set";
        reader.problem(reader.at(), what, "keep one of them");
    }
    let one = reader.map("targetRef", target).flatten();
    one.into_iter().chain(reader.list("targetRefs", target).into_iter().flatten()).collect()
}

fn target(reader: &mut Reader<'_, '_>) -> Option<(String, String)> {
    if reader.text("namespace").is_some_and(|namespace| !namespace.is_empty()) {
        let what = "cross namespace referencing is not currently supported";
        reader.problem(reader.at_field("namespace"), what, "leave it out");
    }
    let group = reader.word("group");
    if let Some(word) =
        group.filter(|word| !word.text.is_empty() && !check::is_domain_strict(&word.text))
    {
        let what = format!("`{}.group` should match a group's name", reader.path());
        reader.problem(word.at, what, "such as gateway.networking.k8s.io");
    }
    let kind = reader.word("kind");
    let kind_fits = |text: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && text.bytes().all(inner)
    };
    match &kind {
        Some(word) if !kind_fits(&word.text) => {
            let what = format!("`{}.kind` should match a kind's name", reader.path());
            reader.problem(word.at, what, "such as Service");
        }
        Some(_) => {}
        None => reader.missing("kind"),
    }
    let name = reader.needed_text("name");
    Some((kind?.text, name?))
}

impl RequestAuthentication {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let targets = targets(reader);
        let selector = check::selector_labels(reader, "selector", "matchLabels");
        let rules = reader.list("jwtRules", JwtRule::read);
        Self { head, selector, targets, rules }
    }
}

impl JwtRule {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        filled(reader, "audiences");
        for name in ["fromParams", "fromCookies", "spaceDelimitedClaims"] {
            filled(reader, name);
        }
        reader.list("fromHeaders", |header| {
            header.pass(&["prefix"]);
            filled_text(header, "name");
        });
        reader.list("outputClaimToHeaders", |output| {
            filled_text(output, "claim");
            filled_text(output, "header");
            if let Some(word) = output.word("header") {
                let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                if !word.text.bytes().all(inner) {
                    let what = format!("`{}.header` should match ^[-_A-Za-z0-9]+$", output.path());
                    output.problem(word.at, what, "the name of a header");
                }
            }
        });
        if let Some(word) = reader.word("timeout") {
            let time = units::duration_ns(&word.text, DurationForm::Go);
            if time.is_err() || time.is_ok_and(|time| time < 1_000_000) {
                let what = "must be a valid duration greater than 1ms";
                reader.problem(word.at, format!("`{}.timeout` {what}", reader.path()), "5s");
            }
        }
        reader.pass(&["jwks", "forwardOriginalToken", "outputPayloadToHeader"]);
        let presence = [("UNSPECIFIED", ()), ("OPTIONAL", ()), ("REQUIRED", ())];
        reader.one_of("presence", &presence);
        let uri = reader.word("jwksUri").or_else(|| reader.word("jwks_uri"));
        if let Some(word) = uri.as_ref().filter(|word| !has_scheme(&word.text)) {
            let what = "url must have scheme http:// or https://";
            reader.problem(word.at, what, "https://…/jwks.json");
        }
        let issuer = reader.word("issuer");
        Self {
            at: reader.at(),
            issuer,
            audiences: reader.texts("audiences"),
            jwks_uri: uri.map(|word| word.text),
        }
    }
}

fn has_scheme(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// A list whose strings must not be empty.
fn filled(reader: &mut Reader<'_, '_>, name: &'static str) {
    for (index, word) in reader.words(name).iter().enumerate() {
        if word.text.is_empty() {
            let what =
                format!("`{}.{name}[{index}]` should be at least 1 chars long", reader.path());
            reader.problem(word.at, what, "");
        }
    }
}

/// A string that must be there and not be empty.
fn filled_text(reader: &mut Reader<'_, '_>, name: &'static str) {
    match reader.word(name) {
        None => reader.missing(name),
        Some(word) if word.text.is_empty() => {
            let what = format!("`{}.{name}` should be at least 1 chars long", reader.path());
            reader.problem(word.at, what, "");
        }
        Some(_) => {}
    }
}
