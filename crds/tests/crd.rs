//! The rendered CRD: committed as generated, and its rules the same in CEL and in Rust.

// Helpers of tests panic as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use crds::{CryptoPipeline, manifest, rules};
use kube::CustomResourceExt;
use serde_json::{Value, json};

const VALID: &str = "
apiVersion: cryptopipeline.dev/v1alpha1
kind: CryptoPipeline
metadata:
  name: markets
spec:
  sources:
  - name: binance
    exchange: binance
    symbols: [BTCUSDT, ETHUSDT]
  kafka:
    bootstrapServers: kafka:9092
    topic:
      name: crypto-trades
      partitions: 3
  database:
    connectionSecret:
      name: postgres
";

fn document(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn schema() -> Value {
    let crd = serde_json::to_value(CryptoPipeline::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The valid manifest with the value at `path` (a JSON pointer) replaced.
fn with(path: &str, value: Value) -> Value {
    let mut changed = document(VALID);
    let (parent, field) = path.rsplit_once('/').unwrap();
    changed.pointer_mut(parent).unwrap()[field] = value;
    changed
}

/// The fields refused by the rules in CEL, as the API server names them.
fn refused_by_cel(document: &Value, old: Option<&Value>) -> Vec<String> {
    match kube_cel::Validator::new().validate_with_defaults(&schema(), document, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.message).collect(),
    }
}

fn refused_by_rust(document: &Value, old: Option<&Value>) -> Vec<String> {
    let decode = |value: &Value| serde_json::from_value::<CryptoPipeline>(value.clone()).unwrap();
    let new = decode(document);
    let mut found = rules::violations(&new);
    if let Some(old) = old {
        found.extend(rules::transition_violations(&decode(old).spec, &new.spec));
    }
    found.into_iter().map(|violation| violation.rule).collect()
}

#[test]
fn the_committed_crd_is_the_generated_one() {
    for copy in ["crds/cryptopipelines.yaml", "charts/cryptopipeline/files/cryptopipelines.yaml"] {
        let committed = std::fs::read_to_string(checkout().join(copy)).unwrap();
        let is_generated = committed == crds::crd_yaml().unwrap();
        assert!(is_generated, "{copy} is stale: cargo run -p operator -- crd > {copy}");
    }
}

/// Kubernetes' own types, which it explains itself.
const EXPLAINED_ELSEWHERE: [&str; 5] = ["resources", "tolerations", "affinity", "env", "imagePullSecrets"];

/// Every field of ours below `schema`, by its path.
fn fields(path: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        found.push((path.clone(), field.clone()));
        let is_peers = path.starts_with("spec.networkPolicy.");
        if !is_peers && !EXPLAINED_ELSEWHERE.contains(&name.as_str()) {
            fields(&path, field, found);
            fields(&path, &field["items"], found);
        }
    }
}

#[test]
fn every_field_is_explained_with_its_default_and_an_example() {
    let mut spec = Vec::new();
    fields("spec", &schema()["properties"]["spec"], &mut spec);
    assert!(spec.len() > 50, "{}", spec.len());
    for (path, field) in spec {
        let text = field["description"].as_str().unwrap_or_default();
        assert!(text.len() > 10, "{path} is not explained");
        let is_group = field["properties"].is_object();
        let default = &field["default"];
        if !is_group && !default.is_null() {
            let value = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            let value = value.replace('"', "").replace(',', ", ");
            assert!(text.contains("efault") && text.contains(&value), "{path}: default {value}: {text}");
        }
        let is_choice = field["type"] == "boolean" || field["enum"].is_array();
        assert!(is_group || is_choice || text.contains("such as"), "{path} has no example: {text}");
    }
}

#[test]
fn every_example_is_accepted() {
    for example in std::fs::read_dir(checkout().join("examples")).unwrap() {
        let path = example.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let documents: Vec<Value> = serde_yaml::from_multiple(&text).unwrap();
        if documents.iter().all(|document| document["kind"] != "CryptoPipeline") {
            continue;
        }
        manifest::read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(refused_by_cel(&document(&text), None), Vec::<String>::new(), "{}", path.display());
    }
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn accepts_what_can_work() {
    manifest::read(VALID).unwrap();
    for changed in [
        with("/metadata/name", json!("a")),
        with("/spec/kafka", Value::Null),
        with("/spec/sources/0/endpoints", json!({"websocket": "wss://data-stream.binance.vision"})),
        with("/spec/sources/0/endpoints", json!({"rest": "https://api3.binance.com/"})),
        with("/spec/aggregation", json!({"flushInterval": "60s", "whaleTrade": {"minValue": "0.5"}})),
        with(
            "/spec/aggregation",
            json!({"movingAverage": {"trades": 1000}, "whaleTrade": {"quoteAssets": [{"asset": "BTC", "minValue": "2"}]}}),
        ),
        with("/spec/kafka/topic/config", json!({"cleanup.policy": "delete", "segment.bytes": "1048576"})),
        with("/spec/kafka/clientConfig", json!({"linger.ms": "1"})),
        with("/spec/kafka/tls", json!({})),
        with(
            "/spec/kafka/sasl",
            json!({"mechanism": "SCRAM-SHA-512", "credentialsSecret": {"name": "kafka-user"}}),
        ),
        with("/spec/sources/0/history", json!({"from": "2026-01-01T00:00:00Z"})),
        with("/spec/sources/0/endpoints", json!({"dumps": "https://data.binance.vision"})),
        with("/spec/aggregators", json!({"podTemplate": {"env": [{"name": "RUST_LOG", "value": "debug"}]}})),
        with(
            "/spec/aggregators",
            json!({"podTemplate": {"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}}),
        ),
    ] {
        assert_eq!(manifest::schema_violations(&changed), [], "{changed}");
        assert_eq!(refused_by_cel(&changed, None), Vec::<String>::new(), "{changed}");
        assert_eq!(refused_by_rust(&changed, None), Vec::<String>::new(), "{changed}");
    }
}

#[test]
fn the_schema_refuses_with_field_and_rule() {
    let twice = json!([{"name": "a", "exchange": "binance", "symbols": ["A"]}, {"name": "a", "exchange": "binance", "symbols": ["B"]}]);
    for (path, value, refusal) in [
        ("/spec/sources", json!([]), "spec.sources: must be at least 1 items"),
        ("/spec/sources", twice, "spec.sources[1]: stands there already"),
        ("/spec/sources/0/symbols", json!([]), "spec.sources[0].symbols: must be at least 1 items"),
        ("/spec/sources/0/symbols", json!(["A", "A"]), "spec.sources[0].symbols[1]: stands there already"),
        (
            "/spec/sources/0/symbols",
            json!(["btcusdt"]),
            r#"spec.sources[0].symbols[0]: "btcusdt" must match ^[0-9A-Z\p{Lo}]+$"#,
        ),
        (
            "/spec/sources/0/exchange",
            json!("mtgox"),
            r#"spec.sources[0].exchange: "mtgox" is not one of "binance""#,
        ),
        ("/spec/sources/0/redundancy", json!(3), "spec.sources[0].redundancy: must be at most 2"),
        ("/spec/sources/0/feeds", json!("tickers"), "spec.sources[0].feeds: unknown field"),
        (
            "/spec/sources/0/history",
            json!({"from": "yesterday"}),
            r#"spec.sources[0].history.from: "yesterday" is not a time such as 2026-01-01T00:00:00Z"#,
        ),
        ("/spec/sources/0/history", json!({}), "spec.sources[0].history.from: required"),
        ("/spec/kafka/topic/partitions", json!(0), "spec.kafka.topic.partitions: must be at least 1"),
        ("/spec/kafka/topic/partitions", json!("3"), "spec.kafka.topic.partitions: must be of type integer"),
        ("/spec/kafka/topic", json!({}), "spec.kafka.topic.name: required"),
        (
            "/spec/kafka/topic/encoding",
            json!("avro"),
            r#"spec.kafka.topic.encoding: "avro" is not one of "own", "priceTick", "ticker", "trade""#,
        ),
        (
            "/spec/database/compatibility",
            json!(["superset"]),
            r#"spec.database.compatibility[0]: "superset" is not one of "moving-averages", "ohlc", "trades""#,
        ),
        (
            "/spec/database/compatibility",
            json!(["ohlc", "ohlc"]),
            "spec.database.compatibility[1]: stands there already",
        ),
        (
            "/spec/database/storageLimit",
            json!("100GB"),
            r#"spec.database.storageLimit: "100GB" must match ^([1-9][0-9]{0,17}|[1-9][0-9]{0,5}([kMGT]|[KMGT]i))$"#,
        ),
        (
            "/spec/kafka/sasl",
            json!({"mechanism": "GSSAPI", "credentialsSecret": {"name": "kafka-user"}}),
            r#"spec.kafka.sasl.mechanism: "GSSAPI" is not one of "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512""#,
        ),
        ("/spec/kafka/tls", json!({"caSecret": {}}), "spec.kafka.tls.caSecret.name: required"),
        (
            "/spec/kafka/topic/retention",
            json!("-7d"),
            r#"spec.kafka.topic.retention: "-7d" must match ^[1-9][0-9]*[smhd]$"#,
        ),
        (
            "/spec/kafka/bootstrapServers",
            json!("kafka"),
            r#"spec.kafka.bootstrapServers: "kafka" must match ^[^\s,:]+:[0-9]{1,5}(,[^\s,:]+:[0-9]{1,5})*$"#,
        ),
        (
            "/spec/database/schema",
            json!("Market"),
            r#"spec.database.schema: "Market" must match ^[a-z_][a-z0-9_]*$"#,
        ),
    ] {
        let refused = manifest::schema_violations(&with(path, value));
        assert_eq!(refused.iter().map(ToString::to_string).collect::<Vec<_>>(), [refusal]);
    }
    let unknown_interval =
        manifest::schema_violations(&with("/spec/aggregation", json!({"intervals": ["7m"]})));
    assert!(
        unknown_interval[0]
            .to_string()
            .starts_with(r#"spec.aggregation.intervals[0]: "7m" is not one of "1s""#)
    );
}

#[test]
fn cel_and_rust_refuse_the_same_by_the_same_words() {
    for (path, value, rule) in [
        ("/metadata/name", json!("a".repeat(41)), "metadata.name must be"),
        ("/metadata/name", json!("7th"), "metadata.name must be"),
        ("/spec/sources/0/endpoints", json!({"websocket": "ws://sim:9443"}), "venue is required"),
        (
            "/spec/sources/0/endpoints",
            json!({"rest": "https://api.binance.com.evil.example"}),
            "venue is required",
        ),
        ("/spec/sources/0/endpoints", json!({"dumps": "http://sim:9443"}), "venue is required"),
        ("/spec/kafka/topic/name", json!(".."), "topic name may not be"),
        ("/spec/kafka/topic/config", json!({"retention.ms": "1"}), "config may not repeat"),
        (
            "/spec/kafka/topic/config",
            json!({"message.timestamp.type": "CreateTime"}),
            "config may not repeat",
        ),
        (
            "/spec/kafka/topic/config",
            json!({"cleanup.policy": "compact"}),
            "config cleanup.policy may only be",
        ),
        ("/spec/kafka/clientConfig", json!({"acks": "1"}), "clientConfig may hold neither"),
        ("/spec/kafka/clientConfig", json!({"sasl.password": "x"}), "clientConfig may hold neither"),
        (
            "/spec/kafka/clientConfig",
            json!({"security.protocol": "plaintext"}),
            "clientConfig may hold neither",
        ),
        ("/spec/sources/0/transport", json!("rest"), "transport may be rest for feed tickers only"),
        ("/spec/sources/0/pollInterval", json!("1s"), "pollInterval is of transport rest only"),
        ("/spec/aggregation", json!({"flushInterval": "9ms"}), "flushInterval must be"),
        ("/spec/aggregation", json!({"flushInterval": "61s"}), "flushInterval must be"),
        ("/spec/aggregation", json!({"whaleTrade": {"minValue": "-1"}}), "minValue must be"),
        ("/spec/aggregation", json!({"whaleTrade": {"minValue": "1e5"}}), "minValue must be"),
        ("/spec/aggregation", json!({"whaleTrade": {}}), "whaleTrade needs minValue or quoteAssets"),
        (
            "/spec/aggregation",
            json!({"whaleTrade": {"quoteAssets": [{"asset": "BTC", "minValue": "-2"}]}}),
            "minValue must be",
        ),
        (
            "/spec/aggregation",
            json!({"storeTrades": false, "whaleTrade": {"minValue": "1"}}),
            "whaleTrade needs storeTrades",
        ),
        (
            "/spec/aggregation",
            json!({"storeTrades": false, "movingAverage": {"trades": 20}}),
            "movingAverage needs storeTrades",
        ),
        ("/spec/database/schema", json!("pg_catalog"), "schema may not begin with pg_"),
        (
            "/spec/producers",
            json!({"podTemplate": {"env": [{"name": "DATABASE_URL"}]}}),
            "podTemplate.env may not hold",
        ),
    ] {
        assert_one_rule(&with(path, value), None, rule);
    }
}

#[test]
fn tickers_have_no_past_and_no_ids_and_are_asked_for_as_often_as_is_allowed() {
    let tickers = |fields: Value| {
        let mut changed = with("/spec/sources/0/feed", json!("tickers"));
        changed["spec"]["sources"][0].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        changed
    };
    for fields in [
        json!({}),
        json!({"transport": "rest"}),
        json!({"transport": "rest", "pollInterval": "500ms"}),
        json!({"transport": "rest", "pollInterval": "1h"}),
    ] {
        assert_eq!(refused_by_cel(&tickers(fields.clone()), None), Vec::<String>::new());
        assert_eq!(refused_by_rust(&tickers(fields), None), Vec::<String>::new());
    }
    let series = json!([{"symbol": "BTCUSDT", "since": "2026-01-01T00:00:00.000001Z"}]);
    for (fields, rule) in [
        (json!({"history": {"from": "2026-01-01T00:00:00Z"}}), "history is of feed trades only"),
        (json!({"series": series}), "series is of feed trades only"),
        (json!({"transport": "rest", "pollInterval": "499ms"}), "pollInterval must be from 500ms to 1h"),
        (json!({"transport": "rest", "pollInterval": "61m"}), "pollInterval must be from 500ms to 1h"),
        (json!({"pollInterval": "5s"}), "pollInterval is of transport rest only"),
    ] {
        assert_one_rule(&tickers(fields), None, rule);
    }
}

#[test]
fn tables_of_other_systems_need_what_is_shown_in_them() {
    let pipeline = |feed: &str, views: Value, changes: &[(&str, Value)]| {
        let mut changed = with("/spec/database/compatibility", views);
        changed["spec"]["sources"][0]["feed"] = json!(feed);
        for (path, value) in changes {
            let (parent, field) = path.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[field] = value.clone();
        }
        changed
    };
    let public = ("/spec/database/compatibilitySchema", json!("public"));
    let second = json!({"name": "second", "exchange": "binance", "venue": "second", "symbols": ["BTCUSDT"]});
    let first = document(VALID)["spec"]["sources"][0].clone();
    for document in [
        pipeline("tickers", json!(["moving-averages", "ohlc"]), &[]),
        pipeline(
            "tickers",
            json!(["moving-averages"]),
            &[("/spec/aggregation", json!({"intervals": ["1m"]}))],
        ),
        pipeline(
            "tickers",
            json!(["moving-averages"]),
            &[("/spec/aggregation", json!({"storeTrades": false}))],
        ),
        pipeline("trades", json!(["ohlc"]), &[("/spec/database/compatibilitySchema", json!("stock"))]),
        pipeline("trades", json!(["ohlc", "trades"]), std::slice::from_ref(&public)),
        pipeline("trades", json!([]), &[("/spec/database/managed", json!(false))]),
    ] {
        assert_eq!(manifest::schema_violations(&document), [], "{document}");
        assert_eq!(refused_by_cel(&document, None), Vec::<String>::new(), "{document}");
        assert_eq!(refused_by_rust(&document, None), Vec::<String>::new(), "{document}");
    }
    for (document, rule) in [
        (
            pipeline("trades", json!(["moving-averages"]), &[]),
            "compatibility moving-averages is of feed tickers",
        ),
        (
            pipeline("tickers", json!(["trades"]), std::slice::from_ref(&public)),
            "compatibility moving-averages is of feed tickers, trades is of feed trades",
        ),
        (pipeline("trades", json!(["trades"]), &[]), "compatibility trades needs a compatibilitySchema"),
        (
            pipeline("trades", json!(["trades"]), &[("/spec/database/compatibilitySchema", json!("market"))]),
            "compatibility trades needs a compatibilitySchema",
        ),
        (
            pipeline("trades", json!(["ohlc"]), &[("/spec/database/compatibilitySchema", json!("pg_temp"))]),
            "schema may not begin with pg_",
        ),
        (
            pipeline("trades", json!(["ohlc"]), &[("/spec/aggregation", json!({"intervals": ["1m"]}))]),
            "compatibility moving-averages needs 1m among aggregation.intervals, ohlc needs 1m and 5m",
        ),
        (
            pipeline(
                "tickers",
                json!(["moving-averages"]),
                &[("/spec/aggregation", json!({"intervals": ["5m"]}))],
            ),
            "compatibility moving-averages needs 1m",
        ),
        (
            pipeline("trades", json!(["ohlc"]), &[("/spec/aggregation", json!({"storeTrades": false}))]),
            "compatibility trades and ohlc need aggregation.storeTrades",
        ),
        (
            pipeline("trades", json!(["ohlc"]), &[("/spec/database/managed", json!(false))]),
            "managed may not be false where compatibility is named",
        ),
        (
            pipeline("trades", json!(["ohlc"]), &[("/spec/sources", json!([first, second]))]),
            "compatibility needs a single source",
        ),
    ] {
        assert_one_rule(&document, None, rule);
    }
}

#[test]
fn records_are_encoded_for_others_as_their_feed_has_them() {
    let pipeline = |feed: &str, transport: &str, encoding: &str| {
        let mut changed = with("/spec/kafka/topic/encoding", json!(encoding));
        changed["spec"]["sources"][0]["feed"] = json!(feed);
        changed["spec"]["sources"][0]["transport"] = json!(transport);
        changed
    };
    for (feed, transport, encoding) in [
        ("trades", "websocket", "own"),
        ("trades", "websocket", "trade"),
        ("tickers", "rest", "own"),
        ("tickers", "rest", "priceTick"),
        ("tickers", "websocket", "priceTick"),
        ("tickers", "websocket", "ticker"),
    ] {
        let document = pipeline(feed, transport, encoding);
        assert_eq!(refused_by_cel(&document, None), Vec::<String>::new(), "{document}");
        assert_eq!(refused_by_rust(&document, None), Vec::<String>::new(), "{document}");
    }
    for (feed, transport, encoding, rule) in [
        ("trades", "websocket", "priceTick", "encoding trade is of sources of feed trades alone"),
        ("trades", "websocket", "ticker", "encoding trade is of sources of feed trades alone"),
        ("tickers", "websocket", "trade", "encoding trade is of sources of feed trades alone"),
        ("tickers", "rest", "ticker", "encoding ticker is of transport websocket"),
    ] {
        assert_one_rule(&pipeline(feed, transport, encoding), None, rule);
    }
}

#[test]
fn history_needs_a_repairer_and_the_files_of_the_exchange_that_is_read() {
    let wished = |endpoints: Value, repair: bool| {
        let mut changed = with("/spec/sources/0/history", json!({"from": "2026-01-01T00:00:00Z"}));
        changed["spec"]["sources"][0]["venue"] = json!("simulated");
        changed["spec"]["sources"][0]["endpoints"] = endpoints;
        changed["spec"]["repair"] = json!({"enabled": repair});
        changed
    };
    let simulator = json!({"websocket": "ws://sim:9443", "rest": "http://sim:9443"});
    assert_one_rule(&wished(simulator.clone(), true), None, "endpoints.dumps is required for history");
    let mut whole = simulator;
    whole["dumps"] = json!("http://sim:9443");
    assert_one_rule(&wished(whole.clone(), false), None, "repair.enabled may not be false");
    assert_eq!(refused_by_cel(&wished(whole.clone(), true), None), Vec::<String>::new());
    assert_eq!(refused_by_rust(&wished(whole, true), None), Vec::<String>::new());
}

#[test]
fn history_begins_in_the_past_and_within_what_is_kept() {
    let now = "2026-07-01T00:00:00Z".parse().unwrap();
    let refused = |from: &str, database: Value, status: Value| -> Vec<String> {
        let mut changed = with("/spec/sources/0/history", json!({"from": from}));
        changed["spec"]["database"] = database;
        changed["status"] = status;
        let pipeline: CryptoPipeline = serde_json::from_value(changed).unwrap();
        crds::history::violations(&pipeline, now).iter().map(ToString::to_string).collect()
    };
    let kept = |retention: Value| json!({"connectionSecret": {"name": "postgres"}, "retention": retention});
    let none = || json!({});
    assert_eq!(
        refused("2026-07-01T00:00:01Z", kept(json!({})), none()),
        ["spec.sources[0].history.from: 2026-07-01T00:00:01Z lies in the future: history begins in the past"]
    );
    let for_ever = Vec::<String>::new();
    assert_eq!(refused("2017-07-01T00:00:00Z", kept(json!({})), none()), for_ever);
    // Candles of trades that are no longer kept are kept for ever.
    assert_eq!(refused("2017-07-01T00:00:00Z", kept(json!({"trades": "7d"})), none()), for_ever);
    let candles = || kept(json!({"trades": "7d", "candles": "90d"}));
    assert_eq!(refused("2026-04-02T00:00:00Z", candles(), none()), for_ever);
    let too_early = "2026-04-01T00:00:00Z lies before what database.retention.candles (90d) keeps: nothing would be made of it";
    assert_eq!(
        refused("2026-04-01T00:00:00Z", candles(), none()),
        [format!("spec.sources[0].history.from: {too_early}")]
    );
    let trades = kept(json!({"trades": "120d", "candles": "90d"}));
    assert_eq!(refused("2026-04-01T00:00:00Z", trades, none()), for_ever);
    // What was accepted once stays so while time passes.
    let accepted = |from: &str| json!({"history": [{"source": "binance", "from": from}]});
    assert_eq!(refused("2026-04-01T00:00:00Z", candles(), accepted("2026-04-01T00:00:00Z")), for_ever);
    assert_eq!(refused("2026-03-01T00:00:00Z", candles(), accepted("2026-04-01T00:00:00Z")).len(), 1);
}

#[test]
fn cel_and_rust_refuse_the_same_changes() {
    let old = document(VALID);
    let removed = |field: &str| {
        let mut changed = document(VALID);
        changed["spec"].as_object_mut().unwrap().remove(field);
        changed
    };
    assert_one_rule(&with("/spec/kafka/topic/partitions", json!(2)), Some(&old), "partitions may not shrink");
    assert_one_rule(&with("/spec/kafka/topic/name", json!("other")), Some(&old), "topic may not be renamed");
    assert_one_rule(&with("/spec/sources/0/venue", json!("other")), Some(&old), "venue may not change");
    assert_one_rule(&removed("kafka"), Some(&old), "kafka may not be removed");
    assert_one_rule(&removed("database"), Some(&old), "database may not be removed");
    for allowed in [
        with("/spec/kafka/topic/partitions", json!(6)),
        with("/spec/sources/0/venue", json!("binance")),
        old.clone(),
    ] {
        assert_eq!(refused_by_cel(&allowed, Some(&old)), Vec::<String>::new());
        assert_eq!(refused_by_rust(&allowed, Some(&old)), Vec::<String>::new());
    }
}

fn assert_one_rule(document: &Value, old: Option<&Value>, rule: &str) {
    let cel = refused_by_cel(document, old);
    assert!(cel.len() == 1 && cel[0].starts_with(rule), "{cel:?} for {rule:?}");
    assert_eq!(refused_by_rust(document, old), cel);
}

#[test]
fn every_refusal_of_a_manifest_is_named() {
    let text =
        VALID.replace("exchange: binance", "exchange: mtgox").replace("partitions: 3", "partitions: 0");
    let error = manifest::read(&text).unwrap_err().to_string();
    assert!(
        error.contains("spec.sources[0].exchange") && error.contains("spec.kafka.topic.partitions"),
        "{error}"
    );
}

#[test]
fn a_manifest_may_hold_other_objects_but_one_pipeline() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: postgres}\n---";
    assert_eq!(
        manifest::read(&format!("{secret}{VALID}")).unwrap().metadata.name.as_deref(),
        Some("markets")
    );
    assert!(matches!(manifest::read(secret), Err(manifest::ManifestError::NotOnePipeline { found: 0, .. })));
    let two = format!("{VALID}\n---\n{VALID}");
    assert!(matches!(manifest::read(&two), Err(manifest::ManifestError::NotOnePipeline { found: 2, .. })));
}
