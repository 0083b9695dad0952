//! The manifest as a file: the same YAML that `kubectl apply` takes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use crds::CryptoPipeline;
use k8s_openapi::api::core::v1::Secret;
use operator::reconcile::observe::secrets::Secrets;

/// The documents of a file that matter here.
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

    /// The Secrets that stand in the same file.
    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::of(self.secrets.clone())
    }
}

#[cfg(test)]
mod tests {
    use crds::spec::DatabaseSpec;
    use serde_json::json;

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
        let database = |key: &str| -> DatabaseSpec {
            serde_json::from_value(json!({"connectionSecret": {"name": "postgres", "key": key}})).unwrap()
        };
        let access = manifest.secrets().database_access(&database("uri")).unwrap();
        assert_eq!(access.workers.url, "postgres://market@db/market");
        let problem = manifest.secrets().database_access(&database("url")).unwrap_err();
        assert_eq!(
            problem.message,
            "Secret postgres has no text under the key url: put the database's URL there \
             (spec.database.connectionSecret names it)"
        );
    }

    #[test]
    fn broken_rules_are_told_with_field_and_rule() {
        let twice = PIPELINE.replace("[BTCUSDT]", "[BTCUSDT, BTCUSDT]");
        let message = format!("{:#}", Manifest::parse(&twice).err().unwrap());
        assert!(message.contains("symbols"), "{message}");
    }
}
