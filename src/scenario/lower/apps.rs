//! Apps: how they fail and behave by themselves, and what events do to them.
//!
//! Source: `plan::universe`, `plan::timeline`.
//! Left out: apps that behave otherwise for some requests only, but for a share of errors.

use super::super::document::{At, Node, Value};
use super::Lower;
use super::action::{Done, percent, words};
use crate::kernel::time::Duration;
use crate::plan::behaviour::{Behaviour, Port, Reply};
use crate::plan::timeline::Action;
use crate::plan::universe::{Discipline, Errors};

impl Lower<'_, '_, '_> {
    /// What an event does to apps, and its label.
    pub(super) fn apps(&mut self, table: &Node, at: At, does: &str, name: &str) -> Done {
        let (service, workloads) = self.service_or_version(at, name)?;
        let what = words(name);
        Some(match does {
            "slow" => {
                let factor = table.get("factor").and_then(Node::number)?;
                if let Some(share) = table.get("share") {
                    let hint = "all pods of a service get slow; `share` is for istiod's replicas";
                    self.report(share.at, "`share` of a service that gets slow", hint);
                }
                (
                    Action::SlowApps { workloads, factor },
                    format!("{what} is {factor} times as slow"),
                )
            }
            "errors" => {
                let share = table.share("share").unwrap_or(1.0);
                let status = self.error_status(table);
                let label = format!("{} of {what}'s answers are {}", percent(share), status.code);
                (Action::AppErrors { workloads, share, status }, label)
            }
            "rollout" => (Action::Rollout(workloads), format!("{what} rolls out")),
            "behave" => {
                let behaviour = self.behaviour(table);
                let label = format!("{what} {}", behaviour.words());
                (Action::Behave { workloads, behaviour, errors: None, work: None }, label)
            }
            _ => {
                let &[workload] = &workloads[..] else {
                    let versions = self.versions(service).join(", ");
                    let hint = match self.counted.members(name).and_then(|mut all| all.next()) {
                        Some(first) => format!("say which one: {first}"),
                        None => format!("say which version: {versions}"),
                    };
                    self.report(at, format!("`{name}` has several workloads"), hint);
                    return None;
                };
                let replicas = table.count("replicas")?;
                let pods = if replicas == 1 { "pod" } else { "pods" };
                (
                    Action::Scale { workload, replicas },
                    format!("{what} scales to {replicas} {pods}"),
                )
            }
        })
    }

    /// Whether a workload says that of the calls that it makes: `cancels_calls`, or `deadlines`.
    pub(super) fn is_of_its_calls(&mut self, node: &Node, key: &str) -> bool {
        let Some(given) = node.get(key) else { return false };
        if node.list("calls").is_empty() {
            let hint = "local work is not interrupted: the key is for workloads with `calls`";
            self.report(given.at, format!("`{key}` where no call is made"), hint);
        }
        node.flag(key).unwrap_or(false)
    }

    /// The order of service of a workload, and whether its proxies take their time out of its workers.
    pub(super) fn discipline(&mut self, node: &Node) -> Discipline {
        let is_shared = node.text("discipline") == Some("ps");
        let shares = node.get("proxy_shares_cores").filter(|given| given.print() == "true");
        match shares {
            Some(given) if !is_shared => {
                let hint = "write discipline = \"ps\": an app and its proxy share cores with all who are present";
                self.report(given.at, "`proxy_shares_cores` where requests wait in line", hint);
                Discipline::Fifo
            }
            Some(_) => Discipline::SharedWithProxy,
            None if is_shared => Discipline::ProcessorSharing,
            None => Discipline::Fifo,
        }
    }

    /// The `behaviour` of a workload or an event; the usual one if there is none.
    pub(super) fn behaviour(&mut self, node: &Node) -> Behaviour {
        let Some(table) = node.get("behaviour") else { return Behaviour::default() };
        let after = table.duration("body_delay");
        let delay = after.unwrap_or(Duration::ZERO);
        let reply = match table.text("reply") {
            Some("slow_body") => Reply::SlowBody(delay),
            Some("headers_then_reset") => Reply::HeadersThenReset(delay),
            Some("closes") => Reply::Closes,
            Some("resets") => Reply::Resets,
            Some("never") => Reply::Never,
            _ => Reply::Whole,
        };
        let is_split = matches!(reply, Reply::SlowBody(_) | Reply::HeadersThenReset(_));
        match table.get("body_delay") {
            Some(given) if !is_split => {
                let hint = "reply = \"slow_body\" or \"headers_then_reset\" takes it";
                self.report(given.at, "`body_delay` without a body that is late", hint);
            }
            None if is_split => {
                let hint = "say how much later than the headers: body_delay = \"500ms\"";
                self.report(table.at, "`body_delay` is missing", hint);
            }
            _ => {}
        }
        Behaviour {
            port: match table.text("port") {
                Some("refuses") => Port::Refuses,
                Some("swallows") => Port::Swallows,
                _ => Port::Listens,
            },
            reply,
            has_body: is_split || table.flag("body").unwrap_or(false),
            closes: table.flag("connection_close").unwrap_or(false),
            check: super::health::check_reply(table),
            idle_close: table.duration("idle_close").unwrap_or(Duration::ZERO),
            connect_delay: table.duration("connect_delay").unwrap_or(Duration::ZERO),
            headers: self.reply_headers(table),
            status: None,
        }
    }

    /// The `errors` of a workload.
    pub(super) fn errors(&mut self, node: &Node) -> Errors {
        let never = Errors { share: 0.0, status: 500.into() };
        let Some(errors) = node.get("errors") else { return never };
        match errors.value {
            Value::Table(_) => Errors {
                share: errors.share("share").unwrap_or(0.0),
                status: self.error_status(errors),
            },
            _ => Errors { share: node.share("errors").unwrap_or(0.0), ..never },
        }
    }
}
