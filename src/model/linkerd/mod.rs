//! What Linkerd's proxy decides where it differs from Envoy, and its control plane from Istio's.
//!
//! In the order of a request: [`detect`] the protocol, [`lookup`] the destination and keep it in a
//! [`cache`], find the [`route`], draw a backend by its [`distribution`], wait in the [`queue`], choose
//! an endpoint by [`p2c`] over [`peak_ewma`], leave out those that [`accrual`] shut; [`retry`] and
//! [`retry_budget`], [`timeouts`]; on the other side [`authorization`] and [`rate_limit`]. Each failure is
//! an [`answer`]. Besides: [`renewal`] of leaves, [`check`], [`control`] streams, [`connection`] lives.

pub mod accrual;
pub mod answer;
pub mod authorization;
pub mod backoff;
pub mod cache;
pub mod check;
pub mod connection;
pub mod control;
pub mod detect;
pub mod distribution;
pub mod lookup;
pub mod p2c;
pub mod peak_ewma;
pub mod queue;
pub mod rate_limit;
pub mod renewal;
pub mod retry;
pub mod retry_budget;
pub mod route;
pub mod success_rate;
pub mod timeouts;
