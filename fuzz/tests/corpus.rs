//! The corpus, and what no fuzzer would write: replayed by every test run, on any toolchain.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;

use crds::worker_settings::AggregatorSettings;
use fuzz::TARGETS;

#[test]
fn every_input_of_the_corpus_is_met_as_promised() {
    for (name, check) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut inputs = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            check(&std::fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", folder.display());
    }
}

#[test]
fn deep_and_endless_inputs_are_refused_within_bounds() {
    let repeated = |text: &str| text.repeat(2_000_000 / text.len()).into_bytes();
    let inputs = [
        repeated("["),
        repeated("{"),
        repeated(r#"{"data":"#),
        repeated(r#"[{"id":["#),
        repeated("- "),
        repeated("? "),
        repeated("a: {"),
        repeated("9"),
        repeated("\""),
        repeated("&a [*a, "),
        repeated("---\n"),
        repeated("\u{feff}"),
        repeated("[1,"),
        repeated("\n "),
    ];
    for input in &inputs {
        for (_, check) in TARGETS {
            check(input);
        }
    }
}

#[test]
fn aliases_that_would_grow_without_bounds_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    fuzz::settings(text.as_bytes());
    fuzz::manifest(text.as_bytes());
}

#[test]
fn an_error_of_the_settings_shows_the_field() {
    let settings = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/settings/aggregator.yaml"),
    )
    .unwrap();
    for (found, put, field) in [
        ("flushIntervalMs: 100", "flushIntervalMs: soon", "flushIntervalMs"),
        ("flushIntervalMs: 100", "flushInterval: 100", "flushInterval"),
        (", flushIntervalMs: 100", "", "flushIntervalMs"),
        ("intervals: [1m, 5m]", "intervals: 1m", "intervals"),
        ("storeTrades: true", "storeTrades: {}", "storeTrades"),
        ("tradesRetentionS: 604800", "tradesRetentionS: 99999999999999999999", "tradesRetentionS"),
        ("uid: 0b3c", "uid: [a]", "uid"),
        ("kafka:\n", "broker:\n", "broker"),
    ] {
        let damaged = settings.replace(found, put);
        assert_ne!(damaged, settings);
        let error = serde_yaml::from_str::<AggregatorSettings>(&damaged).unwrap_err().to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
}
