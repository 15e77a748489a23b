//! Service-account tokens while running: who has one that is good, and what istiod hears of it.
//!
//! In calm no pod has anything here: a token's age is a function of time. Where rotation stands still
//! (the API server or the kubelet is away, or the kubelet forgets a pod) its token is looked up and
//! grows old; an expired one is refused for certificates and for new streams. Streams that are open
//! live on.
//!
//! ```text
//! request ── expired: Unauthenticated
//!        └── TokenReview ── API server away, or unlucky: Unauthenticated
//!                        └── throttled, answered: served
//! ```
//!
//! Source: `model::identity::token`, `model::control::throttle`; istio security/pkg/server/ca/server.go
//! (every failure to authenticate is `Unauthenticated`, which the agent does not try again by itself);
//! istio#26225, #60326, #34547.
//! Left out: how long a question to an API server that is away takes to fail; JWTs of other issuers;
//! certificates instead of tokens.

use super::World;
use super::event::Event;
use super::state::Life;
use crate::kernel::queue::Ticket;
use crate::kernel::stream::{draw_at, uniform};
use crate::kernel::time::{Duration, Time};
use crate::model::identity::token::{Token, TokenLaw};
use crate::plan::pods::ClusterAction;
use crate::plan::timeline::{Action, TimelineEvent};
use crate::plan::universe::NodeId;
use crate::plan::{Plan, Start};
use crate::vocabulary::cause::{CauseId, CauseKind};
use crate::vocabulary::fact::FactKind;
use std::collections::{BTreeMap, BTreeSet};

/// The draws of a pod's reviews.
const DOMAIN: u32 = 11;

/// What is asked with a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asks {
    Certificate,
    Stream,
}

/// Tokens that are not as in calm.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Something in the plan can keep tokens from being rotated.
    pub matter: bool,
    law: TokenLaw,
    held: BTreeMap<u32, Held>,
    /// Pods whose token is past its end, with their incarnations.
    expired: BTreeMap<u32, u32>,
    forgotten: Vec<Forgotten>,
    /// Pods whose last certificate request was not authenticated.
    refused: BTreeSet<u32>,
    /// The share of reviews that fails, and why.
    reviews_fail: (f64, Option<CauseId>),
}

/// Pods, with their incarnations, that kubelets forget by an event.
#[derive(Debug)]
struct Forgotten {
    halt: Halt,
    pods: Vec<(u32, u32)>,
}

/// Nobody rotates a token, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Halt(Option<CauseId>);

#[derive(Debug)]
struct Held {
    token: Token,
    birth: u32,
    /// The events of its end and of its rotation.
    over: Ticket,
    rotated: Ticket,
    /// Why it stood still last.
    cause: Option<CauseId>,
}

impl Tokens {
    pub(crate) fn new(plan: &Plan) -> Self {
        let stops = |action: &Action| {
            matches!(
                action,
                Action::Cluster(
                    ClusterAction::FailApiServer
                        | ClusterAction::FailKubelets(_)
                        | ClusterAction::StopTokens(..)
                )
            )
        };
        let keys = &plan.parameters.sa_token;
        let mut actions = plan.timeline.iter().flat_map(TimelineEvent::actions);
        Self {
            matter: plan.has_mesh() && (keys.cached || actions.any(stops)),
            law: TokenLaw::new(keys),
            held: BTreeMap::new(),
            expired: BTreeMap::new(),
            forgotten: Vec::new(),
            refused: BTreeSet::new(),
            reviews_fail: (0.0, None),
        }
    }

    /// Whether a pod's last certificate request was not authenticated.
    pub(super) fn has_refused(&self, pod: u32) -> bool {
        !self.refused.is_empty() && self.refused.contains(&pod)
    }

    /// A pod asks again: what it heard before is over.
    pub(super) fn forget_refusal(&mut self, pod: u32) {
        if !self.refused.is_empty() {
            self.refused.remove(&pod);
        }
    }
}

