//! When requests are simulated and when they are recorded.
//!
//! Around each event of the timeline everything is recorded: those stretches are *certain* and
//! stand for themselves. The time between them is cut into equal periods; in each, at a random
//! place, lies a window whose requests stand for the whole period.
//!
//! ```text
//!           event                                              event
//! ────┤█████|█████├──·▒▒██··──┬──·······▒▒██·──┬──··▒▒██████···──┤█████|█████├──
//!        certain      a period,      a period          extended     certain
//!                  ▒ lead-in █ recorded
//! ```
//!
//! If at the end of a recorded stretch more work waits than at its beginning, or a condition is about
//! to be met, it goes on until that is over: what is built up is never lost. The extension is certain
//! again. It may reach through periods and events; then what follows is planned anew.
//!
//! Source: stratified sampling with one unit a stratum (Cochran, Sampling Techniques, 1977, 5A.12);
//! ARCHITECTURE.md, "Long time".
//! Left out: windows that an unforeseen event came before: their time counts for the period before.

use crate::kernel::stream::uniform;
use crate::kernel::time::{Duration, Time};
use crate::plan::sampling::Sampling;

/// What the requests that begin now are good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Step {
    /// None begin.
    Rest,
    /// They are simulated and not recorded.
    LeadIn,
    /// They are recorded, as a new batch.
    Record(Class),
}

/// What recorded requests stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Themselves.
    Certain,
    /// All requests of a period.
    Sample(u32),
}

/// The windows of a run, decided while it goes on.
#[derive(Clone, Debug)]
pub struct Schedule {
    policy: Sampling,
    end: Time,
    /// Instants of events that are known, in order.
    cuts: Vec<Time>,
    state: State,
    /// What is cut into periods now.
    segment: Segment,
    periods: Vec<Period>,
    /// Stretches that were recorded.
    windows: u64,
    /// Of these, such that went on for longer than planned.
    extended: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Until the lead-in of what is recorded next.
    Resting(Target),
    LeadIn(Target),
    Recording(Recording),
    /// Nothing more is recorded.
    Over,
}

/// What is to be recorded next.
#[derive(Clone, Copy, Debug)]
struct Target {
    from: Time,
    to: Time,
    period: Option<u32>,
}

/// What is being recorded.
#[derive(Clone, Copy, Debug)]
struct Recording {
    from: Time,
    /// Planned to end, or to be looked at again.
    to: Time,
    batch_from: Time,
    class: Class,
    /// The period whose window this is or was, with the end of that window.
    window: Option<(u32, Time)>,
    /// Work that waited at the beginning.
    backlog: usize,
    is_extended: bool,
}

/// A stretch between events.
#[derive(Clone, Copy, Debug)]
struct Segment {
    from: Time,
    to: Time,
    periods: u64,
    /// The next period.
    next: u64,
}

/// A period and its window.
#[derive(Clone, Copy, Debug)]
struct Period {
    from: Time,
    to: Time,
    /// The time that its window stands for.
    stands_for: Duration,
    recorded: Duration,
}

impl Schedule {
    /// The windows of a run that is recorded from `warmup` to `end`, with events at `cuts`.
    pub fn new(policy: Sampling, warmup: Time, end: Time, mut cuts: Vec<Time>) -> Self {
        cuts.sort_unstable();
        cuts.dedup();
        let from = warmup.max(Time::ZERO + policy.lead_in);
        // The warm-up is one long lead-in, so that connections open as in a run without sampling.
        let first = Target { from, to: from, period: None };
        Self {
            policy,
            end,
            cuts,
            state: State::LeadIn(first),
            segment: Segment { from, to: from, periods: 0, next: 0 },
            periods: Vec::new(),
            windows: 0,
            extended: 0,
        }
    }

    /// When [`Schedule::advance`] is to be called next; never, if not before the end.
    pub fn next(&self) -> Option<Time> {
        let at = match self.state {
            State::Resting(target) => target.from.saturating_sub(self.policy.lead_in),
            State::LeadIn(target) => target.from,
            State::Recording(now) => {
                let cut = self.first_cut(|cut| now.batch_from < cut).unwrap_or(Time::MAX);
                now.to.min(now.batch_from + self.policy.window).min(cut)
            }
            State::Over => return None,
        };
        (at < self.end).then_some(at)
    }

