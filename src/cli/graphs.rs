//! What says who calls whom: `--traces`, `--isotope` and `--hints` of `import` and `lint`.
//!
//! Source: docs/manifests.md.
//! Left out: making anything of it (`manifest::graph`).

use super::manifests::Unread;
use super::output::Trouble;
use crate::manifest::graph::{Graph, hints, isotope, traces};
use crate::manifest::loaded::Loaded;
use crate::plan::problem::Problem;
use clap::Args;
use std::fs;
use std::io::Read;

/// A longer file of traces is refused.
const TRACES_BYTES_MAX: u64 = 1 << 30;

/// Where it stands.
#[derive(Args)]
pub(super) struct Told {
    /// Traces that show who calls whom, for how long: JSON of Jaeger, OpenTelemetry (OTLP) or Zipkin
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) traces: Vec<String>,
    /// A service graph of Isotope (YAML)
    #[arg(long, value_name = "FILE")]
    pub(super) isotope: Option<String>,
    /// What you know yourself: times, calls, traffic (YAML)
    #[arg(long, value_name = "FILE")]
    pub(super) hints: Option<String>,
}

impl Told {
    /// Who calls whom, by all that say it; later ones win.
    pub(super) fn graphs(&self, loaded: &mut Loaded) -> Result<Vec<Graph>, Trouble> {
        let (mut graphs, mut problems) = (Vec::new(), Vec::new());
        for name in &self.traces {
            match traces::read(name, &bytes(name)?) {
                Ok(graph) => graphs.push(graph),
                Err(problem) => problems.push(problem),
            }
        }
        let (sources, findings) = (&mut loaded.manifests.sources, &mut loaded.manifests.findings);
        if let Some(name) = &self.isotope {
            graphs.push(isotope::read(name, &bytes(name)?, sources, findings));
        }
        if let Some(name) = &self.hints {
            graphs.push(hints::read(name, &bytes(name)?, sources, findings));
        }
        if problems.is_empty() { Ok(graphs) } else { Err(problems.into()) }
    }
}

/// The bytes of a file.
fn bytes(name: &str) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let read = fs::File::open(name)
        .and_then(|file| file.take(TRACES_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(Unread::io(name, &error).into()),
        Ok(read) if TRACES_BYTES_MAX < read as u64 => {
            Err(Problem::new(format!("{name}: it is longer than 1 GiB")).into())
        }
        Ok(_) => Ok(bytes),
    }
}
