//! `meshsim new large`: the shape of what it writes, for many sizes and seeds.
//!
//! Everything is measured on the plan that the text becomes, not on what the generator thinks.

use super::{good, print, read};
use crate::plan::Plan;
use crate::plan::traffic::Arrivals;
use crate::plan::universe::{CallSite, Role, ServiceId, Step, Workload};
use crate::scenario::large::{DEPTH_MAX, Large};

/// (services, pods, depth).
const SIZES: [(u32, u32, u32); 12] = [
    (1, 1, 1),
    (2, 9, 2),
    (3, 3, 3),
    (5, 40, 1),
    (7, 7, 7),
    (12, 100, 2),
    (30, 200, 3),
    (64, 64, 64),
    (100, 2_800, 6),
    (100, 100, 10),
    (400, 11_200, 3),
    (1_000, 28_000, 6),
];

fn large(services: u32, pods: u32, depth: u32, seed: u64) -> Large {
    Large { services, pods, depth, rps: 100, seed }
}

fn text(wanted: &Large) -> String {
    wanted.text().unwrap_or_else(|problem| panic!("{problem}"))
}

/// A mesh as its plan has it; services and workloads are the same but for the gateway.
struct Mesh {
    plan: Plan,
}

impl Mesh {
    fn new(wanted: &Large) -> Self {
        Self { plan: good(&text(wanted)).plan }
    }

    fn services(&self) -> impl Iterator<Item = (ServiceId, &Workload)> {
        self.plan.universe.services.iter().zip(0..).map(|(service, index)| {
            let [workload] = service.workloads[..] else { panic!("one workload a service") };
            (ServiceId(index), &self.plan.universe.workloads[workload.index()])
        })
    }

    fn count(&self) -> usize {
        self.plan.universe.services.len()
    }

    fn calls(workload: &Workload) -> impl Iterator<Item = &CallSite> {
        workload.program.iter().flat_map(|step| match step {
            Step::Calls(calls) => &calls[..],
            Step::Work(_) | Step::Forward(_) | Step::Onward(_) => &[],
        })
    }

    /// By service: callers, the gateway not among them.
    fn callers(&self) -> Vec<usize> {
        let mut callers = vec![0; self.count()];
        for call in self.services().flat_map(|(_, workload)| Self::calls(workload)) {
            callers[call.to.index()] += 1;
        }
        callers
    }

    /// By service: root requests a second.
    fn roots(&self) -> Vec<f64> {
        let mut roots = vec![0.0; self.count()];
        for traffic in &self.plan.traffic {
            let Arrivals::OpenLoop { rate, .. } = &traffic.arrivals else { panic!("open loop") };
            roots[traffic.to.index()] += rate[0].per_s;
        }
        roots
    }

    /// What each service gives to those that it calls, round by round: the values and the rounds.
    fn down(&self, begin: Vec<f64>) -> (Vec<f64>, usize) {
        let (mut all, mut step, mut rounds) = (begin.clone(), begin, 0);
        while step.iter().any(|value| 0.0 < *value) {
            let mut next = vec![0.0; step.len()];
            for (id, workload) in self.services() {
                for call in Self::calls(workload) {
                    next[call.to.index()] += step[id.index()] * call.probability;
                }
            }
            all.iter_mut().zip(&next).for_each(|(all, next)| *all += next);
            (step, rounds) = (next, rounds + 1);
            assert!(rounds <= self.count(), "calls go round");
        }
        (all, rounds)
    }
}

#[test]
fn every_size_reads_and_has_what_was_asked_for() {
    for (services, pods, depth) in SIZES {
        for seed in 1..4 {
            let mesh = Mesh::new(&large(services, pods, depth, seed));
            let what = format!("{services} services, {pods} pods, depth {depth}, seed {seed}");
            assert_eq!(mesh.count(), services as usize, "{what}");
            let replicas: u32 = mesh.services().map(|(_, one)| one.replicas).sum();
            assert_eq!(replicas, pods, "{what}");
            assert!(mesh.services().all(|(_, one)| 1 <= one.replicas), "{what}");
            let (_, rounds) = mesh.down(mesh.roots());
            assert_eq!(rounds, depth as usize, "the longest chain: {what}");
            assert_eq!((mesh.plan.timeline.len(), mesh.plan.assertions.len()), (2, 3), "{what}");
        }
    }
}

