//! Tests of all rules: Istio's own data, and small manifests of our own.

mod analyzers;
mod own;
