//! The rules that no type or pattern can say. Each stands twice: as CEL in the CRD, for `kubectl apply`, and as
//! Rust here, for `cryptopipeline run` and for a cluster whose CRD is older than the operator. A test puts the
//! same cases before both.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use crate::period::Period;
use crate::pod_template::PodTemplate;
use crate::spec::{
    AggregationSpec, CryptoPipeline, CryptoPipelineSpec, DatabaseSpec, KafkaSpec, SourceSpec, TopicSpec,
    Transport, WhaleTradeSpec,
};
use crate::worker_settings::DATABASE_URL_ENV;

pub(crate) mod compatibility;

const NAME_PATTERN: &str = "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$";
pub(crate) const NAME: &str =
    "metadata.name must be at most 40 lowercase letters, digits and dashes, and begin with a letter";

pub(crate) const KAFKA_REMOVED: &str = "kafka may not be removed: its topic may not be renamed";
pub(crate) const DATABASE_REMOVED: &str = "database may not be removed";

const OWN_WEBSOCKET: &str = "^wss://(stream[.]binance[.]com|data-stream[.]binance[.]vision)(:(443|9443))?/?$";
const OWN_REST: &str =
    "^https://((api|api-gcp|api[1-4])[.]binance[.]com|data-api[.]binance[.]vision)(:443)?/?$";
const OWN_DUMPS: &str = "^https://data[.]binance[.]vision(:443)?/?$";
pub(crate) const VENUE_REQUIRED: &str = "venue is required where the endpoints are not the exchange's own: other trade ids must not mix with them";
pub(crate) const VENUE_IMMUTABLE_CEL: &str = "(has(self.venue) ? self.venue : self.exchange) == \
    (has(oldSelf.venue) ? oldSelf.venue : oldSelf.exchange)";
pub(crate) const VENUE_IMMUTABLE: &str = "venue may not change: it is part of the key of every trade held";

pub(crate) const DUMPS_REQUIRED: &str = "endpoints.dumps is required for history where the other endpoints are not the exchange's own: other trades must not mix with theirs";
pub(crate) const REST_OF_TICKERS_CEL: &str =
    "!has(self.transport) || self.transport == 'websocket' || (has(self.feed) && self.feed == 'tickers')";
pub(crate) const REST_OF_TICKERS: &str =
    "transport may be rest for feed tickers only: trades that are asked for now and then would be missed";
pub(crate) const POLL_INTERVAL_OF_REST_CEL: &str =
    "!has(self.pollInterval) || (has(self.transport) && self.transport == 'rest')";
pub(crate) const POLL_INTERVAL_OF_REST: &str =
    "pollInterval is of transport rest only: the exchange decides how often a stream says a price";
pub(crate) const POLL_INTERVAL_CEL: &str =
    "duration(self) >= duration('500ms') && duration(self) <= duration('1h')";
pub(crate) const POLL_INTERVAL: &str = "pollInterval must be from 500ms to 1h";
pub(crate) const HISTORY_OF_TRADES_CEL: &str =
    "!has(self.history) || !has(self.feed) || self.feed == 'trades'";
pub(crate) const HISTORY_OF_TRADES: &str =
    "history is of feed trades only: exchanges keep no tickers of the past";
pub(crate) const SERIES_OF_TRADES_CEL: &str = "!has(self.series) || !has(self.feed) || self.feed == 'trades'";
pub(crate) const SERIES_OF_TRADES: &str = "series is of feed trades only: tickers have no ids";
pub(crate) const HISTORY_WITHOUT_REPAIR_CEL: &str = "!has(self.repair) || !has(self.repair.enabled) || self.repair.enabled \
    || !self.sources.exists(source, has(source.history))";
pub(crate) const HISTORY_WITHOUT_REPAIR: &str =
    "repair.enabled may not be false where a source has history: the repairer loads it";

