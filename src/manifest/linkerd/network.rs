//! Networks: a CIDR with exceptions.
//!
//! Source: linkerd2 `policy-controller/k8s/api/src/policy/network.rs` (a plain address is a network of
//! one; `except` takes addresses out; the size of a network is its addresses less its exceptions).
//! Left out: host bits after the prefix are dropped without a word, as Linkerd drops them.

use crate::manifest::reader::Reader;
use crate::manifest::source::At;
use std::net::IpAddr;

/// A network with exceptions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// The network.
    pub cidr: Cidr,
    /// Networks in it that are not meant.
    pub except: Vec<Cidr>,
    /// Where it is; default if it comes from no manifest.
    pub at: At,
}

/// A range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr {
    address: IpAddr,
    /// Leading bits that must be equal.
    prefix: u32,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `fd00::/8` or a single address.
    pub fn of(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| format!("`{address}` is no IP address"))?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) => prefix
                .parse()
                .ok()
                .filter(|prefix| *prefix <= bits)
                .ok_or_else(|| format!("`/{prefix}` must be from /0 to /{bits}"))?,
        };
        Ok(Self { address, prefix })
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && masked(self.address, self.prefix) == masked(address, self.prefix)
    }

    /// Whether another range lies in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// How many addresses it has.
    fn size(&self) -> u128 {
        let bits = if self.address.is_ipv4() { 32 } else { 128 };
        1_u128.checked_shl(bits - self.prefix).unwrap_or(u128::MAX)
    }
}

fn masked(address: IpAddr, prefix: u32) -> u128 {
    let (number, bits) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    number.checked_shr(bits - prefix).unwrap_or(0)
}

impl Network {
    /// A network without exceptions.
    pub fn of(text: &str) -> Result<Self, String> {
        Ok(Self { cidr: Cidr::of(text)?, except: Vec::new(), at: At::default() })
    }

    /// Whether an address is meant.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(address) && !self.except.iter().any(|except| except.contains(address))
    }

    /// Whether two networks have an address in common, exceptions aside.
    pub fn intersects(&self, other: &Self) -> bool {
        let is_excepted = |one: &Self, two: &Self| one.except.iter().any(|e| e.covers(&two.cidr));
        let meets = self.cidr.covers(&other.cidr) || other.cidr.covers(&self.cidr);
        meets && !is_excepted(self, other) && !is_excepted(other, self)
    }

    /// How many addresses are meant; the smaller network is the more specific one.
    pub fn size(&self) -> u128 {
        self.except.iter().fold(self.cidr.size(), |size, except| size.saturating_sub(except.size()))
    }

    /// Reads one element of `networks`.
    pub fn read(reader: &mut Reader<'_, '_>) -> Option<Self> {
        let at = reader.at_field("cidr");
        let text = reader.needed_text("cidr");
        let words = reader.words("except");
        let text = text?;
        let cidr = or_problem(Cidr::of(&text), at, reader)?;
        let mut except = Vec::new();
        for word in words {
            let Some(range) = or_problem(Cidr::of(&word.text), word.at, reader) else { continue };
            if range.covers(&cidr) {
                let what = format!("`{}` takes all of `{text}` away", word.text);
                reader.problem(word.at, what, "Linkerd's admission webhook refuses this");
            } else if !cidr.covers(&range) {
                let what = format!("`{text}` does not include its exception `{}`", word.text);
                reader.problem(word.at, what, "Linkerd's admission webhook refuses this");
            }
            except.push(range);
        }
        Some(Self { cidr, except, at })
    }
}

fn or_problem(range: Result<Cidr, String>, at: At, reader: &mut Reader<'_, '_>) -> Option<Cidr> {
    range.map_err(|what| reader.problem(at, what, "such as 10.0.0.0/8 or fd00::/8")).ok()
}

/// Whether an address is in one of some networks.
pub fn contains(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_in_their_networks() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false),
            ("fd00::/8", "fdab::1", true),
        ];
        for (network, ip, expected) in cases {
            assert_eq!(Network::of(network).unwrap().contains(address(ip)), expected, "{network}");
        }
        for bad in ["10.0.0.0/33", "10.0.0", "::/129", "10.0.0.0/x"] {
            assert!(Cidr::of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exceptions_are_taken_out() {
        let except = vec![Cidr::of("10.0.0.0/8").unwrap()];
        let network = Network { except, ..Network::of("0.0.0.0/0").unwrap() };
        assert!(!network.contains(address("10.1.1.1")) && network.contains(address("9.1.1.1")));
        assert_eq!(network.size(), (1 << 32) - (1 << 24));
        assert_eq!(Network::of("::/0").unwrap().size(), u128::MAX);
    }
}
