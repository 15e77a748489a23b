//! Tests of the whole reading.
