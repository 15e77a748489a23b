//! Values with a structure of their own: distributions and arrivals.
//!
//! Source: the families of `kernel::distribution`; open and closed loop of `plan::traffic`.
//! Left out: shifted, truncated and mixed distributions.

use super::context::{Context, Fault, known};
use super::document::{Node, Value};
use super::schema::Kind;
use super::units::{count, duration, expected, number, rate, share};
use crate::kernel::distribution::Distribution;
use crate::kernel::time::{Duration, Time};
use crate::plan::profile::read_duration;
use crate::plan::traffic::{ArrivalProcess, Arrivals, RatePoint};

/// The families, as they are written.
pub(crate) const FAMILIES: [&str; 9] = [
    "constant",
    "uniform",
    "exponential",
    "lognormal",
    "pareto",
    "weibull",
    "erlang",
    "hyperexponential",
    "empirical",
];
/// The kinds of arrivals.
pub(crate) const ARRIVALS: [&str; 4] = ["poisson", "constant", "replay", "closed"];

/// A distribution of times.
pub(crate) fn distribution(context: &mut Context<'_>, node: &Node) -> Result<Distribution, Fault> {
    if !node.is_table() {
        return match node.value {
            Value::Text(_) | Value::Integer(_) | Value::Float(_) => {
                duration(node).map(Distribution::Constant)
            }
            _ => Err(expected(node, Kind::Distribution)),
        };
    }
    let (family, body) = only_key(node, &FAMILIES, "distribution")?;
    let made = match family {
        "constant" => Distribution::Constant(duration(body)?),
        "exponential" => Distribution::Exponential { mean: duration(body)? },
        "uniform" => {
            let [low, high] = fields(body, ["low", "high"])?;
            Distribution::Uniform { low: duration(low)?, high: duration(high)? }
        }
        "lognormal" => lognormal(body)?,
        "pareto" | "weibull" => {
            let [scale, shape] = fields(body, ["scale", "shape"])?;
            let (scale, shape) = (duration(scale)?, number(shape)?);
            match family {
                "pareto" => Distribution::Pareto { scale, shape },
                _ => Distribution::Weibull { scale, shape },
            }
        }
        "erlang" => {
            let [stages, mean] = fields(body, ["stages", "mean"])?;
            let stages = u32::try_from(count(stages, 1, 1_000)?).expect("at most 1000");
            Distribution::Erlang { stages, mean: duration(mean)? }
        }
        "hyperexponential" => {
            let Value::List(items) = &body.value else {
                return Err(Fault::new(body.at, "expected a list of { share, mean }"));
            };
            let branch = |item| {
                let [part, mean] = fields(item, ["share", "mean"])?;
                Ok((share(part)?, duration(mean)?))
            };
            let branches = items.iter().map(branch).collect::<Result<_, Fault>>()?;
            Distribution::Hyperexponential { branches }
        }
        _ => Distribution::Empirical { values: empirical(context, body)? },
    };
    made.check().map_err(|what| Fault::new(body.at, format!("{family}: {what}")))?;
    Ok(made)
}

fn lognormal(body: &Node) -> Result<Distribution, Fault> {
    let made = if body.get("mean").is_some() || body.get("cv").is_some() {
        let [mean, cv] = fields(body, ["mean", "cv"])?;
        Distribution::lognormal_mean_cv(duration(mean)?, number(cv)?)
    } else {
        let [p50, p99] = fields(body, ["p50", "p99"])?;
        Distribution::lognormal_p50_p99(duration(p50)?, duration(p99)?)
    };
    made.map_err(|what| Fault::new(body.at, format!("lognormal: {what}")))
}

fn empirical(context: &mut Context<'_>, body: &Node) -> Result<Vec<Duration>, Fault> {
    match &body.value {
        Value::List(items) => items.iter().map(duration).collect(),
        Value::Table(_) => {
            let [csv] = fields(body, ["csv"])?;
            lines(context, csv, "ms")
        }
        _ => Err(Fault::new(body.at, "expected a list of durations or { csv = \"FILE\" }")),
    }
}

/// One duration a line of a file, plain numbers in `unit`; an optional header.
fn lines(context: &mut Context<'_>, path: &Node, unit: &str) -> Result<Vec<Duration>, Fault> {
    let Some(name) = path.as_text() else { return Err(expected(path, Kind::Text)) };
    let text = context.read_data(path.at, name);
    let text =
        text.map_err(|why| Fault::new(path.at, format!("`{name}` cannot be read: {why}")))?;
    let mut values = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let first = line.split(',').next().unwrap_or("").trim();
        let read = match first.parse::<f64>() {
            Ok(_) => read_duration(&format!("{first}{unit}")),
            Err(_) => read_duration(first),
        };
        match read {
            Ok(value) => values.push(value),
            Err(_) if first.is_empty() || index == 0 => {}
            Err(why) => {
                return Err(Fault::new(path.at, format!("line {} of `{name}`: {why}", index + 1)));
            }
        }
    }
    if values.is_empty() {
        return Err(Fault::new(path.at, format!("`{name}` holds no value")));
    }
    Ok(values)
}

