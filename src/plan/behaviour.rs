//! How an app behaves towards those who connect to it.
//!
//! Source: the kinds of hosts that an Envoy was measured with (families e03, e06, e11, e14).
//! Left out: apps that behave otherwise for some requests only.

use super::health_check::CheckReply;
use super::reply::ReplyHeadersId;
use crate::kernel::time::Duration;
use std::fmt;

/// How an app behaves towards those who connect to it: its port, its answers, its connections.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Behaviour {
    /// What becomes of connections to it.
    pub port: Port,
    /// How it answers when its program is done.
    pub reply: Reply,
    /// Whether its answers have a body. Over HTTP/1.1 one that is retried costs its connection.
    pub has_body: bool,
    /// Whether it closes the connection after each answer.
    pub closes: bool,
    /// How much longer a connection to its pods takes to open, their sidecars or not.
    pub connect_delay: Duration,
    /// It closes a connection that has been idle for so long; zero for never.
    pub idle_close: Duration,
    /// What health checks get; none for what other requests get.
    pub check: Option<CheckReply>,
    /// What headers its answers have; none for none that matter.
    pub headers: Option<ReplyHeadersId>,
    /// The status of its answers that are no errors of a share; none for 200.
    pub status: Option<u16>,
}

impl fmt::Debug for Behaviour {
    /// The plan's digest is made from this: what is not asked for does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Behaviour");
        fields
            .field("port", &self.port)
            .field("reply", &self.reply)
            .field("has_body", &self.has_body)
            .field("closes", &self.closes);
        if !self.connect_delay.is_zero() {
            fields.field("connect_delay", &self.connect_delay);
        }
        if !self.idle_close.is_zero() {
            fields.field("idle_close", &self.idle_close);
        }
        if let Some(check) = &self.check {
            fields.field("check", check);
        }
        if let Some(headers) = &self.headers {
            fields.field("headers", headers);
        }
        if let Some(status) = &self.status {
            fields.field("status", status);
        }
        fields.finish()
    }
}

impl Behaviour {
    /// Whether it listens, answers as a whole and with 200, and leaves connections as they are.
    #[inline]
    pub const fn is_plain(&self) -> bool {
        matches!((self.reply, self.port), (Reply::Whole, Port::Listens))
            && !self.has_body
            && !self.closes
            && self.idle_close.is_zero()
            && self.status.is_none()
    }

    /// What an app of this kind does: "refuses connections".
    pub const fn words(&self) -> &'static str {
        match (self.port, self.reply) {
            (Port::Refuses, _) => "refuses connections",
            (Port::Swallows, _) => "swallows connections",
            (Port::Listens, Reply::SlowBody(_)) => "sends its bodies late",
            (Port::Listens, Reply::HeadersThenReset(_)) => "breaks off after its headers",
            (Port::Listens, Reply::Closes) => "closes connections instead of answering",
            (Port::Listens, Reply::Resets) => "resets streams instead of answering",
            (Port::Listens, Reply::Never) => "never answers",
            (Port::Listens, Reply::Whole) if self.closes => "closes connections after its answers",
            (Port::Listens, Reply::Whole) if !self.connect_delay.is_zero() => {
                "takes connections late"
            }
            (Port::Listens, Reply::Whole) if !self.idle_close.is_zero() => {
                "closes idle connections"
            }
            (Port::Listens, Reply::Whole) if self.status.is_some() => "answers with another status",
            (Port::Listens, Reply::Whole) => "answers as usual",
        }
    }
}

/// What becomes of connections to an app.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Port {
    /// They are accepted.
    #[default]
    Listens,
    /// They are refused.
    Refuses,
    /// Nothing ever answers.
    Swallows,
}

/// How an app answers a request when its program is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reply {
    /// At once, as a whole.
    #[default]
    Whole,
    /// Headers at once, the body so much later.
    SlowBody(Duration),
    /// Headers at once, a reset instead of the body so much later.
    HeadersThenReset(Duration),
    /// The connection is closed, by FIN or RST, before any answer.
    Closes,
    /// Its HTTP/2 stream is reset before any answer; over HTTP/1.1 the connection is closed.
    Resets,
    /// Never.
    Never,
}
