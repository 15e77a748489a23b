//! The tests of the whole, in one binary. What belongs where:

/// Admission control of a proxy.
#[cfg(feature = "native")]
mod admission;
/// Meshes without sidecars.
#[cfg(feature = "native")]
mod ambient;
/// Configuration as it arrives: clusters, endpoints, listeners, routes.
#[cfg(feature = "native")]
mod arrival;
mod asked;
/// Weights, health, priorities, places, slow start and hashes against shares measured on Envoy.
#[cfg(feature = "native")]
mod balancing;
/// The world against rules measured on Envoy and read in Istio and Kubernetes.
#[cfg(feature = "native")]
mod behaviour;
/// Manifests that are applied, deleted and patched at a time.
#[cfg(feature = "native")]
mod brought;
/// Clients that apps have for their calls.
#[cfg(feature = "native")]
mod call_clients;
/// Apps that end their calls when their client has left.
#[cfg(feature = "native")]
mod cancelling;
/// What routes change of requests.
#[cfg(feature = "native")]
mod changes;
/// The command line: a command, its exit status and what it prints, a file a theme (`cli/*.trycmd`).
#[cfg(feature = "native")]
mod cli;
/// Clients that leave and send again.
#[cfg(feature = "native")]
mod clients;
/// Active health checks.
#[cfg(feature = "native")]
mod configuration;
/// istiod as a queueing system.
#[cfg(feature = "native")]
mod control_plane;
/// Hedged tries, and copies of requests.
#[cfg(feature = "native")]
mod copies;
/// A changed default is named by the comparison with a baseline.
#[cfg(feature = "native")]
mod deadlines;
mod defaults;
/// The same scenario is the same run; goldens of digests.
#[cfg(feature = "native")]
mod determinism;
/// Pages that are made: outputs in the docs, the page of parameters. `MESHSIM_BLESS=1` writes them.
#[cfg(feature = "native")]
mod docs;
/// Events that meet themselves and each other, and what is left of them; the mesh at an instant.
#[cfg(feature = "native")]
mod events;
/// Published experiments on retries and metastable failures (release only).
#[cfg(feature = "native")]
mod experiments;
/// Why requests fail, back to the root.
#[cfg(feature = "native")]
mod explained;
/// Filters of a gateway.
#[cfg(feature = "native")]
mod filters;
/// The dry run against the baselines.
#[cfg(feature = "native")]
mod forecast;
/// `meshsim route` against the Gateway API's conformance tests.
mod gateway_conformance;
/// Authorities, trust, clocks, and the decision table of handshakes from scenario text.
#[cfg(feature = "native")]
mod identity;
/// `meshsim import`: samples, traces, hints, and the text.
#[cfg(feature = "native")]
mod import;
/// Bookinfo with each of its networking files: the split that Istio's documentation promises.
#[cfg(feature = "native")]
mod import_bookinfo;
/// Sidecars that try their own apps again.
#[cfg(feature = "native")]
mod inbound;
mod istio_conformance;
/// The request path of Linkerd.
#[cfg(feature = "native")]
mod linkerd;
/// Linkerd's control plane: its parts, its streams.
#[cfg(feature = "native")]
mod linkerd_control;
/// Linkerd's certificates.
#[cfg(feature = "native")]
mod linkerd_identity;
/// Linkerd: who may call changes, and who has not been told.
#[cfg(feature = "native")]
mod linkerd_policy;
/// Splits, profiles, routes and limits of Linkerd.
#[cfg(feature = "native")]
mod linkerd_splits;
/// Random meshes of Linkerd.
#[cfg(feature = "native")]
mod linkerd_swarm;
/// What apps speak, in a mesh of Linkerd.
#[cfg(feature = "native")]
mod linkerd_wire;
/// Real manifests: `meshsim route` and `meshsim lint`.
#[cfg(feature = "native")]
mod manifests;
/// Scenarios that are laid over manifests.
#[cfg(feature = "native")]
mod manifests_in_scenarios;
/// Where features meet.
#[cfg(feature = "native")]
mod meetings;
/// What a mesh costs: published tables and proxies that take their app's cores.
#[cfg(feature = "native")]
mod mesh_overhead;
/// One scenario under several meshes, side by side.
#[cfg(feature = "native")]
mod meshes;
/// Relations between runs.
#[cfg(feature = "native")]
mod metamorphic;
/// Theory: the table of `meshsim oracle` holds (release only).
#[cfg(feature = "native")]
mod oracle;
/// Outages of the control plane, of Kubernetes and of identity that meet.
#[cfg(feature = "native")]
mod outages;
/// Overload of proxies.
#[cfg(feature = "native")]
mod overload;
/// Istio's numbers and releases, against the reference.
#[cfg(feature = "native")]
mod parameter_block;
/// Pods, probes, webhooks and controllers of Kubernetes.
#[cfg(feature = "native")]
mod pods;
/// How long connections live, and how long they take to open.
#[cfg(feature = "native")]
mod pools;
/// Global rate limits: a service counts for all proxies.
#[cfg(feature = "native")]
mod rate_limits;
/// Apps that do not answer as a whole, and proxies that send requests on.
#[cfg(feature = "native")]
mod replies;
/// What the headers of answers decide.
#[cfg(feature = "native")]
mod retries;
/// Sampled runs against runs of every request.
#[cfg(feature = "native")]
mod sampling;
/// Who speaks TLS with whom.
#[cfg(feature = "native")]
mod security;
/// CORS and buffers.
#[cfg(feature = "native")]
mod small_filters;
/// Subsets of a service.
#[cfg(feature = "native")]
mod subsets;
/// Random plans from a seed; only laws are checked.
#[cfg(feature = "native")]
mod swarm;
/// House rules: floors, sizes, heads, words; scenarios with what belongs to them.
mod tidy;
/// Service-account tokens, their reviews, istiod's own certificate.
#[cfg(feature = "native")]
mod tokens;
/// The simulator against what was measured on a real Envoy.
#[cfg(feature = "native")]
mod truth;
/// Small cases in the format of the measured ones, by Envoy's rules.
#[cfg(feature = "native")]
mod truth_cases;
mod truth_numbers;
/// Random cases in the format of the measured ones.
#[cfg(feature = "native")]
mod truth_swarm;

/// What shipped scenarios warn of.
#[cfg(feature = "native")]
mod warnings;
/// Waypoints: services of an ambient mesh that are called through a proxy.
#[cfg(feature = "native")]
mod waypoints;

/// Scenarios as text, runs, counts.
#[cfg(feature = "native")]
mod support;
/// The files of this repository.
mod tree;
