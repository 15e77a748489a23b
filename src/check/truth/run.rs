//! A case from its configuration to its verdict.
//!
//! Source: the schema `envoy-lab/2`; the words of the verdicts are those of docs/results.md.
//! Left out: which seeds; they are the same for every case.

use super::alike::{alike, tell_apart};
use super::compare::compare;
use super::facts::Facts;
use super::lower::{Lowered, Lowering, lower};
use super::observe;
use super::races::undecided;
use super::schema::compare::Compare;
use super::schema::config::Config;
use super::schema::observed::Observed;
use super::schema::words::{HostKind, Lb, LoadKind};
use super::schema::{Case, Configs};
use crate::kernel::time::Duration;
use crate::world;
use crate::world::options::{Go, Options};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs of each configuration: enough that the sampling error of a share is well below its
/// tolerance, which allows for two or three repetitions.
const SEEDS: u64 = 12;
/// Where round robin may have started: as many places as two, three, four, six or twelve endpoints
/// can tell apart.
const STARTS: u32 = 12;
/// How late the back-off timers of the measured proxies fired: 1.4 to 2 ms, by the mean gaps between
/// attempts of family e02 (13.8 ms after a first try, where whole milliseconds from 0 to 24 are drawn).
const BACKOFF_LATE: Duration = Duration::from_us(1_400);
/// How late a connect timeout may have been: it fires with the next millisecond of the event loop.
const CONNECT_LATE: Duration = Duration::from_us(700);
/// More events than any case needs.
const EVENTS_MAX: u64 = 50_000_000;

/// Whether a simulation agrees with what was measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// It does.
    Pass,
    /// It does not.
    Fail,
    /// The case uses what the simulator does not have; nothing was compared.
    NotModelled,
}

impl Verdict {
    /// As the report spells it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotModelled => "not-modelled",
        }
    }
}

/// The verdict on a case with its reason; none if the case is no truth to compare with, and was run
/// all the same.
pub fn judge(case: &Case) -> Option<(Verdict, String)> {
    let parts: Vec<(&str, &Config, &[Observed])> = match &case.configs {
        Configs::One(config) => vec![("", config, &case.observed)],
        Configs::Variants(variants) => variants
            .iter()
            .zip(case.observed.chunks(1))
            .map(|((name, config), observed)| (name.as_str(), config, observed))
            .collect(),
    };
    let verdicts: Vec<(Verdict, String)> = parts
        .into_iter()
        .map(|(name, config, observed)| {
            let (verdict, reason) = judge_one(config, observed, case.compare.as_ref());
            let place = if name.is_empty() { String::new() } else { format!("{name}: ") };
            (verdict, if reason.is_empty() { reason } else { format!("{place}{reason}") })
        })
        .collect();
    case.compare.as_ref()?;
    Some(together(&verdicts))
}

/// Passes if each does; a failure is told before what is not modelled.
fn together(verdicts: &[(Verdict, String)]) -> (Verdict, String) {
    let of = |wanted: Verdict| -> Vec<&str> {
        let those = verdicts.iter().filter(|(verdict, _)| *verdict == wanted);
        those.map(|(_, reason)| reason.as_str()).collect()
    };
    for wanted in [Verdict::Fail, Verdict::NotModelled] {
        let reasons = of(wanted);
        if let Some(first) = reasons.first() {
            let more = match reasons.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            return (wanted, format!("{first}{more}"));
        }
    }
    (Verdict::Pass, of(Verdict::Pass).first().map_or(String::new(), |reason| (*reason).to_owned()))
}

