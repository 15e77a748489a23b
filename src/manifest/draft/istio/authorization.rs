//! `AuthorizationPolicy` as filters: `ext_authz` (CUSTOM), then `rbac` that denies, then `rbac` that allows.
//!
//! A filter of a scenario knows requests by the client's service, by a header that is there, or all of them. Where a
//! rule asks for more, requests are let in: of an ALLOW rule the rest is left out, a DENY rule is left out whole. Both
//! are named.
//! Source: `istio::authorize` (which policies count, in which order); docs/scenarios.md (`rbac`, `ext_authz`); Istio's
//! names of policies in Envoy (`ns[…]-policy[…]-rule[…]`).
//! Left out: hosts, methods and paths, values of headers, addresses, tokens, AUDIT, policies with `targetRefs`.

use super::attributes::{Said, is_beyond, said, to_fits, without_addresses};
use super::services::main_port;
use super::{Work, has_sidecar};
use crate::manifest::draft::value::{Table, Value};
use crate::manifest::istio::authorization::{Action, AuthorizationPolicy, Rule, Source};
use crate::manifest::istio::authorize::{self, Facts};
use crate::manifest::source::At;
use std::collections::BTreeMap;

/// Where filters of gateways stand.
const INGRESS: &str = "ingress";

/// The account of an ingress gateway whose pods are not in the manifests.
const GATEWAY_ACCOUNT: &str = "istio-ingressgateway-service-account";

/// Whom a rule is about.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Principal {
    Any,
    Source(String),
    Header(String),
}

/// A client with its identities: a service of the scenario, or the gateway.
struct Caller {
    name: String,
    principals: Vec<String>,
}

/// Where policies are put.
struct Place {
    /// The `at` of a filter.
    at: String,
    /// The pods' port.
    port: u16,
    /// The service, for which asking itself is no question.
    service: String,
}

impl Work<'_, '_> {
    /// The filters of all policies.
    pub(super) fn authorization(&mut self) {
        let istio = self.mesh.istio;
        if istio.authorization_policies.is_empty() {
            return;
        }
        for policy in &istio.authorization_policies {
            if !policy.targets.is_empty() {
                let why = "policies of waypoints and Gateways by name";
                self.draft.ignore("AuthorizationPolicy.spec.targetRefs", policy.head.at, why);
            }
        }
        let callers = self.callers();
        self.at_gateways(&callers);
        for index in 0..self.draft.services.len() {
            self.at_service(index, &callers);
        }
    }

    /// Everybody who may call.
    fn callers(&self) -> Vec<Caller> {
        let domain = &self.mesh.istio.mesh.trust_domain;
        let id = |namespace: &str, account: &str| format!("{domain}/ns/{namespace}/sa/{account}");
        let mut callers = Vec::new();
        for service in &self.draft.services {
            let meshed = service.workloads.iter().filter(|one| has_sidecar(service, one));
            let mut principals: Vec<String> = meshed
                .filter_map(|one| self.workload(&one.key))
                .map(|one| id(&one.namespace, &one.service_account))
                .collect();
            principals.sort();
            principals.dedup();
            if !principals.is_empty() {
                callers.push(Caller { name: service.name.clone(), principals });
            }
        }
        let mut gateways: Vec<String> = Vec::new();
        for gateway in &self.mesh.istio.gateways {
            let pods = self.pods_of(gateway);
            let named = pods.workload.map(|name| (pods.namespace.clone(), name));
            let account = named.and_then(|key| Some(self.workload(&key)?.service_account.clone()));
            gateways.extend(account.map(|account: String| id(&pods.namespace, &account)));
        }
        if gateways.is_empty() {
            gateways.push(id(&self.mesh.istio.mesh.root_namespace, GATEWAY_ACCOUNT));
        }
        callers.push(Caller { name: INGRESS.to_owned(), principals: gateways });
        callers
    }

