//! The codes: name, severity, why it matters when something fails, what helps.
//!
//! They stand in `codes.txt`, one a line, so that the list can be read as such.
//! Source: istio/istio `pkg/config/analysis/msg/messages.yaml` and istio.io `reference/config/analysis`
//! (codes `IST….`, names, levels); what a proxy answers is from `reference/istio.md` 3.5 and 3.6. Codes
//! `MSH….` are the project's own.
//! Left out: codes that no rule here gives.

use crate::manifest::lint::Severity;

/// The table, one code a line.
const TABLE: &str = include_str!("codes.txt");

/// What a code means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// The code, such as `IST0101`.
    pub code: &'static str,
    /// Its name, such as `ReferencedResourceNotFound`.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Why it matters when something fails.
    pub why: &'static str,
    /// What helps.
    pub fix: &'static str,
}

/// All codes, in order.
pub fn all() -> impl Iterator<Item = Code> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(read)
}

fn read(line: &'static str) -> Option<Code> {
    let mut fields = line.split(" | ");
    let (code, name) = (fields.next()?, fields.next()?);
    let severity = match fields.next()? {
        "error" => Severity::Error,
        "warning" => Severity::Warning,
        _ => Severity::Info,
    };
    Some(Code { code, name, severity, why: fields.next()?, fix: fields.next()? })
}

/// What a code means; nothing for one that is not in the table.
pub fn of(code: &'static str) -> Code {
    let unknown = Code { code, name: "", severity: Severity::Info, why: "", fix: "" };
    all().find(|known| known.code == code).unwrap_or(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_complete() {
        let codes: Vec<Code> = all().collect();
        assert_eq!(codes.len(), TABLE.lines().count() - 1);
        assert!(codes.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert!(codes.iter().all(|code| code.code.len() == 7 && !code.fix.is_empty()));
        assert_eq!(of("IST0101").name, "ReferencedResourceNotFound");
        assert_eq!(of("IST0101").severity, Severity::Error);
    }
}
