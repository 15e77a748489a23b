//! Envoy's response flags: why an answer is not simply the upstream's own.
//!
//! Source: Envoy `envoy/stream_info/stream_info.h` (`CoreResponseFlag`) and the access-log usage
//! page; the print order was measured on Envoy 1.40 (`URX` and `UO` come before the failure that
//! they judge: `URX,UF`, `UO,UT`, `DI,FI`).
//! Left out: flags of filters that are not simulated.

use std::fmt;

/// One response flag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum ResponseFlag {
    /// Delay injected by the fault filter.
    DI,
    /// Abort injected by the fault filter.
    FI,
    /// Upstream retry limit exceeded: every allowed retry was made.
    URX,
    /// Upstream overflow: a circuit breaker was open.
    UO,
    /// No healthy upstream host.
    UH,
    /// No cluster found.
    NC,
    /// No route configured.
    NR,
    /// Upstream request timeout.
    UT,
    /// Upstream connection failure.
    UF,
    /// Upstream connection termination.
    UC,
    /// Upstream remote reset.
    UR,
    /// Connection local reset.
    LR,
    /// Downstream connection termination.
    DC,
    /// Downstream remote reset: the client reset its stream.
    DR,
    /// Rate limited.
    RL,
    /// Rejected by external authorization.
    UAEX,
    /// Overload manager.
    OM,
    /// Downstream protocol error.
    DPE,
    /// Upstream protocol error.
    UPE,
    /// Stream idle timeout.
    SI,
    /// Downstream connection or route duration timeout.
    DT,
    /// No filter configuration found.
    NFCF,
    /// Upstream max stream duration reached.
    UMSDR,
    /// Dropped, because the control plane says so of a share.
    DO,
    /// The rate limit service could not be asked.
    RLSE,
}

use ResponseFlag as F;

/// All flags in print order, with the spelling of Envoy's access log.
const ALL: [(F, &str); 25] = [
    (F::DI, "DI"),
    (F::FI, "FI"),
    (F::URX, "URX"),
    (F::UO, "UO"),
    (F::UH, "UH"),
    (F::NC, "NC"),
    (F::NR, "NR"),
    (F::UT, "UT"),
    (F::UF, "UF"),
    (F::UC, "UC"),
    (F::UR, "UR"),
    (F::LR, "LR"),
    (F::DC, "DC"),
    (F::DR, "DR"),
    (F::RL, "RL"),
    (F::UAEX, "UAEX"),
    (F::RLSE, "RLSE"),
    (F::OM, "OM"),
    (F::DPE, "DPE"),
    (F::UPE, "UPE"),
    (F::SI, "SI"),
    (F::DT, "DT"),
    (F::NFCF, "NFCF"),
    (F::UMSDR, "UMSDR"),
    (F::DO, "DO"),
];

/// A set of response flags.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Flags(u32);

impl Flags {
    /// No flag: the answer is the upstream's own.
    pub const NONE: Self = Self(0);

    /// Just `flag`.
    pub const fn of(flag: ResponseFlag) -> Self {
        Self(1 << flag as u8)
    }

    /// This set and `flag`.
    #[must_use]
    pub const fn with(self, flag: ResponseFlag) -> Self {
        Self(self.0 | 1 << flag as u8)
    }

    /// This set and all of `other`.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `flag` is in the set.
    pub const fn has(self, flag: ResponseFlag) -> bool {
        self.0 & 1 << flag as u8 != 0
    }

    /// Whether some flag of `other` is in the set.
    pub const fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every flag of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as bits, for keys and digests.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Reads `URX,UF` or `-`; `None` names no known flag.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "-" {
            return Some(Self::NONE);
        }
        text.split(',').try_fold(Self::NONE, |set, word| {
            let (flag, _) = ALL.iter().find(|(_, name)| *name == word.trim())?;
            Some(set.with(*flag))
        })
    }

    /// The names of all flags, for hints.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|(_, name)| *name)
    }
}

impl fmt::Display for Flags {
    /// As Envoy's access log prints them; `-` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        let mut first = true;
        for (flag, name) in ALL {
            if self.has(flag) {
                write!(f, "{}{name}", if first { "" } else { "," })?;
                first = false;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_in_the_order_that_envoy_was_measured_to_print() {
        assert_eq!(Flags::of(F::UF).with(F::URX).to_string(), "URX,UF");
        assert_eq!(Flags::of(F::UT).with(F::UO).to_string(), "UO,UT");
        assert_eq!(Flags::NONE.to_string(), "-");
    }

    #[test]
    fn every_flag_reads_back_as_itself() {
        for (flag, name) in ALL {
            assert_eq!(Flags::parse(name), Some(Flags::of(flag)));
        }
        assert_eq!(Flags::parse("URX,UF"), Some(Flags::of(F::URX).with(F::UF)));
        assert_eq!(Flags::parse("XX"), None);
    }
}