const CLIENT_CONFIG_RESERVED: [&str; 17] = [
    "acks",
    "allow.auto.create.topics",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "group.id",
    "partitioner",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.secret",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
];
pub(crate) const CLIENT_CONFIG: &str = "clientConfig may hold neither credentials, security.protocol, sasl.mechanism, \
    sasl.username (kafka.tls and kafka.sasl say those) nor acks, allow.auto.create.topics, bootstrap.servers, \
    enable.auto.commit, enable.auto.offset.store, enable.idempotence, group.id, partitioner: counting each trade once \
    depends on them";

pub(crate) const TOPIC_RENAMED: &str =
    "topic may not be renamed: the stored offsets are those of the old topic";
pub(crate) const TOPIC_DOTS: &str = "topic name may not be \".\" or \"..\"";
pub(crate) const PARTITIONS_SHRUNK: &str = "partitions may not shrink: Kafka cannot remove partitions";
const TOPIC_CONFIG_REPEATED: [&str; 2] = ["message.timestamp.type", "retention.ms"];
pub(crate) const TOPIC_CONFIG_REPEATS: &str =
    "config may not repeat retention.ms (set retention) nor message.timestamp.type (always LogAppendTime)";
pub(crate) const TOPIC_COMPACTED_CEL: &str =
    "!('cleanup.policy' in self) || self['cleanup.policy'] == 'delete'";
pub(crate) const TOPIC_COMPACTED: &str =
    "config cleanup.policy may only be delete: compaction would remove all but the last trade of a symbol";

pub(crate) const FLUSH_INTERVAL_CEL: &str =
    "duration(self) >= duration('10ms') && duration(self) <= duration('60s')";
pub(crate) const FLUSH_INTERVAL: &str = "flushInterval must be from 10ms to 60s";
pub(crate) const MOVING_AVERAGE_OF_STORED_CEL: &str =
    "!has(self.movingAverage) || !has(self.storeTrades) || self.storeTrades";
pub(crate) const MOVING_AVERAGE_OF_STORED: &str =
    "movingAverage needs storeTrades: it is stored with each trade, and made of those before it";
pub(crate) const WHALE_TRADE_OF_STORED_CEL: &str =
    "!has(self.whaleTrade) || !has(self.storeTrades) || self.storeTrades";
pub(crate) const WHALE_TRADE_OF_STORED: &str =
    "whaleTrade needs storeTrades: the orders of takers are made of stored trades";
pub(crate) const WHALE_TRADE_VALUE_CEL: &str =
    "has(self.minValue) || (has(self.quoteAssets) && self.quoteAssets.size() > 0)";
pub(crate) const WHALE_TRADE_VALUE: &str = "whaleTrade needs minValue or quoteAssets";
const MOVING_AVERAGE_TRADES: &str = "trades must be from 2 to 1000";
const QUOTE_ASSET_PATTERN: &str = "^[A-Za-z0-9]{1,20}$";
const QUOTE_ASSET: &str = "asset must be up to 20 letters and digits";
const QUOTE_ASSETS_UNIQUE: &str = "quoteAssets may name an asset only once";
const MIN_VALUE_PATTERN: &str = "^[0-9]{1,18}([.][0-9]{1,8})?$";
pub(crate) const MIN_VALUE: &str =
    "minValue must be a decimal that is not negative, with at most 8 decimals, such as \"100000\"";
pub(crate) const SCHEMA_RESERVED: &str =
    "schema may not begin with pg_: PostgreSQL keeps those names to itself";
pub(crate) const RESERVED_ENV: &str =
    "podTemplate.env may not hold DATABASE_URL: it comes from database.connectionSecret";
const BYTE_SIZE: &str = "must be a whole number of bytes, or of up to six digits with one of the units k, M, G, T, Ki, Mi, Gi, Ti, such as 100Gi";
const PERIOD: &str = "must be a whole number with one of the units s, m, h, d, such as 7d";

pub(crate) fn name_cel() -> String {
    format!("self.metadata.name.matches('{NAME_PATTERN}')")
}