/// When requests come.
pub(crate) fn arrivals(context: &mut Context<'_>, node: &Node) -> Result<Arrivals, Fault> {
    if !node.is_table() {
        return Err(expected(node, Kind::Arrivals));
    }
    let (kind, body) = only_key(node, &ARRIVALS, "kind of arrivals")?;
    let open = |process, rate| Ok(Arrivals::OpenLoop { process, rate });
    match kind {
        "poisson" => open(ArrivalProcess::Poisson, rates(body)?),
        "constant" => open(ArrivalProcess::Constant, rates(body)?),
        "replay" => {
            let mut times: Vec<_> = lines(context, body, "s")?
                .into_iter()
                .map(|from_start| Time::from_ns(from_start.ns()))
                .collect();
            times.sort_unstable();
            Ok(Arrivals::Replay(times))
        }
        _ => {
            let [users, think] = fields(body, ["users", "think"])?;
            let users = u32::try_from(count(users, 1, 10_000_000)?).expect("at most 10^7");
            Ok(Arrivals::ClosedLoop { users, think: distribution(context, think)? })
        }
    }
}

fn rates(body: &Node) -> Result<Vec<RatePoint>, Fault> {
    if !body.is_table() {
        let point = |per_s| vec![RatePoint { from: Time::ZERO, per_s, ramp: false }];
        return rate(body).map(point);
    }
    let (shape, list) = only_key(body, &["steps", "ramp"], "shape")?;
    let Value::List(items) = &list.value else {
        return Err(Fault::new(list.at, "expected a list of [\"TIME\", \"RATE\"] pairs"));
    };
    let mut points: Vec<RatePoint> = Vec::new();
    for item in items {
        let [from, per_s] = item.items() else {
            return Err(Fault::new(item.at, "expected a pair such as [\"1m\", \"50rps\"]"));
        };
        let (time, per_s) = (Time::from_ns(duration(from)?.ns()), rate(per_s)?);
        match points.last() {
            None if time != Time::ZERO => {
                return Err(Fault::new(from.at, "the first point must be at 0s"));
            }
            Some(before) if time <= before.from => {
                return Err(Fault::new(from.at, format!("{time} is not after {}", before.from)));
            }
            _ => points.push(RatePoint { from: time, per_s, ramp: shape == "ramp" }),
        }
    }
    match points.last_mut() {
        None => Err(Fault::new(list.at, "there is no point")),
        Some(end) => {
            end.ramp = false;
            Ok(points)
        }
    }
}

/// The one key of a table that says which of several things it is.
fn only_key<'n>(
    node: &'n Node,
    names: &'static [&'static str],
    what: &str,
) -> Result<(&'static str, &'n Node), Fault> {
    let mut found = None;
    for entry in node.entries() {
        let Some(name) = names.iter().find(|name| **name == entry.key) else {
            return Err(Fault::new(entry.at, format!("there is no {what} `{}`", entry.key))
                .hint(known(&entry.key, names.iter().copied(), &format!("a {what} is one of"))));
        };
        if found.is_some() {
            return Err(Fault::new(entry.at, format!("one {what} is enough")));
        }
        found = Some((*name, &entry.node));
    }
    found.ok_or_else(|| {
        Fault::new(node.at, format!("no {what} is given"))
            .hint(format!("one of {}", names.join(", ")))
    })
}

/// Exactly these fields of a table.
fn fields<'n, const N: usize>(node: &'n Node, names: [&str; N]) -> Result<[&'n Node; N], Fault> {
    if !node.is_table() {
        let what = format!("expected a table with {}, found {}", names.join(" and "), node.kind());
        return Err(Fault::new(node.at, what));
    }
    for entry in node.entries() {
        if !names.contains(&entry.key.as_str()) {
            return Err(Fault::new(entry.at, format!("there is no key `{}` here", entry.key))
                .hint(known(&entry.key, names, "the keys here are")));
        }
    }
    let mut found = [node; N];
    for (slot, name) in found.iter_mut().zip(names) {
        *slot = node.get(name).ok_or_else(|| {
            Fault::new(node.at, format!("`{name}` is missing"))
                .hint(format!("it takes {}", names.join(" and ")))
        })?;
    }
    Ok(found)
}
