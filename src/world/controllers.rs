//! Linkerd's control plane while running: what its parts are called, which of them answer, and streams of
//! endpoints.
//!
//! It is four controllers in one: identity signs, destination tells endpoints and profiles, policy tells routes and
//! who may call, the proxy injector answers the API server. Each fails apart, and in replicas.
//!
//! Source: `model::linkerd::control`; linkerd2 controller/api/destination; linkerd2#11480 for a replica that sends nothing
//! more.
//! The n-th replica of destination and policy, which are one pod, stands on the n-th node, that of identity on the one
//! after it and that of the injector on the next: a node that is lost takes replicas of other numbers with it.
//! Left out: a third replica that waits for a third node, as the anti-affinity of `values-ha.yaml` would have it; what a
//! proxy's several streams have apart: it has one, which stands for them all.

use super::World;
use super::control::{CA, ControlPlane, INJECTOR, POLICY, Replica, XDS};
use super::event::Event;
use crate::kernel::stream::below;
use crate::kernel::time::{Duration, Time};
use crate::model::identity::retry::Law;
use crate::plan::Plan;
use crate::plan::linkerd::LinkerdControl;
use crate::plan::universe::NodeId;

/// The draws of a pod's lookups.
const DOMAIN: u32 = 12;
/// So many replicas in a row that are stuck are asked.
const TRIES_MAX: u32 = 32;

impl ControlPlane {
    /// Where a replica of a part stands. Destination and policy are one pod.
    pub(super) fn node_of(&self, replica: usize, part: usize) -> NodeId {
        let replica = &self.replicas[replica];
        match part {
            CA => replica.apart[0],
            INJECTOR => replica.apart[1],
            _ => replica.node,
        }
    }
}

impl World<'_> {
    /// Of the first replicas those whose CA does not run, whether of itself or with the rest.
    pub(super) fn without_identity(&self, count: usize) -> Vec<u32> {
        let is_away = |one: &Replica| one.down != 0 || one.parts_down[CA] != 0;
        let replicas = self.control.replicas[..count].iter().zip(0..);
        replicas.filter(|(one, _)| is_away(one)).map(|(_, index)| index).collect()
    }

    /// Linkerd's rules for streams; none in another mesh.
    fn stream_rules(&self) -> Option<&LinkerdControl> {
        self.plan.linkerd.as_deref().map(|own| &own.linkerd_control)
    }

    /// The name of a replica of a part.
    pub(super) fn controller(&self, part: usize, replica: u32) -> String {
        if self.plan.linkerd.is_none() {
            return format!("istiod-{replica}");
        }
        let part = match part {
            CA => "identity",
            INJECTOR => "proxy-injector",
            POLICY => "policy",
            _ => "destination",
        };
        format!("linkerd-{part}-{replica}")
    }

    /// Whether a replica has the streams that it had, and sends nothing.
    pub(super) fn is_stuck(&self, replica: u32) -> bool {
        self.plan.linkerd.is_some() && self.control.replicas[replica as usize].frozen != 0
    }

    /// A stream was opened to a replica that sends nothing: it is given up without a first update.
    pub(super) fn await_first_update(&mut self, index: u32) {
        let Some(rules) = self.stream_rules() else { return };
        let life = rules.stream_life();
        let wait = if rules.stream_initial.is_zero() { life } else { rules.stream_initial };
        if !wait.is_zero() {
            let ticket = self.queue.after(wait, Event::StreamAge(index).pack());
            self.pods[index as usize].stream_ticket = ticket;
        }
    }

    /// An update came: the silence after which the stream ends begins anew.
    pub(super) fn updated(&mut self, index: u32) {
        let Some(rules) = self.stream_rules() else { return };
        if rules.stream_idle.is_zero() || self.control.is_calm {
            return;
        }
        let silent = self.now.saturating_add(rules.stream_idle);
        let old = match rules.stream_lifetime {
            Duration::ZERO => Time::MAX,
            life => self.pods[index as usize].connected_since.saturating_add(life),
        };
        let at = silent.min(old.max(self.now));
        let pod = &mut self.pods[index as usize];
        pod.age.end_at(at);
        if at < self.end {
            pod.stream_ticket = self.queue.at(at, Event::StreamAge(index).pack());
        }
    }

    /// When a lookup of a destination that a pod's proxy asks for now is answered: both its profile and its policy
    /// must be. None: nobody answers, and it hangs until something changes.
    pub(crate) fn linkerd_can_discover(&self, pod: u32) -> Option<Time> {
        let told = self.lookup_answered(pod, XDS)?;
        Some(told.max(self.lookup_answered(pod, POLICY)?))
    }

    /// When a part answers a proxy that asks now. One that is stuck is given up for another.
    pub(super) fn lookup_answered(&self, pod: u32, part: usize) -> Option<Time> {
        let rules = self.stream_rules()?;
        let own = &self.pods[pod as usize];
        let all = 0..u32::try_from(self.control.replicas.len()).unwrap_or(0);
        let good: Vec<u32> = all
            .filter(|replica| {
                let to = self.control.replicas[*replica as usize].node;
                self.control.serves(*replica as usize, part)
                    && self.is_connected(own.node, to)
                    && self.trusts_controller(pod, *replica, part)
            })
            .collect();
        if good.is_empty() {
            return None;
        }
        let key = self.loop_key(pod, DOMAIN).child(u32::try_from(part).unwrap_or(0));
        let n = u32::try_from(self.now.ns() & 0xffff_ffff).unwrap_or(0);
        let mut at = self.now;
        for number in 0..TRIES_MAX {
            let draw = key.child(number).draw(0, n);
            let replica = good[below(draw, good.len())];
            if part != XDS || !self.is_stuck(replica) {
                let to = self.control.replicas[replica as usize].node;
                let way = self.one_way(own.node, to, draw) + self.one_way(to, own.node, draw);
                return Some(at.saturating_add(way));
            }
            if rules.stream_initial.is_zero() {
                return None;
            }
            at = at.saturating_add(rules.stream_initial + rules.backoff_min);
        }
        None
    }
}

