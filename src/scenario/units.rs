//! Single values: how each kind of text or number reads, and what is said when it does not.
//!
//! Source: the units of `plan::profile`.
//! Left out: nothing is guessed: a number without its unit is an error that shows the unit.

use super::context::Fault;
use super::document::{Node, Value};
use super::schema::{Kind, describe, parameter};
use crate::kernel::time::{Duration, NS_PER_S};
use crate::plan::linkerd::Linkerd;
use crate::plan::linkerd::split::thousandths;
use crate::plan::parameter::{Parameters, ValueKind};
use crate::plan::profile::{read_duration, read_rate, read_share};
use std::sync::LazyLock;

/// Parameters to try texts on.
static SCRATCH: LazyLock<Parameters> = LazyLock::new(Parameters::default);
static OWN: LazyLock<Linkerd> = LazyLock::new(Linkerd::default);

/// A value of another kind than this.
pub(crate) fn expected(node: &Node, kind: Kind) -> Fault {
    Fault::new(node.at, format!("expected {}, found {}", describe(kind), node.kind()))
}

/// A duration.
pub(crate) fn duration(node: &Node) -> Result<Duration, Fault> {
    match &node.value {
        Value::Text(text) => read_duration(text).map_err(|what| Fault::new(node.at, what)),
        Value::Integer(0) => Ok(Duration::ZERO),
        Value::Integer(_) | Value::Float(_) => Err(unitless(node, "duration", "ms", "s")),
        _ => Err(expected(node, Kind::Duration)),
    }
}

/// A rate in events per second.
pub(crate) fn rate(node: &Node) -> Result<f64, Fault> {
    match &node.value {
        Value::Text(text) => read_rate(text).map_err(|what| Fault::new(node.at, what)),
        Value::Integer(0) => Ok(0.0),
        Value::Integer(_) | Value::Float(_) => Err(unitless(node, "rate", "rps", "/h")),
        _ => Err(expected(node, Kind::Like("connections.churn"))),
    }
}

/// A share within 0 and 1.
pub(crate) fn share(node: &Node) -> Result<f64, Fault> {
    match &node.value {
        Value::Text(text) => read_share(text).map_err(|what| Fault::new(node.at, what)),
        Value::Integer(_) | Value::Float(_) => read_share(&node.print()).map_err(|what| {
            let fault = Fault::new(node.at, what);
            match node.number() {
                Some(number) if 1.0 < number && number <= 100.0 => {
                    fault.hint(format!("{number} percent is written \"{number}%\""))
                }
                _ => fault,
            }
        }),
        _ => Err(expected(node, Kind::Share)),
    }
}

/// A number of at least 0 that is finite.
pub(crate) fn number(node: &Node) -> Result<f64, Fault> {
    match node.number() {
        Some(number) if (0.0..=1e9).contains(&number) => Ok(number),
        Some(number) => Err(Fault::new(node.at, format!("{number} is not within 0 and 10^9"))),
        None => Err(expected(node, Kind::Number)),
    }
}

/// A weight as Kubernetes writes quantities, in thousandths.
pub(crate) fn quantity(node: &Node) -> Result<u32, Fault> {
    let text = match &node.value {
        Value::Integer(_) | Value::Float(_) | Value::Text(_) => node.print(),
        _ => return Err(expected(node, Kind::Quantity)),
    };
    thousandths(&text).map_err(|what| Fault::new(node.at, what))
}

/// A whole number within limits.
pub(crate) fn count(node: &Node, least: i64, most: i64) -> Result<i64, Fault> {
    match node.value {
        Value::Integer(number) if (least..=most).contains(&number) => Ok(number),
        Value::Integer(_) | Value::Float(_) => Err(Fault::new(
            node.at,
            format!("{} is no whole number from {least} to {most}", node.print()),
        )),
        _ => Err(expected(node, Kind::Count(least, most))),
    }
}

/// Bits per second, above 0.
pub(crate) fn bandwidth(node: &Node) -> Result<f64, Fault> {
    const UNITS: [(&str, f64); 4] = [("gbps", 1e9), ("mbps", 1e6), ("kbps", 1e3), ("bps", 1.0)];
    let Some(text) = node.as_text() else { return Err(expected(node, Kind::Bandwidth)) };
    let found = UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)));
    match found.map(|(number, size)| (number.trim().parse::<f64>(), size)) {
        Some((Ok(number), size)) if 0.0 < number && number * size <= 1e15 => Ok(number * size),
        _ => Err(Fault::new(node.at, format!("`{text}` is no bandwidth"))
            .hint("write it like \"1gbps\", \"100mbps\", \"64kbps\"")),
    }
}

