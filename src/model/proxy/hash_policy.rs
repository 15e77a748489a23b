//! What a consistent hash of a request is made from.
//!
//! Headers of a class of requests are the same for all of them, but for a range in braces: of
//! `user-{1..4000}` each request has one number, drawn for it. A retry has the number of its request.
//!
//! Source: Envoy's `hash_policy` of routes, `xxHash64`; Istio's `consistentHash`, one policy each.
//! Left out: several policies, several values of a header, regular expressions; headers that an app
//! hands on.

use crate::kernel::stream::below;
use crate::plan::balancing::HashOn;
use crate::plan::universe::RequestClass;
use std::hash::Hasher as _;
use twox_hash::XxHash64;

/// Who sends a request to the proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    /// Stands for the address.
    pub address: u64,
    /// Many send from outside, each request from another address.
    pub is_crowd: bool,
}

/// The hash of a request of this class; `draw` are 64 random bits of the request. None if it lacks what
/// the policy looks at.
pub fn hash(on: &HashOn, class: &RequestClass, sender: Sender, draw: u64) -> Option<u64> {
    let header = |name: &str| {
        let found = class.headers.iter().find(|(one, _)| one == name);
        found.map(|(_, value)| value.as_str())
    };
    let address = if sender.is_crowd { draw } else { sender.address };
    match on {
        HashOn::Header(name) => header(name).map(|value| of_text(value, draw)),
        HashOn::Query(name) => parameter(&class.path, name).map(|value| of_text(value, draw)),
        HashOn::Source => Some(of_number(address)),
        HashOn::Cookie(name) => {
            let cookie = header("cookie").and_then(|cookies| pair(cookies.split(';'), name));
            Some(cookie.map_or_else(|| of_number(address), |value| of_text(value, draw)))
        }
    }
}

/// The range in braces of a value, `user-{1..4000}`: what stands before it, its ends, what stands
/// after it.
pub fn range(value: &str) -> Option<(&str, u32, u32, &str)> {
    let (before, rest) = value.split_once('{')?;
    let (range, after) = rest.split_once('}')?;
    let (first, last) = range.split_once("..")?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((before, first, last, after))
}

fn of_text(value: &str, draw: u64) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    let Some((before, first, last, after)) = range(value) else {
        hasher.write(value.as_bytes());
        return hasher.finish();
    };
    let count = (last - first) as usize + 1;
    let mut number = first + u32::try_from(below(draw, count)).unwrap_or(0);
    // Digits from the last: ten are enough for 32 bits.
    let (mut digits, mut from) = ([b'0'; 10], 9);
    loop {
        digits[from] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
        from -= 1;
    }
    hasher.write(before.as_bytes());
    hasher.write(&digits[from..]);
    hasher.write(after.as_bytes());
    hasher.finish()
}

fn of_number(number: u64) -> u64 {
    XxHash64::oneshot(0, &number.to_le_bytes())
}

fn parameter<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    pair(path.split_once('?')?.1.split('&'), name)
}

fn pair<'a>(mut pairs: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    pairs.find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::proxy::ring_hash::xx_hash;

    fn class(path: &str, headers: &[(&str, &str)]) -> RequestClass {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        RequestClass {
            method: "GET".into(),
            path: path.into(),
            headers: headers.collect(),
            defect: None,
        }
    }

    const POD: Sender = Sender { address: 7, is_crowd: false };

    #[test]
    fn a_header_hashes_as_its_text_and_a_range_as_one_of_its_numbers() {
        let on = HashOn::Header("x-user".into());
        let fixed = class("/", &[("x-user", "anna")]);
        assert_eq!(hash(&on, &fixed, POD, 1), Some(xx_hash(b"anna", 0)));
        assert_eq!(hash(&on, &class("/", &[]), POD, 1), None);
        let users = class("/", &[("x-user", "user-{8..12}")]);
        let hashes: Vec<_> = [0, 1 << 62, u64::MAX].map(|draw| hash(&on, &users, POD, draw)).into();
        let of = |text: &str| Some(xx_hash(text.as_bytes(), 0));
        assert_eq!(hashes, [of("user-8"), of("user-9"), of("user-12")]);
    }

    #[test]
    fn cookies_parameters_and_addresses() {
        let request = class("/cart?user=u1&x=2", &[("cookie", "a=b; session=s9")]);
        let of = |on: HashOn, sender, draw| hash(&on, &request, sender, draw);
        assert_eq!(of(HashOn::Query("x".into()), POD, 0), Some(xx_hash(b"2", 0)));
        assert_eq!(of(HashOn::Query("y".into()), POD, 0), None);
        assert_eq!(of(HashOn::Cookie("session".into()), POD, 0), Some(xx_hash(b"s9", 0)));
        // A cookie that the request does not bring is made from its sender's address.
        let source = of(HashOn::Source, POD, 0);
        assert_eq!(of(HashOn::Cookie("other".into()), POD, 5), source);
        let crowd = Sender { is_crowd: true, ..POD };
        assert_ne!(of(HashOn::Source, crowd, 1), of(HashOn::Source, crowd, 2));
        assert_eq!(of(HashOn::Source, POD, 1), of(HashOn::Source, POD, 2));
    }
}
