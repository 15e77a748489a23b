//! Endpoints that are written down: Endpoints and `EndpointSlices`.
//!
//! Source: core/v1 Endpoints; discovery/v1 EndpointSlice (a slice belongs to the service that its label
//! `kubernetes.io/service-name` names; nil conditions count as ready).
//! Left out: topology hints.

use crate::manifest::reader::Reader;
use crate::manifest::source::At;

/// Addresses with the ports that they all have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoints {
    /// The addresses.
    pub addresses: Vec<Address>,
    /// Name and number of each port.
    pub ports: Vec<(String, Option<u16>)>,
    /// Where the set is.
    pub at: At,
}

/// One address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// IP address or host name.
    pub address: String,
    /// Whether it takes requests.
    pub is_ready: bool,
    /// The pod behind it, if told.
    pub pod: Option<String>,
    /// Its zone, if told.
    pub zone: Option<String>,
}

/// How many ready addresses there are.
pub fn ready_count(sets: &[Endpoints]) -> u32 {
    let ready = sets.iter().flat_map(|set| &set.addresses).filter(|address| address.is_ready);
    u32::try_from(ready.count()).unwrap_or(u32::MAX)
}

/// Reads the subsets of an Endpoints object.
pub fn read_endpoints(reader: &mut Reader<'_, '_>) -> Vec<Endpoints> {
    reader.list("subsets", |subset| {
        let mut addresses = subset.list("addresses", |r| read_address(r, true));
        addresses.extend(subset.list("notReadyAddresses", |r| read_address(r, false)));
        let ports = subset.list("ports", read_port);
        let addresses = addresses.into_iter().flatten().collect();
        Endpoints { addresses, ports, at: subset.at() }
    })
}

/// Reads an EndpointSlice.
pub fn read_slice(reader: &mut Reader<'_, '_>) -> Endpoints {
    reader.pass(&["addressType"]);
    let mut addresses = Vec::new();
    reader.list("endpoints", |endpoint| {
        let ready = endpoint.map("conditions", |conditions| {
            conditions.pass(&["serving", "terminating"]);
            conditions.bool("ready")
        });
        let is_ready = ready.flatten().unwrap_or(true);
        let (zone, pod) = (endpoint.text("zone"), read_target(endpoint));
        endpoint.pass(&["hostname", "nodeName", "hints", "deprecatedTopology"]);
        for address in endpoint.texts("addresses") {
            let (zone, pod) = (zone.clone(), pod.clone());
            addresses.push(Address { address, is_ready, pod, zone });
        }
    });
    let ports = reader.list("ports", read_port);
    Endpoints { addresses, ports, at: reader.at() }
}

fn read_address(reader: &mut Reader<'_, '_>, is_ready: bool) -> Option<Address> {
    reader.pass(&["hostname", "nodeName"]);
    let pod = read_target(reader);
    Some(Address { address: reader.needed_text("ip")?, is_ready, pod, zone: None })
}

fn read_target(reader: &mut Reader<'_, '_>) -> Option<String> {
    let target = reader.map("targetRef", |target| {
        target.pass(&["apiVersion", "kind", "namespace", "uid", "resourceVersion", "fieldPath"]);
        target.text("name")
    });
    target.flatten()
}

fn read_port(reader: &mut Reader<'_, '_>) -> (String, Option<u16>) {
    reader.pass(&["protocol", "appProtocol"]);
    (reader.text("name").unwrap_or_default(), reader.port("port"))
}
