//! The versions that a proxy was told.
//!
//! Source: xDS versions are per type.
//! Left out: resources of one type that arrive apart.

/// What of the configuration a proxy has: the version of each xDS type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    pub cds: u32,
    pub eds: u32,
    pub lds: u32,
    pub rds: u32,
}

impl Seen {
    /// Everything as of one version.
    pub(crate) const fn all(version: u32) -> Self {
        Self { cds: version, eds: version, lds: version, rds: version }
    }

    /// The four.
    pub(crate) const fn versions(self) -> [u32; 4] {
        [self.cds, self.eds, self.lds, self.rds]
    }

    /// The newest of the four.
    pub(crate) fn newest(self) -> u32 {
        self.cds.max(self.eds).max(self.lds).max(self.rds)
    }

    /// The oldest of the four.
    pub(crate) fn oldest(self) -> u32 {
        self.cds.min(self.eds).min(self.lds).min(self.rds)
    }
}
