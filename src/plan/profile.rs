//! Profiles: the mesh and its release, as differences from the table of parameters; and the
//! units that people type.
//!
//! Source: the release table of Istio's defaults (read at the last patch tag of each minor).
//! Left out: what only Linkerd has, which stands in `plan::linkerd`.

use crate::kernel::time::{Duration, NS_PER_S};
use crate::plan::linkerd::{self, Linkerd};
use crate::plan::parameter::Parameters;

/// A profile: a mesh, its releases with what each changes.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The mesh.
    pub mesh: &'static str,
    /// Releases, oldest first; the last is what the name without `@` means.
    pub releases: &'static [&'static str],
    /// Changes: (first release, last release, parameter, value, source).
    pub changes:
        &'static [(&'static str, &'static str, &'static str, &'static str, &'static str)],
}

const HALF: &str =
    "UNCONFIRMED: half of Istio's published 0.06 vCPU per 1000 rps (60 us a request)";

/// As 1.24's 200 us are split.
const COST_1_20: &str =
    "istio 1.19 to 1.22 performance page: 0.5 vCPU per 1000 rps (500 us a request)";

/// Every profile.
pub const PROFILES: &[Profile] = &[
    Profile {
        mesh: "istio-sidecar",
        releases: &["1.20", "1.24", "1.28", "1.30"],
        changes: &[
            (
                "1.20",
                "1.20",
                "cert.grace_jitter",
                "0",
                "istio options.go of 1.20: no jitter before 1.24",
            ),
            (
                "1.20",
                "1.24",
                "cert.clamp_to_signer",
                "false",
                "istio generate_cert.go: clamped from 1.28.7 and 1.29.3 on",
            ),
            (
                "1.20",
                "1.20",
                "retry.statuses",
                "503",
                "istio retry.go of 1.18 to 1.23: RetriableStatusCodes 503",
            ),
            ("1.20", "1.20", "retry.inbound_attempts", "0", "istio before 1.24: off by default"),
            ("1.20", "1.20", "xds.push_slots", "100", "istio tuning.go before 1.21"),
            ("1.20", "1.20", "xds.stream_rate", "25", "istio tuning.go before 1.21"),
            ("1.20", "1.24", "cluster.max_streams", "2147483647", "envoy before 1.36"),
            ("1.20", "1.20", "proxy.client_request", "275us", COST_1_20),
            ("1.20", "1.20", "proxy.client_response", "112500ns", COST_1_20),
            ("1.20", "1.20", "proxy.client_telemetry", "112500ns", COST_1_20),
            ("1.20", "1.20", "proxy.server_request", "212500ns", COST_1_20),
            ("1.20", "1.20", "proxy.server_response", "143750ns", COST_1_20),
            ("1.20", "1.20", "proxy.server_telemetry", "143750ns", COST_1_20),
            ("1.20", "1.20", "proxy.memory", "50MiB", "istio 1.19 to 1.22 performance page: 50 MB"),
            ("1.20", "1.24", "pod.native_sidecars", "off", "istio features.go: auto from 1.27 on"),
        ],
    },
    Profile {
        mesh: "istio-ambient",
        releases: &["1.24", "1.27", "1.28", "1.30"],
        changes: &[
            ("1.24", "1.30", "ztunnel.present", "true", "istio ambient: a DaemonSet, no sidecars"),
            (
                "1.24",
                "1.27",
                "ztunnel.keep_valid_on_failure",
                "false",
                "ztunnel pull request 1567 came with Istio 1.28.0; istio#56452",
            ),
            (
                "1.24",
                "1.27",
                "cert.clamp_to_signer",
                "false",
                "istio generate_cert.go: clamped from 1.28.7 and 1.29.3 on",
            ),
            (
                "1.24",
                "1.30",
                "cert.session_resumption",
                "false",
                "ztunnel src/tls/certificate.rs:378: every handshake is a full one",
            ),
            ("1.24", "1.30", "retry.attempts", "0", "ztunnel passes bytes on: no retries"),
            ("1.24", "1.30", "retry.inbound_attempts", "0", "ztunnel passes bytes on: no retries"),
            (
                "1.24",
                "1.30",
                "cluster.balancer",
                "random",
                "ztunnel src/state.rs: choose_weighted among the nearest endpoints",
            ),
            (
                "1.24",
                "1.30",
                "cluster.max_streams",
                "100",
                "ztunnel src/config.rs:101-106: streams of an HBONE connection",
            ),
            (
                "1.24",
                "1.30",
                "cluster.idle_timeout",
                "5m",
                "ztunnel src/config.rs:101-106: an idle HBONE connection is released",
            ),
            (
                "1.24",
                "1.30",
                "proxy.workers",
                "1",
                "ztunnel src/proxy/pool.rs: one pool for each source pod",
            ),
            ("1.24", "1.30", "proxy.client_request", "30us", HALF),
            ("1.24", "1.30", "proxy.client_response", "30us", HALF),
            ("1.24", "1.30", "proxy.client_telemetry", "0s", "ztunnel knows no requests"),
            ("1.24", "1.30", "proxy.server_request", "30us", HALF),
            ("1.24", "1.30", "proxy.server_response", "30us", HALF),
            ("1.24", "1.30", "proxy.server_telemetry", "0s", "ztunnel knows no requests"),
            ("1.24", "1.30", "cert.key", "p256", "UNCONFIRMED: ztunnel's kind of key"),
            (
                "1.24",
                "1.30",
                "proxy.memory",
                "12MiB",
                "istio 1.24 performance page: 12 MB a ztunnel",
            ),
        ],
    },
    Profile { mesh: linkerd::MESH, releases: linkerd::RELEASES, changes: &[] },
    Profile {
        mesh: "none",
        releases: &[""],
        changes: &[
            ("", "", "istiod.present", "false", "no mesh"),
            ("", "", "retry.attempts", "0", "no mesh: the client retries nothing by itself"),
            ("", "", "retry.inbound_attempts", "0", "no mesh"),
            ("", "", "cluster.balancer", "random", "kube-proxy chooses at random"),
            ("", "", "proxy.client_request", "0s", "no proxy"),
            ("", "", "proxy.client_response", "0s", "no proxy"),
            ("", "", "proxy.client_telemetry", "0s", "no proxy"),
            ("", "", "proxy.server_request", "0s", "no proxy"),
            ("", "", "proxy.server_response", "0s", "no proxy"),
            ("", "", "proxy.server_telemetry", "0s", "no proxy"),
            ("", "", "proxy.workers", "1", "no proxy"),
            ("", "", "proxy.handshake", "0s", "no TLS"),
            ("", "", "proxy.handshake_p256", "0s", "no TLS"),
            ("", "", "proxy.memory", "0MiB", "no proxy"),
            ("", "", "proxy.handshake_resumed", "0s", "no TLS"),
            ("", "", "ingress.replicas", "1", "one client"),
        ],
    },
];

