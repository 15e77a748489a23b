//! `meshsim run`: load, simulate, judge, write, tell.
//!
//! Source: docs/results.md.
//! Left out: working out what a run is (`job`), and running it (`simulate`).

use super::interrupt::Interrupt;
use super::job::{self, Job, Settings};
use super::memory::{self, Room, bytes};
use super::output::{Output, Trouble};
use super::progress::Progress;
use super::simulate::{self, Judged, Limits};
use super::{ExitStatus, Format, manifests, results, side_by_side};
use crate::kernel::time::Duration;
use crate::plan::problem::Problem;
use crate::plan::profile::read_duration;
use crate::report::text::story;
use crate::world::estimate::{self, Estimate};
use clap::Args;
use rayon::prelude::*;
use serde_json::json;
use std::path::PathBuf;

/// What was typed.
#[derive(Args)]
#[command(after_help = "Example:\n  meshsim run scenarios/control-plane-outage.toml --seed 7")]
pub(super) struct Typed {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Use this seed: another seed is another day with the same weather
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run so many seeds, counted up from the first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seeds: Option<u32>,
    /// Change a value of the scenario, such as service.reviews.v2.replicas=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Lay it over this YAML of a real mesh as well: a file, a folder, a pattern, or - for stdin
    #[arg(long, value_name = "PATH")]
    manifests: Vec<String>,
    /// Only these variants, besides the scenario as written; all if not given
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    variants: Option<Vec<String>>,
    /// Tell the scenario and its variants in one table, and draw them in one picture
    #[arg(long)]
    side_by_side: bool,
    /// Write the results below this folder
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// Tell a story, or print a line of JSON a run
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only say what the runs would take
    #[arg(long)]
    dry_run: bool,
    /// End a run that needs more memory, such as 2GB; else nine tenths of what is free
    #[arg(long, value_name = "BYTES", value_parser = read_bytes)]
    max_memory: Option<u64>,
    /// End a run after so many events, such as 2000000 or 2e6
    #[arg(long, value_name = "N", value_parser = read_events)]
    max_events: Option<u64>,
    /// End a run that takes longer on your clock, such as 10m
    #[arg(long, value_name = "TIME", value_parser = read_time)]
    max_time: Option<Duration>,
}

/// So many fields and kinds that are not simulated are told.
const IGNORED_TOLD: usize = 10;

/// What one job has to say.
struct Told {
    status: ExitStatus,
    text: String,
    talk: String,
    /// To be set beside others, if that was asked for.
    judged: Option<Judged>,
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let jobs = typed.jobs()?;
    if typed.side_by_side {
        side_by_side::check(&jobs)?;
    }
    output.warn(&job::warnings(&jobs));
    manifests::tell_ignored(&job::ignored(&jobs), IGNORED_TOLD, output);
    if typed.dry_run {
        return typed.estimate(&jobs, output);
    }
    let room = Room::new(&jobs, typed.max_memory)?;
    jobs.iter().try_for_each(|job| results::check(&typed.out.join(&job.folder)))?;
    let progress = Progress::new(output, Interrupt::listen()?, simulate::runs(&jobs));
    let one = |job| one(job, typed, room, &progress, output);
    let mut told: Vec<Result<Told, Trouble>> = room.work(|| jobs.par_iter().map(one).collect())?;
    progress.end();
    let judged = |told: &mut Result<Told, Trouble>| told.as_mut().ok()?.judged.take();
    let kept: Vec<Option<Judged>> = told.iter_mut().map(judged).collect();
    let status = tell(told, output)?;
    if typed.side_by_side {
        side_by_side::tell(&jobs, &kept, (&typed.out, typed.format), output)?;
    }
    Ok(status)
}