    /// Time has come to [`Schedule::next`]. `backlog` is the work that waits now; `is_deciding` says
    /// that a condition of the timeline holds and has not held for long enough; `draw` gives the
    /// place of the n-th window.
    pub fn advance(
        &mut self,
        now: Time,
        backlog: usize,
        is_deciding: bool,
        draw: impl Fn(u32) -> u64,
    ) -> Step {
        match self.state {
            State::Resting(target) => {
                self.state = State::LeadIn(target);
                if now < target.from { Step::LeadIn } else { self.record(now, target, backlog) }
            }
            State::LeadIn(target) if target.from == target.to => self.rest(now, backlog, draw),
            State::LeadIn(target) => self.record(now, target, backlog),
            State::Recording(mut recording) => {
                recording.batch_from = now;
                if recording.to <= now {
                    if let Some(to) = self.soon(now) {
                        // The next event's stretch begins before traffic could have stopped.
                        recording.class = Class::Certain;
                        recording.to = to;
                    } else if recording.backlog < backlog || is_deciding {
                        recording.class = Class::Certain;
                        self.extended += u64::from(!recording.is_extended);
                        recording.is_extended = true;
                        let more = Duration::from_ns(self.policy.window.ns() / 4);
                        recording.to = now + more.max(Duration::from_ns(1));
                    } else {
                        self.settle(now, &recording);
                        return self.rest(now, backlog, draw);
                    }
                }
                self.state = State::Recording(recording);
                Step::Record(recording.class)
            }
            State::Over => Step::Rest,
        }
    }

    /// An event that was not foreseen begins or ends. What is recorded from here on, if it is
    /// something else than before.
    pub fn surprise(&mut self, now: Time, backlog: usize) -> Option<Step> {
        let Err(place) = self.cuts.binary_search(&now) else { return None };
        self.cuts.insert(place, now);
        let to = now + self.policy.around_events;
        match &mut self.state {
            State::Recording(recording) => {
                if let (Class::Sample(period), Some((_, planned))) =
                    (recording.class, recording.window)
                {
                    let window = &mut self.periods[period as usize];
                    let lost = planned.saturating_since(now);
                    window.recorded = window.recorded.saturating_sub(lost);
                }
                let recording = Recording {
                    to: recording.to.max(to),
                    batch_from: now,
                    class: Class::Certain,
                    window: None,
                    ..*recording
                };
                self.state = State::Recording(recording);
                self.abandon_period(now);
                Some(Step::Record(Class::Certain))
            }
            // The warm-up goes on; what it is followed by is planned then.
            State::LeadIn(target) if target.from == target.to => None,
            State::LeadIn(target) => {
                *target = Target { from: target.from, to: to.max(target.from), period: None };
                self.abandon_period(now);
                None
            }
            State::Resting(_) | State::Over => {
                self.abandon_period(now);
                let from = now + self.policy.lead_in;
                let target = Target { from, to: to.max(from), period: None };
                if self.policy.lead_in.is_zero() {
                    return Some(self.record(now, target, backlog));
                }
                self.state = State::LeadIn(target);
                Some(Step::LeadIn)
            }
        }
    }

    /// An event that is beginning will end at `at`. Comes before [`Schedule::surprise`], which plans
    /// anew.
    pub fn foresee(&mut self, at: Time) {
        if let Err(place) = self.cuts.binary_search(&at) {
            self.cuts.insert(place, at);
        }
    }

    /// The run ends: what is being recorded ends with it.
    pub fn finish(&mut self, now: Time) {
        if let State::Recording(recording) = std::mem::replace(&mut self.state, State::Over) {
            self.settle(now, &recording);
        }
    }

    /// How many requests one recorded request of a class stands for.
    pub fn weight(&self, class: Class) -> f64 {
        match class {
            Class::Certain => 1.0,
            Class::Sample(period) => {
                let Period { stands_for, recorded, .. } = self.periods[period as usize];
                if recorded.is_zero() { 0.0 } else { stands_for.as_s() / recorded.as_s() }
            }
        }
    }

