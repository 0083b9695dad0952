//! Pipelines whose database is MariaDB, where a schema is a database of the server.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

use super::lab::Lab;

/// The testbed's server, by its administrator: whoever has a lab has it too.
fn server() -> String {
    std::env::var("MYSQL_URL").expect("MYSQL_URL is not set")
}

async fn run(url: &str, statement: &str) -> Result<(), String> {
    let mut connection = MySqlConnection::connect(url).await.map_err(|error| error.to_string())?;
    sqlx::query(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

async fn schema_exists(schema: &str) -> bool {
    let mut connection = MySqlConnection::connect(&server()).await.unwrap();
    let query = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM information_schema.schemata WHERE schema_name = ?",
    );
    query.bind(schema).fetch_one(&mut connection).await.unwrap() == 1
}

fn on_mysql(lab: &Lab, name: &str, secret: &str) -> Value {
    let mut manifest = lab.manifest(name);
    manifest["spec"]["database"]["connectionSecret"] = json!({"name": secret});
    manifest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_on_mysql_is_made_watched_and_deleted() {
    let Some(lab) = Lab::enter().await else { return };
    lab.create_secret("mysql", &server()).await;
    lab.start_operator().await;
    let mut manifest = on_mysql(&lab, "kept", "mysql");
    manifest["spec"]["deletionPolicy"] = json!("Delete");
    lab.apply(&manifest).await.unwrap();
    lab.said("kept", "Ready", "True/AllReady").await;
    let schema = lab.schema("kept");
    run(&server(), &format!("ALTER TABLE {schema}.owner MODIFY COLUMN uid VARCHAR(80)")).await.unwrap();
    let message = lab.said("kept", "SchemaReady", "False/SchemaDiffers").await;
    assert!(message.contains("column owner.uid is varchar(80)"), "{message}");
    run(&server(), &format!("ALTER TABLE {schema}.owner MODIFY COLUMN uid VARCHAR(255) NOT NULL"))
        .await
        .unwrap();
    lab.said("kept", "Ready", "True/AllReady").await;

    // The names that people's queries know are in reach, in a database beside it, and go with it.
    let views = lab.schema("kept_views");
    manifest["spec"]["database"]["compatibility"] = json!(["ohlc", "trades"]);
    manifest["spec"]["database"]["compatibilitySchema"] = json!(views);
    lab.apply(&manifest).await.unwrap();
    lab.eventually("the views are there", async || {
        run(&server(), &format!("SELECT id, window_start FROM {views}.aggregated_prices_5min")).await.ok()
    })
    .await;

    // Another one cannot take it.
    let mut second = on_mysql(&lab, "second", "mysql");
    second["spec"]["database"]["schema"] = json!(schema);
    lab.apply(&second).await.unwrap();
    let message = lab.said("second", "SchemaReady", "False/SchemaOwnedByAnother").await;
    assert!(message.contains(&format!("{}/kept", lab.namespace)), "{message}");

    lab.delete("kept").await;
    lab.until_gone("kept").await;
    assert!(!schema_exists(&schema).await);
    let left = run(&server(), &format!("SELECT 1 FROM {views}.latest_prices")).await.unwrap_err();
    assert!(left.contains("doesn't exist"), "{left}");
    run(&server(), &format!("DROP DATABASE {views}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_user_of_mysql_comes_by_tls_and_cannot_change_tables() {
    let Some(lab) = Lab::enter().await else { return };
    let folder = std::env::var("TESTBED_SECURITY").expect("TESTBED_SECURITY is not set");
    let ca = std::fs::read_to_string(format!("{folder}/ca.crt")).unwrap();
    let user = lab.schema("user");
    for statement in [
        format!("CREATE USER {user} IDENTIFIED BY 'of-the-workers'"),
        format!("ALTER USER {user} REQUIRE SSL"),
    ] {
        run(&server(), &statement).await.unwrap();
    }
    let (_, address) = server().rsplit_once('@').map(|(_, rest)| ((), rest.to_owned())).unwrap();
    let address = address.split_once('/').unwrap().0.to_owned();
    let of_user = |options: &str| format!("mysql://{user}:of-the-workers@{address}/{options}");
    let refused = run(&of_user("?ssl-mode=disabled"), "SELECT 1").await.unwrap_err();
    assert!(refused.contains("Access denied"), "{refused}");

    lab.apply_secret("ca", &json!({"ca.crt": ca})).await;
    lab.create_secret("workers", &of_user("")).await;
    lab.create_secret("admin", &format!("{}/", server().split_once("/?").unwrap().0)).await;
    lab.start_operator().await;
    let mut manifest = on_mysql(&lab, "rights", "workers");
    manifest["spec"]["database"]["adminSecret"] = json!({"name": "admin"});
    manifest["spec"]["database"]["tls"] = json!({"caSecret": {"name": "ca"}});
    lab.apply(&manifest).await.unwrap();
    lab.said("rights", "Ready", "True/AllReady").await;

    let schema = lab.schema("rights");
    let url = of_user(&format!("{schema}?ssl-mode=VERIFY_IDENTITY&ssl-ca={folder}/ca.crt"));
    run(&url, "CALL make_day('trades', 20000)").await.unwrap();
    run(&url, "UPDATE partition_offsets SET next_offset = next_offset").await.unwrap();
    for statement in [
        "CREATE TABLE stray (id INT)",
        "ALTER TABLE trades ADD COLUMN stray INT",
        "DROP TABLE candles",
        "UPDATE owner SET uid = 'mine'",
        "DELETE FROM _sqlx_migrations",
    ] {
        let refused = run(&url, statement).await.unwrap_err();
        assert!(refused.contains("denied"), "{statement}: {refused}");
    }
    // What is taken from it is given back.
    run(&server(), &format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {user}")).await.unwrap();
    lab.eventually("the workers' user is let in again", async || {
        run(&url, "UPDATE partition_offsets SET next_offset = next_offset").await.ok()
    })
    .await;

    // A certificate of another authority is told as such.
    let stranger = std::fs::read_to_string(format!("{folder}/stranger-ca.crt")).unwrap();
    lab.apply_secret("ca", &json!({"ca.crt": stranger})).await;
    let message = lab.said("rights", "SchemaReady", "False/DatabaseRefused").await;
    assert!(message.to_lowercase().contains("certificate"), "{message}");
    run(&server(), &format!("DROP USER {user}")).await.unwrap();
}
