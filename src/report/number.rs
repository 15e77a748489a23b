//! Numbers as people read them: `12.3 ms`, `99.95 %`, `1,234,567`, `1h02m`; and as files hold them.
//!
//! What is not zero never prints as zero, and what is not all never prints as 100 %.
//!
//! Source: the SI's space before a unit; Go's `1h02m` for times.
//! Left out: locales.

use crate::kernel::histogram::Histogram;
use crate::kernel::time::{Duration, NS_PER_S, Time};

/// Decimals of a percentage before it gives up and says "less than".
const PERCENT_DECIMALS_MAX: usize = 6;

/// Nanoseconds in milliseconds, exactly: six decimals hold them all.
pub fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// A number rounded to six decimals.
pub fn round6(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// A quantile in ns, never beyond the exact maximum as the end of its cell may be.
pub fn quantile_ns(histogram: &Histogram, q: f64) -> Option<u64> {
    histogram.quantile(q).map(|ns| ns.min(histogram.max_ns()))
}

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `99.95 %` of a share: two decimals, more where they would make it look like none or all.
pub fn percent(share: f64) -> String {
    if !share.is_finite() {
        return "-".to_owned();
    }
    let exact = share * 100.0;
    for decimals in 2..=PERCENT_DECIMALS_MAX {
        let text = trimmed(&format!("{exact:.decimals$}"));
        let looks_like = |whole: &str, value: f64| text == whole && (exact - value).abs() > 1e-12;
        if !looks_like("0", 0.0) && !looks_like("-0", 0.0) && !looks_like("100", 100.0) {
            return format!("{text} %");
        }
    }
    if exact < 50.0 { "<0.000001 %".to_owned() } else { ">99.999999 %".to_owned() }
}

/// A length of time in three digits: `250 ns`, `4.00 µs`, `12.3 ms`, `1.50 s`; from a minute on `1h02m`.
pub fn length(ns: u64) -> String {
    // Half a unit of the last digit below the next unit already rounds up to it.
    let (value, unit) = match ns {
        0 => return "0 s".to_owned(),
        1..1_000 => return format!("{ns} ns"),
        1_000..999_500 => (ns as f64 / 1e3, "µs"),
        999_500..999_500_000 => (ns as f64 / 1e6, "ms"),
        999_500_000..59_950_000_000 => (ns as f64 / 1e9, "s"),
        // What would round to sixty seconds is a minute.
        _ => return clock(Time::from_ns(ns.max(60 * NS_PER_S))),
    };
    format!("{} {unit}", three_digits(value))
}

/// [`length`] of seconds; `-` for what is no length.
pub fn length_of_s(seconds: f64) -> String {
    if seconds.is_finite() && 0.0 <= seconds {
        length(Duration::from_s_f64(seconds).ns())
    } else {
        "-".to_owned()
    }
}

/// A time of the run: `0s`, `45s`, `1m05s`, `1h`, `1h02m`, `13h04m`, `12d06h`. Below a minute to
/// the millisecond, below ten hours to the second, below four days to the minute.
pub fn clock(time: Time) -> String {
    let round = |unit_ns: u64| (time.ns() + unit_ns / 2) / unit_ns * unit_ns;
    let minute = 60 * NS_PER_S;
    let hour = 60 * minute;
    let below_a_minute = round(1_000_000);
    if below_a_minute < minute {
        return format!("{}s", trimmed(&format!("{:.3}", below_a_minute as f64 / 1e9)));
    }
    let unit = match time.ns() {
        ns if ns < 10 * hour => NS_PER_S,
        ns if ns < 96 * hour => minute,
        _ => hour,
    };
    let s = round(unit) / NS_PER_S;
    let (d, h, m, s) = (s / 86_400, s / 3_600, s / 60 % 60, s % 60);
    match (d, h, m, s) {
        (4.., ..) if h % 24 == 0 => format!("{d}d"),
        (4.., ..) => format!("{d}d{:02}h", h % 24),
        (_, 0, m, 0) => format!("{m}m"),
        (_, 0, m, s) => format!("{m}m{s:02}s"),
        (_, h, 0, 0) => format!("{h}h"),
        (_, h, m, 0) => format!("{h}h{m:02}m"),
        (_, h, m, s) => format!("{h}h{m:02}m{s:02}s"),
    }
}

/// A plain number: whole ones with thousands separated, others with at most six decimals.
pub fn plain(number: f64) -> String {
    if !number.is_finite() {
        return "-".to_owned();
    }
    let text = trimmed(&format!("{number:.6}"));
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let whole = digits.parse().map_or_else(|_| digits.to_owned(), count);
    rest.map_or_else(|| format!("{sign}{whole}"), |rest| format!("{sign}{whole}.{rest}"))
}

fn three_digits(value: f64) -> String {
    match value {
        _ if 99.95 <= value => format!("{value:.0}"),
        _ if 9.995 <= value => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn trimmed(text: &str) -> String {
    if !text.contains('.') {
        return text.to_owned();
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_apart() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (10, "10")]
        {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn percentages_never_claim_none_or_all_falsely() {
        for (share, text) in [
            (1.0, "100 %"),
            (0.0, "0 %"),
            (0.9995, "99.95 %"),
            (0.5, "50 %"),
            (0.999_999, "99.9999 %"),
            (0.000_001, "0.0001 %"),
            (0.999_999_999_9, ">99.999999 %"),
            (0.000_000_000_1, "<0.000001 %"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn lengths_have_three_digits_and_the_unit_that_fits() {
        for (ns, text) in [
            (0, "0 s"),
            (250, "250 ns"),
            (4_000, "4.00 µs"),
            (12_345_678, "12.3 ms"),
            (9_999_000, "10.0 ms"),
            (99_960_000, "100 ms"),
            (999_499_999, "999 ms"),
            (999_500_000, "1.00 s"),
            (1_500_000_000, "1.50 s"),
            (59_999_000_000, "1m"),
            (3_720 * NS_PER_S, "1h02m"),
        ] {
            assert_eq!(length(ns), text);
        }
        assert_eq!((length_of_s(0.25), length_of_s(-1.0)), ("250 ms".to_owned(), "-".to_owned()));
    }

    #[test]
    fn times_read_as_hours_and_minutes() {
        for (ns, text) in [
            (0, "0s"),
            (250_000_000, "0.25s"),
            (45 * NS_PER_S, "45s"),
            (65 * NS_PER_S, "1m05s"),
            (3_600 * NS_PER_S, "1h"),
            (3_600 * NS_PER_S - 1, "1h"),
            (3_720 * NS_PER_S, "1h02m"),
            (3_605 * NS_PER_S, "1h00m05s"),
            (47_045 * NS_PER_S, "13h04m"),
            (36 * 3_600 * NS_PER_S, "36h"),
            (96 * 3_600 * NS_PER_S, "4d"),
            (294 * 3_600 * NS_PER_S, "12d06h"),
        ] {
            assert_eq!(clock(Time::from_ns(ns)), text);
        }
    }

    #[test]
    fn plain_numbers_drop_what_says_nothing() {
        for (number, text) in
            [(0.0, "0"), (-1_234.5, "-1,234.5"), (1e6, "1,000,000"), (0.981, "0.981")]
        {
            assert_eq!(plain(number), text);
        }
    }
}
