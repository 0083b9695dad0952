//! A report holds no password, wherever somebody has put one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crds::CryptoPipeline;
use flate2::read::GzDecoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::lab::{Lab, ended};

const PASSWORD: &str = "Tr0ub4dor-and-3";

/// The files of a report by their names, without its folder.
fn files_of(path: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(path).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().split_once('/').unwrap().1.to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    });
    entries.collect()
}

/// The password as it is, and as base64 shows it, wherever in a longer text it stands.
fn forms() -> Vec<String> {
    let base64 = |before: usize| {
        let bytes = [vec![b'u'; before], PASSWORD.as_bytes().to_vec()].concat();
        let text = serde_json::to_value(ByteString(bytes)).unwrap().as_str().unwrap().to_owned();
        // Without what depends on the neighbours.
        text[4..text.len() - 4].to_owned()
    };
    (0..3).map(base64).chain([PASSWORD.to_owned()]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_stands_everywhere_is_in_no_file() {
    let Some(lab) = Lab::enter().await else { return };
    let url = format!("postgres://market:{PASSWORD}@db:5432/market");
    lab.create::<Secret>(json!({
        "metadata": {"name": "postgres", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"stringData\":{{\"uri\":\"{url}\"}}}}"),
        }},
        "stringData": {"uri": url},
    }))
    .await;
    lab.create_pipeline("quickstart").await;
    let encoded = serde_json::to_value(ByteString(url.clone().into_bytes())).unwrap();
    let patch = json!({
        "metadata": {"annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"env\":[{{\"value\":\"{PASSWORD}\"}}]}}"),
            "team/note": format!("ask for {PASSWORD}, or decode {}", encoded.as_str().unwrap()),
        }},
        "spec": {
            "producers": {"podTemplate": {"env": [{"name": "PROXY_PASSWORD", "value": PASSWORD}]}},
        },
    });
    lab.pipelines().patch("quickstart", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let labels = json!({"app.kubernetes.io/managed-by": "cryptopipeline-operator", "app.kubernetes.io/instance": "quickstart"});
    lab.create::<Deployment>(json!({
        "metadata": {"name": "quickstart-aggregator", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{
                "name": "worker",
                "image": "cryptopipeline:test",
                "env": [{"name": "FURTHER_URL", "value": url}, {"name": "RUST_LOG", "value": "worker=debug"}],
            }]}},
        },
    }))
    .await;
    lab.create::<Event>(json!({
        "metadata": {"name": "quickstart.1"},
        "involvedObject": {"kind": "CryptoPipeline", "name": "quickstart", "namespace": lab.namespace},
        "reason": "Test",
        "message": format!("cannot connect to {url}: password={PASSWORD}"),
    }))
    .await;
    let report = ended(lab.plugin(&["report", "quickstart", "--file", "report.tar.gz"])).await;
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    let files = files_of(&lab.folder.path().join("report.tar.gz"));
    for (name, text) in &files {
        for form in forms() {
            assert!(!text.contains(&form), "{name} holds {form}:\n{text}");
        }
        assert!(!text.contains("last-applied"), "{name}");
    }
    // It is hidden, not left out.
    for (name, shown) in [
        ("pipeline.yaml", "PROXY_PASSWORD"),
        ("pipeline.yaml", "ask for (masked), or decode"),
        ("deployments.yaml", "FURTHER_URL"),
        ("events.yaml", "cannot connect to postgres://market:(masked)@db:5432/market"),
        ("versions.yaml", "kubernetes: v1."),
        ("status.txt", "no operator has said anything of it yet"),
        ("left-out.txt", "gaps and verify: no repairer or aggregator pod of quickstart"),
    ] {
        assert!(files[name].contains(shown), "no {shown} in {name}:\n{}", files[name]);
    }
    assert!(!files["deployments.yaml"].contains("worker=debug"), "{}", files["deployments.yaml"]);
    let _: CryptoPipeline = serde_yaml::from_str(&files["pipeline.yaml"]).unwrap();
}
