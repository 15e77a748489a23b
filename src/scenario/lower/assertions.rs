//! Assertions: windows, filters and expressions.
//!
//! Source: docs/scenarios.md.
//! Left out: assertions about single pods.

use super::super::context::Fault;
use super::super::document::Node;
use super::super::expression::{Bad, expression, flag_hint, missing_name, no_flag};
use super::Lower;
use crate::kernel::time::{Duration, Time};
use crate::plan::assertion::{Assertion, Filter, Metric, Window, WindowBase};
use crate::vocabulary::flag::Flags;

impl<'d> Lower<'_, '_, 'd> {
    /// The assertions, in the order of the file.
    pub(super) fn assertions(&mut self) -> Vec<Assertion> {
        let root: &'d Node = self.root;
        root.list("assert").iter().filter_map(|table| self.assertion(table)).collect()
    }

    fn assertion(&mut self, table: &Node) -> Option<Assertion> {
        let window = self.window(table);
        let filter = table.get("where").map(|node| self.filter(node)).unwrap_or_default();
        let expect = table.get("expect")?;
        let text = expect.as_text()?;
        let expectation = expression(text, &self.names).map_err(|bad| self.bad(expect, bad)).ok();
        let at = |key: &str| table.get(key).map_or(table.at, |node| node.at);
        if matches!(&expectation, Some(one) if matches!(one.metric, Metric::Counter(_))) {
            for key in ["during", "before", "after", "from", "to", "every", "where"] {
                if let Some(node) = table.get(key) {
                    let what = format!("`{key}` does nothing to a counter");
                    self.report(node.at, what, "a counter is of all proxies over the whole run");
                }
            }
        }
        let every = table.duration("every");
        if every.is_some_and(Duration::is_zero) {
            self.report(at("every"), "a window of no length", "such as \"10s\"");
        }
        if !self.duration.is_zero() && every.is_some_and(|every| self.duration < every) {
            let hint = format!("the run lasts {}", self.duration);
            self.report(at("every"), "the windows are longer than the run", hint);
        }
        if table.get("share").is_some() && table.get("seeds").is_none() {
            let hint = "`seeds = 20, share = \"95%\"`: hold in 95 % of 20 runs";
            self.report(at("share"), "`share` needs `seeds`", hint);
        }
        Some(Assertion {
            name: table.text("name")?.to_owned(),
            window,
            filter,
            expect: expectation?,
            text: text.to_owned(),
            every,
            pass_without_data: table.text("if_no_data") == Some("pass"),
            seeds: table.count("seeds").map(|n| (n, table.share("share").unwrap_or(1.0))),
        })
    }

    fn window(&mut self, table: &Node) -> Window {
        let mut base = WindowBase::Run;
        let mut given = 0;
        for key in ["during", "before", "after"] {
            let Some(node) = table.get(key) else { continue };
            let Some(name) = node.as_text() else { continue };
            given += 1;
            if 1 < given {
                let what = "only one of `during`, `before`, `after` can say when";
                self.report(node.at, what, "`from` and `to` cut any of them");
            }
            if let Some(event) = self.event(name) {
                base = match key {
                    "during" => WindowBase::During(event),
                    "before" => WindowBase::Before(event),
                    _ => WindowBase::After(event),
                };
            } else {
                let root = self.root;
                let ids = root.list("event").iter().filter_map(|event| event.text("id"));
                self.missing(node.at, "event", name, ids);
            }
        }
        let time = |key| table.duration(key).map(|length| Time::from_ns(length.ns()));
        let (from, to) = (time("from"), time("to"));
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            let at = table.get("to").map_or(table.at, |node| node.at);
            self.report(at, format!("the window ends at {to}, not after {from}"), "`from` < `to`");
        }
        if !self.duration.is_zero()
            && let Some(from) = from
            && self.duration.ns() <= from.ns()
        {
            let at = table.get("from").map_or(table.at, |node| node.at);
            let hint = format!("the run lasts {}", self.duration);
            self.report(at, "the window begins after the run", hint);
        }
        Window { base, from, to }
    }

    fn filter(&mut self, node: &Node) -> Filter {
        for entry in node.entries() {
            let Some(name) = entry.node.as_text() else { continue };
            if let Some((what, hint)) = missing_name(&entry.key, name, &self.names) {
                self.report(entry.node.at, what, hint);
            }
        }
        let text = |key: &str| node.text(key).map(str::to_owned);
        let flags = node.get("flags").and_then(|flags| Some((flags.at, flags.as_text()?)));
        if let Some((at, text)) = flags.filter(|(_, text)| Flags::parse(text).is_none()) {
            self.report(at, no_flag(text), flag_hint(text));
        }
        Filter {
            source: text("source"),
            destination: text("destination"),
            version: text("version"),
            traffic: text("traffic"),
            status: node.count("status").and_then(|status| u16::try_from(status).ok()),
            flags: flags.and_then(|(_, text)| Flags::parse(text)),
        }
    }

    /// Reports what is wrong inside of an expression.
    pub(super) fn bad(&mut self, node: &Node, bad: Bad) {
        let at = self.context.inside(node, bad.start, bad.end);
        self.context.report(Fault { at, what: bad.what, hint: bad.hint });
    }
}