    /// Stretches recorded, and how many of them went on for longer than planned.
    pub const fn windows(&self) -> (u64, u64) {
        (self.windows, self.extended)
    }

    fn record(&mut self, now: Time, target: Target, backlog: usize) -> Step {
        self.windows += 1;
        let class = match target.period {
            None => Class::Certain,
            Some(period) => {
                self.periods[period as usize].recorded = target.to.since(now);
                Class::Sample(period)
            }
        };
        self.state = State::Recording(Recording {
            from: now,
            to: target.to,
            batch_from: now,
            class,
            window: target.period.map(|period| (period, target.to)),
            backlog,
            is_extended: false,
        });
        Step::Record(class)
    }

    /// What was recorded ends: what its period's window stands for is known.
    fn settle(&mut self, now: Time, recording: &Recording) {
        debug_assert!(recording.from <= now, "a stretch ends after it begins");
        let Some((index, planned)) = recording.window else {
            return self.abandon_period(now);
        };
        let period = &mut self.periods[index as usize];
        if now <= period.to {
            // The extension stands for itself.
            period.stands_for = period.stands_for.saturating_sub(now.since(planned));
        } else {
            period.stands_for = planned.since(period.from);
            self.forget_segment(now);
        }
    }

    /// The periods that were planned end here; the last one stands for the time until now.
    fn abandon_period(&mut self, now: Time) {
        self.forget_segment(now);
        if let Some(last) = self.periods.last_mut()
            && last.from <= now
            && now < last.to
        {
            let since_planned = last.to.since(now);
            last.stands_for = last.stands_for.saturating_sub(since_planned);
            last.to = now;
        }
    }

    /// What follows is planned anew.
    fn forget_segment(&mut self, now: Time) {
        self.segment = Segment { from: now, to: now, periods: 0, next: 0 };
    }

    /// Traffic stops until what comes next.
    fn rest(&mut self, now: Time, backlog: usize, draw: impl Fn(u32) -> u64) -> Step {
        if self.segment.to <= now {
            if let Some(to) = self.soon(now) {
                let target = Target { from: now, to, period: None };
                return self.record(now, target, backlog);
            }
            self.plan(now);
        }
        let target = self.target(now, draw);
        match target {
            None => self.state = State::Over,
            Some(target) if target.from.saturating_sub(self.policy.lead_in) <= now => {
                // Too near to stop for.
                return self.record(now, target, backlog);
            }
            Some(target) => self.state = State::Resting(target),
        }
        Step::Rest
    }

    /// Cuts the time until the next event's stretch into periods.
    fn plan(&mut self, from: Time) {
        let Sampling { every, window, lead_in, around_events, .. } = self.policy;
        let next = self.next_event(from).map(|cut| cut.saturating_sub(around_events));
        let to = next.unwrap_or(self.end).min(self.end).max(from);
        let room = to.since(from);
        debug_assert!(window + lead_in * 2 <= room, "what is too short is recorded whole");
        self.segment = Segment { from, to, periods: room.ns().div_ceil(every.ns()), next: 0 };
    }

    fn target(&mut self, now: Time, draw: impl Fn(u32) -> u64) -> Option<Target> {
        let Segment { from, to, periods, next } = self.segment;
        if next < periods {
            self.segment.next += 1;
            let edge = |k: u64| {
                let share = u128::from(to.since(from).ns()) * u128::from(k) / u128::from(periods);
                from + Duration::from_ns(u64::try_from(share).expect("within the segment"))
            };
            let (from, to) = (edge(next).max(now), edge(next + 1));
            let Sampling { window, lead_in, .. } = self.policy;
            let number = u32::try_from(self.periods.len()).expect("fewer than 2^32 periods");
            let room = to.since(from).saturating_sub(window + lead_in * 2);
            let start = from + lead_in + room.scale(uniform(draw(number)));
            let stands_for = to.since(edge(next));
            let recorded = window;
            self.periods.push(Period { from: edge(next), to, stands_for, recorded });
            return Some(Target { from: start, to: start + window, period: Some(number) });
        }
        let cut = self.next_event(now)?;
        let from = cut.saturating_sub(self.policy.around_events).max(now);
        Some(Target { from, to: cut + self.policy.around_events, period: None })
    }

