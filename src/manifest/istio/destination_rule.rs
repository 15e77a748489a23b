//! `DestinationRule`: subsets of a host and how traffic to them is treated.
//!
//! Source: Istio API `networking/v1/destination_rule.proto`; istio/istio
//! `pkg/config/validation/validation.go` (`ValidateDestinationRule`, `validateSubset`).
//! Left out: nothing but what `traffic_policy` leaves out.

use crate::manifest::istio::check;
use crate::manifest::istio::meta::{ExportTo, Head};
use crate::manifest::istio::traffic_policy::TrafficPolicy;
use crate::manifest::object::Labels;
use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;

/// Policies and subsets of a host.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DestinationRule {
    /// Who it is.
    pub head: Head,
    /// The host, as written.
    pub host: Option<Word>,
    /// The policy for the host.
    pub policy: Option<TrafficPolicy>,
    /// Its subsets.
    pub subsets: Vec<Subset>,
    /// Labels of the clients for which it counts; none: all.
    pub workload_selector: Option<Labels>,
    /// Who sees it.
    pub export_to: ExportTo,
}

/// A part of a host's endpoints.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Subset {
    /// Where it stands.
    pub at: At,
    /// Its name.
    pub name: String,
    /// Labels of its pods.
    pub labels: Labels,
    /// Its own policy, over the host's.
    pub policy: Option<TrafficPolicy>,
}

impl DestinationRule {
    /// Reads `spec`.
    pub fn read(reader: &mut Reader<'_, '_>, head: Head) -> Self {
        let host = reader.word("host").filter(|word| !word.text.is_empty());
        match &host {
            Some(host) => check::host(reader, host, true),
            None => reader.missing("host"),
        }
        let subsets: Vec<Subset> = reader.list("subsets", Subset::read);
        for (index, subset) in subsets.iter().enumerate() {
            if subsets[..index].iter().any(|other| other.name == subset.name) {
                reader.problem(subset.at, format!("subset `{}` is given twice", subset.name), "");
            }
        }
        let policy = reader.map("trafficPolicy", TrafficPolicy::read);
        let workload_selector = check::selector_labels(reader, "workloadSelector", "matchLabels");
        let export_to = ExportTo::read(reader, &head.namespace);
        Self { head, host, policy, subsets, workload_selector, export_to }
    }
}

impl Subset {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        let name = reader.word("name");
        match &name {
            None => reader.missing("name"),
            Some(word) if !check::is_label(&word.text) => {
                reader.problem(word.at, format!("subset name is invalid: `{}`", word.text), "");
            }
            Some(_) => {}
        }
        Self {
            at: reader.at(),
            name: name.map(|word| word.text).unwrap_or_default(),
            labels: reader.labels("labels"),
            policy: reader.map("trafficPolicy", TrafficPolicy::read),
        }
    }
}
