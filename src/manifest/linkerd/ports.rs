//! Lists of ports as Linkerd's annotations give them: `25,443,8000-8100`.
//!
//! Source: linkerd2 `policy-controller/k8s/index/src/ports.rs` (`parse_portset`).
//! Left out: names of container ports, which only the injector understands (the policy controller
//! takes a list with a name for an empty one).

/// Some ports.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ports {
    /// First and last port of each range, as written.
    ranges: Vec<(u16, u16)>,
}

impl Ports {
    /// Reads a list; the error says what is wrong in it.
    pub fn of(text: &str) -> Result<Self, String> {
        let mut ranges = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(format!("`{part}` must rise"));
            }
            ranges.push((first, last));
        }
        Ok(Self { ranges })
    }

    /// Whether a port is in it.
    pub fn contains(&self, port: u16) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether all ports are in it.
    pub fn is_all(&self) -> bool {
        self.ranges.iter().any(|(first, last)| *first <= 1 && *last == u16::MAX)
    }
}

fn port(text: &str) -> Result<u16, String> {
    let number = text.trim().parse::<u16>().ok().filter(|port| *port != 0);
    number.ok_or_else(|| format!("`{}` is no port", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges() {
        let ports = Ports::of("25, 8000-8100 ,").unwrap();
        let cases = [(25, true), (8000, true), (8100, true), (8101, false), (24, false)];
        for (port, expected) in cases {
            assert_eq!(ports.contains(port), expected, "{port}");
        }
        assert!(Ports::of("").unwrap().is_empty() && Ports::of("1-65535").unwrap().is_all());
        for bad in ["0", "2-1", "2-", "65537", "http"] {
            assert!(Ports::of(bad).is_err(), "{bad}");
        }
    }
}
