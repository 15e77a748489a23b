//! Identity: certificates, the loops that renew them, and the handshakes that check them.

pub mod certificate;
pub mod chain;
pub mod handshake;
pub mod residual;
pub mod retry;
pub mod ticket;
pub mod token;
pub mod verification;
