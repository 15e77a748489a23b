//! Expressions: `METRIC COMPARISON VALUE`, in assertions and conditions.
//!
//! A metric is a word, or a word with arguments: `success_rate(destination=reviews, version=v2)`,
//! `count(flags=UH)`, `max(config_staleness)`, `recovery_time(success_rate >= 99%)`. A bare word
//! among the arguments is a version if there is one of that name, else a service; a bare gauge
//! means its maximum.
//!
//! Source: the example of docs/scenarios.md.
//! Left out: arithmetic, `and`, `or`.

use super::context::known;
use crate::kernel::time::Duration;
use crate::plan::assertion::{Aggregate, Comparison, Expectation, Filter, Metric};
use crate::plan::profile::{read_duration, read_rate, read_share};
use crate::vocabulary::counter::Counter;
use crate::vocabulary::flag::Flags;
use crate::vocabulary::metric::Gauge;

/// What is wrong at bytes `start..end` of the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bad {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

/// The names that an expression may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) services: Vec<String>,
    pub(crate) versions: Vec<String>,
    pub(crate) traffic: Vec<String>,
    /// Which gauges there are.
    pub(crate) is_linkerd: bool,
}

/// In which unit the value stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    Share,
    Time,
    Rate,
    Number,
}

const QUANTILES: [(&str, f64); 9] = [
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p999", 0.999),
    ("p99.9", 0.999),
    ("p9999", 0.9999),
    ("p99.99", 0.9999),
];
const WORDS: [&str; 14] = [
    "success_rate",
    "error_rate",
    "mean",
    "mean_latency",
    "max_latency",
    "count",
    "share",
    "rate",
    "retry_ratio",
    "amplification",
    "max",
    "min",
    "last",
    "recovery_time",
];

/// A piece of the text with its offset.
#[derive(Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    start: usize,
}

impl<'t> Piece<'t> {
    fn trim(self) -> Self {
        let text = self.text.trim_start();
        Self { start: self.start + self.text.len() - text.len(), text: text.trim_end() }
    }

    fn part(self, from: usize, to: usize) -> Self {
        Self { text: &self.text[from..to], start: self.start + from }.trim()
    }

    fn bad<T>(self, what: impl Into<String>, hint: impl Into<String>) -> Result<T, Bad> {
        let end = self.start + self.text.len();
        Err(Bad { start: self.start, end, what: what.into(), hint: Some(hint.into()) })
    }

    /// Pieces between commas.
    fn split(self) -> Vec<Piece<'t>> {
        let mut parts = Vec::new();
        let mut from = 0;
        for part in self.text.split(',') {
            parts.push(self.part(from, from + part.len()));
            from += part.len() + 1;
        }
        parts
    }
}

/// Reads an expression.
pub(crate) fn expression(text: &str, names: &Names) -> Result<Expectation, Bad> {
    expect(Piece { text, start: 0 }.trim(), names, 0)
}

/// Reads `EXPRESSION for HOLD`.
pub(crate) fn condition(text: &str, names: &Names) -> Result<(Expectation, Duration), Bad> {
    let whole = Piece { text, start: 0 };
    let Some(at) = text.rfind(" for ") else {
        return whole
            .trim()
            .bad("the condition has no hold time", "write it like \"error_rate > 5% for 1m\"");
    };
    let expectation = expect(whole.part(0, at), names, 0)?;
    if matches!(expectation.metric, Metric::Counter(_)) {
        return whole.part(0, at).bad(
            "a counter is of the whole run",
            "a condition looks at requests and at gauges, as in \"error_rate > 5% for 1m\"",
        );
    }
    let gauge = |inner: &Expectation| inner.metric.gauge().is_some();
    if matches!(&expectation.metric, Metric::RecoveryTime(inner) if gauge(inner)) {
        return whole.part(0, at).bad(
            "a condition looks at a gauge, not at its recovery",
            "write what is to hold, such as \"pods_missing == 0 for 1m\"",
        );
    }
    let hold = whole.part(at + 5, text.len());
    match read_duration(hold.text) {
        Ok(length) if !length.is_zero() => Ok((expectation, length)),
        Ok(_) => hold.bad("the hold time is zero", "it is also the window that is looked at"),
        Err(what) => hold.bad(what, "the hold time follows `for`"),
    }
}

fn expect(piece: Piece<'_>, names: &Names, depth: u32) -> Result<Expectation, Bad> {
    let Some((at, comparison, length)) = comparison(piece.text) else {
        return piece.bad(
            "there is no comparison",
            "an expression is METRIC COMPARISON VALUE, such as success_rate >= 99.9%",
        );
    };
    let (metric, unit) = metric(piece.part(0, at), names, depth)?;
    let value = piece.part(at + length, piece.text.len());
    let threshold = threshold(value, unit)?;
    Ok(Expectation { metric, comparison, threshold })
}

