//! `Telemetry` and `ProxyConfig`: what proxies report and how they are set up.
//!
//! Of telemetry only whether accesses are logged and traces are taken matters to cost; the rest is read
//! for its rules.
//! Source: Istio API `telemetry/v1alpha1/telemetry.proto`,
//! `networking/v1beta1/proxy_config.proto` with the rules of their CRDs.
//! Left out: filters of logs, tags of metrics and spans, images and environments of proxies.

use crate::manifest::istio::authentication::targets;
use crate::manifest::istio::check;
use crate::manifest::istio::meta::Head;
use crate::manifest::object::Labels;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// What proxies report.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Telemetry {
    /// Who it is.
    pub head: Head,
    /// Labels of its pods; none or empty: the namespace, or in the root namespace the mesh.
    pub selector: Option<Labels>,
    /// Services and gateways that it is attached to, as (kind, name).
    pub targets: Vec<(String, String)>,
    /// Whether accesses are logged, by element of `accessLogging`.
    pub logging: Vec<Provided>,
    /// Whether traces are taken, by element of `tracing`.
    pub tracing: Vec<Provided>,
    /// The share of traced requests in parts per million.
    pub sampling_ppm: Option<u32>,
    /// Providers of metrics, by element of `metrics`.
    pub metrics: Vec<Provided>,
}

/// One element with its providers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Provided {
    /// Where it stands.
    pub at: At,
    /// Whether it is switched off.
    pub disabled: bool,
    /// The providers' names.
    pub providers: Vec<Word>,
}

impl Telemetry {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let mut sampling_ppm = None;
        Self {
            head,
            targets: targets(reader),
            selector: check::selector_labels(reader, "selector", "matchLabels"),
            logging: reader.list("accessLogging", |logging| {
                logging.ignore(&["filter", "match"], "which accesses are logged");
                Provided::read(logging, "disabled")
            }),
            tracing: reader.list("tracing", |tracing| {
                tracing.ignore(&["match"], "the side that traces");
                let others = ["customTags", "useRequestIdForTraceSampling", "enableIstioTags"];
                tracing.pass(&others);
                let share = tracing.float("randomSamplingPercentage", 0.0..=100.0);
                sampling_ppm = share.map(check::ppm).or(sampling_ppm);
                Provided::read(tracing, "disableSpanReporting")
            }),
            metrics: reader.list("metrics", |metrics| {
                metrics.pass(&["reportingInterval"]);
                metrics.list("overrides", metric_override);
                Provided::read(metrics, "disabled")
            }),
            sampling_ppm,
        }
    }
}

impl Provided {
    fn read(reader: &mut Reader<'_, '_>, off: &'static str) -> Self {
        let providers = reader.list("providers", |provider| {
            let name = provider.word("name");
            match &name {
                None => provider.missing("name"),
                Some(word) if word.text.is_empty() => {
                    let what =
                        format!("`{}.name` should be at least 1 chars long", provider.path());
                    provider.problem(word.at, what, "a provider of meshConfig");
                }
                Some(_) => {}
            }
            name
        });
        Self {
            at: reader.at(),
            disabled: reader.bool(off).unwrap_or(false),
            providers: providers.into_iter().flatten().collect(),
        }
    }
}

fn metric_override(reader: &mut Reader<'_, '_>) {
    reader.pass(&["disabled"]);
    reader.map("match", |found| {
        found.pass(&["metric", "mode"]);
        if let Some(word) = found.word("customMetric").filter(|word| word.text.is_empty()) {
            let what = format!("`{}.customMetric` should be at least 1 chars long", found.path());
            found.problem(word.at, what, "");
        }
    });
    reader.entries("tagOverrides", |_, tag| {
        let remove = tag.one_of("operation", &[("UPSERT", false), ("REMOVE", true)]);
        let value = tag.text("value").is_some_and(|value| !value.is_empty());
        if remove == Some(true) && value {
            let what = "value must not be set when operation is REMOVE";
            tag.problem(tag.at_field("value"), what, "");
        }
        if remove != Some(true) && !value {
            tag.problem(tag.at(), "value must be set when operation is UPSERT", "");
        }
    });
}

/// How proxies are set up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProxyConfig {
    /// Who it is.
    pub head: Head,
    /// Labels of its pods; none: all of the namespace.
    pub selector: Option<Labels>,
    /// Worker threads; 0: all cores.
    pub concurrency: Option<u32>,
}

impl ProxyConfig {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        reader.ignore(&["environmentVariables", "image"], "the proxy's image and environment");
        let concurrency = reader.int("concurrency", i64::MIN..=i64::from(i32::MAX));
        if concurrency.is_some_and(|number| number < 0) {
            let what = "`spec.concurrency` should be greater than or equal to 0";
            reader.problem(reader.at_field("concurrency"), what, "0 is all cores");
        }
        Self {
            head,
            selector: check::selector_labels(reader, "selector", "matchLabels"),
            concurrency: concurrency.and_then(|number| u32::try_from(number).ok()),
        }
    }
}
