//! istiod: what events do to it, and what its parameters may not be.
//!
//! Source: `plan::timeline`, `plan::parameter`.
//! Left out: replicas by their names.

use super::super::document::{At, Node};
use super::super::merge::BEGIN;
use super::Lower;
use super::action::{Done, of};
use crate::kernel::time::Duration;
use crate::plan::parameter::Value as _;
use crate::plan::timeline::{Action, ControlPart};

/// No stream is ended sooner for its age: it would be opened again and again.
const AGE_MIN: Duration = Duration::from_s(1);

impl Lower<'_, '_, '_> {
    pub(super) fn fail_control(&mut self, table: &Node, at: At, part: ControlPart) -> Done {
        if !self.parameters.istiod.present {
            let what = format!("the profile `{}` has no istiod", self.profile);
            self.report(at, what, "an event on it would do nothing");
            return None;
        }
        let share = self.share_above_zero(table)?;
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
}