/// One job, from its plan to its files and what is to be told of it.
fn one(
    job: &Job,
    typed: &Typed,
    room: Room,
    progress: &Progress,
    output: Output,
) -> Result<Told, Trouble> {
    if progress.is_interrupted() {
        return Ok(Told::not_begun(job));
    }
    let judged = simulate::judged(job, typed.limits(room), progress);
    let folder = typed.out.join(&job.folder);
    results::write(&folder, &judged)?;
    let text = match typed.format {
        // One table says it all.
        Format::Human if typed.side_by_side => String::new(),
        Format::Human => story(&judged.run, &judged.judgements, output.has_color()),
        Format::Json => crate::report::json::line(&judged.summary()),
    };
    // That it ended early is told with the results; here only where that limit comes from.
    let is_out = judged.run.partial.is_some_and(|partial| partial.why == "max-memory");
    let origin = room.origin().filter(|_| is_out);
    let origin = origin.map_or(String::new(), |origin| format!("{}: {origin}\n", job.folder));
    let talk = format!("{origin}{}: results in {}\n", job.folder, folder.display());
    let status = judged.status();
    Ok(Told { status, text, talk, judged: typed.side_by_side.then_some(judged) })
}

/// Everything in the order of the jobs; the first trouble after all that went well.
fn tell(told: Vec<Result<Told, Trouble>>, output: Output) -> Result<ExitStatus, Trouble> {
    let (mut status, mut trouble) = (ExitStatus::Success, None);
    for told in told {
        match told {
            Ok(told) => {
                // Names were made harmless where the text was made.
                output.data(told.text.as_bytes())?;
                output.talk(&told.talk);
                status = status.max(told.status);
            }
            Err(why) => trouble = trouble.or(Some(why)),
        }
    }
    trouble.map_or(Ok(status), Err)
}

impl Typed {
    fn jobs(&self) -> Result<Vec<Job>, Vec<Problem>> {
        let (sets, variants) = (self.sets.clone(), self.variants.clone());
        let manifests = self.manifests.clone();
        let settings = Settings { sets, manifests, seed: self.seed, seeds: self.seeds, variants };
        let jobs = job::jobs(&self.files, &settings)?;
        let committed =
            jobs.iter().filter(|job| results::is_committed(&self.out.join(&job.folder)));
        let problem = |job: &Job| {
            Problem::new(format!(
                "{}: `run` never writes to {}",
                job.file,
                self.out.join(&job.folder).display()
            ))
            .hint("that folder is committed: rename the scenario, or give another --out")
        };
        let problems: Vec<_> = committed.map(problem).collect();
        if problems.is_empty() { Ok(jobs) } else { Err(problems) }
    }

    fn limits(&self, room: Room) -> Limits {
        Limits { events: self.max_events, memory: room.each, time: self.max_time }
    }

    /// What the runs would take, and which of them would be ended early.
    fn estimate(&self, jobs: &[Job], output: Output) -> Result<ExitStatus, Trouble> {
        let room = self.max_memory.or_else(memory::usable);
        let estimates: Vec<_> =
            jobs.iter().map(|job| (job, estimate::estimate(&job.plan))).collect();
        if self.format == Format::Json {
            for (job, of) in estimates {
                let Estimate { requests, simulated, is_sampled, .. } = of;
                let Estimate { events, cpu_s, memory_bytes, .. } = of;
                output.json(&json!({
                    "scenario": job.plan.name, "variant": job.plan.variant, "seed": job.seed,
                    "requests": requests, "sampled": is_sampled, "requests_simulated": simulated,
                    "events": events, "cpu_s": cpu_s,
                    "memory_bytes": memory_bytes, "fits": room.map(|room| memory_bytes <= room),
                }))?;
            }
            return Ok(ExitStatus::Success);
        }
        output.table(
            ["scenario", "requests", "simulated", "events", "CPU (rough)", "memory"],
            estimates.iter().map(|(job, of)| {
                let (requests, events) = (short(of.requests), short(of.events));
                // A run that is not sampled simulates all.
                let simulated = if of.is_sampled { short(of.simulated) } else { "all".to_owned() };
                let (cpu, memory) = (format!("{}s", short(of.cpu_s)), bytes(of.memory_bytes));
                [job.folder.clone(), requests, simulated, events, cpu, memory]
            }),
        )?;
        for (job, of) in &estimates {
            if let Some(room) = room.filter(|room| *room < of.memory_bytes) {
                let whose = if self.max_memory.is_some() { "allowed" } else { "free to use" };
                let (need, room) = (bytes(of.memory_bytes), bytes(room));
                output.talk(&format!("{}: {need} do not fit in the {room} {whose}\n", job.folder));
            }
            if self.max_events.is_some_and(|max| (max as f64) < of.events) {
                output.talk(&format!("{}: --max-events would end it early\n", job.folder));
            }
        }
        Ok(ExitStatus::Success)
    }
}

