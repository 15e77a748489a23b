//! What the three formats of traces share: values of tags, and where a text is broken.
//!
//! Tags are read into [`Facts`] one by one, so that a file of millions of spans is never held as a tree.
//! Source: OpenTelemetry semantic conventions (`http.request.method`, `http.response.status_code`,
//! `url.path`, `rpc.service`, `rpc.method`, `rpc.grpc.status_code`, `peer.service`, `k8s.namespace.name`, and the older names
//! `http.method`, `http.status_code`, `http.target`, `http.url`); those of `OpenTracing` (`span.kind`, `error`);
//! Envoy's tags (`component=proxy`, `upstream_cluster`, `response_flags`, `node_id`) with Istio's
//! (`istio.canonical_service`, `istio.namespace`) and `spawn_upstream_span` (two spans a proxy).
//! Left out: span events and logs, links, baggage.

use super::span::Kind;
use crate::plan::problem::{Place, Problem};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A longer line is shown cut.
const LINE_CHARACTERS_MAX: usize = 200;

/// A text that is borrowed from the file where it can be.
#[derive(Clone, Debug, Default)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

/// A plain value.
#[derive(Clone, Debug, Default)]
pub(super) enum Scalar<'a> {
    /// Nothing, a list, or an object.
    #[default]
    Other,
    /// A text.
    Text(Cow<'a, str>),
    /// A whole number from 0.
    Number(u64),
    /// A number of another kind.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
}

