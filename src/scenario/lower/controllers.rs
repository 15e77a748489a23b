//! A mesh of Linkerd: which parameters follow from its own, what its control plane's parts are called.
//!
//! Source: `plan::linkerd::shared`, `plan::timeline`.
//! Left out: keys of Istio that are not parameters (`trust` and `ca` are both meshes').

use super::super::context::Fault;
use super::super::document::{At, Node};
use super::super::target::{CONTROL_PLANE, Target};
use super::Lower;
use super::action::{Done, SLOW_WEBHOOK};
use crate::kernel::time::Duration;
use crate::plan::linkerd;
use crate::plan::linkerd::shared::{UNPLAYED, furnished};
use crate::plan::parameter::TABLE;
use crate::plan::timeline::ControlPart;

/// Of each part its targets in either mesh.
const PARTS: [(ControlPart, &str, Option<&str>); 5] = [
    (ControlPart::All, "linkerd", Some("istiod")),
    (ControlPart::Ca, "linkerd/identity", Some("istiod/ca")),
    (ControlPart::Xds, "linkerd/destination", Some("istiod/xds")),
    (ControlPart::Injector, "linkerd/proxy-injector", Some("istiod/injector")),
    (ControlPart::Policy, "linkerd/policy", None),
];

impl Lower<'_, '_, '_> {
    /// How long an authority lives of which nothing is said.
    pub(super) fn usual_life(&self) -> Duration {
        let own = self.linkerd.as_ref().map(|own| own.linkerd_identity.authority_lifetime);
        own.unwrap_or(Duration::from_s(87_600 * 3600))
    }

    /// Sets what follows from Linkerd's own parameters, and says which keys do nothing in this mesh.
    pub(super) fn furnish(&mut self, mesh: Option<&Node>) {
        let given = |name: &str| {
            let (group, key) = name.split_once('.')?;
            mesh?.get(group)?.entry(key).map(|entry| entry.node.at)
        };
        let Some(own) = &self.linkerd else {
            let lost = linkerd::TABLE.iter().filter_map(|row| Some((row.name, given(row.name)?)));
            for (name, at) in lost.collect::<Vec<_>>() {
                let what = format!("`{name}` does nothing: the profile is `{}`", self.profile);
                self.context.warn(Fault::new(at, what).hint("profile = \"linkerd\" has it"));
            }
            return;
        };
        own.furnish(&mut self.parameters);
        for row in TABLE {
            if let (Some(at), Some(own)) = (given(row.name), furnished(row.name)) {
                let what = format!("`{}` does nothing in a mesh of Linkerd", row.name);
                let hint = match own {
                    "" => "its control plane has none of it".to_owned(),
                    own => format!("`{own}` is what it goes by"),
                };
                self.context.warn(Fault::new(at, what).hint(hint));
            }
        }
        for name in UNPLAYED {
            if let Some(at) = given(name) {
                let what = format!("`{name}` does nothing yet");
                let hint = "no part of a run goes by it: docs/linkerd-traffic.md, left out";
                self.context.warn(Fault::new(at, what).hint(hint));
            }
        }
        self.linkerd_can_be(mesh);
        self.policies_can_be(mesh);
    }

    /// What Linkerd's parameters may not be.
    fn linkerd_can_be(&mut self, mesh: Option<&Node>) {
        let Some(own) = &self.linkerd else { return };
        let (identity, control) = (&own.linkerd_identity, &own.linkerd_control);
        let mut wrong: Vec<(&str, &str, String, &str)> = Vec::new();
        if identity.lifetime.is_zero() {
            let what = "a certificate of no life".to_owned();
            wrong.push(("linkerd_identity", "lifetime", what, "the chart's is 24h"));
        }
        if !(0.0 < identity.refresh_ratio && identity.refresh_ratio <= 1.0) {
            let what = format!("a renewal after {} of what is left", identity.refresh_ratio);
            wrong.push(("linkerd_identity", "refresh_ratio", what, "above 0, at most 1"));
        }
        if identity.min_refresh < Duration::from_ms(1) {
            let what = format!("tries every {} without a certificate", identity.min_refresh);
            wrong.push(("linkerd_identity", "min_refresh", what, "at least 1ms; Linkerd's is 10s"));
        }
        if identity.max_refresh < identity.min_refresh {
            let what =
                format!("at most {} and at least {}", identity.max_refresh, identity.min_refresh);
            wrong.push(("linkerd_identity", "max_refresh", what, "not below min_refresh"));
        }
        let backoffs = [
            ("linkerd_control", control.backoff()),
            ("linkerd_outbound", own.linkerd_outbound.backoff()),
            ("linkerd_inbound", own.linkerd_inbound.backoff()),
        ];
        for (group, backoff) in backoffs {
            let none = backoff.min.is_zero().then_some("a back-off that never waits");
            if let Some(what) = none.or(backoff.problem()) {
                let hint = "the first wait is above 0 and not above the longest";
                wrong.push((group, "backoff_min", what.to_owned(), hint));
            }
        }
        let life = control.stream_life();
        if !life.is_zero() && life < Duration::from_s(1) {
            let what = format!("streams that end after {life}");
            let key = if control.stream_idle == life { "stream_idle" } else { "stream_lifetime" };
            wrong.push(("linkerd_control", key, what, "at least 1s; 0 is no limit"));
        }
        for (group, key, what, hint) in wrong {
            let node = mesh.and_then(|mesh| mesh.get(group)?.get(key));
            let at = node.map_or(self.root.at, |node| node.at);
            self.report(at, what, hint);
        }
    }

    /// A target, with the name of this mesh's control plane for `control_plane`.
    pub(super) fn own_control_plane<'t>(&self, text: &'t str) -> &'t str {
        match text {
            CONTROL_PLANE if self.linkerd.is_some() => "linkerd",
            CONTROL_PLANE => "istiod",
            other => other,
        }
    }

    /// Whether a target is a part of the control plane of another mesh than this.
    fn is_of_other_mesh(&mut self, table: &Node, at: At, target: Target<'_>) -> bool {
        let text = self.own_control_plane(table.text("target").unwrap_or_default());
        let is_linkerd = self.linkerd.is_some();
        let named = text == "linkerd" || text.starts_with("linkerd/");
        let is_control = matches!(target, Target::Control(_) | Target::Type(_));
        // A profile that is not there has been told.
        if !is_control || named == is_linkerd || self.profile.is_empty() {
            return false;
        }
        let part = match target {
            Target::Control(part) => PARTS.iter().find(|(one, ..)| *one == part),
            _ => Some(&PARTS[2]),
        };
        let hint = match part {
            Some((_, own, _)) if is_linkerd => format!("it has `{own}`"),
            Some((.., Some(other))) => format!("it has `{other}`"),
            _ => "it has nothing like it".to_owned(),
        };
        let what = format!("the profile `{}` has no {text}", self.profile);
        self.report(at, what, hint);
        true
    }

    /// What an event does to a part of Linkerd's control plane; none if that is as with any mesh.
    pub(super) fn linkerd_action(
        &mut self,
        table: &Node,
        at: At,
        does: &str,
        target: Target<'_>,
        targets: &str,
    ) -> Option<Done> {
        if self.is_of_other_mesh(table, at, target) {
            return Some(None);
        }
        if let ("server", Target::Service(name)) = (does, target) {
            return Some(self.server_event(table, at, name));
        }
        self.linkerd.as_ref()?;
        let Target::Control(part) = target else { return None };
        Some(match (does, part) {
            ("freeze", ControlPart::Xds) => self.disturb_control(table, at, does),
            ("ca", ControlPart::Ca) => self.authority_event(table, at),
            ("fail", _)
            | ("clock", ControlPart::All)
            | ("cut" | "webhook" | SLOW_WEBHOOK, ControlPart::Injector) => return None,
            _ => {
                let what = format!("`{does}` does not act on {}", self.part_words(part));
                self.report(at, what, format!("it acts on {targets}"));
                None
            }
        })
    }

    /// The share of the replicas of identity that read a new issuer, where some miss it.
    pub(super) fn share_that_reads(&mut self, table: &Node, node: &Node) -> Option<f64> {
        let Some(own) = &self.linkerd else {
            let hint = "istiod has no replicas that miss it: `share` is of those that get it";
            self.report(node.at, "`dropped_by` is of Linkerd's identity", hint);
            return None;
        };
        let all = own.linkerd_control.replicas;
        let missed = node.number()?;
        if f64::from(all) < missed || missed < 1.0 {
            let what = format!("{missed} of {all} replicas miss it");
            self.report(node.at, what, "linkerd_control.replicas says how many there are");
            return None;
        }
        if table.get("share").is_some() || table.get("restart").is_some() {
            let hint = "who starts again has read it, and `share` is of those that do";
            self.report(node.at, "`dropped_by` goes with no `share` and no `restart`", hint);
            return None;
        }
        // Shares are rounded up: in the middle, so that no rounding of the quotient counts.
        Some(((f64::from(all) - missed - 0.5) / f64::from(all)).max(0.0))
    }

    /// A part of the control plane in words.
    pub(super) fn part_words(&self, part: ControlPart) -> &'static str {
        match (part, self.linkerd.is_some()) {
            (ControlPart::All, false) => "istiod",
            (ControlPart::Ca, false) => "istiod's certificate authority",
            (ControlPart::Xds, false) => "istiod's configuration",
            (ControlPart::Injector, false) => "the injection webhook",
            (ControlPart::All, true) => "Linkerd's control plane",
            (ControlPart::Ca, true) => "Linkerd's identity",
            (ControlPart::Xds, true) => "Linkerd's destination",
            (ControlPart::Injector, true) => "Linkerd's proxy injector",
            (ControlPart::Policy, _) => "Linkerd's policy controller",
        }
    }
}