impl World<'_> {
    // === what istiod hears ===

    fn token_is_over(&self, pod: u32) -> bool {
        let expired = &self.kubernetes.tokens.expired;
        !expired.is_empty() && expired.get(&pod) == Some(&self.pods[pod as usize].birth)
    }

    /// Live proxies whose token is past its end.
    pub(super) fn tokens_expired(&self) -> u32 {
        let is_live =
            |pod: &u32| self.token_is_over(*pod) && self.pods[*pod as usize].has_live_proxy();
        let expired = self.kubernetes.tokens.expired.keys().filter(|pod| is_live(pod));
        u32::try_from(expired.count()).unwrap_or(u32::MAX)
    }

    /// Whether istiod could find a pod's token good.
    pub(super) fn is_authenticated(&self, pod: u32) -> bool {
        self.api_server_is_up() && !self.token_is_over(pod)
    }

    /// Whether every review finds what is there at once: no token is over, none is refused by chance.
    pub(super) fn reviews_are_calm(&self) -> bool {
        let tokens = &self.kubernetes.tokens;
        let is_over = |pod: &u32| self.token_is_over(*pod);
        self.api_server_is_up()
            && tokens.reviews_fail.0 <= 0.0
            && !tokens.expired.keys().any(is_over)
    }

    /// A replica of istiod that is asked at a time looks at the token: when it knows that it is good.
    /// None: `Unauthenticated`.
    pub(super) fn review_token(
        &mut self,
        pod: u32,
        replica: u32,
        at: Time,
        asks: Asks,
    ) -> Option<Time> {
        if !self.is_authenticated(pod) {
            return None;
        }
        let share = self.kubernetes.tokens.reviews_fail.0;
        let now = u32::try_from(self.now.ns() & 0xffff_ffff).unwrap_or(0);
        let key = self.loop_key(pod, DOMAIN);
        if 0.0 < share && uniform(key.draw(u32::from(asks == Asks::Stream), now)) < share {
            return None;
        }
        let asked = self.control.replicas[replica as usize].reviews.take(at);
        Some(asked.saturating_add(self.plan.parameters.istiod.token_review_time))
    }

    /// A certificate request was not authenticated: the agent does not try again by itself.
    pub(super) fn refuse_token(&mut self, pod: u32) {
        let tokens = &self.kubernetes.tokens;
        let (cause, why) = if !self.api_server_is_up() {
            let why = match self.plan.linkerd {
                None => "Unauthenticated: istiod cannot ask the API server",
                Some(_) => "Unavailable: identity cannot ask the API server",
            };
            (self.kubernetes.api_cause, why)
        } else if self.token_is_over(pod) {
            let because = tokens.held.get(&pod).and_then(|held| held.cause);
            let what = if because.is_none() && self.plan.parameters.sa_token.cached {
                "agents keep the service-account token with which they started (sa_token.cached)"
            } else {
                "service-account tokens are past their end"
            };
            let cause = self.caused(CauseKind::TokenExpired, because, || what.to_owned());
            (Some(cause), "Unauthenticated: the token is past its end")
        } else {
            (tokens.reviews_fail.1, "Unauthenticated: the review of the token failed")
        };
        self.kubernetes.tokens.refused.insert(pod);
        self.fail_renewal(pod, Duration::ZERO, cause, why);
    }

    /// Another share of reviews fails.
    pub(super) fn tell_reviews(&mut self) {
        let (mut passes, mut cause) = (1.0, None);
        for (action, why) in self.in_force() {
            if let Action::Cluster(ClusterAction::FailReviews(share)) = action {
                passes *= 1.0 - share;
                cause = why;
            }
        }
        self.kubernetes.tokens.reviews_fail = (1.0 - passes, cause);
        self.review_calm();
    }

    // === rotation ===

    /// Agents that keep their token have it from time zero.
    pub(super) fn start_tokens(&mut self) {
        if self.kubernetes.tokens.matter && self.plan.parameters.sa_token.cached {
            for pod in 0..u32::try_from(self.pods.len()).expect("fewer than 2^32 pods") {
                if self.pods[pod as usize].is_meshed {
                    self.begin_token(pod);
                }
            }
        }
    }

    /// A pod starts with a token of its own.
    pub(super) fn begin_token(&mut self, pod: u32) {
        if !self.kubernetes.tokens.matter {
            return;
        }
        let tokens = &mut self.kubernetes.tokens;
        tokens.expired.remove(&pod);
        let (token, birth) = (Token::fresh(self.now, &tokens.law), self.pods[pod as usize].birth);
        let (over, rotated) = (Ticket::NONE, Ticket::NONE);
        tokens.held.insert(pod, Held { token, birth, over, rotated, cause: None });
        if self.plan.parameters.sa_token.cached {
            self.stop_token(pod, None);
        } else if let Some(Halt(cause)) = self.stands_still(pod) {
            self.stop_token(pod, cause);
        }
    }

    /// Kubelets rotate the tokens of a share of their pods no more, or again.
    pub(super) fn forget_tokens(
        &mut self,
        nodes: &[NodeId],
        share: f64,
        begins: bool,
        cause: Option<CauseId>,
    ) {
        if begins {
            let mut pods: Vec<(u32, u32)> = Vec::new();
            for node in nodes {
                let mut here = self.pods_on(node.0);
                here.retain(|pod| self.pods[*pod as usize].is_meshed);
                let count = libm::ceil(here.len() as f64 * share);
                let chosen = here.iter().zip(0_u32..).filter(|(_, n)| f64::from(*n) < count);
                pods.extend(chosen.map(|(pod, _)| (*pod, self.pods[*pod as usize].birth)));
            }
            self.kubernetes.tokens.forgotten.push(Forgotten { halt: Halt(cause), pods });
        } else {
            let forgotten = &mut self.kubernetes.tokens.forgotten;
            if let Some(place) = forgotten.iter().position(|one| one.halt == Halt(cause)) {
                forgotten.remove(place);
            }
        }
        self.tokens_change();
    }

    /// Why nobody rotates a pod's token; none if somebody does.
    fn stands_still(&self, pod: u32) -> Option<Halt> {
        let record = &self.pods[pod as usize];
        if !self.api_server_is_up() {
            return Some(Halt(self.kubernetes.api_cause));
        }
        if !self.kubelet_is_up(record.node.0) {
            return Some(Halt(self.kubelet_cause(record.node.0)));
        }
        let mut all = self.kubernetes.tokens.forgotten.iter();
        all.find(|one| one.pods.contains(&(pod, record.birth))).map(|one| one.halt)
    }

    /// The API server, a kubelet or what it forgets has changed.
    #[cold]
    pub(super) fn tokens_change(&mut self) {
        if !self.kubernetes.tokens.matter || self.plan.parameters.sa_token.cached {
            return;
        }
        for pod in 0..u32::try_from(self.pods.len()).expect("fewer than 2^32 pods") {
            let record = &self.pods[pod as usize];
            if !record.is_meshed || matches!(record.life, Life::Down | Life::Gone) {
                continue;
            }
            match self.stands_still(pod) {
                Some(Halt(cause)) => self.stop_token(pod, cause),
                None => self.let_token_go_on(pod),
            }
        }
    }

    fn held_token(&mut self, pod: u32) -> &mut Held {
        let (record, tokens) = (&self.pods[pod as usize], &mut self.kubernetes.tokens);
        let (birth, law) = (record.birth, &tokens.law);
        let age = || match self.plan.start {
            Start::Cold => Token::fresh(Time::ZERO, law),
            Start::Stationary => {
                Token::aged(law, uniform(draw_at(self.seed, "token age", record.hash, 0)))
            }
        };
        let anew =
            || Held { token: age(), birth, over: Ticket::NONE, rotated: Ticket::NONE, cause: None };
        let held = tokens.held.entry(pod).or_insert_with(anew);
        if held.birth != birth {
            *held = anew();
        }
        held
    }

    fn stop_token(&mut self, pod: u32, cause: Option<CauseId>) {
        let (now, end, law) = (self.now, self.end, self.kubernetes.tokens.law);
        let held = self.held_token(pod);
        if held.token.stands_still() {
            return;
        }
        held.token.stop(now, &law);
        (held.cause, held.over, held.rotated) = (cause, Ticket::NONE, Ticket::NONE);
        let expires = held.token.expires();
        if now < expires && expires < end {
            let ticket = self.queue.at(expires, Event::TokenOver(pod).pack());
            self.held_token(pod).over = ticket;
        }
    }

    fn let_token_go_on(&mut self, pod: u32) {
        let birth = self.pods[pod as usize].birth;
        let tokens = &mut self.kubernetes.tokens;
        let Some(held) = tokens.held.get_mut(&pod) else { return };
        if held.birth != birth || !held.token.stands_still() {
            return;
        }
        let hash = self.pods[pod as usize].hash;
        let draw = |n| uniform(draw_at(self.seed, "token sync", hash, 2 * self.now.ns() + n));
        let wait = self.plan.parameters.sa_token.sync.scale((1.0 + 0.5 * draw(0)) * draw(1));
        held.token.go_on(self.now, wait);
        let (due, expires) = (held.token.due(), held.token.expires());
        if due < expires {
            held.over = Ticket::NONE;
        } else if due < self.end {
            held.rotated = self.queue.at(due, Event::TokenRotated(pod).pack());
        }
    }

    /// A token reaches its end.
    pub(super) fn token_over(&mut self, pod: u32, ticket: Ticket) {
        let birth = self.pods[pod as usize].birth;
        let tokens = &mut self.kubernetes.tokens;
        match tokens.held.get_mut(&pod) {
            Some(held) if held.over == ticket && held.birth == birth => held.over = Ticket::NONE,
            _ => return self.stale(),
        }
        tokens.expired.insert(pod, birth);
        self.fact_of(FactKind::TokenExpired, pod, |_| String::new());
        if self.control.is_calm {
            self.review_calm();
        }
    }

    /// The kubelet has written the next one.
    pub(super) fn token_rotated(&mut self, pod: u32, ticket: Ticket) {
        let birth = self.pods[pod as usize].birth;
        let tokens = &mut self.kubernetes.tokens;
        match tokens.held.get_mut(&pod) {
            Some(held) if held.rotated == ticket && held.birth == birth => {
                held.rotated = Ticket::NONE;
                held.token.catch_up(self.now, &tokens.law);
            }
            _ => return self.stale(),
        }
        tokens.expired.remove(&pod);
        self.fact_of(FactKind::TokenRenewed, pod, |_| String::new());
        self.look_again_at(pod);
        if self.kubernetes.tokens.expired.is_empty() {
            self.review_calm();
        }
    }
}
