//! States: what the manifests of a scenario are before and after each event that changes them.
//!
//! A state is the set of objects at a time, drafted and laid under the file as the first set is. All states
//! are made before the run: each is lowered by itself, and what differs becomes what its event does
//! (`lower::brought`). `asked` reads the events, `union` gives each state what only others have.
//!
//! Events begin and end in the order of their times; an event that ends takes its own change back, and what
//! others have changed stays. A condition's time is not known: its event stands alone.
//!
//! Source: docs/scenarios.md (`apply`, `delete`, `patch`); docs/manifests.md.
//! Left out: changes that depend on the order in which conditions come true.

mod asked;
mod union;

use super::context::{Context, Fault};
use super::document::{At, Node};
use crate::kernel::time::Duration;
use crate::manifest::change::{self, Change, Effect, Trouble};
use crate::manifest::findings::Findings;
use crate::manifest::loaded::Loaded;
use crate::manifest::object::{Id, Manifests};
use crate::plan::problem::{Place, Problem};
use asked::Asked;
use std::collections::{BTreeMap, BTreeSet};

/// What events that change manifests do.
pub(crate) const ACTIONS: [&str; 3] = ["apply", "delete", "patch"];

/// More events that change manifests are refused: each is a whole mesh more to be read.
const EVENTS_MAX: usize = 100;
/// A label names at most so many objects.
const NAMED_MAX: usize = 3;

/// What pods of workloads are made from, by service and version.
pub(crate) type Templates = BTreeMap<(String, String), String>;

/// A state's manifests as a document.
#[derive(Clone)]
pub(crate) struct Laid {
    /// The file laid over them.
    pub(crate) root: Node,
    pub(crate) templates: Templates,
    pub(crate) drafted: Drafted,
}

/// What manifests make, whatever the file says of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Drafted {
    /// Services, by name.
    pub(crate) services: BTreeSet<String>,
    /// Workloads, by service and version.
    pub(crate) workloads: BTreeSet<(String, String)>,
    /// Subsets, by service and name.
    pub(crate) subsets: BTreeSet<(String, String)>,
    /// What Services and workloads are called, by what they are.
    pub(crate) called: BTreeMap<String, String>,
}

/// All states.
pub(crate) struct States {
    /// The events that change manifests, in the order of the file.
    pub(crate) events: Vec<Brought>,
    /// The states; the first is before all events.
    pub(crate) list: Vec<State>,
    /// Each begin of an event, in time order.
    pub(crate) begins: Vec<Begin>,
    /// What reading the events' manifests found.
    pub(crate) findings: Findings,
}

/// An event that changes manifests.
pub(crate) struct Brought {
    /// Its place in the list of events.
    pub(crate) place: usize,
    /// Where it stands.
    pub(crate) at: At,
    /// What it does, in words.
    pub(crate) label: String,
    /// Where the first object that it changes stands.
    pub(crate) object: Option<Place>,
    /// Whether an object says something else after it.
    pub(crate) changes: bool,
}

/// What there is at a time.
pub(crate) struct State {
    /// The events that are in force, by their places in [`States::events`], in the order in which they began.
    pub(crate) active: Vec<usize>,
    pub(crate) root: Node,
    pub(crate) templates: Templates,
    pub(crate) drafted: Drafted,
    /// What is in the document for the sake of other states.
    pub(crate) missing: Missing,
}

impl State {
    fn new(active: Vec<usize>, laid: Laid) -> Self {
        let Laid { root, templates, drafted } = laid;
        Self { active, root, templates, drafted, missing: Missing::default() }
    }
}

/// What is not there in a state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Missing {
    /// Services, by name.
    pub(crate) services: BTreeSet<String>,
    /// Those of them that only have routes: hosts of gateways.
    pub(crate) hosts: BTreeSet<String>,
    /// Workloads, by service and version.
    pub(crate) workloads: BTreeSet<(String, String)>,
    /// Subsets, as `service/subset`.
    pub(crate) subsets: BTreeSet<String>,
}

