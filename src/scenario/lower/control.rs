//! istiod: what events do to it, and what its parameters may not be.
//!
//! Source: `plan::timeline`, `plan::parameter`.
//! Left out: replicas by their names.

use super::super::document::{At, Node};
use super::super::merge::BEGIN;
use super::super::target::CONTROL_PLANE;
use super::Lower;
use super::action::{Done, of};
use crate::kernel::time::Duration;
use crate::plan::parameter::Value as _;
use crate::plan::timeline::{Action, ControlPart};

/// No stream is ended sooner for its age: it would be opened again and again.
const AGE_MIN: Duration = Duration::from_s(1);

/// Parameters that contradict each other: which they are, how, and what comes of it.
type Odd<'k> = ([(&'k str, &'k str); 2], String, &'k str);

impl Lower<'_, '_, '_> {
    pub(super) fn fail_control(&mut self, table: &Node, at: At, part: ControlPart) -> Done {
        let share = self.share_above_zero(table)?;
        if !self.parameters.istiod.present {
            if table.text("target") == Some(CONTROL_PLANE) {
                // A scenario of several meshes, of which one is none.
                let label = "there is no control plane that could fail".to_owned();
                return Some((Action::FailControlPlane { part, share }, label));
            }
            let what = format!("the profile `{}` has no istiod", self.profile);
            self.report(at, what, "`control_plane` is that of any mesh, or nothing without one");
            return None;
        }
        let what = self.part_words(part);
        let label = format!("{}{what} fails", of(share));
        Some((Action::FailControlPlane { part, share }, label))
    }

    /// What istiod may not be: each with the key that is wrong.
    pub(super) fn istiod_can_be(&mut self) {
        let (istiod, xds) = (&self.parameters.istiod, &self.parameters.xds);
        let mut wrong: Vec<(&str, &str, String, &str)> = Vec::new();
        if istiod.memory_limit.0 != 0 && istiod.memory_limit <= istiod.memory_base {
            let what = format!(
                "istiod may have {} of memory and needs {} without any proxy",
                istiod.memory_limit.text(),
                istiod.memory_base.text()
            );
            let hint = "it would be killed at its first stream, for ever; 0 is no limit";
            wrong.push(("istiod", "memory_limit", what, hint));
        }
        if istiod.replicas_max != 0 {
            if istiod.replicas_max < istiod.replicas_min || istiod.replicas_min == 0 {
                let (least, most) = (istiod.replicas_min, istiod.replicas_max);
                let what = format!("an autoscaler between {least} and {most} replicas");
                wrong.push(("istiod", "replicas_min", what, "at least 1, at most `replicas_max`"));
            }
            if istiod.replicas_max < istiod.replicas {
                let (count, most) = (istiod.replicas, istiod.replicas_max);
                let what = format!("istiod begins with {count} replicas and may have {most}");
                wrong.push((
                    "istiod",
                    "replicas",
                    what,
                    "raise `replicas_max`, or begin with less",
                ));
            }
            if istiod.cpu_request == 0 || istiod.scale_target <= 0.0 {
                let what = "an autoscaler that aims at no CPU at all".to_owned();
                wrong.push(("istiod", "cpu_request", what, "the chart's are 500 and 80 %"));
            }
        }
        let age = xds.max_connection_age;
        if !age.is_zero() && age < AGE_MIN && self.linkerd.is_none() {
            let what = format!("streams that end after {age}");
            wrong.push(("xds", "max_connection_age", what, "at least 1s; 0 is no limit"));
        }
        for (group, key, what, hint) in wrong {
            let mesh = self.root.get("mesh").and_then(|mesh| mesh.get(group));
            let at = mesh.and_then(|group| group.get(key)).map_or(BEGIN, |node| node.at);
            self.report(at, what, hint);
        }
    }

    /// istiod gets slow, follows the API server no more, or pushes everything.
    pub(super) fn disturb_control(&mut self, table: &Node, at: At, does: &str) -> Done {
        if !self.parameters.istiod.present {
            let what = format!("the profile `{}` has no istiod", self.profile);
            self.report(at, what, "an event on it would do nothing");
            return None;
        }
        let share = self.share_above_zero(table)?;
        if does == "slow" && table.get("factor").and_then(Node::number)? <= 0.0 {
            self.report(
                table.at,
                "istiod that takes no time",
                "a factor of 10 is ten times as slow",
            );
            return None;
        }
        Some(match does {
            "slow" => {
                let factor = table.get("factor").and_then(Node::number)?;
                let label = format!("{}istiod is {factor} times as slow", of(share));
                (Action::SlowControlPlane { share, factor }, label)
            }
            "freeze" if self.linkerd.is_some() => {
                let label = format!("{}Linkerd's destination sends nothing more", of(share));
                (Action::FreezeControlPlane { share }, label)
            }
            "freeze" => {
                let label = format!("{}istiod follows the API server no more", of(share));
                (Action::FreezeControlPlane { share }, label)
            }
            _ => (Action::PushAll, "istiod pushes everything".to_owned()),
        })
    }

    /// Parameters of the mesh that contradict each other, and are taken by Istio all the same.
    ///
    /// Source: Istio's `debounce.go` (`eventDelay >= opts.DebounceMax` is looked at when the quiet time is over),
    /// `security/pkg/pki/ca/ca.go` (`TTL_ERROR`), `generate_cert.go`, `nodeagent/cache/secretcache.go` (`rotateTime`).
    pub(super) fn parameters_at_odds(&mut self) {
        if !self.parameters.istiod.present {
            return;
        }
        let (cert, root, xds) =
            (&self.parameters.cert, &self.parameters.root, &self.parameters.xds);
        let mut odd: Vec<Odd<'_>> = Vec::new();
        if xds.debounce_max < xds.debounce_after {
            let (after, max) = (xds.debounce_after.text(), xds.debounce_max.text());
            let what = format!("istiod waits {after} for quiet, and {max} at most");
            let hint = "`debounce_max` is looked at when `debounce_after` is over: each push waits that long";
            odd.push(([("xds", "debounce_after"), ("xds", "debounce_max")], what, hint));
        }
        if cert.max_ttl < cert.ttl {
            let (ttl, max) = (cert.ttl.text(), cert.max_ttl.text());
            let what = format!("agents ask for {ttl} and istiod signs {max} at most");
            let hint = "it refuses each request (TTL_ERROR): no proxy gets a certificate";
            odd.push(([("cert", "ttl"), ("cert", "max_ttl")], what, hint));
        }
        if root.ttl < cert.ttl && !root.check.is_zero() {
            let what =
                format!("a root of {} for certificates of {}", root.ttl.text(), cert.ttl.text());
            let hint = if cert.clamp_to_signer {
                "`clamp_to_signer`: each certificate ends with the root that signed it"
            } else {
                "nobody accepts a certificate when the root that signed it is over"
            };
            odd.push(([("root", "ttl"), ("cert", "ttl")], what, hint));
        }
        if cert.grace_ratio <= 0.0 {
            let what = "certificates are renewed at their end".to_owned();
            let hint = "with `grace_ratio` = 0 none is left for a renewal: proxies are without a \
                        certificate for as long as it takes";
            odd.push(([("cert", "grace_ratio"); 2], what, hint));
        }
        for (keys, what, hint) in odd {
            let mesh = self.root.get("mesh");
            let entries = keys.iter().filter_map(|(of, key)| mesh?.get(of)?.entry(key));
            let at = entries.map(|entry| entry.at).next();
            self.warn(at.or(mesh.map(|mesh| mesh.at)).unwrap_or(BEGIN), what, hint);
        }
    }
}
