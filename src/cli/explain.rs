//! `meshsim explain`: why requests of a scenario fail, back to the root; or the state of every proxy
//! at a time.
//!
//! Source: istioctl's `proxy-status`; docs/results.md.
//! Left out: explaining from written results, which hold no states: the run is made again.

use super::interrupt::Interrupt;
use super::job::{self, Job, Settings};
use super::memory::Room;
use super::output::{Output, Trouble};
use super::progress::Progress;
use super::simulate::{self, Limits};
use super::{ExitStatus, Format};
use crate::kernel::time::Time;
use crate::observe::mesh_status::MeshStatus;
use crate::observe::run::Run;
use crate::plan::problem::Problem;
use crate::plan::profile::read_duration;
use crate::report::number::clock;
use crate::report::text::{classes, ended_early, explanation, mesh_status};
use clap::Args;
use serde_json::{Value, json};

/// What was typed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  meshsim explain scenarios/control-plane-outage.toml\n  meshsim explain \
                  scenarios/control-plane-outage.toml --at 14h --proxy reviews"
)]
pub(super) struct Typed {
    /// A scenario file
    #[arg(value_name = "FILE")]
    file: String,
    /// Show every proxy as it is at this time of the run, such as 14h, instead of the failures
    #[arg(long, value_name = "TIME", value_parser = read_at)]
    at: Option<Time>,
    /// Only pods with this in their name
    #[arg(long, value_name = "NAME", requires = "at")]
    proxy: Option<String>,
    /// Use this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Only this variant; all if not given
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Change a value of the scenario, such as service.reviews.v2.replicas=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Lay it over this YAML of a real mesh as well: a file, a folder, a pattern, or - for stdin
    #[arg(long, value_name = "PATH")]
    manifests: Vec<String>,
    /// Tell people, or print a line of JSON for each class of failures or each proxy
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let (sets, manifests) = (typed.sets.clone(), typed.manifests.clone());
    let settings = Settings { sets, manifests, seed: typed.seed, ..Settings::default() };
    let mut jobs = job::jobs(std::slice::from_ref(&typed.file), &settings)?;
    output.warn(&job::warnings(&jobs));
    typed.choose(&mut jobs)?;
    let room = Room::new(&jobs, None)?;
    let progress = Progress::new(output, Interrupt::listen()?, jobs.len() as u64);
    let limits = Limits { memory: room.each, ..Limits::default() };
    let mut status = ExitStatus::Success;
    let mut first = true;
    for job in &jobs {
        let run = simulate::explained(job, limits, typed.at, &progress);
        if let Some(early) = ended_early(&run) {
            status = ExitStatus::Environment;
            output.talk(&format!("{}: {early}\n", job.folder));
            if typed.at.is_some() && run.status.is_none() {
                // What was asked for is not there; nothing else is given for it.
                continue;
            }
        }
        match typed.format {
            Format::Human => {
                let blank = if std::mem::take(&mut first) { "" } else { "\n" };
                let text = typed.text(&run, output.has_color());
                output.data(format!("{blank}{text}").as_bytes())?;
            }
            Format::Json => typed.lines(&run).iter().try_for_each(|line| output.json(line))?,
        }
    }
    progress.end();
    Ok(status)
}

impl Typed {
    /// Leaves the jobs that are wanted, and looks whether there can be an answer.
    fn choose(&self, jobs: &mut Vec<Job>) -> Result<(), Vec<Problem>> {
        if let Some(name) = &self.variant {
            let all: Vec<_> = jobs.iter().filter_map(|job| job.plan.variant.clone()).collect();
            jobs.retain(|job| job.plan.variant.as_ref() == Some(name));
            if jobs.is_empty() {
                let hint = match all.as_slice() {
                    [] => "the scenario has no variants".to_owned(),
                    all => format!("there are {}", all.join(", ")),
                };
                let what = format!("{}: there is no variant `{name}`", self.file);
                return Err(vec![Problem::new(what).hint(hint)]);
            }
        }
        let too_late = |job: &&Job| self.at.is_some_and(|at| Time::ZERO + job.plan.duration < at);
        if let Some(job) = jobs.iter().find(too_late) {
            let end = clock(Time::ZERO + job.plan.duration);
            return Err(vec![
                Problem::new(format!(
                    "--at {}: the run ends at {end}",
                    clock(self.at.unwrap_or_default())
                ))
                .hint("give a time within the scenario's `duration`"),
            ]);
        }
        Ok(())
    }

    fn text(&self, run: &Run, color: bool) -> String {
        match &run.status {
            Some(status) => mesh_status(run, status, self.proxy.as_deref(), color),
            None => explanation(run, color),
        }
    }

    fn lines(&self, run: &Run) -> Vec<Value> {
        match &run.status {
            Some(status) => self.proxies(run, status),
            None => failures(run),
        }
    }

    fn proxies(&self, run: &Run, status: &MeshStatus) -> Vec<Value> {
        let wanted = |name: &str| self.proxy.as_ref().is_none_or(|wanted| name.contains(wanted));
        let told = status.proxies.iter().filter(|one| wanted(&one.name));
        told.map(|one| {
            let [cds, lds, eds, rds] = one.types.map(|sync| one.is_meshed.then(|| sync.word()));
            json!({
                "variant": run.variant, "at_s": status.at.as_s(), "name": one.name,
                "node": one.node, "pod": one.pod, "ready": format!("{}/{}", one.containers.0, one.containers.1),
                "proxy": one.is_meshed,
                "cds": cds, "lds": lds, "eds": eds, "rds": rds,
                "stale_s": one.stale_since.map(|since| status.at.saturating_since(since).as_s()),
                "istiod": one.istiod,
                "certificate_left_s": one.certificate.map(|one| one.not_after.as_s() - status.at.as_s()),
                "renewal_in_s": one.certificate.map(|one| one.renew_at.as_s() - status.at.as_s()),
                "because": one.cause.map(|cause| chain(run, cause)),
            })
        })
        .collect()
    }
}

fn failures(run: &Run) -> Vec<Value> {
    let classes = classes(run);
    let line = |class: &crate::report::text::FailureClass<'_>| {
        let row = class.row;
        json!({
            "variant": run.variant, "source": row.source, "destination": row.destination,
            "version": row.version, "status": row.outcome.status,
            "flags": row.outcome.flags.to_string(), "details": row.outcome.details.text(),
            "requests": row.count,
            "estimate": row.estimate, "because": row.cause.map(|cause| chain(run, cause)),
        })
    };
    classes.iter().map(line).collect()
}

fn chain(run: &Run, cause: crate::vocabulary::cause::CauseId) -> Vec<Value> {
    let links = run.causes.chain(cause).into_iter().map(|id| run.causes.get(id));
    links.map(|link| json!({ "what": link.what, "at_s": link.at.as_s() })).collect()
}

fn read_at(text: &str) -> Result<Time, String> {
    read_duration(text).map(|after| Time::ZERO + after)
}
