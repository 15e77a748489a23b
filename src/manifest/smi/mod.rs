//! The Service Mesh Interface: traffic splits, and who may call whom.
//!
//! [`split`] (`TrafficSplit` of all versions, and what linkerd-failover does with it) and [`access`]
//! (`HTTPRouteGroup`, `TrafficTarget`).
//! Source: smi-spec `apis/traffic-split`, `apis/traffic-specs`, `apis/traffic-access`; linkerd-smi
//! `pkg/adaptor/controller.go` (a split becomes the `dstOverrides` of a `ServiceProfile`).
//! Left out: `TrafficMetrics`; `TCPRoute` and `UDPRoute` have nothing to match on in a split.

use crate::manifest::findings::Findings;
use crate::manifest::kubernetes::Name;
use crate::manifest::object::Object;
use crate::manifest::reader;
use crate::manifest::source::Sources;
use std::collections::BTreeMap;

pub mod access;
pub mod split;

use access::{RouteGroup, TrafficTarget};
use split::TrafficSplit;

/// All that SMI's kinds tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Smi {
    /// Splits, in the order in which they would be applied.
    pub splits: Vec<TrafficSplit>,
    /// Groups of HTTP routes.
    pub groups: BTreeMap<Name, RouteGroup>,
    /// Who may call whom.
    pub targets: Vec<TrafficTarget>,
}

impl Smi {
    /// Reads all objects of SMI; findings go to `findings`.
    pub fn read(objects: &[Object], sources: &Sources, findings: &mut Findings) -> Self {
        let mut smi = Self::default();
        for object in objects {
            let name = (object.id.namespace.clone(), object.id.name.clone());
            match (object.id.group.as_str(), object.id.kind.as_str()) {
                ("split.smi-spec.io", "TrafficSplit") => {
                    let split =
                        reader::object(object, sources, findings, |r| split::read(object, r));
                    smi.splits.extend(split);
                }
                ("specs.smi-spec.io", "HTTPRouteGroup") => {
                    let group = reader::object(object, sources, findings, |r| {
                        access::read_group(object, r)
                    });
                    smi.groups.insert(name, group);
                }
                ("specs.smi-spec.io", kind) => {
                    let kind = format!("specs.smi-spec.io/{}/{kind}", object.version);
                    let why = "TCP and UDP routes of SMI match everything";
                    findings.not_modelled(sources, kind, object.at, why);
                }
                ("access.smi-spec.io", "TrafficTarget") => {
                    let target = reader::object(object, sources, findings, |r| {
                        access::read_target(object, r)
                    });
                    smi.targets.extend(target);
                }
                _ => {}
            }
        }
        smi
    }

    /// The split that counts for a service: of several, the one that was applied last.
    pub fn split_of(&self, namespace: &str, service: &str) -> Option<&TrafficSplit> {
        self.splits
            .iter()
            .rev()
            .find(|split| split.namespace == namespace && split.service_name() == service)
    }
}