/// What the tags of a span say.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "marks that are there or not")]
pub(super) struct Facts<'a> {
    /// Its role.
    pub kind: Option<Kind>,
    /// HTTP's method.
    pub method: Option<Cow<'a, str>>,
    /// The path, or a URL with it.
    pub path: Option<Cow<'a, str>>,
    /// The service and the method of an RPC.
    pub rpc: [Option<Cow<'a, str>>; 2],
    /// HTTP's status.
    pub status: Option<u16>,
    /// gRPC's status.
    pub grpc: Option<u16>,
    /// Whether it is marked as failed.
    pub error: bool,
    /// Whether a proxy made the answer by itself.
    pub is_by_mesh: bool,
    /// Who is called, and how sure that is (the lesser the surer).
    pub peer: Option<(u8, Cow<'a, str>)>,
    /// Whether a proxy tells of it.
    pub is_proxy: bool,
    /// Whether a proxy sends on to its own app.
    pub is_inbound: bool,
    /// Whether a proxy sends on to another service.
    pub is_outbound: bool,
    /// Istio's name of the workload's service.
    pub canonical: Option<Cow<'a, str>>,
    /// The namespace of Kubernetes, and how sure that is.
    pub namespace: Option<(u8, Cow<'a, str>)>,
    /// The service, where tags say it.
    pub service: Option<Cow<'a, str>>,
    /// Whether it is a gateway of Istio.
    pub is_gateway: bool,
}

impl<'a> Facts<'a> {
    /// Takes what a tag says.
    pub(super) fn take(&mut self, key: &str, value: Scalar<'a>) {
        match key {
            "span.kind" => self.kind = value.text().and_then(|word| Kind::of(&word)),
            "http.method" | "http.request.method" => self.method = value.text(),
            "http.target" | "url.path" | "http.path" => self.path = value.text(),
            "http.url" | "url.full" if self.path.is_none() => self.path = value.text(),
            "http.status_code" | "http.response.status_code" => self.status = value.small(),
            "rpc.service" => self.rpc[0] = value.text(),
            "rpc.method" => self.rpc[1] = value.text(),
            "grpc.status_code" | "rpc.grpc.status_code" => self.grpc = value.small(),
            "error" | "error.type" => self.error |= !value.is_no(),
            "otel.status_code" | "status.code" => {
                self.error |= value.text().is_some_and(|word| word.eq_ignore_ascii_case("error"));
            }
            "response_flags" => self.is_by_mesh = value.text().is_some_and(|word| word != "-"),
            "peer.service" => self.peer(0, value.text()),
            "upstream_cluster" | "upstream_cluster.name" => {
                let name = value.text().unwrap_or_default();
                self.is_inbound |= name.starts_with("inbound");
                self.is_outbound |= name.starts_with("outbound");
                self.peer(1, cluster_host(&name));
            }
            "db.name" | "db.namespace" => self.peer(3, value.text()),
            "db.system" | "db.system.name" => self.peer(4, value.text()),
            "server.address" | "net.peer.name" | "peer.hostname" => self.peer(2, value.text()),
            "component" => self.is_proxy = value.text().is_some_and(|word| word == "proxy"),
            "istio.canonical_service" => self.canonical = value.text(),
            "istio.namespace" => self.namespace(0, value.text()),
            "k8s.namespace.name" => self.namespace(1, value.text()),
            "service.namespace" => self.namespace(2, value.text()),
            "service.name" => self.service = value.text(),
            "node_id" => {
                self.is_gateway = value.text().is_some_and(|word| word.starts_with("router~"));
            }
            _ => {}
        }
    }

    /// Who is called, if nothing surer is known.
    pub(super) fn peer(&mut self, rank: u8, name: Option<Cow<'a, str>>) {
        let is_surer = self.peer.as_ref().is_none_or(|(known, _)| rank < *known);
        if let Some(name) = name.filter(|name| is_surer && !name.is_empty()) {
            self.peer = Some((rank, name));
        }
    }

    fn namespace(&mut self, rank: u8, name: Option<Cow<'a, str>>) {
        let is_surer = self.namespace.as_ref().is_none_or(|(known, _)| rank < *known);
        if let Some(name) = name.filter(|name| is_surer && !name.is_empty()) {
            self.namespace = Some((rank, name));
        }
    }

    /// The role, as seen from the service: where Envoy makes two spans a proxy, the one to its own app is no
    /// call, and the one that takes the app's call is a part of the call.
    pub(super) fn role(&self) -> Kind {
        let kind = self.kind.unwrap_or_default();
        let is_sidecar = self.is_proxy && !self.is_gateway;
        match kind {
            Kind::Client if is_sidecar && self.is_inbound => Kind::Internal,
            Kind::Server if is_sidecar && self.is_outbound => Kind::Client,
            _ => kind,
        }
    }

    /// Whether the request failed: 5xx, a status of gRPC that stands for one, or a mark where neither is.
    pub(super) fn is_failure(&self) -> bool {
        match (self.status, self.grpc) {
            (_, Some(2 | 4 | 12..=15)) => true,
            (Some(status), _) => status == 0 || 500 <= status,
            (None, Some(_)) => false,
            (None, None) => self.error,
        }
    }
}

/// The host in a cluster's name of Istio: `outbound|9080|v1|reviews.default.svc.cluster.local`.
fn cluster_host<'a>(name: &str) -> Option<Cow<'a, str>> {
    let rest = name.strip_prefix("outbound|").or_else(|| name.strip_prefix("outbound_."))?;
    let host = rest.rsplit('|').next()?.trim_end_matches(';');
    Some(Cow::Owned(host.to_owned()))
}

impl<'a> Scalar<'a> {
    /// The text, if it is one.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    /// A whole number from 0, be it written as a text.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be from 0 and small"
            )]
            Self::Float(number) if (0.0..9e18).contains(number) => Some(*number as u64),
            _ => None,
        }
    }

    fn small(&self) -> Option<u16> {
        self.number().and_then(|number| u16::try_from(number).ok())
    }

    fn is_no(&self) -> bool {
        match self {
            Self::Bool(flag) => !flag,
            Self::Text(text) => matches!(&**text, "false" | "" | "0"),
            Self::Number(number) => *number == 0,
            _ => true,
        }
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(number).map_or(Scalar::Other, Scalar::Number))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number))
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(flag))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(ScalarVisitor)?.text();
        Ok(Self(text.unwrap_or_default()))
    }
}

/// What the parser found wrong, with its place in the text.
pub(super) fn broken(name: &str, text: &str, error: &serde_json::Error) -> Problem {
    let line_index = error.line().max(1) - 1;
    let line = text.split('\n').nth(line_index).unwrap_or_default();
    let bytes = error.column().min(line.len());
    let cut = (0..=bytes).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    let column = line[..cut].chars().count().max(1);
    let what = error.to_string();
    let what = what.rsplit_once(" at line").map_or(what.as_str(), |(what, _)| what);
    let place = Place {
        file: name.to_owned(),
        line: u32::try_from(line_index + 1).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
        width: 1,
        text: line.chars().take(LINE_CHARACTERS_MAX).collect(),
    };
    let hint = if error.is_eof() { "is the file whole?" } else { "" };
    super::problem(format!("the traces cannot be read: {what}"), hint).at(place)
}
