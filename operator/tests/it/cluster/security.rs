//! A broker and a database that want to know who asks: TLS, names, passwords and certificates, all by Secret.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::lab::Lab;

/// What the testbed exports of its secure servers.
struct Servers {
    by_password: String,
    by_certificate: String,
    user: String,
    password: String,
    database: String,
    database_admin: String,
    folder: String,
}

impl Servers {
    /// As the testbed exports them: whoever has a lab has these too.
    fn of_testbed() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        Self {
            by_password: variable("KAFKA_BOOTSTRAP_SECURE"),
            by_certificate: variable("KAFKA_BOOTSTRAP_CERTIFIED"),
            user: variable("KAFKA_USER"),
            password: variable("KAFKA_PASSWORD"),
            database: variable("POSTGRES_SECURE_URL"),
            database_admin: variable("POSTGRES_SECURE_ADMIN_URL"),
            folder: variable("TESTBED_SECURITY"),
        }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("{}/{name}", self.folder)).unwrap()
    }

    /// The password in a database's URL.
    fn password_of(url: &str) -> &str {
        url.split_once("://").unwrap().1.split_once('@').unwrap().0.split_once(':').unwrap().1
    }
}

/// Secrets as Strimzi, CloudNativePG and Kubernetes write them.
async fn create_secrets(lab: &Lab, servers: &Servers) {
    for (name, data) in [
        (servers.user.as_str(), json!({"password": servers.password, "sasl.jaas.config": "not read"})),
        ("cluster-ca-cert", json!({"ca.crt": servers.file("ca.crt")})),
        ("stranger-ca-cert", json!({"ca.crt": servers.file("stranger-ca.crt")})),
        (
            "certified-user",
            json!({"ca.crt": "not read", "user.crt": servers.file("client.crt"), "user.key": servers.file("client.key")}),
        ),
        ("market-app", json!({"uri": servers.database, "username": "not read"})),
        ("market-admin", json!({"uri": servers.database_admin})),
    ] {
        lab.apply_secret(name, &data).await;
    }
}

/// A pipeline that proves who it is by a password, and is told apart from the operator by the database.
fn secure(lab: &Lab, servers: &Servers, name: &str) -> Value {
    let mut manifest = lab.manifest(name);
    let kafka = &mut manifest["spec"]["kafka"];
    kafka["bootstrapServers"] = json!(servers.by_password);
    kafka["tls"] = json!({"caSecret": {"name": "cluster-ca-cert"}});
    kafka["sasl"] = json!({"mechanism": "SCRAM-SHA-512", "credentialsSecret": {"name": servers.user}});
    let database = &mut manifest["spec"]["database"];
    database["connectionSecret"] = json!({"name": "market-app"});
    database["adminSecret"] = json!({"name": "market-admin"});
    database["tls"] = json!({"caSecret": {"name": "cluster-ca-cert"}});
    manifest
}

/// One that proves who it is to the broker by a certificate.
fn certified(lab: &Lab, servers: &Servers, name: &str) -> Value {
    let mut manifest = secure(lab, servers, name);
    let kafka = manifest["spec"]["kafka"].as_object_mut().unwrap();
    kafka.remove("sasl");
    kafka["bootstrapServers"] = json!(servers.by_certificate);
    kafka["tls"]["clientCertificateSecret"] = json!({"name": "certified-user"});
    manifest
}

