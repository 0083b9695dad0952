//! The manifest as a file: the same YAML that `kubectl apply` takes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use crds::CryptoPipeline;
use k8s_openapi::api::core::v1::Secret;

/// The documents of a file that matter here.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) pipeline: CryptoPipeline,
    secrets: BTreeMap<String, Secret>,
}

impl Manifest {
    /// Reads a file and checks the pipeline against its rules.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot use {}", path.display()))
    }

    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let pipeline = crds::manifest::read(text)?;
        let documents = crds::manifest::documents(text)?;
        let mut secrets = BTreeMap::new();
        for document in documents.into_iter().filter(|document| document["kind"] == "Secret") {
            let secret: Secret =
                serde_json::from_value(document).context("a Secret in the file cannot be read")?;
            secrets.insert(secret.metadata.name.clone().unwrap_or_default(), secret);
        }
        Ok(Self { pipeline, secrets })
    }

    /// The text under a key of a Secret that stands in the same file.
    pub(crate) fn secret_text(&self, name: &str, key: &str) -> Option<String> {
        let secret = self.secrets.get(name)?;
        if let Some(text) = secret.string_data.as_ref().and_then(|texts| texts.get(key)) {
            return Some(text.clone());
        }
        let bytes = secret.data.as_ref()?.get(key)?;
        String::from_utf8(bytes.0.clone()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINE: &str = "
apiVersion: cryptopipeline.dev/v1alpha1
kind: CryptoPipeline
metadata: {name: market}
spec:
  sources:
  - {name: binance, exchange: binance, symbols: [BTCUSDT]}
";

    #[test]
    fn a_pipeline_may_stand_beside_the_secret_of_its_database() {
        let secret = "
apiVersion: v1
kind: Secret
metadata: {name: postgres}
stringData: {uri: 'postgres://market@db/market'}
---
apiVersion: v1
kind: Namespace
metadata: {name: market}
";
        let manifest = Manifest::parse(&format!("{secret}---{PIPELINE}")).unwrap();
        assert_eq!(manifest.pipeline.metadata.name.as_deref(), Some("market"));
        assert_eq!(manifest.secret_text("postgres", "uri").as_deref(), Some("postgres://market@db/market"));
        assert_eq!(manifest.secret_text("postgres", "url"), None);
    }

    #[test]
    fn broken_rules_are_told_with_field_and_rule() {
        let twice = PIPELINE.replace("[BTCUSDT]", "[BTCUSDT, BTCUSDT]");
        let message = format!("{:#}", Manifest::parse(&twice).unwrap_err());
        assert!(message.contains("symbols"), "{message}");
    }
}