pub(crate) fn venue_required_cel() -> String {
    let own = [("websocket", OWN_WEBSOCKET), ("rest", OWN_REST), ("dumps", OWN_DUMPS)]
        .map(|(field, pattern)| own_cel(field, pattern));
    let at_home = own.join(" && ");
    format!("has(self.venue) || !has(self.endpoints) || ({at_home})")
}

pub(crate) fn dumps_required_cel() -> String {
    let live = format!("{} && {}", own_cel("websocket", OWN_WEBSOCKET), own_cel("rest", OWN_REST));
    format!("!has(self.history) || !has(self.endpoints) || has(self.endpoints.dumps) || ({live})")
}

/// Whether an address is the exchange's own, or left to be that.
fn own_cel(field: &str, pattern: &str) -> String {
    format!("(!has(self.endpoints.{field}) || self.endpoints.{field}.matches('{pattern}'))")
}

pub(crate) fn client_config_cel() -> String {
    has_none_of(&CLIENT_CONFIG_RESERVED)
}

pub(crate) fn topic_config_repeats_cel() -> String {
    has_none_of(&TOPIC_CONFIG_REPEATED)
}

pub(crate) fn min_value_cel() -> String {
    format!("self.matches('{MIN_VALUE_PATTERN}')")
}

pub(crate) fn reserved_env_cel() -> String {
    format!("!self.exists(variable, variable.name == '{DATABASE_URL_ENV}')")
}

fn has_none_of(names: &[&str]) -> String {
    format!("!self.exists(name, name in ['{}'])", names.join("', '"))
}

/// A field and the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Violation {
    /// Path of the field, such as `spec.kafka.topic.partitions`.
    pub field: String,
    /// The rule, in words.
    pub rule: String,
}

impl Violation {
    /// The field at `field` breaks `rule`.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }
}

/// Every rule that `pipeline` breaks by itself; empty for one that can work.
#[must_use]
pub fn violations(pipeline: &CryptoPipeline) -> Vec<Violation> {
    let mut found = Vec::new();
    let name = pipeline.metadata.name.as_deref().unwrap_or_default();
    refuse_unless(&mut found, matches(name, NAME_PATTERN), "metadata.name", NAME);
    let spec = &pipeline.spec;
    for (index, source) in spec.sources.iter().enumerate() {
        check_source(&mut found, &format!("spec.sources[{index}]"), source);
    }
    if let Some(kafka) = &spec.kafka {
        check_kafka(&mut found, kafka);
    }
    check_aggregation(&mut found, &spec.aggregation);
    let has_history = spec.sources.iter().any(|source| source.history.is_some());
    refuse_unless(
        &mut found,
        spec.repair.enabled || !has_history,
        "spec.repair.enabled",
        HISTORY_WITHOUT_REPAIR,
    );
    if let Some(database) = &spec.database {
        check_database(&mut found, database);
    }
    compatibility::check(&mut found, spec);
    check_env(&mut found, "spec.aggregators", &spec.aggregators.pod_template);
    check_env(&mut found, "spec.producers", &spec.producers.pod_template);
    check_env(&mut found, "spec.repair", &spec.repair.pod_template);
    found
}

/// Every rule that the step from `old` to `new` breaks.
#[must_use]
pub fn transition_violations(old: &CryptoPipelineSpec, new: &CryptoPipelineSpec) -> Vec<Violation> {
    let mut found = Vec::new();
    match (&old.kafka, &new.kafka) {
        (Some(old), Some(new)) => {
            let (old, new) = (&old.topic, &new.topic);
            refuse_unless(&mut found, new.name == old.name, "spec.kafka.topic.name", TOPIC_RENAMED);
            let grew = new.partitions >= old.partitions;
            refuse_unless(&mut found, grew, "spec.kafka.topic.partitions", PARTITIONS_SHRUNK);
        }
        (old, new) => refuse_unless(&mut found, old.is_none() || new.is_some(), "spec.kafka", KAFKA_REMOVED),
    }
    let kept = old.database.is_none() || new.database.is_some();
    refuse_unless(&mut found, kept, "spec.database", DATABASE_REMOVED);
    let old_venues: BTreeMap<&str, &str> =
        old.sources.iter().map(|source| (source.name.as_str(), source.effective_venue())).collect();
    for (index, source) in new.sources.iter().enumerate() {
        let same =
            old_venues.get(source.name.as_str()).is_none_or(|venue| *venue == source.effective_venue());
        refuse_unless(&mut found, same, &format!("spec.sources[{index}].venue"), VENUE_IMMUTABLE);
    }
    found
}

