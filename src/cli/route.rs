//! `meshsim route`: where a request goes by real manifests, and why.
//!
//! Source: design of `istioctl x describe` and `linkerd diagnostics policy`; docs/manifests.md.
//! Left out: deciding; each mesh's resolver does (`manifest::meshes`).

use super::manifests::{self, Paths};
use super::output::{Output, Trouble};
use super::{ExitStatus, Format};
use crate::manifest::meshes::Mesh;
use crate::manifest::route::request::Request;
use crate::manifest::route::{Origin, Query};
use crate::plan::problem::Problem;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

/// What was typed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  meshsim route --manifests shop.yaml --from shop/web --url http://cart/items\n  \
                  meshsim route --manifests k8s/ --from gateway:shop/edge --url https://shop.example/ -H 'x-beta: 1'"
)]
pub(super) struct Typed {
    #[command(flatten)]
    paths: Paths,
    /// Who sends: NAMESPACE/WORKLOAD, a NAMESPACE, or gateway:NAMESPACE/NAME
    #[arg(long, value_name = "WHO")]
    from: String,
    /// Where to
    #[arg(long)]
    url: String,
    /// With which method
    #[arg(long, default_value = "GET")]
    method: String,
    /// With this header field
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// By whose rules; without it, what the manifests hold decides
    #[arg(long, value_enum)]
    mesh: Option<Choice>,
    /// Tell people, or print a line of JSON
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A mesh, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Choice {
    /// Istio with sidecars
    Istio,
    /// Linkerd
    Linkerd,
    /// The specification of the Gateway API
    GatewayApi,
}

impl Choice {
    /// As it is asked.
    pub(super) fn mesh(self) -> Mesh {
        match self {
            Self::Istio => Mesh::Istio,
            Self::Linkerd => Mesh::Linkerd,
            Self::GatewayApi => Mesh::GatewayApi,
        }
    }
}

/// Runs the command.
pub(super) fn run(typed: &Typed, output: Output) -> Result<ExitStatus, Trouble> {
    let loaded = typed.paths.load()?;
    let findings = &loaded.manifests.findings;
    let query = typed.query(loaded.origin(&typed.from));
    let query = query.inspect_err(|_| {
        // What was asked for may be missing because it could not be read.
        manifests::tell(findings, false, output);
    })?;
    let mesh = typed.mesh.map_or_else(|| loaded.mesh_of(&query.from), Choice::mesh);
    let route = loaded.answer(&query, mesh);
    let status = manifests::tell(findings, false, output);
    match typed.format {
        Format::Human => output.print(&format!("by the rules of {}\n{route}", mesh.word()))?,
        Format::Json => {
            let mut line = json!({
                "mesh": mesh.word(), "from": typed.from, "request": query.request, "route": route,
            });
            if let Value::Object(line) = &mut line {
                line.extend(
                    manifests::fields(findings).map(|(name, value)| (name.to_owned(), value)),
                );
            }
            output.json(&line)?;
        }
    }
    Ok(status)
}

impl Typed {
    fn query(&self, from: Result<Origin, Problem>) -> Result<Query, Vec<Problem>> {
        let request = Request::to(&self.method, &self.url, &self.headers);
        let request = request.map_err(|why| Problem::new(format!("--url {}: {why}", self.url)));
        match (from, request) {
            (Ok(from), Ok(request)) => Ok(Query { from, request }),
            (from, request) => Err([from.err(), request.err()].into_iter().flatten().collect()),
        }
    }
}

/// A header field as curl takes it.
fn header(text: &str) -> Result<(String, String), String> {
    let colon = text.char_indices().skip(1).find(|(_, letter)| *letter == ':');
    let (at, _) = colon.ok_or("expected `name: value`")?;
    Ok((text[..at].trim().to_owned(), text[at + 1..].trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_are_read_as_curl_does() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("x-a: b: c"), pair("x-a", "b: c"));
        assert_eq!(header(":authority: web"), pair(":authority", "web"));
        assert_eq!(header("x-empty:"), pair("x-empty", ""));
        assert!(header("nothing").is_err());
    }
}
