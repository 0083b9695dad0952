//! Notices edits of the manifest.

use std::path::{Path, PathBuf};

use crate::manifest::Manifest;

/// A file, and its text when it was last looked at.
pub(super) struct ManifestWatch {
    path: PathBuf,
    text: Option<String>,
}

impl ManifestWatch {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), text: std::fs::read_to_string(path).ok() }
    }

    /// The manifest, if the file's text is another one than at the last look. A file that is away for a moment,
    /// as while an editor replaces it, is no edit.
    pub(super) fn changed(&mut self) -> Option<anyhow::Result<Manifest>> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        if self.text.as_ref() == Some(&text) {
            return None;
        }
        let manifest = Manifest::parse(&text);
        self.text = Some(text);
        Some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_text_is_an_edit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipeline.yaml");
        std::fs::write(&path, "a").unwrap();
        let mut watch = ManifestWatch::new(&path);
        assert!(watch.changed().is_none());
        std::fs::write(&path, "b").unwrap();
        assert!(watch.changed().is_some_and(|read| read.is_err()));
        assert!(watch.changed().is_none());
        std::fs::remove_file(&path).unwrap();
        assert!(watch.changed().is_none());
    }
}