fn check_source(found: &mut Vec<Violation>, path: &str, source: &SourceSpec) {
    check_feed(found, path, source);
    let own =
        |address: Option<&String>, pattern: &str| address.is_none_or(|address| matches(address, pattern));
    let Some(endpoints) = &source.endpoints else { return };
    let live = own(endpoints.websocket.as_ref(), OWN_WEBSOCKET) && own(endpoints.rest.as_ref(), OWN_REST);
    let at_home = live && own(endpoints.dumps.as_ref(), OWN_DUMPS);
    refuse_unless(found, source.venue.is_some() || at_home, &format!("{path}.venue"), VENUE_REQUIRED);
    let has_dumps = live || endpoints.dumps.is_some() || source.history.is_none();
    refuse_unless(found, has_dumps, &format!("{path}.endpoints.dumps"), DUMPS_REQUIRED);
}

fn check_feed(found: &mut Vec<Violation>, path: &str, source: &SourceSpec) {
    let (of_trades, polled) = (source.reads_trades(), source.transport == Transport::Rest);
    refuse_unless(found, !polled || !of_trades, &format!("{path}.transport"), REST_OF_TICKERS);
    let interval = format!("{path}.pollInterval");
    refuse_unless(found, polled || source.poll_interval.is_none(), &interval, POLL_INTERVAL_OF_REST);
    let in_bounds = source.poll_interval_ms().is_some_and(|interval| (500..=3_600_000).contains(&interval));
    refuse_unless(found, !polled || in_bounds, &interval, POLL_INTERVAL);
    refuse_unless(
        found,
        of_trades || source.history.is_none(),
        &format!("{path}.history"),
        HISTORY_OF_TRADES,
    );
    refuse_unless(found, of_trades || source.series.is_empty(), &format!("{path}.series"), SERIES_OF_TRADES);
}

fn check_kafka(found: &mut Vec<Violation>, kafka: &KafkaSpec) {
    let free = CLIENT_CONFIG_RESERVED.iter().all(|name| !kafka.client_config.contains_key(*name));
    refuse_unless(found, free, "spec.kafka.clientConfig", CLIENT_CONFIG);
    let TopicSpec { name, retention, config, .. } = &kafka.topic;
    refuse_unless(found, name != "." && name != "..", "spec.kafka.topic.name", TOPIC_DOTS);
    check_period(found, "spec.kafka.topic.retention", Some(retention));
    let repeats = TOPIC_CONFIG_REPEATED.iter().any(|name| config.contains_key(*name));
    refuse_unless(found, !repeats, "spec.kafka.topic.config", TOPIC_CONFIG_REPEATS);
    let compacted = config.get("cleanup.policy").is_some_and(|policy| policy != "delete");
    refuse_unless(found, !compacted, "spec.kafka.topic.config", TOPIC_COMPACTED);
}

