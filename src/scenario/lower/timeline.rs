//! Events: when they begin, how long they last. What they do is in `action`.
//!
//! Source: docs/scenarios.md.
//! Left out: events that follow other events.

use super::super::context::Fault;
use super::super::document::Node;
use super::super::expression::condition;
use super::{Lower, id};
use crate::kernel::time::{Duration, Time};
use crate::plan::timeline::{Action, TimelineEvent, Trigger};
use crate::plan::universe::RouteId;

/// Events that begin more often than this, all together, are a mistake: each begin makes a phase.
const TIMES_MAX: u64 = 100_000;

impl<'d> Lower<'_, '_, 'd> {
    /// The timeline, in the order of the file; the route tables of its events, in id order.
    pub(super) fn events(&mut self) {
        let root: &'d Node = self.root;
        let mut routed: Vec<&str> = root
            .list("event")
            .iter()
            .filter(|event| matches!(event.text("do"), Some("route" | "split")))
            .filter_map(|event| event.text("id"))
            .collect();
        routed.sort_unstable();
        let initial = self.universe.routes.len();
        let mut tables = Vec::new();
        let mut begun = 0;
        for table in root.list("event") {
            let name = table.text("id").unwrap_or_default();
            let place = routed.binary_search(&name).unwrap_or(0);
            let (trigger, lasts) = self.when(table);
            begun = self.together(table, &trigger, begun);
            let acted = self.action(table, RouteId(id(initial + place)), &mut tables);
            let (action, label) = acted.unwrap_or((Action::Note, name.to_owned()));
            self.timeline.push(TimelineEvent {
                id: name.to_owned(),
                trigger,
                lasts,
                action,
                label,
            });
        }
        self.list_endpoints_of_changed_clusters();
        tables.sort_by(|(a, _): &(String, _), (b, _)| a.cmp(b));
        self.universe.routes.extend(tables.into_iter().map(|(_, table)| table));
    }

    /// The index of the event of that id.
    pub(super) fn event(&self, name: &str) -> Option<u32> {
        self.timeline.iter().position(|event| event.id == name).map(id)
    }

    fn when(&mut self, table: &Node) -> (Trigger, Option<Duration>) {
        let at = |key: &str| table.get(key).map_or(table.at, |node| node.at);
        let fallback = Trigger::At { first: Time::ZERO, every: None, times: 1 };
        let (time, when) = (table.get("at"), table.get("when"));
        match (time, when) {
            (Some(_), Some(when)) => {
                self.report(when.at, "`at` and `when` exclude each other", "keep one of them");
                return (fallback, None);
            }
            (None, None) => {
                let hint = "at = \"1h\", or when = \"error_rate > 5% for 1m\"";
                self.report(table.at, "this event has no `at` and no `when`", hint);
                return (fallback, None);
            }
            _ => {}
        }
        let lasts = table.duration("for");
        if lasts.is_some_and(Duration::is_zero) {
            self.report(
                at("for"),
                "it would last no time",
                "leave `for` out for the rest of the run",
            );
        }
        if let Some(when) = when {
            for key in ["until", "every", "times"].into_iter().filter(|k| table.get(k).is_some()) {
                let what = format!("`{key}` needs `at`: a condition comes true once");
                self.report(at(key), what, "`for` says how long it lasts");
            }
            return (self.condition(table, when).unwrap_or(fallback), lasts);
        }
        for key in ["window", "not_before"].into_iter().filter(|key| table.get(key).is_some()) {
            self.report(at(key), format!("`{key}` needs `when`"), "it belongs to a condition");
        }
        let first = table.duration("at").unwrap_or(Duration::ZERO);
        if !self.duration.is_zero() && self.duration <= first {
            let what = format!("this event begins at {first}, after the run");
            self.report(at("at"), what, format!("the run lasts {}", self.duration));
        }
        let lasts = self.length(table, first, lasts);
        (self.repetition(table, first, lasts), lasts)
    }

    fn length(
        &mut self,
        table: &Node,
        first: Duration,
        lasts: Option<Duration>,
    ) -> Option<Duration> {
        let Some(until) = table.get("until") else { return lasts };
        let end = table.duration("until")?;
        if lasts.is_some() {
            self.report(until.at, "`for` and `until` exclude each other", "keep one of them");
        } else if end <= first {
            let what = format!("it ends at {end}, not after it begins at {first}");
            self.report(until.at, what, "`for` gives a length instead of an end");
        }
        Some(end.saturating_sub(first))
    }

    fn repetition(&mut self, table: &Node, first: Duration, lasts: Option<Duration>) -> Trigger {
        let begins = Time::from_ns(first.ns());
        let at = |key: &str| table.get(key).map_or(table.at, |node| node.at);
        let Some(every) = table.duration("every") else {
            if table.get("times").is_some() {
                self.report(at("times"), "`times` needs `every`", "every = \"10m\"");
            }
            return Trigger::At { first: begins, every: None, times: 1 };
        };
        if every.is_zero() {
            self.report(at("every"), "it would begin again at once", "every = \"10m\"");
            return Trigger::At { first: begins, every: None, times: 1 };
        }
        if let Some(lasts) = lasts.filter(|lasts| every < *lasts) {
            let what = format!("it begins again after {every} and lasts {lasts}");
            self.report(at("every"), what, "an event ends before it begins again");
        }
        let fits = self.duration.saturating_sub(first).ns().div_ceil(every.ns()).max(1);
        let times = table.count("times").map_or(fits, |times| u64::from(times).min(fits));
        if TIMES_MAX < times {
            let what = format!("it would begin {times} times");
            self.report(at("every"), what, times_hint());
        }
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        Trigger::At { first: begins, every: Some(every), times }
    }

    /// How often events begin, with those before this one.
    fn together(&mut self, table: &Node, trigger: &Trigger, before: u64) -> u64 {
        let own = match trigger {
            Trigger::At { times, .. } => u64::from(*times),
            Trigger::When { .. } => 1,
        };
        let all = before + own;
        // One that is too many by itself is told by itself.
        if before <= TIMES_MAX && TIMES_MAX < all && own <= TIMES_MAX {
            let at = table.get("every").map_or(table.at, |node| node.at);
            self.report(
                at,
                format!("with it, events would begin {all} times in all"),
                times_hint(),
            );
        }
        all
    }

    fn condition(&mut self, table: &Node, when: &Node) -> Option<Trigger> {
        let (expectation, hold) =
            condition(when.as_text()?, &self.names).map_err(|bad| self.bad(when, bad)).ok()?;
        let window = table.duration("window").unwrap_or(hold);
        if window.is_zero() {
            let at = table.get("window").map_or(table.at, |node| node.at);
            self.context.report(Fault::new(at, "a window of no length"));
        }
        let not_before = table.duration("not_before").unwrap_or(Duration::ZERO);
        let not_before = Time::from_ns(not_before.ns());
        Some(Trigger::When { expectation, hold, window, not_before })
    }
}

fn times_hint() -> String {
    format!("at most {TIMES_MAX} times, all events of a scenario together")
}
