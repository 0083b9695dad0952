//! `suspend` and `resume`: what they set, what they wait for and how they end.

use super::lab::{Lab, Running, ended};

const STOPPED: [(&str, &str, &str); 4] = [
    ("ProducersReady", "False", "Suspended"),
    ("AggregatorsReady", "False", "Suspended"),
    ("Ready", "False", "Suspended"),
    ("Stalled", "False", "Settled"),
];
const READY: [(&str, &str, &str); 2] = [("Ready", "True", "AllReady"), ("Stalled", "False", "Settled")];

/// The command, begun; and the field is set.
async fn begun(lab: &Lab, arguments: &[&str], suspend: bool) -> Running {
    let running = Running::start(lab.plugin(arguments));
    let what = format!("spec.suspend is {suspend}");
    lab.eventually(&what, async || {
        let pipeline = lab.pipelines().get("quickstart").await.unwrap();
        (pipeline.spec.suspend == suspend).then_some(())
    })
    .await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn they_wait_until_the_operator_says_it_of_this_change() {
    let Some(lab) = Lab::enter().await else { return };
    lab.create_pipeline("quickstart").await;
    // Of the generation before: as if it had been suspended once.
    lab.say("quickstart", &STOPPED).await;
    let mut waiting = begun(&lab, &["suspend", "quickstart"], true).await;
    let draining = [STOPPED[0], ("AggregatorsReady", "False", "Draining"), STOPPED[2], STOPPED[3]];
    lab.say("quickstart", &draining).await;
    waiting.until_it_tells("AggregatorsReady=False (Draining)").await;
    lab.say("quickstart", &STOPPED).await;
    let suspended = waiting.end().await;
    assert_eq!(suspended.code, Some(0), "{}", suspended.stderr);
    assert!(suspended.stdout.contains("is suspended: everything is read"), "{}", suspended.stdout);

    let waiting = begun(&lab, &["resume", "quickstart", "-o", "json"], false).await;
    lab.say("quickstart", &READY).await;
    let resumed = waiting.end().await;
    assert_eq!(
        (resumed.code, resumed.json()["reached"].clone()),
        (Some(0), true.into()),
        "{}",
        resumed.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn they_set_one_field_in_their_own_name() {
    let Some(lab) = Lab::enter().await else { return };
    let before = lab.create_pipeline("quickstart").await;
    let asked = ended(lab.plugin(&["suspend", "quickstart", "--wait=false"])).await;
    assert_eq!(asked.code, Some(0), "{}", asked.stderr);
    let after = lab.pipelines().get("quickstart").await.unwrap();
    let mut expected = before.spec.clone();
    expected.suspend = true;
    assert_eq!(after.spec, expected);
    let entries = after.metadata.managed_fields.unwrap();
    let entry = entries.iter().find(|it| it.manager.as_deref() == Some("kubectl-cryptopipeline")).unwrap();
    let fields = serde_json::to_value(entry.fields_v1.as_ref().unwrap()).unwrap();
    assert_eq!(fields, serde_json::json!({"f:spec": {"f:suspend": {}}}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_true_is_told_and_stays_asked_for() {
    let Some(lab) = Lab::enter().await else { return };
    lab.create_pipeline("quickstart").await;
    let late = ended(lab.plugin(&["suspend", "quickstart", "--timeout", "1s"])).await;
    assert_eq!(late.code, Some(3), "{}", late.stderr);
    assert!(late.stdout.contains("spec.suspend stays true"), "{}", late.stdout);
    assert!(lab.pipelines().get("quickstart").await.unwrap().spec.suspend);

    let waiting = begun(&lab, &["resume", "quickstart"], false).await;
    lab.say("quickstart", &[("Ready", "False", "SecretNotFound"), ("Stalled", "True", "SecretNotFound")])
        .await;
    let stalled = waiting.end().await;
    assert_eq!(stalled.code, Some(3), "{}", stalled.stderr);
    assert!(
        stalled.stdout.contains("does not go on by itself: Stalled=True (SecretNotFound)"),
        "{}",
        stalled.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_things_as_asked_and_says_so() {
    let Some(lab) = Lab::enter().await else { return };
    lab.create_pipeline("quickstart").await;
    let mut waiting = begun(&lab, &["suspend", "quickstart"], true).await;
    lab.say("quickstart", &[("AggregatorsReady", "False", "Draining")]).await;
    waiting.until_it_tells("(Draining)").await;
    waiting.interrupt();
    let interrupted = waiting.end().await;
    assert_eq!(interrupted.code, Some(130), "{}", interrupted.stderr);
    assert!(
        interrupted.stdout.contains("is left as asked: spec.suspend stays true"),
        "{}",
        interrupted.stdout
    );
    assert!(lab.pipelines().get("quickstart").await.unwrap().spec.suspend);
}