#[test]
fn the_shares_of_entries_and_leaves_are_the_published_ones() {
    for (services, pods, depth) in SIZES.into_iter().filter(|size| 100 <= size.0) {
        let mesh = Mesh::new(&large(services, pods, depth, 5));
        let share = |count: usize| count as f64 / f64::from(services);
        let is_leaf = |(_, one): &(ServiceId, &Workload)| Mesh::calls(one).next().is_none();
        let entries = share(mesh.roots().iter().filter(|rate| 0.0 < **rate).count());
        let leaves = share(mesh.services().filter(is_leaf).count());
        assert!((entries - 0.13).abs() < 0.01, "{services} services: {entries} entries");
        assert!((leaves - 0.39).abs() < 0.01, "{services} services: {leaves} leaves");
        let entries_called = mesh.roots().into_iter().zip(mesh.callers());
        assert!(entries_called.into_iter().all(|(rate, callers)| (0.0 < rate) == (callers == 0)));
    }
}

#[test]
fn the_graph_is_like_a_tree_with_hot_spots_and_wider_than_deep() {
    for (services, pods, depth) in SIZES.into_iter().filter(|size| 100 <= size.0) {
        for seed in 1..6 {
            let mesh = Mesh::new(&large(services, pods, depth, seed));
            let called: Vec<usize> =
                mesh.callers().into_iter().filter(|callers| *callers != 0).collect();
            let few = called.iter().filter(|callers| **callers <= 2).count();
            assert!(0.75 <= few as f64 / called.len() as f64, "{services}: {few} of {called:?}");
            let most = *called.iter().max().unwrap_or(&0);
            assert!(services as usize / 4 <= most, "{services} services: {most} callers");
            let mut widest = vec![0; depth as usize];
            for level in mesh.levels() {
                widest[level] += 1;
            }
            assert!(depth < *widest.iter().max().unwrap_or(&0), "{services}: {widest:?}");
        }
    }
}

impl Mesh {
    /// By service: calls on the longest way to it.
    fn levels(&self) -> Vec<usize> {
        let mut levels = vec![0; self.count()];
        for _ in 0..self.count() {
            let before = levels.clone();
            for (id, workload) in self.services() {
                for call in Self::calls(workload) {
                    levels[call.to.index()] = levels[call.to.index()].max(levels[id.index()] + 1);
                }
            }
            if before == levels {
                break;
            }
        }
        levels
    }
}

#[test]
fn a_request_makes_about_fourteen_calls_and_few_services_get_most_of_them() {
    for (services, pods, depth) in SIZES.into_iter().filter(|size| 100 <= size.0) {
        for seed in 1..6 {
            let wanted = large(services, pods, depth, seed);
            let mesh = Mesh::new(&wanted);
            let (mut rates, _) = mesh.down(mesh.roots());
            let calls = rates.iter().sum::<f64>() / 100.0;
            assert!((10.0..=14.5).contains(&calls), "{services} services: {calls} calls");
            let text = text(&wanted);
            let told =
                text.split(" calls on average").next().and_then(|text| text.rsplit(' ').next());
            let told: f64 = told.expect("the head tells it").parse().expect("a number");
            assert!((told - calls).abs() < 0.1, "{told} calls are told, {calls} expected");
            rates.sort_by(f64::total_cmp);
            let top = |count: usize| rates.iter().rev().take(count).sum::<f64>() / calls / 100.0;
            assert!((0.1..=0.35).contains(&top(1)), "{services} services: {}", top(1));
            assert!((0.4..=0.75).contains(&top(10)), "{services} services: {}", top(10));
        }
    }
}

#[test]
fn pods_are_heavy_tailed_and_most_are_in_the_middle() {
    let mesh = Mesh::new(&large(1_000, 28_000, 6, 1));
    let mut replicas: Vec<u32> = mesh.services().map(|(_, one)| one.replicas).collect();
    replicas.sort_unstable();
    let (median, most) = (replicas[500], replicas[999]);
    assert!(median < 28 && 8 * median < most, "median {median}, most {most}");
    let middle: u32 = mesh
        .services()
        .filter(|(_, one)| one.name.starts_with("middle"))
        .map(|(_, one)| one.replicas)
        .sum();
    assert!((0.65..0.73).contains(&(f64::from(middle) / 28_000.0)), "{middle} of 28,000");
}

