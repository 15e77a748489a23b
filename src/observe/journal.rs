//! The journal: facts of the control plane and of pods, at most 64 a kind and interval.
//!
//! Source: `events.jsonl` of docs/results.md.
//! Left out: requests; they are counted.

use super::run::LogLine;
use crate::kernel::bytes::Bytes as _;
use crate::kernel::time::{Duration, Time};
use crate::vocabulary::fact::FactKind;

/// Facts of one kind written out in one interval; the others are only counted.
const LINES_PER_INTERVAL: u64 = 64;

/// Facts in time order.
#[derive(Clone, Debug)]
pub struct Journal {
    interval: Duration,
    /// The end of the interval that is being counted.
    until: Time,
    counts: [u64; FactKind::ALL.len()],
    lines: Vec<LogLine>,
    /// Bytes of the lines' texts.
    text: usize,
}

impl Journal {
    /// An empty journal.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            until: Time::ZERO + interval,
            counts: [0; FactKind::ALL.len()],
            lines: Vec::new(),
            text: 0,
        }
    }

    /// Writes a fact. Subject and detail are only made if there is room for it.
    pub fn write(&mut self, now: Time, kind: FactKind, text: impl FnOnce() -> (String, String)) {
        if self.has_room(now, kind) {
            self.add(now, kind, text());
        }
    }

    /// Counts a fact; whether there is room to [`Journal::add`] what it says.
    #[must_use]
    pub fn has_room(&mut self, now: Time, kind: FactKind) -> bool {
        if self.until <= now {
            self.close_interval();
            let passed = now.since(self.until).ns() / self.interval.ns();
            self.until += self.interval * (passed + 1);
        }
        let count = &mut self.counts[kind as usize];
        *count += 1;
        *count <= LINES_PER_INTERVAL
    }

    /// Writes out a fact that there is room for: its subject and the detail.
    pub fn add(&mut self, now: Time, kind: FactKind, (subject, detail): (String, String)) {
        self.text += subject.bytes() + detail.bytes();
        self.lines.push(LogLine { time: now, kind, subject, detail, more: 0 });
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.lines.bytes() + self.text
    }

    /// All lines.
    pub fn finish(mut self) -> Vec<LogLine> {
        self.close_interval();
        self.lines
    }

    fn close_interval(&mut self) {
        for kind in FactKind::ALL {
            let count = std::mem::take(&mut self.counts[kind as usize]);
            if let Some(more @ 1..) = count.checked_sub(LINES_PER_INTERVAL) {
                let (subject, detail) = (String::new(), String::new());
                self.lines.push(LogLine { time: self.until, kind, subject, detail, more });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_facts_becomes_64_lines_and_a_count() {
        let mut journal = Journal::new(Duration::from_s(1));
        let text = || ("pod".to_owned(), String::new());
        for _ in 0..100 {
            journal.write(Time::ZERO, FactKind::PodReady, text);
        }
        journal.write(Time::ZERO + Duration::from_s(5), FactKind::PodReady, text);
        let lines = journal.finish();
        assert_eq!(lines.len(), 64 + 1 + 1);
        assert_eq!((lines[64].more, lines[64].time), (36, Time::ZERO + Duration::from_s(1)));
    }
}