    /// The first event whose stretch is not over.
    fn next_event(&self, now: Time) -> Option<Time> {
        self.first_cut(|cut| now < cut + self.policy.around_events)
    }

    /// The first event of which something is true that is so of all after it.
    fn first_cut(&self, is_after: impl Fn(Time) -> bool) -> Option<Time> {
        self.cuts.get(self.cuts.partition_point(|cut| !is_after(*cut))).copied()
    }

    /// If there is no room for a window before the next event's stretch, or before the end: what is
    /// recorded now goes on until then.
    fn soon(&self, now: Time) -> Option<Time> {
        let Sampling { window, lead_in, around_events, .. } = self.policy;
        let (from, to) = match self.next_event(now) {
            Some(cut) => (cut.saturating_sub(around_events), cut + around_events),
            None => (self.end, self.end),
        };
        (from < now + (window + lead_in * 2)).then_some(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::stream::{Key, below};

    fn s(s: u64) -> Duration {
        Duration::from_s(s)
    }

    fn at(s: u64) -> Time {
        Time::ZERO + Duration::from_s(s)
    }

    fn policy() -> Sampling {
        Sampling {
            every: s(600),
            window: s(10),
            lead_in: s(2),
            around_events: s(30),
            full_below_per_s: 1.0,
        }
    }

    /// Recorded batches (from, to, class) of a run in which `work` waits at each instant.
    fn play(
        schedule: &mut Schedule,
        seed: u64,
        surprises: &[Time],
        work: impl Fn(Time) -> usize,
    ) -> Vec<(Time, Time, Class)> {
        let mut batches: Vec<(Time, Time, Class)> = Vec::new();
        let mut open: Option<(Time, Class)> = None;
        let mut surprises = surprises.to_vec();
        loop {
            let next = schedule.next();
            let surprise = surprises.first().copied();
            let (now, step) = match (next, surprise) {
                (next, Some(now)) if next.is_none_or(|next| now < next) => {
                    surprises.remove(0);
                    (now, schedule.surprise(now, work(now)))
                }
                (Some(now), _) => {
                    let draw = |n| Key(seed).draw(n, 0);
                    (now, Some(schedule.advance(now, work(now), false, draw)))
                }
                (None, _) => break,
            };
            let Some(step) = step else { continue };
            if let Some((from, class)) = open.take() {
                batches.push((from, now, class));
            }
            if let Step::Record(class) = step {
                open = Some((now, class));
            }
        }
        if let Some((from, class)) = open {
            batches.push((from, schedule.end, class));
        }
        schedule.finish(schedule.end);
        batches
    }

    /// Seconds that all batches stand for.
    fn represented_s(schedule: &Schedule, batches: &[(Time, Time, Class)]) -> f64 {
        let weighted = batches
            .iter()
            .map(|(from, to, class)| to.since(*from).as_s() * schedule.weight(*class));
        weighted.sum()
    }

    #[test]
    fn between_events_each_period_has_a_window_and_around_events_all_is_recorded() {
        let mut schedule = Schedule::new(policy(), at(600), at(7200), vec![at(3600), at(5000)]);
        let batches = play(&mut schedule, 1, &[], |_| 0);
        // 600 to 3570 s are five periods of 594 s, 3630 to 4970 s three, 5030 to 7200 s four.
        let samples = batches.iter().filter(|(.., class)| *class != Class::Certain);
        assert_eq!(samples.count(), 5 + 3 + 4);
        let certain = batches.iter().filter(|(.., class)| *class == Class::Certain);
        let certain = certain.fold(Duration::ZERO, |sum, (from, to, _)| sum + to.since(*from));
        assert_eq!(certain, s(120));
        assert!(batches.iter().any(|(from, ..)| *from == at(3600)), "a batch begins with an event");
        assert!((represented_s(&schedule, &batches) - 6600.0).abs() < 1e-6);
        assert_eq!(schedule.windows(), (14, 0));
    }

    #[test]
    fn a_stretch_goes_on_while_more_work_waits_than_at_its_beginning() {
        // From 3605 s on ever more waits, until 4200 s.
        let work = |now: Time| {
            let s = now.ns() / 1_000_000_000;
            if (3605..4200).contains(&s) { usize::try_from(s - 3000).unwrap() } else { 3 }
        };
        let mut schedule = Schedule::new(policy(), at(600), at(7200), vec![at(3600)]);
        let batches = play(&mut schedule, 2, &[], work);
        let recorded = batches.iter().filter(|(.., class)| *class == Class::Certain);
        let seconds: f64 = recorded.map(|(from, to, _)| to.since(*from).as_s()).sum();
        assert!((630.0..634.0).contains(&seconds), "3570 to 4200 s and a step: {seconds}");
        assert!((represented_s(&schedule, &batches) - 6600.0).abs() < 1e-6);
        assert_eq!(schedule.windows().1, 1);
    }

    #[test]
    fn a_surprise_is_recorded_from_its_instant_on() {
        let mut schedule = Schedule::new(policy(), at(600), at(7200), vec![at(3600)]);
        let batches = play(&mut schedule, 3, &[at(2000), at(3610)], |_| 0);
        let is_certain = |second| {
            let at = at(second);
            let here = |(from, to, class): &&(Time, Time, Class)| {
                *from <= at && at < *to && *class == Class::Certain
            };
            batches.iter().find(here).is_some()
        };
        assert!(!is_certain(2001) && is_certain(2002) && is_certain(2029) && !is_certain(2031));
        assert!(is_certain(3610) && is_certain(3639) && !is_certain(3641));
    }

    #[test]
    fn an_event_that_is_foreseen_late_ends_the_periods_before_it() {
        let mut schedule = Schedule::new(policy(), at(0), at(7200), Vec::new());
        let first = schedule.advance(at(2), 0, false, |n| Key(1).draw(n, 0));
        assert_eq!(first, Step::Rest);
        schedule.foresee(at(3000));
        let batches = play(&mut schedule, 1, &[at(100)], |_| 0);
        let certain = batches.iter().filter(|(.., class)| *class == Class::Certain);
        let covers = |s| certain.clone().any(|(from, to, _)| (*from..*to).contains(&at(s)));
        assert!(covers(2971) && covers(3029) && !covers(2900) && !covers(3031));
    }

    /// A hundred thousand of them took nine seconds when each step looked at all before it.
    #[test]
    fn a_hundred_thousand_events_are_found_as_few_are() {
        let cuts: Vec<Time> = (1..=100_000).map(|n| at(n * 100)).collect();
        let sampling = Sampling { every: s(40), window: s(1), around_events: s(3), ..policy() };
        let mut schedule = Schedule::new(sampling, at(0), at(10_000_100), cuts);
        let batches = play(&mut schedule, 5, &[], |_| 0);
        assert_eq!(
            batches.iter().filter(|(from, ..)| from.ns() % at(100).ns() == 0).count(),
            100_000
        );
        assert!((represented_s(&schedule, &batches) - 10_000_098.0).abs() < 1e-3);
    }

    #[test]
    fn whatever_happens_every_second_is_stood_for() {
        for seed in 0..200 {
            let draw = |n| below(Key(seed).draw(n, 1), 7200) as u64;
            let cuts = (0..seed % 9).map(|n| at(draw(u32::try_from(n).unwrap()))).collect();
            let work =
                |now: Time| below(Key(seed).draw(0, u32::try_from(now.ns() >> 30).unwrap()), 6);
            let mut schedule = Schedule::new(policy(), at(60), at(7200), cuts);
            let batches = play(&mut schedule, seed, &[], work);
            let sum = represented_s(&schedule, &batches);
            assert!((sum - 7140.0).abs() < 1e-6, "seed {seed}: {sum}");
            for pair in batches.windows(2) {
                assert!(pair[0].1 <= pair[1].0, "seed {seed}: batches overlap");
            }
        }
    }
}
