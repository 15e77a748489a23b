//! How much memory there is, and how much of it runs may take.
//!
//! A run whose estimate is beyond nine tenths of what is free is refused before it takes any. The
//! others share the nine tenths: as many run at once as fit by their estimates, and each is ended
//! cleanly when it needs more than its part.
//!
//! Source: Linux's `MemAvailable` (proc(5)); the limits of control groups, versions 1 and 2, less
//! what the kernel would take back from caches, as Kubernetes counts a working set.
//! Left out: other systems, where a run has only the limit that it is given.

use super::job::Job;
use super::output::Trouble;
use crate::check::assert::seeds_needed;
use crate::world::estimate::{Estimate, estimate};
use rayon::{ThreadPoolBuilder, current_num_threads};
use std::fs;

/// What runs may take of the memory that is free.
const SHARE: f64 = 0.9;

/// The memory of a command's runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Room {
    /// Bytes that a run may hold.
    pub(super) each: Option<u64>,
    /// Runs at once.
    at_once: usize,
    /// The limit is the machine's, not the user's.
    is_machine: bool,
}

impl Room {
    /// The room for jobs; trouble if one of them cannot fit.
    pub(super) fn new(jobs: &[Job], asked: Option<u64>) -> Result<Self, Trouble> {
        let needs: Vec<(Estimate, usize)> = jobs
            .iter()
            .map(|job| (estimate(&job.plan), seeds_needed(&job.plan) as usize))
            .collect();
        let fits = |max: u64, begins: bool| {
            let need = |of: &Estimate| if begins { of.start_bytes } else { of.memory_bytes };
            let mut all = jobs.iter().zip(&needs).map(|(job, (of, _))| (job, need(of)));
            all.find(|(_, bytes)| max < *bytes).map_or(Ok(()), |(job, bytes)| {
                Err(Trouble::Environment(too_large(&job.folder, bytes, max, begins)))
            })
        };
        let threads = current_num_threads();
        if let Some(asked) = asked {
            fits(asked, true)?;
            return Ok(Self { each: asked.into(), at_once: threads, is_machine: false });
        }
        let Some(usable) = usable() else {
            return Ok(Self { each: None, at_once: threads, is_machine: true });
        };
        fits(usable, false)?;
        let bytes = needs
            .iter()
            .flat_map(|(of, seeds)| std::iter::repeat_n(of.memory_bytes, (*seeds).min(threads)));
        let bytes: Vec<u64> = bytes.collect();
        let runs = bytes.len().max(1);
        let at_once = at_once(bytes, usable, threads);
        // One run has it all, whatever the threads.
        Ok(Self { each: Some(usable / at_once.min(runs) as u64), at_once, is_machine: true })
    }

    /// Works with as many threads as runs fit.
    pub(super) fn work<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, Trouble> {
        if current_num_threads() <= self.at_once {
            return Ok(work());
        }
        let pool = ThreadPoolBuilder::new().num_threads(self.at_once).build();
        let pool =
            pool.map_err(|error| Trouble::Environment(format!("cannot start a thread: {error}")))?;
        Ok(pool.install(work))
    }

    /// Where a limit that was reached comes from, if nobody gave it.
    pub(super) fn origin(&self) -> Option<String> {
        let each = self.each.filter(|_| self.is_machine)?;
        Some(format!("{} of the free memory was its part, --max-memory gives another", bytes(each)))
    }
}

/// Bytes that runs may take in all.
pub(super) fn usable() -> Option<u64> {
    let free = free(|path| fs::read_to_string(path).ok())?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of it")]
    let usable = (free as f64 * SHARE) as u64;
    Some(usable)
}

/// As people read them: `3.2 GB`.
pub(super) fn bytes(count: u64) -> String {
    format!("{}B", super::run::short(count as f64))
}

fn too_large(folder: &str, bytes: u64, max: u64, begins: bool) -> String {
    let (need, max) = (self::bytes(bytes), self::bytes(max));
    if begins {
        format!("{folder} needs about {need} before its first event, more than --max-memory {max}")
    } else {
        format!(
            "{folder} needs about {need}, and {max} of the free memory may be used; with \
             --max-memory it runs as far as that goes"
        )
    }
}