/// The text that a parameter reads, if it reads it.
pub(crate) fn parameter_text(node: &Node, name: &str) -> Result<String, Fault> {
    let kind = parameter(name).kind;
    let unit_missing = match node.value {
        Value::Integer(number) => number != 0,
        Value::Float(_) => true,
        _ => false,
    };
    match kind {
        ValueKind::Duration if unit_missing => return Err(unitless(node, "duration", "ms", "s")),
        ValueKind::Rate if unit_missing => return Err(unitless(node, "rate", "rps", "/h")),
        _ if !fits(node, kind) => return Err(expected(node, Kind::Like(parameter(name).name))),
        _ => {}
    }
    if kind == ValueKind::Share {
        return share(node).map(|share| share.to_string());
    }
    let text = match &node.value {
        Value::List(items) => items.iter().map(Node::print).collect::<Vec<_>>().join(","),
        _ => node.print(),
    };
    let set = SCRATCH.clone().set(name, &text).or_else(|| OWN.clone().set(name, &text));
    match set {
        Some(Ok(())) => Ok(text),
        Some(Err(what)) => {
            let what = if matches!(kind, ValueKind::Word(_) | ValueKind::Count) {
                format!("`{text}` does not fit: {what}")
            } else {
                what
            };
            Err(Fault::new(node.at, what))
        }
        None => unreachable!("the key table names parameters that exist"),
    }
}

/// Whether a value of this type can be a parameter of that kind.
fn fits(node: &Node, kind: ValueKind) -> bool {
    use ValueKind::{Bool, Bytes, Count, Duration, Number, Rate, RetryOn, Share, Statuses, Word};
    match &node.value {
        Value::Text(_) => !matches!(kind, Count | Number | Bool),
        Value::Integer(_) => {
            matches!(kind, Count | Number | Share | Duration | Rate | Statuses | Bytes)
        }
        Value::Float(_) => matches!(kind, Number | Share | Count),
        Value::Bool(_) => kind == Bool,
        Value::List(items) => match kind {
            RetryOn => items.iter().all(|item| item.as_text().is_some()),
            Statuses => items.iter().all(|item| matches!(item.value, Value::Integer(_))),
            Duration | Share | Count | Number | Bool | Rate | Bytes | Word(_) => false,
        },
        Value::Table(_) | Value::Date(_) => false,
    }
}

impl Node {
    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<f64> {
        match self.value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        }
    }

    /// The duration of `key`; what does not read was reported by the check.
    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        duration(self.get(key)?).ok()
    }

    /// The rate of `key`, a second.
    pub(crate) fn rate(&self, key: &str) -> Option<f64> {
        rate(self.get(key)?).ok()
    }

    /// The share of `key`.
    pub(crate) fn share(&self, key: &str) -> Option<f64> {
        share(self.get(key)?).ok()
    }

    /// The whole number of `key`, at least 0.
    pub(crate) fn count(&self, key: &str) -> Option<u32> {
        match self.get(key)?.value {
            Value::Integer(number) => u32::try_from(number).ok(),
            _ => None,
        }
    }

    /// The truth of `key`.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)?.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The texts of the table `key`.
    pub(crate) fn labels(&self, key: &str) -> impl Iterator<Item = (String, String)> {
        let entries = self.get(key).map_or(&[][..], Self::entries);
        entries.iter().filter_map(|e| Some((e.key.clone(), e.node.as_text()?.to_owned())))
    }
}

fn unitless(node: &Node, what: &str, small: &str, large: &str) -> Fault {
    let number = node.print();
    Fault::new(node.at, format!("`{number}` has no unit, and a {what} needs one"))
        .hint(format!("write it like \"{number}{small}\" or \"{number}{large}\""))
}

/// The default length of a row: duration / 720, rounded up to 1, 2 or 5 of a unit.
pub(crate) fn default_interval(duration: Duration) -> Duration {
    const UNITS: [(u64, u64); 6] = [
        (1, 1_000),
        (1_000, 1_000),
        (1_000_000, 1_000),
        (NS_PER_S, 60),
        (60 * NS_PER_S, 60),
        (3_600 * NS_PER_S, u64::MAX),
    ];
    let least = duration.ns().div_ceil(720);
    for (unit, until) in UNITS {
        let mut ten = 1;
        while ten < until && ten < 1_000_000_000 {
            for step in [1, 2, 5] {
                if step * ten < until && least <= step * ten * unit {
                    return Duration::from_ns(step * ten * unit);
                }
            }
            ten *= 10;
        }
    }
    duration
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_interval_is_one_two_or_five_of_a_unit() {
        for (duration, interval) in [
            ("36h", "5m"),
            ("24h", "2m"),
            ("1h", "5s"),
            ("10h", "50s"),
            ("11h", "1m"),
            ("1s", "2ms"),
            ("1us", "2ns"),
            ("1ns", "1ns"),
            ("13000d", "500h"),
        ] {
            let read = |text| read_duration(text).expect("a duration");
            assert_eq!(default_interval(read(duration)), read(interval), "{duration}");
        }
    }
}