    /// Policies of the pods behind a service, at all of them or at each version.
    fn at_service(&mut self, index: usize, callers: &[Caller]) {
        let service = &self.draft.services[index];
        let name = service.name.clone();
        let port = self.known_of(index).and_then(main_port);
        let key = service.key.as_ref();
        let kubernetes = key.and_then(|(ns, name)| self.mesh.cluster.service(ns, name));
        let target = kubernetes.zip(port).and_then(|(one, port)| one.port(port));
        let mut is_whole = true;
        let mut groups: Vec<(Option<String>, u16, Vec<&AuthorizationPolicy>)> = Vec::new();
        for one in &service.workloads {
            let Some(workload) = self.workload(&one.key) else { continue };
            if !has_sidecar(service, one) {
                is_whole = false;
                continue;
            }
            let number = target.and_then(|port| workload.port_number(&port.target));
            let number = number.or(port).unwrap_or(0);
            let (namespace, labels) = (&workload.namespace, &workload.labels);
            let policies = authorize::policies(&self.mesh, namespace, labels);
            groups.push((one.version.clone(), number, policies));
        }
        let is_same =
            is_whole && groups.windows(2).all(|two| two[0].1 == two[1].1 && two[0].2 == two[1].2);
        if is_same {
            groups.truncate(1);
        }
        for (version, port, policies) in groups {
            let at = match version {
                Some(version) if !is_same => format!("{name}/{version}"),
                _ => name.clone(),
            };
            self.filters_of(&Place { at, port, service: name.clone() }, &policies, callers);
        }
    }

    /// Policies of the pods of gateways: clients outside have no identity.
    fn at_gateways(&mut self, callers: &[Caller]) {
        let istio = self.mesh.istio;
        let Some(gateway) = istio.gateways.first() else { return };
        let pods = self.pods_of(gateway);
        let port = gateway.servers.first().map_or(80, |server| server.port);
        let policies = authorize::policies(&self.mesh, &pods.namespace, &pods.labels);
        let place = Place { at: INGRESS.to_owned(), port, service: INGRESS.to_owned() };
        self.filters_of(&place, &policies, callers);
    }

    fn filters_of(&mut self, place: &Place, policies: &[&AuthorizationPolicy], callers: &[Caller]) {
        for policy in policies.iter().filter(|policy| policy.action == Action::Custom) {
            self.asked(place, policy);
        }
        for action in [Action::Deny, Action::Allow] {
            let mut list: Vec<Value> = Vec::new();
            let own: Vec<_> = policies.iter().filter(|one| one.action == action).collect();
            let Some(first) = own.first() else { continue };
            for policy in &own {
                self.used("AuthorizationPolicy", &policy.head);
                for (number, rule) in policy.rules.iter().enumerate() {
                    for principal in self.principals(place, policy, rule, callers) {
                        list.push(entry(policy, number, rule, &principal));
                    }
                }
            }
            if action == Action::Deny && list.is_empty() {
                continue;
            }
            numbered(&mut list);
            let word = if action == Action::Deny { "deny" } else { "allow" };
            let head = &first.head;
            let spec = self.places.spec("AuthorizationPolicy", &head.namespace, &head.name);
            let at = spec.and_then(|spec| spec.get("action")).map_or(head.at, |node| node.at);
            let mut rbac = Table::new();
            rbac.set("action", Value::text(word).at(at));
            if !list.is_empty() {
                rbac.set("policy", Value::list(list));
            }
            let mut filter = Table::new();
            filter.set("at", Value::text(&*place.at).at(head.at));
            filter.set("rbac", rbac);
            self.draft.filters.push(filter);
        }
        if let Some(audit) = policies.iter().find(|one| one.action == Action::Audit) {
            let why = "what is noted of requests decides nothing";
            self.draft.ignore("AuthorizationPolicy.spec.action", audit.head.at, why);
        }
    }

