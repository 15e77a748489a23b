//! The mesh at an instant, as `istioctl proxy-status` would print it, with certificates and why.
//!
//! Source: istioctl's `proxy-status` and `proxy-config secret`.
//! Left out: pods that are gone.

use super::explain::{chain_lines, ended_early};
use super::{Paint, wrap};
use crate::kernel::time::Time;
use crate::observe::mesh_status::{MeshStatus, ProxyStatus, Sync};
use crate::observe::run::Run;
use crate::plan::linkerd;
use crate::report::number::{clock, length};
use crate::report::words::{harmless, plural, short};

/// Proxies that are told without being asked for.
const PROXIES_MAX: usize = 40;
/// Letters of a name.
const NAME_MAX: usize = 21;
/// Columns between two cells.
const GAP: usize = 2;

/// The status of a run's mesh, with a newline after each line; of proxies whose name contains
/// `wanted`, if that is given.
pub fn mesh_status(run: &Run, status: &MeshStatus, wanted: Option<&str>, color: bool) -> String {
    let paint = Paint(color);
    let variant = run.variant.iter().map(|variant| format!(", variant {}", harmless(variant)));
    let title = harmless(&run.scenario) + &variant.collect::<String>();
    let mut lines: Vec<_> = wrap(&title, "", "  ").iter().map(|line| paint.strong(line)).collect();
    lines.extend(ended_early(run).iter().flat_map(|text| wrap(text, "  ", "  ")));
    lines.extend(wrap(&in_words(status), "  ", "  "));
    lines.push(String::new());
    lines.extend(replicas(run, status));
    let matches = |one: &&ProxyStatus| wanted.is_none_or(|wanted| one.name.contains(wanted));
    let mut told: Vec<&ProxyStatus> = status.proxies.iter().filter(matches).collect();
    let all = told.len();
    if wanted.is_none() && PROXIES_MAX < all {
        // Those that are in trouble first; else in the order of birth.
        told.sort_by_key(|one| !is_in_trouble(one, status.at));
        told.truncate(PROXIES_MAX);
    }
    if told.is_empty() {
        lines.push("  There is no such pod.".to_owned());
    } else {
        lines.extend(proxies(run, &told, status.at));
    }
    if told.len() < all {
        lines.push(format!("  … and {}", plural((all - told.len()) as u64, "more pod")));
    }
    lines.extend(causes(run, &told, paint));
    lines.join("\n") + "\n"
}

fn is_in_trouble(one: &ProxyStatus, at: Time) -> bool {
    let is_overdue = one.certificate.is_some_and(|one| one.renew_at <= at);
    let is_alone = one.is_meshed && one.istiod.is_none();
    let is_stale = one.types.iter().any(|sync| *sync != Sync::Synced);
    one.pod != "Running"
        || one.containers.0 < one.containers.1
        || one.is_frozen
        || is_overdue
        || is_alone
        || is_stale
        || one.cause.is_some()
}

fn in_words(status: &MeshStatus) -> String {
    let meshed = || status.proxies.iter().filter(|one| one.is_meshed);
    let count = |all: usize, what: &str| plural(all as u64, what);
    let stale = meshed().filter(|one| one.types.contains(&Sync::Stale)).count();
    let connected = meshed().filter(|one| one.istiod.is_some()).count();
    let expired = meshed()
        .filter(|one| one.certificate.is_some_and(|one| one.not_after <= status.at))
        .count();
    let overdue =
        meshed().filter(|one| one.certificate.is_some_and(|one| one.renew_at <= status.at)).count();
    format!(
        "At {}: {}, {connected} connected, {stale} with stale configuration, {} expired, \
         {overdue} past the renewal.",
        clock(status.at),
        if status.proxies.iter().any(|one| one.is_captured) {
            format!("{} pods and their ztunnels", meshed().count())
        } else {
            count(meshed().count(), "proxy").replace("proxys", "proxies")
        },
        count(expired, "certificate"),
    )
}

/// Whether a run's mesh has controllers, and not istiod.
fn is_linkerd(run: &Run) -> bool {
    run.profile.split('@').next() == Some(linkerd::MESH)
}

