//! How the values of parameters read and print.
//!
//! Source: ours; units as people type them (`plan::profile`).
//! Left out: values of kinds that no parameter has.

use super::{Bytes, Factor, FailurePolicy, NativeSidecars, Rate, Value, ValueKind};
use crate::kernel::time::Duration;
use crate::plan::policy::{LoadBalancer, RetryOn};

impl Value for Factor {
    const KIND: ValueKind = ValueKind::Number;
    fn read(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(value) if (1.0..=1000.0).contains(&value) => Ok(Self(value)),
            _ => Err(format!("`{text}` is no factor from 1 to 1000")),
        }
    }
    fn text(&self) -> String {
        self.0.to_string()
    }
}

impl Value for Duration {
    const KIND: ValueKind = ValueKind::Duration;
    fn read(text: &str) -> Result<Self, String> {
        crate::plan::profile::read_duration(text)
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for Rate {
    const KIND: ValueKind = ValueKind::Rate;
    fn read(text: &str) -> Result<Self, String> {
        crate::plan::profile::read_rate(text).map(Self)
    }
    fn text(&self) -> String {
        format!("{}rps", self.0)
    }
}

impl Value for Bytes {
    const KIND: ValueKind = ValueKind::Bytes;
    fn read(text: &str) -> Result<Self, String> {
        crate::plan::profile::read_bytes(text).map(Self)
    }
    fn text(&self) -> String {
        format!("{}MiB", self.0 as f64 / 1_048_576.0)
    }
}

impl Value for u32 {
    const KIND: ValueKind = ValueKind::Count;
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("expected a whole number from 0 to {}", Self::MAX))
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    const KIND: ValueKind = ValueKind::Bool;
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "expected true or false".to_owned())
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for f64 {
    const KIND: ValueKind = ValueKind::Share;
    fn read(text: &str) -> Result<Self, String> {
        crate::plan::profile::read_share(text)
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for RetryOn {
    const KIND: ValueKind = ValueKind::RetryOn;
    fn read(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.into_iter().try_fold(Self::default(), |set, word| {
            let found = Self::ALL.iter().find(|(_, name)| *name == word);
            found.map(|(one, _)| set.with(*one)).ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|(_, name)| *name).collect();
                format!("`{word}` is no retry condition; there are {}", names.join(", "))
            })
        })
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for Vec<u16> {
    const KIND: ValueKind = ValueKind::Statuses;
    fn read(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let status = |word: &str| match word.parse() {
            Ok(status @ 100..=599) => Ok(status),
            _ => Err(format!("`{word}` is no HTTP status (100 to 599)")),
        };
        words.map(status).collect()
    }
    fn text(&self) -> String {
        self.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Value for LoadBalancer {
    const KIND: ValueKind = ValueKind::Word(&[
        "round_robin",
        "least_request",
        "least_request_distinct",
        "least_request_full_scan",
        "random",
        "ring_hash",
        "maglev",
    ]);
    fn read(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(one, _)| *one).ok_or_else(|| {
            let [names @ .., last] = Self::ALL.map(|(_, name)| name);
            format!("expected {} or {last}", names.join(", "))
        })
    }
    fn text(&self) -> String {
        let is_same = |one: &Self| std::mem::discriminant(one) == std::mem::discriminant(self);
        let found = Self::ALL.iter().find(|(one, _)| is_same(one));
        found.map(|(_, name)| (*name).to_owned()).unwrap_or_default()
    }
}

impl Value for NativeSidecars {
    const KIND: ValueKind = ValueKind::Word(&["off", "auto"]);
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "auto" => Ok(Self::Auto),
            _ => Err("expected off or auto".to_owned()),
        }
    }
    fn text(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Auto => "auto".to_owned(),
        }
    }
}

impl Value for FailurePolicy {
    const KIND: ValueKind = ValueKind::Word(&["fail", "ignore"]);
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "fail" => Ok(Self::Fail),
            "ignore" => Ok(Self::Ignore),
            _ => Err("expected fail or ignore".to_owned()),
        }
    }
    fn text(&self) -> String {
        match self {
            Self::Fail => "fail".to_owned(),
            Self::Ignore => "ignore".to_owned(),
        }
    }
}
