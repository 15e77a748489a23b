//! Gateways, their listeners, and gateway classes.
//!
//! Source: Gateway API `gateway_types.go`, `gatewayclass_types.go`.
//! Left out: addresses, infrastructure, and what is in certificates (a listener serves any host that fits).

use crate::manifest::kinds::GATEWAY_API;
use crate::manifest::object::Object;
use crate::manifest::reader::Reader;
use crate::manifest::selector::Selector;
use crate::manifest::source::At;
use serde::Serialize;

/// A gateway class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatewayClass {
    /// Its name.
    pub name: String,
    /// Which controller serves it.
    pub controller: String,
    /// Where its name is.
    pub at: At,
}

/// A gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateway {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The name of its class.
    pub class: String,
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Where its name is.
    pub at: At,
}

/// A listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Its name, unique in the gateway.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// The hosts that it serves; empty for all.
    pub hostname: String,
    /// Which namespaces' routes may bind.
    pub from: From,
    /// Which kinds of routes may bind (group, kind); empty for all that fit the protocol.
    pub kinds: Vec<(String, String)>,
    /// What it does with TLS.
    pub tls: Option<Tls>,
    /// Where it is.
    pub at: At,
}

/// What a listener speaks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum Protocol {
    /// HTTP.
    Http,
    /// HTTP in TLS, which the gateway ends.
    Https,
    /// TLS.
    Tls,
    /// Bytes.
    Tcp,
    /// Datagrams.
    Udp,
    /// Istio's tunnel between proxies: the listener of a waypoint, which serves the mesh's routes.
    Hbone,
    /// A word that the Gateway API does not know.
    Other(String),
}

/// Whose routes may bind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    /// Those of the gateway's namespace.
    Same,
    /// All.
    All,
    /// None.
    None,
    /// Those of namespaces with such labels.
    Selector(Selector),
}

/// A listener's TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// Whether the TLS stream is passed on unopened.
    pub is_passthrough: bool,
    /// Its certificates.
    pub certificates: Vec<CertificateRef>,
    /// Whether the implementation's own options are set, which may stand in for certificates.
    pub has_options: bool,
}

/// A reference to a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateRef {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub at: At,
}

impl Protocol {
    fn of(word: &str) -> Self {
        match word {
            "HTTP" => Self::Http,
            "HTTPS" => Self::Https,
            "TLS" => Self::Tls,
            "TCP" => Self::Tcp,
            "UDP" => Self::Udp,
            "HBONE" => Self::Hbone,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The word in the manifest.
    pub fn word(&self) -> &str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Hbone => "HBONE",
            Self::Other(word) => word,
        }
    }

