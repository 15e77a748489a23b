//! `VirtualService`: what happens to requests for a host.
//!
//! Source: Istio API `networking/v1/virtual_service.proto`; istio/istio
//! `pkg/config/validation/{validation,virtualservice}.go` (what the webhook refuses).
//! Left out: `statPrefix`, `exponentialDelay` and `http2Error` faults (Istio does not act on them).

use crate::manifest::istio::action::{
    Cors, Destination, DirectResponse, Headers, Redirect, Rewrite, Weighted, weights,
};
use crate::manifest::istio::check;
use crate::manifest::istio::matching::{HttpMatch, L4Match, StringMatch};
use crate::manifest::istio::meta::{ExportTo, Head};
use crate::manifest::istio::resilience::{Fault, Mirror, Retries, mirrors};
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// The reserved gateway that stands for all sidecars.
pub const MESH: &str = "mesh";

/// Routing rules for hosts.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct VirtualService {
    /// Who it is.
    pub head: Head,
    /// The hosts that it rules; empty for a delegate.
    pub hosts: Vec<Word>,
    /// Where it counts: gateways and `mesh`; empty means `mesh`.
    pub gateways: Vec<Word>,
    /// Who sees it.
    pub export_to: ExportTo,
    /// HTTP rules, the first that matches counts.
    pub http: Vec<HttpRoute>,
    /// Rules for connections by their TLS hello.
    pub tls: Vec<L4Route>,
    /// Rules for other connections.
    pub tcp: Vec<L4Route>,
}

/// One HTTP rule.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct HttpRoute {
    /// Where it stands.
    pub at: At,
    /// Its name; may be empty.
    pub name: String,
    /// Conditions, of which one must hold; empty: always.
    pub matches: Vec<HttpMatch>,
    /// Where requests go.
    pub routes: Vec<Weighted>,
    /// Answer with a redirect instead.
    pub redirect: Option<Redirect>,
    /// Answer with a fixed response instead.
    pub direct: Option<DirectResponse>,
    /// Rules of another virtual service take this one's place.
    pub delegate: Option<Delegate>,
    /// What changes in path and host.
    pub rewrite: Option<Rewrite>,
    /// How long the whole request may take; none: unlimited.
    pub timeout_ns: Option<u64>,
    /// How it is tried again; none: the mesh's default.
    pub retries: Option<Retries>,
    /// What is injected.
    pub fault: Option<Fault>,
    /// Where copies go.
    pub mirrors: Vec<Mirror>,
    /// The cross-origin policy.
    pub cors: Option<Cors>,
    /// Headers that change.
    pub headers: Headers,
}

/// One rule for connections.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct L4Route {
    /// Where it stands.
    pub at: At,
    /// Conditions, of which one must hold; empty: always.
    pub matches: Vec<L4Match>,
    /// Where connections go.
    pub routes: Vec<Weighted>,
}

/// Another virtual service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delegate {
    /// Its namespace; empty means the root's.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it is named.
    pub at: At,
}

impl VirtualService {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let hosts = reader.words("hosts");
        for word in &hosts {
            check::host(reader, word, true);
        }
        let gateways = reader.words("gateways");
        for word in &gateways {
            gateway_name(reader, word);
        }
        let delegate = hosts.is_empty();
        let http = reader.list("http", |route| HttpRoute::read(route, delegate));
        let tls = reader.list("tls", |route| L4Route::read(route, true));
        let tcp = reader.list("tcp", |route| L4Route::read(route, false));
        let export_to = ExportTo::read(reader, &head.namespace);
        let service = Self { head, hosts, gateways, export_to, http, tls, tcp };
        service.check(reader);
        service
    }

    fn check(&self, reader: &mut Reader<'_, '_>) {
        let (at, path) = (reader.at(), reader.path().to_owned());
        if self.http.is_empty() && self.tls.is_empty() && self.tcp.is_empty() {
            let what = format!("`{path}`: http, tcp or tls must be provided in virtual service");
            reader.problem(at, what, "");
        }
        if self.hosts.is_empty() {
            if !self.gateways.is_empty() {
                let what = "a virtual service without hosts is a delegate and has no gateways";
                reader.problem(self.gateways[0].at, what, "the root's gateways count");
            }
            if !(self.tls.is_empty() && self.tcp.is_empty()) {
                let what = "a delegate virtual service must have no tcp or tls rules";
                reader.problem(at, what, "");
            }
        }
        let mut wild = self.hosts.iter().filter(|word| word.text == "*");
        if let Some(word) = wild.next().filter(|_| self.in_mesh() && !self.hosts.is_empty()) {
            let what =
                "wildcard host * is not allowed for virtual services bound to the mesh gateway";
            reader.problem(word.at, what, "name a gateway, or the hosts");
        }
        for (index, word) in self.hosts.iter().enumerate() {
            if self.hosts[..index].iter().any(|other| other.text == word.text) {
                reader.problem(word.at, format!("duplicate host `{}`", word.text), "");
            }
        }
        for route in &self.tls {
            for sni in route.matches.iter().flat_map(|found| &found.sni) {
                let fits = |host: &Word| super::host::within(&sni.text, &host.text);
                if !self.hosts.iter().any(fits) && !self.hosts.is_empty() {
                    let what = format!(
                        "SNI host `{}` is not one of the virtual service's hosts",
                        sni.text
                    );
                    reader.problem(sni.at, what, "add it to hosts");
                }
            }
        }
    }

    /// Whether it counts for sidecars.
    pub fn in_mesh(&self) -> bool {
        self.gateways.is_empty() || self.gateways.iter().any(|word| word.text == MESH)
    }

    /// Whether it is only a part of others.
    pub fn is_delegate(&self) -> bool {
        self.hosts.is_empty()
    }

    /// All destinations, mirrors too, with their places.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let http = self.http.iter().flat_map(|route| {
            let mirrors = route.mirrors.iter().map(|mirror| &mirror.destination);
            route.routes.iter().map(|to| &to.destination).chain(mirrors)
        });
        let l4 = self.tls.iter().chain(&self.tcp).flat_map(|route| &route.routes);
        http.chain(l4.map(|to| &to.destination))
    }
}

