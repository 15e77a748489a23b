//! Visits: what a service did for one request, out of the spans of a trace.
//!
//! Spans of one service that follow each other are one visit, so a sidecar's span and the app's below it
//! count once:
//!
//! ```text
//! gateway (client) > cart: proxy (server) > app (server) > app (client) > proxy (client) > stock: …
//!                    `--------------------- one visit -----------------------'
//! ```
//!
//! A server below a client begins a new visit, even of the same service. The caller waits from the begin to
//! the end of its outermost client span; own time is the innermost server span without the union of these.
//! Of a client span without a server below it only the name of who is called is known.
//! Source: OpenTelemetry trace API, kinds of spans; Jaeger's clock skew adjuster (a child that does not fit into
//! its parent is moved into its middle); Istio's proxies make a client span and a server span a hop.
//! Linkerd's proxies do not say whose they are: their spans are passed over.
//! Left out: messages are no calls (nobody waits for them); attempts of one client span beyond the first.

use super::span::{Kind, NONE, Span, Spans};
use super::visit::{Begin, Made, Visit};

/// All visits of a file, and what is odd in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Visits {
    /// The visits, by trace.
    pub list: Vec<Visit>,
    /// The calls, by visit and begin.
    pub calls: Vec<Made>,
    /// How many traces there are.
    pub traces: u64,
    /// Whether no span says that it is a server's: then all that begin a visit are.
    pub has_no_kinds: bool,
    /// The name under which Linkerd's proxies tell of all services.
    pub proxies: u32,
    /// Spans of such proxies.
    pub passed: u64,
    /// Spans that are in the file twice.
    pub doubles: u64,
    /// Spans whose parents go round.
    pub round: u64,
    /// Spans whose parent is not in the file.
    pub orphans: u64,
    /// Spans moved into their parent.
    pub skewed: u64,
    /// Client spans of which nobody knows whom they call.
    pub nameless: u64,
    /// Further attempts of one client span.
    pub retries: u64,
    /// Messages by sender and receiver.
    pub messages: std::collections::BTreeMap<(u32, u32), u64>,
}

/// Indices of one trace, kept to be used again.
#[derive(Default)]
struct Scratch {
    parents: Vec<usize>,
    children: Vec<(usize, usize)>,
    order: Vec<usize>,
    visit_of: Vec<usize>,
    /// The outermost client span of the same visit that a span is below, or that it is.
    via: Vec<usize>,
    /// Who is called by a client span, from the innermost of its row.
    peer: Vec<(u32, usize)>,
    /// Whether a client span has a call.
    has_call: Vec<bool>,
    /// Innermost server span of a visit, from the trace's first visit on.
    work: Vec<usize>,
}

/// Linkerd's proxies all have this name.
const LINKERD: &str = "linkerd-proxy";
/// Proxies between two apps are followed so far.
const PROXIES_MAX: usize = 8;

/// No parent.
const NOBODY: usize = usize::MAX;
/// A parent that is not in the file.
const MISSING: usize = usize::MAX - 1;

/// Finds the visits of all traces.
pub fn visits(spans: &Spans) -> Visits {
    let mut sorted: Vec<Span> = spans.list.clone();
    let key = |span: &Span| (span.trace, span.id, span.kind, span.service, span.start_ns);
    sorted.sort_by_key(key);
    let has_no_kinds = sorted.iter().all(|span| span.kind == Kind::Internal);
    let proxies = spans.services.list.iter().position(|name| name.starts_with(LINKERD));
    let proxies = proxies.and_then(|number| u32::try_from(number).ok()).unwrap_or(NONE);
    let mut visits = Visits { has_no_kinds, proxies, ..Visits::default() };
    let before = sorted.len();
    sorted.dedup_by_key(|span| key(span));
    visits.doubles = (before - sorted.len()) as u64;
    let mut scratch = Scratch::default();
    for trace in sorted.chunk_by(|a, b| a.trace == b.trace) {
        visits.traces += 1;
        visits.trace(trace, &mut scratch);
    }
    visits
}

