//! Decoders of YAML that people and the operator write: what is accepted is written and accepted again as the same.

use std::fmt::Debug;

use crds::worker_settings::{AggregatorSettings, ProducerSettings, RepairerSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::allocation::within;

/// What a reader of YAML may hold at once: its tables and the patterns of a schema, and a tree that is larger than its
/// shortest text.
const fn bound(text: &str) -> usize {
    8 * 1024 * 1024 + 512 * text.len()
}

/// A worker's settings file, whichever role it is for.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    settings_of::<ProducerSettings>(text);
    settings_of::<AggregatorSettings>(text);
    settings_of::<RepairerSettings>(text);
}

fn settings_of<Settings: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) {
    match within(bound(text), || serde_yaml::from_str::<Settings>(text)) {
        Ok(settings) => {
            let written = serde_yaml::to_string(&settings).expect("settings can be written");
            let again: Settings = serde_yaml::from_str(&written).expect("what was written is read again");
            assert_eq!(again, settings, "{written}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A file with a CryptoPipeline.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The schema is made once and stays.
    let _ = crds::manifest::schema_violations(&serde_json::Value::Null);
    match within(bound(text), || crds::manifest::read(text)) {
        Ok(pipeline) => {
            let written = serde_yaml::to_string(&pipeline).expect("a pipeline can be written");
            let again = crds::manifest::read(&written).expect("what was accepted is accepted again");
            assert_eq!(again.spec, pipeline.spec, "{written}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
