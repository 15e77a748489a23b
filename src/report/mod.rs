//! STUB of branch `cli`, replaced at the merge by branch `outputs`.

pub mod summary {
    //! STUB.
    use crate::check::judgement::Judgement;
    use crate::observe::run::Run;
    use serde_json::{Value, json};

    /// The run's `summary.json`.
    pub fn summary(run: &Run, judgements: &[Judgement]) -> Value {
        let asserts: Vec<_> = judgements
            .iter()
            .map(|one| json!({"name": one.name, "verdict": one.verdict.text()}))
            .collect();
        json!({
            "schema_version": 1, "scenario": run.scenario, "variant": run.variant,
            "seed": run.seed, "digest": format!("{:032x}", run.digest),
            "partial": run.partial.map(|partial| json!({"why": partial.why, "at_s": partial.at.as_s()})),
            "requests": {"total": run.requests.total, "ok": run.requests.ok},
            "asserts": asserts,
        })
    }
}

pub mod text {
    //! STUB.
    use crate::check::judgement::Judgement;
    use crate::observe::run::Run;

    /// The story of a run.
    pub fn story(run: &Run, judgements: &[Judgement]) -> String {
        format!("{}: {} requests, {} asserts\n", run.scenario, run.requests.total, judgements.len())
    }
}

#[cfg(feature = "native")]
pub mod write {
    //! STUB.
    use std::io;
    use std::path::Path;

    /// Writes all files, each under a temporary name first.
    pub fn write_all(folder: &Path, files: &[(&str, Vec<u8>)]) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        files.iter().try_for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes))
    }
}