#[tokio::test(flavor = "multi_thread")]
async fn secure_servers_are_used_and_no_object_tells_a_credential() {
    let Some(lab) = Lab::enter().await else { return };
    let servers = Servers::of_testbed();
    create_secrets(&lab, &servers).await;
    lab.start_operator().await;
    for (name, mechanism) in [("plain", "PLAIN"), ("short", "SCRAM-SHA-256"), ("long", "SCRAM-SHA-512")] {
        let mut manifest = secure(&lab, &servers, name);
        manifest["spec"]["kafka"]["sasl"]["mechanism"] = json!(mechanism);
        lab.apply(&manifest).await.unwrap();
    }
    lab.apply(&certified(&lab, &servers, "certified")).await.unwrap();
    for name in ["plain", "short", "long", "certified"] {
        lab.said(name, "Ready", "True/AllReady").await;
    }
    let everything = everything_told(&lab).await;
    for secret in [
        servers.password.as_str(),
        Servers::password_of(&servers.database),
        Servers::password_of(&servers.database_admin),
        servers.file("client.key").lines().nth(1).unwrap(),
    ] {
        assert!(secret.len() > 8 && !everything.contains(secret), "a credential is told");
    }
    assert!(everything.contains("certified-producer-binance") && everything.contains("TopicCreated"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_user_writes_rows_and_cannot_change_tables() {
    let Some(lab) = Lab::enter().await else { return };
    let servers = Servers::of_testbed();
    create_secrets(&lab, &servers).await;
    lab.start_operator().await;
    lab.apply(&secure(&lab, &servers, "rights")).await.unwrap();
    lab.said("rights", "Ready", "True/AllReady").await;
    let schema = lab.schema("rights");
    let url = format!("{}?sslmode=verify-full&sslrootcert={}/ca.crt", servers.database, servers.folder);
    let mut worker = PgConnection::connect(&url).await.unwrap();
    let mut run = async |statement: &str| {
        let set = format!("SET search_path = {schema}; {statement}");
        worker.execute(AssertSqlSafe(set)).await.map(drop).map_err(|error| error.to_string())
    };
    run("SELECT make_trades_day('2026-01-01')").await.unwrap();
    run("SELECT drop_trades_day('2026-01-01')").await.unwrap();
    run("UPDATE partition_offsets SET next_offset = next_offset").await.unwrap();
    for statement in [
        "CREATE TABLE stray (id int)",
        "ALTER TABLE trades ADD COLUMN stray int",
        "DROP TABLE candles",
        "UPDATE owner SET uid = 'mine'",
        "DELETE FROM _sqlx_migrations",
    ] {
        let refused = run(statement).await.unwrap_err();
        assert!(
            refused.contains("permission denied") || refused.contains("must be owner"),
            "{statement}: {refused}"
        );
    }
    // What is taken from it is given back.
    let admin = format!("{}?sslmode=require", servers.database_admin);
    let mut admin = PgConnection::connect(&admin).await.unwrap();
    let user = servers.database.split_once("://").unwrap().1.split_once(':').unwrap().0;
    let revoke = format!("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {user}");
    admin.execute(AssertSqlSafe(revoke)).await.unwrap();
    lab.eventually("the workers' user is let in again", async || {
        let granted = format!("SELECT has_table_privilege('{user}', '{schema}.trades', 'INSERT')");
        let mut admin =
            PgConnection::connect(&format!("{}?sslmode=require", servers.database_admin)).await.unwrap();
        let granted: bool = sqlx::query_scalar(AssertSqlSafe(granted)).fetch_one(&mut admin).await.unwrap();
        granted.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distrust_is_told_as_such_and_ends_with_the_right_secret() {
    let Some(lab) = Lab::enter().await else { return };
    let servers = Servers::of_testbed();
    create_secrets(&lab, &servers).await;
    lab.apply_secret("wrong", &json!({"username": servers.user, "password": "never-show-this"})).await;
    let wrong_url = servers.database.replace(Servers::password_of(&servers.database), "never-show-this");
    lab.apply_secret("wrong-app", &json!({"uri": wrong_url})).await;
    let stranger =
        json!({"user.crt": servers.file("stranger.crt"), "user.key": servers.file("stranger.key")});
    lab.apply_secret("stranger-user", &stranger).await;
    // Its newlines were lost on the way.
    let key = servers.file("client.key").replace('\n', "");
    let broken_client = json!({"tls.crt": servers.file("client.crt"), "tls.key": key});
    lab.apply_secret("broken-client", &broken_client).await;
    lab.start_operator().await;

    let mut password = secure(&lab, &servers, "password");
    password["spec"]["kafka"]["sasl"]["credentialsSecret"]["name"] = json!("wrong");
    lab.apply(&password).await.unwrap();
    let mut ca = secure(&lab, &servers, "ca");
    ca["spec"]["kafka"]["tls"]["caSecret"]["name"] = json!("stranger-ca-cert");
    ca["spec"]["database"]["tls"]["caSecret"]["name"] = json!("stranger-ca-cert");
    lab.apply(&ca).await.unwrap();
    let mut login = secure(&lab, &servers, "login");
    // The operator itself would get in.
    login["spec"]["database"]["connectionSecret"]["name"] = json!("wrong-app");
    lab.apply(&login).await.unwrap();
    let mut stranger = certified(&lab, &servers, "stranger");
    stranger["spec"]["kafka"]["tls"]["clientCertificateSecret"]["name"] = json!("stranger-user");
    lab.apply(&stranger).await.unwrap();
    let mut broken = secure(&lab, &servers, "broken");
    broken["spec"]["database"]["tls"]["clientCertificateSecret"] = json!({"name": "broken-client"});
    lab.apply(&broken).await.unwrap();
    let mut absent = secure(&lab, &servers, "absent");
    absent["spec"]["kafka"]["sasl"]["credentialsSecret"]["name"] = json!("nobody");
    lab.apply(&absent).await.unwrap();

    let message = lab.said("password", "TopicReady", "False/BrokerRefused").await;
    assert!(message.contains("do not trust each other") && message.contains("uthentication"), "{message}");
    assert!(!message.contains("never-show-this"), "{message}");
    lab.said("password", "Stalled", "True/BrokerRefused").await;
    let message = lab.said("ca", "TopicReady", "False/BrokerRefused").await;
    assert!(message.contains("certificate verify failed"), "{message}");
    let message = lab.said("ca", "SchemaReady", "False/DatabaseRefused").await;
    assert!(message.contains("certificate"), "{message}");
    let message = lab.said("login", "SchemaReady", "False/DatabaseRefused").await;
    assert!(message.contains("password authentication failed"), "{message}");
    assert!(!message.contains("never-show-this"), "{message}");
    let message = lab.said("stranger", "TopicReady", "False/BrokerRefused").await;
    assert!(message.contains("do not trust each other"), "{message}");
    let message = lab.said("broken", "SchemaReady", "False/DatabaseRefused").await;
    assert!(message.ends_with("the text of the client certificate's key holds no private key"), "{message}");
    let message = lab.said("absent", "TopicReady", "False/SecretNotFound").await;
    assert!(message.contains("Secret nobody does not exist"), "{message}");

    lab.apply_secret("wrong", &json!({"username": servers.user, "password": servers.password})).await;
    lab.said("password", "Ready", "True/AllReady").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_secret_replaces_the_pods_that_use_it() {
    let Some(lab) = Lab::enter().await else { return };
    let servers = Servers::of_testbed();
    create_secrets(&lab, &servers).await;
    lab.apply_secret("rotated", &json!({"username": servers.user, "password": servers.password})).await;
    lab.start_operator().await;
    let mut manifest = secure(&lab, &servers, "rotation");
    manifest["spec"]["kafka"]["sasl"]["credentialsSecret"]["name"] = json!("rotated");
    lab.apply(&manifest).await.unwrap();
    lab.said("rotation", "Ready", "True/AllReady").await;
    let roles = ["rotation-producer-binance", "rotation-aggregator", "rotation-repairer"];
    let mut before = Vec::new();
    for role in roles {
        before.push(checksums(&lab, role).await);
    }
    // Something else changes in the broker's Secret, which no pod is given.
    let with_note = json!({"username": servers.user, "password": servers.password, "note": "rotated"});
    lab.apply_secret("rotated", &with_note).await;
    lab.apply_secret("market-app", &json!({"uri": format!("{}?application_name=rotated", servers.database)}))
        .await;
    lab.eventually("the pods that use the database are replaced", async || {
        let [_, aggregator, repairer] = [roles[0], roles[1], roles[2]].map(|role| checksums(&lab, role));
        let replaced = aggregator.await["database"] != before[1]["database"]
            && repairer.await["database"] != before[2]["database"];
        replaced.then_some(())
    })
    .await;
    assert_eq!(checksums(&lab, roles[0]).await, before[0], "a producer uses no database");
    assert_eq!(checksums(&lab, roles[1]).await["kafka"], before[1]["kafka"], "a note is no credential");
}

/// The checksums on the pods of a Deployment.
async fn checksums(lab: &Lab, deployment: &str) -> Value {
    let deployment = lab.deployments().get(deployment).await.unwrap();
    let annotations = deployment.spec.unwrap().template.metadata.unwrap().annotations.unwrap();
    let of = |server: &str| annotations.get(&format!("cryptopipeline.dev/{server}-checksum")).cloned();
    json!({"kafka": of("kafka"), "database": of("database"), "settings": of("settings")})
}

/// Whatever a person who may not read Secrets can read in the namespace.
async fn everything_told(lab: &Lab) -> String {
    async fn all<K>(lab: &Lab) -> String
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + serde::Serialize,
    {
        let api: Api<K> = Api::namespaced(lab.client.clone(), &lab.namespace);
        let found = api.list(&ListParams::default()).await.unwrap().items;
        serde_json::to_string(&found).unwrap()
    }
    [
        all::<crds::CryptoPipeline>(lab).await,
        all::<Deployment>(lab).await,
        all::<ConfigMap>(lab).await,
        all::<Event>(lab).await,
        all::<k8s_openapi::api::core::v1::Pod>(lab).await,
    ]
    .concat()
}