impl Told {
    fn not_begun(job: &Job) -> Self {
        let talk = format!("{}: not run\n", job.folder);
        Self { status: ExitStatus::Environment, text: String::new(), talk, judged: None }
    }
}

/// Two figures and a unit: 12 M.
pub(super) fn short(number: f64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (size, unit) = units.into_iter().find(|(size, _)| *size <= number).unwrap_or((1.0, ""));
    let number = number / size;
    if number < 9.95 { format!("{number:.1} {unit}") } else { format!("{number:.0} {unit}") }
}

/// Units of memory, for people.
const UNITS: &str = "kB, MB, GB, TB, KiB, MiB, GiB, TiB";
/// Whoever wants more means no limit.
const TOO_LARGE: &str = "expected a smaller number";

/// `2000000`, `2e6`, `2MB`, `1.5GiB`.
fn read_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "KB" | "kB" | "k" | "K" => 1_000,
        "MB" | "M" => 1_000_000,
        "GB" | "G" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TB" | "T" => 1_000_000_000_000,
        "TiB" => 1 << 40,
        unit => return Err(format!("`{unit}` is no unit; there are B, {UNITS}")),
    };
    let number = whole(digits.trim(), unit);
    let bytes = number.map_err(|why| format!("{why} of bytes, such as 2000000, 500MB, 1.5GiB"))?;
    if bytes == 0 { Err("no run fits in no memory".to_owned()) } else { Ok(bytes) }
}

fn read_events(text: &str) -> Result<u64, String> {
    match whole(text, 1) {
        Ok(0) => Err("a run of no events shows nothing".to_owned()),
        Ok(events) => Ok(events),
        Err(why) => Err(format!("{why} of events, such as 2000000 or 2e6")),
    }
}

/// A whole number of so many, however it is written: `1000000`, `1e6`, `1_000_000`, `1.5` of 1000.
fn whole(text: &str, unit: u64) -> Result<u64, &'static str> {
    let plain = text.replace('_', "");
    if let Ok(number) = plain.parse::<u64>() {
        return number.checked_mul(unit).ok_or(TOO_LARGE);
    }
    let is_number = plain.starts_with(|first: char| first.is_ascii_digit());
    let number = plain.parse::<f64>().ok().filter(|_| is_number).ok_or("expected a number")?;
    let number = number * unit as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "looked at")]
    match number {
        number if u64::MAX as f64 <= number => Err(TOO_LARGE),
        number if number.fract() != 0.0 => Err("expected a whole number"),
        number => Ok(number as u64),
    }
}

fn read_time(text: &str) -> Result<Duration, String> {
    let time = read_duration(text)?;
    if time.is_zero() { Err("no run ends in no time".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_people_type_them() {
        assert_eq!(read_bytes("2GB"), Ok(2_000_000_000));
        assert_eq!(read_bytes("1 KiB"), Ok(1024));
        assert_eq!(read_bytes("17"), Ok(17));
        assert_eq!(read_bytes("900TB"), Ok(900_000_000_000_000));
        assert_eq!(read_bytes("1.5GB"), Ok(1_500_000_000));
        assert_eq!(read_bytes("2e9"), Ok(2_000_000_000));
        for text in ["", "0", "0GB", "GB", "1.5", "-1", "1 parsec", "99999999999GB", "é", "infGB"]
        {
            assert!(read_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn events_read_as_people_type_them() {
        for (text, events) in [("7", 7), ("1e6", 1_000_000), ("1.5E3", 1500), ("1_000", 1000)] {
            assert_eq!(read_events(text), Ok(events), "{text}");
        }
        assert_eq!(read_events("18446744073709551615"), Ok(u64::MAX));
        for text in ["", "0", "many", "1.5", "-1", "1e-3", "1e30", "inf", "NaN", "+1e3", "1M"] {
            let why = read_events(text).expect_err(text);
            assert!(text == "0" || why.ends_with("such as 2000000 or 2e6"), "{why}");
        }
    }

    #[test]
    fn numbers_are_told_in_two_figures() {
        for (number, text) in
            [(0.0, "0.0 "), (999.0, "999 "), (12_345_678.0, "12 M"), (1500.0, "1.5 k")]
        {
            assert_eq!(short(number), text);
        }
    }
}