/// How many of those who need so many bytes fit at once, whichever they are; at least one.
fn at_once(mut bytes: Vec<u64>, usable: u64, threads: usize) -> usize {
    bytes.sort_unstable_by(|a, b| b.cmp(a));
    let mut sum = 0_u64;
    let fits = |bytes: &&u64| {
        sum = sum.saturating_add(**bytes);
        sum <= usable
    };
    let fitting = bytes.iter().take_while(fits).count();
    if fitting == bytes.len() { threads } else { fitting.clamp(1, threads) }
}

/// Bytes that are free on this machine and in the control groups of this process.
fn free(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = 1024 * field(&read("/proc/meminfo")?, "MemAvailable:")?;
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        let files = match controllers {
            "" => Some(("/sys/fs/cgroup", ["memory.max", "memory.current"], "inactive_file")),
            list if list.split(',').any(|one| one == "memory") => Some((
                "/sys/fs/cgroup/memory",
                ["memory.limit_in_bytes", "memory.usage_in_bytes"],
                "total_inactive_file",
            )),
            _ => None,
        };
        // A limit holds for all groups below.
        let read = &read;
        ancestors(path).filter_map(move |path| {
            let (root, [max, used], cached) = files?;
            let number = |file| read(&format!("{root}{path}{file}"))?.trim().parse::<u64>().ok();
            let stat = read(&format!("{root}{path}memory.stat")).unwrap_or_default();
            let used = number(used)?.saturating_sub(field(&stat, cached).unwrap_or(0));
            Some(number(max)?.saturating_sub(used))
        })
    });
    Some(limits.fold(machine, u64::min))
}

/// `/a/b/`, `/a/` and `/` for `/a/b`.
fn ancestors(path: &str) -> impl Iterator<Item = String> {
    let path = path.trim_matches('/').to_owned();
    let depth = if path.is_empty() { 0 } else { path.split('/').count() };
    (0..=depth).rev().map(move |count| {
        path.split('/').take(count).fold("/".to_owned(), |all, part| all + part + "/")
    })
}

/// The number after a word that begins a line.
fn field(text: &str, word: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(
        |mut words| {
            if words.next()? == word { words.next()?.parse().ok() } else { None }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const MACHINE: (&str, &str) =
        ("/proc/meminfo", "MemTotal: 16000 kB\nMemFree: 2000 kB\nMemAvailable:   8000 kB\n");

    fn free_of(files: &[(&str, &str)]) -> Option<u64> {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        free(|path| files.get(path).map(|text| (*text).to_owned()))
    }

    #[test]
    fn the_machine_and_each_group_above_bound_what_is_free() {
        assert_eq!(free_of(&[]), None);
        assert_eq!(free_of(&[MACHINE]), Some(8_192_000));
        let second = ("/proc/self/cgroup", "0::/pod/app\n");
        let limit = [
            ("/sys/fs/cgroup/pod/memory.max", "5000000\n"),
            ("/sys/fs/cgroup/pod/memory.current", "3000000\n"),
            ("/sys/fs/cgroup/pod/memory.stat", "anon 1\ninactive_file 1000000\n"),
        ];
        let unlimited = ("/sys/fs/cgroup/pod/app/memory.max", "max\n");
        let all = [&[MACHINE, second, unlimited][..], &limit].concat();
        assert_eq!(free_of(&all), Some(3_000_000));
        let first = ("/proc/self/cgroup", "5:cpu,cpuacct:/\n4:memory:/pod\n0::/\n");
        let limit = [
            ("/sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "5000000"),
            ("/sys/fs/cgroup/memory/pod/memory.usage_in_bytes", "6000000"),
        ];
        assert_eq!(free_of(&[&[MACHINE, first][..], &limit].concat()), Some(0));
    }

    #[test]
    fn a_group_stands_in_all_those_above_it() {
        assert_eq!(ancestors("/a/b").collect::<Vec<_>>(), ["/a/b/", "/a/", "/"]);
        assert_eq!(ancestors("/").collect::<Vec<_>>(), ["/"]);
    }

    #[test]
    fn as_many_run_at_once_as_the_largest_fit() {
        assert_eq!(at_once(vec![1, 1, 1], 10, 8), 8);
        assert_eq!(at_once(vec![6, 1, 6, 1], 10, 8), 1);
        assert_eq!(at_once(vec![1, 4, 4, 4], 10, 8), 2);
        assert_eq!(at_once(vec![4; 100], 100, 8), 8);
        assert_eq!(at_once(vec![u64::MAX, u64::MAX], 10, 8), 1);
        assert_eq!(at_once(Vec::new(), 10, 8), 8);
    }
}
