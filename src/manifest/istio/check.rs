//! Istio's rules for names, ports, times and percentages that many kinds share.
//!
//! Source: istio/istio `pkg/config/validation/agent/validation.go` (`ValidateFQDN`,
//! `ValidateWildcardDomain`, `ValidateDuration`: at least 1 ms, no finer than 1 ms, `ValidatePort`,
//! `ValidateIPSubnet`), `pkg/config/labels` (`IsDNS1123Label`).
//! Left out: the checks of `ProxyConfig`'s addresses.

use crate::manifest::reader::{Reader, Word};
use crate::manifest::source::At;
use crate::manifest::units::DurationForm;
use std::net::IpAddr;

/// A millisecond in nanoseconds: the finest duration that Istio accepts.
const MILLISECOND_NS: u64 = 1_000_000;

/// Whether it is a DNS label: lower-case letters, digits and dashes, at most 63.
pub fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= 63
        && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
        && inner(bytes[0])
        && inner(bytes[bytes.len() - 1])
}

/// Whether it is a host name as Istio accepts one: labels with dots, letters of both cases.
pub fn is_domain(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let ends = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let bytes = part.as_bytes();
        !bytes.is_empty()
            && bytes.len() <= 63
            && bytes.iter().all(|&byte| fits(byte))
            && ends(bytes[0])
            && ends(bytes[bytes.len() - 1])
    };
    !text.is_empty() && text.len() <= 255 && text.split('.').all(label)
}

/// Whether it is a DNS name in lower case, as the groups of APIs are.
pub fn is_domain_strict(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Whether it is a host name whose first label may start with a `*`.
pub fn is_wildcard_domain(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('*') else { return is_domain(text) };
    match rest.strip_prefix('.') {
        _ if rest.is_empty() => true,
        Some(rest) => is_domain(rest),
        None => {
            let rest = rest.strip_prefix('-').unwrap_or(rest);
            is_domain(rest)
        }
    }
}

/// Whether it is an address or a CIDR range.
pub fn is_subnet(text: &str) -> bool {
    Subnet::parse(text).is_some()
}

/// A range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subnet {
    base: IpAddr,
    bits: u32,
}

impl Subnet {
    /// Reads `10.0.0.0/8`, `::1/64` or one address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().ok()?;
        let whole = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(whole);
        (bits <= whole).then_some(Self { base, bits })
    }

    /// Whether it is one address.
    pub fn is_single(self) -> bool {
        self.bits == if self.base.is_ipv4() { 32 } else { 128 }
    }

    /// How many leading bits are fixed.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// Whether an address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// Notes a host that is no valid host name.
pub fn host(reader: &mut Reader<'_, '_>, word: &Word, wildcard: bool) {
    let fits = if wildcard { is_wildcard_domain(&word.text) } else { is_domain(&word.text) };
    if fits || word.text.parse::<IpAddr>().is_ok() {
        return;
    }
    let hint = if word.text.contains("://") {
        "a host has no scheme"
    } else if word.text.contains('*') {
        "`*` may only be the whole first label"
    } else if word.text.contains(':') {
        "a host has no port; there is a field for it"
    } else {
        "letters, digits, dashes and dots"
    };
    reader.problem(word.at, format!("`{}` is no valid host name", word.text), hint);
}

/// A duration of at least `least_ns`, no finer than a millisecond.
pub fn duration(reader: &mut Reader<'_, '_>, name: &'static str, least_ns: u64) -> Option<u64> {
    let at = reader.at_field(name);
    let value = reader.duration_ns(name, DurationForm::Go)?;
    if value < least_ns {
        let path = reader.path().to_owned();
        let least = if least_ns == MILLISECOND_NS { "1ms" } else { "0s" };
        let what = format!("`{path}.{name}` must be a valid duration greater than {least}");
        reader.problem(at, what, "");
    } else if value % MILLISECOND_NS != 0 {
        let path = reader.path().to_owned();
        reader.problem(at, format!("`{path}.{name}` is finer than 1ms"), "Istio refuses it");
    }
    Some(value)
}

/// A duration of at least 1 ms, which most of Istio's fields need.
pub fn some_duration(reader: &mut Reader<'_, '_>, name: &'static str) -> Option<u64> {
    duration(reader, name, MILLISECOND_NS)
}

/// A port object `{number: 80}`.
pub fn port_selector(reader: &mut Reader<'_, '_>, name: &'static str) -> Option<u16> {
    reader.map(name, |port| {
        let number = port.port("number");
        if !port.has("number") {
            port.missing("number");
        }
        number
    })?
}

/// A percentage object `{value: 12.5}` in parts per million; no `value` is 0.
pub fn percentage(reader: &mut Reader<'_, '_>, name: &'static str) -> Option<u32> {
    reader.map(name, |percent| ppm(percent.float("value", 0.0..=100.0).unwrap_or(0.0)))
}

/// A percentage from 0 to 100 in parts per million.
pub fn ppm(percent: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000,000")]
    let parts = (percent.clamp(0.0, 100.0) * 10_000.0).round() as u32;
    parts
}

/// A `workloadSelector: {labels}` or `selector: {matchLabels}`.
pub fn selector_labels(
    reader: &mut Reader<'_, '_>,
    name: &'static str,
    field: &'static str,
) -> Option<crate::manifest::object::Labels> {
    reader.map(name, |selector| {
        let labels = selector.labels(field);
        for (key, value) in &labels {
            let at = selector.at_field(field);
            if key.is_empty() {
                selector.problem(at, "a selector's key must not be empty", "");
            }
            if key.contains('*') || value.contains('*') {
                let what = format!("wildcard is not supported in selector: `{key}: {value}`");
                selector.problem(at, what, "labels are compared exactly");
            }
        }
        labels
    })
}

/// Notes two fields that exclude each other.
pub fn not_both(reader: &mut Reader<'_, '_>, one: &'static str, other: &'static str) {
    if reader.has(one) && reader.has(other) {
        let what = format!("`{}` cannot contain both `{one}` and `{other}`", reader.path());
        let at: At = reader.at_field(other);
        reader.problem(at, what, "keep one of them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_checked_as_istio_does() {
        for fits in ["reviews", "a.b.svc.cluster.local", "foo_bar.com", "UPPER.com", "x."] {
            assert!(is_domain(fits), "{fits}");
        }
        for wrong in ["", "a..b", "-a", "a b", "*.com", "http://x"] {
            assert!(!is_domain(wrong), "{wrong}");
        }
        for fits in ["*", "*.com", "*x", "*-a.com", "a.com"] {
            assert!(is_wildcard_domain(fits), "{fits}");
        }
        for wrong in ["a.*.com", "**", "*.", "foo*"] {
            assert!(!is_wildcard_domain(wrong), "{wrong}");
        }
        assert!(is_label("a-1") && !is_label("A") && !is_label("a.b"));
    }

    #[test]
    fn subnets_hold_their_addresses() {
        let net = Subnet::parse("10.1.0.0/16").unwrap();
        assert!(net.contains("10.1.2.3".parse().unwrap()));
        assert!(!net.contains("10.2.2.3".parse().unwrap()) && !net.is_single());
        assert!(Subnet::parse("0.0.0.0/0").unwrap().contains("1.2.3.4".parse().unwrap()));
        assert!(Subnet::parse("::1").unwrap().is_single());
        assert!(!is_subnet("1.2.3.4/99") && !is_subnet("x"));
    }
}
