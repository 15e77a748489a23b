//! Tests of all rules by small manifests; Istio's own data is in [`crate::manifest::istio::conformance`].

mod asked;
mod own;