/// The time that requests hold workers, and proxies are busy, never reaches 60 % of what there is.
#[test]
fn nothing_is_overloaded_at_any_rate_that_is_accepted() {
    for rps in [1, 100, 5_000, 40_000] {
        let mesh = Mesh::new(&Large { rps, ..large(200, 5_600, 6, 3) });
        let (rates, _) = mesh.down(mesh.roots());
        // Answers come from the end of each chain: as many rounds as it has services.
        let mut held_s = vec![0.0; mesh.count()];
        for _ in 0..6 {
            for (id, workload) in mesh.services() {
                let steps = workload.program.iter().map(|step| match step {
                    Step::Work(work) => work.mean_ns() / 1e9,
                    Step::Forward(_) | Step::Onward(_) => panic!("no proxy"),
                    Step::Calls(calls) => {
                        let calls = calls
                            .iter()
                            .map(|call| call.probability * (1.31e-3 + held_s[call.to.index()]));
                        calls.sum::<f64>()
                    }
                });
                held_s[id.index()] = steps.sum();
            }
        }
        for (id, workload) in mesh.services() {
            let (rate, pods) = (rates[id.index()], f64::from(workload.replicas));
            let busy = rate * held_s[id.index()] / pods / f64::from(workload.station.workers);
            assert!(busy <= 0.6, "{rps} rps: {} is busy {busy}", workload.name);
            let made: f64 = Mesh::calls(workload).map(|call| call.probability).sum();
            let proxy = rate * (1.0 + made) * 200e-6 / pods / 2.0;
            assert!(proxy <= 0.45, "{rps} rps: the proxies of {} {proxy}", workload.name);
        }
        let [gateway] = mesh
            .plan
            .universe
            .workloads
            .iter()
            .filter(|one| one.role == Role::Gateway)
            .collect::<Vec<_>>()[..]
        else {
            panic!("one gateway")
        };
        assert!(f64::from(rps) * 200e-6 / f64::from(gateway.replicas) / 2.0 <= 0.45);
    }
}

#[test]
fn the_same_options_give_the_same_bytes_and_another_seed_does_not() {
    let one = large(100, 2_800, 6, 1);
    assert_eq!(text(&one), text(&one));
    assert_ne!(text(&one), text(&Large { seed: 2, ..one }));
    // The bytes themselves: they are the same on every machine.
    let hash = crate::kernel::stream::name_hash(&text(&one));
    assert_eq!(
        hash, 11_410_163_050_527_470_942,
        "a change of the generator: say so in the CHANGELOG"
    );
}

#[test]
fn one_service_is_told_of_as_one() {
    let text = text(&large(1, 1, 1, 1));
    for words in [
        "# 1 service in 1 pod answers every request",
        "makes 1 call on average",
        "100 % are entries, none call and are called, none are leaves",
        "callers: nobody is called",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let refused = |wanted: Large| wanted.text().expect_err("refused").what;
    assert_eq!(refused(large(10, 9, 3, 1)), "9 pods are too few for 10 services");
    assert_eq!(refused(large(10, 90, 11, 1)), "a chain of 11 services needs more than 10");
    let many = Large { pods: 1_000_001, ..large(10, 0, 3, 1) };
    assert_eq!(refused(many), "1000001 pods are too many");
    let busy = Large { rps: 1_000_000, ..large(10, 10, 3, 1) };
    assert_eq!(refused(busy), "1000000 requests a second are too many for 10 pods");
    assert!(large(DEPTH_MAX, 100, DEPTH_MAX, 1).text().is_ok());
}

/// A mesh of counted services: so many of so many pods.
fn counted(count: u32, replicas: u32) -> String {
    format!(
        "[scenario]\nduration = \"1h\"\n[[service]]\nname = \"s\"\ncount = {count}\n\
         [[service.workload]]\nreplicas = {replicas}\ntime = \"1ms\"\n\
         [[traffic]]\nid = \"t\"\nfrom = \"ingress\"\nto = \"s\"\narrivals = {{ poisson = \"1rps\" }}\n"
    )
}

#[test]
fn a_million_pods_are_allowed_beside_those_of_the_gateway() {
    let plan = good(&counted(10, 100_000)).plan;
    let pods: u32 = plan.universe.workloads.iter().map(|one| one.replicas).sum();
    assert!(1_000_000 < pods, "{pods}: the gateway has some too");
    // Before any of 100,000 services is written out.
    let problems = read(&counted(100_000, 20)).expect_err("too many");
    let [one] = &problems[..] else { panic!("{}", print(&problems)) };
    assert_eq!(one.what, "2000000 pods are too many");
}
