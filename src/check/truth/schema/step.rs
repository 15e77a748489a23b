//! What happens meanwhile: a verb, its target, its arguments.
//!
//! Source: the schema `envoy-lab/2`.
//! Left out: nothing; what the simulator has no action for is told by the lowering.

use super::config::{Behaviour, Cluster, Endpoint, Route};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// A step of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawStep")]
pub struct Step {
    /// Seconds from the start of the case.
    pub at_s: f64,
    /// A cluster, a host or a proxy, by the verb.
    pub target: String,
    /// What it does, with its arguments.
    pub verb: Verb,
    /// The verb as the file spells it.
    pub word: String,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Verb {
    /// Endpoints by name leave the list.
    EdsRemove(Vec<String>),
    /// New ones join it.
    EdsAdd(Vec<Endpoint>),
    /// The whole new list.
    EdsSet(Vec<Endpoint>),
    /// EDS says how healthy these are.
    EdsSetHealth(Vec<Endpoint>),
    /// An update that Envoy rejects or ignores.
    EdsInvalid(InvalidReason),
    /// A new cluster.
    CdsAdd(Box<Cluster>),
    /// The cluster goes.
    CdsRemove,
    /// Fields of the cluster change.
    CdsModify {
        /// Which.
        keys: Vec<String>,
        /// A cluster that has them as they are from now on.
        set: Box<Cluster>,
    },
    /// The whole new list of routes.
    RdsSwitch(Vec<Route>),
    /// A new filter chain with these routes.
    LdsUpdate(Vec<Route>),
    /// The listener goes.
    LdsRemove,
    /// The host's connections close and its port refuses.
    HostStop(Close),
    /// It is back as it was.
    HostStart,
    /// It behaves like this from now on.
    HostBehaviour(Behaviour),
    /// SIGKILL.
    ProxyKill,
    /// SIGTERM, without a drain.
    ProxySigterm,
    /// `drain_listeners?graceful`.
    ProxyDrain,
    /// `POST /healthcheck/fail`.
    ProxyHealthcheckFail,
    /// SIGSTOP.
    ProxyFreeze,
    /// SIGCONT.
    ProxyResume,
    /// A secret is replaced.
    CertRotate {
        /// Which.
        secret: Secret,
        /// The new certificates' names.
        certificates: Vec<String>,
    },
    /// The control plane falls silent.
    ControlPlaneDown,
    /// It answers again.
    ControlPlaneUp,
}

/// How a host that stops closes the connections that are open.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// FIN.
    Fin,
    /// RST.
    Rst,
}

/// What is rotated.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// The own certificate.
    Certificate,
    /// The trusted roots.
    TrustedCa,
}

/// What is wrong with an update.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvalidReason {
    /// An address that is none.
    BadAddress,
    /// The name of another cluster.
    OtherClusterName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    at_s: f64,
    #[serde(rename = "do")]
    verb: String,
    target: String,
    args: Option<Value>,
}

/// The one argument of a verb that has one.
macro_rules! argument {
    ($args:expr, $verb:expr, $key:ident: $ty:ty) => {{
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Args {
            $key: $ty,
        }
        arguments::<Args>($args, $verb)?.$key
    }};
}

impl TryFrom<RawStep> for Step {
    type Error = String;

    fn try_from(raw: RawStep) -> Result<Self, String> {
        let RawStep { at_s, verb: word, target, args } = raw;
        let verb = Verb::read(&word, args)?;
        let is_right = match verb {
            Verb::ControlPlaneDown | Verb::ControlPlaneUp => target == "eds",
            Verb::RdsSwitch(_) => target == "routes",
            Verb::LdsUpdate(_) | Verb::LdsRemove => target == "listener",
            _ => true,
        };
        if !is_right {
            return Err(format!("`{target}` is no target of {word}"));
        }
        Ok(Self { at_s, target, verb, word })
    }
}

