//! Authorities, trust, certificates and clocks.
//!
//! Source: istio security/pkg/pki/ca/ca.go:456-499 for what istiod refuses; X.509 for the rest.
//! Left out: authorities that are made later: an event brings one that is declared.

use super::super::context::Fault;
use super::super::document::{At, Node};
use super::super::target::Target;
use super::action::{Done, of, words};
use super::{Lower, id};
use crate::kernel::time::Time;
use crate::plan::identity::{Authority, AuthorityId, IdentityChange, Presented, Skew, Versions};
use crate::plan::timeline::{Action, ControlPart};
use crate::plan::tls::{KeyType, TlsVersion};
use crate::plan::universe::WorkloadId;
use std::collections::BTreeMap;

impl<'d> Lower<'_, '_, 'd> {
    /// All that the file says of who signs and what is shown.
    pub(super) fn identity(&mut self) {
        let root: &'d Node = self.root;
        let mesh = root.get("mesh");
        let tables: Vec<&Node> =
            root.list("ca").iter().filter(|one| one.text("name").is_some()).collect();
        self.lifetimes();
        for table in &tables {
            if self.needs_a_mesh(Some(table), "ca") {
                return;
            }
        }
        self.authorities(&tables);
        let signer = mesh.and_then(|mesh| mesh.get("ca"));
        self.identity.signer = match (signer, tables.len()) {
            (Some(node), _) => self.authority(node),
            (None, 1) => Some(AuthorityId(0)),
            (None, 0) => None,
            (None, count) => {
                let what = format!("there are {count} authorities, and nothing says which signs");
                self.report(tables[0].at, what, "ca = \"NAME\" in [mesh]");
                None
            }
        };
        if let Some(trust) = mesh.and_then(|mesh| mesh.get("trust")) {
            self.identity.trust = self.roots(trust);
        }
        if let Some(signer) = self.identity.signer {
            let one = &self.identity.authorities[signer.index()];
            if one.remaining.is_zero() {
                let what = format!("`{}` is past its end at the start", one.name);
                let at = signer_at(signer, &self.identity.authorities, &tables, signer_node(mesh));
                self.report(at, what, "istiod refuses to start with it");
            }
        }
        self.shown_by_workloads();
        self.lives_of_authorities(&tables);
    }

    /// Lifetimes that no certificate can have.
    fn lifetimes(&mut self) {
        let root: &'d Node = self.root;
        let group = |name: &str| root.get("mesh").and_then(|mesh| mesh.get(name));
        let at = |group: Option<&Node>, key: &str| {
            group.and_then(|group| group.entry(key)).map_or(root.at, |entry| entry.node.at)
        };
        if self.parameters.cert.ttl.is_zero() && self.linkerd.is_none() {
            let at = at(group("cert"), "ttl");
            self.report(at, "a certificate of no life", "cert.ttl = \"24h\"");
        }
        if self.parameters.root.ttl.is_zero() {
            let at = at(group("root"), "ttl");
            self.report(at, "a root of no life", "root.check = \"0s\" turns its renewal off");
        }
    }