impl Visits {
    fn trace(&mut self, spans: &[Span], scratch: &mut Scratch) {
        self.order(spans, scratch);
        let first = self.list.len();
        let calls = self.calls.len();
        scratch.work.clear();
        for list in [&mut scratch.visit_of, &mut scratch.via] {
            list.clear();
            list.resize(spans.len(), NOBODY);
        }
        scratch.peer.clear();
        scratch.peer.resize(spans.len(), (NONE, NOBODY));
        scratch.has_call.clear();
        scratch.has_call.resize(spans.len(), false);
        for step in 0..scratch.order.len() {
            self.span(spans, scratch.order[step], first, scratch);
        }
        self.one_sided(spans, scratch);
        self.calls[calls..].sort_by_key(|call| (call.visit, call.start_ns, call.end_ns, call.to));
        let mut at = calls;
        for index in first..self.list.len() {
            let begin = at;
            while self.calls.get(at).is_some_and(|call| call.visit == index) {
                at += 1;
            }
            self.list[index].calls = begin..at;
            self.own_time(index, &spans[scratch.work[index - first]]);
        }
    }

    /// The parent that is told, passing over spans of proxies that tell not whose they are.
    fn seen_parent(&self, spans: &[Span], index: usize) -> usize {
        let mut up = parent(spans, index);
        for _ in 0..PROXIES_MAX {
            match spans.get(up) {
                Some(span) if span.service == self.proxies => up = parent(spans, up),
                _ => break,
            }
        }
        up
    }

    /// Parents, and an order in which they come before their children.
    fn order(&mut self, spans: &[Span], scratch: &mut Scratch) {
        let Scratch { parents, children, order, .. } = scratch;
        parents.clear();
        children.clear();
        order.clear();
        for (index, span) in spans.iter().enumerate() {
            let parent = self.seen_parent(spans, index);
            parents.push(parent);
            if span.service == self.proxies {
                self.passed += 1;
            } else if MISSING <= parent {
                order.push(index);
                self.orphans += u64::from(parent == MISSING);
            } else {
                children.push((parent, index));
            }
        }
        children.sort_unstable();
        let mut done = 0;
        while done < order.len() {
            let own = children.partition_point(|(parent, _)| *parent < order[done]);
            let own = children[own..].iter().take_while(|(parent, _)| *parent == order[done]);
            let own: Vec<usize> = own.map(|(_, child)| *child).collect();
            order.extend(own);
            done += 1;
        }
        let passed = spans.iter().filter(|span| span.service == self.proxies).count();
        self.round += spans.len().saturating_sub(order.len() + passed) as u64;
    }

    fn span(&mut self, spans: &[Span], index: usize, first: usize, scratch: &mut Scratch) {
        let span = &spans[index];
        let up = scratch.parents[index];
        let parent = spans.get(up);
        let is_message = span.kind == Kind::Consumer
            || parent.is_some_and(|parent| parent.kind == Kind::Producer);
        let continues = parent.is_some_and(|parent| {
            parent.service == span.service
                && !(parent.kind == Kind::Client && span.kind == Kind::Server)
                && !is_message
        });
        if continues {
            let visit = scratch.visit_of[up];
            scratch.visit_of[index] = visit;
            let above = scratch.via[up];
            scratch.via[index] = match span.kind {
                Kind::Client if above == NOBODY => index,
                Kind::Server => NOBODY,
                _ => above,
            };
            let work = scratch.work[visit - first];
            // Envoy may have a second span, from the sidecar to its app.
            let is_below = up == work || scratch.parents[up] == work && spans[up].is_proxy;
            if span.kind == Kind::Server && is_below {
                scratch.work[visit - first] = index;
            }
        } else {
            let begin = match parent {
                _ if is_message => Begin::Message,
                Some(_) => Begin::Called,
                None if up == MISSING => Begin::Orphan,
                None => Begin::Root,
            };
            scratch.visit_of[index] = self.list.len();
            scratch.via[index] = if span.kind == Kind::Client { index } else { NOBODY };
            scratch.work.push(index);
            self.list.push(self.visit(span, begin));
            match (begin, parent) {
                (Begin::Called, Some(_)) => self.called(spans, index, scratch),
                (Begin::Message, Some(parent)) => {
                    *self.messages.entry((parent.service, span.service)).or_default() += 1;
                }
                _ => {}
            }
        }
        let via = scratch.via[index];
        if span.kind == Kind::Client && via != NOBODY {
            let known = scratch.peer[via].0;
            scratch.peer[via] = (if span.peer == NONE { known } else { span.peer }, index);
        }
    }

    fn visit(&self, span: &Span, begin: Begin) -> Visit {
        Visit {
            service: span.service,
            kind: if self.has_no_kinds { Kind::Server } else { span.kind },
            begin,
            start_ns: span.start_ns,
            own_ns: None,
            is_failure: span.is_failure,
            is_by_mesh: span.is_by_mesh,
            is_gateway: span.is_gateway,
            status: span.status,
            path: span.path,
            method: span.method,
            calls: 0..0,
        }
    }

