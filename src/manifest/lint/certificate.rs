//! Lives of workload certificates against an outage of the control plane.
//!
//! Istio's agent renews at half of a certificate's life, give or take a hundredth; Linkerd's proxy at 70 %.
//! So when the issuer goes, the oldest certificate has 49 % (30 %) of its life left: that is when the first
//! one runs out, and the youngest has all of it.
//! Source: `reference/istio.md` 1.1 (`SECRET_TTL` 24 h, `SECRET_GRACE_PERIOD_RATIO` 0.5 and its jitter 0.01,
//! `MAX_WORKLOAD_CERT_TTL` 90 d, above which istiod refuses to sign), `reference/linkerd.md` 1
//! (`-identity-issuance-lifetime` 24 h, clock skew 20 s, refresh at 0.7 of what is left).
//! Left out: the end of the issuer's own certificate (dates are not read), connections that outlive their
//! certificates, ztunnel (its renewal has no jitter: half of the life is left).

use crate::manifest::lint::Lint;
use crate::manifest::loaded::Loaded;
use crate::manifest::node::{Node, Value};
use crate::manifest::object::Object;
use crate::manifest::source::{At, Piece};
use crate::manifest::units::{self, DurationForm};
use crate::manifest::yaml;

const RULE: &str = "meshsim.certificates";
const HOUR_NS: u64 = 3_600_000_000_000;

/// A life below this is told even if no outage is named.
const SHORT_NS: u64 = 4 * HOUR_NS;

/// A certificate's life as somebody sets it.
struct Life {
    object: String,
    at: At,
    whole_ns: u64,
    /// What the oldest certificate has left when the issuer goes.
    left_ns: u64,
    issuer: &'static str,
}

/// All rules of this file.
pub fn check(lint: &mut Lint<'_>, loaded: &Loaded, outage_ns: Option<u64>) {
    let mut lives = Vec::new();
    if loaded.uses_istio() {
        let settings = settings(loaded);
        too_long(lint, loaded, &settings);
        lives.extend(istio(loaded, &settings));
    }
    if loaded.linkerd.is_used() {
        lives.extend(linkerd(loaded));
    }
    for life in lives {
        let runs_out = match outage_ns {
            Some(outage) => outage > life.left_ns,
            None => life.whole_ns < SHORT_NS,
        };
        if !runs_out {
            continue;
        }
        let asked = outage_ns.map_or(String::new(), |ns| format!(": {} are longer", duration(ns)));
        let what = format!(
            "certificates live {}; without {} the first runs out after {}, the last after {}{asked}",
            duration(life.whole_ns),
            life.issuer,
            duration(life.left_ns),
            duration(life.whole_ns)
        );
        lint.report("MSH0111", RULE, life.object, life.at, what);
    }
}

/// Hours, minutes and seconds, as `11h45m36s`.
fn duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let told = parts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, unit)| format!("{count}{unit}")).collect();
    if told.is_empty() { format!("{}ms", ns / 1_000_000) } else { told.concat() }
}

/// Variables of a proxy's agent, as one place sets them.
struct Setting {
    object: String,
    /// Whether it is for the whole mesh.
    is_default: bool,
    ttl: Option<(u64, At)>,
    grace_ppm: Option<(u64, At)>,
}

/// All places that set variables of the agent: the mesh's defaults, `ProxyConfig` objects, annotations of
/// pods, and containers written by hand.
fn settings(loaded: &Loaded) -> Vec<Setting> {
    let mut all = Vec::new();
    let mesh = loaded.cluster.mesh_config.as_ref();
    let defaults = mesh.and_then(|mesh| mesh.get("defaultConfig")?.get("proxyMetadata"));
    all.extend(defaults.map(|map| of("ConfigMap istio".to_owned(), true, &|key| entry(map, key))));
    for object in &loaded.manifests.objects {
        let Some(spec) = object.node.get("spec") else { continue };
        let name = object.id.to_string();
        if object.id.kind == "ProxyConfig"
            && let Some(map) = spec.get("environmentVariables")
        {
            all.push(of(name, false, &|key| entry(map, key)));
            continue;
        }
        let template = spec.get("template").unwrap_or(&object.node);
        let annotation = template.get("metadata").and_then(|meta| meta.get("annotations"));
        let annotation = annotation.and_then(|all| all.entry("proxy.istio.io/config"));
        if let Some(config) = annotation
            && let Some(text) = config.value.text()
        {
            let parsed = yaml::parse(0, Piece { text, lines_before: 0 });
            let map = parsed.documents.first().and_then(|one| one.get("proxyMetadata"));
            let at = config.value.at;
            all.extend(map.map(|map| {
                of(name.clone(), false, &|key| entry(map, key).map(|(text, _)| (text, at)))
            }));
        }
        all.push(of(name, false, &|key| variable(object, Some("istio-proxy"), key)));
    }
    all.retain(|setting| setting.ttl.is_some() || setting.grace_ppm.is_some());
    all
}

fn of(object: String, is_default: bool, get: &dyn Fn(&str) -> Option<(String, At)>) -> Setting {
    let ttl = get("SECRET_TTL");
    let grace = get("SECRET_GRACE_PERIOD_RATIO");
    let ttl = ttl.and_then(|(text, at)| {
        Some((units::duration_ns(&text, DurationForm::Go).ok().filter(|ns| *ns > 0)?, at))
    });
    let grace_ppm = grace.and_then(|(text, at)| Some((ppm(&text)?, at)));
    Setting { object, is_default, ttl, grace_ppm }
}

/// A share such as `0.5` in parts per million.
fn ppm(text: &str) -> Option<u64> {
    let share: f64 = text.trim().parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1e6")]
    (0.0..=1.0).contains(&share).then_some((share * 1e6) as u64)
}

