//! How a request ended, for who looks for a cause: what kind of thing does that, and how it is told, of an event and of a
//! setting.
//!
//! Source: `vocabulary::outcome`.
//! Left out: who is to blame; that is `blame`.

use crate::vocabulary::outcome::Details;

/// What kind of thing makes requests end so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nature {
    /// Too much to do, or too little to do it with; outlives its trigger.
    Load,
    /// The app or its host.
    App,
    /// What proxies were told.
    Configuration,
    /// What proxies decide by themselves: faults, limits, policies.
    Policy,
}

/// What kind makes requests end so.
pub(super) const fn nature(details: Details) -> Nature {
    match details {
        Details::AppError
        | Details::AppGrpcError
        | Details::AppCallFailed
        | Details::ViaUpstream
        | Details::RemoteReset
        | Details::ResetAfterResponse
        | Details::RemoteResetAfterResponse
        | Details::ConnectionTermination
        | Details::ConnectionRefused
        | Details::LinkerdConnectionError
        | Details::LinkerdConnectTimeout => Nature::App,
        Details::ClusterNotFound
        | Details::RouteNotFound
        | Details::NoHealthyUpstream
        | Details::DirectResponse
        | Details::WrongVersionNumber
        | Details::NoSecret
        | Details::LinkerdFailFast
        | Details::LinkerdLoadShed
        | Details::LinkerdNoRoute
        | Details::LinkerdInjected
        | Details::LinkerdUnknown
        | Details::LinkerdPanic
        | Details::DropOverload => Nature::Configuration,
        Details::FaultAbort
        | Details::LocalRateLimited
        | Details::RequestRateLimited
        | Details::RbacNoMatch
        | Details::RbacMatched
        | Details::ExtAuthzDenied
        | Details::MissingHost
        | Details::HeadersTooLarge
        | Details::CodecError
        | Details::PayloadTooLarge
        | Details::CorsResponse
        | Details::LinkerdUnauthorized
        | Details::LinkerdRateLimited
        | Details::HandshakeClosed => Nature::Policy,
        _ => Nature::Load,
    }
}

/// What an event of that kind does.
pub(super) fn disturbed(details: Details, service: &str) -> String {
    match nature(details) {
        Nature::App => format!("`{service}` or what it calls is disturbed"),
        Nature::Configuration => match details {
            Details::NoHealthyUpstream | Details::LinkerdFailFast | Details::LinkerdLoadShed => {
                format!("no endpoint of `{service}` is ready")
            }
            _ => format!("proxies were told something else of `{service}`"),
        },
        Nature::Load | Nature::Policy => match details {
            Details::DownstreamDisconnect | Details::DownstreamReset => {
                format!("callers of `{service}` do not wait so long")
            }
            Details::Overflow => format!("more goes to `{service}` than its limits let through"),
            _ => format!("`{service}` answers late or not at all"),
        },
    }
}

/// What of a scenario makes requests end so without an event.
pub(super) fn configured(details: Details, service: &str) -> String {
    match details {
        Details::Overflow => format!("`circuit_breaker` of `{service}` is set so"),
        Details::AppOverflow => format!("`queue` and `workers` of `{service}` are too few"),
        Details::AppError | Details::AppGrpcError => format!("`errors` of `{service}` are set so"),
        Details::AppCallFailed => format!("a call that `{service}` needs fails"),
        Details::LinkerdPanic => format!("all backends of a `route` of `{service}` weigh 0"),
        Details::LinkerdResponseTimeout | Details::LinkerdIdleTimeout => {
            format!("`timeouts` of `{service}` are set so")
        }
        Details::ResponseTimeout | Details::LinkerdTimeout => {
            format!("`timeout` of `{service}` is shorter than its work")
        }
        Details::PerTryTimeout | Details::PerTryIdleTimeout => {
            format!("`retries` of `{service}` leave each try less time than its work takes")
        }
        Details::StreamIdleTimeout => format!("`idle_timeout` of `{service}` is set so"),
        Details::MaxStreamDuration | Details::MaxDuration => {
            format!("`max_stream_duration` of `{service}` is set so")
        }
        Details::DownstreamDisconnect | Details::DownstreamReset => {
            format!("callers of `{service}` have a `timeout` that is shorter than its work")
        }
        Details::ClusterNotFound => {
            format!("the routes of `{service}` name what the mesh does not have")
        }
        Details::RouteNotFound | Details::LinkerdNoRoute => {
            format!("no `route` of `{service}` takes such requests")
        }
        Details::NoHealthyUpstream => {
            format!("no endpoint of `{service}` is healthy by its settings")
        }
        Details::DirectResponse => format!("a `route` of `{service}` answers by itself"),
        Details::FaultAbort
        | Details::LocalRateLimited
        | Details::RequestRateLimited
        | Details::RateLimiterError
        | Details::RbacNoMatch
        | Details::RbacMatched
        | Details::ExtAuthzDenied
        | Details::ExtAuthzError
        | Details::PayloadTooLarge
        | Details::AdmissionDenied
        | Details::Overload
        | Details::HandshakeClosed
        | Details::CorsResponse => format!("a `filter` before `{service}` is set so"),
        Details::MissingHost | Details::HeadersTooLarge | Details::CodecError => {
            format!("`traffic` to `{service}` has such requests")
        }
        Details::WrongVersionNumber | Details::NoSecret => {
            format!("`tls` of `{service}` and of its workloads are set so")
        }
        Details::ConnectionRefused
        | Details::ConnectionTimeout
        | Details::ConnectionTermination
        | Details::RemoteReset
        | Details::RemoteRefusedStream
        | Details::ResetAfterResponse
        | Details::RemoteResetAfterResponse => {
            format!("`behaviour` and connections of `{service}` are set so")
        }
        Details::ViaUpstream => format!("what runs at `{service}` is set so"),
        _ => format!("the scenario has `{service}` so"),
    }
}
