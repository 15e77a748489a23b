//! Real samples are read in place, where they are there: nothing panics, and every object is modelled,
//! partly modelled or named.

use crate::manifest::gateway_api::GatewayApi;
use crate::manifest::gateway_api::table::Tables;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::object::Manifests;
use std::path::{Path, PathBuf};

fn yaml_below(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_below(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml") {
            files.push(path);
        }
    }
    files.sort();
}

#[test]
fn every_sample_is_read_or_told() {
    let Some(inputs) = super::inputs("") else { return };
    let mut files = Vec::new();
    yaml_below(&inputs, &mut files);
    let mut read = 0;
    for file in files {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let name = file.display().to_string();
        let mut manifests = Manifests::read([(name.as_str(), bytes.as_slice())]);
        let cluster = Cluster::of(&mut manifests);
        let api = GatewayApi::of(&mut manifests);
        Tables::of(&api, &cluster);
        let findings = &manifests.findings;
        let is_told = !findings.problems.is_empty() || !findings.not_modelled.is_empty();
        let is_empty = bytes.iter().all(u8::is_ascii_whitespace);
        read += usize::from(!manifests.objects.is_empty());
        let only_comments = manifests.sources.list.iter().all(|source| source.pieces().is_empty());
        assert!(!manifests.objects.is_empty() || is_told || is_empty || only_comments, "{name}");
    }
    assert!(read > 150, "{read} files with objects");
}