fn entry(map: &Node, key: &str) -> Option<(String, At)> {
    let entry = map.entry(key)?;
    let text = match &entry.value.value {
        Value::Text(text) => text.clone(),
        Value::Float(number) => number.to_string(),
        Value::Int(number) => number.to_string(),
        _ => return None,
    };
    Some((text, entry.value.at))
}

/// The containers of an object's pods.
fn containers(object: &Object) -> impl Iterator<Item = &Node> {
    let spec = object.node.get("spec");
    let pod = spec.and_then(|spec| spec.get("template")).and_then(|one| one.get("spec")).or(spec);
    let lists = ["containers", "initContainers"].map(|name| pod.and_then(|pod| pod.get(name)));
    lists.into_iter().flatten().flat_map(Node::items)
}

/// A variable of a container (by its name, or of any) that is written as text.
fn variable(object: &Object, container: Option<&str>, key: &str) -> Option<(String, At)> {
    let named = |one: &&Node| {
        container.is_none_or(|name| one.get("name").and_then(Node::text) == Some(name))
    };
    let mut all = containers(object).filter(named).filter_map(|one| one.get("env"));
    all.find_map(|env| {
        let mut items = env.items().iter();
        entry(items.find(|one| one.get("name").and_then(Node::text) == Some(key))?, "value")
    })
}

/// Lives that istiod does not sign: its agents get no certificate at all.
fn too_long(lint: &mut Lint<'_>, loaded: &Loaded, settings: &[Setting]) {
    let mut objects = loaded.manifests.objects.iter();
    let max = objects.find_map(|object| variable(object, None, "MAX_WORKLOAD_CERT_TTL"));
    let max = max.and_then(|(text, _)| units::duration_ns(&text, DurationForm::Go).ok());
    let max = max.unwrap_or(2160 * HOUR_NS);
    for setting in settings {
        let Some((ttl, at)) = setting.ttl.filter(|(ttl, _)| *ttl > max) else { continue };
        let what = format!(
            "a life of {} is asked for, istiod signs {} at most",
            duration(ttl),
            duration(max)
        );
        lint.report("MSH0112", RULE, setting.object.clone(), at, what);
    }
}

fn istio(loaded: &Loaded, settings: &[Setting]) -> Vec<Life> {
    let mesh = settings.iter().find(|setting| setting.is_default);
    let default_ttl = mesh.and_then(|mesh| mesh.ttl).map_or(24 * HOUR_NS, |(ttl, _)| ttl);
    let default_grace = mesh.and_then(|mesh| mesh.grace_ppm).map_or(500_000, |(ppm, _)| ppm);
    let life = |object: String, at: At, ttl: u64, grace: u64| {
        let left = u128::from(ttl) * u128::from(grace.saturating_sub(10_000)) / 1_000_000;
        let left_ns = u64::try_from(left).unwrap_or(u64::MAX);
        Life { object, at, whole_ns: ttl, left_ns, issuer: "istiod" }
    };
    let mut lives: Vec<Life> = Vec::new();
    for setting in settings {
        let ttl = setting.ttl.map_or(default_ttl, |(ttl, _)| ttl);
        let grace = setting.grace_ppm.map_or(default_grace, |(ppm, _)| ppm);
        let at = setting.ttl.or(setting.grace_ppm).map_or(At::default(), |(_, at)| at);
        lives.push(life(setting.object.clone(), at, ttl, grace));
    }
    if mesh.is_none() {
        let istiod = loaded
            .cluster
            .workloads
            .iter()
            .find(|one| one.labels.get("app").is_some_and(|app| app == "istiod"));
        let istiod = istiod
            .map(|one| (format!("{} {}/{}", one.kind.word(), one.namespace, one.name), one.at));
        let config = loaded.istio.mesh.at.map(|at| ("ConfigMap istio".to_owned(), at));
        lives.extend(
            istiod
                .or(config)
                .or_else(|| first(loaded))
                .map(|(object, at)| life(object, at, default_ttl, default_grace)),
        );
    }
    lives
}

/// The first object, where nothing of the control plane is among the manifests.
fn first(loaded: &Loaded) -> Option<(String, At)> {
    loaded.manifests.objects.first().map(|object| (object.id.to_string(), object.name_at))
}

const LIFETIME: &str = "-identity-issuance-lifetime=";
const SKEW: &str = "-identity-clock-skew-allowance=";

fn linkerd(loaded: &Loaded) -> Option<Life> {
    let args = |object: &Object, flag: &str| -> Option<(u64, At)> {
        let mut all = containers(object).filter_map(|one| one.get("args")).flat_map(Node::items);
        all.find_map(|arg| {
            let text = arg.text()?.trim_start_matches('-');
            let value = text.strip_prefix(&flag[1..])?;
            Some((units::duration_ns(value, DurationForm::Go).ok()?, arg.at))
        })
    };
    let identity = loaded
        .manifests
        .objects
        .iter()
        .find(|object| object.id.kind == "Deployment" && object.id.name == "linkerd-identity");
    let set = identity.and_then(|object| args(object, LIFETIME));
    let skew = identity.and_then(|object| args(object, SKEW)).map_or(20_000_000_000, |(ns, _)| ns);
    let whole_ns = set.map_or(24 * HOUR_NS, |(ns, _)| ns).saturating_add(skew);
    let (object, at) = match identity {
        Some(object) => (object.id.to_string(), object.name_at),
        None => first(loaded)?,
    };
    let at = set.map_or(at, |(_, at)| at);
    let left_ns = whole_ns / 10 * 3;
    Some(Life { object, at, whole_ns, left_ns, issuer: "linkerd-identity" })
}
