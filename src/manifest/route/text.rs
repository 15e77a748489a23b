//! An answer as lines of text for the terminal.
//!
//! Source: `design/contract.md`, the command `route`.
//! Left out: colours, which the command line adds.

use crate::manifest::route::{Destination, Direct, Route};
use std::fmt;

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rule) = &self.rule {
            writeln!(f, "{} {} at {}:{}", rule.object, rule.rule, rule.file, rule.line)?;
            writeln!(f, "  matches {}", rule.matches)?;
        }
        if let Some(listener) = &self.listener {
            writeln!(f, "  through {listener}")?;
        }
        if let Some(direct) = &self.direct {
            writeln!(f, "  {}", direct_text(direct))?;
        }
        for to in &self.destinations {
            destination(to, f)?;
        }
        for mirror in &self.mirrors {
            let percent = percent(mirror.share);
            let (namespace, service, port) = (&mirror.namespace, &mirror.service, mirror.port);
            writeln!(f, "  mirrors {percent} to {namespace}/{service}:{port} ({})", mirror.place)?;
        }
        for fault in &self.faults {
            let delay = fault.delay_ns.map(|ns| format!(" delay {}", duration(ns)));
            let status = fault.status.map(|status| format!(" status {status}"));
            let told = delay.unwrap_or_default() + &status.unwrap_or_default();
            writeln!(f, "  fault for {}{told} ({})", percent(fault.share), fault.place)?;
        }
        if let Some(limit) = self.timeout_ns {
            writeln!(f, "  timeout {}", duration(limit))?;
        }
        if let Some(limit) = self.per_try_timeout_ns {
            writeln!(f, "  timeout per try {}", duration(limit))?;
        }
        if let Some(retries) = &self.retries {
            let codes = retries.codes.iter().map(ToString::to_string);
            let on: Vec<String> = codes.chain(retries.on.iter().cloned()).collect();
            let attempts = retries.attempts.to_string();
            let limit = self.retry_budget.as_ref().unwrap_or(&attempts);
            writeln!(f, "  retries {limit} on {} ({})", on.join(", "), retries.place)?;
        }
        for step in &self.why {
            writeln!(f, "  because {step}")?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        Ok(())
    }
}

fn destination(to: &Destination, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let subset = to.subset.as_ref().map_or(String::new(), |subset| format!(" subset {subset}"));
    let name = if to.namespace.is_empty() {
        format!("{}:{}", to.service, to.port)
    } else {
        format!("{}/{}:{}", to.namespace, to.service, to.port)
    };
    write!(f, "  {:>6} to {name}{subset}", percent(to.share))?;
    if !to.workloads.is_empty() {
        write!(f, " [{}]", to.workloads.join(", "))?;
    }
    if let Some(failure) = &to.failure {
        write!(f, " {}", direct_text(failure))?;
    }
    writeln!(f, " ({})", to.place)?;
    if to.failure.is_none() {
        writeln!(f, "         as {}", to.request)?;
        for (name, value) in &to.request.headers.0 {
            writeln!(f, "            {name}: {value}")?;
        }
    }
    Ok(())
}

fn direct_text(direct: &Direct) -> String {
    let flag = if direct.flag.is_empty() { String::new() } else { format!(" {}", direct.flag) };
    match &direct.location {
        Some(location) => format!("answers {}{flag} to {}", direct.status, location.url),
        None if direct.status == 0 => format!("no answer{flag}: {}", direct.reason),
        None => format!("answers {}{flag}: {}", direct.status, direct.reason),
    }
}

/// A share as a percentage with at most two digits after the point.
pub fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A duration in the largest unit that shows it exactly.
pub fn duration(ns: u64) -> String {
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
    let fits = units.iter().find(|(unit, _)| ns.is_multiple_of(*unit));
    fits.map_or(String::new(), |(unit, name)| format!("{}{name}", ns / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!((percent(0.3333), percent(1.0)), ("33.33%".into(), "100%".into()));
        assert_eq!((duration(1_500_000_000), duration(2_000)), ("1500ms".into(), "2us".into()));
    }

    #[test]
    fn an_answer_reads_as_a_story() {
        let route = Route::direct(404, "NR", "no rule matches").because("HTTPRoute a/b is bound");
        let expected = "  answers 404 NR: no rule matches\n  because HTTPRoute a/b is bound\n";
        assert_eq!(route.to_string(), expected);
    }
}