    /// Whether requests are seen one by one.
    pub fn is_http(&self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

impl Listener {
    /// The kinds of routes that its protocol can carry.
    pub fn protocol_kinds(&self) -> &'static [&'static str] {
        let passthrough = self.tls.as_ref().is_some_and(|tls| tls.is_passthrough);
        match self.protocol {
            Protocol::Http | Protocol::Https => &["HTTPRoute", "GRPCRoute"],
            Protocol::Tls if passthrough => &["TLSRoute"],
            Protocol::Tls => &["TLSRoute", "TCPRoute"],
            Protocol::Tcp => &["TCPRoute"],
            Protocol::Udp => &["UDPRoute"],
            Protocol::Hbone | Protocol::Other(_) => &[],
        }
    }

    /// Whether a kind of route may bind: the protocol carries it, and `allowedRoutes` does not forbid it.
    pub fn takes(&self, kind: &str) -> bool {
        let listed = |(group, word): &(String, String)| group == GATEWAY_API && word == kind;
        self.protocol_kinds().contains(&kind)
            && (self.kinds.is_empty() || self.kinds.iter().any(listed))
    }
}

/// Reads a `GatewayClass`.
pub fn read_class(object: &Object, reader: &mut Reader<'_, '_>) -> GatewayClass {
    let controller = reader.map("spec", |spec| {
        spec.pass(&["description"]);
        spec.ignore(&["parametersRef"], "the controller's own settings");
        spec.needed_text("controllerName")
    });
    let controller = controller.flatten().unwrap_or_default();
    GatewayClass { name: object.id.name.clone(), controller, at: object.name_at }
}

/// Reads a Gateway.
pub fn read(object: &Object, reader: &mut Reader<'_, '_>) -> Gateway {
    let mut gateway = Gateway {
        namespace: object.id.namespace.clone(),
        name: object.id.name.clone(),
        class: String::new(),
        listeners: Vec::new(),
        at: object.name_at,
    };
    reader.map("spec", |spec| {
        gateway.class = spec.needed_text("gatewayClassName").unwrap_or_default();
        if !spec.has("listeners") {
            spec.missing("listeners");
        }
        spec.at_most("listeners", 64);
        let listeners = spec.list("listeners", |r| read_listener(r, &object.id.namespace));
        gateway.listeners = listeners.into_iter().flatten().collect();
        for (index, listener) in gateway.listeners.iter().enumerate() {
            if gateway.listeners[..index].iter().any(|other| other.name == listener.name) {
                let what = format!("the listener `{}` is given twice", listener.name);
                spec.problem(listener.at, what, "each listener needs a name of its own");
            }
        }
        spec.pass(&["addresses", "infrastructure"]);
        spec.ignore(&["allowedListeners"], "listeners outside of their Gateway are not simulated");
        spec.ignore(&["tls"], "client certificates at the gateway");
    });
    gateway
}

fn read_listener(reader: &mut Reader<'_, '_>, namespace: &str) -> Option<Listener> {
    let at = reader.at();
    let name = reader.needed_text("name");
    let hostname = reader.text("hostname").unwrap_or_default();
    let protocol = reader.needed_text("protocol").map(|word| Protocol::of(&word));
    if let Some(Protocol::Other(word)) = &protocol {
        let what = format!("`{word}` is no protocol of the Gateway API");
        reader.warning(reader.at_field("protocol"), what, "HTTP, HTTPS, TLS, TCP or UDP");
    }
    let has_port = reader.has("port");
    let port = reader.port("port");
    if !has_port {
        reader.missing("port");
    }
    let (mut from, mut kinds) = (From::Same, Vec::new());
    reader.map("allowedRoutes", |allowed| {
        from = allowed.map("namespaces", read_from).unwrap_or(From::Same);
        let read = |kind: &mut Reader<'_, '_>| {
            let group = kind.text("group").unwrap_or_else(|| GATEWAY_API.to_owned());
            Some((group, kind.needed_text("kind")?))
        };
        kinds = allowed.list("kinds", read).into_iter().flatten().collect();
    });
    let tls = reader.map("tls", |tls| read_tls(tls, namespace));
    Some(Listener { name: name?, port: port?, protocol: protocol?, hostname, from, kinds, tls, at })
}

fn read_from(reader: &mut Reader<'_, '_>) -> From {
    let words = [("Same", 0), ("All", 1), ("None", 2), ("Selector", 3)];
    let word = reader.one_of("from", &words).unwrap_or(0);
    let selector = reader.map("selector", Selector::read);
    match word {
        1 => From::All,
        2 => From::None,
        3 => {
            if selector.is_none() {
                reader.missing("selector");
            }
            From::Selector(selector.unwrap_or_default())
        }
        _ => From::Same,
    }
}

fn read_tls(reader: &mut Reader<'_, '_>, namespace: &str) -> Tls {
    let modes = [("Terminate", false), ("Passthrough", true)];
    let is_passthrough = reader.one_of("mode", &modes).unwrap_or(false);
    let has_options = reader.has("options");
    reader.ignore(&["options", "frontendValidation"], "TLS options and client certificates");
    let certificates = reader.list("certificateRefs", |reference| {
        let at = reference.at_field("name");
        let group = reference.text("group").unwrap_or_default();
        let kind = reference.text("kind").unwrap_or_else(|| "Secret".to_owned());
        let own = reference.text("namespace").unwrap_or_else(|| namespace.to_owned());
        Some(CertificateRef {
            group,
            kind,
            namespace: own,
            name: reference.needed_text("name")?,
            at,
        })
    });
    let certificates = certificates.into_iter().flatten().collect();
    Tls { is_passthrough, certificates, has_options }
}
