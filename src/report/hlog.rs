//! `latency.hlog`: a V2 histogram log with an interval a phase, in nanoseconds.
//!
//! Times are seconds of the simulation, counted from a start of 0; tags are the phases' names.
//!
//! Source: the log format 1.3 of `HistogramLogWriter` (Java); payloads are V2 uncompressed, so
//! that no version of a compressor changes the file.
//! Left out: an interval for each row of the series; `series.csv` has those.

use crate::kernel::histogram::Histogram;
use crate::observe::run::{Phase, Run};
use crate::report::sampled;
use hdrhistogram::serialization::V2Serializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder, Tag};

/// Significant digits of [`Histogram`].
const DIGITS: u8 = 3;
/// What readers expect before the first interval. The start is the run's, not a clock's.
const HEAD: &str = "#[Histogram log format version 1.3]\n\
    #[StartTime: 0.000 (seconds since epoch), the start of the run]\n\
    \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";
/// The column `Interval_Max` is in milliseconds, as Java prints it.
const MAX_DIVISOR: f64 = 1e6;

/// The log.
pub fn hlog(run: &Run) -> Vec<u8> {
    let mut log = sampled::comment(run).into_bytes();
    log.extend_from_slice(HEAD.as_bytes());
    let mut serializer = V2Serializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .with_max_value_divisor(MAX_DIVISOR)
        .begin_log_with(&mut log, &mut serializer)
        .expect("memory takes all");
    for phase in &run.phases {
        interval(&mut writer, phase);
    }
    log
}

#[expect(clippy::disallowed_types, reason = "the crate speaks of lengths of time in std's type")]
fn interval(writer: &mut IntervalLogWriter<'_, '_, Vec<u8>, V2Serializer>, phase: &Phase) {
    use std::time::Duration;
    let (from, length) = (phase.from.ns(), phase.to.since(phase.from).ns());
    let tag = tag(&phase.name);
    writer
        .write_histogram(
            &converted(&phase.latency),
            Duration::from_nanos(from),
            Duration::from_nanos(length),
            Tag::new(&tag),
        )
        .expect("memory takes all, and counts are below 2^63");
}

/// The same counts in the crate's histogram.
pub(super) fn converted(histogram: &Histogram) -> hdrhistogram::Histogram<u64> {
    let mut theirs = hdrhistogram::Histogram::new(DIGITS).expect("3 digits are valid");
    for (lowest, _, count) in histogram.iter() {
        theirs.record_n(lowest, count).expect("it resizes");
    }
    theirs
}

/// A name as a tag: what the log's syntax or a terminal would take as its own is `_`.
fn tag(name: &str) -> String {
    let harmless = |letter: char| match letter {
        _ if letter.is_whitespace() || letter.is_control() => '_',
        ',' | '"' | '#' | '=' => '_',
        _ => letter,
    };
    name.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{same_as_file, sample_run};
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_sample_run_has_this_log() {
        let text = String::from_utf8(hlog(&sample_run())).unwrap();
        same_as_file("latency.hlog", &text);
    }

    #[test]
    fn the_log_reads_back_with_the_hdrhistogram_crate() {
        let run = sample_run();
        let log = hlog(&run);
        let entries: Vec<_> = IntervalLogIterator::new(&log).map(Result::unwrap).collect();
        assert!(matches!(entries[0], LogEntry::StartTime(start) if start.is_zero()));
        assert_eq!(entries.len(), 1 + run.phases.len());
        for (entry, phase) in entries[1..].iter().zip(&run.phases) {
            let LogEntry::Interval(interval) = entry else { panic!("{entry:?}") };
            assert_eq!(interval.tag().map(|tag| tag.as_str().to_owned()), Some(tag(&phase.name)));
            let start_ns = interval.start_timestamp().as_nanos();
            assert_eq!(start_ns, u128::from(phase.from.ns()));
            let bytes = base64(interval.encoded_histogram());
            let theirs: hdrhistogram::Histogram<u64> =
                Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            assert_eq!(theirs, converted(&phase.latency));
            assert_eq!(theirs.len(), phase.latency.count());
        }
    }

    /// The crate leaves decoding to its user, and a crate for this alone is too much.
    fn base64(text: &str) -> Vec<u8> {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
        for letter in text.bytes().filter(|letter| *letter != b'=') {
            let value = LETTERS.iter().position(|one| *one == letter).unwrap();
            bits = bits << 6 | u32::try_from(value).unwrap();
            held += 6;
            if 8 <= held {
                held -= 8;
                bytes.push((bits >> held & 0xff) as u8);
            }
        }
        bytes
    }

    #[test]
    fn a_tag_breaks_no_line() {
        assert_eq!(tag("during a, b\n"), "during_a__b_");
    }
}
