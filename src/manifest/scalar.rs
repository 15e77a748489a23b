//! What a plain (unquoted) YAML scalar means to Kubernetes.
//!
//! `kubectl` and the API server read YAML with go-yaml 2.4 and turn it into JSON. So YAML 1.1's words
//! count: `yes`, `no`, `on`, `off`, `y`, `n` are booleans, `0644` is octal, `0x1F` hexadecimal, `1_000`
//! a number; `08` is the number 8 (no octal, so a float); but `12:30:45` and dates stay strings.
//! Source: go-yaml v2.4.0 `resolve.go` (`resolveTable`, `yamlStyleFloat`), copied into
//! `sigs.k8s.io/yaml/goyaml.v2`.
//! Left out: `.inf` and `.nan`, which JSON cannot hold (kept as strings).

use crate::manifest::node::Value;
use std::borrow::Cow;

/// The value of a plain scalar.
pub fn resolve(text: Cow<'_, str>) -> Value {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    if text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        let plain = text.replace('_', "");
        if let Some(number) = integer(&plain) {
            return Value::Int(number);
        }
        if let Some(number) = is_float(&plain).then(|| plain.parse().ok()).flatten() {
            return Value::Float(number);
        }
    }
    Value::Text(text.into_owned())
}

/// Go's `strconv.ParseInt(text, 0, 64)`: the prefix tells the base.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = if let Some(rest) = lower.strip_prefix("0x") {
        (rest, 16)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (rest, 2)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (rest, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    if !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let number = i128::from_str_radix(digits, base).ok()?;
    i64::try_from(if negative { -number } else { number }).ok()
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    exponent_fits && mantissa_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_read_as_kubernetes_does() {
        let cases = [
            ("yes", Value::Bool(true)),
            ("Off", Value::Bool(false)),
            ("n", Value::Bool(false)),
            ("0644", Value::Int(420)),
            ("0x1F", Value::Int(31)),
            ("1_000", Value::Int(1000)),
            ("-12", Value::Int(-12)),
            ("+7", Value::Int(7)),
            ("08", Value::Float(8.0)),
            ("1e3", Value::Float(1000.0)),
            (".5", Value::Float(0.5)),
            ("1.10", Value::Float(1.1)),
            ("99999999999999999999", Value::Float(1e20)),
            ("", Value::Null),
            ("~", Value::Null),
        ];
        for (text, value) in cases {
            assert_eq!(resolve(Cow::Borrowed(text)), value, "{text}");
        }
        for text in
            ["12:30:45", "2001-12-14", "v1", "10m", "1.2.3", "-", ".", "0x", "1e", "nUll", ".inf"]
        {
            assert_eq!(resolve(Cow::Borrowed(text)), Value::Text(text.into()), "{text}");
        }
    }
}