/// The first comparison outside of parentheses: where, which, how long.
fn comparison(text: &str) -> Option<(usize, Comparison, usize)> {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 => {
                let found = Comparison::ALL.iter().find(|(_, sign)| text[at..].starts_with(sign));
                if let Some((comparison, sign)) = found {
                    return Some((at, *comparison, sign.len()));
                }
            }
            _ => {}
        }
    }
    None
}

fn metric(piece: Piece<'_>, names: &Names, depth: u32) -> Result<(Metric, Unit), Bad> {
    let (word, arguments) = match piece.text.find('(') {
        None => (piece, None),
        Some(open) if piece.text.ends_with(')') => {
            (piece.part(0, open), Some(piece.part(open + 1, piece.text.len() - 1)))
        }
        Some(open) => {
            return piece
                .part(open, piece.text.len())
                .bad("the parenthesis is not closed", "a metric is WORD or WORD(ARGUMENTS)");
        }
    };
    if let (Some(&(_, quantile)), None) = (QUANTILES.iter().find(|q| q.0 == word.text), arguments) {
        return Ok((Metric::Quantile(quantile), Unit::Time));
    }
    let filter = || arguments.map_or(Ok(Filter::default()), |piece| filter(piece, names));
    let of_gauge = |aggregate, piece| gauge(aggregate, piece, names);
    match (word.text, arguments) {
        ("success_rate", _) => Ok((Metric::SuccessRate(filter()?), Unit::Share)),
        ("error_rate", _) => Ok((Metric::ErrorRate(filter()?), Unit::Share)),
        ("count", _) => Ok((Metric::Count(filter()?), Unit::Number)),
        ("share", Some(_)) => Ok((Metric::Share(filter()?), Unit::Share)),
        ("share", None) => word.bad("a share of what?", "write it like share(flags=UH)"),
        ("max", Some(of)) => of_gauge(Aggregate::Max, of),
        ("min", Some(of)) => of_gauge(Aggregate::Min, of),
        ("mean", Some(of)) => of_gauge(Aggregate::Mean, of),
        ("last", Some(of)) => of_gauge(Aggregate::Last, of),
        ("mean" | "mean_latency", None) => Ok((Metric::MeanLatency, Unit::Time)),
        ("max_latency", None) => Ok((Metric::MaxLatency, Unit::Time)),
        ("rate", None) => Ok((Metric::Rate, Unit::Rate)),
        ("retry_ratio" | "amplification", None) => Ok((Metric::RetryRatio, Unit::Number)),
        ("recovery_time", Some(inner)) if depth == 0 => {
            let told = expect(inner, names, 1)?;
            if !can_recover(&told) {
                return inner.bad(
                    "a recovery of that cannot be told",
                    "it is told of success_rate, error_rate, count, share, quantiles and max_latency \
                     (these two with <, <=, > or >=), and of gauges",
                );
            }
            Ok((Metric::RecoveryTime(Box::new(told)), Unit::Time))
        }
        ("recovery_time", _) => {
            word.bad("recovery of what?", "write it like recovery_time(success_rate >= 99.9%)")
        }
        (name, _) if names.is_linkerd && Counter::is_named(name) => {
            match Counter::read(name, arguments.map(|piece| piece.text)) {
                Ok(counter) => Ok((Metric::Counter(counter), Unit::Number)),
                Err(hint) => {
                    arguments.unwrap_or(word).bad(format!("`{name}` is not told by that"), hint)
                }
            }
        }
        (name, None) if gauges(names).any(|row| row.1 == name) => {
            gauge(Aggregate::Max, word, names)
        }
        (name, Some(of)) if all_words(names).any(|one| one == name) => {
            of.bad(format!("`{name}` takes no arguments"), "`where` says which requests are meant")
        }
        (name, _) => word
            .bad(format!("there is no metric `{name}`"), known(name, all_words(names), "metrics")),
    }
}

/// Whether an expectation can be judged second by second, or reading by reading.
fn can_recover(expect: &Expectation) -> bool {
    let is_exact = matches!(expect.comparison, Comparison::Equal | Comparison::NotEqual);
    match expect.metric {
        Metric::Quantile(_) | Metric::MaxLatency => !is_exact,
        Metric::MeanLatency
        | Metric::Rate
        | Metric::RetryRatio
        | Metric::Counter(_)
        | Metric::RecoveryTime(_) => false,
        // What a gauge was over a time says nothing of when it came to be so.
        Metric::Gauge(aggregate, _) => matches!(aggregate, Aggregate::Max | Aggregate::Last),
        _ => true,
    }
}