fn gateway_name(reader: &mut Reader<'_, '_>, word: &Word) {
    let mut parts = word.text.split('/');
    let fits = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, None) => check::is_domain(name),
        (Some(namespace), Some(name), None) => check::is_label(namespace) && check::is_domain(name),
        _ => false,
    };
    if !fits {
        let what = format!("`{}` is no name of a gateway", word.text);
        reader.problem(word.at, what, "`name`, `namespace/name` or `mesh`");
    }
}

impl HttpRoute {
    fn read(reader: &mut Reader<'_, '_>, in_delegate: bool) -> Self {
        let (given_routes, fault_given) = (reader.has("route"), reader.has("fault"));
        let route = Self {
            at: reader.at(),
            name: reader.text("name").unwrap_or_default(),
            matches: reader.list("match", HttpMatch::read),
            routes: reader.list("route", Weighted::read),
            redirect: reader.map("redirect", Redirect::read),
            direct: reader.map("directResponse", DirectResponse::read),
            delegate: reader
                .map("delegate", |delegate| {
                    let name = delegate.needed_text("name")?;
                    let namespace = delegate.text("namespace").unwrap_or_default();
                    Some(Delegate { namespace, name, at: delegate.at() })
                })
                .flatten(),
            rewrite: reader.map("rewrite", Rewrite::read),
            timeout_ns: check::some_duration(reader, "timeout"),
            retries: reader.map("retries", Retries::read),
            fault: reader.map("fault", Fault::read),
            mirrors: mirrors(reader),
            cors: reader.map("corsPolicy", Cors::read),
            headers: reader.map("headers", Headers::read).unwrap_or_default(),
        };
        weights(reader, &route.routes, true);
        route.conflicts(reader, in_delegate, given_routes, fault_given);
        route.authority_once(reader);
        route
    }

    fn conflicts(
        &self,
        reader: &mut Reader<'_, '_>,
        in_delegate: bool,
        given_routes: bool,
        fault_given: bool,
    ) {
        if self.delegate.is_some() && !in_delegate {
            for (name, given) in [("redirect", self.redirect.is_some()), ("route", given_routes)] {
                if given {
                    let what = format!("root HTTP route `{}` must not specify {name}", self.name);
                    reader.problem(reader.at_field(name), what, "the delegate decides that");
                }
            }
        } else if self.delegate.is_some() {
            let what = "delegate HTTP route cannot contain delegate";
            reader.problem(reader.at_field("delegate"), what, "one level is all that Istio has");
        } else {
            let told = |one: &str, other: &str| {
                format!("HTTP route cannot contain both {one} and {other}")
            };
            let redirect = self.redirect.is_some();
            let direct = self.direct.is_some();
            let pairs = [
                ("route", "redirect", given_routes && redirect),
                ("fault", "redirect", fault_given && redirect),
                ("rewrite", "redirect", self.rewrite.is_some() && redirect),
                ("route", "directResponse", given_routes && direct),
                ("fault", "directResponse", fault_given && direct),
                ("rewrite", "directResponse", self.rewrite.is_some() && direct),
                ("redirect", "directResponse", direct && redirect),
            ];
            for (one, other, both) in pairs {
                if both {
                    reader.problem(reader.at_field(one), told(one, other), "keep one of them");
                }
            }
            if self.routes.is_empty() && !redirect && !direct {
                let what = "HTTP route, redirect or direct_response is required";
                reader.problem(self.at, what, "where shall the requests go?");
            }
        }
        if in_delegate || self.delegate.is_some() {
            self.no_regex(reader);
        }
    }

    fn no_regex(&self, reader: &mut Reader<'_, '_>) {
        for found in &self.matches {
            let single = [&found.uri, &found.scheme, &found.method, &found.authority];
            let all = single.into_iter().flatten().chain(found.headers.values());
            let all = all.chain(found.without.values()).chain(found.query.values());
            if all.into_iter().any(|text| matches!(text, StringMatch::Regex(..))) {
                let what = "a match with a regex is not supported for delegating";
                reader.problem(found.at, what, "use exact or prefix");
            }
        }
    }

    fn authority_once(&self, reader: &mut Reader<'_, '_>) {
        let rewritten = self.rewrite.as_ref().is_some_and(|rewrite| rewrite.authority.is_some());
        let set = self.headers.request.authority_changes();
        if usize::from(rewritten) + set > 1 {
            let what = "authority header cannot be set multiple times";
            reader.problem(reader.at_field("headers"), what, "rewrite.authority or headers, once");
        }
    }
}

impl L4Route {
    fn read(reader: &mut Reader<'_, '_>, tls: bool) -> Self {
        let route = Self {
            at: reader.at(),
            matches: reader.list("match", |found| L4Match::read(found, tls)),
            routes: reader.list("route", Weighted::read_l4),
        };
        if route.routes.is_empty() {
            let kind = if tls { "TLS" } else { "TCP" };
            reader.problem(route.at, format!("{kind} route is required"), "where shall it go?");
        }
        if tls && route.matches.is_empty() {
            reader.problem(route.at, "TLS route must have at least one match condition", "");
        }
        weights(reader, &route.routes, false);
        route
    }
}