/// A parameter that a profile changes, and the source of its value.
pub type Changed = (&'static str, &'static str);

/// The parameters of a profile such as `istio-sidecar@1.28`, its full name, and for each changed
/// parameter its source. An error says in words what there is.
pub fn parameters(name: &str) -> Result<(Parameters, String, Vec<Changed>), String> {
    let (mesh, release) = name.split_once('@').unwrap_or((name, ""));
    let Some(profile) = PROFILES.iter().find(|profile| profile.mesh == mesh) else {
        return Err(format!("there is no profile `{mesh}`; there are {}", names().join(", ")));
    };
    let last = profile.releases.len() - 1;
    let at = match release {
        "" => last,
        _ => profile.releases.iter().position(|one| *one == release).ok_or_else(|| {
            format!("`{mesh}` has no release `{release}`; there are {}", names().join(", "))
        })?,
    };
    let index = |release| profile.releases.iter().position(|one| *one == release);
    let mut parameters = Parameters::default();
    let mut sources = Vec::new();
    let shared = if mesh == linkerd::MESH { linkerd::SHARED } else { &[] };
    for (parameter, value, source) in shared {
        parameters.set(parameter, value).expect("a parameter").expect("a value that reads");
        sources.push((*parameter, *source));
    }
    for (first, until, parameter, value, source) in profile.changes {
        if index(*first) <= Some(at) && Some(at) <= index(*until) {
            parameters.set(parameter, value).expect("a parameter").expect("a value that reads");
            sources.push((*parameter, *source));
        }
    }
    let full = match profile.releases[at] {
        "" => mesh.to_owned(),
        release => format!("{mesh}@{release}"),
    };
    Ok((parameters, full, sources))
}

