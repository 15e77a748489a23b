//! The kinds of values that only Linkerd's parameters have: a ratio, and a few words.
//!
//! Source: linkerd2-proxy linkerd/exp-backoff/src/lib.rs and tower's `TpsBudget` for the range of ratios.
//! Left out: nothing.

use super::authorization::DefaultPolicy;
use super::policy::Accrual;
use crate::plan::parameter::{Value, ValueKind};

/// A number from 0 to 1000 that may be more than a share.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Ratio(pub f64);

/// What happens to a connection to a destination of which nothing is known yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// It waits until the control plane answers or its client leaves.
    Hang,
    /// It is reset after a while.
    Reset,
}

/// Where a match of the method stands among the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MethodRank {
    /// After headers and query parameters.
    Last,
    /// Right after the path, as the Gateway API wants it.
    AfterPath,
}

// === how values read and print ===

impl Value for Ratio {
    const KIND: ValueKind = ValueKind::Number;
    fn read(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(value) if (0.0..=1000.0).contains(&value) => Ok(Self(value)),
            _ => Err(format!("`{text}` is no number from 0 to 1000")),
        }
    }
    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// The value of a word, or which there are.
fn of_word<T: Copy>(words: &[(T, &str)], text: &str) -> Result<T, String> {
    let found = words.iter().find(|(_, word)| *word == text);
    found.map(|(value, _)| *value).ok_or_else(|| {
        let names: Vec<_> = words.iter().map(|(_, word)| *word).collect();
        format!("expected {}", names.join(" or "))
    })
}

/// The word of a value, which is among them.
fn word_of<T: Copy + PartialEq>(words: &[(T, &str)], value: T) -> String {
    let found = words.iter().find(|(one, _)| *one == value);
    found.map(|(_, word)| (*word).to_owned()).unwrap_or_default()
}

macro_rules! words {
    ($($Type:ty: $($value:expr => $word:literal),+;)+) => {
        $(impl Value for $Type {
            const KIND: ValueKind = ValueKind::Word(&[$($word),+]);
            fn read(text: &str) -> Result<Self, String> {
                of_word(&[$(($value, $word)),+], text)
            }
            fn text(&self) -> String {
                word_of(&[$(($value, $word)),+], *self)
            }
        })+
    };
}

words! {
    Unknown: Self::Hang => "hang", Self::Reset => "reset";
    MethodRank: Self::Last => "last", Self::AfterPath => "after-path";
    Accrual: Self::Off => "off", Self::Consecutive => "consecutive", Self::Unified => "unified";
    DefaultPolicy:
        Self::AllUnauthenticated => "all-unauthenticated",
        Self::AllAuthenticated => "all-authenticated",
        Self::ClusterUnauthenticated => "cluster-unauthenticated",
        Self::ClusterAuthenticated => "cluster-authenticated",
        Self::Deny => "deny",
        Self::Audit => "audit";
}