    fn authorities(&mut self, tables: &[&'d Node]) {
        let usual = self.usual_life();
        let mut order: Vec<&'d Node> = tables.to_vec();
        order.sort_by_key(|table| table.text("name"));
        let mut keys: BTreeMap<&str, u32> = BTreeMap::new();
        for (table, index) in order.iter().zip(0..) {
            let own = table.text("name").unwrap_or_default();
            let key = match table.text("key") {
                Some(name) => *keys.entry(name).or_insert(index),
                None => index,
            };
            let issuer = table.get("issuer").and_then(|node| {
                let text = node.as_text()?;
                let place = order.iter().position(|one| one.text("name") == Some(text));
                if place.is_none() {
                    let names: Vec<&str> =
                        order.iter().filter_map(|one| one.text("name")).collect();
                    self.missing(node.at, "ca", text, names);
                }
                place.map(|place| AuthorityId(id(place)))
            });
            let plugged_in = table.get("plugged_in").is_none_or(|node| node.print() != "false");
            if let Some(entry) = table.entry("plugged_in")
                && !plugged_in
                && issuer.is_some()
            {
                let what = format!("`{own}` is no root, and does not renew itself");
                self.report(entry.node.at, what, "only istiod's own root does");
            }
            self.identity.authorities.push(Authority {
                name: own.to_owned(),
                issuer,
                remaining: table.duration("remaining").unwrap_or(usual),
                key,
                plugged_in,
            });
        }
        let count = self.identity.authorities.len();
        for (table, index) in order.iter().zip(0..) {
            let issuer = |one: &AuthorityId| self.identity.authorities[one.index()].issuer;
            let above = std::iter::successors(issuer(&AuthorityId(index)), issuer);
            if above.take(count + 1).any(|one| one.0 == index) {
                let at = table.get("issuer").map_or(table.at, |node| node.at);
                let name = table.text("name").unwrap_or_default();
                let what = format!("`{name}` is among those that signed it");
                self.report(at, what, "a root has no `issuer`");
            }
        }
    }

    /// An authority by its name.
    fn authority(&mut self, node: &Node) -> Option<AuthorityId> {
        let text = node.as_text()?;
        let all = &self.identity.authorities;
        let found = all.iter().position(|one| one.name == text);
        if found.is_none() {
            let names: Vec<String> = all.iter().map(|one| one.name.clone()).collect();
            self.missing(node.at, "ca", text, names.iter().map(String::as_str));
        }
        found.map(|index| AuthorityId(id(index)))
    }

    /// Names of roots.
    fn roots(&mut self, list: &Node) -> Vec<AuthorityId> {
        let mut roots = Vec::new();
        if list.items().is_empty() {
            self.report(list.at, "nobody is trusted", "leave `trust` out, or name roots");
        }
        for node in list.items() {
            let Some(found) = self.authority(node) else { continue };
            if self.identity.authorities[found.index()].issuer.is_some() {
                let what = format!("`{}` is no root", node.as_text().unwrap_or_default());
                self.report(node.at, what, "proxies follow a chain up to a root that they trust");
            }
            roots.push(found);
        }
        roots.sort_unstable();
        roots.dedup();
        roots
    }

    /// Lives that do not fit into each other: the mesh takes them, and fails early.
    fn lives_of_authorities(&mut self, tables: &[&'d Node]) {
        if !self.context.faults.is_empty() {
            return;
        }
        for table in tables {
            let name = table.text("name");
            let all = &self.identity.authorities;
            let Some(one) = all.iter().find(|one| Some(one.name.as_str()) == name) else {
                continue;
            };
            let at = table.entry("remaining").map_or(table.at, |entry| entry.node.at);
            if let Some(issuer) = one.issuer.map(|issuer| &all[issuer.index()])
                && issuer.remaining < one.remaining
            {
                let what = format!("`{}` outlives `{}`, which signed it", one.name, issuer.name);
                let hint = match self.linkerd {
                    None => format!("its chain ends after {}", issuer.remaining),
                    Some(_) => format!("identity signs nothing after {}", issuer.remaining),
                };
                self.context.warn(Fault::new(at, what).hint(hint));
            }
        }
        let Some(signer) = self.identity.signer else { return };
        let one = &self.identity.authorities[signer.index()];
        let cert = &self.parameters.cert;
        if one.remaining < cert.ttl {
            let table = tables.iter().find(|table| table.text("name") == Some(&one.name));
            let at = table.map_or(self.root.at, |table| {
                table.entry("remaining").map_or(table.at, |entry| entry.node.at)
            });
            let what =
                format!("certificates of {} have an authority of {}", cert.ttl, one.remaining);
            let hint = if self.linkerd.is_some() && cert.clamp_to_signer {
                "they end with it (linkerd_identity.clamp_to_issuer), all at one instant"
            } else if cert.clamp_to_signer {
                "they end with it (cert.clamp_to_signer), and are renewed at half of that"
            } else {
                "they are worth nothing after it, and not renewed before (cert.clamp_to_signer)"
            };
            self.context.warn(Fault::new(at, what).hint(hint));
        }
    }

    // === certificates ===

    fn shown_by_workloads(&mut self) {
        for (index, draft) in self.drafts.clone().into_iter().enumerate() {
            let Some((service, node)) = draft else { continue };
            let table = self.service_nodes[service.index()];
            let workload = WorkloadId(id(index));
            let own = node.get("certificate").or(table.get("certificate"));
            if let Some(given) = own.filter(|node| node.is_table())
                && !self.needs_a_mesh(Some(given), "certificate")
                && let Some(presented) = self.presented(given)
            {
                self.identity.presented.insert(workload, presented);
            }
            let key = |key: &str| node.get(key).or(table.get(key));
            let (minimum, maximum) = (key("tls_minimum_version"), key("tls_maximum_version"));
            let Some(some) = minimum.or(maximum) else { continue };
            if self.needs_a_mesh(Some(some), "tls_minimum_version") {
                continue;
            }
            let read = |node: Option<&Node>| match node.and_then(Node::as_text) {
                Some("1.2") => Some(TlsVersion::Tls12),
                Some("1.3") => Some(TlsVersion::Tls13),
                _ => None,
            };
            let versions = Versions {
                minimum: read(minimum).unwrap_or(Versions::ISTIO.minimum),
                maximum: read(maximum).unwrap_or(Versions::ISTIO.maximum),
            };
            if versions.maximum < versions.minimum {
                let what = "the oldest TLS version is newer than the newest";
                self.report(some.at, what, "nobody could speak with it");
            }
            self.identity.versions.insert(workload, versions);
        }
    }

    fn presented(&mut self, table: &Node) -> Option<Presented> {
        let at = |key: &str| table.duration(key).map(|time| Time::from_ns(time.ns()));
        let presented = Presented {
            ca: table.get("ca").and_then(|node| self.authority(node)),
            san: table.text("san").map(str::to_owned),
            not_before: at("not_before"),
            not_after: at("not_after"),
            key: match table.text("key") {
                Some("p256") => Some(KeyType::EcP256),
                Some(_) => Some(KeyType::Rsa2048),
                None => None,
            },
            none: table.get("none").is_some_and(|node| node.print() == "true"),
        };
        if let (Some(from), Some(until)) = (presented.not_before, presented.not_after)
            && until <= from
        {
            let at = table.get("not_after").map_or(table.at, |node| node.at);
            let what = format!("it ends at {until}, not after it begins at {from}");
            self.report(at, what, "`not_after` is a time of the run, not a length");
            return None;
        }
        if presented.none && table.entries().len() > 1 {
            let what = "a certificate that there is not has nothing else";
            self.report(table.at, what, "leave out `none`, or the rest");
        }
        Some(presented)
    }

    // === events ===

    /// istiod gets another authority.
    pub(super) fn authority_event(&mut self, table: &Node, at: At) -> Done {
        if !self.parameters.istiod.present {
            let what = format!("the profile `{}` has no istiod", self.profile);
            self.report(at, what, "an event on it would do nothing");
            return None;
        }
        let share = match table.get("dropped_by") {
            None => self.share_above_zero(table)?,
            Some(node) => self.share_that_reads(table, node)?,
        };
        let authority = self.authority(table.get("ca")?)?;
        let restart = table.flag("restart").unwrap_or(false);
        let how = ["gets", "starts again with"][usize::from(restart)];
        let (who, what) = match self.linkerd {
            Some(_) => ("Linkerd's identity", "issuer"),
            None => ("istiod", "authority"),
        };
        let missed = table.get("dropped_by").and_then(Node::number);
        let rest = missed.map(|missed| format!(", and {missed} miss it")).unwrap_or_default();
        let part = if missed.is_some() { String::new() } else { of(share) };
        let label = format!("{part}{who} {how} the {what} {}{rest}", table.text("ca")?);
        Some((Action::Identity(IdentityChange::Authority { authority, share, restart }), label))
    }

    /// Proxies are told to trust others.
    pub(super) fn trust_event(&mut self, table: &Node) -> Done {
        let list = table.get("trust")?;
        if self.needs_a_mesh(Some(list), "trust") {
            return None;
        }
        let roots = self.roots(list);
        let names: Vec<&str> = list.items().iter().filter_map(Node::as_text).collect();
        let whom = names.join(" and ");
        let label = match self.linkerd {
            None => format!("proxies are told to trust {whom}"),
            Some(_) => format!("who starts is given {whom} to trust"),
        };
        Some((Action::Identity(IdentityChange::Trust(roots)), label))
    }

    /// Clocks become wrong.
    pub(super) fn clock_event(&mut self, table: &Node, at: At, target: Target<'_>) -> Done {
        let (ahead, behind) = (table.get("ahead"), table.get("behind"));
        let (node, is_behind) = match (ahead, behind) {
            (Some(node), None) => (node, false),
            (None, Some(node)) => (node, true),
            _ => {
                let what = "`clock` needs one of `ahead` and `behind`";
                self.context.report(Fault::new(table.at, what).hint("ahead = \"10m\""));
                return None;
            }
        };
        let by = table.duration(if is_behind { "behind" } else { "ahead" })?;
        if by.is_zero() {
            self.report(node.at, "a clock that is right", "leave the event out");
        }
        let life = self.parameters.cert.ttl;
        if !is_behind && life <= by {
            let what = format!("a clock that is {by} ahead is past the life of every certificate");
            let hint = format!("cert.ttl is {life}: nothing that it looks at is valid");
            self.context.warn(Fault::new(node.at, what).hint(hint));
        }
        if let Some(share) = table.entry("share")
            && !matches!(target, Target::Control(_))
        {
            self.report(share.at, "`share` is of istiod's replicas", "leave it out");
        }
        let (mut nodes, mut workloads, mut istiod) = (Vec::new(), Vec::new(), 0.0);
        let whose = match target {
            Target::Node(name) => {
                let place = self.named_node(at, name)?;
                nodes = self.nodes_of(place);
                format!("the clock of node {name}")
            }
            Target::Zone(name) => {
                let place = self.named_zone(at, name)?;
                nodes = self.nodes_of(place);
                format!("the clocks of zone {name}")
            }
            Target::Service(name) => {
                workloads = self.service_or_version(at, name)?.1;
                format!("the clocks of {}", words(name))
            }
            _ => {
                istiod = self.share_above_zero(table)?;
                format!("the clock of {}{}", of(istiod), self.part_words(ControlPart::All))
            }
        };
        let (verb, how) = if whose.contains("clocks") { ("are", "") } else { ("is", "") };
        let way = if is_behind { "behind" } else { "ahead" };
        let label = format!("{whose} {verb}{how} {by} {way}");
        let skew = Skew { by, behind: is_behind };
        Some((Action::Identity(IdentityChange::Clock { nodes, workloads, istiod, skew }), label))
    }

    /// Nodes sleep.
    pub(super) fn suspend_event(&mut self, at: At, target: Target<'_>) -> Done {
        let (place, label) = match target {
            Target::Node(name) => (self.named_node(at, name)?, format!("node {name} sleeps")),
            Target::Zone(name) => (self.named_zone(at, name)?, format!("zone {name} sleeps")),
            _ => return None,
        };
        Some((Action::Identity(IdentityChange::Suspend(self.nodes_of(place))), label))
    }

    /// Proxies get another certificate.
    pub(super) fn secret_event(&mut self, table: &Node, at: At, name: &str) -> Done {
        let given = table.get("certificate").filter(|node| node.is_table())?;
        if self.needs_a_mesh(Some(given), "certificate") {
            return None;
        }
        let presented = self.presented(given)?;
        let workloads = self.service_or_version(at, name)?.1;
        let label = if presented.none {
            format!("{} loses its certificate", words(name))
        } else {
            format!("{} gets another certificate", words(name))
        };
        Some((Action::Identity(IdentityChange::Certificate { workloads, presented }), label))
    }
}

fn signer_node(mesh: Option<&Node>) -> Option<&Node> {
    mesh.and_then(|mesh| mesh.get("ca"))
}

/// Where it is said who signs: at the mesh's key, or at the table's.
fn signer_at(signer: AuthorityId, all: &[Authority], tables: &[&Node], mesh: Option<&Node>) -> At {
    let table = tables.iter().find(|one| one.text("name") == Some(&all[signer.index()].name));
    let of_table = |table: &&Node| table.entry("remaining").map_or(table.at, |one| one.node.at);
    table.map_or_else(|| mesh.map_or(tables[0].at, |node| node.at), of_table)
}