fn all_words(names: &Names) -> impl Iterator<Item = &'static str> + Clone + use<> {
    let quantiles = QUANTILES.iter().map(|row| row.0);
    let is_linkerd = names.is_linkerd;
    let counters = Counter::ALL.iter().map(|row| row.1).filter(move |_| is_linkerd);
    WORDS.iter().copied().chain(quantiles).chain(gauges(names).map(|row| row.1)).chain(counters)
}

fn gauges(
    names: &Names,
) -> impl Iterator<Item = (Gauge, &'static str, &'static str)> + Clone + use<> {
    Gauge::of_mesh(names.is_linkerd)
}

fn gauge(aggregate: Aggregate, piece: Piece<'_>, names: &Names) -> Result<(Metric, Unit), Bad> {
    let Some((gauge, _, unit)) = gauges(names).find(|row| row.1 == piece.text) else {
        let names = gauges(names).map(|row| row.1);
        return piece.bad(
            format!("there is no gauge `{}`", piece.text),
            known(piece.text, names, "gauges"),
        );
    };
    let unit = match unit {
        "share" => Unit::Share,
        "s" => Unit::Time,
        _ => Unit::Number,
    };
    Ok((Metric::Gauge(aggregate, gauge), unit))
}

fn filter(piece: Piece<'_>, names: &Names) -> Result<Filter, Bad> {
    const KEYS: [&str; 6] = ["source", "destination", "version", "traffic", "status", "flags"];
    let mut filter = Filter::default();
    let mut in_flags = false;
    for part in piece.split() {
        let Some((key, value)) = part.text.split_once('=') else {
            match Flags::parse(part.text) {
                Some(more) if in_flags => {
                    let bits = filter.flags.unwrap_or_default();
                    filter.flags = Flags::parse(&format!("{bits},{more}")).or(Some(more));
                }
                _ => bare(part, names, &mut filter)?,
            }
            continue;
        };
        let (key, value) =
            (part.part(0, key.len()), part.part(key.len() + 1, key.len() + 1 + value.len()));
        in_flags = key.text == "flags";
        let text = Some(value.text.to_owned());
        match key.text {
            "source" => filter.source = text,
            "destination" => filter.destination = text,
            "version" => filter.version = text,
            "traffic" => filter.traffic = text,
            "status" => match value.text.parse() {
                Ok(status @ 0..=599) => filter.status = Some(status),
                _ => return value.bad(format!("`{}` is no status", value.text), "such as 503"),
            },
            "flags" => match Flags::parse(value.text) {
                Some(flags) => filter.flags = Some(flags),
                None => return value.bad(no_flag(value.text), flag_hint(value.text)),
            },
            name => {
                return key
                    .bad(format!("there is no filter `{name}`"), known(name, KEYS, "filters"));
            }
        }
        if let Some((what, hint)) = missing_name(key.text, value.text, names) {
            return value.bad(what, hint);
        }
    }
    Ok(filter)
}

fn bare(part: Piece<'_>, names: &Names, filter: &mut Filter) -> Result<(), Bad> {
    let name = part.text.to_owned();
    if names.versions.contains(&name) {
        filter.version = Some(name);
    } else if names.services.contains(&name) {
        filter.destination = Some(name);
    } else {
        let all = names.versions.iter().chain(&names.services).map(String::as_str);
        let hint = known(&name, all, "versions and services");
        return part.bad(format!("there is no version or service `{name}`"), hint);
    }
    Ok(())
}

/// What is wrong with the name that a filter asks for, if it exists nowhere.
pub(crate) fn missing_name(key: &str, name: &str, names: &Names) -> Option<(String, String)> {
    let (lists, what): (&[&Vec<String>], &str) = match key {
        "source" => (&[&names.services, &names.traffic], "service or traffic"),
        "destination" => (&[&names.services], "service"),
        "version" => (&[&names.versions], "version"),
        "traffic" => (&[&names.traffic], "traffic"),
        _ => return None,
    };
    if lists.iter().any(|list| list.iter().any(|one| one == name)) {
        return None;
    }
    let all = lists.iter().flat_map(|list| list.iter()).map(String::as_str);
    Some((format!("there is no {what} `{name}`"), known(name, all, "there are")))
}

/// What is wrong with flags that do not read.
pub(crate) fn no_flag(text: &str) -> String {
    format!("`{text}` is no list of response flags")
}

/// The flags there are.
pub(crate) fn flag_hint(text: &str) -> String {
    let names: Vec<_> = Flags::names().collect();
    known(text, names.iter().copied(), "flags")
}

