//! The Roles of `examples/plugin-roles.yaml`: each command works with the rights that they grant, and fails without, naming
//! what is missing. Nothing runs in the pods here, but the API server decides before it asks them.

use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt as _;
use kube::api::PostParams;
use serde_json::json;

use super::lab::{Ended, Lab, ended};

const ROLES: &str = include_str!("../../../../examples/plugin-roles.yaml");

impl Lab {
    /// A user with these Roles, of the example's, and no other rights: the kubeconfig.
    async fn user_with(&self, user: &str, roles: &[&str]) -> std::path::PathBuf {
        for document in crds::manifest::documents(ROLES).unwrap() {
            let role: Role = serde_json::from_value(document).unwrap();
            if !roles.contains(&role.name_any().trim_start_matches("cryptopipeline-")) {
                continue;
            }
            let name = format!("{user}-{}", role.name_any());
            let role = Role { metadata: json_of(json!({"name": name})), ..role };
            self.api::<Role>().create(&PostParams::default(), &role).await.unwrap();
            let group = "rbac.authorization.k8s.io";
            let binding = json!({
                "apiVersion": format!("{group}/v1"),
                "kind": "RoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
            });
            self.create::<RoleBinding>(binding).await;
        }
        self.kubeconfig_of(user)
    }

    /// A worker's pod that seems to run, on no node.
    async fn create_worker_pod(&self, role: &str) {
        let labels = json!({
            "app.kubernetes.io/managed-by": "cryptopipeline-operator",
            "app.kubernetes.io/instance": "quickstart",
            "app.kubernetes.io/component": role,
        });
        self.create::<Pod>(json!({
            "metadata": {"name": format!("quickstart-{role}"), "labels": labels},
            // Where no scheduler runs, none gives it a node either.
            "spec": {"containers": [{"name": "worker", "image": "cryptopipeline:test"}], "schedulerName": "none"},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "worker", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}},
            }]},
        }))
        .await;
    }
}

fn json_of<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn is_forbidden(ended: &Ended, what: &str) -> bool {
    let told = format!("{}{}", ended.stdout, ended.stderr);
    ended.code != Some(0) && told.contains("forbidden") && told.contains(what)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_of_the_example_is_enough_for_its_commands_and_for_no_other() {
    let Some(lab) = Lab::enter().await else { return };
    lab.create_pipeline("quickstart").await;
    lab.say("quickstart", &[("Ready", "True", "AllReady")]).await;
    for role in ["aggregator", "repairer"] {
        lab.create_worker_pod(role).await;
    }
    let nobody = lab.user_with("nobody", &[]).await;
    let viewer = lab.user_with("viewer", &["viewer"]).await;
    let maintainer = lab.user_with("maintainer", &["viewer", "maintainer"]).await;
    let run = async |user: &std::path::Path, arguments: &[&str]| ended(lab.plugin_as(user, arguments)).await;

    assert!(is_forbidden(
        &run(&nobody, &["status", "quickstart"]).await,
        "cannot get resource \"cryptopipelines\""
    ));
    assert_eq!(run(&viewer, &["status", "quickstart"]).await.code, Some(0));
    assert_eq!(run(&viewer, &["status"]).await.code, Some(0));
    // The pod is on no node: that is said by somebody who was let through.
    let lag = run(&viewer, &["lag", "quickstart"]).await;
    assert!(lag.stdout.contains("pod quickstart-aggregator does not tell"), "{}{}", lag.stdout, lag.stderr);
    assert!(!lag.stdout.contains("forbidden"), "{}", lag.stdout);

    let range = ["--symbol=BTCUSDT", "--from=2026-01-01T00:00:00Z", "--to=2026-01-01T00:05:00Z", "--yes"];
    let rebuild = [&["rebuild", "quickstart"], range.as_slice()].concat();
    for asked in
        [&["gaps", "quickstart"][..], &["candles", "quickstart"], &["verify", "quickstart"], &rebuild]
    {
        let refused = run(&viewer, asked).await;
        assert!(is_forbidden(&refused, "pods/exec"), "{asked:?}: {}", refused.stderr);
        let let_through = run(&maintainer, asked).await;
        assert_eq!(let_through.code, Some(1), "{asked:?}: there is no kubelet");
        assert!(
            let_through.stderr.contains("cannot run a command in pod quickstart-repairer"),
            "{}",
            let_through.stderr
        );
        assert!(!let_through.stderr.contains("forbidden"), "{}", let_through.stderr);
    }
    for verb in ["suspend", "resume"] {
        let refused = run(&viewer, &[verb, "quickstart", "--wait=false"]).await;
        assert!(is_forbidden(&refused, "cannot patch resource \"cryptopipelines\""), "{}", refused.stderr);
        assert_eq!(run(&maintainer, &[verb, "quickstart", "--wait=false"]).await.code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_leaves_out_what_may_not_be_read_and_reads_no_secret() {
    let Some(lab) = Lab::enter().await else { return };
    lab.create_pipeline("quickstart").await;
    lab.create_worker_pod("aggregator").await;
    lab.create::<Secret>(json!({"metadata": {"name": "postgres"}, "stringData": {"uri": "postgres://a"}}))
        .await;
    let left_out = async |user: &std::path::Path, file: &str| {
        let report =
            ended(lab.plugin_as(user, &["report", "quickstart", "--file", file, "-o", "json"])).await;
        assert_eq!(report.code, Some(0), "{}", report.stderr);
        let answer = report.json();
        let left_out = answer["left_out"].as_array().unwrap().clone();
        let refused = left_out.iter().filter(|it| it["why"].as_str().unwrap().contains("forbidden"));
        let mut refused: Vec<String> = refused.map(|it| it["what"].as_str().unwrap().to_owned()).collect();
        refused.sort();
        refused
    };
    let viewer = lab.user_with("viewer", &["viewer"]).await;
    let refused = left_out(&viewer, "viewer.tar.gz").await;
    assert_eq!(
        refused,
        [
            "deployments.yaml",
            "events.yaml",
            "gaps.json",
            "networkpolicies.yaml",
            "operator/deployments.yaml",
            "poddisruptionbudgets.yaml",
            "pods/quickstart-aggregator/worker.log",
            "the version of the definition",
            "verify.json",
        ]
    );
    let supporter = lab.user_with("supporter", &["viewer", "supporter"]).await;
    let refused = left_out(&supporter, "supporter.tar.gz").await;
    assert_eq!(refused, ["gaps.json", "the version of the definition", "verify.json"]);
    // What is there already is somebody's.
    let again = ended(lab.plugin_as(&supporter, &["report", "quickstart", "--file", "viewer.tar.gz"])).await;
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("cannot make the file viewer.tar.gz"), "{}", again.stderr);
}
