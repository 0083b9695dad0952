//! What `status` says, and how it ends.

use super::lab::{Lab, ended};

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_0_only_if_the_pipeline_is_ready() {
    let Some(lab) = Lab::enter().await else { return };
    let status = async |arguments: &[&str]| ended(lab.plugin(&[&["status"], arguments].concat())).await;

    let none = status(&[]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert!(none.stderr.contains("there are no CryptoPipelines in namespace"), "{}", none.stderr);
    let missing = status(&["quickstart"]).await;
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stderr.contains("there is no CryptoPipeline quickstart in namespace"),
        "{}",
        missing.stderr
    );

    lab.create_pipeline("quickstart").await;
    let untold = status(&["quickstart"]).await;
    assert_eq!(untold.code, Some(1), "{}", untold.stdout);
    assert!(untold.stdout.contains("no operator has said anything of it yet"), "{}", untold.stdout);

    lab.say(
        "quickstart",
        &[("SchemaReady", "False", "SecretNotFound"), ("Ready", "False", "SecretNotFound")],
    )
    .await;
    let wrong = status(&["quickstart", "-o", "json"]).await;
    assert_eq!(wrong.code, Some(3));
    assert_eq!(wrong.json()["wrong"][0]["condition"], "SchemaReady");
    assert_eq!(wrong.json()["readiness"], "not_ready");

    lab.say("quickstart", &[("Ready", "True", "AllReady")]).await;
    let ready = status(&["quickstart"]).await;
    assert_eq!(ready.code, Some(0), "{}", ready.stdout);
    assert!(ready.stdout.starts_with("quickstart in namespace "), "{}", ready.stdout);
    assert!(ready.stdout.contains("is Ready\n"), "{}", ready.stdout);

    // The word on an older generation is no word on this one.
    lab.say_of_generation("quickstart", Some(0), &[("Ready", "True", "AllReady")]).await;
    assert_eq!(status(&["quickstart"]).await.code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_ends_as_its_worst_and_calls_unknown_what_is_unknown() {
    let Some(lab) = Lab::enter().await else { return };
    for (name, ready) in [("first", "True"), ("second", "True")] {
        lab.create_pipeline(name).await;
        lab.say(name, &[("Ready", ready, "AllReady")]).await;
    }
    let all = ended(lab.plugin(&["status"])).await;
    assert_eq!(all.code, Some(0), "{}", all.stderr);
    let lines: Vec<Vec<&str>> = all.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines[0],
        ["NAME", "READY", "REASON", "SYMBOLS", "PARTITIONS", "AGGREGATORS", "LAG", "MISSING"]
    );
    assert_eq!(lines[1], ["first", "True", "AllReady", "unknown", "unknown", "0/0", "unknown", "unknown"]);
    assert_eq!(lines.len(), 3);

    lab.say("second", &[("Ready", "False", "PodsFailing")]).await;
    let worst = ended(lab.plugin(&["status", "-o", "json"])).await;
    assert_eq!(worst.code, Some(3));
    let readiness: Vec<_> =
        worst.json().as_array().unwrap().iter().map(|it| it["readiness"].clone()).collect();
    assert_eq!(readiness, ["ready", "not_ready"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_nobody_can_answer_says_what_to_do() {
    let Some(lab) = Lab::enter().await else { return };
    lab.create_pipeline("quickstart").await;
    let gaps = ended(lab.plugin(&["gaps", "quickstart"])).await;
    assert_eq!(gaps.code, Some(1));
    assert!(
        gaps.stderr.contains("no repairer or aggregator pod of quickstart in namespace"),
        "{}",
        gaps.stderr
    );
    let lag = ended(lab.plugin(&["lag", "quickstart", "-o", "json"])).await;
    assert_eq!((lag.code, lag.json()["records"].clone()), (Some(1), serde_json::Value::Null));
    // Without a terminal nobody can be asked.
    let range = ["--symbol", "BTCUSDT", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:05:00Z"];
    let rebuild = ended(lab.plugin(&[&["rebuild", "quickstart"], range.as_slice()].concat())).await;
    assert_eq!(rebuild.code, Some(1));
    assert!(
        rebuild.stderr.contains("no terminal to ask on; --yes removes without asking"),
        "{}",
        rebuild.stderr
    );
    let wrong = ended(lab.plugin(&["gaps", "quickstart", "--output", "yaml"])).await;
    assert_eq!(wrong.code, Some(2));
    let unreachable =
        ["gaps", "quickstart", "--database-url", "postgres://market:hunter2@127.0.0.1:1/market"];
    let unreachable = ended(lab.plugin(&unreachable)).await;
    assert_eq!(unreachable.code, Some(1));
    assert!(unreachable.stderr.contains("its address must be reachable from here"), "{}", unreachable.stderr);
    assert!(!unreachable.stderr.contains("hunter2"), "{}", unreachable.stderr);
}