/// An event begins: from one state to another, by their places in [`States::list`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Begin {
    pub(crate) event: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// Whether a document has events that change manifests.
pub(crate) fn has_events(root: &Node) -> bool {
    root.list("event").iter().any(is_ours)
}

fn is_ours(event: &Node) -> bool {
    event.text("do").is_some_and(|does| ACTIONS.contains(&does))
}

/// The states of a scenario whose events are those of `root`, and whose first is `first`; none if something is wrong.
pub(crate) fn states(
    context: &mut Context<'_>,
    root: &Node,
    base: &Loaded,
    first: Laid,
    mut lay: impl FnMut(&mut Context<'_>, &Loaded) -> Option<Laid>,
) -> Option<States> {
    let begun = context.faults.len();
    let all = root.list("event").iter().enumerate();
    let ours: Vec<(usize, &Node)> = all.filter(|(_, event)| is_ours(event)).collect();
    if let Some((_, event)) = ours.get(EVENTS_MAX) {
        let what = format!("{} events that change manifests are too many", ours.len());
        context.report(Fault::new(event.at, what).hint(format!("at most {EVENTS_MAX}")));
        return None;
    }
    let Manifests { sources, objects, .. } = base.manifests.clone();
    let mut set = Manifests { sources, objects, findings: Findings::default() };
    let asked: Vec<Option<Asked>> =
        ours.iter().map(|(_, event)| asked::read(context, &mut set, event)).collect();
    let mut findings = std::mem::take(&mut set.findings);
    context.foreign.problems.append(&mut findings.problems);
    context.foreign.warnings.append(&mut findings.warnings);
    let (lists, begins) = order(context, &ours);
    if begun != context.faults.len() || !context.foreign.problems.is_empty() {
        return None;
    }
    let mut making = Making { set: &set, known: &base.manifests.findings, asked: &asked, findings };
    let mut events: Vec<Brought> = ours
        .iter()
        .map(|(place, event)| Brought {
            place: *place,
            at: event.at,
            label: event.text("id").unwrap_or_default().to_owned(),
            object: None,
            changes: false,
        })
        .collect();
    let mut states = vec![State::new(Vec::new(), first)];
    for list in lists.into_iter().skip(1) {
        let new = begins.iter().find(|begin| begin.to == states.len()).map(|begin| begin.event);
        let loaded = making.load(context, &list, new, &mut events)?;
        let state = State::new(list, lay(context, &loaded)?);
        if let Some((event, what)) = new.and_then(|event| Some((event, renamed(&states, &state)?)))
        {
            let what = format!("with {}, {what}", events[event].label);
            let hint = "names stay: bring it with the first manifests, or give it another name";
            context.report(Fault::new(events[event].at, what).hint(hint));
            return None;
        }
        states.push(state);
    }
    union::complete(&mut states);
    Some(States { events, list: states, begins, findings: making.findings })
}

/// What would be called otherwise than before, if anything would.
fn renamed(states: &[State], new: &State) -> Option<String> {
    let mut known = states.iter().flat_map(|state| &state.drafted.called);
    let find = |(what, name): (&String, &String)| {
        let other = new.drafted.called.get(what).filter(|other| *other != name)?;
        Some(format!("{what} would be `{other}`, which is `{name}` before"))
    };
    known.find_map(find)
}

/// The lists of events in force that there ever are, and each begin.
fn order(context: &mut Context<'_>, ours: &[(usize, &Node)]) -> (Vec<Vec<usize>>, Vec<Begin>) {
    let mut lists: Vec<Vec<usize>> = vec![Vec::new()];
    let mut begins = Vec::new();
    for (_, event) in ours {
        let Some(key) = ["when", "every"].into_iter().find_map(|key| event.entry(key)) else {
            continue;
        };
        if ours.len() == 1 {
            return (vec![vec![], vec![0]], vec![Begin { event: 0, from: 0, to: 1 }]);
        }
        let what = format!("`{}` of an event that changes manifests, beside another one", key.key);
        let hint = "what it finds would depend on when it begins: keep it alone, or give it a time with `at`";
        context.report(Fault::new(key.at, what).hint(hint));
    }
    let mut marks: Vec<(Duration, bool, usize)> = Vec::new();
    for (index, (_, event)) in ours.iter().enumerate() {
        let at = event.duration("at").unwrap_or(Duration::ZERO);
        marks.push((at, false, index));
        let end = event.duration("for").map(|lasts| at + lasts).or_else(|| event.duration("until"));
        marks.extend(end.map(|end| (end.max(at), true, index)));
    }
    marks.sort();
    let (mut active, mut now) = (Vec::new(), 0);
    for (_, ends, event) in marks {
        if ends {
            active.retain(|one| *one != event);
        } else {
            active.push(event);
        }
        let known = lists.iter().position(|list| *list == active);
        let to = known.unwrap_or(lists.len());
        if known.is_none() {
            lists.push(active.clone());
        }
        if !ends {
            begins.push(Begin { event, from: now, to });
        }
        now = to;
    }
    (lists, begins)
}

/// The making of sets.
struct Making<'a> {
    /// The first set, with the texts of all events.
    set: &'a Manifests,
    /// What was found in it.
    known: &'a Findings,
    asked: &'a [Option<Asked>],
    findings: Findings,
}