    /// Whom a rule is about; nobody, if it cannot match here.
    fn principals(
        &mut self,
        place: &Place,
        policy: &AuthorizationPolicy,
        rule: &Rule,
        callers: &[Caller],
    ) -> Vec<Principal> {
        let deny = policy.action == Action::Deny;
        let mut unsaid: BTreeMap<&str, At> = BTreeMap::new();
        match to_fits(&rule.to, place.port) {
            Some(false) => return Vec::new(),
            Some(true) => {}
            None => {
                unsaid.insert("to", rule.at);
            }
        }
        let mut sources = rule.from.clone();
        let mut headers: Vec<&str> = Vec::new();
        let mut conditions: Vec<Source> = Vec::new();
        for condition in &rule.when {
            match said(condition, place.port) {
                Said::Always => {}
                Said::Never => return Vec::new(),
                Said::Source(source) => conditions.push(*source),
                Said::Header(name) => headers.push(name),
                Said::No => {
                    unsaid.insert("when", condition.at);
                }
            }
        }
        if sources.is_empty() && !conditions.is_empty() {
            sources.push(Source::default());
        }
        if sources.iter().chain(&conditions).any(is_beyond) {
            unsaid.insert("from", rule.at);
        }
        let known: Vec<Source> = sources.iter().map(without_addresses).collect();
        let conditions: Vec<Source> = conditions.iter().map(without_addresses).collect();
        let mut all = self.whom(place, (policy, rule.at), (&known, &conditions), callers);
        match (&all[..], headers[..].split_first()) {
            (_, None) => {}
            ([Principal::Any], Some((header, rest))) => {
                all = vec![Principal::Header((*header).to_owned())];
                if !rest.is_empty() {
                    unsaid.insert("when", rule.at);
                }
            }
            (_, Some(_)) => {
                unsaid.insert("when", rule.at);
            }
        }
        let skipped = deny && !unsaid.is_empty();
        for (part, at) in unsaid {
            let why = if deny {
                "more than a filter of a scenario can ask for: this rule denies nothing"
            } else {
                "more than a filter of a scenario can ask for: this rule allows more"
            };
            self.draft.ignore(format!("AuthorizationPolicy.spec.rules.{part}"), at, why);
        }
        if skipped { Vec::new() } else { all }
    }

    /// The callers of which one source and all conditions hold.
    fn whom(
        &mut self,
        place: &Place,
        (policy, at): (&AuthorizationPolicy, At),
        (sources, conditions): (&[Source], &[Source]),
        callers: &[Caller],
    ) -> Vec<Principal> {
        let own = &policy.head.namespace;
        let is_all = |source: &Source| *source == Source::default();
        if sources.is_empty() || (sources.iter().any(is_all) && conditions.iter().all(is_all)) {
            return vec![Principal::Any];
        }
        let fits = |principal: Option<String>| {
            let facts = Facts { principal, request: None, port: place.port };
            sources.iter().any(|one| authorize::source_fits(one, own, &facts))
                && conditions.iter().all(|one| authorize::source_fits(one, own, &facts))
        };
        if place.at == INGRESS {
            return if fits(None) { vec![Principal::Any] } else { Vec::new() };
        }
        let (named, mixed) = self.meant.entry((at, place.port)).or_insert_with(|| {
            let (mut named, mut mixed) = (Vec::new(), false);
            for caller in callers {
                let fitting = caller.principals.iter().filter(|one| fits(Some((*one).clone())));
                let count = fitting.count();
                let (any, every) = (count > 0, count == caller.principals.len());
                mixed |= any && !every;
                // What cannot be told apart is let in.
                let counts = if policy.action == Action::Deny { every } else { any };
                if counts {
                    named.push(caller.name.clone());
                }
            }
            (named, mixed)
        });
        let (named, mixed) = (named.clone(), *mixed);
        if mixed {
            let why = "versions of a service with different accounts are one source: let in";
            self.draft.ignore("AuthorizationPolicy.spec.rules.from", policy.head.at, why);
        }
        let is_everybody = named.len() == callers.len();
        if is_everybody && policy.action != Action::Deny {
            let why = "everybody with an identity: those without one are let in, too";
            self.draft.ignore("AuthorizationPolicy.spec.rules.from", policy.head.at, why);
            return vec![Principal::Any];
        }
        if fits(None) && policy.action == Action::Deny {
            let why = "clients without an identity are not refused";
            self.draft.ignore("AuthorizationPolicy.spec.rules.from", policy.head.at, why);
        }
        named.into_iter().map(Principal::Source).collect()
    }

