//! The timeline while running: events begin, end, repeat, wait for conditions.
//!
//! Source: `plan::timeline`.
//! Left out: priorities between events of one instant; they happen in the order of the file.

use super::World;
use super::event::Event;
use crate::kernel::stream::name_hash;
use crate::kernel::time::Duration;
use crate::observe::run::Occurrence;
use crate::plan::Plan;
use crate::plan::timeline::{Action, TimelineEvent, Trigger};
use crate::vocabulary::cause::{Cause, CauseId, CauseKind};
use crate::vocabulary::fact::FactKind;

/// Events while running.
pub(crate) struct Timeline {
    states: Vec<EventState>,
    /// Events that have begun and not ended, in the order in which they began.
    active: Vec<u32>,
}

struct EventState {
    hash: u64,
    /// Times it has begun.
    begun: u32,
    /// Those that have not ended, in the order in which they began.
    open: Vec<Open>,
    cause: Option<CauseId>,
    /// Nobody refused it, once at least.
    has_acted: bool,
}

/// A time that an event has begun.
#[derive(Clone, Copy)]
struct Open {
    /// Its place in the world's occurrences.
    place: usize,
    /// The API server refused what it writes: it is not in force.
    is_refused: bool,
}

impl Timeline {
    pub(crate) fn new(plan: &Plan) -> Self {
        let state = |event: &TimelineEvent| EventState {
            hash: name_hash(&event.id),
            begun: 0,
            open: Vec::new(),
            cause: None,
            has_acted: false,
        };
        Self { states: plan.timeline.iter().map(state).collect(), active: Vec::new() }
    }

    pub(crate) fn hash(&self, index: u32) -> u64 {
        self.states[index as usize].hash
    }
}

