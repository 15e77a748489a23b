//! Where YAML 1.1 reads something else than people mean, and says so.
//!
//! Source: YAML 1.1 types `bool` and `int` (go-yaml 2.4 follows them, and so does `kubectl`).
//! Left out: sexagesimal numbers, which go-yaml does not read.

/// What would help where a boolean stands and a string is wanted.
pub(in crate::manifest) fn boolean(written: &str) -> &'static str {
    match written {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            "put it in quotes: this word alone means true to Kubernetes (YAML 1.1)"
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            "put it in quotes: this word alone means false to Kubernetes (YAML 1.1)"
        }
        _ => "put it in quotes",
    }
}

/// A warning where zeros in front make a number octal.
pub(super) fn octal(written: &str, number: i64) -> Option<String> {
    let digits = written.trim_start_matches(['+', '-']);
    let is_octal = digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
        && number != 0;
    is_octal.then(|| format!("`{written}` is read as octal: it is {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zeros_in_front_are_octal() {
        assert_eq!(octal("0100", 64).as_deref(), Some("`0100` is read as octal: it is 64"));
        for (written, number) in [("0", 0), ("10", 10), ("0x1F", 31), ("1_0", 10)] {
            assert_eq!(octal(written, number), None);
        }
        assert!(boolean("off").contains("false") && boolean("Yes").contains("true"));
        assert_eq!(boolean("true"), "put it in quotes");
    }
}
