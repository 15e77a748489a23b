//! Tests of the whole part: routes by small manifests, broken manifests, real files.

mod broken;
mod routes;
mod samples;
mod virtual_hosts;