impl World<'_> {
    /// The cause that an event is, if it has done what it does.
    pub(super) fn event_cause(&self, event: u32) -> Option<CauseId> {
        let state = &self.timeline.states[event as usize];
        state.cause.filter(|_| state.has_acted)
    }

    /// Whether an event has begun.
    pub(super) fn has_begun(&self, event: u32) -> bool {
        self.timeline.states[event as usize].begun != 0
    }

    /// Schedules what is known of the timeline.
    pub(super) fn start_timeline(&mut self) {
        for (event, index) in self.plan.timeline.iter().zip(0..) {
            if let Trigger::At { first, .. } = event.trigger
                && first < self.end
            {
                self.queue.at(first, Event::Begin(index).pack());
            }
        }
        for index in 0..self.recorder.watches.len() {
            let period = self.recorder.watches[index].1.period();
            let slot = u32::try_from(index).expect("few conditions");
            self.queue.after(period, Event::Condition(slot).pack());
        }
    }

    /// A timeline event begins.
    pub(super) fn begin(&mut self, index: u32) {
        let event = &self.plan.timeline[index as usize];
        let state = &mut self.timeline.states[index as usize];
        state.begun += 1;
        if let Trigger::At { every: Some(every), times, .. } = event.trigger
            && state.begun < times
        {
            self.queue.after(every, Event::Begin(index).pack());
        }
        let cause = match state.cause {
            Some(cause) => cause,
            None => self.causes.add(Cause {
                kind: CauseKind::Injected,
                at: self.now,
                what: format!("{} ({})", event.id, event.label),
                because: None,
            }),
        };
        state.cause = Some(cause);
        let until = event.lasts.map(|lasts| self.now + lasts);
        state.open.push(Open { place: self.occurrences.len(), is_refused: false });
        self.occurrences.push(Occurrence {
            event: index,
            id: event.id.clone(),
            label: event.label.clone(),
            from: self.now,
            to: is_instant(&event.action).then_some(self.now),
        });
        self.recorder.event_begins(index, &event.id, self.now, event.lasts.is_some());
        self.cut_windows(until);
        self.fact(FactKind::EventBegan, || (event.id.clone(), event.label.clone()));
        if let Some(until) = until {
            self.queue.at(until, Event::End(index).pack());
        }
        if let Some((why, because)) = self.refuses(&event.action) {
            return self.refuse_event(index, why, because);
        }
        self.timeline.states[index as usize].has_acted = true;
        self.timeline.active.push(index);
        self.blames.forget();
        self.apply(&event.action, true, Some(cause), until);
    }

    /// The API server does not take what an event writes: nothing changes.
    fn refuse_event(&mut self, index: u32, why: String, because: Option<CauseId>) {
        if let Some(open) = self.timeline.states[index as usize].open.last_mut() {
            open.is_refused = true;
        }
        self.control.counts.changes_rejected += 1;
        let id = &self.plan.timeline[index as usize].id;
        let _ = self
            .caused(CauseKind::StaleConfiguration, because, || format!("{id} was rejected: {why}"));
        self.fact(FactKind::ConfigRejected, || (id.clone(), why));
    }

    /// A timeline event ends: what it did is taken back.
    pub(super) fn finish_event(&mut self, index: u32) {
        let event = &self.plan.timeline[index as usize];
        let state = &mut self.timeline.states[index as usize];
        let cause = state.cause;
        // All last equally long: the first to begin is the first to end.
        let open = (!state.open.is_empty()).then(|| state.open.remove(0));
        if let Some(open) = open {
            self.occurrences[open.place].to = Some(self.now);
        }
        self.fact(FactKind::EventEnded, || (event.id.clone(), event.label.clone()));
        if open.is_some_and(|open| !open.is_refused) {
            if let Some(place) = self.timeline.active.iter().position(|one| *one == index) {
                self.timeline.active.remove(place);
            }
            self.blames.forget();
            self.apply(&event.action, false, cause, None);
        }
        self.recorder.event_ends(index, &event.id, self.now);
        self.cut_windows(None);
    }

    /// What is in force: the actions of the events that have begun and not ended, with their
    /// causes, in the order in which they began. Where they contradict, the last one holds.
    pub(super) fn in_force(&self) -> impl DoubleEndedIterator<Item = (&Action, Option<CauseId>)> {
        self.timeline.active.iter().flat_map(|index| {
            let index = *index as usize;
            let cause = self.timeline.states[index].cause;
            self.plan.timeline[index].actions().iter().map(move |action| (action, cause))
        })
    }

    /// A condition is looked at.
    pub(super) fn condition(&mut self, slot: u32) {
        let (event, period, gauge) = {
            let (event, watch) = &self.recorder.watches[slot as usize];
            (*event, watch.period(), watch.gauge())
        };
        let reading = gauge.map(|gauge| self.gauges()[gauge as usize]);
        let now = self.now;
        let watch = &mut self.recorder.watches[slot as usize].1;
        // Between windows there is nothing to be seen: what held before holds on.
        let is_blind = gauge.is_none() && self.sampling.is_some() && !watch.has_samples();
        if is_blind {
            watch.rest();
            self.queue.after(period, Event::Condition(slot).pack());
            return;
        }
        let holds_since = watch.tick(now, reading);
        let timeline = &self.plan.timeline[event as usize];
        let Trigger::When { hold, not_before, .. } = &timeline.trigger else { return };
        let met = holds_since.is_some_and(|since| *hold <= now.since(since) && *not_before <= now);
        if met {
            let id = timeline.id.clone();
            self.fact(FactKind::ConditionMet, || (id, String::new()));
            return self.begin(event);
        }
        self.queue.after(period, Event::Condition(slot).pack());
    }

    // === the recorder's clock ===

    /// The first interval and the first reading.
    pub(super) fn start_recording(&mut self) {
        if !self.recorder.on {
            return;
        }
        let readings = self.gauges();
        self.recorder.series = crate::observe::series::Series::new(readings);
        // A sampled run begins with its warm-up or a lead-in.
        self.recorder.series.set_recording(self.now, self.sampling.is_none());
        self.read_replicas();
        self.queue.after(self.plan.interval, Event::Interval(0).pack());
        if self.recorder.reads_gauges() {
            self.read_gauges();
        }
    }

    /// An interval of the series ends.
    pub(super) fn interval(&mut self) {
        let readings = self.gauges();
        self.recorder.series.close(self.now, readings);
        self.read_replicas();
        self.queue.after(self.plan.interval, Event::Interval(0).pack());
    }

    /// Gauges are read for assertions.
    pub(super) fn read_gauges(&mut self) {
        let readings = self.gauges();
        self.recorder.readings(self.now, &readings, self.sampled_batch());
        let period = gauge_period(self.plan.duration);
        if self.now + period < self.end {
            self.queue.after(period, Event::ReadGauges(0).pack());
        }
    }

    /// Writes a fact into the journal, if anything is recorded.
    pub(super) fn fact(&mut self, kind: FactKind, text: impl FnOnce() -> (String, String)) {
        if self.recorder.on {
            self.recorder.journal.write(self.now, kind, text);
        }
    }

    /// Writes a fact about a pod. Its name and the detail are only made if there is room for it.
    pub(super) fn fact_of(
        &mut self,
        kind: FactKind,
        pod: u32,
        detail: impl FnOnce(&Self) -> String,
    ) {
        if self.recorder.on && self.recorder.journal.has_room(self.now, kind) {
            let text = (self.pod_name(pod), detail(self));
            self.recorder.journal.add(self.now, kind, text);
        }
    }
}

/// Whether an action is over when it is done.
fn is_instant(action: &Action) -> bool {
    matches!(action, Action::Rollout(_) | Action::RestartPods(_) | Action::PushAll | Action::Note)
}

/// How often gauges are read for assertions: 1 s, or what makes 20,000 readings a run.
pub(super) fn gauge_period(duration: Duration) -> Duration {
    Duration::from_s(1).max(Duration::from_ns(duration.ns() / 20_000))
}
