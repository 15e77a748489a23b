//! Actions: what an event does to its target, and the same in words.
//!
//! Source: `plan::timeline`.
//! Left out: actions of parts that are not simulated.

use super::super::context::{Fault, known};
use super::super::document::{At, Node};
use super::super::states;
use super::super::target::{FORMS, Target, target};
use super::{Lower, id};
use crate::kernel::time::Duration;
use crate::plan::route::RouteTable;
use crate::plan::timeline::{Action, ControlPart};
use crate::plan::universe::{NodeId, Place, RouteId};

/// For each action: the arguments it takes, those it needs, and the kinds of target.
const ACTIONS: [(&str, &[&str], &[&str], &str); 33] = [
    (
        "fail",
        &["share", "part"],
        &[],
        "istiod, linkerd, pod:NAME, service:NAME, node:NAME, zone:NAME, link:A->B, api_server or kubelet:NODE",
    ),
    ("restart", &["share"], &[], "pod:NAME or service:NAME"),
    ("freeze", &["share"], &[], "istiod, linkerd/destination, pod:NAME or service:NAME"),
    (
        "slow",
        &["factor", "share"],
        &["factor"],
        "istiod or service:NAME, or istiod/injector or linkerd/proxy-injector with `delay`",
    ),
    (SLOW_WEBHOOK, &["delay"], &["delay"], "istiod/injector or linkerd/proxy-injector"),
    ("crash_loop", &["share"], &[], "pod:NAME or service:NAME"),
    ("webhook", &["policy"], &["policy"], "istiod/injector or linkerd/proxy-injector"),
    ("errors", &["share", "status", "response_headers"], &[], "service:NAME or api_server"),
    ("cut", &[], &[], "link:A->B, zone:NAME, istiod/injector or linkerd/proxy-injector"),
    ("degrade", &["delay", "loss"], &[], "link:A->B or zone:NAME"),
    ("rollout", &[], &[], "service:NAME or ingress"),
    ("scale", &["replicas"], &["replicas"], "service:NAME"),
    ("route", &["weights", "route", "rejected"], &["weights"], "service:NAME"),
    ("split", &["traffic_split", "removed"], &[], "service:NAME"),
    ("endpoints", &["weight", "priority", "health", "list"], &[], "service:NAME"),
    ("cluster", &["removed", "cluster", "rejected"], &[], "service:NAME"),
    ("listener", &["removed", "rejected", "drain_time", "strategy"], &[], "ingress"),
    (
        "drain",
        &["share", "drain_time", "strategy"],
        &[],
        "ingress, pod:NAME, service:NAME, node:NAME or zone:NAME",
    ),
    ("fail_health_check", &["share"], &[], "ingress, pod:NAME or service:NAME"),
    ("traffic", &["factor"], &["factor"], "traffic:ID"),
    ("behave", &["behaviour"], &["behaviour"], "service:NAME"),
    ("peer_authentication", &["mode"], &["mode"], "service:NAME, or without a target on the mesh"),
    ("server", &["server", "local_rate_limit", "removed"], &[], "service:NAME"),
    ("ca", &["ca", "share", "restart", "dropped_by"], &["ca"], "istiod or linkerd/identity"),
    ("trust", &["trust"], &["trust"], "no target: on the mesh"),
    (
        "clock",
        &["ahead", "behind", "share"],
        &[],
        "istiod, linkerd, node:NAME, zone:NAME or service:NAME",
    ),
    ("suspend", &[], &[], "node:NAME or zone:NAME"),
    ("secret", &["certificate"], &["certificate"], "service:NAME"),
    ("push", &[], &[], "istiod"),
    ("apply", &["manifests"], &[], "no target"),
    ("delete", &["manifests", "objects"], &[], "no target"),
    ("patch", &["object", "patch", "patch_file", "type"], &[], "no target"),
    ("note", &[], &[], "no target"),
];
/// `slow` has other arguments where it acts on the webhook.
pub(super) const SLOW_WEBHOOK: &str = "slow istiod/injector";
const ARGUMENTS: [&str; 38] = [
    "share",
    "part",
    "factor",
    "status",
    "response_headers",
    "behaviour",
    "delay",
    "loss",
    "replicas",
    "weights",
    "route",
    "traffic_split",
    "weight",
    "priority",
    "health",
    "mode",
    "removed",
    "cluster",
    "list",
    "rejected",
    "drain_time",
    "strategy",
    "ca",
    "restart",
    "dropped_by",
    "trust",
    "ahead",
    "behind",
    "certificate",
    "policy",
    "server",
    "local_rate_limit",
    "manifests",
    "objects",
    "object",
    "patch",
    "patch_file",
    "type",
];

