//! The label of a run that was not made as written: its settings, as part of a folder's name.
//!
//! Source: docs/results.md.
//! Left out: settings inside the scenario; they are the scenario.

use crate::kernel::stream::name_hash;

/// Settings longer than this are told by their hash.
const LENGTH_MAX: usize = 60;
/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 12;

/// `+seed=7_service.reviews.v2.replicas=5`; empty without settings.
///
/// Settings are sorted and joined by `_`, so that their order on the command line is no matter.
pub(super) fn label(sets: &[String], manifests: &[String], seed: Option<u64>) -> String {
    let mut settings: Vec<_> = sets.iter().map(|set| setting(set)).collect();
    if !manifests.is_empty() {
        // Of two objects with one name the later counts: their order is a matter.
        settings.push(format!("manifests={}", manifests.join(",")));
    }
    settings.extend(seed.map(|seed| format!("seed={seed}")));
    if settings.is_empty() {
        return String::new();
    }
    settings.sort();
    let text = settings.join("_");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._=-".contains(&byte);
    if text.len() <= LENGTH_MAX && text.bytes().all(is_plain) {
        format!("+{text}")
    } else {
        format!("+{}", &format!("{:016x}", name_hash(&text))[..HASH_DIGITS])
    }
}

/// `a = 1` and `a=1` are the same setting.
fn setting(set: &str) -> String {
    match set.split_once('=') {
        Some((key, value)) => format!("{}={}", key.trim(), value.trim()),
        None => set.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn of(sets: &[&str], seed: Option<u64>) -> String {
        label(&owned(sets), &[], seed)
    }

    #[test]
    fn short_plain_settings_name_the_folder_themselves() {
        assert_eq!(of(&[], None), "");
        assert_eq!(of(&[], Some(7)), "+seed=7");
        assert_eq!(of(&["mesh.cert.ttl = 1h"], None), "+mesh.cert.ttl=1h");
        assert_eq!(of(&["b=2", "a=1"], Some(7)), "+a=1_b=2_seed=7");
        assert_eq!(of(&["b=2", "a=1"], None), of(&["a=1", "b=2"], None));
    }

    #[test]
    fn other_manifests_are_another_folder() {
        let of = |paths: &[&str]| label(&owned(&["a=1"]), &owned(paths), None);
        assert_eq!(of(&["shop.yaml"]), "+a=1_manifests=shop.yaml");
        let all = [&["a", "b"][..], &["b", "a"], &["k8s/a"], &["k8s/b"], &["-"]].map(of);
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
        assert!(all.iter().all(|label| !label.contains(['/', ','])), "{all:?}");
    }

    #[test]
    fn long_or_strange_settings_are_told_by_a_hash() {
        let long = format!("a={}", "1".repeat(59));
        for set in ["a=\"b c\"", "a=../..", "a=é", &long] {
            let label = of(&[set], None);
            assert_eq!(label.len(), 13, "{label}");
            assert!(label[1..].bytes().all(|byte| byte.is_ascii_hexdigit()), "{label}");
        }
        assert_eq!(of(&[&long[..60]], None).len(), 61);
        // Folders of old results rest on this.
        assert_eq!(of(&["a=é"], None), of(&["a = é"], None));
    }
}