impl Verb {
    fn read(word: &str, args: Option<Value>) -> Result<Self, String> {
        let bare = match word {
            "cds_remove" => Some(Self::CdsRemove),
            "lds_remove" => Some(Self::LdsRemove),
            "host_start" => Some(Self::HostStart),
            "proxy_kill" => Some(Self::ProxyKill),
            "proxy_sigterm" => Some(Self::ProxySigterm),
            "proxy_drain" => Some(Self::ProxyDrain),
            "proxy_healthcheck_fail" => Some(Self::ProxyHealthcheckFail),
            "proxy_freeze" => Some(Self::ProxyFreeze),
            "proxy_resume" => Some(Self::ProxyResume),
            "control_plane_down" => Some(Self::ControlPlaneDown),
            "control_plane_up" => Some(Self::ControlPlaneUp),
            _ => None,
        };
        if let Some(bare) = bare {
            return if args.is_none() { Ok(bare) } else { Err(format!("{word} has no args")) };
        }
        Ok(match word {
            "eds_remove" => Self::EdsRemove(argument!(args, word, endpoints: Vec<String>)),
            "eds_add" => Self::EdsAdd(argument!(args, word, endpoints: Vec<Endpoint>)),
            "eds_set" => Self::EdsSet(argument!(args, word, endpoints: Vec<Endpoint>)),
            "eds_set_health" => Self::EdsSetHealth(argument!(args, word, endpoints: Vec<Endpoint>)),
            "eds_invalid" => Self::EdsInvalid(argument!(args, word, reason: InvalidReason)),
            "cds_add" => Self::CdsAdd(argument!(args, word, cluster: Box<Cluster>)),
            "cds_modify" => {
                let set = argument!(args, word, set: Map<String, Value>);
                let mut cluster = json!({
                    "name": "", "lb_policy": "ROUND_ROBIN", "connect_timeout_ms": 0, "http": "http1",
                });
                let keys: Vec<String> = set.keys().cloned().collect();
                if let Some(fields) = cluster.as_object_mut() {
                    fields.extend(set);
                }
                let own: Cluster = arguments(Some(cluster), word)?;
                let mut tried = own.clone();
                for key in &keys {
                    if !set_field(&mut tried, key, &own) {
                        return Err(format!("{word}: `{key}` does not change"));
                    }
                }
                Self::CdsModify { keys, set: Box::new(own) }
            }
            "rds_switch" => Self::RdsSwitch(argument!(args, word, routes: Vec<Route>)),
            "lds_update" => Self::LdsUpdate(argument!(args, word, routes: Vec<Route>)),
            "host_stop" => Self::HostStop(argument!(args, word, close: Close)),
            "host_behaviour" => Self::HostBehaviour(argument!(args, word, behaviour: Behaviour)),
            "cert_rotate" => {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Args {
                    secret: Secret,
                    certificates: Vec<String>,
                }
                let Args { secret, certificates } = arguments(args, word)?;
                Self::CertRotate { secret, certificates }
            }
            _ => return Err(format!("there is no step `{word}`")),
        })
    }

    /// The hosts that its arguments name.
    pub(super) fn hosts(&self) -> Vec<&str> {
        match self {
            Self::EdsRemove(names) => names.iter().map(String::as_str).collect(),
            Self::EdsAdd(endpoints) | Self::EdsSet(endpoints) | Self::EdsSetHealth(endpoints) => {
                endpoints.iter().map(|one| one.host.as_str()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether the target is a host or a proxy.
    pub(super) fn is_of_a_host(&self) -> bool {
        matches!(
            self,
            Self::HostStop(_)
                | Self::HostStart
                | Self::HostBehaviour(_)
                | Self::ProxyKill
                | Self::ProxySigterm
                | Self::ProxyDrain
                | Self::ProxyHealthcheckFail
                | Self::ProxyFreeze
                | Self::ProxyResume
                | Self::CertRotate { .. }
        )
    }
}

/// A cluster of which these fields are as they are in `set`.
pub fn modified(cluster: &Cluster, keys: &[String], set: &Cluster) -> Cluster {
    let mut cluster = cluster.clone();
    for key in keys {
        set_field(&mut cluster, key, set);
    }
    cluster
}

/// Takes one field from another cluster; false if there is none of that name that may change.
fn set_field(cluster: &mut Cluster, key: &str, from: &Cluster) -> bool {
    macro_rules! fields {
        ($($field:ident)+) => {
            match key {
                $(stringify!($field) => cluster.$field.clone_from(&from.$field),)+
                _ => return false,
            }
        };
    }
    fields! {
        lb_policy connect_timeout_ms http endpoints locality_weights lb_config
        healthy_panic_threshold_percent drop_overload_percent endpoint_stale_after_ms
        max_connection_duration_ms max_stream_duration_ms max_requests_per_connection
        outlier_detection tls circuit_breakers health_checks
    }
    true
}

fn arguments<T: DeserializeOwned>(args: Option<Value>, word: &str) -> Result<T, String> {
    let args = args.ok_or_else(|| format!("{word} needs args"))?;
    serde_json::from_value(args).map_err(|error| format!("{word}: {error}"))
}
