//! Linkerd's codes: name, severity, why it matters when something fails, what helps.
//!
//! Source: our own list; what a proxy answers is from linkerd2 and linkerd2-proxy, as
//! [`crate::manifest::linkerd`] names them.
//! Left out: what reading tells already (misspelt annotations, objects that admission refuses).

use crate::manifest::lint::Severity::{self, Error, Info, Warning};

/// Code, name, severity, why, fix.
type Code = (&'static str, &'static str, Severity, &'static str, &'static str);

/// What a code means: name, severity, why, fix.
pub fn of(code: &str) -> (&'static str, Severity, &'static str, &'static str) {
    let found = CODES.iter().find(|(known, ..)| *known == code);
    found.map_or(("Unknown", Info, "", ""), |(_, name, severity, why, fix)| {
        (*name, *severity, *why, *fix)
    })
}

/// All codes, in order.
pub const CODES: &[Code] = &[
    (
        "L5D001",
        "RouteHiddenByProfile",
        Warning,
        "the route never applies: moving its weights in an incident moves nothing",
        "delete the ServiceProfile or TrafficSplit, or move its rules into the route",
    ),
    (
        "L5D002",
        "PolicyHiddenByProfile",
        Warning,
        "the Service's timeouts, retries and circuit breaking are off while the profile exists",
        "delete the ServiceProfile, or set timeouts and retries in it",
    ),
    (
        "L5D003",
        "BackendNotFound",
        Error,
        "its share of the requests gets 500 from the client's proxy",
        "create the Service, or correct the name or namespace",
    ),
    (
        "L5D004",
        "BackendPortNotFound",
        Error,
        "Linkerd calls the pods at their own port of that number: where they do not listen, the share \
         goes to the others, or everything gets 503",
        "use a port that the Service has",
    ),
    (
        "L5D005",
        "AllWeightsZero",
        Error,
        "the client's proxy panics while it builds the Service's routes",
        "leave one weight above zero",
    ),
    (
        "L5D006",
        "SingleBackendWeightZero",
        Warning,
        "a single backend gets all requests, whatever its weight: this does not drain it",
        "remove the backend, or add the one that shall take over",
    ),
    (
        "L5D007",
        "RouteDropped",
        Error,
        "Linkerd drops the whole route: its matches, weights and timeouts are gone at once",
        "remove the filter",
    ),
    (
        "L5D008",
        "RouteFieldIgnored",
        Warning,
        "without the limit, requests wait for a hung server until the client gives up",
        "annotate the route: timeout.linkerd.io/request, retry.linkerd.io/http",
    ),
    (
        "L5D009",
        "BackendNamespaceIsParents",
        Warning,
        "Linkerd looks in the parent's namespace, the Gateway API in the route's: a move to another \
         mesh changes where requests go",
        "write the backend's namespace",
    ),
    (
        "L5D010",
        "GrpcHidesHttp",
        Error,
        "HTTP routes of the port are ignored, and plain HTTP requests get 404",
        "use GRPCRoutes or HTTPRoutes for one port, not both",
    ),
    (
        "L5D011",
        "ServerSelectsNothing",
        Warning,
        "a Server that selects no port protects nothing: the default policy holds",
        "correct podSelector or port",
    ),
    (
        "L5D012",
        "ServersOverlap",
        Error,
        "which one counts is not defined, and may change when the policy controller restarts",
        "make the selectors disjoint",
    ),
    (
        "L5D013",
        "AuthorizationWithoutTarget",
        Error,
        "it admits nobody: clients that it was written for get 403",
        "correct targetRef, or create the Server or route",
    ),
    (
        "L5D014",
        "AuthenticationNotFound",
        Error,
        "the whole authorization is ignored: its clients get 403",
        "create what it refers to, or correct the name",
    ),
    (
        "L5D015",
        "ServerAdmitsNobody",
        Warning,
        "every request to the port gets 403",
        "add an AuthorizationPolicy, or set accessPolicy",
    ),
    (
        "L5D016",
        "ProbeWithoutRoute",
        Error,
        "with routes bound to the Server, probes are no longer let in by themselves: pods never \
         become ready, and a rollout takes the service down",
        "add a route for the probe's path and admit the kubelet's network",
    ),
    (
        "L5D017",
        "PolicyOnSkippedPort",
        Warning,
        "the port is served past the proxy: nobody is refused there",
        "take the port out of skip-inbound-ports",
    ),
    (
        "L5D018",
        "InjectorFailsClosed",
        Error,
        "when its only pod is away, no pod can be made in the cluster, not even its own successor \
         where its namespace is not exempt",
        "run three replicas, or set failurePolicy: Ignore",
    ),
    (
        "L5D019",
        "ControlPlaneSingleReplica",
        Warning,
        "one lost node stops discovery, certificates or injection until the pod runs elsewhere",
        "run three replicas (the high-availability values)",
    ),
    (
        "L5D020",
        "OpaquePortMissing",
        Warning,
        "the server speaks first: the proxy waits 10 s for the client's bytes on each connection",
        "annotate the Service with config.linkerd.io/opaque-ports",
    ),
    (
        "L5D021",
        "RouteOnOpaquePort",
        Warning,
        "the port is opaque bytes: HTTP routes, timeouts and retries do not apply",
        "take the port out of opaque-ports, or set its appProtocol to http",
    ),
    (
        "L5D022",
        "RetriesWithoutBudget",
        Warning,
        "in an outage every request is sent several times: retries by annotation have no budget",
        "lower retry.linkerd.io/limit to 1, or retry at one hop only",
    ),
    (
        "L5D023",
        "RateLimitWithoutServer",
        Error,
        "nothing is limited",
        "correct targetRef, or create the Server",
    ),
    (
        "L5D024",
        "ProfileWithoutService",
        Warning,
        "nobody reads it: its retries and timeouts do not exist",
        "name it <service>.<namespace>.svc.<cluster domain>, in the service's or client's namespace",
    ),
    (
        "L5D025",
        "TrafficTargetUnread",
        Warning,
        "Linkerd does not read TrafficTargets: nothing is protected",
        "write Servers and AuthorizationPolicies",
    ),
    (
        "L5D026",
        "SplitMatchesIgnored",
        Warning,
        "all requests are split, not only those that match: a canary gets everybody",
        "use an HTTPRoute with matches",
    ),
    (
        "L5D027",
        "BreakingNotUsed",
        Info,
        "circuit breaking is the called Service's: through another Service's route this one's is off",
        "annotate the Service that clients call",
    ),
    (
        "L5D028",
        "RouteOnUnroutableService",
        Warning,
        "clients connect to pods or to an outside name: no route applies",
        "give the Service a cluster IP",
    ),
    (
        "L5D029",
        "UnknownAppProtocol",
        Warning,
        "Linkerd takes it for opaque bytes: no HTTP metrics, retries, timeouts or routes",
        "use http, kubernetes.io/h2c, or leave it out",
    ),
    (
        "L5D030",
        "ParentNotFound",
        Warning,
        "the route is bound to nothing: requests go on as if it did not exist",
        "correct parentRefs: name, namespace, port",
    ),
    (
        "L5D031",
        "EgressParentWithoutPort",
        Error,
        "Linkerd's admission webhook refuses the route",
        "name the port in parentRefs",
    ),
    (
        "L5D032",
        "DeniedByDefault",
        Warning,
        "no Server selects the port and the default policy denies: every request gets 403",
        "add a Server with an authorization",
    ),
    (
        "L5D033",
        "FailoverWithoutSecondary",
        Warning,
        "when the primary has no ready endpoint, nothing takes over",
        "add a second backend",
    ),
    (
        "L5D034",
        "BreakingEmptiesService",
        Warning,
        "circuit breaking takes the only endpoint out: all requests fail until its penalty is over",
        "run more replicas, or leave failure-accrual off",
    ),
    (
        "L5D035",
        "RetryNeverHappens",
        Warning,
        "the request's timeout is over before the first try's: a hung pod is never tried around",
        "make retry.linkerd.io/timeout shorter than the request's timeout",
    ),
    (
        "L5D036",
        "RetryWithoutCondition",
        Warning,
        "no answer is retried, only refused streams and tries that time out",
        "annotate retry.linkerd.io/http or retry.linkerd.io/grpc",
    ),
];