    /// Notes the call that made a visit.
    fn called(&mut self, spans: &[Span], index: usize, scratch: &mut Scratch) {
        let (span, up) = (&spans[index], scratch.parents[index]);
        let via = scratch.via[up];
        let client = spans.get(via);
        if client.is_some() {
            if scratch.has_call[via] {
                self.retries += 1;
                return;
            }
            scratch.has_call[via] = true;
        }
        let (start_ns, end_ns) = match client {
            Some(client) => (client.start_ns, client.end_ns),
            None => self.within(span, &spans[up]),
        };
        let or =
            |own: u32, other: Option<u32>| if own == NONE { other.unwrap_or(NONE) } else { own };
        self.calls.push(Made {
            visit: scratch.visit_of[up],
            to: span.service,
            start_ns,
            end_ns,
            path: or(span.path, client.map(|client| client.path)),
            method: or(span.method, client.map(|client| client.method)),
            is_failure: client.map_or(span.is_failure, |client| {
                client.is_failure || client.status == 0 && span.is_failure
            }),
            is_one_sided: false,
        });
    }

    /// When a server worked by the clock of its caller, of which no client span is known.
    fn within(&mut self, span: &Span, parent: &Span) -> (u64, u64) {
        let fits = parent.start_ns <= span.start_ns && span.end_ns <= parent.end_ns;
        let (length, room) = (span.end_ns - span.start_ns, parent.end_ns - parent.start_ns);
        if fits || room < length {
            return (span.start_ns, span.end_ns);
        }
        self.skewed += 1;
        let start_ns = parent.start_ns + (room - length) / 2;
        (start_ns, start_ns + length)
    }

    /// Calls of which only the client's side was seen.
    fn one_sided(&mut self, spans: &[Span], scratch: &Scratch) {
        for (index, span) in spans.iter().enumerate().filter(|(_, one)| one.service != self.proxies)
        {
            let is_outermost = scratch.via[index] == index && span.kind == Kind::Client;
            if !is_outermost || scratch.has_call[index] {
                continue;
            }
            let (peer, innermost) = scratch.peer[index];
            if peer == NONE || peer == span.service {
                self.nameless += 1;
                continue;
            }
            let inner = spans.get(innermost).unwrap_or(span);
            self.calls.push(Made {
                visit: scratch.visit_of[index],
                to: peer,
                start_ns: span.start_ns,
                end_ns: span.end_ns,
                path: inner.path,
                method: inner.method,
                is_failure: inner.is_failure,
                is_one_sided: true,
            });
        }
    }

    /// The work of a visit without the time in which it waited.
    fn own_time(&mut self, index: usize, work: &Span) {
        let visit = &mut self.list[index];
        visit.is_failure = work.is_failure || (work.status == 0 && visit.is_failure);
        if work.status != 0 {
            visit.status = work.status;
        }
        visit.is_by_mesh |= work.is_by_mesh;
        let is_served = matches!(visit.kind, Kind::Server)
            || visit.kind == Kind::Internal && visit.begin == Begin::Called;
        if !is_served || visit.is_gateway {
            return;
        }
        let (mut waited, mut until) = (0, work.start_ns);
        for call in &self.calls[visit.calls.clone()] {
            let start = call.start_ns.max(until);
            let end = call.end_ns.min(work.end_ns);
            if start < end {
                waited += end - start;
                until = end;
            }
        }
        visit.own_ns = Some(work.end_ns - work.start_ns - waited);
    }
}

/// The index of a span's parent: its client where the id is shared, else whoever has its parent's id, of
/// several its own service's, or the innermost.
fn parent(spans: &[Span], index: usize) -> usize {
    let span = &spans[index];
    let with = |id: u64| {
        let from = spans.partition_point(|other| other.id < id);
        let count = spans[from..].partition_point(|other| other.id == id);
        from..from + count
    };
    if span.kind == Kind::Server {
        let mut own = with(span.id);
        if let Some(client) = own.find(|other| spans[*other].kind == Kind::Client) {
            return client;
        }
    }
    if span.parent == 0 || span.parent == span.id {
        return NOBODY;
    }
    let all = with(span.parent);
    let own = all.clone().rev().find(|other| spans[*other].service == span.service);
    // A server's parent is the other side, a client's its own.
    let preferred = if span.kind == Kind::Server { None } else { own };
    preferred.or(all.last()).filter(|other| *other != index).unwrap_or(MISSING)
}
