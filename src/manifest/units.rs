//! The ways in which Kubernetes writes durations and quantities.
//!
//! Durations come in three forms: Go's (`1h2.5m`, Istio's validation and Kubernetes' own fields), the
//! Gateway API's GEP-2257 (whole numbers, at most four units), and protobuf's JSON (`1.5s`).
//! Source: Go `time.ParseDuration`; GEP-2257 `^([0-9]{1,5}(h|m|s|ms)){1,4}$`; Kubernetes
//! `apimachinery/pkg/api/resource` (suffixes m, k, M, G, T, P, E, Ki … Ei, exponents).
//! Left out: negative durations and quantities, which no field that we read allows.

/// How a field writes durations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DurationForm {
    /// Go's: a row of decimal numbers with unit (h, m, s, ms, us, ns); a plain `0` too.
    Go,
    /// The Gateway API's: whole numbers of up to five digits, up to four units of h, m, s, ms.
    Gep2257,
    /// Protobuf's: seconds with an `s`.
    Seconds,
}

/// A duration in nanoseconds, or what is wrong with it.
pub fn duration_ns(text: &str, form: DurationForm) -> Result<u64, String> {
    let example = match form {
        DurationForm::Go => "such as 250ms, 1.5s, 1h30m",
        DurationForm::Gep2257 => "such as 500ms, 10s, 1h30m: whole numbers with h, m, s or ms",
        DurationForm::Seconds => "such as 1.5s or 3600s",
    };
    if form == DurationForm::Go && text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err(example.to_owned());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("a unit is missing; {example}"));
    }
    let (mut rest, mut total, mut parts) = (text, 0_u128, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit_ns = unit_ns(unit, form).ok_or_else(|| example.to_owned())?;
        let whole = form == DurationForm::Gep2257;
        if number.is_empty() || (whole && (number.contains('.') || number.len() > 5)) {
            return Err(example.to_owned());
        }
        total += scaled(number, unit_ns).ok_or_else(|| example.to_owned())?;
        parts += 1;
        rest = tail;
    }
    let parts_max = match form {
        DurationForm::Go => usize::MAX,
        DurationForm::Gep2257 => 4,
        DurationForm::Seconds => 1,
    };
    if parts > parts_max {
        return Err(example.to_owned());
    }
    u64::try_from(total).map_err(|_| "too long: at most 584 years".to_owned())
}

fn unit_ns(unit: &str, form: DurationForm) -> Option<u128> {
    let (go, seconds) = (form == DurationForm::Go, form == DurationForm::Seconds);
    match unit {
        "s" => Some(1_000_000_000),
        "ms" if !seconds => Some(1_000_000),
        "m" if !seconds => Some(60_000_000_000),
        "h" if !seconds => Some(3_600_000_000_000),
        "ns" if go => Some(1),
        "us" | "µs" if go => Some(1_000),
        _ => None,
    }
}

/// A decimal number times a whole one, rounded down, exactly.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 20 {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(15)];
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    let power = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = digits(fraction)?.checked_mul(unit)? / power;
    digits(whole)?.checked_mul(unit)?.checked_add(part)
}

/// A quantity in thousandths: `100m` is 100, `1` is 1,000, `1Ki` is 1,024,000.
pub fn quantity_milli(text: &str) -> Option<u128> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let milli: u128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "E" => 1_000_000_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        "Pi" => 1_000 << 50,
        "Ei" => 1_000 << 60,
        _ => {
            let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            1_000_u128.checked_mul(10_u128.checked_pow(exponent)?)?
        }
    };
    scaled(number, milli)
}

/// A path without the indices of its lists: `spec.http[0].route` is `spec.http[].route`.
pub fn without_indices(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut inside = false;
    for character in path.chars() {
        inside = (inside || character == '[') && character != ']';
        if !inside || character == '[' {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use DurationForm::{Gep2257, Go, Seconds};

    #[test]
    fn durations_follow_the_form_of_their_api() {
        let cases = [
            ("1h30m", Go, Some(5_400_000_000_000)),
            ("1.5s", Go, Some(1_500_000_000)),
            ("100us", Go, Some(100_000)),
            ("0", Go, Some(0)),
            ("10", Go, None),
            ("5 s", Go, None),
            ("500ms", Gep2257, Some(500_000_000)),
            ("1h1m1s1ms", Gep2257, Some(3_661_001_000_000)),
            ("1.5s", Gep2257, None),
            ("100000s", Gep2257, None),
            ("1h1m1s1ms1s", Gep2257, None),
            ("0s", Gep2257, Some(0)),
            ("3.000001s", Seconds, Some(3_000_001_000)),
            ("1m", Seconds, None),
            ("", Go, None),
            ("-1s", Go, None),
        ];
        for (text, form, expected) in cases {
            assert_eq!(duration_ns(text, form).ok(), expected, "{text} {form:?}");
        }
        assert!(duration_ns("10", Go).unwrap_err().contains("unit"));
    }

    #[test]
    fn quantities_are_exact() {
        let cases = [
            ("100m", Some(100)),
            ("0.5", Some(500)),
            ("2", Some(2_000)),
            ("1Ki", Some(1_024_000)),
            ("1e3", Some(1_000_000)),
            ("128Mi", Some(134_217_728_000)),
            ("1x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(quantity_milli(text), expected, "{text}");
        }
    }

    #[test]
    fn paths_lose_their_indices() {
        assert_eq!(without_indices("A.spec.http[12].route[0].x"), "A.spec.http[].route[].x");
    }
}
