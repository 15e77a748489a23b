//! The closed set of events, in the order of a request's journey, then of the control plane, of
//! pods and of the scenario.
//!
//! An event is a kind and a slot. Kind codes are written constants: they are part of the digest
//! and of the ladder's names and never change their meaning.
//!
//! Source: ARCHITECTURE.md: one closed enum, one match.
//! Left out: payloads; what an event is about stands in its owner's record.

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $text:literal;)+) => {
        /// Something that happens at a time. The number names the owner's slot.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        // The compiler may use the written codes as its own, so that packing costs nothing.
        #[repr(u32)]
        pub(crate) enum Event { $($(#[doc = $doc])+ $name(u32) = $code,)+ }

        /// The names of the kinds, by code.
        pub const KIND_NAMES: &[&str] = &{
            let mut names = [""; 128];
            $(names[$code] = $text;)+
            names
        };

        impl Event {
            /// Kind and slot as the queue keeps them.
            #[inline]
            pub(crate) const fn pack(self) -> u32 {
                match self { $(Self::$name(slot) => ($code << SLOT_BITS) | slot,)+ }
            }

            /// What [`Event::pack`] made.
            #[inline]
            pub(crate) fn unpack(what: u32) -> Self {
                let slot = what & ((1 << SLOT_BITS) - 1);
                match what >> SLOT_BITS {
                    $($code => Self::$name(slot),)+
                    code => unreachable!("no event has kind {code}"),
                }
            }
        }
    };
}

/// Bits of a slot: 33 million owners of one kind at once.
pub(crate) const SLOT_BITS: u32 = 25;

/// The written code of a packed event's kind.
pub(crate) const fn kind(what: u32) -> u16 {
    (what >> SLOT_BITS) as u16
}

events! {
    /// A request's intended start, at a source of traffic.
    Arrive = 0, "arrive";
    /// A closed-loop user has thought.
    UserReturns = 1, "user-returns";
    /// The client proxy has done its work for a call's request.
    Routed = 2, "routed";
    /// A call's back-off is over.
    BackedOff = 3, "backed-off";
    /// An attempt's request reaches the endpoint.
    Reach = 4, "reach";
    /// The server proxy hands an attempt to the app.
    Enter = 5, "enter";
    /// The app has done a step of local work.
    Worked = 6, "worked";
    /// The next of those who share a pod's workers has done its work.
    Shared = 7, "shared";
    /// An attempt's answer reaches the client.
    Return = 8, "return";
    /// The client proxy has done its work for a call's answer.
    Answered = 9, "answered";
    /// The client learns that an attempt's connection is gone.
    Reset = 10, "reset";
    /// A call's route timeout.
    RouteTimeout = 11, "route-timeout";
    /// An attempt's per-try timeout.
    PerTryTimeout = 12, "per-try-timeout";
    /// A rare call of a request that is not simulated.
    RareCall = 13, "rare-call";
    /// The time that an app had for a call is over.
    Deadline = 60, "deadline";
    /// The rest of an attempt's answer reaches the client.
    Body = 14, "body";
    /// A proxy hears that the client of an attempt has left.
    Leave = 15, "leave";

    /// A connection was idle for so long that its server closes it.
    ServerIdle = 35, "server-idle";
    /// A client hears that its server has closed a connection.
    Fin = 44, "fin";

    /// A client has no answer in time, and leaves.
    ClientTimeout = 56, "client-timeout";
    /// A client sends again what failed.
    SendAgain = 57, "send-again";

    /// A connection's SYN reaches the endpoint.
    Syn = 16, "syn";
    /// A connection is ready at its client, or refused.
    Connected = 17, "connected";
    /// A connection was not ready in time.
    ConnectTimeout = 18, "connect-timeout";
    /// A connection was idle for long.
    IdleTimeout = 19, "idle-timeout";
    /// A connection is closed for its age, or for reasons outside the mesh.
    Churn = 20, "churn";
    /// The interval of an outlier detection.
    OutlierTick = 21, "outlier-tick";
    /// Changes of health that were merged are told to a proxy's balancers.
    HealthTold = 34, "health-told";
    /// A call's client has heard nothing for long.
    StreamIdle = 23, "stream-idle";
    /// A request that is not simulated would need a connection.
    Reopen = 22, "reopen";

    /// A proxy's certificate is to be renewed.
    Renew = 24, "renew";
    /// The CA has answered a proxy's request.
    Issued = 25, "issued";
    /// A proxy's certificate reaches its end.
    Expire = 26, "expire";
    /// A replica of istiod looks whether its self-signed root is due.
    RootCheck = 63, "root-check";
    /// A proxy tries to open its xDS stream.
    Stream = 27, "stream";
    /// The drain of a listener's old connections is over.
    DrainOver = 61, "drain-over";
    /// A proxy looks at its pressure, or at the idle connections of its clients.
    OverloadLook = 45, "overload-look";
    /// A proxy has waited long enough for the endpoints of a new cluster.
    FetchTimeout = 62, "fetch-timeout";
    /// A proxy's xDS stream has come to its age.
    StreamAge = 64, "stream-age";
    /// The keepalive of a proxy's xDS stream has had no answer.
    KeepAliveOver = 65, "keepalive-over";
    /// The chain of an authority that signs comes to its end.
    ChainEnd = 67, "chain-end";
    /// istiod's autoscaler looks at its load.
    Autoscale = 66, "autoscale";
    /// istiod admits a proxy's stream.
    Admitted = 28, "admitted";
    /// The control plane learns of a change.
    Watch = 29, "watch";
    /// A replica's debounce timer.
    Debounce = 30, "debounce";
    /// A replica has prepared a push.
    PushReady = 31, "push-ready";
    /// A proxy has its configuration.
    Pushed = 32, "pushed";
    /// A replica has its caches and serves.
    ReplicaReady = 33, "replica-ready";

    /// A deployment's ReplicaSet tries to create a pod.
    CreatePod = 36, "create-pod";
    /// A pod's containers start.
    Started = 37, "started";
    /// A pod becomes ready.
    Ready = 38, "ready";
    /// A pod's containers get SIGTERM.
    Sigterm = 39, "sigterm";
    /// A pod's proxy exits.
    ProxyExit = 40, "proxy-exit";
    /// A pod gets SIGKILL.
    Sigkill = 41, "sigkill";
    /// A node was silent for the grace period.
    NodeLost = 42, "node-lost";
    /// A lost node's pods are evicted.
    Evict = 43, "evict";

    /// A starting proxy was not ready in time.
    StartupFailed = 68, "startup-failed";
    /// A pod's app starts again.
    AppStart = 69, "app-start";
    /// A kubelet probes an app: twice the pod, and one more for liveness.
    Probe = 70, "probe";
    /// A kubelet has waited long enough for the answer to a probe.
    ProbeTimeout = 71, "probe-timeout";
    /// Evictions of a node that is drained are tried again.
    EvictAgain = 72, "evict-again";
    /// An autoscaler looks at its workload.
    ScaleWorkload = 73, "scale-workload";
    /// The API server has the webhook's answer, or waits no longer for it.
    Reviewed = 74, "reviewed";
    /// istiod's `ReplicaSet` tries to create its pods.
    CreateIstiod = 59, "create-istiod";

    /// A pod's service-account token reaches its end.
    TokenOver = 55, "token-over";
    /// A kubelet writes a pod's token that was due long ago.
    TokenRotated = 54, "token-rotated";
    /// The certificate with which a replica of istiod serves reaches its end.
    ServingOver = 47, "serving-over";

    /// A replica of Linkerd's identity finds another issuer in its secret.
    IssuerReload = 80, "issuer-reload";
    /// What `linkerd check` says of certificates changes.
    Check = 81, "check";

    /// A proxy's check of an endpoint's health begins or ends.
    HealthCheck = 46, "health-check";

    /// A connection has waited long enough for a pod of which its ztunnel does not know.
    WorkloadWait = 58, "workload-wait";

    /// Linkerd: a proxy has waited long enough for its first certificate to say so.
    BootWarning = 93, "boot-warning";

    /// Linkerd: the policy controller has another policy of a workload's port.
    PolicyWatch = 94, "policy-watch";
    /// Linkerd: a proxy is told who may call.
    PolicyTold = 95, "policy-told";

    /// Linkerd: who waits for an endpoint has waited for long.
    FailFast = 75, "fail-fast";
    /// Linkerd: an endpoint is connected to again, or has refused to be.
    Reconnect = 76, "reconnect";
    /// Linkerd: a proxy is told of a destination, or has asked for long.
    Lookup = 77, "lookup";
    /// Linkerd: an endpoint that was shut out may have a request.
    Probation = 78, "probation";
    /// Linkerd: nobody may have used a destination for long.
    Forget = 79, "forget";
    /// Linkerd: who waits for an app that speaks HTTP/2 has waited for long.
    AppFailFast = 87, "app-fail-fast";
    /// Linkerd: a proxy connects to its app again.
    AppConnect = 88, "app-connect";
    /// Linkerd: a client has said nothing for so long that its connection is one of bytes.
    Detected = 89, "detected";

    /// Linkerd: the failover extension's weights become those of a profile.
    Failover = 82, "failover";

    /// A timeline event begins.
    Begin = 48, "begin";
    /// A timeline event ends.
    End = 49, "end";
    /// A condition is looked at.
    Condition = 50, "condition";
    /// An interval of the series ends.
    Interval = 51, "interval";
    /// Gauges are read for assertions.
    ReadGauges = 52, "read-gauges";
    /// A sampled run goes on to its next lead-in, recorded stretch or gap.
    Window = 53, "window";
}

const _: () = assert!(size_of::<Event>() <= 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_unpacks_as_it_was_packed() {
        for event in [Event::Arrive(0), Event::Worked(33_554_431), Event::ReadGauges(7)] {
            assert_eq!(Event::unpack(event.pack()), event);
        }
        assert_eq!(KIND_NAMES[usize::from(kind(Event::Answered(1).pack()))], "answered");
    }
}