fn judge_one(config: &Config, observed: &[Observed], rules: Option<&Compare>) -> (Verdict, String) {
    let lowered = lower(config);
    let mut gaps = rules.map(observe::gaps).unwrap_or_default();
    gaps.extend(rules.and_then(|rules| undecided(config, rules)));
    let simulated = match &lowered {
        Lowering::NotModelled(keys) => {
            gaps.extend(keys.iter().cloned());
            Vec::new()
        }
        Lowering::Rejected => vec![Facts::default()],
        Lowering::Plan(_) if !gaps.is_empty() => Vec::new(),
        Lowering::Plan(lowered) => match simulate(config, lowered, observed, Chance::default()) {
            Ok(simulated) => simulated,
            Err(why) => return (Verdict::Fail, why),
        },
    };
    if !gaps.is_empty() {
        return (Verdict::NotModelled, gaps.join(", "));
    }
    let Some(rules) = rules else { return (Verdict::Pass, String::new()) };
    let mut measured: Vec<Facts> = observed.iter().map(Facts::from).collect();
    let alike = alike(config);
    for facts in &mut measured {
        tell_apart(facts, &alike);
    }
    let differences = |mut simulated: Vec<Facts>| {
        for facts in &mut simulated {
            tell_apart(facts, &alike);
        }
        compare(rules, &measured, &simulated)
    };
    let found = differences(simulated);
    if found.is_empty() {
        return (Verdict::Pass, String::new());
    }
    if let Lowering::Plan(lowered) = &lowered {
        for chance in chances(config) {
            let played = simulate(config, lowered, observed, chance);
            if played.is_ok_and(|simulated| differences(simulated).is_empty()) {
                return (Verdict::Pass, String::new());
            }
        }
    }
    (Verdict::Fail, found.join("; "))
}

/// What chance did when a case was measured, and nobody wrote down.
#[derive(Clone, Copy, Default)]
struct Chance {
    /// Where Envoy drew that round robin starts; drawn for each seed if none.
    round_robin_start: Option<u32>,
    /// How late connect timeouts were.
    connect_late: Duration,
}

/// What chance may have done otherwise: each is the same for all seeds.
fn chances(config: &Config) -> Vec<Chance> {
    let starts = if takes_turns(config) { 0..STARTS } else { 0..0 };
    let starts = starts.map(|start| Chance { round_robin_start: Some(start), ..Chance::default() });
    let late = Chance { connect_late: CONNECT_LATE, ..Chance::default() };
    starts.chain(times_out(config).then_some(late)).collect()
}

/// Whether connect timeouts meet requests that come at a steady rate: which of both is first, when they
/// fall into one millisecond, is chance.
fn times_out(config: &Config) -> bool {
    config.hosts.iter().any(|host| host.behaviour.kind == HostKind::Blackhole)
        && config.load.iter().any(|load| load.kind == LoadKind::OpenLoop)
}

/// Whether a proxy takes several endpoints in turn.
fn takes_turns(config: &Config) -> bool {
    config.proxies.iter().flat_map(|proxy| &proxy.clusters).any(|cluster| {
        let endpoints = cluster.endpoints.as_ref().map_or(0, Vec::len);
        cluster.lb_policy == Lb::RoundRobin && 1 < endpoints
    })
}

/// The facts of every seed; a broken law, or a run that does not end, in words.
fn simulate(
    config: &Config,
    lowered: &Lowered,
    observed: &[Observed],
    chance: Chance,
) -> Result<Vec<Facts>, String> {
    let options = Options {
        access_log: true,
        max_events: Some(EVENTS_MAX),
        round_robin_start: chance.round_robin_start,
        backoff_late: BACKOFF_LATE,
        ..Options::default()
    };
    let mut plan = Cow::Borrowed(&lowered.plan);
    if !chance.connect_late.is_zero() {
        for cluster in &mut plan.to_mut().universe.clusters {
            cluster.policy.pool.connect_timeout += chance.connect_late;
        }
    }
    let one = |seed: u64| {
        let run = catch_unwind(AssertUnwindSafe(|| {
            world::simulate(&plan, seed, options, &mut |_| Go::On)
        }));
        let run = run.map_err(|_| format!("the run with seed {seed} broke a law"))?;
        match run.partial {
            Some(partial) => Err(format!("seed {seed}: {} after {}", partial.why, partial.at)),
            None => Ok(observe::facts(config, lowered, &run, observed)),
        }
    };
    (1..=SEEDS).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_never_hidden_by_what_is_not_modelled() {
        let part = |verdict, reason: &str| (verdict, reason.to_owned());
        let (pass, fail) = (part(Verdict::Pass, ""), part(Verdict::Fail, "x"));
        let lacking = part(Verdict::NotModelled, "k");
        let all = [lacking.clone(), fail.clone(), pass.clone(), fail.clone()];
        assert_eq!(together(&all), part(Verdict::Fail, "x (and 1 more)"));
        assert_eq!(together(&[pass.clone(), lacking.clone()]), lacking);
        assert_eq!(together(&[pass.clone(), pass.clone()]), pass);
    }
}
