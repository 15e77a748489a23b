//! Keys of an app: how it fails and behaves, how its pods are replaced and end.
//!
//! Source: as in [`super`].
//! Left out: its program, which stands with the workload.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Keys;
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{Bool, Count, Duration, Labels, Share, Word};
use super::{key, like};

pub(super) const ERRORS: Keys = Fixed(&[
    key("share", Share, Required, "share of requests that end with an error"),
    key("status", Count(200, 599), Is("500"), "its status; below 400 only with headers"),
    key("response_headers", Labels, None, "headers of errors; those of other answers if not given"),
]);

pub(super) const BEHAVIOUR: Keys = Fixed(&[
    key("port", Word(PORTS), Is("listens"), "what becomes of connections to it"),
    key("reply", Word(REPLIES), Is("whole"), "how it answers when its work is done"),
    key("body_delay", Duration, None, "from the headers to what follows them"),
    key("body", Bool, Is("false"), "whether answers have a body; HTTP/1.1: a retry costs it"),
    key("check_status", Count(100, 599), None, "what health checks get; as other requests"),
    key("check_delay", Duration, None, "when health checks get it; as other requests"),
    key(
        "connect_delay",
        Duration,
        Is("0s"),
        "a connection to its pods takes so much longer to open",
    ),
    key("idle_close", Duration, Is("0s"), "it closes a connection idle for so long; 0s: never"),
    key("connection_close", Bool, Is("false"), "whether it closes after each answer"),
    key("response_headers", Labels, None, "headers that its answers have"),
]);
/// What becomes of connections to an app.
const PORTS: &[&str] = &["listens", "refuses", "swallows"];
/// How an app answers.
const REPLIES: &[&str] = &["whole", "slow_body", "headers_then_reset", "closes", "resets", "never"];

pub(super) const ROLLOUT: Keys = Fixed(&[
    key("max_surge", Share, Is("25%"), "pods above the wanted number, rounded up"),
    key("max_unavailable", Share, Is("25%"), "pods below it, rounded down"),
]);

pub(super) const SHUTDOWN: Keys = Fixed(&[
    key("pre_stop", Duration, Is("0s"), "from the deletion to SIGTERM"),
    key("graceful", Bool, Is("true"), "whether the app finishes what it has"),
    like("grace_period", "pod.grace_period", "SIGKILL comes so long after the deletion"),
]);
