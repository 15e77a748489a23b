//! What of a policy's rule can be known of requests of a scenario: ports, clients, headers that are there.
//!
//! Source: as `istio::authorize` compares them.
//! Left out: everything else, which [`super::authorization`] names.

use crate::manifest::istio::authorization::{Condition, Operation, Source, Values};

/// Whether operations match all requests of a port, or none; none if that is not all they ask.
pub(super) fn to_fits(to: &[Operation], port: u16) -> Option<bool> {
    let port = port.to_string();
    let is_all = |values: &Values| {
        values.not.is_empty()
            && (values.any.is_empty() || values.any.iter().any(|word| word.text == "*"))
    };
    let mut known = Some(to.is_empty());
    for one in to {
        if !one.ports.fits(Some(&port), |pattern, value| pattern == value) {
            continue;
        }
        if [&one.hosts, &one.methods, &one.paths].iter().all(|values| is_all(values)) {
            return Some(true);
        }
        known = None;
    }
    known
}

/// What of a condition a filter can say.
pub(super) enum Said<'c> {
    Always,
    Never,
    Source(Box<Source>),
    Header(&'c str),
    No,
}

/// What a condition is at a port.
pub(super) fn said(condition: &Condition, port: u16) -> Said<'_> {
    let values = condition.values.clone();
    let source = match condition.key.as_str() {
        "source.principal" => Source { principals: values, ..Source::default() },
        "source.namespace" => Source { namespaces: values, ..Source::default() },
        "source.serviceAccount" => Source { accounts: values, ..Source::default() },
        "source.trustDomain" => Source { trust_domains: values, ..Source::default() },
        "destination.port" => {
            let port = port.to_string();
            let fits = values.fits(Some(&port), |pattern, value| pattern == value);
            return if fits { Said::Always } else { Said::Never };
        }
        key => {
            let header = key.strip_prefix("request.headers[");
            let header = header.and_then(|rest| rest.strip_suffix(']'));
            let is_any = values.not.is_empty() && values.any.iter().any(|one| one.text == "*");
            return match header {
                Some(header) if is_any && !header.starts_with(':') => Said::Header(header),
                _ => Said::No,
            };
        }
    };
    Said::Source(Box::new(source))
}

/// Whether a source asks for what no client of a scenario has.
pub(super) fn is_beyond(source: &Source) -> bool {
    let parts = [&source.request_principals, &source.ip_blocks, &source.remote_ip_blocks];
    parts.iter().any(|values| !values.is_empty())
}

/// The rest of it.
pub(super) fn without_addresses(source: &Source) -> Source {
    Source {
        request_principals: Values::default(),
        ip_blocks: Values::default(),
        remote_ip_blocks: Values::default(),
        ..source.clone()
    }
}