fn check_aggregation(found: &mut Vec<Violation>, aggregation: &AggregationSpec) {
    let flush_interval = aggregation.flush_interval_ms();
    let in_bounds = flush_interval.is_some_and(|interval| (10..=60_000).contains(&interval));
    refuse_unless(found, in_bounds, "spec.aggregation.flushInterval", FLUSH_INTERVAL);
    let stored = aggregation.store_trades;
    if let Some(moving_average) = &aggregation.moving_average {
        let field = "spec.aggregation.movingAverage";
        refuse_unless(found, stored, field, MOVING_AVERAGE_OF_STORED);
        let in_bounds = (2..=1_000).contains(&moving_average.trades);
        refuse_unless(found, in_bounds, &format!("{field}.trades"), MOVING_AVERAGE_TRADES);
    }
    if let Some(whale_trade) = &aggregation.whale_trade {
        let field = "spec.aggregation.whaleTrade";
        refuse_unless(found, stored, field, WHALE_TRADE_OF_STORED);
        check_whale_trade(found, field, whale_trade);
    }
}

fn check_whale_trade(found: &mut Vec<Violation>, field: &str, whale_trade: &WhaleTradeSpec) {
    let WhaleTradeSpec { min_value, quote_assets } = whale_trade;
    refuse_unless(found, min_value.is_some() || !quote_assets.is_empty(), field, WHALE_TRADE_VALUE);
    let is_value = |text: &String| matches(text, MIN_VALUE_PATTERN);
    refuse_unless(found, min_value.iter().all(is_value), &format!("{field}.minValue"), MIN_VALUE);
    let names: BTreeSet<&str> = quote_assets.iter().map(|quoted| quoted.asset.as_str()).collect();
    let assets = format!("{field}.quoteAssets");
    refuse_unless(found, names.len() == quote_assets.len(), &assets, QUOTE_ASSETS_UNIQUE);
    for (index, quoted) in quote_assets.iter().enumerate() {
        let named = matches(&quoted.asset, QUOTE_ASSET_PATTERN);
        refuse_unless(found, named, &format!("{assets}[{index}].asset"), QUOTE_ASSET);
        refuse_unless(found, is_value(&quoted.min_value), &format!("{assets}[{index}].minValue"), MIN_VALUE);
    }
}

fn check_database(found: &mut Vec<Violation>, database: &DatabaseSpec) {
    refuse_unless(found, !database.schema.starts_with("pg_"), "spec.database.schema", SCHEMA_RESERVED);
    let readable = database.storage_limit.as_ref().is_none_or(|limit| limit.bytes().is_some());
    refuse_unless(found, readable, "spec.database.storageLimit", BYTE_SIZE);
    check_period(found, "spec.database.retention.trades", database.retention.trades.as_ref());
    let views = database.compatibility_schema.as_deref().unwrap_or_default();
    refuse_unless(found, !views.starts_with("pg_"), "spec.database.compatibilitySchema", SCHEMA_RESERVED);
    check_period(found, "spec.database.retention.candles", database.retention.candles.as_ref());
}

fn check_env(found: &mut Vec<Violation>, role: &str, template: &PodTemplate) {
    let is_reserved = template.env.iter().any(|variable| variable.name == DATABASE_URL_ENV);
    refuse_unless(found, !is_reserved, &format!("{role}.podTemplate.env"), RESERVED_ENV);
}

fn check_period(found: &mut Vec<Violation>, field: &str, period: Option<&Period>) {
    let readable = period.is_none_or(|period| period.seconds().is_some());
    refuse_unless(found, readable, field, PERIOD);
}

/// Whether `text` matches one of our own patterns; each is a constant that the tests compile.
fn matches(text: &str, pattern: &str) -> bool {
    Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
}

fn refuse_unless(found: &mut Vec<Violation>, holds: bool, field: &str, rule: &str) {
    if !holds {
        found.push(Violation::new(field, rule));
    }
}

impl AggregationSpec {
    /// The flush interval in milliseconds, or `None` where the text is no such length.
    #[must_use]
    pub fn flush_interval_ms(&self) -> Option<u64> {
        let text = &self.flush_interval;
        let (count, scale) = match text.strip_suffix("ms") {
            Some(count) => (count, 1),
            None => (text.strip_suffix('s')?, 1_000),
        };
        if !count.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        count.parse::<u64>().ok()?.checked_mul(scale)
    }
}
