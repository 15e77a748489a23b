//! Keys of assertions.
//!
//! Source: as in [`super`].
//! Left out: nothing.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Keys;
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{Count, Duration, Share, Table, Text, Word};
use super::key;

pub(super) const ASSERT: Keys = Fixed(&[
    key("name", Text, Required, "a sentence"),
    key("during", Text, None, "while this event lasts"),
    key("before", Text, None, "until this event begins"),
    key("after", Text, None, "after this event"),
    key("from", Duration, None, "not before this time of the run"),
    key("to", Duration, None, "not after this time of the run"),
    key("where", Table(WHERE), None, "which requests; the root requests if not given"),
    key("expect", Text, Required, "METRIC COMPARISON VALUE"),
    key("every", Duration, None, "holds in each window of this length"),
    key("if_no_data", Word(&["fail", "pass"]), Is("fail"), "the verdict without samples"),
    key("seeds", Count(1, 1_000_000), None, "hold in several runs"),
    key("share", Share, Is("1"), "in this share of them"),
]);

const WHERE: Keys = Fixed(&[
    key("source", Text, None, "the calling service, or the id of traffic from outside"),
    key("destination", Text, None, "the called service"),
    key("version", Text, None, "the version that answered last"),
    key("traffic", Text, None, "the root requests of this traffic"),
    key("status", Count(0, 599), None, "the final status; 0 where the client left"),
    key("flags", Text, None, "response flags, all set: URX,UF"),
]);