fn replicas(run: &Run, status: &MeshStatus) -> Vec<String> {
    if status.replicas.is_empty() {
        return Vec::new();
    }
    let serves = |serves: bool| if serves { "up" } else { "down" };
    let [name, ca, xds] = if is_linkerd(run) {
        ["CONTROLLERS", "IDENTITY", "DESTINATION"]
    } else {
        ["ISTIOD", "CA", "XDS"]
    };
    let head = [name, "NODE", ca, xds, "INJECTOR", "PROXIES", "PUSH QUEUE"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(status.replicas.iter().map(|one| {
        let [ca, xds, injector] = one.serves.map(serves);
        [
            one.name.clone(),
            short(&one.node, 20),
            ca.to_owned(),
            xds.to_owned(),
            injector.to_owned(),
            one.connected.to_string(),
            one.push_queue.to_string(),
        ]
    }));
    let mut lines = aligned(&rows);
    lines.push(String::new());
    lines
}

fn proxies(run: &Run, told: &[&ProxyStatus], at: Time) -> Vec<String> {
    let stream = if is_linkerd(run) { "DESTINATION" } else { "ISTIOD" };
    let head =
        ["NAME", "READY", "STATUS", "CDS", "LDS", "EDS", "RDS", "STALE", stream, "CERTIFICATE"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(told.iter().map(|one| row(one, at)));
    aligned(&rows)
}

fn row(one: &ProxyStatus, at: Time) -> [String; 10] {
    let name = short(&one.name, NAME_MAX);
    let ready = format!("{}/{}", one.containers.0, one.containers.1);
    if !one.is_meshed {
        let none = || "-".to_owned();
        let (pod, what) = (one.pod.to_owned(), "no sidecar".to_owned());
        return [name, ready, pod, none(), none(), none(), none(), none(), none(), what];
    }
    let [cds, lds, eds, rds] = one.types.map(|sync| sync.word().to_owned());
    let stale =
        one.stale_since.map_or("-".to_owned(), |since| length(at.saturating_since(since).ns()));
    let certificate = match one.certificate {
        None => "none".to_owned(),
        Some(one) if one.not_after <= at => {
            format!("EXPIRED {}", length(at.since(one.not_after).ns()))
        }
        Some(one) => {
            let left = length(one.not_after.since(at).ns());
            let overdue = one.renew_at <= at;
            format!("{left}{}", if overdue { ", overdue" } else { " left" })
        }
    };
    let istiod = one.istiod.clone().unwrap_or_else(|| "-".to_owned());
    [name, ready, one.pod.to_owned(), cds, lds, eds, rds, stale, istiod, certificate]
}

/// Each cause once, with the first pod that it is about.
fn causes(run: &Run, told: &[&ProxyStatus], paint: Paint) -> Vec<String> {
    let mut known = Vec::new();
    let mut lines = Vec::new();
    for one in told {
        let Some(cause) = one.cause.filter(|cause| !known.contains(cause)) else { continue };
        known.push(cause);
        let alike = told.iter().filter(|other| other.cause == Some(cause)).count() - 1;
        let more = match alike {
            0 => String::new(),
            more => format!(" and {}", plural(more as u64, "more pod")),
        };
        lines.push(String::new());
        lines.extend(wrap(&format!("{}{more}:", short(&one.name, 40)), "  ", "  "));
        lines.extend(chain_lines(run, cause, paint));
    }
    lines
}

/// Rows as columns.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let mut text = String::from("  ");
        for (cell, width) in row.iter().zip(widths) {
            text += cell;
            text += &" ".repeat(width + GAP - cell.chars().count());
        }
        text.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::time::Duration;
    use crate::observe::mesh_status::{CertificateStatus, ReplicaStatus};
    use crate::report::testing::{hours, sample_run};

    fn status(name: &str) -> MeshStatus {
        let certificate = CertificateStatus { not_after: hours(30), renew_at: hours(12) };
        let proxy = ProxyStatus {
            name: name.to_owned(),
            node: name.to_owned(),
            pod: "ContainerCreating",
            containers: (0, 2),
            is_frozen: false,
            is_meshed: true,
            is_captured: false,
            types: [Sync::Stale; 4],
            stale_since: Some(hours(3) + Duration::from_ms(61_001)),
            istiod: Some("istiod-10".to_owned()),
            stream_age: None,
            certificate: Some(certificate),
            cause: None,
        };
        let replica = ReplicaStatus {
            name: "istiod-0".to_owned(),
            node: name.to_owned(),
            serves: [true, false, true],
            connected: 3,
            push_queue: 0,
        };
        MeshStatus { at: hours(14), proxies: vec![proxy; 60], replicas: vec![replica] }
    }

    #[test]
    fn every_line_fits_and_obeys_no_name() {
        let text = mesh_status(&sample_run(), &status(&"\u{1b}[2Jname".repeat(20)), None, false);
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(text.contains("… and 20 more pods"), "{text}");
        assert!(text.contains("16h, overdue"), "{text}");
    }

    #[test]
    fn a_run_that_ended_early_says_so() {
        let mut run = sample_run();
        run.partial = Some(crate::observe::run::Partial { why: "max-events", at: hours(2) });
        assert!(mesh_status(&run, &status("a"), None, false).contains("Ended early, at 2h"));
        assert!(super::super::explanation(&run, false).contains("Ended early, at 2h"));
    }
}