/// Linkerd's own parameters, if a profile of that name is Linkerd, and of each changed one the source.
pub fn own_parameters(name: &str) -> Option<(Linkerd, Vec<Changed>)> {
    let (mesh, release) = name.split_once('@').unwrap_or((name, ""));
    (mesh == linkerd::MESH).then(|| linkerd::parameters(release).ok()).flatten()
}

/// The full names of all profiles.
pub fn names() -> Vec<String> {
    let full = |profile: &Profile| -> Vec<String> {
        let name = |release: &&str| match *release {
            "" => profile.mesh.to_owned(),
            release => format!("{}@{release}", profile.mesh),
        };
        profile.releases.iter().map(name).collect()
    };
    PROFILES.iter().flat_map(full).collect()
}

const UNITS: [(&str, f64); 7] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
    ("d", 86_400e9),
];

/// Reads `250us`, `1m30s`, `1.5h`, `0`. At most 36 years.
pub fn read_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let help = || format!("`{text}` is no duration; write it like 250us, 1.5s, 1m30s, 36h, 10d");
    let mut total = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(help());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(help)?;
        let unit_end = rest[digits..].find(|c: char| !c.is_ascii_alphabetic());
        let unit_end = unit_end.map_or(rest.len(), |end| digits + end);
        let count: f64 = rest[..digits].parse().map_err(|_| help())?;
        let unit = &rest[digits..unit_end];
        let (_, ns) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(help)?;
        total += count * ns;
        rest = &rest[unit_end..];
    }
    if total > Duration::MAX.ns() as f64 {
        return Err(format!("`{text}` is longer than a run can be (36 years)"));
    }
    if total > 0.0 && total < 1.0 {
        return Err(format!("`{text}` is less than a nanosecond"));
    }
    Ok(Duration::from_ns_f64(total))
}

/// Reads `200rps`, `2/h`, `3/min`, `0`, as events per second. At most 10^9.
pub fn read_rate(text: &str) -> Result<f64, String> {
    let help = || format!("`{text}` is no rate; write it like 200rps, 0.5rps, 30/min, 2/h");
    let trimmed = text.trim();
    let number = |text: &str| match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && 0.0 <= value => Ok(value),
        _ => Err(help()),
    };
    let per_s = if trimmed == "0" {
        0.0
    } else if let Some(count) = trimmed.strip_suffix("rps") {
        number(count)?
    } else if let Some((count, unit)) = trimmed.split_once('/') {
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(help()),
        };
        number(count)? / seconds
    } else {
        return Err(help());
    };
    if per_s > NS_PER_S as f64 {
        return Err(format!("`{text}` is more than one event per nanosecond"));
    }
    Ok(per_s)
}