impl Making<'_> {
    /// The set with the changes of these events. Of the one that is new it is told what is wrong; what another one
    /// does not find any more is nothing to it.
    fn load(
        &mut self,
        context: &mut Context<'_>,
        list: &[usize],
        new: Option<usize>,
        events: &mut [Brought],
    ) -> Option<Loaded> {
        let mut set = self.set.clone();
        for event in list {
            let Some(asked) = &self.asked[*event] else { continue };
            let done = asked.change(&set).and_then(|change| {
                let effects = change::make(&mut set, &change);
                effects.map(|effects| (change, effects)).map_err(|trouble| (asked.at, trouble))
            });
            match done {
                Ok((change, effects)) if Some(*event) == new => {
                    tell(&mut events[*event], asked.does, &set, &change, &effects);
                }
                Err((at, trouble)) if Some(*event) == new => {
                    report(context, &set, at, trouble);
                    return None;
                }
                _ => {}
            }
        }
        let loaded = Loaded::of(set);
        let mut news = change::news(&loaded.manifests.findings, self.known);
        let is_sound = news.problems.is_empty();
        context.foreign.problems.append(&mut news.problems);
        context.foreign.warnings.append(&mut news.warnings);
        for (list, more) in [
            (&mut self.findings.ignored, news.ignored),
            (&mut self.findings.not_modelled, news.not_modelled),
        ] {
            for (name, entry) in more {
                list.entry(name).or_insert(entry);
            }
        }
        is_sound.then_some(loaded)
    }
}

/// What an event does, in words, and where.
fn tell(
    event: &mut Brought,
    does: &str,
    set: &Manifests,
    change: &Change,
    effects: &[(Id, Effect)],
) {
    let named: Vec<String> = effects.iter().take(NAMED_MAX).map(|(id, _)| id.to_string()).collect();
    let more = match effects.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    event.label = format!("{does} {}{more}", named.join(", "));
    let mut changed = effects.iter().filter(|(_, effect)| *effect != Effect::Same);
    let first = changed.next();
    event.changes = first.is_some();
    let at = match change {
        Change::Patch { patch, .. } => Some(patch.at),
        _ => first.and_then(|(id, _)| set.find(id)).map(|object| object.name_at),
    };
    event.object = at.map(|at| set.sources.place(at));
}

/// What is wrong with a change: where it stands in a manifest, or in the event.
fn report(context: &mut Context<'_>, set: &Manifests, at: At, trouble: Trouble) {
    let Trouble { at: inside, what, hint } = trouble;
    let Some(inside) = inside else {
        let fault = Fault::new(at, what);
        return context.report(if hint.is_empty() { fault } else { fault.hint(hint) });
    };
    let problem = Problem::new(what).at(set.sources.place(inside));
    context.foreign.problems.push(if hint.is_empty() { problem } else { problem.hint(hint) });
}