/// An action and its label; none if something is wrong with it.
pub(super) type Done = Option<(Action, String)>;

/// What an event does, as [`ACTIONS`] names it.
fn does(table: &Node) -> Option<&str> {
    let of_webhook = table
        .text("target")
        .is_some_and(|one| one.starts_with("istiod/injector") || one == "linkerd/proxy-injector");
    table.text("do").map(|does| if does == "slow" && of_webhook { SLOW_WEBHOOK } else { does })
}

impl Lower<'_, '_, '_> {
    /// What an event does, and its label. A new route table is added to `tables`.
    pub(super) fn action(
        &mut self,
        table: &Node,
        route: RouteId,
        tables: &mut Vec<(String, RouteTable)>,
    ) -> Done {
        let does = does(table)?;
        let (_, takes, needs, targets) = ACTIONS.iter().find(|(name, ..)| *name == does)?;
        self.arguments(table, does, takes, needs);
        if states::ACTIONS.contains(&does) {
            return self.changes_manifests(table, does);
        }
        let node = match (table.get("target"), does) {
            (Some(node), does) if does != "note" => node,
            (target, _) => return self.without_target(table, does, target, targets),
        };
        let text = self.own_control_plane(node.as_text()?);
        let Some(target) = target(text) else {
            let hint = known(text, FORMS, "a target is one of");
            self.report(node.at, format!("`{text}` is no target"), hint);
            return None;
        };
        if let Some(done) = self.linkerd_action(table, node.at, does, target, targets) {
            return done;
        }
        match (does, target) {
            ("fail", Target::ApiServer | Target::Kubelet(_))
            | ("errors", Target::ApiServer)
            | ("drain", Target::Node(_) | Target::Zone(_))
            | ("crash_loop", Target::Pod(_) | Target::Service(_))
            | ("cut" | "webhook" | SLOW_WEBHOOK, Target::Control(ControlPart::Injector)) => {
                self.kubernetes_event(table, node.at, does, target)
            }
            ("fail", Target::Control(part)) => self.fail_control(table, node.at, part),
            ("freeze" | "slow" | "push", Target::Control(ControlPart::All)) => {
                self.disturb_control(table, node.at, does)
            }
            ("fail", Target::Type(kind)) => self.withhold(table, node.at, kind),
            ("fail", Target::Node(_) | Target::Zone(_)) => self.fail_nodes(node.at, target),
            ("fail" | "restart" | "freeze", Target::Pod(_) | Target::Service(_)) => {
                self.pods(table, node.at, does, target)
            }
            ("fail" | "cut" | "degrade", Target::Link { .. })
            | ("cut" | "degrade", Target::Zone(_)) => self.links_fail(table, node.at, does, target),
            ("ca", Target::Control(ControlPart::All)) => self.authority_event(table, node.at),
            ("clock", _) if has_clocks(target) => self.clock_event(table, node.at, target),
            ("suspend", Target::Node(_) | Target::Zone(_)) => self.suspend_event(node.at, target),
            ("secret", Target::Service(name)) => self.secret_event(table, node.at, name),
            ("cluster", Target::Service(name)) => self.define_cluster(table, node.at, name),
            ("listener", Target::Ingress) => self.listener(table, node.at),
            ("rollout", Target::Ingress) => self.roll_gateway(node.at),
            (
                "drain" | "fail_health_check",
                Target::Ingress | Target::Pod(_) | Target::Service(_),
            ) => self.drain(table, node.at, does, target),
            ("endpoints", Target::Service(name)) if table.get("list").is_some() => {
                self.list_endpoints(table, node.at, name)
            }
            ("endpoints", Target::Service(name)) => self.endpoints(table, node.at, name),
            ("slow" | "errors" | "rollout" | "scale" | "behave", Target::Service(name)) => {
                self.apps(table, node.at, does, name)
            }
            ("peer_authentication", Target::Service(name)) => {
                self.peer_authentication(table, Some((node.at, name)))
            }
            ("route" | "split", Target::Service(to)) => {
                self.reroute(table, node.at, to, route, tables)
            }
            ("traffic", Target::Traffic(name)) => self.scale_traffic(table, Some((node.at, name))),
            _ => {
                let what = format!("`{does}` does not act on {}", target.kind());
                self.report(node.at, what, format!("it acts on {targets}"));
                None
            }
        }
    }

    /// An event that acts on everything, or on nothing.
    fn without_target(
        &mut self,
        table: &Node,
        does: &str,
        target: Option<&Node>,
        targets: &str,
    ) -> Done {
        match (target, does) {
            (Some(node), _) => {
                self.report(node.at, "a note has no target", "it is a mark on the plots");
                None
            }
            (None, "note") => Some((Action::Note, table.text("id")?.to_owned())),
            (None, "peer_authentication") => self.peer_authentication(table, None),
            (None, "trust") => self.trust_event(table),
            (None, "traffic") => self.scale_traffic(table, None),
            (None, _) => {
                self.report(table.at, "`target` is missing", format!("`{does}` acts on {targets}"));
                None
            }
        }
    }

    /// An event that changes manifests: what it does is said when all states are lowered.
    fn changes_manifests(&mut self, table: &Node, does: &str) -> Done {
        if let Some(node) = table.get("target") {
            let hint = "the objects say what they are about";
            self.report(node.at, format!("`{does}` has no target"), hint);
        }
        if self.states.is_empty() {
            let at = table.get("do").map_or(table.at, |node| node.at);
            let hint = "[[manifests]] path = \"k8s\" says what there is before";
            self.report(at, format!("`{does}` changes manifests, and there are none"), hint);
        }
        Some((Action::Note, table.text("id")?.to_owned()))
    }

    fn arguments(&mut self, table: &Node, does: &str, takes: &[&str], needs: &[&str]) {
        for argument in ARGUMENTS {
            match table.entry(argument) {
                Some(entry) if !takes.contains(&argument) => {
                    let hint = match takes {
                        [] => format!("`{does}` takes no argument"),
                        takes => format!("`{does}` takes {}", takes.join(", ")),
                    };
                    let what = format!("`{argument}` means nothing to `{does}`");
                    self.report(entry.at, what, hint);
                }
                None if needs.contains(&argument) => {
                    let what = format!("`{does}` needs `{argument}`");
                    self.context.report(Fault::new(table.at, what));
                }
                _ => {}
            }
        }
    }

    pub(super) fn share_above_zero(&mut self, table: &Node) -> Option<f64> {
        let share = table.share("share").unwrap_or(1.0);
        if share <= 0.0 {
            let at = table.get("share").map_or(table.at, |node| node.at);
            self.report(at, "a share of 0 is nothing", "leave it out for all");
            return None;
        }
        Some(share)
    }

    pub(super) fn named_node(&mut self, at: At, name: &str) -> Option<Place> {
        let found = self.node(name).map(Place::Node);
        if found.is_none() {
            let nodes = self.universe.nodes.clone();
            self.missing(at, "node", name, nodes.iter().map(|node| node.name.as_str()));
        }
        found
    }

    pub(super) fn named_zone(&mut self, at: At, name: &str) -> Option<Place> {
        let found = self.zone(name).map(Place::Zone);
        if found.is_none() {
            let zones = self.universe.zones.clone();
            self.missing(at, "zone", name, zones.iter().map(String::as_str));
        }
        found
    }

    fn links_fail(&mut self, table: &Node, at: At, does: &str, target: Target<'_>) -> Done {
        let (from, to, both, what): (Vec<NodeId>, Vec<NodeId>, bool, String) = match target {
            Target::Link { from, to, both } => {
                let (one, other) = (self.place(at, from), self.place(at, to));
                let arrow = if both { "<->" } else { "->" };
                let (one, other) = (self.nodes_of(one?), self.nodes_of(other?));
                (one, other, both, format!("the link {from} {arrow} {to}"))
            }
            Target::Zone(name) => {
                let zone = self.named_zone(at, name)?;
                let inside = self.nodes_of(zone);
                let all = (0..id(self.universe.nodes.len())).map(NodeId);
                let outside: Vec<_> = all.filter(|n| inside.binary_search(n).is_err()).collect();
                if outside.is_empty() {
                    let what = format!("all nodes are in the zone `{name}`");
                    self.report(at, what, "there is nothing to cut it off from");
                    return None;
                }
                (inside, outside, true, format!("zone {name}"))
            }
            _ => return None,
        };
        if does != "degrade" {
            return Some((Action::CutLinks { from, to, both }, format!("{what} is cut")));
        }
        let delay = table.duration("delay").unwrap_or(Duration::ZERO);
        let loss = table.share("loss").unwrap_or(0.0);
        if delay.is_zero() && loss <= 0.0 {
            self.report(table.at, "nothing gets worse", "give `delay`, `loss` or both");
        }
        let label = match (delay.is_zero(), 0.0 < loss) {
            (false, true) => format!("{what} gets {delay} slower and loses {}", percent(loss)),
            (false, false) => format!("{what} gets {delay} slower"),
            _ => format!("{what} loses {}", percent(loss)),
        };
        Some((Action::DegradeLinks { from, to, both, delay, loss }, label))
    }

    fn scale_traffic(&mut self, table: &Node, target: Option<(At, &str)>) -> Done {
        let factor = table.get("factor").and_then(Node::number)?;
        let (chosen, what): (Vec<u32>, _) = match target {
            None => ((0..id(self.traffic.len())).collect(), "all traffic".to_owned()),
            Some((at, name)) => {
                let members = self.counted.traffic.get(name).copied();
                let is_meant = |id: &str| match members {
                    Some(count) => (id.strip_prefix(name))
                        .and_then(|rest| rest.strip_prefix('-')?.parse::<u32>().ok())
                        .is_some_and(|index| index < count),
                    None => id == name,
                };
                let all = self.traffic.iter().enumerate();
                let chosen: Vec<u32> =
                    all.filter(|(_, one)| is_meant(&one.id)).map(|(index, _)| id(index)).collect();
                if chosen.is_empty() {
                    let ids: Vec<String> = self.traffic.iter().map(|t| t.id.clone()).collect();
                    self.missing(at, "traffic", name, ids.iter().map(String::as_str));
                    return None;
                }
                (chosen, format!("traffic {name}"))
            }
        };
        Some((Action::ScaleTraffic { traffic: chosen, factor }, format!("{what} times {factor}")))
    }
}

/// Whether a target has clocks that events set.
const fn has_clocks(target: Target<'_>) -> bool {
    matches!(
        target,
        Target::Control(ControlPart::All) | Target::Node(_) | Target::Zone(_) | Target::Service(_)
    )
}

/// `reviews/v2` as people say it.
pub(super) fn words(name: &str) -> String {
    name.replace('/', " ")
}

/// A share in per cent, to hundredths.
pub(super) fn percent(share: f64) -> String {
    let hundredths = Duration::from_ns_f64(share * 10_000.0).ns();
    format!("{} %", hundredths as f64 / 100.0)
}

/// `50 % of `, or nothing for all.
pub(super) fn of(share: f64) -> String {
    if share < 1.0 { format!("{} of ", percent(share)) } else { String::new() }
}