fn threshold(value: Piece<'_>, unit: Unit) -> Result<f64, Bad> {
    if value.text.is_empty() {
        return value.bad("there is no value to compare with", "such as 99.9%, 250ms or 0");
    }
    let plain = value.text.parse::<f64>().ok().filter(|number| number.is_finite());
    match unit {
        Unit::Share => read_share(value.text)
            .or_else(|what| value.bad(what, "this metric is a share, such as 99.9% or 0.999")),
        Unit::Time => match (read_duration(value.text), plain) {
            (Ok(length), _) => Ok(length.as_s()),
            (Err(_), Some(_)) => value.bad(
                format!("`{}` has no unit, and this metric is a time", value.text),
                format!("write it like {0}ms or {0}s", value.text),
            ),
            (Err(what), None) => value.bad(what, "this metric is a time"),
        },
        Unit::Rate => read_rate(value.text)
            .or_else(|what| value.bad(what, "this metric is a rate, such as 200rps")),
        Unit::Number => match plain {
            Some(number) if 0.0 <= number => Ok(number),
            _ => value.bad(
                format!("`{}` is no number of at least 0", value.text),
                "this metric is a plain number",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Names {
            services: list(&["reviews", "productpage"]),
            versions: list(&["v1", "v2"]),
            traffic: list(&["users"]),
            is_linkerd: false,
        }
    }

    #[test]
    fn every_form_that_is_documented_reads() {
        for text in [
            "success_rate >= 99.9%",
            "p99 < 250ms",
            "count(flags=UH) == 0",
            "count(flags=URX,UF, status=503) == 0",
            "retry_ratio < 1.2",
            "max(config_staleness) < 30s",
            "config_staleness < 30s",
            "recovery_time(success_rate >= 99.9%) <= 15s",
            "success_rate(v2) < 0.95",
            "success_rate(destination=reviews, version=v2) > 5%",
            "rate > 10rps",
            "mean < 5ms",
            "mean(queued) <= 7",
            "p99.9<1s",
        ] {
            expression(text, &names()).expect(text);
        }
        let (_, hold) = condition("success_rate(v2) < 99% for 1m", &names()).expect("a condition");
        assert_eq!(hold, Duration::from_s(60));
    }

    #[test]
    fn gauges_of_linkerd_are_known_in_its_meshes_alone() {
        let linkerd = Names { is_linkerd: true, ..names() };
        for text in ["linkerd_check == 0", "min(destination_ready) > 0", "max(istiod_ready) < 2"] {
            expression(text, &linkerd).expect(text);
        }
        for text in ["linkerd_check == 0", "min(destination_ready) > 0"] {
            expression(text, &names()).expect_err(text);
        }
        for text in ["request_total > 5", "outbound_http_errors_total(error=response timeout) == 0"]
        {
            expression(text, &linkerd).expect(text);
            expression(text, &names()).expect_err(text);
        }
        for (text, part) in [
            ("response_total > 5", "response_total"),
            ("response_total(error=failfast) > 5", "error=failfast"),
            ("request_total(v1) > 5", "v1"),
            ("recovery_time(request_total > 5) < 1s", "request_total > 5"),
        ] {
            let bad = expression(text, &linkerd).expect_err(text);
            assert_eq!(&text[bad.start..bad.end], part);
        }
        condition("request_total > 5 for 1m", &linkerd).expect_err("of the whole run");
    }

    #[test]
    fn flags_with_commas_stay_together() {
        let read = expression("count(flags=URX,UF,status=503) == 0", &names()).expect("reads");
        let Metric::Count(filter) = read.metric else { panic!("a count") };
        assert_eq!((filter.flags, filter.status), (Flags::parse("URX,UF"), Some(503)));
    }

    #[test]
    fn the_offending_part_is_pointed_at() {
        for (text, part, what) in [
            ("p99 < 250", "250", "`250` has no unit, and this metric is a time"),
            ("sucess_rate > 5%", "sucess_rate", "there is no metric `sucess_rate`"),
            ("success_rate(v9) > 5%", "v9", "there is no version or service `v9`"),
            ("count(flag=UH) == 0", "flag", "there is no filter `flag`"),
            ("count(flags=XX) == 0", "XX", "`XX` is no list of response flags"),
            ("max(queue) == 0", "queue", "there is no gauge `queue`"),
            ("retry_ratio < 5%", "5%", "`5%` is no number of at least 0"),
            ("p99(v1) < 1s", "v1", "`p99` takes no arguments"),
            ("success_rate", "success_rate", "there is no comparison"),
        ] {
            let bad = expression(text, &names()).expect_err(text);
            assert_eq!((&text[bad.start..bad.end], bad.what.as_str()), (part, what));
        }
    }
}
