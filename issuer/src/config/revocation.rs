//! `revocation`: where revocations are kept, and what happens when that cannot be followed.

use std::path::PathBuf;

use kube::config::Kubeconfig;

use super::files::Files;
use super::section::Section;
use crate::revocation::Mode;

/// Where revocations are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// Files in a directory.
    Directory(PathBuf),
    /// Objects of the cluster.
    Kubernetes {
        /// How the API server is reached; by default with the service account of the pod.
        kubeconfig: Option<PathBuf>,
    },
}

pub(super) fn read(mut section: Section<'_>, files: &Files) -> Option<(StoreConfig, Mode)> {
    let modes = [("best-effort", Mode::BestEffort), ("strict", Mode::Strict)];
    let mode = section.choice("mode", &modes, Some("best-effort"));
    let store = store(&mut section, files);
    section.finish();
    Some((store?, mode?))
}

pub(super) fn store(section: &mut Section<'_>, files: &Files) -> Option<StoreConfig> {
    const PATH: &str = "a path, unless there is `kubernetes`";
    if !section.has("kubernetes") {
        section.knows("kubernetes");
        let path = section.text_where("directory", PATH, |path| !path.is_empty())?;
        return Some(StoreConfig::Directory(files.resolve(&path)));
    }
    if section.has("directory") {
        section.problem("kubernetes", "there is a `directory`, too: remove one of them");
    }
    let _beside_it = section.optional_text("directory", PATH, |path| !path.is_empty());
    let mut kubernetes = section.optional_section("kubernetes")?;
    let kubeconfig = kubernetes.optional_file("kubeconfig", |path| {
        let text = files.read_secret(path).map_err(|error| error.to_string())?;
        // Its error might repeat what is in there.
        Kubeconfig::from_yaml(&text).map_err(|_| "it is not a kubeconfig".to_owned())?;
        Ok::<_, String>(files.resolve(path))
    });
    kubernetes.finish();
    Some(StoreConfig::Kubernetes {
        kubeconfig: kubeconfig?,
    })
}