    /// A service that is asked about all requests.
    fn asked(&mut self, place: &Place, policy: &AuthorizationPolicy) {
        let field = "AuthorizationPolicy.spec.provider";
        let is_all = |rule: &Rule| {
            rule.from.is_empty()
                && rule.when.is_empty()
                && (rule.to.is_empty() || to_fits(&rule.to, place.port) == Some(true))
        };
        if !policy.rules.iter().any(is_all) {
            let why = "a service that is asked about some requests only: it is not asked";
            self.draft.ignore(field, policy.head.at, why);
            return;
        }
        let Some((service, fails_open, at)) = self.provider(policy) else {
            let why = "its service is not in the manifests (meshConfig.extensionProviders)";
            self.draft.ignore(field, policy.head.at, why);
            return;
        };
        if service == place.service {
            return;
        }
        let mut authz = Table::new();
        authz.set("service", Value::text(service).at(at));
        if fails_open {
            authz.set("failure_mode_allow", Value::bool(true).at(at));
        }
        self.used("AuthorizationPolicy", &policy.head);
        let mut filter = Table::new();
        filter.set("at", Value::text(&*place.at).at(policy.head.at));
        filter.set("ext_authz", authz);
        self.draft.filters.push(filter);
    }

    /// The service of a policy's provider, whether it may be away, and where that is written.
    fn provider(&self, policy: &AuthorizationPolicy) -> Option<(String, bool, At)> {
        let name = policy.provider.as_deref()?;
        let settings = self.mesh.cluster.mesh_config.as_ref()?;
        let mut all = settings.get("extensionProviders")?.items().iter();
        let found = all.find(|one| one.get("name").and_then(|name| name.text()) == Some(name))?;
        let kinds = ["envoyExtAuthzHttp", "envoyExtAuthzGrpc"];
        let authz = kinds.iter().find_map(|kind| found.get(kind))?;
        let service = authz.get("service")?;
        let host = service.text()?;
        let host = host.rsplit_once('/').map_or(host, |(_, host)| host);
        let root = &self.mesh.istio.mesh.root_namespace;
        let known = self.mesh.registry.asked(host, root)?;
        let open = authz.get("failOpen").map(|node| &node.value);
        let is_open = matches!(open, Some(crate::manifest::node::Value::Bool(true)));
        Some((self.name_of(known)?, is_open, service.at))
    }
}

/// A policy of a filter, by the name that Istio gives it.
fn entry(policy: &AuthorizationPolicy, number: usize, rule: &Rule, who: &Principal) -> Value {
    let head = &policy.head;
    let name = format!("ns[{}]-policy[{}]-rule[{number}]", head.namespace, head.name);
    let mut table = Table::new();
    table.set("name", Value::text(name));
    match who {
        Principal::Any => {}
        Principal::Source(source) => {
            table.set("source", Value::text(source));
        }
        Principal::Header(header) => {
            table.set("header", Value::text(header));
        }
    }
    Value::from(table).at(rule.at)
}

/// Gives policies of one name numbers.
fn numbered(list: &mut [Value]) {
    use crate::manifest::draft::value::Kind;
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for value in list {
        let Kind::Table(table) = &mut value.kind else { continue };
        let Some(Value { kind: Kind::Text(name), .. }) = table.get("name").cloned() else {
            continue;
        };
        let number = count.entry(name.clone()).or_default();
        *number += 1;
        if *number > 1 {
            table.set("name", Value::text(format!("{name}-{number}")));
        }
    }
}