/// How long a proxy waits for another stream.
pub(super) fn stream_law(plan: &Plan) -> Law {
    match &plan.linkerd {
        None => Law::stream(&plan.parameters.envoy_stream_backoff),
        Some(own) => Law::linkerd_stream(&own.linkerd_control.backoff()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{Go, Options};
    use super::*;
    use crate::scenario::{Files, load};

    struct Only(String);

    impl Files for Only {
        fn read(&self, _path: &str) -> Result<String, String> {
            Ok(self.0.clone())
        }
    }

    /// Three replicas of each controller, two pods with a proxy and one without.
    fn plan(mesh: &str, more: &str) -> Plan {
        let text = format!(
            "[scenario]\nduration = \"1h\"\n[mesh]\nprofile = \"linkerd\"\nlinkerd_control.replicas = 3\n{mesh}\n\
             [[service]]\nname = \"web\"\n[[service.workload]]\ntime = \"1ms\"\n\
             [[service]]\nname = \"api\"\n[[service.workload]]\ntime = \"1ms\"\n\
             [[service]]\nname = \"bare\"\nmeshed = false\n[[service.workload]]\ntime = \"1ms\"\n\
             [[traffic]]\nid = \"t\"\nfrom = \"bare\"\nto = \"bare\"\narrivals = {{ constant = \"1/h\" }}\n{more}"
        );
        match load(&Only(text), "test.toml", &[], None) {
            Ok(loaded) => loaded.plan,
            Err(problems) => panic!("{problems:?}"),
        }
    }

    fn event(rest: &str) -> String {
        format!("[[event]]\nid = \"e{}\"\nat = \"59m\"\n{rest}\n", rest.len())
    }

    /// The world at the end of a run, and the pods of `web`, `api` and `bare`.
    fn at_end<T>(plan: &Plan, ask: impl Fn(&World<'_>, [u32; 3]) -> T) -> T {
        let mut world = World::new(plan, 1, Options::default());
        let _whole = world.run(&mut |_| Go::On);
        let of = |name: &str| {
            let all = 0..u32::try_from(world.pods.len()).expect("few");
            all.into_iter().find(|pod| world.pod_name(*pod).starts_with(name)).expect("a pod")
        };
        let pods = ["web", "api", "bare"].map(of);
        ask(&world, pods)
    }

    /// How much later a lookup is answered that is asked at the end.
    fn answer(mesh: &str, more: &str) -> Option<Duration> {
        let plan = plan(mesh, more);
        at_end(&plan, |world, [web, ..]| Some(world.linkerd_can_discover(web)?.since(world.now)))
    }

    #[test]
    fn a_lookup_takes_both_profile_and_policy() {
        let down = |target: &str| event(&format!("do = \"fail\"\ntarget = \"{target}\""));
        let at_once = answer("", "").expect("all are up");
        assert!(at_once < Duration::from_ms(50), "{at_once}");
        for target in ["linkerd/destination", "linkerd/policy", "linkerd"] {
            assert_eq!(answer("", &down(target)), None, "{target}");
        }
        assert!(answer("", &down("linkerd/identity")).is_some());
        let one = event("do = \"fail\"\ntarget = \"linkerd/policy\"\nshare = \"34%\"");
        assert!(answer("", &one).is_some());
    }

    #[test]
    fn a_replica_that_is_stuck_is_given_up_for_another() {
        let stuck = |share: &str| {
            event(&format!(
                "do = \"freeze\"\ntarget = \"linkerd/destination\"\nshare = \"{share}\""
            ))
        };
        let late = answer("", &stuck("66%")).expect("one answers");
        let tries = late.as_s() / 3.1;
        assert!((tries - libm::floor(tries)) * 3.1 < 0.1, "{late}");
        assert_eq!(answer("", &stuck("100%")), None);
    }
}
