//! `TrafficSplit`s: how their weights read, what the proxy makes of them, and whether they win over routes.
//!
//! A split is written into the service's `ServiceProfile` as `dstOverrides`: routes of a profile stay. Weights are
//! relative; those of 0 are dropped by the proxy. If none is left, there is no split: the requests go to the service
//! itself. A profile with routes or with overrides that are left governs: then `HTTPRoute`s, failure accrual and the
//! annotations of retries and timeouts do not count.
//!
//! Source: SMI `TrafficSplit` v1alpha1 (quantities) to v1alpha4 (whole numbers); linkerd-smi pkg/adaptor/controller.go;
//! linkerd2 `controller/api/destination/profile_translator.go:224-244`; linkerd2-proxy
//! linkerd/service-profiles/src/proto.rs:58, `linkerd/app/outbound/src/http/logical/profile.rs:124`.
//! Left out: `matches` of v1alpha3 and later, which Linkerd's adaptor does not look at; exponents and binary suffixes
//! of quantities.

/// The greatest weight: the proxy has ten-thousandths in 32 bits.
pub const WEIGHT_MAX: u32 = 429_496;

/// A Kubernetes quantity in thousandths, rounded up as Kubernetes does: `1` is 1000, `500m` is 500, `0.5` is 500.
///
/// # Errors
///
/// That it is none, or is too large.
pub fn thousandths(text: &str) -> Result<u32, String> {
    let help = || {
        let forms = "1, 0.5 and \"500m\" are weights";
        format!("`{text}` is no weight: {forms}, up to {WEIGHT_MAX}")
    };
    let (digits, unit) = match text.strip_suffix('m') {
        Some(digits) => (digits, 1_u64),
        None => (text, 1000),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || 9 < whole.len() || !is_number(whole) || !is_number(part) {
        return Err(help());
    }
    let mut scaled = whole.parse::<u64>().map_err(|_| help())? * unit;
    // The part behind the point, digit by digit; what is below a thousandth counts as one.
    let (mut size, mut rest) = (unit, false);
    for digit in part.bytes().map(|byte| u64::from(byte - b'0')) {
        rest |= digit * size % 10 != 0 || (size == 0 && digit != 0);
        scaled += digit * size / 10;
        size /= 10;
    }
    let all = scaled + u64::from(rest);
    u32::try_from(all).ok().filter(|all| *all <= WEIGHT_MAX * 1000).ok_or_else(help)
}

/// Who takes the requests of a service with `dstOverrides`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Split {
    /// The service itself: nothing is said, or all weights are 0.
    Apex,
    /// The backends of these places, with their weights.
    Over(Vec<(usize, u32)>),
}

impl Split {
    /// Of weights in thousandths.
    pub fn of_thousandths(weights: &[u32]) -> Self {
        let scaled = weights.iter().map(|weight| weight.saturating_mul(10)).enumerate();
        let kept: Vec<_> = scaled.filter(|(_, weight)| *weight != 0).collect();
        if kept.is_empty() { Self::Apex } else { Self::Over(kept) }
    }
}

/// By what the requests to a service go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Governs {
    /// Its `ServiceProfile` or `TrafficSplit`.
    Profile,
    /// Its `HTTPRoute`s and annotations, or nothing of either.
    Policy,
}

/// Which of both governs.
pub const fn governs(profile_has_routes: bool, profile_has_overrides: bool) -> Governs {
    if profile_has_routes || profile_has_overrides { Governs::Profile } else { Governs::Policy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_in_kubernetes() {
        for (text, weight) in [
            ("1", 1000),
            ("0", 0),
            ("0m", 0),
            ("500m", 500),
            ("0.5", 500),
            ("1.5", 1500),
            ("0.0001", 1),
            ("1.5m", 2),
            ("90", 90_000),
        ] {
            assert_eq!(thousandths(text), Ok(weight), "{text}");
        }
        for text in ["", "m", "-1", "1k", "a", "1.2.3", "1e3", "99999999999", "429497"] {
            assert!(thousandths(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_split_drops_zeros_and_without_any_it_is_none() {
        let over = Split::Over(vec![(0, 10_000), (2, 5_000)]);
        assert_eq!(Split::of_thousandths(&[1000, 0, 500]), over);
        assert_eq!(Split::of_thousandths(&[0, 0]), Split::Apex);
        assert_eq!(Split::of_thousandths(&[]), Split::Apex);
    }

    #[test]
    fn a_profile_that_says_anything_wins() {
        assert_eq!(governs(false, false), Governs::Policy);
        assert_eq!([governs(true, false), governs(false, true)], [Governs::Profile; 2]);
    }
}
