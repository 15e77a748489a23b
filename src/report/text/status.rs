//! The mesh at an instant, as `istioctl proxy-status` would print it, with certificates and why.
//!
//! Source: istioctl's `proxy-status` and `proxy-config secret`.
//! Left out: pods that are gone.

use super::explain::{chain_lines, ended_early};
use super::{Paint, wrap};
use crate::kernel::time::Time;
use crate::observe::mesh_status::{DestinationStatus, MeshStatus, ProxyStatus, Sync};
use crate::observe::run::Run;
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

fn replicas(run: &Run, status: &MeshStatus) -> Vec<String> {
    if status.replicas.is_empty() {
        return Vec::new();
    }
    let serves = |serves: bool| if serves { "up" } else { "down" }.to_owned();
    let is_linkerd = run.is_linkerd();
    let head: &[&str] = if is_linkerd {
        &["CONTROLLERS", "NODE", "IDENTITY", "DESTINATION", "INJECTOR", "POLICY", "PROXIES"]
    } else {
        &["ISTIOD", "NODE", "CA", "XDS", "INJECTOR", "PROXIES", "PUSH QUEUE"]
    };
    let mut rows = vec![head.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()];
    rows.extend(status.replicas.iter().map(|one| {
        let parts = &one.serves[..if is_linkerd { 4 } else { 3 }];
        let mut row = vec![one.name.clone(), short(&one.node, 20)];
        row.extend(parts.iter().map(|part| serves(*part)));
        row.push(one.connected.to_string());
        row.extend((!is_linkerd).then(|| one.push_queue.to_string()));
        row
    }));
    let mut lines = aligned(&rows);
    lines.push(String::new());
    lines
}

/// Proxies of Linkerd whose destinations are told one by one.
const KNOWN_MAX: usize = 12;

fn proxies(run: &Run, told: &[&ProxyStatus], at: Time) -> Vec<String> {
    let head: &[&str] = if run.is_linkerd() {
        &[
            "NAME",
            "READY",
            "STATUS",
            "ENDPOINTS",
            "STALE",
            "KNOWS",
            "POLICY",
            "DESTINATION",
            "CERTIFICATE",
        ]
    } else {
        &["NAME", "READY", "STATUS", "CDS", "LDS", "EDS", "RDS", "STALE", "ISTIOD", "CERTIFICATE"]
    };
    let mut rows = vec![head.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()];
    rows.extend(told.iter().map(|one| row(one, at, head.len())));
    let mut lines = aligned(&rows);
    let known: Vec<String> = told.iter().flat_map(|one| known(one, at)).collect();
    if !known.is_empty() {
        lines.push(String::new());
        lines.extend(known.iter().take(KNOWN_MAX).flat_map(|line| wrap(line, "  ", "    ")));
        if KNOWN_MAX < known.len() {
            let more = plural((known.len() - KNOWN_MAX) as u64, "more destination");
            lines.push(format!("  … and {more}"));
        }
    }
    lines
}

/// The destinations of a proxy of Linkerd's, each in a sentence.
fn known(one: &ProxyStatus, at: Time) -> Vec<String> {
    let all = one.linkerd.iter().flat_map(|own| &own.destinations);
    let sentence = |to: &DestinationStatus| {
        let age = length(at.saturating_since(to.since).ns());
        let what = match to.endpoints {
            None => format!("asked for {age} ago, nobody has answered"),
            Some((all, ready)) => {
                let use_of = match to.until {
                    None => "in use".to_owned(),
                    Some(until) if until <= at => "forgotten".to_owned(),
                    Some(until) => {
                        format!("forgotten in {}", length(until.since(at).ns()))
                    }
                };
                let all = plural(u64::from(all), "endpoint");
                format!("{all}, {ready} of them ready, known for {age}, {use_of}")
            }
        };
        format!("{} -> {}: {what}", short(&one.name, NAME_MAX), short(&to.name, NAME_MAX))
    };
    all.map(sentence).collect()
}

fn row(one: &ProxyStatus, at: Time, columns: usize) -> Vec<String> {
    let mut row =
        vec![short(&one.name, NAME_MAX), format!("{}/{}", one.containers.0, one.containers.1)];
    row.push(one.pod.to_owned());
    if !one.is_meshed {
        row.resize(columns - 1, "-".to_owned());
        row.push("no sidecar".to_owned());
        return row;
    }
    let stale =
        one.stale_since.map_or("-".to_owned(), |since| length(at.saturating_since(since).ns()));
    let [cds, lds, eds, rds] = one.types.map(|sync| sync.word().to_owned());
    if let Some(own) = &one.linkerd {
        let policy = own.policy.map_or("as injected".to_owned(), |number| format!("rev {number}"));
        row.extend([eds, stale, own.destinations.len().to_string(), policy]);
    } else {
        row.extend([cds, lds, eds, rds, stale]);
    }
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
    row.extend([one.istiod.clone().unwrap_or_else(|| "-".to_owned()), certificate]);
    row
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
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let mut widths = vec![0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let mut text = String::from("  ");
        for (cell, width) in row.iter().zip(&widths) {
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
    use crate::observe::mesh_status::{CertificateStatus, LinkerdStatus, ReplicaStatus};
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
            linkerd: None,
            cause: None,
        };
        let replica = ReplicaStatus {
            name: "istiod-0".to_owned(),
            node: name.to_owned(),
            serves: [true, false, true, true],
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
    fn a_proxy_of_linkerds_is_told_with_what_it_knows() {
        let mut run = sample_run();
        run.profile = "linkerd@edge-26.8".to_owned();
        let mut status = status("web-0");
        let to = |name: &str, endpoints, until| DestinationStatus {
            name: name.to_owned(),
            endpoints,
            since: hours(13),
            until,
        };
        status.proxies.truncate(1);
        status.proxies[0].linkerd = Some(LinkerdStatus {
            destinations: vec![
                to("api", Some((3, 2)), None),
                to("db", Some((1, 1)), Some(hours(14) + Duration::from_s(4))),
                to("new", None, None),
            ],
            policy: None,
        });
        let text = mesh_status(&run, &status, None, false);
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
        for part in [
            "POLICY",
            "as injected",
            "web-0 -> api: 3 endpoints, 2 of them ready, known for 1h, in use",
            "web-0 -> db: 1 endpoint, 1 of them ready, known for 1h, forgotten in 4.00 s",
            "web-0 -> new: asked for 1h ago, nobody has answered",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(!text.contains("CDS") && !text.contains("PUSH QUEUE"), "{text}");
    }

    #[test]
    fn a_run_that_ended_early_says_so() {
        let mut run = sample_run();
        run.partial = Some(crate::observe::run::Partial { why: "max-events", at: hours(2) });
        assert!(mesh_status(&run, &status("a"), None, false).contains("Ended early, at 2h"));
        assert!(super::super::explanation(&run, false).contains("Ended early, at 2h"));
    }
}
