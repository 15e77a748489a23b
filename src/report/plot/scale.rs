//! Scales and words for numbers: from a value to a place, from a value to a label.
//!
//! Source: steps of 1, 2 and 5 times a power of ten; for time the divisions that clocks have.
//! Left out: calendars; time is counted from the start of the run.

use crate::kernel::time::Duration;

/// Maps values from `low` to `high` to pixels from `start` to `end`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    log: bool,
}

impl Scale {
    /// Equal steps for equal differences.
    pub(super) fn linear((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        let high = if low < high { high } else { low + 1.0 };
        Self { low, high, start, end, log: false }
    }

    /// Equal steps for equal ratios; values below `low`, which is above 0, are put there.
    pub(super) fn log((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        debug_assert!(0.0 < low, "a logarithmic scale begins above 0");
        let high = if low < high { high } else { low * 2.0 };
        Self { low, high, start, end, log: true }
    }

    /// The place of a value; values beyond the ends are put at the ends.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.log {
            libm::log(value / self.low) / libm::log(self.high / self.low)
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.start + share * (self.end - self.start)
    }

    /// Where it ends.
    pub(super) const fn end(&self) -> f64 {
        self.end
    }

    /// Where it starts.
    pub(super) const fn start(&self) -> f64 {
        self.start
    }

    /// Values for about `count` ticks.
    pub(super) fn ticks(&self, count: f64) -> Vec<f64> {
        if self.log {
            let decades = libm::log10(self.high / self.low);
            return log_ticks(self.low, self.high, (self.end - self.start).abs() / decades);
        }
        multiples(self.low, self.high, nice_above((self.high - self.low) / count))
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below `value`.
pub(super) fn nice_above(value: f64) -> f64 {
    let decade = libm::pow(10.0, libm::floor(libm::log10(value.max(1e-12))));
    let rounded = [1.0, 2.0, 5.0].map(|step| step * decade);
    rounded.into_iter().find(|step| value <= step * (1.0 + 1e-9)).unwrap_or(10.0 * decade)
}

/// The greatest of 1, 2 and 5 times a power of ten that is not above `value`.
pub(super) fn nice_below(value: f64) -> f64 {
    let decade = libm::pow(10.0, libm::floor(libm::log10(value.max(1e-12))));
    let rounded = [5.0, 2.0].map(|step| step * decade);
    rounded.into_iter().find(|step| *step * (1.0 - 1e-9) <= value).unwrap_or(decade)
}

fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    let first = libm::ceil(low / step - 1e-9);
    let last = libm::floor(high / step + 1e-9);
    (0_u32..200)
        .map(|n| first + f64::from(n))
        .take_while(|n| *n <= last)
        .map(|n| n * step)
        .collect()
}

/// 1-2-5 where a decade has the pixels for it, else 1-10-100.
fn log_ticks(low: f64, high: f64, decade_px: f64) -> Vec<f64> {
    let steps: &[f64] = if 48.0 <= decade_px { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let mut decade = libm::pow(10.0, libm::floor(libm::log10(low) + 1e-9));
    let mut ticks = Vec::new();
    while decade <= high * (1.0 + 1e-9) {
        let values = steps.iter().map(|step| step * decade);
        ticks.extend(values.filter(|v| low * (1.0 - 1e-9) <= *v && *v <= high * (1.0 + 1e-9)));
        decade *= 10.0;
    }
    ticks
}

/// A range for a logarithmic axis around positive values, with round ends.
pub(super) fn log_range(low: f64, high: f64) -> (f64, f64) {
    let (low, high) = (nice_below(low.max(1.0)), nice_above(high.max(1.0)));
    if low < high { (low, high) } else { (low / 2.0, high * 2.0) }
}

/// The unit in which a run is told, and the steps between ticks in it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct TimeUnit {
    /// Short name.
    pub(super) name: &'static str,
    /// Its length in seconds.
    pub(super) length_s: f64,
    steps: &'static [f64],
}

const TIME_UNITS: [(f64, TimeUnit); 5] = [
    (180.0, TimeUnit { name: "s", length_s: 1.0, steps: &[1.0, 2.0, 5.0, 10.0, 15.0, 30.0] }),
    (
        3.0 * 3_600.0,
        TimeUnit { name: "min", length_s: 60.0, steps: &[0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0] },
    ),
    (
        4.0 * 86_400.0,
        TimeUnit { name: "h", length_s: 3_600.0, steps: &[0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 12.0] },
    ),
    (
        730.0 * 86_400.0,
        TimeUnit {
            name: "days",
            length_s: 86_400.0,
            steps: &[0.5, 1.0, 2.0, 5.0, 7.0, 14.0, 30.0],
        },
    ),
    (
        f64::INFINITY,
        TimeUnit { name: "years", length_s: 365.25 * 86_400.0, steps: &[0.5, 1.0, 2.0] },
    ),
];

/// The unit that suits a length of time.
pub(super) fn time_unit(length: Duration) -> TimeUnit {
    let length_s = length.as_s();
    TIME_UNITS.into_iter().find(|(most, _)| length_s <= *most).unwrap_or(TIME_UNITS[4]).1
}

impl TimeUnit {
    /// Ticks up to a length of time, at most `count`: (seconds, label).
    pub(super) fn ticks(&self, length_s: f64, count: f64) -> Vec<(f64, String)> {
        let length = length_s / self.length_s;
        let step = self.steps.iter().copied().find(|step| length / step <= count);
        let step = step.unwrap_or_else(|| nice_above(length / count));
        let few = length < self.steps[0] * 3.0;
        let step = if few { nice_above(length / count) } else { step };
        let ticks = multiples(0.0, length, step).into_iter();
        ticks.map(|value| (value * self.length_s, plain(value))).collect()
    }
}

/// A number with at most three decimals and none too many.
pub(super) fn plain(value: f64) -> String {
    let digits = if value.abs() < 0.1 {
        4
    } else if value.abs() < 10.0 {
        3
    } else {
        1
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Three significant digits, at least.
fn significant(value: f64) -> String {
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A latency in the unit that people say it in.
pub(super) fn latency(ns: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let (length, unit) =
        units.into_iter().find(|(length, _)| length * (1.0 - 1e-9) <= ns).unwrap_or((1.0, "ns"));
    format!("{} {unit}", significant(ns / length))
}

/// A count with commas: 1,234,567.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in short: 1,234, 12.3 k, 4.5 M.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 10,000")]
pub(super) fn short(value: f64) -> String {
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e4, " k")];
    match units.into_iter().find(|(size, _)| *size <= value) {
        Some((_, " k")) => format!("{} k", significant(value / 1e3)),
        Some((size, unit)) => format!("{}{unit}", significant(value / size)),
        None if 1e3 <= value => count(value.round() as u64),
        None => plain(value),
    }
}

/// A share of all in percent, with as many digits as it needs to differ from 0 and from 100.
pub(super) fn percent(share: f64) -> String {
    for digits in 1..=4 {
        let text = format!("{:.digits$}", share * 100.0);
        let value: f64 = text.parse().unwrap_or_default();
        let whole = value <= 0.0 || 100.0 <= value;
        let exact = share <= 0.0 || 1.0 <= share;
        if whole == exact {
            return format!("{} %", text.trim_end_matches('0').trim_end_matches('.'));
        }
    }
    if share < 0.5 { "< 0.0001 %".to_owned() } else { "> 99.9999 %".to_owned() }
}

/// Puts each extent (from, to), in order, into the first of `rows` rows where it does not come
/// nearer than `gap` to another; none where no row has room.
pub(super) fn stagger(extents: &[(f64, f64)], gap: f64, rows: usize) -> Vec<Option<usize>> {
    let mut taken: Vec<Vec<(f64, f64)>> = vec![Vec::new(); rows];
    let place = |&(from, to): &(f64, f64)| {
        let free =
            |row: &Vec<(f64, f64)>| row.iter().all(|it| to + gap <= it.0 || it.1 + gap <= from);
        let row = taken.iter().position(free)?;
        taken[row].push((from, to));
        Some(row)
    };
    extents.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_labels_never_overlap() {
        let extents: Vec<(f64, f64)> = (0..200_u32)
            .map(|n| f64::from(n * 7_919 % 1_000))
            .map(|from| (from, from + 40.0 + from % 130.0))
            .collect();
        let rows = stagger(&extents, 10.0, 12);
        assert!(rows.iter().any(Option::is_none) && rows.iter().flatten().any(|row| *row == 11));
        for (i, a) in extents.iter().enumerate() {
            for (j, b) in extents.iter().enumerate().skip(i + 1) {
                let apart = a.1 + 10.0 <= b.0 || b.1 + 10.0 <= a.0;
                assert!(rows[i].is_none() || rows[i] != rows[j] || apart, "{a:?} and {b:?}");
            }
        }
        assert_eq!(
            stagger(&[(0.0, 10.0), (30.0, 40.0), (5.0, 9.0)], 5.0, 2),
            [Some(0), Some(0), Some(1)]
        );
    }

    #[test]
    fn numbers_are_said_as_people_say_them() {
        for (ns, text) in
            [(250.0, "250 ns"), (1e3, "1 µs"), (2.5e5, "250 µs"), (12.34e6, "12.3 ms")]
        {
            assert_eq!(latency(ns), text);
        }
        assert_eq!((latency(1e9), latency(120e9)), ("1 s".into(), "120 s".into()));
        assert_eq!((count(1_234_567), count(12)), ("1,234,567".into(), "12".into()));
        assert_eq!(
            (short(950.0), short(12_345.0), short(2e6)),
            ("950".into(), "12.3 k".into(), "2 M".into())
        );
    }

    #[test]
    fn a_share_never_rounds_to_all_or_nothing() {
        assert_eq!(
            (percent(1.0), percent(0.0), percent(0.5)),
            ("100 %".into(), "0 %".into(), "50 %".into())
        );
        assert_eq!((percent(0.99996), percent(0.0001)), ("99.996 %".into(), "0.01 %".into()));
        assert_eq!(
            (percent(1.0 - 1e-9), percent(1e-9)),
            ("> 99.9999 %".into(), "< 0.0001 %".into())
        );
    }

    #[test]
    fn time_is_told_in_the_unit_of_the_run() {
        let labels = |s: u64| {
            let unit = time_unit(Duration::from_s(s));
            let ticks =
                unit.ticks(s as f64, 13.0).into_iter().map(|tick| tick.1).collect::<Vec<_>>();
            (unit.name, ticks)
        };
        assert_eq!(
            labels(129_600),
            (
                "h",
                ["0", "3", "6", "9", "12", "15", "18", "21", "24", "27", "30", "33", "36"]
                    .map(String::from)
                    .to_vec()
            )
        );
        assert_eq!(labels(600).0, "min");
        for s in [0, 1, 7, 180, 181, 3_600, 10_801, 86_400, 400_000, 40_000_000, 1_000_000_000] {
            let ticks = labels(s).1;
            assert!(!ticks.is_empty() && ticks.len() <= 14, "{s}: {ticks:?}");
        }
    }

    #[test]
    fn scales_hold_their_values() {
        let scale = Scale::log((1e3, 1e9), (100.0, 0.0));
        assert!((scale.at(1e6) - 50.0).abs() < 1e-9 && scale.at(0.0) <= 100.0);
        assert!((Scale::linear((5.0, 5.0), (0.0, 1.0)).at(5.0)).abs() < 1e-9);
        assert_eq!(Scale::linear((0.99, 1.0), (0.0, 1.0)).ticks(5.0).len(), 6);
        assert_eq!(log_ticks(1e6, 1e8, 100.0).len(), 7);
        assert_eq!(log_range(7e6, 7e6), (5e6, 1e7));
    }
}
