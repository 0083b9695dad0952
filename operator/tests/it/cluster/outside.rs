//! What is refused or waited for because of what lies outside the cluster: a condition and an Event each.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::{ConnectOptions, LATEST_SCHEMA_VERSION, Owner, Store};

use super::lab::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_named_and_its_arrival_noticed() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let mut manifest = lab.manifest("late");
    manifest["spec"]["database"]["connectionSecret"]["name"] = json!("comes-later");
    lab.apply(&manifest).await.unwrap();
    let message = lab.said("late", "SchemaReady", "False/SecretNotFound").await;
    assert!(message.contains("Secret comes-later does not exist"), "{message}");
    lab.said("late", "Stalled", "True/SecretNotFound").await;
    assert!(lab.event("late", "SecretNotFound").await.contains("comes-later"));
    lab.create_secret("comes-later", &lab.postgres_url).await;
    lab.said("late", "Ready", "True/AllReady").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_broker_or_database_is_waited_for_and_delays_nobody_else() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let mut brokerless = lab.manifest("brokerless");
    brokerless["spec"]["kafka"]["bootstrapServers"] = json!(lab.nowhere);
    lab.apply(&brokerless).await.unwrap();
    let mut baseless = lab.manifest("baseless");
    baseless["spec"]["database"]["connectionSecret"]["name"] = json!("nowhere");
    lab.create_secret("nowhere", &format!("postgres://market:never-show-this@{}/market", lab.nowhere)).await;
    lab.apply(&baseless).await.unwrap();
    lab.apply(&lab.manifest("healthy")).await.unwrap();
    lab.said("healthy", "Ready", "True/AllReady").await;
    let message = lab.said("brokerless", "TopicReady", "Unknown/BrokerUnreachable").await;
    assert!(message.contains(&lab.nowhere) && message.contains("Connection refused"), "{message}");
    lab.event("brokerless", "BrokerUnreachable").await;
    let message = lab.said("baseless", "SchemaReady", "Unknown/DatabaseUnreachable").await;
    assert!(message.contains("refused") && !message.contains("never-show-this"), "{message}");
    lab.event("baseless", "DatabaseUnreachable").await;
    lab.said("baseless", "Reconciling", "True/DatabaseUnreachable").await;
    // It is tried again: once it is there, the pipeline goes on.
    lab.create_secret("nowhere", &lab.postgres_url).await;
    lab.said("baseless", "Ready", "True/AllReady").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_told_although_a_database_does_not_answer_yet() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    // Connections are taken and nothing is ever said: it is not known for seconds how this database is.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://market@{}/market", silent.local_addr().unwrap());
    lab.create_secret("silent", &url).await;
    let mut manifest = lab.manifest("early");
    manifest["spec"]["database"]["connectionSecret"]["name"] = json!("silent");
    lab.apply(&manifest).await.unwrap();
    lab.event("early", "TopicCreated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_newer_or_belongs_to_another_is_refused() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let newer =
        Store::connect(&lab.postgres_url.as_str().into(), &lab.schema("newer"), ConnectOptions::default())
            .await
            .unwrap();
    newer.migrate().await.unwrap();
    let mut connection = PgConnection::connect(&lab.postgres_url).await.unwrap();
    let later = LATEST_SCHEMA_VERSION + 1;
    let pretend = format!(
        "INSERT INTO {}._sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ({later}, 'of a newer program', true, '', 0)",
        lab.schema("newer")
    );
    sqlx::query(AssertSqlSafe(pretend)).execute(&mut connection).await.unwrap();
    lab.apply(&lab.manifest("newer")).await.unwrap();
    let message = lab.said("newer", "SchemaReady", "False/SchemaTooNew").await;
    assert!(message.contains(&format!("version {later}")), "{message}");
    lab.event("newer", "SchemaTooNew").await;

    let owned =
        Store::connect(&lab.postgres_url.as_str().into(), &lab.schema("owned"), ConnectOptions::default())
            .await
            .unwrap();
    owned.migrate().await.unwrap();
    let owner =
        Owner { namespace: "elsewhere".to_owned(), name: "first".to_owned(), uid: "another".to_owned() };
    owned.claim(&owner).await.unwrap();
    lab.apply(&lab.manifest("owned")).await.unwrap();
    let message = lab.said("owned", "SchemaReady", "False/SchemaOwnedByAnother").await;
    assert!(message.contains("elsewhere/first"), "{message}");
    lab.event("owned", "SchemaOwnedByAnother").await;
    assert_eq!(lab.replicas("owned-aggregator").await, None, "no pod is made for a refused pipeline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_leaves_what_runs_and_says_so() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    lab.apply(&lab.manifest("stuck")).await.unwrap();
    lab.said("stuck", "Ready", "True/AllReady").await;
    // As if the newest migration had still to be done: what it makes is in its way.
    let before = LATEST_SCHEMA_VERSION - 1;
    let schema = lab.schema("stuck");
    let newest = format!("FROM {schema}._sqlx_migrations WHERE version > {before}");
    lab.sql(&format!("CREATE TABLE {schema}.put_aside AS SELECT * {newest}")).await;
    lab.sql(&format!("DELETE {newest}")).await;
    let message = lab.said("stuck", "SchemaReady", "False/MigrationFailed").await;
    let expected =
        format!("from version {before} to {LATEST_SCHEMA_VERSION}; what runs goes on with {before}");
    assert!(message.contains(&expected) && message.contains("already exists"), "{message}");
    lab.said("stuck", "Stalled", "True/MigrationFailed").await;
    lab.event("stuck", "MigrationFailed").await;
    assert_eq!(lab.replicas("stuck-aggregator").await, Some(3));
    lab.sql(&format!("INSERT INTO {schema}._sqlx_migrations SELECT * FROM {schema}.put_aside")).await;
    lab.said("stuck", "Ready", "True/AllReady").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_tables_are_noticed_and_named() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    lab.apply(&lab.manifest("altered")).await.unwrap();
    lab.said("altered", "Ready", "True/AllReady").await;
    let schema = lab.schema("altered");
    lab.sql(&format!("ALTER TABLE {schema}.owner ALTER COLUMN uid TYPE varchar(80)")).await;
    lab.sql(&format!("ALTER TABLE {schema}.trades ADD COLUMN note text")).await;
    let message = lab.said("altered", "SchemaReady", "False/SchemaDiffers").await;
    assert!(message.contains("column owner.uid is character varying(80)"), "{message}");
    assert!(!message.contains("note"), "what was added is nobody's business: {message}");
    lab.event("altered", "SchemaDiffers").await;
    assert_eq!(lab.replicas("altered-aggregator").await, Some(3), "what runs goes on");
    lab.sql(&format!("ALTER TABLE {schema}.owner ALTER COLUMN uid TYPE text")).await;
    lab.said("altered", "Ready", "True/AllReady").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_made_under_other_names_and_never_over_what_somebody_has() {
    let Some(lab) = Lab::enter().await else { return };
    let views = lab.schema("familiar_views");
    lab.sql(&format!("CREATE SCHEMA {views}")).await;
    lab.sql(&format!("CREATE TABLE {views}.trades (id serial, price numeric)")).await;
    lab.start_operator().await;
    let mut manifest = lab.manifest("familiar");
    manifest["spec"]["database"]["compatibility"] = json!(["trades", "ohlc"]);
    manifest["spec"]["database"]["compatibilitySchema"] = json!(views);
    lab.apply(&manifest).await.unwrap();
    let message = lab.said("familiar", "SchemaReady", "False/ViewsNotMade").await;
    assert!(message.contains(&format!("{views}.trades is there and is not of this pipeline")), "{message}");
    lab.event("familiar", "ViewsNotMade").await;
    // Nothing waits for it.
    lab.said("familiar", "AggregatorsReady", "True/PodsReady").await;
    lab.sql(&format!("ALTER TABLE {views}.trades RENAME TO old_trades")).await;
    lab.said("familiar", "Ready", "True/AllReady").await;
    lab.event("familiar", "ViewsMade").await;
    lab.sql(&format!("SELECT symbol, price, is_whale_trade FROM {views}.trades")).await;
    lab.sql(&format!("SELECT symbol, window_start FROM {views}.aggregated_prices_1min")).await;

    manifest["spec"]["database"]["compatibility"] = json!(["ohlc"]);
    lab.apply(&manifest).await.unwrap();
    lab.eventually("the views of trades are dropped", async || {
        let mut connection = PgConnection::connect(&lab.postgres_url).await.unwrap();
        let gone = AssertSqlSafe(format!("SELECT to_regclass('{views}.trade_aggregates') IS NULL"));
        sqlx::query_scalar::<_, bool>(gone).fetch_one(&mut connection).await.unwrap().then_some(())
    })
    .await;
    lab.said("familiar", "Ready", "True/AllReady").await;
    lab.sql(&format!("DROP SCHEMA {views} CASCADE")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_younger_of_two_that_want_one_topic_is_refused() {
    let Some(lab) = Lab::enter().await else { return };
    lab.apply(&lab.manifest("older")).await.unwrap();
    // Ages are told in whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let mut younger = lab.manifest("younger");
    younger["spec"]["kafka"]["topic"]["name"] = json!(lab.topic("older"));
    lab.apply(&younger).await.unwrap();
    lab.start_operator().await;
    lab.said("older", "Ready", "True/AllReady").await;
    let message = lab.said("younger", "TopicReady", "False/TopicOwnedByAnother").await;
    assert!(message.contains(&format!("{}/older", lab.namespace)), "{message}");
    lab.event("younger", "TopicOwnedByAnother").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_symbol_is_refused_by_name() {
    let Some(lab) = Lab::enter().await else { return };
    lab.start_operator().await;
    let mut manifest = lab.manifest("typo");
    manifest["spec"]["sources"][0]["symbols"] = json!(["BTCUSDT", "NOSUCHUSDT"]);
    lab.apply(&manifest).await.unwrap();
    let message = lab.said("typo", "ProducersReady", "False/UnknownSymbol").await;
    assert!(message.contains("binance:NOSUCHUSDT"), "{message}");
    lab.event("typo", "UnknownSymbol").await;
    manifest["spec"]["sources"][0]["symbols"] = json!(["BTCUSDT"]);
    lab.apply(&manifest).await.unwrap();
    lab.said("typo", "Ready", "True/AllReady").await;
}