/// Reads `512MiB`, `1.5GiB`, `64KiB`, `0`. At most 2^50.
pub fn read_bytes(text: &str) -> Result<u64, String> {
    const SIZES: [(&str, f64); 3] =
        [("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0)];
    if text.trim() == "0" {
        return Ok(0);
    }
    let found = SIZES.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)));
    match found.map(|(count, size)| (count.trim().parse::<f64>(), size)) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^50")]
        Some((Ok(count), size)) if (0.0..=1.125e15).contains(&(count * size)) => {
            Ok((count * size) as u64)
        }
        _ => Err(format!("`{text}` is no size; write it like 512MiB, 1.5GiB, 64KiB")),
    }
}

/// Reads `5%` or `0.05`, within 0 and 1.
pub fn read_share(text: &str) -> Result<f64, String> {
    let trimmed = text.trim();
    let (number, scale) = match trimmed.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (trimmed, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&(value / scale)) => Ok(value / scale),
        Ok(_) => Err(format!("`{text}` is no share; it lies within 0 and 1 (0% and 100%)")),
        Err(_) => Err(format!("`{text}` is no share; write it like \"5%\" or 0.05")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::parameter::TABLE;

    #[test]
    fn every_default_reads_and_prints_back() {
        let parameters = Parameters::default();
        for row in TABLE {
            let text = parameters.get(row.name).expect("a row");
            let mut copy = parameters.clone();
            copy.set(row.name, &text).expect("a row").expect("its own text reads");
            assert_eq!(copy, parameters, "{} prints as {text}", row.name);
        }
    }

    #[test]
    fn every_profile_loads_and_its_sources_are_given() {
        for name in names() {
            let (_, full, sources) = parameters(&name).expect("a listed profile");
            assert_eq!(full, name);
            assert!(sources.iter().all(|(_, source)| !source.is_empty()));
        }
        assert_eq!(parameters("istio-sidecar").expect("latest").1, "istio-sidecar@1.30");
    }

    #[test]
    fn an_old_release_has_its_own_defaults() {
        let (old, ..) = parameters("istio-sidecar@1.20").expect("1.20");
        let (new, ..) = parameters("istio-sidecar@1.28").expect("1.28");
        assert_eq!(old.retry.statuses, [503]);
        assert!(new.retry.statuses.is_empty());
        assert!(old.cert.grace_jitter < new.cert.grace_jitter);
    }

    #[test]
    fn ambient_keeps_valid_certificates_from_1_28_on() {
        for (release, keeps) in [("1.24", false), ("1.27", false), ("1.28", true), ("1.30", true)] {
            let (own, ..) = parameters(&format!("istio-ambient@{release}")).expect("a release");
            assert_eq!(own.ztunnel.keep_valid_on_failure, keeps, "{release}");
            assert!(own.ztunnel.present && own.retry.attempts == 0, "{release}");
        }
        let (sidecar, ..) = parameters("istio-sidecar").expect("a profile");
        assert!(!sidecar.ztunnel.present);
    }

    #[test]
    fn units_read_as_people_type_them() {
        assert_eq!(read_duration("1m30s"), Ok(Duration::from_s(90)));
        assert_eq!(read_duration("1.5h"), Ok(Duration::from_s(5400)));
        assert_eq!(read_rate("2/h"), Ok(2.0 / 3600.0));
        assert_eq!(read_share("5%"), Ok(0.05));
        for text in ["", "5", "5 parsecs", "-1s", "1e30d", "99999999d", "0.1ns"] {
            assert!(read_duration(text).is_err(), "{text}");
        }
        for text in ["5", "-1rps", "1e18rps", "nanrps", "infrps", "3/fortnight"] {
            assert!(read_rate(text).is_err(), "{text}");
        }
        assert_eq!(read_bytes("1.5MiB"), Ok(1_572_864));
        for text in ["5", "", "-1MiB", "1MB", "nanGiB", "1e30GiB"] {
            assert!(read_bytes(text).is_err(), "{text}");
        }
        for text in ["5", "101%", "-1%", "nan"] {
            assert!(read_share(text).is_err(), "{text}");
        }
    }
}
