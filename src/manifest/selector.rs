//! Label selectors: which objects a selector means.
//!
//! Source: Kubernetes `metav1.LabelSelector` (matchLabels and matchExpressions are all required; an
//! empty selector matches everything); the plain map of `Service.spec.selector`.
//! Left out: field selectors.

use crate::manifest::object::Labels;
use crate::manifest::reader::Reader;
use serde::Serialize;

/// A label selector.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Selector {
    /// Labels that must have exactly these values.
    pub labels: Labels,
    /// Further conditions.
    pub expressions: Vec<Expression>,
}

/// A condition on one label.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Operator {
    /// One of the values.
    In,
    /// None of the values, or no such label.
    NotIn,
    /// There.
    Exists,
    /// Not there.
    DoesNotExist,
}

impl Selector {
    /// A selector of exact labels.
    pub fn of(labels: Labels) -> Self {
        Self { labels, expressions: Vec::new() }
    }

    /// Reads a `LabelSelector` from the map that the reader stands on.
    pub fn read(reader: &mut Reader<'_, '_>) -> Self {
        let labels = reader.labels("matchLabels");
        let expressions = reader.list("matchExpressions", |expression| {
            let operators = [
                ("In", Operator::In),
                ("NotIn", Operator::NotIn),
                ("Exists", Operator::Exists),
                ("DoesNotExist", Operator::DoesNotExist),
            ];
            let key = expression.needed_text("key");
            let operator = expression.one_of("operator", &operators);
            let values = expression.texts("values");
            Some(Expression { key: key?, operator: operator?, values })
        });
        Self { labels, expressions: expressions.into_iter().flatten().collect() }
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.expressions.is_empty()
    }

    /// Whether it means an object with these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        contains(labels, &self.labels)
            && self.expressions.iter().all(|expression| expression.matches(labels))
    }
}

impl Expression {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => !value.is_some_and(|value| self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// Whether all of some labels are there with the same values.
pub fn contains(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn all_conditions_must_hold() {
        let expression = |key: &str, operator, values: &[&str]| Expression {
            key: key.to_owned(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let selector = Selector {
            labels: labels(&[("app", "a")]),
            expressions: vec![
                expression("v", Operator::In, &["1", "2"]),
                expression("tier", Operator::NotIn, &["x"]),
                expression("old", Operator::DoesNotExist, &[]),
            ],
        };
        assert!(selector.matches(&labels(&[("app", "a"), ("v", "1")])));
        assert!(!selector.matches(&labels(&[("app", "a"), ("v", "3")])));
        assert!(!selector.matches(&labels(&[("app", "a"), ("v", "1"), ("tier", "x")])));
        assert!(!selector.matches(&labels(&[("app", "a"), ("v", "1"), ("old", "")])));
        assert!(Selector::default().matches(&Labels::new()));
    }
}
